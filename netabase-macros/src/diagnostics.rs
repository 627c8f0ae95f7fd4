//! The mistakes found so far: each on its token, all of them reported at once.

use proc_macro2::TokenStream;
use quote::ToTokens;

#[derive(Default)]
pub(crate) struct Mistakes {
    errors: Vec<syn::Error>,
}

impl Mistakes {
    /// A mistake at `place`.
    pub(crate) fn at(&mut self, place: impl ToTokens, message: impl std::fmt::Display) {
        self.errors.push(syn::Error::new_spanned(place, message));
    }

    /// What syn found.
    pub(crate) fn found(&mut self, error: syn::Error) {
        self.errors.push(error);
    }

    /// How many were found so far.
    pub(crate) fn count(&self) -> usize {
        self.errors.len()
    }

    /// The expansion, with every mistake beside it.
    pub(crate) fn beside(self, mut expansion: TokenStream) -> TokenStream {
        expansion.extend(self.errors.iter().map(syn::Error::to_compile_error));
        expansion
    }
}

/// `` `a`, `b` or `c` ``
pub(crate) fn one_of(words: &[&str]) -> String {
    let quoted: Vec<_> = words.iter().map(|word| format!("`{word}`")).collect();
    match quoted.as_slice() {
        [] => String::new(),
        [only] => only.clone(),
        [first @ .., last] => format!("{} or {last}", first.join(", ")),
    }
}

/// The word that was probably meant.
pub(crate) fn did_you_mean<'a>(found: &str, words: &[&'a str]) -> Option<&'a str> {
    let nearest = words.iter().map(|&word| (distance(found, word), word)).min()?;
    (nearest.0 <= 2 && nearest.0 < found.chars().count()).then_some(nearest.1)
}

/// How many letters to insert, delete or replace.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, letter) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, other) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(letter != *other);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(row[j + 1] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::{did_you_mean, distance, one_of};

    #[test]
    fn the_nearest_word_is_suggested_if_it_is_near() {
        assert_eq!(distance("kye", "key"), 2);
        assert_eq!(distance("", "key"), 3);
        assert_eq!(did_you_mean("uniqe", &["key", "index", "unique"]), Some("unique"));
        assert_eq!(did_you_mean("primary", &["key", "index", "unique"]), None);
        assert_eq!(did_you_mean("k", &["key"]), None);
    }

    #[test]
    fn words_are_listed() {
        assert_eq!(one_of(&["a", "b", "c"]), "`a`, `b` or `c`");
        assert_eq!(one_of(&["a"]), "`a`");
    }
}
