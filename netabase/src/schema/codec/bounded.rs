//! Decoding what a stranger sent: bincode's deserializer with three bounds around it.
//!
//! - Strings and byte strings are borrowed from the input before they are copied; bincode's own way allocates what the
//!   length prefix claims, 2^60 bytes if it says so.
//! - All sequences and maps together have no more elements than the input has bytes, also where an element takes none
//!   (`Vec<()>`): two bytes must not make a node count to 2^60.
//! - Nesting ends at `DEPTH_MAX`: a megabyte of `Some(Some(…` of a recursive type must not overflow the stack.

use std::cell::Cell;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{
    DeserializeOwned, DeserializeSeed, Deserializer, EnumAccess, MapAccess, SeqAccess, VariantAccess, Visitor,
};

use super::{CONFIGURATION, CodecError};

/// How deep values may be nested. What serde_json allows.
pub(super) const DEPTH_MAX: u32 = 128;

pub(super) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, CodecError> {
    let elements = Cell::new(bytes.len());
    let seed = Bounded { inner: PhantomData::<T>, depth: DEPTH_MAX, elements: &elements };
    let (value, read) = bincode::serde::seed_decode_from_slice(seed, bytes, CONFIGURATION)?;
    if read == bytes.len() { Ok(value) } else { Err(CodecError::Trailing(bytes.len() - read)) }
}

/// Any of serde's actors, with what is left of the bounds.
struct Bounded<'b, T> {
    inner: T,
    depth: u32,
    elements: &'b Cell<usize>,
}

impl<'b, T> Bounded<'b, T> {
    fn with<U>(&self, inner: U) -> Bounded<'b, U> {
        Bounded { inner, depth: self.depth, elements: self.elements }
    }

    fn deeper<U, E: serde::de::Error>(&self, inner: U) -> Result<Bounded<'b, U>, E> {
        let depth = self.depth.checked_sub(1).ok_or_else(|| E::custom(format!("nested deeper than {DEPTH_MAX}")))?;
        Ok(Bounded { inner, depth, elements: self.elements })
    }

    fn count<E: serde::de::Error>(&self, claimed: Option<usize>) -> Result<(), E> {
        let left = self.elements.get().checked_sub(claimed.unwrap_or(0));
        self.elements.set(left.ok_or_else(|| E::custom("a length is larger than the whole input"))?);
        Ok(())
    }
}

/// The visitor of a sequence or map, whose length comes from the input; that of a tuple comes from the type.
struct Counted<V>(V);

impl<'de, T: DeserializeSeed<'de>> DeserializeSeed<'de> for Bounded<'_, T> {
    type Value = T::Value;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<T::Value, D::Error> {
        let deserializer = self.with(deserializer);
        self.inner.deserialize(deserializer)
    }
}

macro_rules! leaves {
    ($($name:ident => $to:ident;)*) => { $(
        fn $name<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
            self.inner.$to(visitor)
        }
    )* };
}

impl<'de, D: Deserializer<'de>> Deserializer<'de> for Bounded<'_, D> {
    type Error = D::Error;

    leaves! {
        deserialize_any => deserialize_any;
        deserialize_bool => deserialize_bool;
        deserialize_i8 => deserialize_i8;
        deserialize_i16 => deserialize_i16;
        deserialize_i32 => deserialize_i32;
        deserialize_i64 => deserialize_i64;
        deserialize_i128 => deserialize_i128;
        deserialize_u8 => deserialize_u8;
        deserialize_u16 => deserialize_u16;
        deserialize_u32 => deserialize_u32;
        deserialize_u64 => deserialize_u64;
        deserialize_u128 => deserialize_u128;
        deserialize_f32 => deserialize_f32;
        deserialize_f64 => deserialize_f64;
        deserialize_char => deserialize_char;
        deserialize_str => deserialize_str;
        deserialize_string => deserialize_str;
        deserialize_bytes => deserialize_bytes;
        deserialize_byte_buf => deserialize_bytes;
        deserialize_unit => deserialize_unit;
        deserialize_identifier => deserialize_identifier;
        deserialize_ignored_any => deserialize_ignored_any;
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(self, name: &'static str, visitor: V) -> Result<V::Value, D::Error> {
        self.inner.deserialize_unit_struct(name, visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        let visitor = self.deeper(visitor)?;
        self.inner.deserialize_option(visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, name: &'static str, visitor: V) -> Result<V::Value, D::Error> {
        let visitor = self.deeper(visitor)?;
        self.inner.deserialize_newtype_struct(name, visitor)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        let visitor = self.deeper(Counted(visitor))?;
        self.inner.deserialize_seq(visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        let visitor = self.deeper(Counted(visitor))?;
        self.inner.deserialize_map(visitor)
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, D::Error> {
        let visitor = self.deeper(visitor)?;
        self.inner.deserialize_tuple(len, visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        len: usize,
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        let visitor = self.deeper(visitor)?;
        self.inner.deserialize_tuple_struct(name, len, visitor)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        let visitor = self.deeper(visitor)?;
        self.inner.deserialize_struct(name, fields, visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        let visitor = self.deeper(visitor)?;
        self.inner.deserialize_enum(name, variants, visitor)
    }

    fn is_human_readable(&self) -> bool {
        self.inner.is_human_readable()
    }
}

/// Only what bincode calls on the visitor of something compound.
impl<'de, V: Visitor<'de>> Visitor<'de> for Bounded<'_, V> {
    type Value = V::Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.expecting(f)
    }
    fn visit_none<E: serde::de::Error>(self) -> Result<V::Value, E> {
        self.inner.visit_none()
    }
    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<V::Value, D::Error> {
        let deserializer = self.with(deserializer);
        self.inner.visit_some(deserializer)
    }
    fn visit_newtype_struct<D: Deserializer<'de>>(self, deserializer: D) -> Result<V::Value, D::Error> {
        let deserializer = self.with(deserializer);
        self.inner.visit_newtype_struct(deserializer)
    }
    fn visit_seq<A: SeqAccess<'de>>(self, access: A) -> Result<V::Value, A::Error> {
        let access = self.with(access);
        self.inner.visit_seq(access)
    }
    fn visit_enum<A: EnumAccess<'de>>(self, access: A) -> Result<V::Value, A::Error> {
        let access = self.with(access);
        self.inner.visit_enum(access)
    }
}

impl<'de, V: Visitor<'de>> Visitor<'de> for Bounded<'_, Counted<V>> {
    type Value = V::Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.0.expecting(f)
    }
    fn visit_seq<A: SeqAccess<'de>>(self, access: A) -> Result<V::Value, A::Error> {
        self.count(access.size_hint())?;
        let access = self.with(access);
        self.inner.0.visit_seq(access)
    }
    fn visit_map<A: MapAccess<'de>>(self, access: A) -> Result<V::Value, A::Error> {
        self.count(access.size_hint())?;
        let access = self.with(access);
        self.inner.0.visit_map(access)
    }
}

impl<'de, A: SeqAccess<'de>> SeqAccess<'de> for Bounded<'_, A> {
    type Error = A::Error;
    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, A::Error> {
        let seed = self.with(seed);
        self.inner.next_element_seed(seed)
    }
    fn size_hint(&self) -> Option<usize> {
        self.inner.size_hint()
    }
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for Bounded<'_, A> {
    type Error = A::Error;
    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, A::Error> {
        let seed = self.with(seed);
        self.inner.next_key_seed(seed)
    }
    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, A::Error> {
        let seed = self.with(seed);
        self.inner.next_value_seed(seed)
    }
    fn size_hint(&self) -> Option<usize> {
        self.inner.size_hint()
    }
}

impl<'de, 'b, A: EnumAccess<'de>> EnumAccess<'de> for Bounded<'b, A> {
    type Error = A::Error;
    type Variant = Bounded<'b, A::Variant>;
    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self::Variant), A::Error> {
        let (depth, elements) = (self.depth, self.elements);
        let (value, inner) = self.inner.variant_seed(seed)?;
        Ok((value, Bounded { inner, depth, elements }))
    }
}

impl<'de, A: VariantAccess<'de>> VariantAccess<'de> for Bounded<'_, A> {
    type Error = A::Error;
    fn unit_variant(self) -> Result<(), A::Error> {
        self.inner.unit_variant()
    }
    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, A::Error> {
        let seed = self.with(seed);
        self.inner.newtype_variant_seed(seed)
    }
    fn tuple_variant<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, A::Error> {
        let visitor = self.with(visitor);
        self.inner.tuple_variant(len, visitor)
    }
    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, A::Error> {
        let visitor = self.with(visitor);
        self.inner.struct_variant(fields, visitor)
    }
}
