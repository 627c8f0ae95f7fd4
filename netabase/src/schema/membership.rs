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

/// A record type whose writes are agreed on by the cluster: every one, unless it says `consistency = "eventual"`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is an eventual record: the nodes do not agree on its writes, which this call needs",
    label = "declared `consistency = \"eventual\"`",
    note = "transactions, `update_record`, `request_id`, `linearizable()` and `from_round` are there for agreed records: remove `consistency = \"eventual\"` from `{Self}`, or do without"
)]
pub trait Agreed: Record {}

/// Refuses, when the user's crate is compiled, a schema with a record that the nodes do not agree on.
pub(crate) const fn all_agreed<S: Schema>() {
    let mut index = 0;
    while index < S::__RECORDS.len() {
        assert!(
            !S::__RECORDS[index].eventual,
            "a record of this schema has `consistency = \"eventual\"`, and in this version of netabase only `netabase::store::Store` keeps such records: use that, or remove it",
        );
        index += 1;
    }
}

#[cfg(test)]
mod tests {
    use serde::{Deserialize, Serialize};

    use super::all_agreed;
    use crate::NetabaseSchema;

    #[derive(Clone, Serialize, Deserialize, NetabaseSchema)]
    #[netabase(crate = "crate", consistency = "linearizable")]
    struct Sensor {
        #[netabase(key)]
        id: u64,
    }

    #[derive(Clone, Serialize, Deserialize, NetabaseSchema)]
    #[netabase(crate = "crate", consistency = "eventual")]
    struct Reading {
        #[netabase(key)]
        id: u64,
    }

    #[derive(NetabaseSchema)]
    #[netabase(crate = "crate")]
    enum House {
        Sensor(Sensor),
        Reading(Reading),
    }

    #[test]
    fn agreed_records_are_for_nodes() {
        all_agreed::<Sensor>();
    }

    #[test]
    #[should_panic(expected = "only `netabase::store::Store` keeps such records")]
    fn a_record_among_others_that_is_not_agreed_on_is_refused() {
        all_agreed::<House>();
    }
}
