//! The derive of Netabase. Use it through the crate `netabase`.

use proc_macro::TokenStream;

/// See `netabase`.
#[proc_macro_derive(NetabaseSchema, attributes(netabase))]
pub fn netabase_schema(_input: TokenStream) -> TokenStream {
    TokenStream::new()
}
