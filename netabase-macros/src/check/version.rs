//! Which version of a record a struct is, and which struct it follows.

use proc_macro2::Ident;
use quote::ToTokens;

use crate::attr;
use crate::diagnostics::Mistakes;
use crate::model::{Before, Version};

/// What is meant by what is written. A version without `from` follows none: what was stored before is not read any more.
pub(super) fn version(record: &Ident, attributes: &attr::Container, mistakes: &mut Mistakes) -> Version {
    let (number, from, into) = (&attributes.version, &attributes.from, &attributes.into);
    let Some(from) = from else {
        if let Some(into) = into {
            let before = into.path.to_token_stream();
            mistakes.at(&into.word, format!("`into` needs `from`, with the same struct: add `from = {before}`"));
        }
        return Version { number: number.unwrap_or(1), before: None };
    };
    let number = match number {
        None => {
            let message = "`from` needs the version that this is: add `version = 2`, or which one it is";
            mistakes.at(&from.word, message);
            // Whatever version is before this one is the right one.
            return Version { number: 1, before: None };
        }
        Some(1) => {
            mistakes.at(&from.word, "nothing is before version 1: write `version = 2`, or remove `from`");
            return Version { number: 1, before: None };
        }
        Some(number) => *number,
    };
    let is_same =
        |into: &attr::Other| into.path.to_token_stream().to_string() == from.path.to_token_stream().to_string();
    if from.path.is_ident(record) {
        let message =
            format!("`{record}` cannot follow itself: keep the struct of version {} under another name", number - 1);
        mistakes.at(&from.path, message);
        return Version { number, before: None };
    }
    let written = into.as_ref().is_some_and(is_same);
    if let Some(into) = into.as_ref().filter(|_| !written) {
        let before = from.path.to_token_stream();
        mistakes.at(&into.path, format!("`into` is the version before, as `from` is: write `into = {before}`"));
    }
    Version { number, before: Some(Before { path: from.path.clone(), written }) }
}
