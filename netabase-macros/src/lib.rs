//! The derive of Netabase: use it through the crate `netabase`, where it is documented.
//!
//! ```text
//! tokens -> attr (what is written) -> check (what is meant, and every mistake) -> model -> expand -> tokens
//!                                                  mistakes + a model with guesses in their place -> expand + errors
//! ```
//!
//! One mistake is one message, all mistakes come at once, and what can be generated is generated all the same, so that
//! no error follows from another. Nothing here panics on any input.

mod attr;
mod check;
mod diagnostics;
mod expand;
mod fallback;
mod keyword;
mod model;
mod runtime_path;

use proc_macro::TokenStream;
use syn::{DeriveInput, parse_macro_input};

/// Makes a struct a record, or an enum of records a schema.
///
/// On a struct with named fields: `#[netabase(key)]` on one field or several, `#[netabase(index)]` or
/// `#[netabase(unique)]` on the fields to search by, `#[netabase(name = "…")]` on the struct for another stored name.
/// On an enum, each variant holds one record; `#[netabase(name = "…")]` on a variant stores it under another name.
/// `#[netabase(crate = "path")]` tells the path of `netabase` where it is renamed or re-exported.
#[proc_macro_derive(NetabaseSchema, attributes(netabase))]
pub fn netabase_schema(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    let mut mistakes = diagnostics::Mistakes::default();
    let model = check::check(&input, &mut mistakes);
    let expansion = match &model {
        Some(model) => expand::expand(model),
        None => fallback::nothing_follows(&input),
    };
    mistakes.beside(expansion).into()
}
