//! `Option` of a key: one byte in front, so that `None` sorts before every `Some`, as in Rust.

use std::fmt;

use serde::de::Visitor;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{Key, KeyError, KeyForm, take};

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
            Some(value) => serializer.serialize_some(&Serde(value.clone())),
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
}

/// A key inside another one, in serde's terms.
pub(super) struct Serde<T>(pub(super) T);

impl<T: Key> Serialize for Serde<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize_key(serializer)
    }
}

impl<'de, T: Key> Deserialize<'de> for Serde<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        T::deserialize_key(deserializer).map(Serde)
    }
}
