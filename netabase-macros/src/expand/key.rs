//! Key types: a newtype for one field, a struct with named fields for several, an enum for a schema.

use proc_macro2::{Group, Ident, Span, TokenStream, TokenTree};
use quote::{ToTokens, format_ident, quote, quote_spanned};
use syn::{Generics, Member, Type, Visibility, parse_quote};

use super::generics::used;
use super::{local, own_key, place};
use crate::check::{self, is_projection, threads};
use crate::model::{Field, Key, Record, Schema};
use crate::runtime_path::Runtime;

/// One key type to generate.
pub(super) struct KeyType<'a> {
    pub(super) runtime: &'a Runtime,
    pub(super) visibility: &'a Visibility,
    pub(super) ident: Ident,
    pub(super) generics: Generics,
    pub(super) doc: String,
    pub(super) fields: KeyFields<'a>,
}

/// Of what it is made.
pub(super) enum KeyFields<'a> {
    /// One unnamed field of this type.
    One(&'a Type),
    /// Fields called as these are.
    Several(&'a [Field]),
}

/// What the fields of a key are called: as in the record, but those without a name are counted anew.
pub(super) fn members(fields: &[Field]) -> impl Iterator<Item = Member> + '_ {
    fields.iter().enumerate().map(|(position, field)| match &field.member {
        Member::Named(ident) => Member::Named(ident.clone()),
        Member::Unnamed(_) => Member::from(position),
    })
}

/// The record's key type with its arguments, as it is named in generated code.
pub(super) fn primary_type(record: &Record) -> TokenStream {
    let ident = &record.key_type;
    let generics = primary_generics(record);
    let (_, arguments, _) = generics.split_for_impl();
    quote!(#ident #arguments)
}

pub(super) fn primary_generics(record: &Record) -> Generics {
    let types: Vec<_> = record.key.fields().iter().map(|field| &field.ty).collect();
    used(&record.declared, &types, &record.runtime)
}

pub(super) fn primary(record: &Record) -> TokenStream {
    let missing: Type = parse_quote!(u64);
    let fields = match &record.key {
        Key::One(field) => KeyFields::One(&field.ty),
        Key::Many(fields) => KeyFields::Several(fields),
        Key::Missing => KeyFields::One(&missing),
    };
    let (ident, generics) = (record.key_type.clone(), primary_generics(record));
    let types: Vec<_> = record.key.fields().iter().map(|field| &field.ty).collect();
    // Another record may have this one's key as a field, and is then asked for it.
    let values = generics.params.is_empty().then(|| own_key::values(&record.runtime, &ident, &types));
    let key = key_type(&KeyType {
        runtime: &record.runtime,
        visibility: &record.visibility,
        ident,
        generics,
        doc: format!("The key of a [`{}`].", record.ident),
        fields,
    });
    quote!(#key #values)
}

/// A struct with all that a key can do.
pub(super) fn key_type(key: &KeyType<'_>) -> TokenStream {
    let private = key.runtime.private();
    let (visibility, ident, doc) = (key.visibility, &key.ident, &key.doc);
    let name = ident.to_string();
    let (parameters, arguments, clause) = key.generics.split_for_impl();

    let (access, types): (Vec<Member>, Vec<&Type>) = match &key.fields {
        KeyFields::One(ty) => (vec![Member::from(0)], vec![ty]),
        KeyFields::Several(fields) => (members(fields).collect(), fields.iter().map(|field| &field.ty).collect()),
    };
    // A key of what belongs to one thread is none.
    let mut bounded = key.generics.clone();
    let threads: Vec<_> = threads(types.iter().copied(), &key.generics, key.runtime).collect();
    if !threads.is_empty() {
        bounded.make_where_clause().predicates.extend(threads);
    }
    let (_, _, key_clause) = bounded.split_for_impl();
    let locals: Vec<_> = (0..types.len()).map(|position| format_ident!("__part_{}", position)).collect();
    let count = types.len();

    let (definition, parts, parts_pattern, debug, form, serialize, deserialize);
    match &key.fields {
        KeyFields::One(ty) => {
            definition = quote! { #visibility struct #ident #parameters (#[doc = "Its value."] pub #ty) #clause; };
            parts = quote!(#ty);
            parts_pattern = quote!(#(#locals)*);
            debug = quote! {
                __formatter.debug_tuple(#name)
                    .field(&#private::DebugPart(&|__formatter| <#ty as #private::Key>::debug_key(&self.0, __formatter)))
                    .finish()
            };
            form = quote! { <#ty as #private::Key>::form() };
            serialize = quote! { <#ty as #private::Key>::serialize_key(&self.0, __serializer) };
            deserialize = quote! {
                #private::core::result::Result::map(<#ty as #private::Key>::deserialize_key(__deserializer), Self)
            };
        }
        KeyFields::Several(fields) => {
            let names = fields.iter().map(Field::name);
            let docs = fields.iter().map(|field| format!("The field `{}` of the record.", field.name()));
            let has_names = fields.iter().all(|field| matches!(field.member, Member::Named(_)));
            (definition, debug) = if has_names {
                (
                    quote! {
                        #visibility struct #ident #parameters #clause { #(#[doc = #docs] pub #access: #types,)* }
                    },
                    quote! {
                        __formatter.debug_struct(#name)
                            #(.field(#names, &#private::DebugPart(&|__formatter| {
                                <#types as #private::Key>::debug_key(&self.#access, __formatter)
                            })))*
                            .finish()
                    },
                )
            } else {
                (
                    quote! { #visibility struct #ident #parameters (#(#[doc = #docs] pub #types,)*) #clause; },
                    quote! {
                        __formatter.debug_tuple(#name)
                            #(.field(&#private::DebugPart(&|__formatter| {
                                <#types as #private::Key>::debug_key(&self.#access, __formatter)
                            })))*
                            .finish()
                    },
                )
            };
            parts = quote!((#(#types,)*));
            parts_pattern = quote!((#(#locals,)*));
            form = quote! {
                #private::KeyForm::Tuple(#private::std::vec::Vec::from([#(<#types as #private::Key>::form()),*]))
            };
            serialize = quote! { #private::serialize_parts(self, __serializer) };
            deserialize = quote! { #private::deserialize_parts(__deserializer) };
        }
    }

    let from = if key.generics.params.is_empty() {
        quote! {
            #[automatically_derived]
            #[diagnostic::do_not_recommend]
            impl<__T: #private::IntoPart<#parts>> #private::core::convert::From<__T> for #ident {
                fn from(__value: __T) -> Self {
                    <Self as #private::KeyParts>::from_parts(#private::IntoPart::into_part(__value))
                }
            }
        }
    } else if let KeyFields::One(ty) = &key.fields
        && is_projection(ty, &check::parameters(&key.generics))
    {
        // What it leads to may be this very key, which is made of itself already.
        TokenStream::new()
    } else {
        // Another crate's type as a parameter could have conversions of its own, so here only the fields as they are.
        quote! {
            #[automatically_derived]
            #[diagnostic::do_not_recommend]
            impl #parameters #private::core::convert::From<#parts> for #ident #arguments #clause {
                fn from(__value: #parts) -> Self {
                    <Self as #private::KeyParts>::from_parts(__value)
                }
            }
        }
    };
    // Where the record is more visible than this type, which is an error, that is said of this one.
    let parts_span = if let KeyFields::One(ty) = &key.fields { place(ty) } else { Span::call_site() };
    let parts_type = quote_spanned!(parts_span=> type Parts = #parts;);
    let mut deserializing = key.generics.clone();
    deserializing.params.insert(0, parse_quote!('de));
    let (deserialize_parameters, _, _) = deserializing.split_for_impl();

    quote! {
        #[doc = #doc]
        #[allow(dead_code, unreachable_pub, private_interfaces)]
        #definition

        #[automatically_derived]
        impl #parameters #private::core::clone::Clone for #ident #arguments #clause {
            fn clone(&self) -> Self {
                Self { #(#access: <#types as #private::Key>::clone_key(&self.#access),)* }
            }
        }

        #[automatically_derived]
        impl #parameters #private::core::fmt::Debug for #ident #arguments #clause {
            fn fmt(&self, __formatter: &mut #private::core::fmt::Formatter<'_>) -> #private::core::fmt::Result {
                #debug
            }
        }

        #[automatically_derived]
        impl #parameters #private::core::fmt::Display for #ident #arguments #key_clause {
            fn fmt(&self, __formatter: &mut #private::core::fmt::Formatter<'_>) -> #private::core::fmt::Result {
                <Self as #private::Key>::show(self, __formatter)
            }
        }

        #[automatically_derived]
        impl #parameters #private::core::cmp::PartialEq for #ident #arguments #clause {
            fn eq(&self, __other: &Self) -> #private::core::primitive::bool {
                true #(&& <#types as #private::Key>::same_key(&self.#access, &__other.#access))*
            }
        }

        #[automatically_derived]
        impl #parameters #private::core::cmp::Eq for #ident #arguments #clause {}

        #[automatically_derived]
        impl #parameters #private::core::cmp::PartialOrd for #ident #arguments #clause {
            fn partial_cmp(&self, __other: &Self) -> #private::core::option::Option<#private::core::cmp::Ordering> {
                #private::core::option::Option::Some(#private::core::cmp::Ord::cmp(self, __other))
            }
        }

        #[automatically_derived]
        impl #parameters #private::core::cmp::Ord for #ident #arguments #clause {
            fn cmp(&self, __other: &Self) -> #private::core::cmp::Ordering {
                #private::core::cmp::Ordering::Equal
                    #(.then_with(|| <#types as #private::Key>::compare_key(&self.#access, &__other.#access)))*
            }
        }

        #[automatically_derived]
        impl #parameters #private::core::hash::Hash for #ident #arguments #clause {
            fn hash<__H: #private::core::hash::Hasher>(&self, __state: &mut __H) {
                #(<#types as #private::Key>::hash_key(&self.#access, __state);)*
            }
        }

        #[automatically_derived]
        impl #parameters #private::serde::Serialize for #ident #arguments #clause {
            fn serialize<__S: #private::serde::Serializer>(
                &self,
                __serializer: __S,
            ) -> #private::core::result::Result<__S::Ok, __S::Error> {
                #serialize
            }
        }

        #[automatically_derived]
        impl #deserialize_parameters #private::serde::Deserialize<'de> for #ident #arguments #clause {
            fn deserialize<__D: #private::serde::Deserializer<'de>>(
                __deserializer: __D,
            ) -> #private::core::result::Result<Self, __D::Error> {
                #deserialize
            }
        }

        #[automatically_derived]
        #[diagnostic::do_not_recommend]
        impl #parameters #private::Key for #ident #arguments #key_clause {
            fn encode(&self, __out: &mut #private::std::vec::Vec<#private::core::primitive::u8>) {
                #(<#types as #private::Key>::encode(&self.#access, __out);)*
            }
            fn decode(
                __input: &mut &[#private::core::primitive::u8],
            ) -> #private::core::result::Result<Self, #private::KeyError> {
                #private::core::result::Result::Ok(Self { #(#access: <#types as #private::Key>::decode(__input)?,)* })
            }
            fn form() -> #private::KeyForm {
                #form
            }
            fn show(&self, __formatter: &mut #private::core::fmt::Formatter<'_>) -> #private::core::fmt::Result {
                #private::show_parts(__formatter, &[
                    #(&|__formatter| <#types as #private::Key>::show(&self.#access, __formatter)),*
                ])
            }
            fn serialize_key<__S: #private::serde::Serializer>(
                &self,
                __serializer: __S,
            ) -> #private::core::result::Result<__S::Ok, __S::Error> {
                #private::serde::Serialize::serialize(self, __serializer)
            }
            fn deserialize_key<'de, __D: #private::serde::Deserializer<'de>>(
                __deserializer: __D,
            ) -> #private::core::result::Result<Self, __D::Error> {
                #private::serde::Deserialize::deserialize(__deserializer)
            }
            fn clone_key(&self) -> Self {
                #private::core::clone::Clone::clone(self)
            }
            fn debug_key(&self, __formatter: &mut #private::core::fmt::Formatter<'_>) -> #private::core::fmt::Result {
                #private::core::fmt::Debug::fmt(self, __formatter)
            }
            fn compare_key(&self, __other: &Self) -> #private::core::cmp::Ordering {
                #private::core::cmp::Ord::cmp(self, __other)
            }
            fn hash_key<__H: #private::core::hash::Hasher>(&self, __state: &mut __H) {
                #private::core::hash::Hash::hash(self, __state);
            }
        }

        #[automatically_derived]
        impl #parameters #private::KeyParts for #ident #arguments #clause {
            #parts_type
            const COUNT: #private::core::primitive::usize = #count;
            fn from_parts(#parts_pattern: Self::Parts) -> Self {
                Self { #(#access: #locals,)* }
            }
            fn write_parts<__W: #private::serde::ser::SerializeTuple>(
                &self,
                __out: &mut __W,
            ) -> #private::core::result::Result<(), __W::Error> {
                #(<#types as #private::Key>::write_element(&self.#access, __out)?;)*
                #private::core::result::Result::Ok(())
            }
            fn read_parts<'de, __A: #private::serde::de::SeqAccess<'de>>(
                __input: &mut __A,
            ) -> #private::core::result::Result<Self, __A::Error> {
                #private::core::result::Result::Ok(Self {
                    #(#access: <#types as #private::Key>::read_element(__input)?,)*
                })
            }
        }

        #from

        #[automatically_derived]
        #[diagnostic::do_not_recommend]
        impl #parameters #private::IntoSelection<#ident #arguments> for #ident #arguments #key_clause {
            fn into_selection(self) -> #private::Bounds {
                #private::Bounds::exactly(&self)
            }
        }
    }
}

/// `BankKey`: the key of any record of the schema.
pub(super) fn of_schema(schema: &Schema) -> TokenStream {
    let private = schema.runtime.private();
    let (visibility, ident) = (&schema.visibility, check::key_type(&schema.ident));
    let doc = format!("The key of any record of [`{}`].", schema.ident);
    let variants: Vec<_> = schema.variants.iter().map(|variant| &variant.ident).collect();
    let docs = variants.iter().map(|variant| format!("Of a record of the variant `{variant}`."));
    let keys: Vec<_> = schema.variants.iter().map(|variant| record_key(&schema.runtime, &variant.ty)).collect();
    let others = if variants.len() > 1 {
        quote! { _ => #private::core::cmp::Ord::cmp(&self.__number(), &__other.__number()), }
    } else {
        TokenStream::new()
    };
    let number = Ident::new("__number", Span::call_site());
    let (formatter, state) = (local("__formatter"), local("__state"));
    let arms = || {
        schema.variants.iter().map(|variant| {
            let span = place(&variant.ty);
            (span, at(&variant.ident, span), schema.runtime.private_at(span))
        })
    };
    let numbers =
        arms().enumerate().map(|(number, (span, variant, _))| quote_spanned!(span=> Self::#variant(_) => #number,));
    let clones = arms().map(|(span, variant, private)| {
        quote_spanned!(span=> Self::#variant(__key) => Self::#variant(#private::core::clone::Clone::clone(__key)),)
    });
    let shown = arms().map(|(span, variant, _)| {
        let name = variant.to_string();
        quote_spanned!(span=> Self::#variant(__key) => #formatter.debug_tuple(#name).field(__key).finish(),)
    });
    let comparisons = arms().map(|(span, variant, private)| {
        quote_spanned!(span=> (Self::#variant(__one), Self::#variant(__two)) => #private::core::cmp::Ord::cmp(__one, __two),)
    });
    let hashes = arms().map(|(span, variant, private)| {
        quote_spanned!(span=> Self::#variant(__key) => #private::core::hash::Hash::hash(__key, #state),)
    });
    quote! {
        #[doc = #doc]
        #[allow(dead_code, unreachable_pub, private_interfaces)]
        #visibility enum #ident { #(#[doc = #docs] #variants(#keys),)* }

        #[allow(dead_code)]
        impl #ident {
            fn #number(&self) -> #private::core::primitive::usize {
                match self { #(#numbers)* }
            }
        }

        #[automatically_derived]
        impl #private::core::clone::Clone for #ident {
            fn clone(&self) -> Self {
                match self { #(#clones)* }
            }
        }

        #[automatically_derived]
        impl #private::core::fmt::Debug for #ident {
            fn fmt(&self, __formatter: &mut #private::core::fmt::Formatter<'_>) -> #private::core::fmt::Result {
                match self { #(#shown)* }
            }
        }

        #[automatically_derived]
        impl #private::core::cmp::PartialEq for #ident {
            fn eq(&self, __other: &Self) -> #private::core::primitive::bool {
                #private::core::matches!(#private::core::cmp::Ord::cmp(self, __other), #private::core::cmp::Ordering::Equal)
            }
        }

        #[automatically_derived]
        impl #private::core::cmp::Eq for #ident {}

        #[automatically_derived]
        impl #private::core::cmp::PartialOrd for #ident {
            fn partial_cmp(&self, __other: &Self) -> #private::core::option::Option<#private::core::cmp::Ordering> {
                #private::core::option::Option::Some(#private::core::cmp::Ord::cmp(self, __other))
            }
        }

        #[automatically_derived]
        impl #private::core::cmp::Ord for #ident {
            fn cmp(&self, __other: &Self) -> #private::core::cmp::Ordering {
                match (self, __other) {
                    #(#comparisons)*
                    #others
                }
            }
        }

        #[automatically_derived]
        impl #private::core::hash::Hash for #ident {
            fn hash<__H: #private::core::hash::Hasher>(&self, __state: &mut __H) {
                #private::core::hash::Hash::hash(&self.__number(), __state);
                match self { #(#hashes)* }
            }
        }
    }
}

/// `<Account as Record>`, all of it at one place: an error about it is the same everywhere, and so said once.
pub(super) fn as_record(runtime: &Runtime, ty: &Type) -> TokenStream {
    let private = runtime.private_at(place(ty));
    let ty = located(ty.to_token_stream(), place(ty));
    quote_spanned!(place(&ty)=> <#ty as #private::Record>)
}

/// The tokens with errors about them pointing at `span`. What they mean is not touched: `$crate` stays that of its macro.
fn located(tokens: TokenStream, span: Span) -> TokenStream {
    let locate = |mut token: TokenTree| {
        if let TokenTree::Group(group) = &token {
            token = Group::new(group.delimiter(), located(group.stream(), span)).into();
        }
        token.set_span(token.span().located_at(span));
        token
    };
    tokens.into_iter().map(locate).collect()
}

/// `<Account as Record>::Key`
pub(super) fn record_key(runtime: &Runtime, ty: &Type) -> TokenStream {
    let record = as_record(runtime, ty);
    quote_spanned!(place(ty)=> #record::Key)
}

/// The name with errors about it pointing at `span`.
pub(super) fn at(ident: &Ident, span: Span) -> Ident {
    let mut ident = ident.clone();
    ident.set_span(span);
    ident
}
