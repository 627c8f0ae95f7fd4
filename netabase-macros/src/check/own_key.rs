//! `#[derive(NetabaseKey)]`: what a key type of the user's is made of.

use syn::{Data, DataEnum, DataStruct, DeriveInput, Fields, GenericParam, Member};

use super::variant_place;
use crate::attr;
use crate::diagnostics::Mistakes;
use crate::keyword::{NETABASE, Position};
use crate::model::{OwnKey, OwnKeyForm};
use crate::runtime_path::Runtime;

/// As many as two bytes can tell apart.
const VARIANTS_MAX: usize = 1 << u16::BITS;

pub(crate) fn own_key(input: &DeriveInput, mistakes: &mut Mistakes) -> OwnKey {
    let attributes = attr::container(&input.attrs, Position::OwnKey, mistakes);
    let before = mistakes.count();
    let form = match &input.data {
        Data::Enum(data) => variants(input, data, mistakes),
        Data::Struct(data) => newtype(input, data, mistakes),
        Data::Union(data) => {
            let message = "a union cannot be a key: use an enum without fields, or a struct with one field";
            mistakes.at(data.union_token, message);
            OwnKeyForm::Unknown
        }
    };
    match input.generics.params.first() {
        Some(GenericParam::Lifetime(lifetime)) => {
            let message =
                "a key owns its data: use `String` for `&str`, `Vec<u8>` for `&[u8]`, and remove the lifetime";
            mistakes.at(lifetime, message);
        }
        Some(_) => {
            let message = "a key type cannot be generic: write the type of its field, such as `struct Id(u64);`";
            mistakes.at(&input.generics, message);
        }
        None => {}
    }
    OwnKey {
        runtime: Runtime::new(attributes.runtime.as_ref()),
        ident: input.ident.clone(),
        generics: input.generics.clone(),
        form: if mistakes.count() == before { form } else { OwnKeyForm::Unknown },
    }
}

fn variants(input: &DeriveInput, data: &DataEnum, mistakes: &mut Mistakes) -> OwnKeyForm {
    if data.variants.is_empty() {
        let message = "a key needs a value: write variants, such as `Open, Closed`";
        mistakes.at(&input.ident, message);
    }
    if let Some(variant) = data.variants.iter().nth(VARIANTS_MAX) {
        mistakes.at(&variant.ident, format!("a key has at most {VARIANTS_MAX} variants: use a number"));
    }
    for variant in &data.variants {
        plain(&variant.attrs, mistakes);
        if !matches!(variant.fields, Fields::Unit) {
            let ident = &variant.ident;
            let message = format!(
                "a variant of a key has no fields: write `{ident}`; what belongs to it can be another field of the record, with `#[netabase(key)]` as well"
            );
            mistakes.at(variant_place(variant), message);
        }
    }
    OwnKeyForm::Variants {
        variants: data.variants.iter().map(|variant| variant.ident.clone()).collect(),
        are_numbered: data.variants.iter().any(|variant| variant.discriminant.is_some()),
    }
}

fn newtype(input: &DeriveInput, data: &DataStruct, mistakes: &mut Mistakes) -> OwnKeyForm {
    for field in &data.fields {
        plain(&field.attrs, mistakes);
    }
    let (ident, count) = (&input.ident, data.fields.len());
    match (data.fields.iter().next(), count) {
        (Some(field), 1) => {
            let member = field.ident.clone().map_or_else(|| Member::from(0), Member::Named);
            return OwnKeyForm::Newtype { member, ty: Box::new(field.ty.clone()) };
        }
        (None, _) => {
            mistakes.at(ident, format!("a key needs a value: write `struct {ident}(u64);`, or an enum"));
        }
        (Some(_), _) => {
            let message = format!(
                "a key type has one field, this one has {count}: make each a field of the record with `#[netabase(key)]`, or put them into one, a tuple: `struct {ident}((u64, String));`"
            );
            mistakes.at(&data.fields, message);
        }
    }
    OwnKeyForm::Unknown
}

/// Fields and variants of a key type have no attributes.
fn plain(attributes: &[syn::Attribute], mistakes: &mut Mistakes) {
    for attribute in attributes.iter().filter(|attribute| attribute.path().is_ident(NETABASE)) {
        let message = "`NetabaseKey` has nothing to say here: remove this; `key`, `index` and `unique` are written in the record that has a field of this type";
        mistakes.at(attribute, message);
    }
}
