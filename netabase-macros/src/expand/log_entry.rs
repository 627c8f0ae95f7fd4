//! Log entries: a change to a record, for `AccountLogEntry` and `BankLogEntry`.

use proc_macro2::{Ident, TokenStream};
use quote::{format_ident, quote, quote_spanned};
use syn::{Generics, Type, Visibility, parse_quote};

use super::{key, local, place};
use crate::model::{Record, Schema};
use crate::runtime_path::Runtime;

/// `AccountLogEntry`.
pub(super) fn name(ident: &Ident) -> Ident {
    format_ident!("{}LogEntry", ident)
}

pub(super) fn of_record(record: &Record) -> TokenStream {
    let ident = &record.ident;
    let (_, arguments, _) = record.generics.split_for_impl();
    let ty: Type = parse_quote!(#ident #arguments);
    let key = key::primary_type(record);
    log_entry(&record.runtime, &record.visibility, ident, &record.generics, &[(ident, &ty, key)])
}

pub(super) fn of_schema(schema: &Schema) -> TokenStream {
    let records: Vec<_> = schema
        .variants
        .iter()
        .map(|variant| (&variant.ident, &variant.ty, key::record_key(&schema.runtime, &variant.ty)))
        .collect();
    log_entry(&schema.runtime, &schema.visibility, &schema.ident, &Generics::default(), &records)
}

fn log_entry(
    runtime: &Runtime,
    visibility: &Visibility,
    ident: &Ident,
    generics: &Generics,
    records: &[(&Ident, &Type, TokenStream)],
) -> TokenStream {
    let private = runtime.private();
    let name = name(ident);
    let doc = format!("A change to a record of [`{ident}`].");
    let (parameters, arguments, clause) = generics.split_for_impl();
    let puts: Vec<_> = records.iter().map(|(variant, ..)| format_ident!("Put{}", variant)).collect();
    let removes: Vec<_> = records.iter().map(|(variant, ..)| format_ident!("Remove{}", variant)).collect();
    let put_docs = records.iter().map(|(variant, ..)| format!("This `{variant}` was written."));
    let remove_docs = records.iter().map(|(variant, ..)| format!("The `{variant}` with this key was removed."));
    let types: Vec<_> = records.iter().map(|(_, ty, _)| ty).collect();
    let arms = || {
        types.iter().zip(&puts).zip(&removes).map(|((ty, put), remove)| {
            let span = place(ty);
            (span, ty, key::at(put, span), key::at(remove, span))
        })
    };
    let clones = arms().map(|(span, ty, put, remove)| {
        let (private, record) = (runtime.private_at(span), key::as_record(runtime, ty));
        quote_spanned! {span=>
            Self::#put(__record) => Self::#put(#record::__clone(__record)),
            Self::#remove(__key) => Self::#remove(#private::core::clone::Clone::clone(__key)),
        }
    });
    let formatter = local("__formatter");
    let shown = arms().map(|(span, ty, put, remove)| {
        let record = key::as_record(runtime, ty);
        let (put_name, remove_name) = (put.to_string(), remove.to_string());
        quote_spanned! {span=>
            Self::#put(__record) => {
                #formatter.debug_tuple(#put_name).field(&#record::key(__record)).finish_non_exhaustive()
            }
            Self::#remove(__key) => #formatter.debug_tuple(#remove_name).field(__key).finish(),
        }
    });
    let keys = records.iter().map(|(.., key)| key);
    quote! {
        #[doc = #doc]
        #[allow(dead_code, unreachable_pub, private_interfaces, clippy::large_enum_variant)]
        #visibility enum #name #parameters #clause {
            #(
                #[doc = #put_docs]
                #puts(#types),
                #[doc = #remove_docs]
                #removes(#keys),
            )*
        }

        #[automatically_derived]
        impl #parameters #private::core::clone::Clone for #name #arguments #clause {
            fn clone(&self) -> Self {
                match self {
                    #(
                        #clones
                    )*
                }
            }
        }

        // A record need not be `Debug`: its key says which one it is.
        #[automatically_derived]
        impl #parameters #private::core::fmt::Debug for #name #arguments #clause {
            fn fmt(&self, __formatter: &mut #private::core::fmt::Formatter<'_>) -> #private::core::fmt::Result {
                match self {
                    #(
                        #shown
                    )*
                }
            }
        }
    }
}
