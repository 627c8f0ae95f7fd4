//! Key bytes for people: what a query's bounds are, by the form of the key alone.

use std::fmt::Write;

use super::{Key, KeyError, KeyForm};

/// The key that these bytes are, or the part of it that they begin with, which then ends in `…`.
pub(crate) fn shown(form: &KeyForm, mut bytes: &[u8]) -> String {
    let mut out = String::new();
    if show(form, &mut bytes, &mut out).is_err() {
        out.push('…');
    } else if !bytes.is_empty() {
        hex(bytes, &mut out);
    }
    out
}

/// Appends what is there of the key; an error where the bytes end within it, or are none of it.
fn show(form: &KeyForm, input: &mut &[u8], out: &mut String) -> Result<(), KeyError> {
    if input.is_empty() && *form != KeyForm::Array(0) {
        return Err(KeyError::Short);
    }
    match form {
        KeyForm::Unsigned(bytes) => {
            let number = number(*bytes, input, out)?;
            say(out, number)
        }
        KeyForm::Signed(bytes) => {
            let number = number(*bytes, input, out)?;
            // The sign bit is flipped; what is above it takes the sign.
            let bits = u32::from(*bytes) * 8;
            let sign = 1_u128 << (bits - 1);
            say(out, (number ^ sign).wrapping_shl(128 - bits).cast_signed() >> (128 - bits))
        }
        KeyForm::Bool => say(out, bool::decode(input)?),
        KeyForm::Char => {
            let shown = char::decode(input)?;
            write!(out, "{shown:?}").map_err(|_| KeyError::Malformed)
        }
        KeyForm::Text => {
            let mut rest = *input;
            let whole = String::decode(&mut rest);
            let text = whole.as_ref().map_or_else(|_| unterminated(input), Clone::clone);
            *input = rest;
            write!(out, "{text:?}").map_err(|_| KeyError::Malformed)?;
            whole.map(drop)
        }
        KeyForm::Bytes => {
            let mut rest = *input;
            let whole = Vec::<u8>::decode(&mut rest);
            hex(whole.as_deref().unwrap_or(input), out);
            *input = rest;
            whole.map(drop)
        }
        KeyForm::Array(length) => {
            let (head, rest) = input.split_at(usize::try_from(*length).unwrap_or(usize::MAX).min(input.len()));
            *input = rest;
            hex(head, out);
            if head.len() as u64 == *length { Ok(()) } else { Err(KeyError::Short) }
        }
        KeyForm::Option(inner) => match input.split_first() {
            Some((0, rest)) => {
                *input = rest;
                say(out, "none")
            }
            Some((_, rest)) => {
                *input = rest;
                show(inner, input, out)
            }
            None => Err(KeyError::Short),
        },
        KeyForm::Variants(names) => {
            let position = u16::decode(input).inspect_err(|_| hex(input, out))?;
            let name = names.get(usize::from(position)).ok_or(KeyError::Malformed)?;
            say(out, name)
        }
        KeyForm::Tuple(parts) => show_all(parts, input, out),
        KeyForm::Fields(fields) => show_all(fields.iter().map(|(_, form)| form), input, out),
    }
}

fn show_all<'a>(
    parts: impl IntoIterator<Item = &'a KeyForm>,
    input: &mut &[u8],
    out: &mut String,
) -> Result<(), KeyError> {
    for (at, part) in parts.into_iter().enumerate() {
        if at > 0 {
            out.push('/');
        }
        show(part, input, out)?;
    }
    Ok(())
}

fn say(out: &mut String, value: impl std::fmt::Display) -> Result<(), KeyError> {
    write!(out, "{value}").map_err(|_| KeyError::Malformed)
}

/// Big-endian, of so many bytes; of too few, their hex.
fn number(bytes: u8, input: &mut &[u8], out: &mut String) -> Result<u128, KeyError> {
    let Some((head, rest)) = input.split_at_checked(bytes.into()) else {
        hex(std::mem::take(input), out);
        return Err(KeyError::Short);
    };
    *input = rest;
    Ok(head.iter().fold(0, |number, byte| number << 8 | u128::from(*byte)))
}

/// The start of a string, as `starts_with` gives it.
fn unterminated(bytes: &[u8]) -> String {
    let mut text = Vec::with_capacity(bytes.len());
    let mut after_zero = false;
    for &byte in bytes {
        // The byte that escapes a zero.
        if !(after_zero && byte == 0xFF) {
            text.push(byte);
        }
        after_zero = byte == 0;
    }
    String::from_utf8_lossy(&text).into_owned()
}

fn hex(bytes: &[u8], out: &mut String) {
    out.extend(bytes.iter().map(|byte| format!("{byte:02x}")));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::key::escape;

    fn whole<K: Key>(key: &K) -> String {
        shown(&K::form(), &key.to_bytes())
    }

    #[test]
    fn whole_keys_read_as_they_are_written() {
        assert_eq!(whole(&7_u64), "7");
        assert_eq!(whole(&u128::MAX), u128::MAX.to_string());
        assert_eq!(
            [whole(&i8::MIN), whole(&-1_i64), whole(&i128::MIN), whole(&5_i16)],
            ["-128".to_owned(), "-1".to_owned(), i128::MIN.to_string(), "5".to_owned()]
        );
        assert_eq!(whole(&"a\0b".to_owned()), "\"a\\0b\"");
        assert_eq!(whole(&(true, 'x')), "true/'x'");
        assert_eq!(whole(&(Some(3_u8), None::<String>)), "3/none");
        assert_eq!(whole(&vec![0_u8, 0xAB]), "00ab");
        let form = KeyForm::Variants(vec!["Open".to_owned(), "Closed".to_owned()]);
        assert_eq!([shown(&form, &[0, 1]), shown(&form, &[0]), shown(&form, &[0, 2])], ["Closed", "00…", "…"]);
        assert_eq!(whole(&[1_u8, 2]), "0102");
    }

    #[test]
    fn parts_of_keys_end_in_dots() {
        let mut prefix = Vec::new();
        escape(b"li", &mut prefix);
        assert_eq!(shown(&KeyForm::Text, &prefix), "\"li\"…");
        let form = <(String, u32)>::form();
        assert_eq!(shown(&form, &"Paris".to_owned().to_bytes()), "\"Paris\"/…");
        let form = KeyForm::Fields(vec![("city".to_owned(), KeyForm::Text), ("stock".to_owned(), KeyForm::Signed(8))]);
        assert_eq!(shown(&form, &("Paris".to_owned(), -1_i64).to_bytes()), "\"Paris\"/-1");
        assert_eq!(shown(&form, &"Paris".to_owned().to_bytes()), "\"Paris\"/…");
        assert_eq!(shown(&KeyForm::Unsigned(4), &[1, 2]), "0102…");
        assert_eq!(shown(&KeyForm::Array(4), &[1, 2]), "0102…");
        assert_eq!(shown(&KeyForm::Bytes, &[7]), "07…");
        assert_eq!(shown(&KeyForm::Unsigned(1), &[7, 8]), "708");
        assert_eq!(shown(&form, &[]), "…");
    }

    proptest::proptest! {
        /// No bytes make it panic, whatever the form.
        #[test]
        fn showing_is_total(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..24)) {
            for form in [
                <(String, i64)>::form(),
                <Option<(u16, Vec<u8>)>>::form(),
                <(char, bool, [u8; 3])>::form(),
                <(i128, u128)>::form(),
            ] {
                let _ = shown(&form, &bytes);
            }
        }
    }
}
