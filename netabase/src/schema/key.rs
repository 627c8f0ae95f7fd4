//! Keys as bytes: the order of the bytes is the order of the values, on every engine.
//!
//! Must hold for every key type: `encode(a) < encode(b)` exactly if `a < b`; no encoding is a prefix of another one (so
//! that fields can follow each other); `decode` reads exactly what `encode` wrote and never panics on other bytes.
//! Used by the generated key types, by queries (bounds) and by the store (rows).

#[cfg(feature = "chrono")]
mod chrono;
mod integer;
#[cfg(any(feature = "chrono", feature = "time"))]
mod moment;
mod option;
mod part;
mod shown;
mod text;
#[cfg(feature = "time")]
mod time;
mod tuple;
#[cfg(feature = "uuid")]
mod uuid;
mod variant;

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};

use serde::de::{Error as _, SeqAccess};
use serde::ser::SerializeTuple;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

pub use self::part::{DebugPart, IntoPart, KeyParts, deserialize_parts, serialize_parts, show_parts};
pub(crate) use self::shown::shown;
pub(crate) use self::text::escape;
pub use self::text::{Text, TextFor};
pub use self::variant::{KeyVariants, deserialize_variant, serialize_variant};

/// A value that can be a key or an index: its stored bytes sort as it does.
///
/// Implemented for the types listed below, by `#[derive(NetabaseKey)]` for your own, and by `#[derive(NetabaseSchema)]`
/// for the key types that it generates; not meant to be implemented by hand. A type needs neither `Ord` nor `Clone` nor
/// serde's traits to be one: all that is needed follows from its bytes.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be a key or an index",
    label = "not a type that a key can be made of",
    note = "allowed are: `u8` to `u128`, `i8` to `i128`, `bool`, `char`, `String`, `[u8; N]`, `Vec<u8>`, tuples and `Option` of only these, and types of your own: write `#[derive(NetabaseKey)]` on an enum without fields, or on a struct with one field of these; another record is named by its key, such as `AccountKey`",
    note = "with netabase's feature `uuid`: `uuid::Uuid`; with `time`: `OffsetDateTime`, `UtcDateTime`, `PrimitiveDateTime`, `Date` and `Time`; with `chrono`: `DateTime<Utc>`, `NaiveDateTime`, `NaiveDate` and `NaiveTime`; write `features = [\"uuid\"]` beside netabase in Cargo.toml",
    note = "`usize` and `isize` differ between machines: use `u64` or `i64`; floating-point numbers have no total order"
)]
pub trait Key: Send + Sync + Unpin + Sized + 'static {
    /// Whether this is an `Option`, of which an index takes only `Some`.
    #[doc(hidden)]
    const OPTIONAL: bool = false;

    /// Appends the bytes of this key.
    #[doc(hidden)]
    fn encode(&self, out: &mut Vec<u8>);

    /// Takes one key off the front of `input`.
    #[doc(hidden)]
    fn decode(input: &mut &[u8]) -> Result<Self, KeyError>;

    /// How the bytes are laid out, for the descriptor and the fingerprint.
    #[doc(hidden)]
    fn form() -> KeyForm;

    /// For `Display` of the generated keys: byte strings in hex, fields separated by `/`.
    #[doc(hidden)]
    fn show(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result;

    /// Not `Serialize`, which serde lacks for `[u8; N]` beyond 32.
    #[doc(hidden)]
    fn serialize_key<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error>;

    #[doc(hidden)]
    fn deserialize_key<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error>;

    /// As one element of a composite key.
    #[doc(hidden)]
    fn write_element<S: SerializeTuple>(&self, out: &mut S) -> Result<(), S::Error> {
        out.serialize_element(&option::Serde(self))
    }

    #[doc(hidden)]
    fn read_element<'de, A: SeqAccess<'de>>(input: &mut A) -> Result<Self, A::Error> {
        let element: Option<option::Read<Self>> = input.next_element()?;
        element.map(|element| element.0).ok_or_else(|| A::Error::custom("the key has too few fields"))
    }

    // The generated impls go through these instead of `Clone::clone`, `Ord::cmp` …: a field of a type that cannot be a
    // key then fails one and the same bound everywhere, which the compiler reports once. The bytes say all that is asked
    // here; types that have it at hand say so themselves (`native_key`), which is quicker.
    #[doc(hidden)]
    fn clone_key(&self) -> Self;

    /// As `Debug` has it.
    #[doc(hidden)]
    fn debug_key(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result;

    #[doc(hidden)]
    fn same_key(&self, other: &Self) -> bool {
        self.compare_key(other).is_eq()
    }

    #[doc(hidden)]
    fn compare_key(&self, other: &Self) -> Ordering {
        self.to_bytes().cmp(&other.to_bytes())
    }

    #[doc(hidden)]
    fn hash_key<H: Hasher>(&self, state: &mut H) {
        self.to_bytes().hash(state);
    }

    #[doc(hidden)]
    fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.encode(&mut out);
        out
    }
}

/// For the bounds of generated impls: of a key that belongs to one thread they then say nothing, and the key's field does.
#[doc(hidden)]
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be a key or an index",
    label = "not a record, as this type in its key or in an index belongs to one thread"
)]
pub trait KeyThreadsFor<'a>: Send + Sync + Unpin {}

#[diagnostic::do_not_recommend]
impl<T: Send + Sync + Unpin> KeyThreadsFor<'_> for T {}

/// Bytes that are not a key of the type asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// The bytes end within the key.
    #[error("the key ends too early")]
    Short,
    /// These bytes are never written for this type.
    #[error("not a key of this type")]
    Malformed,
    /// Bytes are left over after the key.
    #[error("{0} bytes follow the key")]
    Trailing(usize),
}

/// The layout of key bytes, as stored in the descriptor.
#[doc(hidden)]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum KeyForm {
    /// Big-endian, of so many bytes.
    Unsigned(u8),
    /// Big-endian with the sign bit flipped, of so many bytes.
    Signed(u8),
    Bool,
    /// The scalar value, as four bytes big-endian.
    Char,
    /// UTF-8, zero bytes escaped, terminated.
    Text,
    /// Zero bytes escaped, terminated.
    Bytes,
    /// As they are, so many.
    Array(u64),
    Option(Box<KeyForm>),
    Tuple(Vec<KeyForm>),
    /// These fields of the record, one after the other: of an index whose name does not say which they are.
    Fields(Vec<(String, KeyForm)>),
    /// The position of one of these variants, as two bytes big-endian.
    Variants(Vec<String>),
}

/// Decodes a key that must take all of `input`.
#[cfg(test)]
pub(crate) fn decode_all<K: Key>(mut input: &[u8]) -> Result<K, KeyError> {
    let key = K::decode(&mut input)?;
    if input.is_empty() { Ok(key) } else { Err(KeyError::Trailing(input.len())) }
}

/// Takes `N` bytes off the front of `input`.
fn take<const N: usize>(input: &mut &[u8]) -> Result<[u8; N], KeyError> {
    let (head, rest) = input.split_first_chunk::<N>().ok_or(KeyError::Short)?;
    *input = rest;
    Ok(*head)
}

/// `serialize_key` and `deserialize_key` of types that have serde's own.
macro_rules! serde_key {
    () => {
        fn serialize_key<S: ::serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            ::serde::Serialize::serialize(self, serializer)
        }
        fn deserialize_key<'de, D: ::serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            ::serde::Deserialize::deserialize(deserializer)
        }
    };
}
use serde_key;

/// What types have that are `Clone`, `Ord`, `Hash` and `Debug`.
macro_rules! native_key {
    () => {
        fn clone_key(&self) -> Self {
            self.clone()
        }
        fn debug_key(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
            ::std::fmt::Debug::fmt(self, f)
        }
        fn same_key(&self, other: &Self) -> bool {
            self == other
        }
        fn compare_key(&self, other: &Self) -> ::std::cmp::Ordering {
            self.cmp(other)
        }
        fn hash_key<H: ::std::hash::Hasher>(&self, state: &mut H) {
            ::std::hash::Hash::hash(self, state);
        }
    };
}
use native_key;

#[cfg(test)]
mod tests;
