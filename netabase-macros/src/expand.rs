//! From the model to tokens; cannot fail. One file for each kind of item that is generated.
//!
//! Generated code names everything through `__private` (see `runtime_path`). Uses of one of the user's types go through
//! one trait with the type's own tokens, so that a type that will not do is reported once, at its place.

mod generics;
mod index;
mod key;
mod lints;
mod log_entry;
mod own_key;
mod record;
mod schema;
mod version;

use proc_macro2::{Ident, Span, TokenStream};
use quote::{ToTokens, quote};
use syn::Attribute;
use syn::spanned::Spanned;

use crate::model::{Model, OwnKey, Record, Schema};

/// Where errors about generated code that is about `tokens` point to: to the tokens themselves, and in all such code to
/// the same span, so that equal errors are said once. Local names of the code around it must be passed in (`local`): the
/// tokens may come out of another macro, in which they mean nothing.
fn place(tokens: &impl ToTokens) -> Span {
    tokens.span()
}

/// A local name as the generated code has it.
fn local(name: &str) -> Ident {
    Ident::new(name, Span::call_site())
}

/// `attributes`: those of the type.
pub(crate) fn expand(model: &Model, attributes: &[Attribute]) -> TokenStream {
    let items = match model {
        Model::Record(record) => expand_record(record),
        Model::Schema(schema) => expand_schema(schema),
    };
    lints::on_each_item(items, attributes)
}

pub(crate) fn own_key(key: &OwnKey, attributes: &[Attribute]) -> TokenStream {
    lints::on_each_item(own_key::own_key(key), attributes)
}

fn expand_record(record: &Record) -> TokenStream {
    let key = key::primary(record);
    let indexes = index::indexes(record);
    let implementation = record::record(record);
    let log_entry = log_entry::of_record(record);
    let schema = schema::of_record(record);
    let versions = version::checks(record);
    quote! { #key #indexes #implementation #log_entry #schema #versions }
}

fn expand_schema(schema: &Schema) -> TokenStream {
    let key = key::of_schema(schema);
    let log_entry = log_entry::of_schema(schema);
    let schema = schema::of_schema(schema);
    quote! { #key #log_entry #schema }
}
