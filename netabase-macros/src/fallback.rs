//! What to generate where there is no model: just enough that other code may still name the type as a schema.

use proc_macro2::TokenStream;
use quote::quote;
use syn::DeriveInput;

use crate::attr;
use crate::diagnostics::Mistakes;
use crate::keyword::Position;
use crate::runtime_path::Runtime;

/// For an enum without any usable variant.
pub(crate) fn nothing_follows(input: &DeriveInput) -> TokenStream {
    if !input.generics.params.is_empty() {
        return TokenStream::new();
    }
    // What is wrong with the attributes was reported.
    let attributes = attr::container(&input.attrs, Position::Schema, &mut Mistakes::default());
    let private = Runtime::new(attributes.runtime.as_ref()).private();
    let ident = &input.ident;
    quote! {
        #[automatically_derived]
        impl #private::Schema for #ident {
            type Key = #private::core::primitive::u64;
            type LogEntry = ();
            const __RECORDS: &'static [#private::RecordGlue] = &[];
        }
    }
}
