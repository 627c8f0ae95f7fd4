//! One number over all rows that are agreed on, kept up with every write: what was there is taken out, what is there now is
//! put in. So nodes that applied the same rounds can compare it at no cost, and a walk over the rows finds damage by it.
//!
//! An additive multiset hash: the sum modulo 2^128 of SipHash-1-3-128 over each row (Clarke, Devadas, van Dijk, Gassend and
//! Suh, "Incremental Multiset Hash Functions and Their Application to Memory Integrity Checking", 2003; Aumasson and Bernstein,
//! "SipHash: a fast short-input PRF", 2012). Against disks and faults, not against somebody who looks for rows with the same
//! sum: the key is nobody's secret. With blake3 a row of 256 bytes cost 430 ns instead of 53, on each node, in and out.
//!
//! Must hold: it is what a walk over the rows gives, whatever was written in whatever order. Over records, indexes, the
//! list of members and the clock of what expires; not over sessions and named calls, which are no rows until a flush, nor over the change table, which
//! says once more what was done to records, and would double what a write costs here, nor over the versions of record types.

use std::hash::Hasher;
use std::ops::Bound;

use bytes::Bytes;
use siphasher::sip128::{Hasher128, SipHasher13};

use super::engine::{Snapshot, StoreError};
use super::layout;
use super::view::{Rows, View};
use crate::Error;

const BYTES: usize = 16;

/// The sum over some rows, or what a write adds to it.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub(crate) struct Sum(u128);

impl Sum {
    /// Puts a row in.
    pub(crate) fn add(&mut self, key: &[u8], value: &[u8]) {
        self.join(of_row(key, value));
    }

    /// Takes a row out.
    pub(crate) fn subtract(&mut self, key: &[u8], value: &[u8]) {
        self.join(of_row(key, value).negated());
    }

    /// Puts in what another sum holds.
    pub(super) fn join(&mut self, other: Sum) {
        self.0 = self.0.wrapping_add(other.0);
    }

    /// What joined with this one makes nothing.
    pub(super) fn negated(self) -> Sum {
        Sum(self.0.wrapping_neg())
    }

    /// Whether a row is one of those that are summed.
    pub(crate) fn covers(row_key: &[u8]) -> bool {
        row_key.first().is_some_and(|space| {
            *space < layout::SPACE_SESSION || matches!(*space, layout::SPACE_ROSTER | layout::SPACE_CLOCK)
        })
    }

    /// What the rows of a view come to. Reads all of them.
    pub(crate) fn of_view(view: &View) -> Result<Sum, Error> {
        let mut sum = Sum::default();
        let upper = [layout::SPACE_SESSION];
        for row in view.scan(Bound::Unbounded, Bound::Excluded(&upper), false)? {
            let (key, value) = row?;
            sum.add(&key, &value);
        }
        for key in [layout::roster_key(), layout::clock_key()] {
            if let Some(row) = view.get(&key)? {
                sum.add(&key, &row);
            }
        }
        Ok(sum)
    }

    /// The one that an engine's rows came to when they were written.
    pub(crate) fn stored(base: &dyn Snapshot) -> Result<Sum, StoreError> {
        let row = base.get(&layout::meta_key(layout::META_SUM))?;
        let sum = row.as_deref().and_then(Sum::decoded);
        sum.ok_or_else(|| StoreError::Damaged("it does not say what its rows come to".to_owned()))
    }

    /// The row that says it.
    pub(crate) fn row(self) -> (Bytes, Option<Bytes>) {
        (layout::meta_key(layout::META_SUM), Some(Bytes::copy_from_slice(&self.0.to_be_bytes())))
    }

    fn decoded(bytes: &[u8]) -> Option<Sum> {
        let bytes: [u8; BYTES] = bytes.try_into().ok()?;
        Some(Sum(u128::from_be_bytes(bytes)))
    }
}

fn of_row(key: &[u8], value: &[u8]) -> Sum {
    let mut hasher = SipHasher13::new();
    // As bytes: what else a `Hasher` takes depends on the machine.
    hasher.write(&(key.len() as u64).to_be_bytes());
    hasher.write(key);
    hasher.write(value);
    let hash = hasher.finish128();
    Sum(u128::from(hash.h1) << 64 | u128::from(hash.h2))
}

impl std::fmt::Debug for Sum {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_makes_no_difference_and_what_goes_leaves_nothing() {
        let rows: Vec<[u8; 2]> = (0..=u8::MAX).map(|n| [1, n]).collect();
        let (mut there, mut back) = (Sum::default(), Sum::default());
        rows.iter().for_each(|row| there.add(row, &row[1..]));
        rows.iter().rev().for_each(|row| back.add(row, &row[1..]));
        assert_eq!(there, back);
        assert_ne!(there, Sum::default());
        for row in &rows {
            there.subtract(row, &row[1..]);
        }
        assert_eq!(there, Sum::default());
    }

    #[test]
    fn what_is_key_and_what_is_value_is_told_apart() {
        assert_ne!(of_row(b"ab", b"c"), of_row(b"a", b"bc"));
    }

    /// It is on disks, and compared between machines.
    #[test]
    fn it_is_the_same_in_every_version() {
        assert_eq!(format!("{:?}", of_row(b"key", b"value")), "85f1f27ab42fd10f213b3b9376597460");
    }

    #[test]
    fn it_wraps_and_comes_back_from_its_row() {
        let mut most = Sum(u128::MAX);
        most.join(Sum(1));
        assert_eq!(most, Sum::default());
        let sum = of_row(b"key", b"value");
        let row = sum.row().1.expect("it is a row");
        assert_eq!(Sum::decoded(&row), Some(sum));
        assert_eq!(Sum::decoded(&row[1..]), None);
    }
}
