//! The path by which generated code reaches netabase: `::netabase`, or what `crate = "…"` says.
//!
//! Everything generated is named through its `__private` module, also what is in `core` and `std`: the user's crate
//! may have modules and types of the same names.

use proc_macro2::{Span, TokenStream, TokenTree};
use quote::quote;
use syn::Path;

#[derive(Clone)]
pub(crate) struct Runtime {
    root: TokenStream,
}

impl Runtime {
    pub(crate) fn new(path: Option<&Path>) -> Runtime {
        let root = match path {
            Some(path) => quote!(#path),
            None => quote!(::netabase),
        };
        Runtime { root }
    }

    /// The same, with errors about what is named there pointing at `span`.
    pub(crate) fn private_at(&self, span: Span) -> TokenStream {
        let respan = |mut token: TokenTree| {
            token.set_span(span);
            token
        };
        self.private().into_iter().map(respan).collect()
    }

    /// The module with what generated code may name.
    pub(crate) fn private(&self) -> TokenStream {
        let root = &self.root;
        quote!(#root::__private)
    }
}
