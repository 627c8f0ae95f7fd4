//! One key type and one `by_…` function an index, and its entry in the glue.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::Type;

use super::generics::used;
use super::key::{KeyFields, KeyType, key_type};
use super::place;
use crate::check::{self, mentions};
use crate::model::{Field, Index, Indexed, Record};

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
        let (function, stored_name) = (&index.function, index.stored_name());
        let (fields, doc) = match &index.indexed {
            Indexed::Always(field) | Indexed::IfSome(field, _) => {
                let doc = format!(
                    "The [`{ident}`]s whose `{}` has this value, lies in this range, or starts with this.",
                    field.name()
                );
                (KeyFields::One(index.types()[0]), doc)
            }
            Indexed::Several(fields) => {
                let doc = format!(
                    "The [`{ident}`]s whose {} have these values, lie in this range, or begin with these (`leading`).",
                    listed(fields)
                );
                (KeyFields::Several(fields), doc)
            }
            Indexed::Unknown => {
                constructors.extend(anything(record, index));
                continue;
            }
        };
        let key = index.key_type.clone();
        let generics = used(&record.declared, &index.types(), &record.runtime);
        let (_, key_arguments, _) = generics.split_for_impl();
        let unique = if index.unique { "unique " } else { "" };
        constructors.extend(quote! {
            #[doc = #doc]
            #visibility fn #function(
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
            doc: format!("A key of the {unique}index `{stored_name}` of [`{ident}`]."),
            fields,
        }));
    }
    let plain = options(record, false).map(|assertion| quote!(const _: () = #assertion));
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

/// An `Option` under another name would be indexed with its `None`s, which is not what the same type does otherwise: that
/// there is none among the indexed fields, be it of the types that name parameters or of the others.
fn options(record: &Record, of_parameters: bool) -> impl Iterator<Item = TokenStream> + '_ {
    let names = check::parameters(&record.generics);
    let message = if of_parameters {
        "with these parameters an indexed field is an `Option`: write `Option<…>` in the record, so that only `Some` is in the index"
    } else {
        "this is an `Option` by another name: write `Option<…>`, so that only `Some` is in the index"
    };
    record.indexes.iter().filter_map(move |index| match &index.indexed {
        Indexed::Always(Field { ty, .. }) if mentions(ty, &names) == of_parameters => {
            let private = record.runtime.private_at(place(ty));
            Some(quote_spanned! {place(ty)=>
                #private::core::assert!(!<#ty as #private::Key>::OPTIONAL, #message);
            })
        }
        _ => None,
    })
}

/// `ONLY_SOME_IS_INDEXED`, and what has it looked at. Only where the parameters are given it can be told what they are.
pub(super) fn parameters_checked(record: &Record) -> Option<(TokenStream, TokenStream)> {
    let private = record.runtime.private();
    let assertions: Vec<_> = options(record, true).collect();
    let check = quote! {
        const ONLY_SOME_IS_INDEXED: () = {
            #(#assertions)*
        };
    };
    (!assertions.is_empty()).then(|| (check, quote!(let () = <Self as #private::Record>::ONLY_SOME_IS_INDEXED;)))
}

/// `` `city` and `balance` ``
fn listed(fields: &[Field]) -> String {
    let names: Vec<_> = fields.iter().map(|field| format!("`{}`", field.name())).collect();
    match names.as_slice() {
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
        [] => String::new(),
    }
}

/// Does not run: beside it stands the error that says why its fields are not known.
fn anything(record: &Record, index: &Index) -> TokenStream {
    let private = record.runtime.private();
    let (visibility, function) = (&record.visibility, &index.function);
    quote! {
        #visibility fn #function<__T>(_: __T) -> #private::Query<Self> {
            <Self as #private::Record>::all()
        }
    }
}

/// The index's name, whether it is unique, and the layout of its keys.
pub(super) fn glue(record: &Record) -> TokenStream {
    let private = record.runtime.private();
    let glues = record.indexes.iter().filter_map(|index| {
        let (name, unique) = (index.stored_name(), index.unique);
        let form = match (&index.indexed, index.types().as_slice()) {
            (Indexed::Unknown, _) => return None,
            (Indexed::Always(field) | Indexed::IfSome(field, _), [ty]) if field.name() == name => {
                quote!(<#ty as #private::Key>::form)
            }
            // The name does not say which fields they are, so the layout does: peers must agree on them.
            (Indexed::Always(field) | Indexed::IfSome(field, _), types) => {
                fields_form(record, std::slice::from_ref(field), types)
            }
            (Indexed::Several(fields), types) => fields_form(record, fields, types),
        };
        Some(quote!(#private::IndexGlue { name: #name, unique: #unique, form: #form }))
    });
    let expiry = record.ttl.as_ref().map(|field| {
        let name = field.name();
        quote!(#private::IndexGlue { name: #private::EXPIRY, unique: false, form: || #private::expiry_form(#name) })
    });
    let glues = glues.chain(expiry);
    quote!(&[#(#glues),*])
}

fn fields_form(record: &Record, fields: &[Field], types: &[&Type]) -> TokenStream {
    let private = record.runtime.private();
    let names = fields.iter().map(Field::name);
    quote! {
        || #private::KeyForm::Fields(#private::std::vec::Vec::from([
            #((#private::std::string::String::from(#names), <#types as #private::Key>::form())),*
        ]))
    }
}

/// The body of `__index_keys`.
pub(super) fn keys_of_record(record: &Record) -> TokenStream {
    let private = record.runtime.private();
    let keys = record.indexes.iter().filter_map(|index| match &index.indexed {
        Indexed::Always(Field { member, ty }) => Some(quote! {
            #private::core::option::Option::Some(<#ty as #private::Key>::to_bytes(&self.#member))
        }),
        Indexed::IfSome(Field { member, .. }, ty) => Some(quote! {
            match &self.#member {
                #private::core::option::Option::Some(__value) => {
                    #private::core::option::Option::Some(<#ty as #private::Key>::to_bytes(__value))
                }
                #private::core::option::Option::None => #private::core::option::Option::None,
            }
        }),
        Indexed::Several(fields) => {
            let encoded = fields
                .iter()
                .map(|Field { member, ty }| quote!(<#ty as #private::Key>::encode(&self.#member, &mut __bytes);));
            Some(quote! {{
                let mut __bytes = #private::std::vec::Vec::new();
                #(#encoded)*
                #private::core::option::Option::Some(__bytes)
            }})
        }
        Indexed::Unknown => None,
    });
    let expiry = record.ttl.as_ref().map(|Field { member, ty }| {
        let here = record.runtime.private_at(place(ty));
        let key = quote_spanned!(place(ty)=> <#ty as #here::Expiry>::__expiry_key);
        quote!(#key(&self.#member))
    });
    let keys = keys.chain(expiry);
    quote!(#private::std::vec::Vec::from([#(#keys),*]))
}
