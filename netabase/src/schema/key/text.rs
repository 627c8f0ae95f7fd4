//! Strings and byte strings.
//!
//! Of unknown length, so escaped and terminated: a zero byte becomes `00 FF`, the end is `00 00`. The end sorts before
//! any continuation, so "a" < "a\0" < "ab", also when other fields follow. Arrays have a known length and stay as is.

use std::fmt::{self, Display, Write};

use serde::de::{Error as _, SeqAccess, Visitor};
use serde::ser::SerializeTuple;
use serde::{Deserializer, Serializer};

use super::{Key, KeyError, KeyForm, native_key, serde_key, take};

/// Appends `bytes` escaped, without the end: what every longer string that starts with them starts with, too.
pub(crate) fn escape(bytes: &[u8], out: &mut Vec<u8>) {
    for &byte in bytes {
        out.push(byte);
        if byte == 0 {
            out.push(0xFF);
        }
    }
}

/// A key of one string, which can be asked for what it starts with.
#[doc(hidden)]
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not text",
    label = "expected a `String`, or a struct with one and `#[derive(NetabaseKey)]`"
)]
pub trait Text {}

impl Text for String {}

/// For the bounds of generated impls: about a type that is no text they then say nothing.
#[doc(hidden)]
pub trait TextFor<'a>: Text {}

impl<T: Text> TextFor<'_> for T {}

fn unescape(input: &mut &[u8]) -> Result<Vec<u8>, KeyError> {
    let mut out = Vec::new();
    loop {
        match **input {
            [0, 0, ..] => {
                *input = &input[2..];
                return Ok(out);
            }
            [0, 0xFF, ..] => {
                out.push(0);
                *input = &input[2..];
            }
            [] | [0] => return Err(KeyError::Short),
            [0, ..] => return Err(KeyError::Malformed),
            [byte, ..] => {
                out.push(byte);
                *input = &input[1..];
            }
        }
    }
}

fn hex(bytes: &[u8], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        write!(text, "{byte:02x}")?;
    }
    f.pad(&text)
}

#[diagnostic::do_not_recommend]
impl Key for String {
    fn encode(&self, out: &mut Vec<u8>) {
        escape(self.as_bytes(), out);
        out.extend_from_slice(&[0, 0]);
    }
    fn decode(input: &mut &[u8]) -> Result<Self, KeyError> {
        String::from_utf8(unescape(input)?).map_err(|_| KeyError::Malformed)
    }
    fn form() -> KeyForm {
        KeyForm::Text
    }
    fn show(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Display::fmt(self, f)
    }
    native_key!();
    serde_key!();
}

#[diagnostic::do_not_recommend]
impl Key for Vec<u8> {
    fn encode(&self, out: &mut Vec<u8>) {
        escape(self, out);
        out.extend_from_slice(&[0, 0]);
    }
    fn decode(input: &mut &[u8]) -> Result<Self, KeyError> {
        unescape(input)
    }
    fn form() -> KeyForm {
        KeyForm::Bytes
    }
    fn show(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        hex(self, f)
    }
    native_key!();
    serde_key!();
}

#[diagnostic::do_not_recommend]
impl<const N: usize> Key for [u8; N] {
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self);
    }
    fn decode(input: &mut &[u8]) -> Result<Self, KeyError> {
        take(input)
    }
    fn form() -> KeyForm {
        KeyForm::Array(N as u64)
    }
    fn show(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        hex(self, f)
    }
    native_key!();

    // As serde has it for the lengths it knows: a tuple of N bytes.
    fn serialize_key<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut tuple = serializer.serialize_tuple(N)?;
        for byte in self {
            tuple.serialize_element(byte)?;
        }
        tuple.end()
    }

    fn deserialize_key<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Bytes<const N: usize>;
        impl<'de, const N: usize> Visitor<'de> for Bytes<N> {
            type Value = [u8; N];
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{N} bytes")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<[u8; N], A::Error> {
                let mut bytes = [0; N];
                for (index, byte) in bytes.iter_mut().enumerate() {
                    *byte = access.next_element()?.ok_or_else(|| A::Error::invalid_length(index, &self))?;
                }
                Ok(bytes)
            }
        }
        deserializer.deserialize_tuple(N, Bytes)
    }
}
