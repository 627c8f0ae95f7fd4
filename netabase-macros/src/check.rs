//! From what is written to what is meant. Finds every mistake; where it can, it goes on with a guess, so that only the
//! mistake itself is reported and not what would follow from it.

mod generics;
mod index;
mod names;
mod own_key;
mod ttl;
mod types;
mod version;

use proc_macro2::{Ident, TokenStream};
use quote::{ToTokens, quote};
use syn::{Data, DataEnum, DataStruct, DeriveInput, Fields, LitStr, Member, Type, parse_quote};

use self::generics::{bounded, declared};
pub(crate) use self::generics::{parameters, threads};
pub(crate) use self::names::key_type;
use self::names::snake_case;
pub(crate) use self::own_key::own_key;
use self::types::reference;
pub(crate) use self::types::{is_projection, mentions};
use crate::attr;
use crate::diagnostics::{Mistakes, did_you_mean, one_of};
use crate::keyword::Position;
use crate::model::{Consistency, Field, Index, Indexed, Key, Model, Record, Schema, Variant, Version};
use crate::runtime_path::Runtime;

/// As many as the runtime has tuples for.
const KEY_FIELDS_MAX: usize = 6;

/// As many as the runtime takes (`RECORD_TYPES_MAX` there).
const RECORDS_MAX: usize = 1_024;

/// `None` where nothing can be generated that would be of use.
pub(crate) fn check(input: &DeriveInput, mistakes: &mut Mistakes) -> Option<Model> {
    match &input.data {
        Data::Struct(data) => Some(Model::Record(Box::new(record(input, data, mistakes)))),
        Data::Enum(data) => schema(input, data, mistakes).map(Model::Schema),
        Data::Union(data) => {
            mistakes.at(data.union_token, "a union cannot be a record: use a struct");
            let attributes = attr::container(&input.attrs, Position::Record, mistakes);
            Some(Model::Record(Box::new(unusable(input, attributes, vec![]))))
        }
    }
}

fn record(input: &DeriveInput, data: &DataStruct, mistakes: &mut Mistakes) -> Record {
    let mut attributes = attr::container(&input.attrs, Position::Record, mistakes);
    let runtime = Runtime::new(attributes.runtime.as_ref());
    let version = version::version(&input.ident, &attributes, mistakes);
    let consistency = attributes.consistency.unwrap_or_default();
    let is_refused_by_serde = serde_on_record(&input.attrs, mistakes);

    if data.fields.is_empty() {
        let ident = &input.ident;
        let message = format!(
            "a record needs fields, one of them with `#[netabase(key)]`: write `struct {ident} {{ #[netabase(key)] id: u64 }}`"
        );
        mistakes.at(ident, message);
        return unusable(input, attributes, vec![]);
    }
    if let Some(lifetime) = input.generics.lifetimes().next() {
        let message = "a record owns its data: use `String` for `&str`, `Vec<u8>` for `&[u8]`, and remove the lifetime";
        mistakes.at(lifetime, message);
    }
    let borrowed: Vec<_> = data.fields.iter().filter_map(borrowed).collect();
    if input.generics.lifetimes().next().is_none() {
        for place in &borrowed {
            let message = "a record owns its data: use `String` for `&str` and `Vec<u8>` for `&[u8]`";
            mistakes.at(place, message);
        }
    }

    let mut key = Vec::new();
    let mut indexes = Vec::new();
    let (mut key_words, mut index_words) = (Vec::new(), Vec::new());
    let mut all = Vec::new();
    for (field, member) in data.fields.iter().zip(data.fields.members()) {
        let attrs = &field.attrs;
        let written = attr::field(attrs, mistakes);
        let is_indexed = written.is_indexed() || index::is_named(&attributes.indexes, &member);
        let field = Field { member, ty: types::plain(&field.ty, input) };
        let purpose = if written.key.is_some() || is_indexed {
            Some("a key or an index")
        } else {
            ttl::is_named(&attributes, &field).then_some("the `ttl`")
        };
        let is_stored = serde_on_field(attrs, purpose, mistakes);
        if let (Some(unique), Consistency::Eventual) = (&written.unique, consistency) {
            let message = "`unique` needs nodes that agree, and this record has `consistency = \"eventual\"`: write `index`, or remove `consistency`";
            mistakes.at(&unique.word, message);
        }
        if written.is_indexed() && is_stored {
            indexes.extend(index::of_field(&field, &input.ident, &written, mistakes));
        }
        index_words.push((field.member.clone(), written.index, written.unique));
        if let Some(word) = written.key {
            key_words.push(word);
            key.push(field.clone());
        }
        all.push(field);
    }

    if key.len() > KEY_FIELDS_MAX {
        let message = format!("a key has at most {KEY_FIELDS_MAX} fields: put some of them into a tuple");
        mistakes.at(&key_words[KEY_FIELDS_MAX], message);
        key.truncate(KEY_FIELDS_MAX);
    }
    for (member, index, unique) in index_words {
        let words: Vec<_> = [&index, &unique].into_iter().flatten().map(|index| &index.word).collect();
        if let [field] = key.as_slice()
            && field.member == member
        {
            let shown: Vec<_> = words.iter().map(|word| format!("`{word}`")).collect();
            let message = format!("the key is unique and searched by already: remove {}", shown.join(" and "));
            if let Some(word) = words.first() {
                mistakes.at(word, message);
            }
            indexes.retain(|index| !index::is_over(index, field));
        } else if let [index, _] = words.as_slice() {
            mistakes.at(index, "`unique` is an index already: remove `index`");
        }
    }
    indexes.extend(index::compound(std::mem::take(&mut attributes.indexes), &input.ident, &all, mistakes));
    let ttl = attributes.ttl.as_ref().and_then(|name| ttl::field(name, &input.ident, &all, mistakes));
    index::distinct(&mut indexes, mistakes);
    index::named_apart(&mut indexes, &input.ident, mistakes);
    let key = match (key.len(), key.pop()) {
        (1, Some(field)) => Key::One(Box::new(field)),
        (_, Some(last)) => Key::Many(key.into_iter().chain([last]).collect()),
        (_, None) => {
            mistakes.at(&input.ident, no_key(&all));
            Key::Missing
        }
    };

    let key_types: Vec<_> = key.fields().iter().map(|field| &field.ty).collect();
    let instead = format!("{}Id", input.ident);
    let key_type = names::free(key_type(&input.ident), &key_types, "", &instead, mistakes);

    // What borrows can be read for some lifetimes alone, which is none at all here.
    if is_refused_by_serde || !borrowed.is_empty() || input.generics.lifetimes().next().is_some() {
        return unusable(input, attributes, indexes);
    }
    Record {
        declared: declared(input),
        generics: bounded(input, &key, &indexes, &runtime),
        stored_name: stored_name(input, &attributes),
        visibility: input.vis.clone(),
        ident: input.ident.clone(),
        runtime,
        version,
        key,
        key_type,
        indexes,
        ttl,
        consistency,
        is_usable: true,
    }
}

fn stored_name(input: &DeriveInput, attributes: &attr::Container) -> String {
    attributes.name.as_ref().map_or_else(|| snake_case(&input.ident), LitStr::value)
}

/// What cannot be a record, which was reported, but is named as one elsewhere.
fn unusable(input: &DeriveInput, attributes: attr::Container, mut indexes: Vec<Index>) -> Record {
    let runtime = Runtime::new(attributes.runtime.as_ref());
    let mut generics = bounded(input, &Key::Missing, &[], &runtime);
    for lifetime in input.generics.lifetimes().map(|parameter| &parameter.lifetime) {
        generics.make_where_clause().predicates.push(parse_quote!(#lifetime: 'static));
    }
    for index in &mut indexes {
        index.indexed = Indexed::Unknown;
    }
    Record {
        declared: declared(input),
        generics,
        stored_name: stored_name(input, &attributes),
        visibility: input.vis.clone(),
        ident: input.ident.clone(),
        runtime,
        version: Version { number: 1, before: None },
        key: Key::Missing,
        key_type: key_type(&input.ident),
        indexes,
        ttl: None,
        consistency: attributes.consistency.unwrap_or_default(),
        is_usable: false,
    }
}

/// The reference in a field that serde would read into it.
fn borrowed(field: &syn::Field) -> Option<&Type> {
    let is_text = |ty: &Type| match types::unbracketed(ty) {
        Type::Reference(reference) => match types::unbracketed(&reference.elem) {
            Type::Path(path) => path.path.is_ident("str"),
            ty => matches!(ty, Type::Slice(_)),
        },
        _ => false,
    };
    let words = attr::serde(&field.attrs);
    // serde has `&str` and `&[u8]` borrow, whatever function reads them.
    reference(&field.ty).filter(|ty| !words.iter().any(|word| word == "skip" || word == "with" && !is_text(ty)))
}

fn no_key(fields: &[Field]) -> String {
    if let Some(Field { member: Member::Unnamed(_), .. }) = fields.first() {
        return "this record has no key: write `#[netabase(key)]` before the type that it is found by, for example before the first one".to_owned();
    }
    let likely = fields.iter().find(|field| field.name() == "id").or(fields.first());
    let field = likely.map_or_else(|| "id".to_owned(), Field::name);
    format!(
        "this record has no key: write `#[netabase(key)]` on the field that it is found by, for example on `{field}`"
    )
}

/// serde's attributes that write something else than they read, in a format that does not describe itself. Whether there is
/// one that serde refuses in its own words: `untagged` on a struct.
fn serde_on_record(attributes: &[syn::Attribute], mistakes: &mut Mistakes) -> bool {
    let words = attr::serde(attributes);
    for word in &words {
        if word == "tag" {
            let message =
                "a stored record cannot have serde's `tag`: the stored bytes do not say what comes next; remove it";
            mistakes.at(word, message);
        }
    }
    words.iter().any(|word| word == "untagged")
}

/// Whether the field is part of the stored value.
/// `purpose`: what else it is to be, for which it must be.
fn serde_on_field(attributes: &[syn::Attribute], purpose: Option<&str>, mistakes: &mut Mistakes) -> bool {
    let words = attr::serde(attributes);
    let find = |name: &str| words.iter().find(|word| *word == name);
    if let Some(word) = find("flatten") {
        let message = "a stored record cannot have serde's `flatten`: the stored bytes have no field names; remove it, or write the fields out";
        mistakes.at(word, message);
    }
    if let Some(word) = find("skip_serializing_if") {
        let message = "a stored record cannot have serde's `skip_serializing_if`: a field left out cannot be told from the next one when it is read back; remove it";
        mistakes.at(word, message);
    }
    let skip = match (find("skip"), find("skip_serializing"), find("skip_deserializing")) {
        (Some(word), _, _) | (_, Some(word), Some(_)) => Some(word),
        (None, Some(word), None) | (None, None, Some(word)) => {
            let message = format!(
                "a stored record cannot have serde's `{word}` alone: what is written must be read back; use `skip` to leave the field out of both"
            );
            mistakes.at(word, message);
            None
        }
        (None, None, None) => None,
    };
    match (skip, purpose) {
        (Some(word), Some(purpose)) => {
            let message = format!(
                "serde's `{word}` leaves this field out of the stored record, so it cannot be {purpose}; remove one of the two"
            );
            mistakes.at(word, message);
            false
        }
        _ => true,
    }
}

fn schema(input: &DeriveInput, data: &DataEnum, mistakes: &mut Mistakes) -> Option<Schema> {
    let attributes = attr::container(&input.attrs, Position::Schema, mistakes);
    let runtime = Runtime::new(attributes.runtime.as_ref());
    if !input.generics.params.is_empty() {
        let message = "a schema cannot be generic: name the records with their types, such as `Tagged(Tagged<u64>)`";
        mistakes.at(&input.generics, message);
        return None;
    }
    if data.variants.is_empty() {
        let message = "a schema needs at least one record: write a variant such as `Account(Account)`";
        mistakes.at(&input.ident, message);
        return None;
    }
    if data.variants.iter().all(|variant| matches!(variant.fields, Fields::Unit)) {
        let ident = &input.ident;
        let message = format!(
            "a schema is an enum of records, such as `enum {ident} {{ Account(Account) }}`; for an enum without fields that is a key or an index, derive `NetabaseKey` instead"
        );
        mistakes.at(ident, message);
        return None;
    }
    let mut variants: Vec<Variant> = Vec::new();
    for variant in &data.variants {
        let attributes = attr::variant(&variant.attrs, mistakes);
        let ident = &variant.ident;
        if let Some((_, discriminant)) = &variant.discriminant {
            mistakes.at(discriminant, "a variant of a schema holds a record and has no number: remove it");
        }
        let field = match &variant.fields {
            Fields::Unnamed(fields) if fields.unnamed.len() == 1 => &fields.unnamed[0],
            _ => {
                let message = format!("a variant of a schema holds one record: write `{ident}({ident})`");
                mistakes.at(variant_place(variant), message);
                continue;
            }
        };
        let ty = types::unbracketed(&field.ty);
        for attribute in field.attrs.iter().filter(|attribute| attribute.path().is_ident(crate::keyword::NETABASE)) {
            let message = "write attributes of a record's fields on its own struct";
            mistakes.at(attribute, message);
        }
        if let Type::Reference(reference) = ty {
            let record = reference.elem.to_token_stream();
            let message = format!("a schema owns its records: write `{ident}({record})`");
            mistakes.at(&field.ty, message);
            continue;
        }
        if let Some(first) = variants.iter().find(|other| other.ty == *ty) {
            let message = format!("this record is in the schema already, as `{}`: remove one of the two", first.ident);
            mistakes.at(&field.ty, message);
            continue;
        }
        variants.push(Variant { ident: ident.clone(), ty: ty.clone(), stored_name: attributes.name });
    }
    if variants.is_empty() {
        return None;
    }
    if variants.len() > RECORDS_MAX {
        let count = variants.len();
        let message = format!("a schema has at most {RECORDS_MAX} records, this one has {count}: split it up");
        mistakes.at(&input.ident, message);
        return None;
    }
    let has_others = variants.len() < data.variants.len();
    Some(Schema { runtime, visibility: input.vis.clone(), ident: input.ident.clone(), variants, has_others })
}

/// The field of this name, or the one that was probably meant; `at` is where it is named.
fn find<'a>(
    wanted: &str,
    at: &impl ToTokens,
    record: &Ident,
    all: &'a [Field],
    mistakes: &mut Mistakes,
) -> Option<&'a Field> {
    let called = |wanted: &str| all.iter().find(|field| field.name() == wanted);
    if let Some(field) = called(wanted) {
        return Some(field);
    }
    let names: Vec<_> = all.iter().map(Field::name).collect();
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    if let Some(meant) = did_you_mean(wanted, &names) {
        mistakes.at(at, format!("`{record}` has no field `{wanted}`: did you mean `{meant}`?"));
        return called(meant);
    }
    mistakes.at(at, format!("`{record}` has no field `{wanted}`: write {}", one_of(&names)));
    None
}

/// A variant without its attributes.
fn variant_place(variant: &syn::Variant) -> TokenStream {
    let (ident, fields) = (&variant.ident, &variant.fields);
    quote!(#ident #fields)
}
