//! The shape of a value type as serde sees it, to its leaves: what decides whether stored bytes can be read back.
//!
//! Nominal types are numbered in the order in which a walk from the root meets them, so recursive types are finite and
//! equal types give equal shapes. Field and variant names and their order count; names of types do not.

mod access;
mod sample;
mod tracer;
mod walk;

use serde::{Deserialize, Serialize};

pub(crate) use self::tracer::trace;

/// The shape of a value type.
#[doc(hidden)]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shape {
    pub(crate) root: Form,
    pub(crate) types: Vec<TypeShape>,
}

/// One place in a value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Form {
    /// A primitive, by serde's name: `u64`, `string`, `bytes`, `unit` …
    Leaf(String),
    Option(Box<Form>),
    Seq(Box<Form>),
    Map(Box<Form>, Box<Form>),
    Array(u64, Box<Form>),
    Tuple(Vec<Form>),
    /// A nominal type, by its place in [`Shape::types`].
    Type(u32),
    /// One of these, depending on a value before it (a `Deserialize` written by hand).
    OneOf(Vec<Form>),
    /// Out of sight, because no sample of a value before it was accepted by a `Deserialize` written by hand.
    Unseen,
}

/// A struct or an enum.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct TypeShape {
    pub(crate) name: String,
    pub(crate) kind: Kind,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Kind {
    Struct(Vec<Field>),
    Enum(Vec<Variant>),
}

/// A field; in a tuple its name is its position.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Field {
    pub(crate) name: String,
    pub(crate) form: Form,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Variant {
    pub(crate) name: String,
    pub(crate) fields: Vec<Field>,
}

impl Shape {
    /// The same without what does not count: the names of types.
    pub(crate) fn canonical(&self) -> Shape {
        let mut shape = self.clone();
        for kind in &mut shape.types {
            kind.name.clear();
        }
        shape
    }
}

impl Form {
    /// What two walks over the same place saw.
    pub(crate) fn merge(&mut self, seen: Form) {
        match (&mut *self, seen) {
            (_, Form::Unseen) => {}
            (Form::Unseen, seen) => *self = seen,
            (Form::Option(a), Form::Option(b)) | (Form::Seq(a), Form::Seq(b)) => a.merge(*b),
            (Form::Tuple(a), Form::Tuple(b)) if a.len() == b.len() => {
                for (a, b) in a.iter_mut().zip(b) {
                    a.merge(b);
                }
            }
            (Form::Map(a, b), Form::Map(c, d)) => {
                a.merge(*c);
                b.merge(*d);
            }
            (Form::OneOf(forms), seen) if !forms.contains(&seen) => forms.push(seen),
            (Form::OneOf(_), _) => {}
            (same, seen) if *same == seen => {}
            (other, seen) => {
                let first = std::mem::replace(other, Form::Unseen);
                *other = Form::OneOf(vec![first, seen]);
            }
        }
    }

    pub(crate) fn children_mut(&mut self) -> Vec<&mut Form> {
        match self {
            Form::Option(a) | Form::Seq(a) | Form::Array(_, a) => vec![a],
            Form::Map(a, b) => vec![a, b],
            Form::Tuple(forms) | Form::OneOf(forms) => forms.iter_mut().collect(),
            Form::Leaf(_) | Form::Type(_) | Form::Unseen => vec![],
        }
    }
}

impl Kind {
    pub(crate) fn forms_mut(&mut self) -> Vec<&mut Form> {
        match self {
            Kind::Struct(fields) => fields.iter_mut().map(|field| &mut field.form).collect(),
            Kind::Enum(variants) => {
                variants.iter_mut().flat_map(|variant| &mut variant.fields).map(|field| &mut field.form).collect()
            }
        }
    }
}

#[cfg(test)]
mod tests;
