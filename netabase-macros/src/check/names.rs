//! What is called after the user's types: stored names and key types. A type of the user's may be called so already.

use proc_macro2::Ident;
use quote::format_ident;
use syn::Type;
use syn::ext::IdentExt;

use super::types::mentions;
use crate::diagnostics::Mistakes;

/// `AccountKey`.
pub(crate) fn key_type(ident: &Ident) -> Ident {
    format_ident!("{}Key", ident)
}

/// `AccountByEmailKey`, of an index that is stored as `email`.
pub(super) fn index_key_type(record: &Ident, stored_name: &str) -> Ident {
    format_ident!("{}By{}Key", record, pascal_case(stored_name), span = record.span())
}

/// This name for a generated type over `types`. One of them that is called so, which is reported, is there already, so
/// then it is another name. `of`: of what it is the key; `instead`: what the user's could be called.
pub(super) fn free(name: Ident, types: &[&Type], of: &str, instead: &str, mistakes: &mut Mistakes) -> Ident {
    let taken: Vec<_> = types.iter().filter(|ty| mentions(*ty, std::slice::from_ref(&name))).collect();
    for ty in &taken {
        let message = format!(
            "`{name}` is the name of the key that the derive makes{of}: call yours otherwise, such as `{instead}`"
        );
        mistakes.at(ty, message);
    }
    if taken.is_empty() { name } else { format_ident!("__{}", name) }
}

/// `PackageVersion` -> `package_version`, `HTTPServer` -> `http_server`.
pub(crate) fn snake_case(ident: &Ident) -> String {
    let letters: Vec<char> = ident.unraw().to_string().chars().collect();
    let mut name = String::new();
    for (index, letter) in letters.iter().enumerate() {
        let before = index.checked_sub(1).map(|before| letters[before]);
        let after = letters.get(index + 1);
        let begins = letter.is_uppercase()
            && before.is_some_and(|before| {
                before != '_' && (!before.is_uppercase() || after.is_some_and(|after| after.is_lowercase()))
            });
        if begins {
            name.push('_');
        }
        name.extend(letter.to_lowercase());
    }
    name
}

/// `home_town` -> `HomeTown`.
pub(crate) fn pascal_case(name: &str) -> String {
    let mut pascal = String::new();
    for word in name.split('_') {
        let mut letters = word.chars();
        pascal.extend(letters.next().into_iter().flat_map(char::to_uppercase));
        pascal.extend(letters);
    }
    pascal
}

#[cfg(test)]
mod tests {
    use quote::format_ident;

    use super::{pascal_case, snake_case};

    #[test]
    fn names_follow_the_type() {
        for (ident, stored) in [
            ("Account", "account"),
            ("PackageVersion", "package_version"),
            ("HTTPServer", "http_server"),
            ("V2", "v2"),
            ("A", "a"),
            ("Already_Apart", "already_apart"),
        ] {
            assert_eq!(snake_case(&format_ident!("{ident}")), stored);
        }
        assert_eq!(snake_case(&format_ident!("r#Try")), "try");
    }

    #[test]
    fn index_keys_are_named_after_their_index() {
        for (index, named) in [("city", "City"), ("home_town", "HomeTown"), ("type", "Type"), ("_x", "X"), ("2", "2")] {
            assert_eq!(pascal_case(index), named);
        }
    }
}
