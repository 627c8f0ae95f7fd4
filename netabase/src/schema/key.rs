//! Keys as bytes: the order of the bytes is the order of the values, on every engine.
//!
//! Must hold for every key type: `encode(a) < encode(b)` exactly if `a < b`; no encoding is a prefix of another one (so
//! that fields can follow each other); `decode` reads exactly what `encode` wrote and never panics on other bytes.
//! Used by the generated key types, by queries (bounds) and by the store (rows).

mod integer;
mod option;
mod part;
mod shown;
mod text;
mod tuple;

use std::cmp::Ordering;
use std::fmt::{self, Debug};
use std::hash::{Hash, Hasher};

use serde::de::{Error as _, SeqAccess};
use serde::ser::SerializeTuple;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

pub use self::part::{IntoPart, KeyParts, deserialize_parts, serialize_parts, show_parts};
pub(crate) use self::shown::shown;
pub(crate) use self::text::escape;

/// A value that can be a key or an index: its stored bytes sort as it does.
///
/// Implemented for the types listed below and by `#[derive(NetabaseSchema)]` for the key types that it generates; not
/// meant to be implemented by hand.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be a key or an index",
    label = "not a type that a key can be made of",
    note = "allowed are: `u8` to `u128`, `i8` to `i128`, `bool`, `char`, `String`, `[u8; N]`, `Vec<u8>`, and tuples and `Option` of these",
    note = "`usize` and `isize` differ between machines: use `u64` or `i64`; floating-point numbers have no total order"
)]
pub trait Key: Clone + Ord + Hash + Debug + Send + Sync + Unpin + 'static {
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
        out.serialize_element(&option::Serde(self.clone()))
    }

    #[doc(hidden)]
    fn read_element<'de, A: SeqAccess<'de>>(input: &mut A) -> Result<Self, A::Error> {
        let element: Option<option::Serde<Self>> = input.next_element()?;
        element.map(|element| element.0).ok_or_else(|| A::Error::custom("the key has too few fields"))
    }

    // The generated impls go through these instead of `Clone::clone`, `Ord::cmp` …: a field of a type that cannot be a
    // key then fails one and the same bound everywhere, which the compiler reports once.
    #[doc(hidden)]
    fn clone_key(&self) -> Self {
        self.clone()
    }

    #[doc(hidden)]
    fn same_key(&self, other: &Self) -> bool {
        self == other
    }

    #[doc(hidden)]
    fn compare_key(&self, other: &Self) -> Ordering {
        self.cmp(other)
    }

    #[doc(hidden)]
    fn hash_key<H: Hasher>(&self, state: &mut H) {
        self.hash(state);
    }

    #[doc(hidden)]
    fn debug_key(&self) -> &dyn Debug {
        self
    }

    #[doc(hidden)]
    fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.encode(&mut out);
        out
    }
}

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

#[cfg(test)]
mod tests;
