//! `index` and `unique` with their lists: the name of an index and, on a struct, its fields.
//!
//! A name that will not do is reported and guessed, so that calls of the function that was meant compile.

use proc_macro2::{Ident, TokenStream};
use quote::format_ident;
use syn::ext::IdentExt;
use syn::parse::{ParseStream, Parser};
use syn::{LitInt, LitStr, Member, Token};

use super::{Item, NAME_BYTES_MAX, Value, list_of_items, once, skip_to_next, text};
use crate::diagnostics::{Mistakes, did_you_mean, one_of};
use crate::keyword;
use crate::model::named;

/// `index`, `unique` or `index(name = "by_town")` on a field.
pub(crate) struct FieldIndex {
    pub(crate) word: Ident,
    /// `by_town`, at the place of its name.
    pub(crate) function: Option<Ident>,
    /// Whether something in it was reported.
    pub(crate) is_broken: bool,
}

/// `index(name = "by_city_balance", fields(city, balance))` on a struct.
pub(crate) struct CompoundIndex {
    pub(crate) word: Ident,
    /// `by_city_balance`, at the place of its name. Where none was given, which was reported, what it might be.
    pub(crate) function: Option<Ident>,
    pub(crate) fields: Option<FieldList>,
}

/// `fields(city, balance)`
pub(crate) struct FieldList {
    pub(crate) word: Ident,
    pub(crate) fields: Vec<Member>,
    /// Whether there was something else in it, which was reported.
    pub(crate) is_broken: bool,
}

pub(super) fn of_field(item: &Item, mistakes: &mut Mistakes) -> FieldIndex {
    let (word, before) = (item.word.clone(), mistakes.count());
    let mut function = None;
    match &item.value {
        // Never a path, which only other words take.
        Value::None | Value::Path(_) => {}
        Value::Assigned(value) => {
            mistakes.at(value, format!("`{word}` takes no value: write `{word}`, or `{word}(name = \"by_…\")`"));
        }
        Value::List(list) if list.is_empty() => {
            mistakes.at(item, format!("this says nothing: write `{word}`, or `{word}(name = \"by_…\")`"));
        }
        Value::List(list) => {
            for inner in list_of_items(list.clone(), "`name = \"by_…\"`", mistakes) {
                if inner.word == keyword::NAME {
                    once(&mut function, function_name(&inner, "by_town", mistakes), &inner, mistakes);
                } else if inner.word == keyword::FIELDS {
                    let message = format!(
                        "an index over several fields is written on the struct: `#[netabase(index(name = \"by_…\", fields(…)))]`; here write `{word}`"
                    );
                    mistakes.at(&inner, message);
                } else {
                    unknown(&inner, &item.word, &[keyword::NAME], mistakes);
                }
            }
        }
    }
    FieldIndex { word, function, is_broken: mistakes.count() > before }
}

pub(super) fn of_container(item: &Item, mistakes: &mut Mistakes) -> CompoundIndex {
    let (mut name, mut fields) = (None, None);
    let word = item.word.clone();
    let list = match &item.value {
        Value::List(list) => list.clone(),
        Value::None | Value::Assigned(_) | Value::Path(_) => TokenStream::new(),
    };
    if list.is_empty() {
        let message = "an index over several fields needs a name and its fields: write `index(name = \"by_…\", fields(…, …))`; an index over one is written on the field";
        mistakes.at(item, message);
        return CompoundIndex { word, function: None, fields: None };
    }
    let (mut has_name, mut has_fields, before) = (false, false, mistakes.count());
    for inner in list_of_items(list, "`name = \"by_…\"` or `fields(…, …)`", mistakes) {
        if inner.word == keyword::NAME {
            has_name = true;
            once(&mut name, function_name(&inner, "by_city_balance", mistakes), &inner, mistakes);
        } else if inner.word == keyword::FIELDS {
            has_fields = true;
            once(&mut fields, field_list(&inner, mistakes), &inner, mistakes);
        } else {
            unknown(&inner, &item.word, &[keyword::NAME, keyword::FIELDS], mistakes);
        }
    }
    // What is missing may be what was misspelled.
    let is_clean = mistakes.count() == before;
    if is_clean && !has_fields {
        mistakes.at(item, "this index has no fields: write `fields(…, …)` with two or more of the struct's, in the order to search and sort by");
    }
    let guessed = || {
        let fields: &FieldList = fields.as_ref()?;
        let names: Vec<_> = fields.fields.iter().map(named).collect();
        (!names.is_empty()).then(|| format_ident!("by_{}", names.join("_"), span = item.word.span()))
    };
    let function = name.or_else(guessed);
    if is_clean && !has_name {
        let example = function.as_ref().map_or_else(|| "by_…".to_owned(), Ident::to_string);
        let message = format!("this index has no name: write `name = \"{example}\"`; the function is called so");
        mistakes.at(item, message);
    }
    CompoundIndex { word, function, fields }
}

fn unknown(item: &Item, outer: &Ident, words: &[&str], mistakes: &mut Mistakes) {
    let (word, allowed) = (item.word.unraw(), one_of(words));
    mistakes.at(
        &item.word,
        match did_you_mean(&word.to_string(), words) {
            Some(meant) => format!("`{outer}(…)` does not know `{word}`: did you mean `{meant}`?"),
            None => format!("`{outer}(…)` does not know `{word}`; allowed in it: {allowed}"),
        },
    );
}

/// `by_` and what it is by: the name of a function.
fn function_name(item: &Item, example: &str, mistakes: &mut Mistakes) -> Option<Ident> {
    let literal = text(item, example, mistakes)?;
    let name = literal.value();
    let bad = name.chars().find(|letter| !(letter.is_alphanumeric() || *letter == '_'));
    let rest = name.strip_prefix("by_");
    if name.is_empty() || rest == Some("") {
        mistakes.at(&literal, format!("this does not say by what: write a name such as `{example}`"));
    } else if name.len() > NAME_BYTES_MAX {
        let bytes = name.len();
        mistakes.at(&literal, format!("an index's name has at most {NAME_BYTES_MAX} letters, this one has {bytes}"));
    } else if let Some(bad) = bad {
        mistakes.at(
            &literal,
            format!("an index's name is that of a function: it is made of letters, digits and `_`, not of {bad:?}"),
        );
    } else if rest.is_none() {
        let message = format!("an index's name begins with `by_`, as its function does: write `name = \"by_{name}\"`");
        mistakes.at(&literal, message);
        return identifier(&format!("by_{name}"), &literal);
    } else if let Some(function) = identifier(&name, &literal) {
        return Some(function);
    } else {
        mistakes.at(&literal, format!("an index's name is that of a function, which cannot be called `{name}`"));
    }
    None
}

fn identifier(name: &str, place: &LitStr) -> Option<Ident> {
    let mut ident = syn::parse_str::<Ident>(name).ok()?;
    ident.set_span(place.span());
    Some(ident)
}

fn field_list(item: &Item, mistakes: &mut Mistakes) -> Option<FieldList> {
    let Value::List(list) = &item.value else {
        mistakes.at(item, "`fields` takes a list: write `fields(…, …)`");
        return None;
    };
    let mut found = FieldList { word: item.word.clone(), fields: Vec::new(), is_broken: false };
    let parsed = Parser::parse2(
        |input: ParseStream<'_>| {
            while !input.is_empty() {
                if let Err(error) = field_name(input).map(|field| found.fields.push(field)) {
                    mistakes.found(error);
                    found.is_broken = true;
                }
                skip_to_next(input);
            }
            Ok(())
        },
        list.clone(),
    );
    if let Err(error) = parsed {
        mistakes.found(error);
        found.is_broken = true;
    }
    Some(found)
}

/// One field's name or position, up to the next comma. A keyword that is a field must be `r#type` there, here also `type`.
fn field_name(input: ParseStream<'_>) -> syn::Result<Member> {
    if input.peek(LitStr) {
        let quoted: LitStr = input.parse()?;
        let name = quoted.value();
        return Err(syn::Error::new_spanned(quoted, format!("a field's name stands without quotes: write `{name}`")));
    }
    let field = if input.peek(Ident::peek_any) {
        Member::Named(input.call(Ident::parse_any)?)
    } else if input.peek(LitInt) {
        Member::Unnamed(input.parse()?)
    } else {
        return Err(input.error("expected the name of a field"));
    };
    if !input.is_empty() && !input.peek(Token![,]) {
        return Err(input.error("expected `,` between two fields"));
    }
    Ok(field)
}
