//! From what a user writes (`7`, `"lib"`, `(7, 3)`) to the fields of a generated key.
//!
//! One trait over all of it, and exactly one source type an integer field: the type of a literal is then inferred. The
//! derive sees only tokens; the types are told apart here, so that an alias of `String` is as good as `String`.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{SeqAccess, Visitor};
use serde::ser::SerializeTuple;
use serde::{Deserializer, Serializer};

/// A key type of the derive: made of one field (`Parts` is its type) or of several (`Parts` is their tuple).
#[doc(hidden)]
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not the key of a record or of an index",
    label = "expected a type such as `AccountKey` or `AccountByCityKey`"
)]
pub trait KeyParts: Sized {
    type Parts;
    const COUNT: usize;
    fn from_parts(parts: Self::Parts) -> Self;
    fn write_parts<S: SerializeTuple>(&self, out: &mut S) -> Result<(), S::Error>;
    fn read_parts<'de, A: SeqAccess<'de>>(input: &mut A) -> Result<Self, A::Error>;
}

/// A composite key in serde's terms: the tuple of its fields.
#[doc(hidden)]
pub fn serialize_parts<K: KeyParts, S: Serializer>(key: &K, serializer: S) -> Result<S::Ok, S::Error> {
    let mut tuple = serializer.serialize_tuple(K::COUNT)?;
    key.write_parts(&mut tuple)?;
    tuple.end()
}

#[doc(hidden)]
pub fn deserialize_parts<'de, K: KeyParts, D: Deserializer<'de>>(deserializer: D) -> Result<K, D::Error> {
    struct Parts<K>(PhantomData<K>);
    impl<'de, K: KeyParts> Visitor<'de> for Parts<K> {
        type Value = K;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "a key of {} fields", K::COUNT)
        }
        fn visit_seq<A: SeqAccess<'de>>(self, mut input: A) -> Result<K, A::Error> {
            K::read_parts(&mut input)
        }
    }
    deserializer.deserialize_tuple(K::COUNT, Parts(PhantomData))
}

/// Shows the fields of a key, with `/` between them.
#[doc(hidden)]
pub fn show_parts(
    f: &mut fmt::Formatter<'_>,
    parts: &[&dyn Fn(&mut fmt::Formatter<'_>) -> fmt::Result],
) -> fmt::Result {
    for (index, part) in parts.iter().enumerate() {
        if index > 0 {
            f.write_str("/")?;
        }
        part(f)?;
    }
    Ok(())
}

/// A part of a key in the `Debug` of the whole.
#[doc(hidden)]
pub struct DebugPart<'a>(pub &'a dyn Fn(&mut fmt::Formatter<'_>) -> fmt::Result);

impl fmt::Debug for DebugPart<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (self.0)(f)
    }
}

/// A value that converts to the field type `P` of a key without loss.
#[doc(hidden)]
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be used where the key has `{P}`",
    label = "expected `{P}`",
    note = "convert it first, e.g. with `u64::from(..)` or `u64::try_from(..)?`"
)]
pub trait IntoPart<P> {
    fn into_part(self) -> P;
}

macro_rules! itself {
    ($($t:ty)*) => { $(
        impl IntoPart<$t> for $t {
            fn into_part(self) -> $t {
                self
            }
        }
    )* };
}

#[cfg(any(feature = "chrono", feature = "time", feature = "uuid"))]
pub(super) use itself;

itself! { u8 u16 u32 u64 u128 i8 i16 i32 i64 i128 bool char String Vec<u8> }

impl IntoPart<String> for &str {
    fn into_part(self) -> String {
        self.to_owned()
    }
}

impl IntoPart<String> for &String {
    fn into_part(self) -> String {
        self.clone()
    }
}

impl IntoPart<Vec<u8>> for &[u8] {
    fn into_part(self) -> Vec<u8> {
        self.to_vec()
    }
}

impl IntoPart<Vec<u8>> for &Vec<u8> {
    fn into_part(self) -> Vec<u8> {
        self.clone()
    }
}

impl<const N: usize> IntoPart<Vec<u8>> for &[u8; N] {
    fn into_part(self) -> Vec<u8> {
        self.to_vec()
    }
}

impl<const N: usize> IntoPart<[u8; N]> for [u8; N] {
    fn into_part(self) -> [u8; N] {
        self
    }
}

impl<const N: usize> IntoPart<[u8; N]> for &[u8; N] {
    fn into_part(self) -> [u8; N] {
        *self
    }
}

impl<P, T: IntoPart<P>> IntoPart<Option<P>> for Option<T> {
    fn into_part(self) -> Option<P> {
        self.map(T::into_part)
    }
}

macro_rules! tuples {
    ($(($($t:ident $p:ident)*))*) => { $(
        impl<$($p, $t: IntoPart<$p>),*> IntoPart<($($p,)*)> for ($($t,)*) {
            #[allow(non_snake_case)]
            fn into_part(self) -> ($($p,)*) {
                let ($($t,)*) = self;
                ($($t.into_part(),)*)
            }
        }
    )* };
}

tuples! { (A P) (A P B Q) (A P B Q C R) (A P B Q C R D S) (A P B Q C R D S E T) (A P B Q C R D S E T F U) }
