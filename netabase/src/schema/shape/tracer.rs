//! A serde `Deserializer` without input: it writes down what a `Deserialize` asks for, and answers with samples.
//!
//! It behaves like bincode's: not human-readable, structs and variants as sequences, variants by index; and refuses
//! what bincode refuses. Where a value must be made and there is nothing new to see, it makes the smallest one.

use std::any::type_name;
use std::cell::RefCell;
use std::fmt;

use serde::de::{DeserializeOwned, Deserializer, Visitor};

use super::access::{Chosen, Elements, Fields, Tuple};
use super::walk::{Identity, Place, Signal, Walk};
use super::{Form, Shape, sample};

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
pub(super) struct Halt;

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
pub(super) struct Tracer<'w, 'f> {
    pub(super) walk: &'w RefCell<Walk>,
    pub(super) place: Place,
    pub(super) round: usize,
    pub(super) depth: u32,
    pub(super) form: Option<&'f mut Form>,
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
    pub(super) fn inner<'g>(&self, place: Place, form: Option<&'g mut Form>) -> Tracer<'w, 'g> {
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
                tracer.walk.borrow_mut().saw_fields(id, 0, fields.seen());
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
            visitor.visit_enum(Chosen::new(tracer.inner(place.clone(), None), id, variant, tracing))
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
                fields.rejected(&place);
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
        visitor.visit_seq(Tuple::new(self, len))
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
