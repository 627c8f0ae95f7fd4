//! Numbers, truth values and characters: fixed-width big-endian bytes, the sign bit flipped.

use std::fmt::{self, Display};

use super::{Key, KeyError, KeyForm, native_key, serde_key, take};

macro_rules! unsigned {
    ($($t:ty)*) => { $(
        #[diagnostic::do_not_recommend]
        impl Key for $t {
            fn encode(&self, out: &mut Vec<u8>) {
                out.extend_from_slice(&self.to_be_bytes());
            }
            fn decode(input: &mut &[u8]) -> Result<Self, KeyError> {
                take(input).map(Self::from_be_bytes)
            }
            fn form() -> KeyForm {
                KeyForm::Unsigned(size_of::<$t>() as u8)
            }
            fn show(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                Display::fmt(self, f)
            }
            native_key!();
    serde_key!();
        }
    )* };
}

macro_rules! signed {
    ($($t:ty)*) => { $(
        #[diagnostic::do_not_recommend]
        impl Key for $t {
            fn encode(&self, out: &mut Vec<u8>) {
                out.extend_from_slice(&(*self ^ <$t>::MIN).to_be_bytes());
            }
            fn decode(input: &mut &[u8]) -> Result<Self, KeyError> {
                take(input).map(|bytes| Self::from_be_bytes(bytes) ^ <$t>::MIN)
            }
            fn form() -> KeyForm {
                KeyForm::Signed(size_of::<$t>() as u8)
            }
            fn show(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                Display::fmt(self, f)
            }
            native_key!();
    serde_key!();
        }
    )* };
}

unsigned! { u8 u16 u32 u64 u128 }
signed! { i8 i16 i32 i64 i128 }

#[diagnostic::do_not_recommend]
impl Key for bool {
    fn encode(&self, out: &mut Vec<u8>) {
        out.push(u8::from(*self));
    }
    fn decode(input: &mut &[u8]) -> Result<Self, KeyError> {
        match take(input)? {
            [0] => Ok(false),
            [1] => Ok(true),
            _ => Err(KeyError::Malformed),
        }
    }
    fn form() -> KeyForm {
        KeyForm::Bool
    }
    fn show(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Display::fmt(self, f)
    }
    native_key!();
    serde_key!();
}

#[diagnostic::do_not_recommend]
impl Key for char {
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&u32::from(*self).to_be_bytes());
    }
    fn decode(input: &mut &[u8]) -> Result<Self, KeyError> {
        char::from_u32(u32::from_be_bytes(take(input)?)).ok_or(KeyError::Malformed)
    }
    fn form() -> KeyForm {
        KeyForm::Char
    }
    fn show(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Display::fmt(self, f)
    }
    native_key!();
    serde_key!();
}
