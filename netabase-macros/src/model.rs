//! What is meant: all that the expansion needs to know, already checked. The expansion of a model cannot fail.

use proc_macro2::Ident;
use syn::ext::IdentExt;
use syn::{Generics, LitStr, Member, Path, Type, Visibility};

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
    /// As they are written, without defaults.
    pub(crate) declared: Generics,
    /// Those with the bounds that a record needs of its parameters.
    pub(crate) generics: Generics,
    pub(crate) stored_name: String,
    pub(crate) version: Version,
    pub(crate) key: Key,
    /// What its type is called.
    pub(crate) key_type: Ident,
    pub(crate) indexes: Vec<Index>,
    /// The field that says when a record expires.
    pub(crate) ttl: Option<Field>,
    pub(crate) consistency: Consistency,
    /// Whether it can be written and read. If not, which was reported: whatever lets the rest compile.
    pub(crate) is_usable: bool,
}

/// How the nodes come to hold the same of a record.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Consistency {
    /// Every write is agreed on.
    #[default]
    Linearizable,
    /// The last write wins, once it is heard of.
    Eventual,
}

/// Which version of its record a struct is.
pub(crate) struct Version {
    pub(crate) number: u8,
    pub(crate) before: Option<Before>,
}

/// The struct of the version before.
pub(crate) struct Before {
    pub(crate) path: Path,
    /// Whether records are written as that one, too, while some know no later one.
    pub(crate) written: bool,
}

pub(crate) enum Key {
    One(Box<Field>),
    Many(Vec<Field>),
    /// None was given, which was reported: whatever lets the rest compile.
    Missing,
}

impl Key {
    pub(crate) fn fields(&self) -> &[Field] {
        match self {
            Key::One(field) => std::slice::from_ref(&**field),
            Key::Many(fields) => fields,
            Key::Missing => &[],
        }
    }
}

/// A field: by its name, in a tuple struct by its position.
#[derive(Clone)]
pub(crate) struct Field {
    pub(crate) member: Member,
    pub(crate) ty: Type,
}

impl Field {
    /// As it is stored and shown.
    pub(crate) fn name(&self) -> String {
        named(&self.member)
    }
}

/// A member without `r#`.
pub(crate) fn named(member: &Member) -> String {
    match member {
        Member::Named(ident) => ident.unraw().to_string(),
        Member::Unnamed(position) => position.index.to_string(),
    }
}

pub(crate) struct Index {
    /// `by_email`, at the place that names it.
    pub(crate) function: Ident,
    /// What the type of its keys is called.
    pub(crate) key_type: Ident,
    pub(crate) indexed: Indexed,
    pub(crate) unique: bool,
}

/// What an index leads from.
pub(crate) enum Indexed {
    /// A field as it is.
    Always(Field),
    /// What a field is an `Option` of, when it is `Some`.
    IfSome(Field, Box<Type>),
    /// Several fields in this order, each as it is.
    Several(Vec<Field>),
    /// It is not known of which fields, which was reported: whatever lets the rest compile.
    Unknown,
}

/// `email` for `by_email`.
pub(crate) fn stored_name(function: &Ident) -> String {
    let name = function.to_string();
    name.strip_prefix("by_").map_or(name.clone(), str::to_owned)
}

impl Index {
    /// `email`: without what all have in common.
    pub(crate) fn stored_name(&self) -> String {
        stored_name(&self.function)
    }

    /// Of what its key is made.
    pub(crate) fn types(&self) -> Vec<&Type> {
        match &self.indexed {
            Indexed::Always(field) => vec![&field.ty],
            Indexed::IfSome(_, ty) => vec![ty],
            Indexed::Several(fields) => fields.iter().map(|field| &field.ty).collect(),
            Indexed::Unknown => vec![],
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

/// A type of the user's that is a key: what `NetabaseKey` is derived on.
pub(crate) struct OwnKey {
    pub(crate) runtime: Runtime,
    pub(crate) ident: Ident,
    pub(crate) generics: Generics,
    pub(crate) form: OwnKeyForm,
}

pub(crate) enum OwnKeyForm {
    /// An enum, of these variants in this order; whether one of them was given a number.
    Variants { variants: Vec<Ident>, are_numbered: bool },
    /// A struct of this one field.
    Newtype { member: Member, ty: Box<Type> },
    /// Something else, which was reported: whatever lets the rest compile.
    Unknown,
}
