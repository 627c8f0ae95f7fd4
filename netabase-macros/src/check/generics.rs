//! What a record asks of its type parameters.

use proc_macro2::Ident;
use quote::quote;
use syn::{Data, DeriveInput, GenericParam, Generics, Type, WherePredicate, parse_quote};

use super::types::{self, is_projection, mentions};
use crate::attr;
use crate::model::{Index, Key};
use crate::runtime_path::Runtime;

/// The generics as they are written, without defaults.
pub(super) fn declared(input: &DeriveInput) -> Generics {
    let mut declared = input.generics.clone();
    for parameter in &mut declared.params {
        match parameter {
            GenericParam::Type(parameter) => parameter.default = None,
            GenericParam::Const(parameter) => parameter.default = None,
            GenericParam::Lifetime(_) => {}
        }
    }
    declared
}

/// The generics with what a record needs of itself, its type parameters, and what they lead to.
pub(super) fn bounded(input: &DeriveInput, key: &Key, indexes: &[Index], runtime: &Runtime) -> Generics {
    let private = runtime.private();
    let (ident, generics) = (&input.ident, &input.generics);
    let mut bounded = declared(input);
    let (_, arguments, _) = generics.split_for_impl();
    let clause = bounded.make_where_clause();
    clause.predicates.push(parse_quote!(for<'__netabase> #ident #arguments: #private::RecordThreadsFor<'__netabase>));
    let serde = quote!(#private::serde::Serialize + #private::serde::de::DeserializeOwned);
    let goes = quote! {
        #private::core::marker::Unpin + #private::core::marker::Send + #private::core::marker::Sync
    };
    let clone = quote!(#private::core::clone::Clone);
    let types: Vec<Ident> = generics.type_params().map(|parameter| parameter.ident.clone()).collect();
    for name in &types {
        clause.predicates.push(parse_quote!(#name: #clone + #serde + #goes + 'static));
    }
    // serde's own derives ask this of a field that is `T::Out`, and those of the language do.
    for (ty, is_written) in projections(input, &types) {
        clause.predicates.push(parse_quote!(#ty: #clone + #goes));
        if is_written {
            clause.predicates.push(parse_quote!(#ty: #serde));
        }
    }
    let key_types = key.fields().iter().map(|field| &field.ty).chain(indexes.iter().flat_map(Index::types));
    let key_types: Vec<_> = key_types.collect();
    clause.predicates.extend(threads(key_types.iter().copied(), generics, runtime));
    for ty in key_types.iter().filter(|ty| mentions(*ty, &types)) {
        clause.predicates.push(parse_quote!(#ty: #private::Key));
    }
    bounded
}

/// That these types of keys go from thread to thread, for impls: where one does not, nothing follows from it, and what is
/// said is that it is no key. Not of those that do in any case, nor of those that name parameters, which are keys by bounds.
pub(crate) fn threads<'a>(
    types: impl IntoIterator<Item = &'a Type>,
    generics: &Generics,
    runtime: &Runtime,
) -> impl Iterator<Item = WherePredicate> {
    let (private, parameters) = (runtime.private(), parameters(generics));
    types
        .into_iter()
        .filter(move |ty| !types::is_common(ty) && !mentions(*ty, &parameters))
        .map(move |ty| parse_quote!(for<'__netabase> #ty: #private::KeyThreadsFor<'__netabase>))
}

/// The fields that are `T::Out` or `<T as Kind>::Out`, and whether serde writes them as they are.
fn projections(input: &DeriveInput, parameters: &[Ident]) -> Vec<(Type, bool)> {
    let Data::Struct(data) = &input.data else { return vec![] };
    let all =
        data.fields.iter().map(|field| (types::plain(&field.ty, input), !attr::is_otherwise_in_serde(&field.attrs)));
    let mut found: Vec<(Type, bool)> = Vec::new();
    for (ty, is_written) in all.filter(|(ty, _)| is_projection(ty, parameters)) {
        match found.iter_mut().find(|(other, _)| *other == ty) {
            Some((_, other)) => *other |= is_written,
            None => found.push((ty, is_written)),
        }
    }
    found
}

/// The names of type and const parameters.
pub(crate) fn parameters(generics: &Generics) -> Vec<Ident> {
    generics
        .params
        .iter()
        .filter_map(|parameter| match parameter {
            GenericParam::Type(parameter) => Some(parameter.ident.clone()),
            GenericParam::Const(parameter) => Some(parameter.ident.clone()),
            GenericParam::Lifetime(_) => None,
        })
        .collect()
}
