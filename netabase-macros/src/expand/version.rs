//! How a record goes on from the version before it: reading that one, writing it while others know no later one, and what
//! must be true of the two, checked when the user's crate is compiled.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};

use super::{key, place};
use crate::model::{Before, Consistency, Key, Record};

/// The body of `__decode`.
pub(super) fn decode(record: &Record) -> TokenStream {
    let private = record.runtime.private();
    let (ident, number, stored_name) = (&record.ident, record.version.number, &record.stored_name);
    let (_, arguments, _) = record.generics.split_for_impl();
    let own = quote!(<#ident #arguments as #private::RecordDeserialize>::__from_value(__bytes, #number, #stored_name));
    let Some(Before { path, .. }) = &record.version.before else { return own };
    let here = record.runtime.private_at(place(path));
    let before = quote_spanned!(place(path)=> <#path as #here::Record>::__decode);
    let made_from = quote_spanned!(place(path)=> <Self as #here::MadeFrom<#path>>::__made_from);
    quote! {
        if #private::is_version(__bytes, #number) {
            #own
        } else {
            // Not by `map`: the bounds of a function that is passed on are told a second time, of the derive as a whole.
            match #before(__bytes) {
                #private::core::result::Result::Ok(__before) => {
                    #private::core::result::Result::Ok(#made_from(__before))
                }
                #private::core::result::Result::Err(__error) => #private::core::result::Result::Err(__error),
            }
        }
    }
}

/// `__encode_as`, where it is not the one that every record has.
pub(super) fn encode_as(record: &Record) -> Option<TokenStream> {
    let Before { path, .. } = record.version.before.as_ref().filter(|before| before.written)?;
    let private = record.runtime.private();
    let here = record.runtime.private_at(place(path));
    let number = record.version.number;
    let written = quote_spanned!(place(path)=> <Self as #here::WrittenAs<#path>>::__written_as);
    let encode = quote_spanned!(place(path)=> <#path as #here::Record>::__encode_as);
    Some(quote! {
        fn __encode_as(
            &self,
            __version: #private::core::primitive::u8,
        ) -> #private::core::result::Result<
            #private::core::option::Option<#private::std::vec::Vec<#private::core::primitive::u8>>,
            #private::Error,
        > {
            if __version < #number {
                let __record = #written(<Self as #private::Record>::__clone(self));
                #encode(&__record, __version)
            } else {
                #private::core::result::Result::map(
                    <Self as #private::Record>::__encode(self),
                    #private::core::option::Option::Some,
                )
            }
        }
    })
}

/// The glue of the version before, as an `Option`.
pub(super) fn glue_before(record: &Record) -> TokenStream {
    let private = record.runtime.private();
    match &record.version.before {
        None => quote!(#private::core::option::Option::None),
        Some(Before { path, .. }) => {
            let here = record.runtime.private_at(place(path));
            let glue = quote_spanned!(place(path)=> &<#path as #here::Record>::__GLUE);
            quote!(#private::core::option::Option::Some(#glue))
        }
    }
}

/// Of what the key is made, for a later version to be held against; and that the version before is the one before, and has
/// the same key. Of a generic record that cannot be said without its arguments: what does not fit is refused when it is read.
pub(super) fn checks(record: &Record) -> Option<TokenStream> {
    let parts = match &record.key {
        Key::One(field) => {
            let ty = &field.ty;
            quote!(#ty)
        }
        Key::Many(fields) => {
            let types = fields.iter().map(|field| &field.ty);
            quote!((#(#types,)*))
        }
        Key::Missing => return None,
    };
    let (private, key_type) = (record.runtime.private(), &record.key_type);
    let generics = key::primary_generics(record);
    let (parameters, arguments, clause) = generics.split_for_impl();
    let made_of = quote! {
        #[automatically_derived]
        impl #parameters #private::SameKeyAs<#parts> for #key_type #arguments #clause {}
    };
    let is_generic = !record.generics.params.is_empty();
    let Some(Before { path, .. }) = record.version.before.as_ref().filter(|_| !is_generic) else {
        return Some(made_of);
    };
    let here = record.runtime.private_at(place(path));
    let number = record.version.number;
    let follows = number - 1;
    let message = format!(
        "this is version {number}, and `from` is not version {follows}: write `#[netabase(version = {follows})]` on that struct, or name the one that has it"
    );
    let same_key = quote_spanned!(place(path)=> <<#path as #here::Record>::Key as #here::SameKeyAs<#parts>>::SAME);
    let version = quote_spanned!(place(path)=> #here::core::assert!(<#path as #here::Record>::__GLUE.version == #follows, #message););
    let consistency = match record.consistency {
        Consistency::Eventual => quote_spanned!(place(path)=> <#path as #here::Record>::__GLUE.eventual),
        Consistency::Linearizable => quote_spanned!(place(path)=> !<#path as #here::Record>::__GLUE.eventual),
    };
    let message = "the version before has another `consistency`: write the same one on both structs";
    let consistency = quote_spanned!(place(path)=> #here::core::assert!(#consistency, #message););
    Some(quote! {
        #made_of
        const _: () = #version
        const _: () = #consistency
        const _: () = #same_key;
    })
}
