//! `Option` of a key: one byte in front, so that `None` sorts before every `Some`, as in Rust.

use std::cmp::Ordering;
use std::fmt;

use serde::de::Visitor;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{DebugPart, Key, KeyError, KeyForm, take};

#[diagnostic::do_not_recommend]
impl<T: Key> Key for Option<T> {
    const OPTIONAL: bool = true;

    fn encode(&self, out: &mut Vec<u8>) {
        match self {
            None => out.push(0),
            Some(value) => {
                out.push(1);
                value.encode(out);
            }
        }
    }

    fn decode(input: &mut &[u8]) -> Result<Self, KeyError> {
        match take(input)? {
            [0] => Ok(None),
            [1] => T::decode(input).map(Some),
            _ => Err(KeyError::Malformed),
        }
    }

    fn form() -> KeyForm {
        KeyForm::Option(Box::new(T::form()))
    }

    fn show(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            None => f.pad("none"),
            Some(value) => value.show(f),
        }
    }

    fn serialize_key<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            None => serializer.serialize_none(),
            Some(value) => serializer.serialize_some(&Serde(value)),
        }
    }

    fn deserialize_key<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Value<T>(std::marker::PhantomData<T>);
        impl<'de, T: Key> Visitor<'de> for Value<T> {
            type Value = Option<T>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an optional key")
            }
            fn visit_none<E>(self) -> Result<Option<T>, E> {
                Ok(None)
            }
            fn visit_unit<E>(self) -> Result<Option<T>, E> {
                Ok(None)
            }
            fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Option<T>, D::Error> {
                T::deserialize_key(deserializer).map(Some)
            }
        }
        deserializer.deserialize_option(Value(std::marker::PhantomData))
    }

    fn clone_key(&self) -> Self {
        self.as_ref().map(T::clone_key)
    }

    fn debug_key(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            None => f.write_str("None"),
            Some(value) => f.debug_tuple("Some").field(&DebugPart(&|f| value.debug_key(f))).finish(),
        }
    }

    fn compare_key(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Some(one), Some(two)) => one.compare_key(two),
            (one, two) => one.is_some().cmp(&two.is_some()),
        }
    }
}

/// A key inside another one, in serde's terms.
pub(super) struct Serde<'a, T>(pub(super) &'a T);

impl<T: Key> Serialize for Serde<'_, T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize_key(serializer)
    }
}

/// The same, read back.
pub(super) struct Read<T>(pub(super) T);

impl<'de, T: Key> Deserialize<'de> for Read<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        T::deserialize_key(deserializer).map(Read)
    }
}
