//! `impl Record`: the typed side, and the functions by which the core sees the record as bytes.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};

use super::{index, key, version};
use crate::check::threads;
use crate::model::{Consistency, Field, Index, Key, Record};

pub(super) fn record(record: &Record) -> TokenStream {
    let private = record.runtime.private();
    let ident = &record.ident;
    let (parameters, arguments, clause) = record.generics.split_for_impl();
    let stored_name = &record.stored_name;
    let key = key::primary_type(record);
    let value = key_value(record);
    let index_glue = index::glue(record);
    let index_keys = index::keys_of_record(record);
    let number = record.version.number;
    let encode_as = version::encode_as(record);
    let before = version::glue_before(record);
    let key_fields = record.key.fields().iter().map(Field::name);
    // Does not run where it is not usable: beside it stands the error that says why.
    let [clone, encode, decode, shape] = if record.is_usable {
        [
            quote!(<#ident #arguments as #private::RecordClone>::__clone_record(self)),
            quote!(<#ident #arguments as #private::RecordSerialize>::__to_value(self, #number, #stored_name)),
            version::decode(record),
            quote!(<#ident #arguments as #private::RecordDeserialize>::__shape()),
        ]
    } else {
        let unknown = quote!(#private::core::result::Result::Err(#private::std::string::String::new()));
        [quote!(loop {}), quote!(loop {}), quote!(loop {}), unknown]
    };
    let glue = quote! {
        #private::glue::<Self>(
            #number,
            #index_glue,
            || {
                #private::describe::<Self>(
                    &[#(#key_fields),*],
                    #shape,
                )
            },
            #before,
        )
    };
    let (glue, agreed) = match record.consistency {
        Consistency::Eventual => (quote!(#private::eventual(#glue)), None),
        Consistency::Linearizable => {
            let agreed = quote! {
                #[automatically_derived]
                impl #parameters #private::Agreed for #ident #arguments #clause {}
            };
            (glue, Some(agreed))
        }
    };
    let goes = goes(record);
    let (indexed, glue) = match index::parameters_checked(record) {
        Some((indexed, looked_at)) => (Some(indexed), quote!({ #looked_at #glue })),
        None => (None, glue),
    };
    quote! {
        #[automatically_derived]
        impl #parameters #private::Record for #ident #arguments #clause {
            type Key = #key;
            const NAME: &'static #private::core::primitive::str = #stored_name;

            fn key(&self) -> #key {
                #value
            }
            fn __clone(&self) -> Self {
                #clone
            }
            fn __encode(
                &self,
            ) -> #private::core::result::Result<#private::std::vec::Vec<#private::core::primitive::u8>, #private::Error> {
                #encode
            }
            fn __decode(
                __bytes: &[#private::core::primitive::u8],
            ) -> #private::core::result::Result<Self, #private::Error> {
                #decode
            }
            #encode_as
            fn __index_keys(
                &self,
            ) -> #private::std::vec::Vec<
                #private::core::option::Option<#private::std::vec::Vec<#private::core::primitive::u8>>,
            > {
                #index_keys
            }
            #indexed
            const __GLUE: #private::RecordGlue = #glue;
        }

        #goes

        #agreed
    }
}

/// Has it said at the record that it belongs to one thread. Of a generic one that can be told only where its parameters are
/// given. Not where a key or an index is why, of which that is said.
fn goes(record: &Record) -> Option<TokenStream> {
    if !record.generics.params.is_empty() {
        return None;
    }
    let (ident, here) = (&record.ident, record.runtime.private_at(record.ident.span()));
    let types = record.key.fields().iter().map(|field| &field.ty).chain(record.indexes.iter().flat_map(Index::types));
    let others: Vec<_> = threads(types, &record.generics, &record.runtime).collect();
    let check = quote_spanned!(ident.span()=> <#ident as #here::RecordThreads>::__GOES;);
    if others.is_empty() {
        return Some(quote!(const _: () = #check));
    }
    Some(quote! {
        #[allow(dead_code)]
        const _: () = {
            trait __Goes {
                const GOES: ();
            }
            impl __Goes for #ident where #(#others),* {
                const GOES: () = #check
            }
        };
    })
}

/// The record's key, made of copies of its fields.
fn key_value(record: &Record) -> TokenStream {
    let private = record.runtime.private();
    let name = &record.key_type;
    match &record.key {
        Key::One(field) => {
            let Field { member, ty } = &**field;
            quote!(#name(<#ty as #private::Key>::clone_key(&self.#member)))
        }
        Key::Many(fields) => {
            let fields = fields
                .iter()
                .zip(key::members(fields))
                .map(|(Field { member, ty }, here)| quote!(#here: <#ty as #private::Key>::clone_key(&self.#member)));
            quote!(#name { #(#fields),* })
        }
        // Does not run: beside it stands the error that says why.
        Key::Missing => quote!(#name(0)),
    }
}
