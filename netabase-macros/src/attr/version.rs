//! `version`, `from` and `into` of a struct: which version of its record it is, and which struct is the one before.

use proc_macro2::Ident;
use syn::{Expr, ExprLit, Lit, Path, PathArguments};

use super::{Item, Value};
use crate::diagnostics::Mistakes;
use crate::keyword;

/// `from = AccountV1` or `into = AccountV1`
pub(crate) struct Other {
    pub(crate) word: Ident,
    pub(crate) path: Path,
}

pub(super) fn number(item: &Item, mistakes: &mut Mistakes) -> Option<u8> {
    match &item.value {
        Value::Assigned(Expr::Lit(ExprLit { lit: Lit::Int(literal), .. })) => {
            match literal.base10_parse::<u8>() {
                Ok(number) if number > 0 => return Some(number),
                _ => mistakes.at(literal, "a version is a number from 1 to 255"),
            };
        }
        Value::Assigned(other) => mistakes.at(other, "a version is a number from 1 to 255: write `version = 2`"),
        Value::None | Value::Path(_) | Value::List(_) => {
            mistakes.at(item, "`version` needs a value: write `version = 2`")
        }
    }
    None
}

pub(super) fn other(item: &Item, mistakes: &mut Mistakes) -> Option<Other> {
    let word = item.word.clone();
    let example = if word == keyword::FROM { "from = AccountV1" } else { "into = AccountV1" };
    match &item.value {
        Value::Path(path) => {
            let mut path = path.clone();
            // `Tagged::<u64>` is `Tagged<u64>`, also where the two are compared.
            for segment in &mut path.segments {
                if let PathArguments::AngleBracketed(arguments) = &mut segment.arguments {
                    arguments.colon2_token = None;
                }
            }
            return Some(Other { word, path });
        }
        Value::Assigned(other) => {
            let message = format!("`{word}` is the struct of the version before: write its name, such as `{example}`");
            mistakes.at(other, message);
        }
        Value::None | Value::List(_) => {
            mistakes.at(item, format!("`{word}` needs a value, the struct of the version before: write `{example}`"));
        }
    }
    None
}
