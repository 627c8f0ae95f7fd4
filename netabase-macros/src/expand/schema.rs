//! `impl Schema` and `impl Member`, and the conversions between a schema and its records.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};

use super::{key, log_entry, place};
use crate::check;
use crate::model::{Record, Schema};

/// A record is a schema of one.
pub(super) fn of_record(record: &Record) -> TokenStream {
    let private = record.runtime.private();
    let ident = &record.ident;
    let (parameters, arguments, clause) = record.generics.split_for_impl();
    let key = key::primary_type(record);
    let log_entry = log_entry::name(ident);
    let stored_name = &record.stored_name;
    quote! {
        #[automatically_derived]
        impl #parameters #private::Schema for #ident #arguments #clause {
            type Key = #key;
            type LogEntry = #log_entry #arguments;
            const __RECORDS: &'static [#private::RecordGlue] =
                &[<#ident #arguments as #private::Record>::__GLUE];
        }

        #[automatically_derived]
        impl #parameters #private::Member<#ident #arguments> for #ident #arguments #clause {
            const __NAME: &'static #private::core::primitive::str = #stored_name;
        }
    }
}

/// An enum of records.
pub(super) fn of_schema(schema: &Schema) -> TokenStream {
    let private = schema.runtime.private();
    let ident = &schema.ident;
    let (key, log_entry) = (check::key_type(ident), log_entry::name(ident));
    let types: Vec<_> = schema.variants.iter().map(|variant| &variant.ty).collect();
    let names: Vec<_> = schema
        .variants
        .iter()
        .map(|variant| match (&variant.stored_name, &variant.ty) {
            (Some(name), _) => quote!(#name),
            (None, ty) => {
                let record = key::as_record(&schema.runtime, ty);
                quote_spanned!(place(ty)=> #record::NAME)
            }
        })
        .collect();
    let members = schema.variants.iter().zip(&names).enumerate().map(|(index, (variant, name))| {
        let (variant, ty) = (&variant.ident, &variant.ty);
        let earlier = &names[..index];
        let others = if schema.variants.len() > 1 || schema.has_others {
            quote!(__other => #private::core::result::Result::Err(__other),)
        } else {
            quote!()
        };
        let here = schema.runtime.private_at(place(variant));
        let distinct = quote_spanned! {place(variant)=>
            const _: () = #here::core::assert!(
                #here::is_new(&[#(#earlier),*], #name),
                "an earlier record of this schema has the same stored name: write `#[netabase(name = \"…\")]` on one of the two variants",
            );
        };
        quote! {
            #[automatically_derived]
            impl #private::Member<#ident> for #ty
            where
                for<'__netabase> #ty: #private::RecordFor<'__netabase>,
            {
                const __NAME: &'static #private::core::primitive::str = #name;
            }

            #distinct

            #[automatically_derived]
            impl #private::core::convert::From<#ty> for #ident {
                fn from(__record: #ty) -> Self {
                    Self::#variant(__record)
                }
            }

            #[automatically_derived]
            impl #private::core::convert::TryFrom<#ident> for #ty {
                type Error = #ident;
                fn try_from(__schema: #ident) -> #private::core::result::Result<Self, #ident> {
                    match __schema {
                        #ident::#variant(__record) => #private::core::result::Result::Ok(__record),
                        #others
                    }
                }
            }
        }
    });
    let glues = types.iter().map(|ty| {
        let record = key::as_record(&schema.runtime, ty);
        quote_spanned!(place(ty)=> #record::__GLUE)
    });
    quote! {
        #[automatically_derived]
        impl #private::Schema for #ident {
            type Key = #key;
            type LogEntry = #log_entry;
            const __RECORDS: &'static [#private::RecordGlue] = &[
                #(#private::named(#names, #glues)),*
            ];
        }

        #(#members)*
    }
}
