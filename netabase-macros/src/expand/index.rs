//! One key type and one `by_…` function an index, and its entry in the glue.

use proc_macro2::{Ident, TokenStream};
use quote::{format_ident, quote, quote_spanned};
use syn::ext::IdentExt;

use super::key::{KeyFields, KeyType, key_type, used};
use super::place;
use crate::check::{self, mentions, pascal_case};
use crate::model::{Index, Indexed, Record};

/// `AccountByEmailKey`.
fn name(record: &Record, index: &Index) -> Ident {
    format_ident!("{}By{}Key", record.ident, pascal_case(&index.field.ident), span = record.ident.span())
}

pub(super) fn indexes(record: &Record) -> TokenStream {
    let private = record.runtime.private();
    let (ident, visibility) = (&record.ident, &record.visibility);
    let (parameters, arguments, clause) = record.generics.split_for_impl();
    if record.indexes.is_empty() {
        return TokenStream::new();
    }
    let mut keys = TokenStream::new();
    let mut constructors = TokenStream::new();
    for index in &record.indexes {
        let key = name(record, index);
        let field = index.field.ident.unraw();
        let stored_name = field.to_string();
        let ty = index.indexed.ty();
        let generics = used(&record.generics, &[ty], &record.runtime);
        let (_, key_arguments, _) = generics.split_for_impl();
        let constructor = format_ident!("by_{}", field, span = index.field.ident.span());
        let unique = if index.unique { "unique " } else { "" };
        let doc = format!("The [`{ident}`]s whose `{field}` has this value, lies in this range, or starts with this.");
        constructors.extend(quote! {
            #[doc = #doc]
            #visibility fn #constructor(
                selection: impl #private::IntoSelection<#key #key_arguments>,
            ) -> #private::Query<Self> {
                #private::Query::__index(#stored_name, selection)
            }
        });
        keys.extend(key_type(&KeyType {
            runtime: &record.runtime,
            visibility,
            ident: key,
            generics,
            doc: format!("A key of the {unique}index `{field}` of [`{ident}`]."),
            fields: KeyFields::One(ty),
        }));
    }
    // An `Option` under another name would be indexed with its `None`s, which is not what the same type does otherwise.
    let names = check::parameters(&record.generics);
    let plain = record.indexes.iter().filter_map(|index| match &index.indexed {
        Indexed::Always(ty) if !mentions(ty, &names) => {
            let private = record.runtime.private_at(place(ty));
            Some(quote_spanned! {place(ty)=>
                const _: () = #private::core::assert!(
                    !<#ty as #private::Key>::OPTIONAL,
                    "this is an `Option` by another name: write `Option<…>`, so that only `Some` is in the index",
                );
            })
        }
        _ => None,
    });
    quote! {
        #keys
        #(#plain)*

        #[automatically_derived]
        #[allow(dead_code, unreachable_pub, private_interfaces)]
        impl #parameters #ident #arguments #clause {
            #constructors
        }
    }
}

/// The index's name, whether it is unique, and the layout of its keys.
pub(super) fn glue(record: &Record) -> TokenStream {
    let private = record.runtime.private();
    let glues = record.indexes.iter().map(|index| {
        let (name, unique, ty) = (index.field.ident.unraw().to_string(), index.unique, index.indexed.ty());
        quote! {
            #private::IndexGlue { name: #name, unique: #unique, form: <#ty as #private::Key>::form }
        }
    });
    quote!(&[#(#glues),*])
}

/// The body of `__index_keys`.
pub(super) fn keys_of_record(record: &Record) -> TokenStream {
    let private = record.runtime.private();
    let keys = record.indexes.iter().map(|index| {
        let field = &index.field.ident;
        match &index.indexed {
            Indexed::Always(ty) => quote! {
                #private::core::option::Option::Some(<#ty as #private::Key>::to_bytes(&self.#field))
            },
            Indexed::IfSome(ty) => quote! {
                match &self.#field {
                    #private::core::option::Option::Some(value) => {
                        #private::core::option::Option::Some(<#ty as #private::Key>::to_bytes(value))
                    }
                    #private::core::option::Option::None => #private::core::option::Option::None,
                }
            },
        }
    });
    quote!(#private::std::vec::Vec::from([#(#keys),*]))
}
