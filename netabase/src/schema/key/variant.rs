//! A fieldless enum as a key: the position of its variant. `#[derive(NetabaseKey)]` generates calls of this.
//!
//! Positions are those of the declaration, two bytes each, so a variant that is added at the end moves no other one. The
//! names are part of the key's form: peers that have them in another order do not open each other's data.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{DeserializeSeed, EnumAccess, Error, Unexpected, VariantAccess, Visitor};
use serde::{Deserializer, Serializer};

use super::{Key, KeyError, KeyForm};

/// The variants of an enum.
#[doc(hidden)]
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an enum that can be a key",
    label = "expected an enum without fields and with `#[derive(NetabaseKey)]`"
)]
pub trait KeyVariants: Sized {
    const NAME: &'static str;
    const VARIANTS: &'static [&'static str];
    fn position(&self) -> u16;
    fn at(position: u16) -> Option<Self>;

    fn name(&self) -> &'static str {
        Self::VARIANTS[usize::from(self.position())]
    }

    fn encode(&self, out: &mut Vec<u8>) {
        Key::encode(&self.position(), out);
    }

    fn decode(input: &mut &[u8]) -> Result<Self, KeyError> {
        Self::at(<u16 as Key>::decode(input)?).ok_or(KeyError::Malformed)
    }

    fn form() -> KeyForm {
        KeyForm::Variants(Self::VARIANTS.iter().map(|&name| name.to_owned()).collect())
    }
}

/// As serde's derive writes a variant without fields.
#[doc(hidden)]
pub fn serialize_variant<K: KeyVariants, S: Serializer>(key: &K, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_unit_variant(K::NAME, key.position().into(), key.name())
}

#[doc(hidden)]
pub fn deserialize_variant<'de, K: KeyVariants, D: Deserializer<'de>>(deserializer: D) -> Result<K, D::Error> {
    deserializer.deserialize_enum(K::NAME, K::VARIANTS, Variant(PhantomData))
}

struct Variant<K>(PhantomData<K>);

impl<'de, K: KeyVariants> Visitor<'de> for Variant<K> {
    type Value = K;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a variant of {}", K::NAME)
    }

    fn visit_enum<A: EnumAccess<'de>>(self, input: A) -> Result<K, A::Error> {
        let (key, rest) = input.variant_seed(Name(PhantomData))?;
        rest.unit_variant()?;
        Ok(key)
    }
}

/// A variant by its position or its name.
struct Name<K>(PhantomData<K>);

impl<'de, K: KeyVariants> DeserializeSeed<'de> for Name<K> {
    type Value = K;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<K, D::Error> {
        deserializer.deserialize_identifier(self)
    }
}

impl<K: KeyVariants> Visitor<'_> for Name<K> {
    type Value = K;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the name or the position of a variant of {}", K::NAME)
    }

    fn visit_u64<E: Error>(self, position: u64) -> Result<K, E> {
        let known = u16::try_from(position).ok().and_then(K::at);
        known.ok_or_else(|| E::invalid_value(Unexpected::Unsigned(position), &self))
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<K, E> {
        let position = K::VARIANTS.iter().position(|known| *known == name);
        let known = position.and_then(|position| u16::try_from(position).ok()).and_then(K::at);
        known.ok_or_else(|| E::unknown_variant(name, K::VARIANTS))
    }
}
