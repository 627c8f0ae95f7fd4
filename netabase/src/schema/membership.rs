//! Which records a schema is made of: what the handle's type parameter means.

use super::record::{Record, RecordGlue};

/// A set of record types that are stored and agreed on together: an enum of records, or a record alone.
///
/// Implemented by `#[derive(NetabaseSchema)]`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a schema",
    label = "not a schema",
    note = "write `#[derive(NetabaseSchema)]` on it: on a struct with a `#[netabase(key)]` field, or on an enum of such structs"
)]
pub trait Schema: Send + Sync + Sized + 'static {
    /// The key of any record of the schema.
    type Key;

    /// A change to any record of the schema.
    type LogEntry;

    #[doc(hidden)]
    const __RECORDS: &'static [RecordGlue];
}

/// A record type that is part of the schema `S`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a record of the schema `{S}`",
    label = "not in `{S}`",
    note = "a record is given as it is, without `&`, and is a variant of the schema: `enum {S} {{ …, {Self}({Self}) }}`, each with `#[derive(NetabaseSchema)]`"
)]
pub trait Member<S: Schema>: Record {
    /// Its stored name in this schema: the record's, unless the variant gives another one.
    #[doc(hidden)]
    const __NAME: &'static str;
}

/// A record type whose writes are agreed on by the cluster, so that it can take part in transactions.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is an eventual record and cannot take part in a transaction",
    label = "declared `consistency = \"eventual\"`",
    note = "remove `consistency = \"eventual\"` from `{Self}`, or write it outside the transaction"
)]
pub trait Agreed: Record {}
