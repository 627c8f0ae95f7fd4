use std::cmp::Ordering;
use std::fmt::Debug;

use proptest::collection::vec;
use proptest::prelude::*;

use super::{IntoPart, Key, KeyError, decode_all};

/// Order, round trip, no encoding a prefix of another one, and exact consumption, of two keys.
fn check<K: Key + Ord + Debug>(a: &K, b: &K) -> Result<(), TestCaseError> {
    let (bytes_a, bytes_b) = (a.to_bytes(), b.to_bytes());
    prop_assert_eq!(bytes_a.cmp(&bytes_b), a.cmp(b), "{:?} {:?}", a, b);
    if a.cmp(b) != Ordering::Equal {
        prop_assert!(!bytes_a.starts_with(&bytes_b) && !bytes_b.starts_with(&bytes_a));
    }
    let both = [bytes_a, bytes_b].concat();
    let mut rest = both.as_slice();
    prop_assert_eq!(&K::decode(&mut rest).map_err(|e| TestCaseError::fail(e.to_string()))?, a);
    prop_assert_eq!(&decode_all::<K>(rest).map_err(|e| TestCaseError::fail(e.to_string()))?, b);
    Ok(())
}

/// Alone, in tuples on either side of others, and in `Option`.
fn check_everywhere<K: Key + Clone + Ord + Debug>(a: K, b: K, text: &str, number: i32) -> Result<(), TestCaseError> {
    check(&a, &b)?;
    check(&Some(a.clone()), &None)?;
    check(&Some(a.clone()), &Some(b.clone()))?;
    check(&Some(Some(a.clone())), &Some(None))?;
    check(&(a.clone(),), &(b.clone(),))?;
    check(&(a.clone(), number), &(b.clone(), number.wrapping_add(1)))?;
    check(&(a.clone(), text.to_owned()), &(b.clone(), String::new()))?;
    check(&(text.to_owned(), a.clone()), &(text.to_owned(), b.clone()))?;
    check(&(a.clone(), b.clone(), number), &(b.clone(), a.clone(), number))?;
    check(&(a.clone(), (b.clone(), number)), &(a, (b, 0)))
}

/// Every one with every other one.
#[cfg(any(feature = "chrono", feature = "time", feature = "uuid"))]
pub(super) fn check_all<K: Key + Clone + Ord + Debug>(keys: &[K]) {
    for a in keys {
        for b in keys {
            check(a, b).unwrap();
        }
        check_everywhere(a.clone(), keys[0].clone(), "a", 7).unwrap();
    }
}

/// Bytes at the ends of all that there are, some of which stand for no value.
#[cfg(any(feature = "chrono", feature = "time"))]
pub(super) fn decode_edges<K: Key + Debug>() {
    for first in [0, 1, 0x7F, 0x80, 0xFF] {
        for last in [0, 1, 0x3B, 0x80, 0xFF] {
            decode_any::<K>(&[[first; 4], [last; 4], [first; 4]].concat());
            decode_any::<K>(&[[first; 8], [last; 8]].concat());
        }
    }
}

/// Zero and 0xFF bytes are what escaping gets wrong, short strings what prefixes get wrong.
fn bytes() -> impl Strategy<Value = Vec<u8>> {
    vec(prop_oneof![Just(0u8), Just(1), Just(0xFE), Just(0xFF), any::<u8>()], 0..6)
}

fn text() -> impl Strategy<Value = String> {
    vec(prop_oneof![Just('\0'), Just('\u{1}'), Just('a'), Just('\u{FF}'), Just(char::MAX), any::<char>()], 0..6)
        .prop_map(String::from_iter)
}

/// Numbers near each other and at the ends of their range, as well as any.
macro_rules! keys {
    ($($name:ident: $strategy:expr;)*) => { $(
        proptest! {
            #[test]
            fn $name((a, b) in ($strategy, $strategy), text in text(), number in any::<i32>()) {
                check_everywhere(a, b, &text, number)?;
            }
        }
    )* };
}

macro_rules! number {
    ($t:ty) => {
        prop_oneof![any::<$t>(), 0..=3 as $t, Just(<$t>::MIN), Just(<$t>::MAX), Just(<$t>::MAX / 2)]
    };
}

keys! {
    u8_keys: number!(u8);
    u16_keys: number!(u16);
    u32_keys: number!(u32);
    u64_keys: number!(u64);
    u128_keys: number!(u128);
    i8_keys: prop_oneof![any::<i8>(), -2..=2i8];
    i16_keys: prop_oneof![number!(i16), -2..=2i16];
    i32_keys: prop_oneof![number!(i32), -2..=2i32];
    i64_keys: prop_oneof![number!(i64), -2..=2i64];
    i128_keys: prop_oneof![number!(i128), -2..=2i128];
    bool_keys: any::<bool>();
    char_keys: prop_oneof![any::<char>(), Just('\0'), Just(char::MAX)];
    string_keys: text();
    bytes_keys: bytes();
    array_keys: any::<[u8; 3]>();
    empty_array_keys: Just([0u8; 0]);
    long_array_keys: any::<u8>().prop_map(|byte| [byte; 40]);
    option_keys: proptest::option::of(number!(u16));
    option_text_keys: proptest::option::of(text());
    tuple_keys: (text(), number!(u16), bytes());
    six_keys: (text(), any::<bool>(), bytes(), -1..1i8, text(), any::<char>());
}

/// Whatever the bytes, `decode` returns, and what it accepts is what `encode` writes.
fn decode_any<K: Key + Debug>(input: &[u8]) {
    let mut rest = input;
    if let Ok(key) = K::decode(&mut rest) {
        assert_eq!(key.to_bytes(), input[..input.len() - rest.len()], "{key:?}");
    }
}

proptest! {
    #[test]
    fn any_bytes_decode_or_fail(input in vec(prop_oneof![0..=2u8, Just(0xFF), any::<u8>()], 0..40)) {
        decode_any::<u8>(&input);
        decode_any::<i128>(&input);
        decode_any::<bool>(&input);
        decode_any::<char>(&input);
        decode_any::<String>(&input);
        decode_any::<Vec<u8>>(&input);
        decode_any::<[u8; 9]>(&input);
        decode_any::<Option<Option<String>>>(&input);
        decode_any::<(Option<Vec<u8>>, String, u32)>(&input);
        decode_any::<(bool, char, Option<(u8, String)>, i16, Vec<u8>, [u8; 2])>(&input);
    }
}

#[test]
fn leftovers_are_an_error() {
    assert_eq!(decode_all::<u8>(&[1, 2, 3]), Err(KeyError::Trailing(2)));
    assert_eq!(decode_all::<u16>(&[1]), Err(KeyError::Short));
    assert_eq!(decode_all::<bool>(&[2]), Err(KeyError::Malformed));
    assert_eq!(decode_all::<String>(b"a"), Err(KeyError::Short));
    assert_eq!(decode_all::<String>(&[b'a', 0, 7]), Err(KeyError::Malformed));
}

/// These bytes are on disks: a change here needs a migration.
#[test]
fn the_bytes_stay_as_they_are() {
    assert_eq!(7u16.to_bytes(), [0, 7]);
    assert_eq!((-1i16).to_bytes(), [0x7F, 0xFF]);
    assert_eq!("a\0b".to_owned().to_bytes(), [b'a', 0, 0xFF, b'b', 0, 0]);
    assert_eq!((Some(true), 'a', [9u8, 8]).to_bytes(), [1, 1, 0, 0, 0, b'a', 9, 8]);
    assert_eq!(None::<u64>.to_bytes(), [0]);
}

#[test]
fn text_comes_from_whatever_is_at_hand() {
    let owned = "x".to_owned();
    let parts: [String; 3] = ["x".into_part(), (&owned).into_part(), owned.clone().into_part()];
    assert!(parts.iter().all(|part| *part == owned));
    let pair: (String, Option<u8>) = ("x", Some(1)).into_part();
    assert_eq!(pair, (owned, Some(1)));
}
