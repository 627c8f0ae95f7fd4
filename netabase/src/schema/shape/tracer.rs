//! A serde `Deserializer` without input: it writes down what a `Deserialize` asks for, and answers with samples.
//!
//! It behaves like bincode's: not human-readable, structs and variants as sequences, variants by index; and refuses
//! what bincode refuses. Where a value must be made and there is nothing new to see, it makes the smallest one.

use std::any::type_name;
use std::cell::RefCell;
use std::fmt;

use serde::de::value::U32Deserializer;
use serde::de::{
    DeserializeOwned, DeserializeSeed, Deserializer, EnumAccess, IntoDeserializer, MapAccess, SeqAccess, VariantAccess,
    Visitor,
};

use super::walk::{Identity, Place, Signal, Walk};
use super::{Field, Form, Shape, sample};

/// Deeper than what can be decoded; only a recursion without any named type gets there.
const DEPTH_MAX: u32 = 64;

/// More passes than any type takes that a person would write.
const PASSES_MAX: u32 = 1_000_000;

const UNTOLD: &str = "a type asks what comes next in the stored bytes, which they do not say (serde's `untagged`, `tag` \
                      and `flatten`, and types such as `serde_json::Value` do): use a plain struct or enum";

/// The shape of `T`, or why it cannot be stored.
pub(crate) fn trace<T: DeserializeOwned>() -> Result<Shape, String> {
    let walk = RefCell::new(Walk::new());
    let mut root = Form::Unseen;
    for _ in 0..PASSES_MAX {
        walk.borrow_mut().begin_pass();
        let mut seen = Form::Unseen;
        let place = Place::root();
        let round = walk.borrow().round(&place, 0);
        let outcome =
            T::deserialize(Tracer { walk: &walk, place: place.clone(), round, depth: 0, form: Some(&mut seen) });
        root.merge(seen);
        let mut state = walk.borrow_mut();
        if outcome.is_err() {
            state.rejected(&place);
        }
        match &state.signal {
            Signal::Refused(reason) => return Err(reason.clone()),
            Signal::Retry => {}
            Signal::None | Signal::Dead if state.progress => {}
            Signal::None | Signal::Dead => {
                drop(state);
                return Ok(walk.into_inner().finish(root));
            }
        }
    }
    Err("its type is too large to be described".to_owned())
}

/// The error that cuts a pass off; why is in `Walk::signal`.
#[derive(Debug)]
struct Halt;

impl fmt::Display for Halt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("this is not the end")
    }
}

impl std::error::Error for Halt {}

impl serde::de::Error for Halt {
    fn custom<T: fmt::Display>(_: T) -> Self {
        Halt
    }
}

/// At one place; `form` is where to write down what is seen, `None` where any value will do.
struct Tracer<'w, 'f> {
    walk: &'w RefCell<Walk>,
    place: Place,
    round: usize,
    depth: u32,
    form: Option<&'f mut Form>,
}

impl<'w, 'f> Tracer<'w, 'f> {
    fn leaf(&mut self, name: &str) {
        self.saw(Form::Leaf(name.to_owned()));
    }

    fn saw(&mut self, form: Form) {
        if let Some(slot) = self.form.as_deref_mut() {
            *slot = form;
        }
    }

    fn number(&self) -> u8 {
        sample::number(self.round, self.place.position())
    }

    /// The next place inward.
    fn inner<'g>(&self, place: Place, form: Option<&'g mut Form>) -> Tracer<'w, 'g> {
        let round = self.walk.borrow().round(&place, self.round);
        Tracer { walk: self.walk, place, round, depth: self.depth + 1, form }
    }

    fn refuse<T>(&self, reason: &str) -> Result<T, Halt> {
        self.walk.borrow_mut().refuse(reason);
        Err(Halt)
    }

    fn dead<T>(&self) -> Result<T, Halt> {
        self.walk.borrow_mut().signal = Signal::Dead;
        Err(Halt)
    }

    fn check_depth(&self) -> Result<(), Halt> {
        if self.depth > DEPTH_MAX { self.dead() } else { Ok(()) }
    }

    /// A struct of any kind; `read` gets the access to its fields.
    fn structure<T>(
        mut self,
        identity: Identity,
        names: &[&str],
        read: impl FnOnce(&mut Fields<'w>) -> Result<T, Halt>,
    ) -> Result<T, Halt> {
        self.check_depth()?;
        let id = self.walk.borrow_mut().structure(identity, names);
        self.saw(Form::Type(id as u32));
        let tracing = self.form.is_some() && self.walk.borrow_mut().visit(id);
        if !tracing && self.walk.borrow().sampling.contains(&id) {
            return self.dead();
        }
        self.within(id, tracing, |tracer| {
            let mut fields = Fields::new(tracer, (id, 0), names, tracing);
            let outcome = read(&mut fields);
            if tracing {
                tracer.walk.borrow_mut().saw_fields(id, 0, fields.seen);
            }
            outcome
        })
    }

    fn within<T>(&self, id: usize, tracing: bool, read: impl FnOnce(&Self) -> T) -> T {
        let stack = |walk: &mut Walk, push: bool| {
            let stack = if tracing { &mut walk.tracing } else { &mut walk.sampling };
            if push {
                stack.push(id);
            } else {
                stack.pop();
            }
        };
        stack(&mut self.walk.borrow_mut(), true);
        let outcome = read(self);
        // After a refusal the stack has told the way there and is not used again.
        stack(&mut self.walk.borrow_mut(), false);
        outcome
    }

    fn enumeration<'de, V: Visitor<'de>>(
        mut self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Halt> {
        self.check_depth()?;
        let identity = (type_name::<V>(), name, variants, size_of::<V::Value>());
        let id = self.walk.borrow_mut().enumeration(identity, variants);
        self.saw(Form::Type(id as u32));
        let next = if self.form.is_some() && self.walk.borrow_mut().visit(id) {
            self.walk.borrow().next_variant(id)
        } else {
            None
        };
        let tracing = next.is_some();
        if !tracing && self.walk.borrow().sampling.contains(&id) {
            return self.dead();
        }
        let Some(variant) = next.or_else(|| self.walk.borrow().sample_variant(id)) else { return self.dead() };
        let place = Place { owner: Some((id, variant)), steps: Vec::new() };
        let outcome = self.within(id, tracing, |tracer| {
            visitor.visit_enum(Chosen { tracer: tracer.inner(place.clone(), None), id, variant, tracing })
        });
        let mut walk = self.walk.borrow_mut();
        if outcome.is_err() {
            walk.rejected(&place);
        }
        if tracing {
            if matches!(walk.signal, Signal::None | Signal::Dead) {
                walk.saw_variant(id, variant);
            }
            walk.abandon(true, &place);
        } else {
            walk.next_sample(id);
        }
        outcome
    }
}

macro_rules! leaves {
    ($($method:ident $visit:ident $name:literal |$tracer:ident| $value:expr;)*) => { $(
        fn $method<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value, Halt> {
            self.leaf($name);
            let $tracer = self;
            visitor.$visit($value)
        }
    )* };
}

impl<'de> Deserializer<'de> for Tracer<'_, '_> {
    type Error = Halt;

    leaves! {
        deserialize_bool visit_bool "bool" |t| t.round % 2 == 1;
        deserialize_i8 visit_i8 "i8" |t| t.number() as i8;
        deserialize_i16 visit_i16 "i16" |t| t.number().into();
        deserialize_i32 visit_i32 "i32" |t| t.number().into();
        deserialize_i64 visit_i64 "i64" |t| t.number().into();
        deserialize_i128 visit_i128 "i128" |t| t.number().into();
        deserialize_u8 visit_u8 "u8" |t| t.number();
        deserialize_u16 visit_u16 "u16" |t| t.number().into();
        deserialize_u32 visit_u32 "u32" |t| t.number().into();
        deserialize_u64 visit_u64 "u64" |t| t.number().into();
        deserialize_u128 visit_u128 "u128" |t| t.number().into();
        deserialize_f32 visit_f32 "f32" |t| t.number().into();
        deserialize_f64 visit_f64 "f64" |t| t.number().into();
        deserialize_char visit_char "char" |t| char::from(b'a' + t.number() % 26);
        deserialize_str visit_borrowed_str "string" |t| sample::text(t.round);
        deserialize_string visit_borrowed_str "string" |t| sample::text(t.round);
        deserialize_bytes visit_borrowed_bytes "bytes" |t| sample::bytes(t.round);
        deserialize_byte_buf visit_borrowed_bytes "bytes" |t| sample::bytes(t.round);
    }

    fn deserialize_unit<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value, Halt> {
        self.leaf("unit");
        visitor.visit_unit()
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Halt> {
        self.deserialize_unit(visitor)
    }

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Halt> {
        self.refuse(UNTOLD)
    }

    fn deserialize_identifier<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Halt> {
        self.refuse(UNTOLD)
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Halt> {
        self.refuse(UNTOLD)
    }

    fn deserialize_option<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value, Halt> {
        self.check_depth()?;
        let place = self.place.step(0);
        let form = self.form.take().map(|slot| {
            *slot = Form::Option(Box::new(Form::Unseen));
            slot.children_mut().remove(0)
        });
        let tracing = form.is_some();
        // Where any value will do, `None` does, unless what it is part of has refused that.
        let some = if tracing { true } else { self.round % 2 == 1 };
        if !some || self.walk.borrow().is_abandoned(tracing, &place) {
            return visitor.visit_none();
        }
        let outcome = visitor.visit_some(self.inner(place.clone(), form));
        if outcome.is_err() {
            let mut walk = self.walk.borrow_mut();
            walk.rejected(&place);
            walk.abandon(tracing, &place);
        }
        outcome
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, name: &'static str, visitor: V) -> Result<V::Value, Halt> {
        let identity = (type_name::<V>(), name, &["0"] as &[_], size_of::<V::Value>());
        self.structure(identity, &["0"], |fields| {
            let (place, outcome) = {
                let (place, tracer) = fields.next_field();
                (place, visitor.visit_newtype_struct(tracer))
            };
            if outcome.is_err() {
                fields.walk.borrow_mut().rejected(&place);
            }
            outcome
        })
    }

    fn deserialize_seq<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value, Halt> {
        self.check_depth()?;
        self.saw(Form::Seq(Box::new(Form::Unseen)));
        let mut elements = Elements::new(self);
        let outcome = visitor.visit_seq(&mut elements);
        elements.end(outcome)
    }

    fn deserialize_map<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value, Halt> {
        self.check_depth()?;
        self.saw(Form::Map(Box::new(Form::Unseen), Box::new(Form::Unseen)));
        let mut elements = Elements::new(self);
        let outcome = visitor.visit_map(&mut elements);
        elements.end(outcome)
    }

    fn deserialize_tuple<V: Visitor<'de>>(mut self, len: usize, visitor: V) -> Result<V::Value, Halt> {
        self.check_depth()?;
        self.saw(Form::Tuple(vec![Form::Unseen; len]));
        visitor.visit_seq(Tuple { tracer: self, len, next: 0 })
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        len: usize,
        visitor: V,
    ) -> Result<V::Value, Halt> {
        let names: Vec<String> = (0..len).map(|index| index.to_string()).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let identity = (type_name::<V>(), name, &[] as &[_], size_of::<V::Value>());
        self.structure(identity, &names, |fields| visitor.visit_seq(fields))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Halt> {
        let identity = (type_name::<V>(), name, fields, size_of::<V::Value>());
        self.structure(identity, fields, |fields| visitor.visit_seq(fields))
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Halt> {
        self.enumeration(name, variants, visitor)
    }

    fn is_human_readable(&self) -> bool {
        false
    }
}

/// The fields of a struct or of a variant.
struct Fields<'w> {
    walk: &'w RefCell<Walk>,
    owner: (usize, usize),
    round: usize,
    depth: u32,
    tracing: bool,
    seen: Vec<Field>,
    next: usize,
}

impl<'w> Fields<'w> {
    fn new(tracer: &Tracer<'w, '_>, owner: (usize, usize), names: &[&str], tracing: bool) -> Self {
        let field = |name: &&str| Field { name: (*name).to_owned(), form: Form::Unseen };
        let seen = names.iter().map(field).collect();
        Fields { walk: tracer.walk, owner, round: tracer.round, depth: tracer.depth, tracing, seen, next: 0 }
    }

    /// The next field; only to be asked for while there is one.
    fn next_field(&mut self) -> (Place, Tracer<'w, '_>) {
        let index = self.next;
        self.next += 1;
        let place = Place { owner: Some(self.owner), steps: vec![index as u32] };
        let round = self.walk.borrow().round(&place, self.round);
        let form = if self.tracing { Some(&mut self.seen[index].form) } else { None };
        (place.clone(), Tracer { walk: self.walk, place, round, depth: self.depth + 1, form })
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
struct Tuple<'w, 'f> {
    tracer: Tracer<'w, 'f>,
    len: usize,
    next: usize,
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
struct Elements<'w, 'f> {
    tracer: Tracer<'w, 'f>,
    tracing: bool,
    place: Place,
    left: usize,
}

impl<'w, 'f> Elements<'w, 'f> {
    fn new(tracer: Tracer<'w, 'f>) -> Self {
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

    fn end<T>(self, outcome: Result<T, Halt>) -> Result<T, Halt> {
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
struct Chosen<'w, 'f> {
    tracer: Tracer<'w, 'f>,
    id: usize,
    variant: usize,
    tracing: bool,
}

impl<'w> Chosen<'w, '_> {
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
