//! The model of records under keys: what put, insert, remove, get and a transaction do to a map.

use std::collections::{BTreeMap, BTreeSet};

use super::{Call, Model};

/// Values under keys.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Registers(BTreeMap<u64, u64>);

/// A call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op {
    /// `get_record(key)`.
    Get(u64),
    /// `put_record` of a value under a key.
    Put(u64, u64),
    /// `insert_record` of a value under a key.
    Insert(u64, u64),
    /// `remove_record(key)`.
    Remove(u64),
    /// A transaction that has read these values and writes those: it happens only where it would read the same.
    Transact {
        /// What it has read; `None`: nothing was there.
        reads: Vec<(u64, Option<u64>)>,
        /// What it writes; `None`: it removes.
        writes: Vec<(u64, Option<u64>)>,
    },
}

/// What a call returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// What was read.
    Value(Option<u64>),
    /// It was written, or removed; whether there was something before.
    Existed(bool),
    /// Refused: there is a value already, or others than those read.
    Refused,
    /// The transaction happened.
    Committed,
}

impl Model for Registers {
    type Op = Op;
    type Outcome = Outcome;

    fn apply(&mut self, op: &Op) -> Outcome {
        match op {
            Op::Get(key) => Outcome::Value(self.0.get(key).copied()),
            Op::Put(key, value) => Outcome::Existed(self.0.insert(*key, *value).is_some()),
            Op::Insert(key, _) if self.0.contains_key(key) => Outcome::Refused,
            Op::Insert(key, value) => Outcome::Existed(self.0.insert(*key, *value).is_some()),
            Op::Remove(key) => Outcome::Existed(self.0.remove(key).is_some()),
            Op::Transact { reads, .. } if reads.iter().any(|(key, value)| self.0.get(key) != value.as_ref()) => {
                Outcome::Refused
            }
            Op::Transact { writes, .. } => {
                for (key, value) in writes {
                    match value {
                        Some(value) => self.0.insert(*key, *value),
                        None => self.0.remove(key),
                    };
                }
                Outcome::Committed
            }
        }
    }

    fn keys(op: &Op) -> Vec<u64> {
        match op {
            Op::Get(key) | Op::Put(key, _) | Op::Insert(key, _) | Op::Remove(key) => vec![*key],
            Op::Transact { reads, writes } => reads.iter().chain(writes).map(|(key, _)| *key).collect(),
        }
    }

    /// A value that nobody has read is as good as another such value.
    fn told_apart(calls: &[&Call<Self>]) -> Vec<Op> {
        let mut read = BTreeSet::new();
        for call in calls {
            if let Some((_, Outcome::Value(value))) = call.returned {
                read.extend(value);
            }
            if let Op::Transact { reads, .. } = &call.op {
                read.extend(reads.iter().filter_map(|(_, value)| *value));
            }
        }
        let unread = (0..).find(|value| !read.contains(value)).unwrap_or_default();
        let told = |value: u64| if read.contains(&value) { value } else { unread };
        let without = |call: &&Call<Self>| match call.op.clone() {
            Op::Put(key, value) => Op::Put(key, told(value)),
            Op::Insert(key, value) => Op::Insert(key, told(value)),
            Op::Transact { reads, writes } => {
                let writes = writes.into_iter().map(|(key, value)| (key, value.map(told))).collect();
                Op::Transact { reads, writes }
            }
            op @ (Op::Get(_) | Op::Remove(_)) => op,
        };
        calls.iter().map(without).collect()
    }
}
