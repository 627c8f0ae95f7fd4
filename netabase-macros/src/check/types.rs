//! Types of fields as they are written: what they name, and what they are once the macros of the user's are looked through.

use proc_macro2::{Group, Ident, Spacing, Span, TokenStream, TokenTree};
use quote::{ToTokens, quote};
use syn::{DeriveInput, GenericArgument, PathArguments, Type};

/// The type as generated code has it, which is not inside of the struct: without brackets around it, visible or not, and
/// with the struct's name for `Self`.
pub(super) fn plain(ty: &Type, input: &DeriveInput) -> Type {
    let ty = unbracketed(ty);
    let itself = Ident::new("Self", Span::call_site());
    if !mentions(ty, &[itself]) {
        return ty.clone();
    }
    syn::parse2(without_self(ty.to_token_stream(), input)).unwrap_or_else(|_| ty.clone())
}

/// Without brackets around it: those of a macro's `$ty`, or parentheses.
pub(super) fn unbracketed(mut ty: &Type) -> &Type {
    loop {
        ty = match ty {
            Type::Group(group) => &group.elem,
            Type::Paren(paren) => &paren.elem,
            _ => return ty,
        };
    }
}

fn without_self(tokens: TokenStream, input: &DeriveInput) -> TokenStream {
    let (_, arguments, _) = input.generics.split_for_impl();
    let mut rest = tokens.into_iter().peekable();
    let mut replaced = TokenStream::new();
    while let Some(token) = rest.next() {
        match token {
            TokenTree::Ident(word) if word == "Self" => {
                let mut ident = input.ident.clone();
                ident.set_span(ident.span().located_at(word.span()));
                // `Self::LEN`: before `::`, arguments would be taken for a comparison.
                let is_path = matches!(rest.peek(), Some(TokenTree::Punct(next)) if next.as_char() == ':');
                replaced.extend(if is_path && !input.generics.params.is_empty() {
                    quote!(<#ident #arguments>)
                } else {
                    quote!(#ident #arguments)
                });
            }
            TokenTree::Group(group) => {
                let mut inner = Group::new(group.delimiter(), without_self(group.stream(), input));
                inner.set_span(group.span());
                replaced.extend([TokenTree::Group(inner)]);
            }
            other => replaced.extend([other]),
        }
    }
    replaced
}

/// A reference in a type that is none of its arguments and results of a function.
pub(super) fn reference(ty: &Type) -> Option<&Type> {
    match ty {
        Type::Reference(_) => Some(ty),
        Type::Array(array) => reference(&array.elem),
        Type::Group(group) => reference(&group.elem),
        Type::Paren(paren) => reference(&paren.elem),
        Type::Tuple(tuple) => tuple.elems.iter().find_map(reference),
        // A value of it holds nothing.
        Type::Path(path) if path.path.segments.last().is_some_and(|last| last.ident == "PhantomData") => None,
        Type::Path(path) => path.path.segments.iter().find_map(|segment| match &segment.arguments {
            PathArguments::AngleBracketed(arguments) => arguments.args.iter().find_map(|argument| match argument {
                GenericArgument::Type(ty) => reference(ty),
                _ => None,
            }),
            _ => None,
        }),
        _ => None,
    }
}

/// Whether this is one of the types that most keys are made of, going by its name.
pub(super) fn is_common(ty: &Type) -> bool {
    const COMMON: [&str; 15] = [
        "Option", "String", "Vec", "bool", "char", "i128", "i16", "i32", "i64", "i8", "u128", "u16", "u32", "u64", "u8",
    ];
    match unbracketed(ty) {
        Type::Array(array) => is_common(&array.elem),
        Type::Tuple(tuple) => tuple.elems.iter().all(is_common),
        Type::Path(path) if path.qself.is_none() && path.path.segments.len() == 1 => {
            path.path.segments.iter().all(|only| {
                COMMON.iter().any(|name| only.ident == name)
                    && match &only.arguments {
                        PathArguments::None => true,
                        PathArguments::AngleBracketed(arguments) => arguments
                            .args
                            .iter()
                            .all(|argument| matches!(argument, GenericArgument::Type(ty) if is_common(ty))),
                        PathArguments::Parenthesized(_) => false,
                    }
            })
        }
        _ => false,
    }
}

/// `T::Id` or `<T as Kind>::Id` of one of these parameters: whatever the trait says, which may be anything.
pub(crate) fn is_projection(ty: &Type, parameters: &[Ident]) -> bool {
    let Type::Path(path) = unbracketed(ty) else { return false };
    match &path.qself {
        Some(qself) => mentions(&qself.ty, parameters),
        None => {
            path.path.segments.len() > 1
                && path.path.leading_colon.is_none()
                && path.path.segments.first().is_some_and(|first| parameters.contains(&first.ident))
        }
    }
}

/// Whether any of these names occurs in the tokens, as a name of its own: `module::T` is not `T`.
pub(crate) fn mentions(tokens: &impl ToTokens, names: &[Ident]) -> bool {
    fn any(tokens: TokenStream, names: &[Ident]) -> bool {
        let (mut is_joined, mut is_inside) = (false, false);
        tokens.into_iter().any(|token| match token {
            TokenTree::Ident(ident) => !std::mem::take(&mut is_inside) && names.contains(&ident),
            TokenTree::Group(group) => any(group.stream(), names),
            TokenTree::Punct(punct) => {
                // The first of the two in `::` is joined to the second; in `T: Kind` there is one alone.
                is_inside = punct.as_char() == ':' && is_joined;
                is_joined = punct.as_char() == ':' && punct.spacing() == Spacing::Joint && !is_inside;
                false
            }
            TokenTree::Literal(_) => false,
        })
    }
    any(tokens.to_token_stream(), names)
}
