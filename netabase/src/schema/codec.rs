//! Values as bytes: the only place that names bincode. Used for stored values, commands, log rows and frames.
//!
//! Standard configuration: little-endian, variable-length integers. `decode` takes input from strangers: it must read
//! all of it, allocates no more than the input is long, and follows nesting only so deep (see `bounded`).

mod bounded;

use bincode::config::{Configuration, standard};
use serde::Serialize;
use serde::de::DeserializeOwned;

const CONFIGURATION: Configuration = standard();

/// Why a value cannot be written or read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CodecError {
    #[error("{0}")]
    Encode(#[from] bincode::error::EncodeError),
    #[error("{0}")]
    Decode(#[from] bincode::error::DecodeError),
    #[error("{0} bytes are left over at the end")]
    Trailing(usize),
}

/// The bytes of a value.
pub(crate) fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>, CodecError> {
    Ok(bincode::serde::encode_to_vec(value, CONFIGURATION)?)
}

/// Appends the bytes of a value.
pub(crate) fn encode_into<T: Serialize>(value: &T, out: &mut Vec<u8>) -> Result<(), CodecError> {
    bincode::serde::encode_into_std_write(value, out, CONFIGURATION)?;
    Ok(())
}

/// The value of which these are the bytes, all of them.
pub(crate) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, CodecError> {
    bounded::decode(bytes)
}

#[cfg(test)]
mod tests;
