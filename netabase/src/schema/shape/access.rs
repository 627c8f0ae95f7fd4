//! What is inside of something compound: fields, elements, entries, a variant. Each hands a visitor the places in it one
//! by one, writes down what it saw there, and notes where a value was refused.

use std::cell::RefCell;

use serde::de::value::U32Deserializer;
use serde::de::{DeserializeSeed, EnumAccess, IntoDeserializer, MapAccess, SeqAccess, VariantAccess, Visitor};

use super::tracer::{Halt, Tracer};
use super::walk::{Place, Walk};
use super::{Field, Form, sample};

/// The fields of a struct or of a variant.
pub(super) struct Fields<'w> {
    walk: &'w RefCell<Walk>,
    owner: (usize, usize),
    round: usize,
    depth: u32,
    tracing: bool,
    seen: Vec<Field>,
    next: usize,
}

impl<'w> Fields<'w> {
    pub(super) fn new(tracer: &Tracer<'w, '_>, owner: (usize, usize), names: &[&str], tracing: bool) -> Self {
        let field = |name: &&str| Field { name: (*name).to_owned(), form: Form::Unseen };
        let seen = names.iter().map(field).collect();
        Fields { walk: tracer.walk, owner, round: tracer.round, depth: tracer.depth, tracing, seen, next: 0 }
    }

    /// The next field; only to be asked for while there is one.
    pub(super) fn next_field(&mut self) -> (Place, Tracer<'w, '_>) {
        let index = self.next;
        self.next += 1;
        let place = Place { owner: Some(self.owner), steps: vec![index as u32] };
        let round = self.walk.borrow().round(&place, self.round);
        let form = if self.tracing { Some(&mut self.seen[index].form) } else { None };
        (place.clone(), Tracer { walk: self.walk, place, round, depth: self.depth + 1, form })
    }
}

impl Fields<'_> {
    pub(super) fn rejected(&self, place: &Place) {
        self.walk.borrow_mut().rejected(place);
    }

    /// What the fields look like, as far as they were read.
    pub(super) fn seen(self) -> Vec<Field> {
        self.seen
    }
}

impl<'de> SeqAccess<'de> for &mut Fields<'_> {
    type Error = Halt;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Halt> {
        if self.next >= self.seen.len() {
            return Ok(None);
        }
        let (place, tracer) = self.next_field();
        let outcome = seed.deserialize(tracer);
        if outcome.is_err() {
            self.walk.borrow_mut().rejected(&place);
        }
        outcome.map(Some)
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.seen.len() - self.next)
    }
}

/// The elements of a tuple.
pub(super) struct Tuple<'w, 'f> {
    tracer: Tracer<'w, 'f>,
    len: usize,
    next: usize,
}

impl<'w, 'f> Tuple<'w, 'f> {
    pub(super) fn new(tracer: Tracer<'w, 'f>, len: usize) -> Self {
        Tuple { tracer, len, next: 0 }
    }
}

impl<'de> SeqAccess<'de> for Tuple<'_, '_> {
    type Error = Halt;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Halt> {
        if self.next >= self.len {
            return Ok(None);
        }
        let place = self.tracer.place.step(self.next as u32);
        let mut seen = Form::Unseen;
        let form = self.tracer.form.is_some().then_some(&mut seen);
        let outcome = seed.deserialize(self.tracer.inner(place.clone(), form));
        if let Some(Form::Tuple(forms)) = self.tracer.form.as_deref_mut() {
            forms[self.next] = seen;
        }
        self.next += 1;
        if outcome.is_err() {
            self.tracer.walk.borrow_mut().rejected(&place);
        }
        outcome.map(Some)
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.len - self.next)
    }
}

/// The elements of a sequence, or the entries of a map: as few as will do, but one to look at when tracing.
pub(super) struct Elements<'w, 'f> {
    tracer: Tracer<'w, 'f>,
    tracing: bool,
    place: Place,
    left: usize,
}

impl<'w, 'f> Elements<'w, 'f> {
    pub(super) fn new(tracer: Tracer<'w, 'f>) -> Self {
        let tracing = tracer.form.is_some();
        let place = tracer.place.step(0);
        let length = if tracing || tracer.round > 0 { sample::length(tracer.round) } else { 0 };
        let left = if tracer.walk.borrow().is_abandoned(tracing, &place) { 0 } else { length };
        Elements { tracer, tracing, place, left }
    }

    fn read<'de, T: DeserializeSeed<'de>>(&mut self, child: usize, seed: T) -> Result<T::Value, Halt> {
        let place = self.tracer.place.step(child as u32);
        let mut seen = Form::Unseen;
        let form = self.tracing.then_some(&mut seen);
        let outcome = seed.deserialize(self.tracer.inner(place.clone(), form));
        if let Some(slot) = self.tracer.form.as_deref_mut() {
            slot.children_mut().remove(child).merge(seen);
        }
        if outcome.is_err() {
            self.tracer.walk.borrow_mut().rejected(&place);
        }
        outcome
    }

    pub(super) fn end<T>(self, outcome: Result<T, Halt>) -> Result<T, Halt> {
        if outcome.is_err() {
            self.tracer.walk.borrow_mut().abandon(self.tracing, &self.place);
        }
        outcome
    }
}

impl<'de> SeqAccess<'de> for &mut Elements<'_, '_> {
    type Error = Halt;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Halt> {
        if self.left == 0 {
            return Ok(None);
        }
        self.left -= 1;
        self.read(0, seed).map(Some)
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.left)
    }
}

impl<'de> MapAccess<'de> for &mut Elements<'_, '_> {
    type Error = Halt;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Halt> {
        if self.left == 0 {
            return Ok(None);
        }
        self.left -= 1;
        self.read(0, seed).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Halt> {
        self.read(1, seed)
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.left)
    }
}

/// The variant chosen for this pass.
pub(super) struct Chosen<'w, 'f> {
    tracer: Tracer<'w, 'f>,
    id: usize,
    variant: usize,
    tracing: bool,
}

impl<'w, 'f> Chosen<'w, 'f> {
    pub(super) fn new(tracer: Tracer<'w, 'f>, id: usize, variant: usize, tracing: bool) -> Self {
        Chosen { tracer, id, variant, tracing }
    }

    fn fields<T>(self, names: &[&str], read: impl FnOnce(&mut Fields<'w>) -> Result<T, Halt>) -> Result<T, Halt> {
        let mut fields = Fields::new(&self.tracer, (self.id, self.variant), names, self.tracing);
        let outcome = read(&mut fields);
        if self.tracing {
            self.tracer.walk.borrow_mut().saw_fields(self.id, self.variant, fields.seen);
        }
        outcome
    }
}

impl<'de> EnumAccess<'de> for Chosen<'_, '_> {
    type Error = Halt;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self), Halt> {
        let index: U32Deserializer<Halt> = (self.variant as u32).into_deserializer();
        Ok((seed.deserialize(index)?, self))
    }
}

impl<'de> VariantAccess<'de> for Chosen<'_, '_> {
    type Error = Halt;

    fn unit_variant(self) -> Result<(), Halt> {
        Ok(())
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Halt> {
        self.fields(&["0"], |mut fields| {
            let value = fields.next_element_seed(seed)?;
            Ok(value.expect("there is one field"))
        })
    }

    fn tuple_variant<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, Halt> {
        let names: Vec<String> = (0..len).map(|index| index.to_string()).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        self.fields(&names, |fields| visitor.visit_seq(fields))
    }

    fn struct_variant<V: Visitor<'de>>(self, fields: &'static [&'static str], visitor: V) -> Result<V::Value, Halt> {
        self.fields(fields, |fields| visitor.visit_seq(fields))
    }
}
