//! `uuid::Uuid`: its 16 bytes, which sort as it does.

use std::fmt::{self, Display};

use ::uuid::Uuid;

use super::part::itself;
use super::{Key, KeyError, KeyForm, native_key, serde_key, take};
use crate::schema::selection::values;
use crate::schema::{Bounds, FirstFields, IntoPart, IntoPrefix, IntoSelection, KeyParts};

#[diagnostic::do_not_recommend]
impl Key for Uuid {
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.as_bytes());
    }
    fn decode(input: &mut &[u8]) -> Result<Self, KeyError> {
        take(input).map(Uuid::from_bytes)
    }
    fn form() -> KeyForm {
        KeyForm::Array(16)
    }
    fn show(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Display::fmt(self, f)
    }
    native_key!();
    serde_key!();
}

itself! { Uuid }
values! { [] Uuid; }

#[cfg(test)]
mod tests {
    use ::uuid::Uuid;

    use crate::schema::key::tests::check_all;

    #[test]
    fn they_sort_and_come_back() {
        let edges = [0, 1, u128::MAX / 2, 1 << 127, u128::MAX - 1, u128::MAX, 0x0123_4567_89ab_cdef << 32];
        check_all(&edges.map(Uuid::from_u128));
    }
}
