//! One key type and one `by_…` function an index, and its entry in the glue.

use proc_macro2::{Ident, TokenStream};
use quote::{format_ident, quote};
use syn::ext::IdentExt;
use syn::{Type, parse_quote};

use super::key::{KeyFields, KeyType, key_type, used};
use crate::check::pascal_case;
use crate::model::{Index, Record};

/// `AccountByEmailKey`.
fn name(record: &Record, index: &Index) -> Ident {
    format_ident!("{}By{}Key", record.ident, pascal_case(&index.field.ident), span = record.ident.span())
}

/// The type whose values are in the index: the field's, without `Option`.
fn indexed(record: &Record, index: &Index) -> Type {
    let private = record.runtime.private();
    let ty = &index.field.ty;
    parse_quote!(<#ty as #private::IndexField>::Key)
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
        let ty = indexed(record, index);
        let generics = used(&record.generics, &[&index.field.ty], &record.runtime, true);
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
            fields: KeyFields::One(&ty),
        }));
    }
    quote! {
        #keys

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
        let (name, unique, ty) = (index.field.ident.unraw().to_string(), index.unique, indexed(record, index));
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
        let (field, ty) = (&index.field.ident, &index.field.ty);
        quote! {
            #private::core::option::Option::map(
                <#ty as #private::IndexField>::index_key(&self.#field),
                #private::Key::to_bytes,
            )
        }
    });
    quote!(#private::std::vec::Vec::from([#(#keys),*]))
}
