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
/// On an enum, each variant holds one record, at most 1,024 of them; `#[netabase(name = "…")]` on a variant stores it under another name.
///
/// On a struct, with named fields or without (`struct Point(#[netabase(key)] u64, String);`):
///
/// | attribute | on | what |
/// | --- | --- | --- |
/// | `key` | one field or several | the record's key: `AccountKey`. Several make a composite key, in their order |
/// | `index` | a field | searched by `Account::by_city(…)`; `AccountByCityKey` is what it is searched for |
/// | `unique` | a field | an index in which no two records have the same value |
/// | `index(name = "by_town")`, `unique(name = "by_town")` | a field | the same under a name of its own |
/// | `index(name = "by_city_balance", fields(city, balance))` | the struct | an index over several fields in this order; any number of them |
/// | `name = "accounts"` | the struct | the stored name; else the type's, in snake case |
/// | `version = 2` | the struct | which version of the record this is, 1 to 255; 1 where nothing is said |
/// | `from = AccountV1` | the struct | the struct of the version before, with its arguments if it is generic (`Tagged<u64>`), of which this one is made: `impl From<AccountV1> for Account` |
/// | `into = AccountV1` | the struct | writes it as that one as long as a member of the cluster reads no later one: `impl From<Account> for AccountV1` |
/// | `ttl = "expires"` | the struct | the field that says when the record expires; a position, `"1"`, where fields have no names |
/// | `consistency = "eventual"` | the struct | its writes are not agreed on: the last one wins, see below; else `"linearizable"` |
/// | `crate = "path"` | the struct, an enum | where `netabase` is, when it is renamed or re-exported |
///
/// Keys and indexes are made of integers of a fixed width, `bool`, `char`, `String`, `[u8; N]`, `Vec<u8>`, tuples and
/// `Option` of these, types with `#[derive(NetabaseKey)]`, the keys of other records (`AccountKey`), and, with netabase's
/// features `uuid`, `time` and `chrono`, of their types. Fields without names are called by their positions,
/// `fields(1, 0)`, and an index on one is given a name.
///
/// A key and an index are searched for by whoever sees the record, so each type that they are made of is at least as
/// visible: a `pub` record has no key of a private enum. No type of yours is called as a generated one: the key of
/// `Account` may be an `AccountId`, as `AccountKey` is what the derive makes of it.
///
/// A generic record asks of its parameters, and of fields that are `T::Out`, what it asks of itself. What is said of the
/// parameters is said of its key as far as that names them. A key whose only field is `T::Id` is written out, `TaggedKey(id)`,
/// as there is no conversion to it.
///
/// An index over one field is asked for a value, a range, or `starts_with("…")`. One over several, at most six, is asked
/// for a tuple, `by_city_balance(("Paris", 10))`, for a range of tuples, `("Paris", 10)..("Paris", 20)`, or for its
/// first fields, `leading("Paris")`; its rows are sorted as the tuples are.
///
/// `index` and `unique` on an `Option` hold the records that have a value. An index over several fields holds all
/// records: there `None` is a value like any other and sorts first. It is written with its type where that cannot be
/// inferred: `by_nick_city((None::<String>, "Paris"))`.
///
/// What was stored as an earlier version is read as this one, through `From`, as far back as structs say `from`; each of them
/// is a record with its own derive and the number before. All have the same key. Without `from`, earlier versions are not
/// read any more. In a cluster, a version is written once every member reads it, and rows of before are converted while reads
/// and writes go on; the stored name is that of the newest struct.
///
/// The field of `ttl` is a `SystemTime`, or a `u64` of milliseconds since 1970, or an `Option` of either: `None` never
/// expires. From that instant on no read shows the record, and soon after it is removed, on all nodes in the same round,
/// which those who watch it are told of. Storing it with a later instant before that refreshes it; a record that is stored
/// when it has expired already is not shown either, and removed as soon.
///
/// A record with `consistency = "eventual"` takes part in nothing that needs nodes to agree: `unique`, transactions,
/// `update_record`, `linearizable()`, `request_id` and a watch's `from_round` are compile errors. In this version `Store` keeps
/// such records, and `Netabase` does not yet: its `start` and `connect` with them do not compile.
///
/// Which indexes a record has, and over which fields, is part of its version: nodes and directories that differ in it do
/// not open each other's data. An index is added or removed with a new version. The order in which the attributes of the struct are written says nothing. Where clippy takes
/// one field in two indexes for a mistake, write `#[allow(clippy::duplicated_attributes)]`.
#[proc_macro_derive(NetabaseSchema, attributes(netabase))]
pub fn netabase_schema(input: TokenStream) -> TokenStream {
    schema(&parse_macro_input!(input as DeriveInput)).into()
}

fn schema(input: &DeriveInput) -> proc_macro2::TokenStream {
    let mut mistakes = diagnostics::Mistakes::default();
    let model = check::check(input, &mut mistakes);
    let expansion = match &model {
        Some(model) => expand::expand(model, &input.attrs),
        None => fallback::nothing_follows(input),
    };
    mistakes.beside(expansion)
}

/// Makes a type of your own a key: an enum without fields, or a struct with one field whose type is a key.
///
/// ```text
/// #[derive(Clone, Serialize, Deserialize, NetabaseKey)]
/// enum Status { Open, Paid, Closed }
///
/// #[derive(Clone, Serialize, Deserialize, NetabaseKey)]
/// struct CustomerId(u64);
/// ```
///
/// Such a type may stand wherever a key type may: as a `key`, `index` or `unique` field, in a tuple, in an `Option`. It is
/// searched for as itself, `Order::by_status(Status::Open)`, `Order::by_status(Status::Paid..)`, `CustomerId(7)`.
///
/// A struct is sorted and stored as its field is; over a `String`, `starts_with("…")` works. An enum is sorted as its
/// variants are declared, which is what `#[derive(Ord)]` does. Where they have numbers, `Paid = 20`, these must ascend.
/// The names of the variants in their order are part of the schema: nodes and directories that have other ones do not open
/// each other's data, so moving a variant never changes silently what stored bytes mean. One that is added at the end
/// leaves the stored bytes of the others as they are.
///
/// `#[netabase(crate = "path")]` says where `netabase` is, when it is renamed or re-exported.
#[proc_macro_derive(NetabaseKey, attributes(netabase))]
pub fn netabase_key(input: TokenStream) -> TokenStream {
    own_key(&parse_macro_input!(input as DeriveInput)).into()
}

fn own_key(input: &DeriveInput) -> proc_macro2::TokenStream {
    let mut mistakes = diagnostics::Mistakes::default();
    let key = check::own_key(input, &mut mistakes);
    mistakes.beside(expand::own_key(&key, &input.attrs))
}

#[cfg(test)]
mod expanded;
