//! Which field says when a record expires.

use proc_macro2::Ident;
use syn::LitStr;

use super::find;
use crate::attr;
use crate::diagnostics::Mistakes;
use crate::model::Field;

/// Whether it is this one.
pub(super) fn is_named(attributes: &attr::Container, field: &Field) -> bool {
    attributes.ttl.as_ref().is_some_and(|name| field.name() == name.value())
}

/// The field that is meant; of which type it is shows where types are known (see `expand/index`).
pub(super) fn field(name: &LitStr, record: &Ident, all: &[Field], mistakes: &mut Mistakes) -> Option<Field> {
    find(&name.value(), name, record, all, mistakes).cloned()
}
