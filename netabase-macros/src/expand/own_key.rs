//! A key type of the user's: `impl Key`, and what makes it do wherever a key's value may stand.

use proc_macro2::{Ident, TokenStream};
use quote::{quote, quote_spanned};
use syn::ext::IdentExt;
use syn::{Generics, Member, Type, WhereClause};

use super::place;
use crate::check::threads;
use crate::model::{OwnKey, OwnKeyForm};
use crate::runtime_path::Runtime;

pub(super) fn own_key(key: &OwnKey) -> TokenStream {
    let implementation = match &key.form {
        OwnKeyForm::Variants { variants, are_numbered } => of_variants(key, variants, *are_numbered),
        OwnKeyForm::Newtype { member, ty } => of_newtype(key, member, ty),
        OwnKeyForm::Unknown => of_anything(key),
    };
    let types = match &key.form {
        OwnKeyForm::Newtype { ty, .. } => vec![&**ty],
        OwnKeyForm::Variants { .. } | OwnKeyForm::Unknown => vec![],
    };
    // With parameters, which was reported, it cannot be told what they must be able to do.
    let values =
        if key.generics.params.is_empty() { values(&key.runtime, &key.ident, &types) } else { TokenStream::new() };
    quote!(#implementation #values)
}

fn of_variants(key: &OwnKey, variants: &[Ident], are_numbered: bool) -> TokenStream {
    let private = key.runtime.private();
    let ident = &key.ident;
    let name = ident.unraw().to_string();
    let names: Vec<_> = variants.iter().map(|variant| variant.unraw().to_string()).collect();
    let positions: Vec<_> = (0..=u16::MAX).take(variants.len()).collect();
    let ascending = variants.windows(2).filter(|_| are_numbered).map(|pair| {
        let (one, two, here) = (&pair[0], &pair[1], key.runtime.private_at(place(&pair[1])));
        quote_spanned! {place(two)=>
            const _: () = #here::core::assert!(
                (#ident::#one as #here::core::primitive::i128) < (#ident::#two as #here::core::primitive::i128),
                "a key's variants are sorted as they are written, and `Ord` sorts them by number: write this one before those with a higher number",
            );
        }
    });
    quote! {
        #[automatically_derived]
        impl #private::KeyVariants for #ident {
            const NAME: &'static #private::core::primitive::str = #name;
            const VARIANTS: &'static [&'static #private::core::primitive::str] = &[#(#names),*];

            fn position(&self) -> #private::core::primitive::u16 {
                match self { #(Self::#variants => #positions,)* }
            }
            fn at(__position: #private::core::primitive::u16) -> #private::core::option::Option<Self> {
                match __position {
                    #(#positions => #private::core::option::Option::Some(Self::#variants),)*
                    _ => #private::core::option::Option::None,
                }
            }
        }

        #(#ascending)*

        #[automatically_derived]
        #[diagnostic::do_not_recommend]
        impl #private::Key for #ident {
            fn encode(&self, __out: &mut #private::std::vec::Vec<#private::core::primitive::u8>) {
                <Self as #private::KeyVariants>::encode(self, __out);
            }
            fn decode(
                __input: &mut &[#private::core::primitive::u8],
            ) -> #private::core::result::Result<Self, #private::KeyError> {
                <Self as #private::KeyVariants>::decode(__input)
            }
            fn form() -> #private::KeyForm {
                <Self as #private::KeyVariants>::form()
            }
            fn show(&self, __formatter: &mut #private::core::fmt::Formatter<'_>) -> #private::core::fmt::Result {
                __formatter.pad(<Self as #private::KeyVariants>::name(self))
            }
            fn serialize_key<__S: #private::serde::Serializer>(
                &self,
                __serializer: __S,
            ) -> #private::core::result::Result<__S::Ok, __S::Error> {
                #private::serialize_variant(self, __serializer)
            }
            fn deserialize_key<'de, __D: #private::serde::Deserializer<'de>>(
                __deserializer: __D,
            ) -> #private::core::result::Result<Self, __D::Error> {
                #private::deserialize_variant(__deserializer)
            }
            fn clone_key(&self) -> Self {
                match self { #(Self::#variants => Self::#variants,)* }
            }
            fn debug_key(&self, __formatter: &mut #private::core::fmt::Formatter<'_>) -> #private::core::fmt::Result {
                __formatter.write_str(<Self as #private::KeyVariants>::name(self))
            }
            fn compare_key(&self, __other: &Self) -> #private::core::cmp::Ordering {
                #private::core::cmp::Ord::cmp(
                    &<Self as #private::KeyVariants>::position(self),
                    &<Self as #private::KeyVariants>::position(__other),
                )
            }
        }
    }
}

fn of_newtype(key: &OwnKey, member: &Member, ty: &Type) -> TokenStream {
    let private = key.runtime.private();
    let ident = &key.ident;
    let clause = clause(&key.runtime, &[ty]);
    let name = ident.unraw().to_string();
    quote! {
        #[automatically_derived]
        #[diagnostic::do_not_recommend]
        impl #private::Key for #ident #clause {
            fn encode(&self, __out: &mut #private::std::vec::Vec<#private::core::primitive::u8>) {
                <#ty as #private::Key>::encode(&self.#member, __out);
            }
            fn decode(
                __input: &mut &[#private::core::primitive::u8],
            ) -> #private::core::result::Result<Self, #private::KeyError> {
                #private::core::result::Result::Ok(Self { #member: <#ty as #private::Key>::decode(__input)? })
            }
            fn form() -> #private::KeyForm {
                <#ty as #private::Key>::form()
            }
            fn show(&self, __formatter: &mut #private::core::fmt::Formatter<'_>) -> #private::core::fmt::Result {
                <#ty as #private::Key>::show(&self.#member, __formatter)
            }
            fn serialize_key<__S: #private::serde::Serializer>(
                &self,
                __serializer: __S,
            ) -> #private::core::result::Result<__S::Ok, __S::Error> {
                <#ty as #private::Key>::serialize_key(&self.#member, __serializer)
            }
            fn deserialize_key<'de, __D: #private::serde::Deserializer<'de>>(
                __deserializer: __D,
            ) -> #private::core::result::Result<Self, __D::Error> {
                #private::core::result::Result::Ok(Self {
                    #member: <#ty as #private::Key>::deserialize_key(__deserializer)?,
                })
            }
            fn clone_key(&self) -> Self {
                Self { #member: <#ty as #private::Key>::clone_key(&self.#member) }
            }
            fn debug_key(&self, __formatter: &mut #private::core::fmt::Formatter<'_>) -> #private::core::fmt::Result {
                __formatter
                    .debug_tuple(#name)
                    .field(&#private::DebugPart(&|__formatter| {
                        <#ty as #private::Key>::debug_key(&self.#member, __formatter)
                    }))
                    .finish()
            }
            fn compare_key(&self, __other: &Self) -> #private::core::cmp::Ordering {
                <#ty as #private::Key>::compare_key(&self.#member, &__other.#member)
            }
        }

        #[automatically_derived]
        impl #private::Text for #ident where for<'__netabase> #ty: #private::TextFor<'__netabase> {}
    }
}

/// Does not run: beside it stands the error that says why.
fn of_anything(key: &OwnKey) -> TokenStream {
    let private = key.runtime.private();
    let ident = &key.ident;
    let mut generics = key.generics.clone();
    if !generics.params.is_empty() {
        generics.make_where_clause().predicates.push(syn::parse_quote! {
            Self: #private::core::marker::Send + #private::core::marker::Sync + #private::core::marker::Unpin + 'static
        });
    }
    let (parameters, arguments, clause) = generics.split_for_impl();
    quote! {
        #[automatically_derived]
        impl #parameters #private::Key for #ident #arguments #clause {
            fn encode(&self, _: &mut #private::std::vec::Vec<#private::core::primitive::u8>) {}
            fn decode(
                _: &mut &[#private::core::primitive::u8],
            ) -> #private::core::result::Result<Self, #private::KeyError> {
                loop {}
            }
            fn form() -> #private::KeyForm {
                loop {}
            }
            fn show(&self, _: &mut #private::core::fmt::Formatter<'_>) -> #private::core::fmt::Result {
                loop {}
            }
            fn serialize_key<__S: #private::serde::Serializer>(
                &self,
                _: __S,
            ) -> #private::core::result::Result<__S::Ok, __S::Error> {
                loop {}
            }
            fn deserialize_key<'de, __D: #private::serde::Deserializer<'de>>(
                _: __D,
            ) -> #private::core::result::Result<Self, __D::Error> {
                loop {}
            }
            fn clone_key(&self) -> Self {
                loop {}
            }
            fn debug_key(&self, _: &mut #private::core::fmt::Formatter<'_>) -> #private::core::fmt::Result {
                loop {}
            }
        }
    }
}

/// What a key is only if these types go from thread to thread.
fn clause(runtime: &Runtime, types: &[&Type]) -> Option<WhereClause> {
    let mut generics = Generics::default();
    let threads: Vec<_> = threads(types.iter().copied(), &generics, runtime).collect();
    if !threads.is_empty() {
        generics.make_where_clause().predicates.extend(threads);
    }
    generics.where_clause
}

/// By value and by reference: a part of a key, what an index is asked for, and what a composite key begins with.
/// `types`: of what it is made.
pub(super) fn values(runtime: &Runtime, ident: &Ident, types: &[&Type]) -> TokenStream {
    let private = runtime.private();
    let clause = clause(runtime, types);
    let selections = [quote!(#ident), quote!(&#ident)].into_iter().map(|value| {
        quote! {
            #[automatically_derived]
            #[diagnostic::do_not_recommend]
            impl<__K: #private::KeyParts + #private::Key> #private::IntoSelection<__K> for #value
            where
                Self: #private::IntoPart<__K::Parts>,
            {
                fn into_selection(self) -> #private::Bounds {
                    #private::Bounds::exactly(&<__K as #private::KeyParts>::from_parts(
                        #private::IntoPart::into_part(self),
                    ))
                }
            }

            #[automatically_derived]
            #[diagnostic::do_not_recommend]
            impl<__K: #private::KeyParts> #private::IntoPrefix<__K> for #value
            where
                __K::Parts: #private::FirstFields<1>,
                (Self,): #private::IntoPart<<__K::Parts as #private::FirstFields<1>>::Parts>,
            {
                fn into_prefix(self) -> #private::Bounds {
                    #private::Bounds::starting_with(#private::Key::to_bytes(&#private::IntoPart::into_part((self,))))
                }
            }
        }
    });
    quote! {
        #[automatically_derived]
        #[diagnostic::do_not_recommend]
        impl #private::IntoPart<#ident> for #ident {
            fn into_part(self) -> #ident {
                self
            }
        }

        #[automatically_derived]
        #[diagnostic::do_not_recommend]
        impl #private::IntoPart<#ident> for &#ident #clause {
            fn into_part(self) -> #ident {
                <#ident as #private::Key>::clone_key(self)
            }
        }

        #(#selections)*
    }
}
