//! What is meant: all that the expansion needs to know, already checked. The expansion of a model cannot fail.

use proc_macro2::Ident;
use syn::{Generics, LitStr, Type, Visibility};

use crate::runtime_path::Runtime;

pub(crate) enum Model {
    Record(Box<Record>),
    Schema(Schema),
}

/// A struct.
pub(crate) struct Record {
    pub(crate) runtime: Runtime,
    pub(crate) visibility: Visibility,
    pub(crate) ident: Ident,
    /// Without defaults, with the bounds that a record needs of its parameters.
    pub(crate) generics: Generics,
    pub(crate) stored_name: String,
    pub(crate) key: Key,
    pub(crate) indexes: Vec<Index>,
}

pub(crate) enum Key {
    One(Box<Field>),
    Many(Vec<Field>),
    /// None was given, which was reported: whatever lets the rest compile.
    Missing,
}

/// A named field.
#[derive(Clone)]
pub(crate) struct Field {
    pub(crate) ident: Ident,
    pub(crate) ty: Type,
}

pub(crate) struct Index {
    pub(crate) field: Field,
    /// What is in the index: the type of the field, or what it is an `Option` of.
    pub(crate) indexed: Indexed,
    pub(crate) unique: bool,
}

pub(crate) enum Indexed {
    Always(Type),
    IfSome(Type),
}

impl Indexed {
    pub(crate) fn ty(&self) -> &Type {
        match self {
            Indexed::Always(ty) | Indexed::IfSome(ty) => ty,
        }
    }
}

/// An enum of records.
pub(crate) struct Schema {
    pub(crate) runtime: Runtime,
    pub(crate) visibility: Visibility,
    pub(crate) ident: Ident,
    pub(crate) variants: Vec<Variant>,
    /// Whether there are more variants than these: wrong ones, which were reported.
    pub(crate) has_others: bool,
}

/// One record of a schema.
pub(crate) struct Variant {
    pub(crate) ident: Ident,
    pub(crate) ty: Type,
    pub(crate) stored_name: Option<LitStr>,
}
