//! What is written: the contents of `#[netabase(…)]`, and of `#[serde(…)]` as far as it matters, with their spans.
//!
//! One bad item does not hide the others: it is reported and skipped to the next comma.

mod consistency;
mod index;
mod version;

use proc_macro2::{Ident, TokenStream};
use quote::ToTokens;
use syn::ext::IdentExt;
use syn::parse::discouraged::Speculative;
use syn::parse::{ParseStream, Parser};
use syn::{Attribute, Expr, ExprLit, Lit, LitStr, Path, Token};

pub(crate) use self::index::{CompoundIndex, FieldIndex, FieldList};
pub(crate) use self::version::Other;
use crate::diagnostics::{Mistakes, did_you_mean, one_of};
use crate::keyword::{self, Position};
use crate::model::Consistency;

/// One item of an attribute: `word`, `word = value` or `word(list)`.
pub(crate) struct Item {
    pub(crate) word: Ident,
    /// What was written for `=`.
    colon: Option<Token![:]>,
    value: Value,
}

enum Value {
    None,
    Assigned(Expr),
    /// What is assigned where a type is.
    Path(Path),
    List(TokenStream),
}

impl ToTokens for Item {
    fn to_tokens(&self, tokens: &mut TokenStream) {
        self.word.to_tokens(tokens);
        match &self.value {
            Value::None => {}
            Value::Assigned(value) => value.to_tokens(tokens),
            Value::Path(path) => path.to_tokens(tokens),
            Value::List(list) => list.to_tokens(tokens),
        }
    }
}

/// What is written on a struct or an enum.
#[derive(Default)]
pub(crate) struct Container {
    pub(crate) name: Option<LitStr>,
    pub(crate) runtime: Option<Path>,
    pub(crate) indexes: Vec<CompoundIndex>,
    pub(crate) version: Option<u8>,
    pub(crate) from: Option<Other>,
    pub(crate) into: Option<Other>,
    pub(crate) ttl: Option<LitStr>,
    pub(crate) consistency: Option<Consistency>,
}

/// What is written on a field.
#[derive(Default)]
pub(crate) struct Field {
    pub(crate) key: Option<Ident>,
    pub(crate) index: Option<FieldIndex>,
    pub(crate) unique: Option<FieldIndex>,
}

impl Field {
    pub(crate) fn is_indexed(&self) -> bool {
        self.index.is_some() || self.unique.is_some()
    }
}

/// What is written on a variant.
#[derive(Default)]
pub(crate) struct Variant {
    pub(crate) name: Option<LitStr>,
}

pub(crate) fn container(attributes: &[Attribute], position: Position, mistakes: &mut Mistakes) -> Container {
    let mut container = Container::default();
    for item in items(attributes, position, mistakes) {
        match item.word.to_string().as_str() {
            keyword::NAME => once(&mut container.name, name(&item, mistakes), &item, mistakes),
            keyword::CRATE => once(&mut container.runtime, path(&item, mistakes), &item, mistakes),
            keyword::INDEX => container.indexes.push(index::of_container(&item, mistakes)),
            keyword::VERSION => once(&mut container.version, version::number(&item, mistakes), &item, mistakes),
            keyword::FROM => once(&mut container.from, version::other(&item, mistakes), &item, mistakes),
            keyword::INTO => once(&mut container.into, version::other(&item, mistakes), &item, mistakes),
            keyword::TTL => once(&mut container.ttl, text(&item, "expires", mistakes), &item, mistakes),
            keyword::CONSISTENCY => once(&mut container.consistency, consistency::of(&item, mistakes), &item, mistakes),
            _ => {}
        }
    }
    container
}

pub(crate) fn field(attributes: &[Attribute], mistakes: &mut Mistakes) -> Field {
    let mut field = Field::default();
    for item in items(attributes, Position::Field, mistakes) {
        match item.word.to_string().as_str() {
            keyword::KEY => {
                bare(&item, mistakes);
                once(&mut field.key, Some(item.word.clone()), &item, mistakes);
            }
            keyword::INDEX => once(&mut field.index, Some(index::of_field(&item, mistakes)), &item, mistakes),
            keyword::UNIQUE => once(&mut field.unique, Some(index::of_field(&item, mistakes)), &item, mistakes),
            _ => {}
        }
    }
    field
}

pub(crate) fn variant(attributes: &[Attribute], mistakes: &mut Mistakes) -> Variant {
    let mut variant = Variant::default();
    for item in items(attributes, Position::Variant, mistakes) {
        if item.word == keyword::NAME {
            once(&mut variant.name, name(&item, mistakes), &item, mistakes);
        }
    }
    variant
}

/// The words of `#[serde(…)]`; what serde itself will complain about is left to it.
pub(crate) fn serde(attributes: &[Attribute]) -> Vec<Ident> {
    let mut words = Vec::new();
    for attribute in attributes.iter().filter(|attribute| attribute.path().is_ident(keyword::SERDE)) {
        let _ = attribute.parse_args_with(|input: ParseStream<'_>| {
            while !input.is_empty() {
                if let Ok(item) = item(input, "") {
                    words.push(item.word);
                }
                skip_to_next(input);
            }
            Ok(())
        });
    }
    words
}

/// Whether serde does not write the field as its type says, but leaves it out, or has a function of the user's do it.
pub(crate) fn is_otherwise_in_serde(attributes: &[Attribute]) -> bool {
    serde(attributes).iter().any(|word| word == "skip" || word == "with" || word == "serialize_with")
}

/// The items of all `#[netabase(…)]` that may stand here; the others are reported.
fn items(attributes: &[Attribute], position: Position, mistakes: &mut Mistakes) -> Vec<Item> {
    let mut items = Vec::new();
    for attribute in attributes.iter().filter(|attribute| attribute.path().is_ident(keyword::NETABASE)) {
        let Ok(list) = attribute.meta.require_list() else {
            let example = position.example();
            mistakes.at(&attribute.meta, format!("expected a list, such as `#[netabase({example})]`"));
            continue;
        };
        if list.tokens.is_empty() {
            let words = one_of(position.words());
            mistakes.at(attribute, format!("this says nothing: write {words} in the brackets, or remove it"));
        }
        items.extend(list_of_items(list.tokens.clone(), "`key`, `index` or `name = \"…\"`", mistakes));
    }
    items.retain(|item| is_allowed(item, position, mistakes));
    items
}

/// What stands between commas. `examples`: what may be expected.
fn list_of_items(list: TokenStream, examples: &str, mistakes: &mut Mistakes) -> Vec<Item> {
    let mut items = Vec::new();
    let parsed = Parser::parse2(
        |input: ParseStream<'_>| {
            while !input.is_empty() {
                match item(input, examples) {
                    Ok(item) => {
                        if let Some(colon) = &item.colon {
                            mistakes.at(colon, "write `=` for `:`");
                        }
                        items.push(item);
                        if !input.is_empty() && !input.peek(Token![,]) {
                            mistakes.found(input.error("expected `,` between two items"));
                        }
                    }
                    Err(error) => mistakes.found(error),
                }
                skip_to_next(input);
            }
            Ok(())
        },
        list,
    );
    if let Err(error) = parsed {
        mistakes.found(error);
    }
    items
}

fn item(input: ParseStream<'_>, examples: &str) -> syn::Result<Item> {
    if !input.peek(Ident::peek_any) {
        return Err(input.error(format!("expected a word, such as {examples}")));
    }
    // `r#index` is the same word.
    let word = input.call(Ident::parse_any)?.unraw();
    let colon: Option<Token![:]> =
        if input.peek(Token![:]) && !input.peek(Token![::]) { Some(input.parse()?) } else { None };
    let value = if colon.is_some() || input.peek(Token![=]) {
        let sign = match colon {
            Some(colon) => colon.to_token_stream(),
            None => input.parse::<Token![=]>()?.to_token_stream(),
        };
        if input.is_empty() || input.peek(Token![,]) {
            return Err(syn::Error::new_spanned(sign, format!("a value is missing: write `{word} = \"…\"`")));
        }
        value(&word, input)?
    } else if input.peek(syn::token::Paren) {
        let list;
        syn::parenthesized!(list in input);
        Value::List(list.parse()?)
    } else {
        Value::None
    };
    Ok(Item { word, colon, value })
}

/// What is assigned to `word`.
fn value(word: &Ident, input: ParseStream<'_>) -> syn::Result<Value> {
    if word == keyword::FROM || word == keyword::INTO {
        // A type, which as an expression would be a comparison: `Tagged<u64>`.
        let ahead = input.fork();
        if let Ok(path) = ahead.parse::<Path>()
            && (ahead.is_empty() || ahead.peek(Token![,]))
        {
            input.advance_to(&ahead);
            return Ok(Value::Path(path));
        }
    }
    match input.parse() {
        Ok(value) => Ok(Value::Assigned(ungrouped(value))),
        // The end is no place to show anything at.
        Err(error) if input.is_empty() => {
            Err(syn::Error::new_spanned(word, format!("the value of `{word}` ends too early: {error}")))
        }
        Err(error) => Err(error),
    }
}

/// Without the invisible brackets around what a macro of the user's was given.
fn ungrouped(mut value: Expr) -> Expr {
    while let Expr::Group(group) = value {
        value = *group.expr;
    }
    value
}

fn skip_to_next(input: ParseStream<'_>) {
    while !input.is_empty() {
        if input.parse::<Token![,]>().is_ok() {
            return;
        }
        // Any one token: it belongs to an item that was reported.
        if input.parse::<proc_macro2::TokenTree>().is_err() {
            return;
        }
    }
}

/// Whether this word may stand here. If not, says where it may, or what was probably meant.
fn is_allowed(item: &Item, position: Position, mistakes: &mut Mistakes) -> bool {
    let word = item.word.unraw().to_string();
    let (words, here) = (position.words(), position.place());
    if words.contains(&word.as_str()) {
        return true;
    }
    let allowed = one_of(words);
    if let Some(elsewhere) = Position::of(&word) {
        let there = elsewhere.place();
        mistakes.at(&item.word, format!("`{word}` goes {there}, not {here}; allowed here: {allowed}"));
    } else if let Some(instead) = Position::instead_of(&word) {
        mistakes.at(&item.word, format!("netabase does not know `{word}`: {instead}"));
    } else if let Some(meant) = did_you_mean(&word, words) {
        mistakes.at(&item.word, format!("netabase does not know `{word}`: did you mean `{meant}`?"));
    } else {
        mistakes.at(&item.word, format!("netabase does not know `{word}`; allowed {here}: {allowed}"));
    }
    false
}

fn once<T>(slot: &mut Option<T>, value: Option<T>, item: &Item, mistakes: &mut Mistakes) {
    if slot.is_some() {
        mistakes.at(&item.word, format!("`{}` is given twice: remove one", item.word));
    } else {
        *slot = value;
    }
}

/// A word that stands alone.
fn bare(item: &Item, mistakes: &mut Mistakes) {
    let word = &item.word;
    match &item.value {
        // Never a path, which only other words take.
        Value::None | Value::Path(_) => {}
        Value::Assigned(value) => {
            mistakes.at(value, format!("`{word}` takes no value: write `#[netabase({word})]`"));
        }
        Value::List(_) => {
            mistakes.at(item, "`key` takes no list: write `#[netabase(key)]` on each field of the key, in their order");
        }
    }
}

fn text(item: &Item, example: &str, mistakes: &mut Mistakes) -> Option<LitStr> {
    let word = &item.word;
    match &item.value {
        Value::Assigned(Expr::Lit(ExprLit { lit: Lit::Str(text), .. })) => return Some(text.clone()),
        Value::Assigned(other) => {
            mistakes.at(other, format!("`{word}` is a string: write `{word} = \"{example}\"`"));
        }
        Value::None | Value::Path(_) | Value::List(_) => {
            mistakes.at(item, format!("`{word}` needs a value: write `{word} = \"{example}\"`"));
        }
    }
    None
}

/// How many bytes a stored name may have.
const NAME_BYTES_MAX: usize = 64;

fn name(item: &Item, mistakes: &mut Mistakes) -> Option<LitStr> {
    let literal = text(item, "accounts", mistakes)?;
    let name = literal.value();
    let bad = name.chars().find(|letter| !(letter.is_ascii_alphanumeric() || matches!(letter, '_' | '-' | '.')));
    if name.is_empty() {
        mistakes.at(&literal, "a stored name cannot be empty");
    } else if name.len() > NAME_BYTES_MAX {
        mistakes
            .at(&literal, format!("a stored name has at most {NAME_BYTES_MAX} letters, this one has {}", name.len()));
    } else if let Some(bad) = bad {
        mistakes
            .at(&literal, format!("a stored name is made of ASCII letters, digits, `_`, `-` and `.`, not of {bad:?}"));
    } else {
        return Some(literal);
    }
    None
}

fn path(item: &Item, mistakes: &mut Mistakes) -> Option<Path> {
    let literal = text(item, "my_crate::netabase", mistakes)?;
    match literal.parse_with(Path::parse_mod_style) {
        Ok(path) => Some(path),
        Err(_) => {
            mistakes.at(
                &literal,
                "this is not a path: write the path of netabase, such as `crate = \"my_crate::netabase\"`",
            );
            None
        }
    }
}
