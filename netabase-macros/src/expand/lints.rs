//! Lints in generated code: what is allowed on the user's type is allowed in what is made of it, and the rest is written
//! by no one who could change it.

use proc_macro2::{Delimiter, TokenStream, TokenTree};
use quote::quote;
use syn::{Attribute, Meta};

/// Puts `allow`, `warn`, `deny` and `expect` of the type on each item, `expect` as `allow`: what is expected on the type
/// need not be found in every item. Names and uses in these items are the user's, whatever the lints say of them.
pub(super) fn on_each_item(items: TokenStream, attributes: &[Attribute]) -> TokenStream {
    let written = attributes.iter().filter_map(|attribute| match &attribute.meta {
        Meta::List(list) if list.path.is_ident("expect") => {
            let lints = &list.tokens;
            Some(quote!(#[allow(#lints)]))
        }
        Meta::List(list) if ["allow", "warn", "deny"].iter().any(|word| list.path.is_ident(word)) => {
            Some(quote!(#attribute))
        }
        _ => None,
    });
    let lints = quote! {
        #(#written)*
        #[allow(deprecated, non_camel_case_types, non_snake_case, unused_qualifications)]
    };
    let mut marked = TokenStream::new();
    let mut has_ended = true;
    for token in items {
        // After a constant in braces, `Id<{ N }>`, comes neither of these.
        let begins = match &token {
            TokenTree::Punct(punct) => punct.as_char() == '#',
            TokenTree::Ident(word) => word == "const",
            _ => false,
        };
        if has_ended && begins {
            marked.extend(lints.clone());
        }
        has_ended = match &token {
            TokenTree::Punct(punct) => punct.as_char() == ';',
            TokenTree::Group(group) => group.delimiter() == Delimiter::Brace,
            _ => false,
        };
        marked.extend([token]);
    }
    marked
}
