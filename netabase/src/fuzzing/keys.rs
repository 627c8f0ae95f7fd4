//! Keys: order, round trip, no encoding a prefix of another, and decoding of anything.

use std::cmp::Ordering;
use std::fmt::Debug;
use std::ops::{Bound, RangeBounds};

use super::input::Input;
use super::sample::{Note, Person};
use crate::schema::{Bounds, IntoRange, IntoSelection, Key, KeyParts, Record, leading, shown, starts_with};

/// What a choice of bytes stands for.
trait Made: Sized {
    fn made(input: &mut Input<'_>) -> Self;
}

macro_rules! numbers {
    ($($t:ty)*) => { $(
        impl Made for $t {
            /// Near zero and the ends, or any.
            fn made(input: &mut Input<'_>) -> Self {
                let choice = input.byte();
                match choice % 4 {
                    0 => <$t>::from_be_bytes(input.array()),
                    1 => <$t>::MIN.wrapping_add((choice / 4) as $t),
                    2 => <$t>::MAX.wrapping_sub((choice / 4) as $t),
                    _ => ((choice / 4) as $t).wrapping_sub(2),
                }
            }
        }
    )* };
}

numbers! { u8 u16 u32 u64 u128 i8 i16 i32 i64 i128 }

impl Made for bool {
    fn made(input: &mut Input<'_>) -> Self {
        input.flag()
    }
}

impl Made for char {
    fn made(input: &mut Input<'_>) -> Self {
        char::from_u32(u32::from_be_bytes(input.array()) & 0x1f_ffff).unwrap_or('\0')
    }
}

impl Made for String {
    fn made(input: &mut Input<'_>) -> Self {
        input.text()
    }
}

impl Made for Vec<u8> {
    fn made(input: &mut Input<'_>) -> Self {
        input.block().to_vec()
    }
}

impl<const N: usize> Made for [u8; N] {
    fn made(input: &mut Input<'_>) -> Self {
        input.array()
    }
}

impl<T: Made> Made for Option<T> {
    fn made(input: &mut Input<'_>) -> Self {
        input.optional(T::made)
    }
}

macro_rules! tuples {
    ($(($($t:ident)*))*) => { $(
        impl<$($t: Made),*> Made for ($($t,)*) {
            fn made(input: &mut Input<'_>) -> Self {
                ($($t::made(input),)*)
            }
        }
    )* };
}

tuples! { (A) (A B) (A B C) (A B C D) (A B C D E F) }

/// The key types of the derive.
struct Parts<K>(K);

impl<K: KeyParts<Parts: Made>> Made for Parts<K> {
    fn made(input: &mut Input<'_>) -> Self {
        Parts(K::from_parts(K::Parts::made(input)))
    }
}

/// One key type, by the first byte; then two keys of it, made or decoded of the rest.
pub fn keys(data: &[u8]) {
    macro_rules! types {
        ($input:ident, $($number:literal => $t:ty;)*) => {
            match $input.byte() {
                $($number => check::<$t>(&mut $input),)*
                100 => generated::<<Person as Record>::Key>(&mut $input),
                101 => generated::<<Note as Record>::Key>(&mut $input),
                _ => selections(&mut $input),
            }
        };
    }
    let mut input = Input::new(data);
    types! { input,
        0 => u8; 1 => u16; 2 => u32; 3 => u64; 4 => u128; 5 => i8; 6 => i16; 7 => i32; 8 => i64; 9 => i128;
        10 => bool; 11 => char; 12 => String; 13 => Vec<u8>; 14 => [u8; 0]; 15 => [u8; 3]; 16 => [u8; 40];
        17 => Option<u8>; 18 => Option<String>; 19 => Option<Option<Vec<u8>>>; 20 => Option<(String, bool)>;
        21 => (String,); 22 => (String, String); 23 => (Vec<u8>, u16); 24 => (i64, Option<String>, bool);
        25 => (Option<Vec<u8>>, String, u32, char); 26 => (String, bool, Vec<u8>, i8, Option<u128>, [u8; 2]);
        27 => ((u8, String), (i16, (bool, Vec<u8>)));
    }
}

fn check<K: Key + Ord + Debug + Made>(input: &mut Input<'_>) {
    if input.flag() {
        decoded::<K>(std::mem::replace(input, Input::new(&[])).rest());
    } else {
        let (a, b) = (K::made(input), K::made(input));
        ordered(&a, &b);
    }
}

fn generated<K: Key + Ord + Debug + KeyParts<Parts: Made + Key + Ord>>(input: &mut Input<'_>) {
    if input.flag() {
        return decoded::<K>(std::mem::replace(input, Input::new(&[])).rest());
    }
    let (a, b) = (K::Parts::made(input), K::Parts::made(input));
    let (key_a, key_b) = (K::from_parts(a.clone_key()), K::from_parts(b.clone_key()));
    ordered(&key_a, &key_b);
    assert_eq!(key_a.cmp(&key_b), a.cmp(&b), "a key of fields sorts as their tuple");
    assert_eq!(key_a.to_bytes(), a.to_bytes(), "and is the same bytes");
}

fn ordered<K: Key + Ord + Debug>(a: &K, b: &K) {
    let (bytes_a, bytes_b) = (a.to_bytes(), b.to_bytes());
    assert_eq!(bytes_a.cmp(&bytes_b), a.cmp(b), "{a:?} {b:?}");
    if a.cmp(b) != Ordering::Equal {
        assert!(!bytes_a.starts_with(&bytes_b) && !bytes_b.starts_with(&bytes_a), "{a:?} {b:?}");
    }
    let both = [&bytes_a[..], &bytes_b].concat();
    let mut rest = &both[..];
    assert_eq!(K::decode(&mut rest).as_ref(), Ok(a));
    assert_eq!(rest, bytes_b);
    assert_eq!(K::decode(&mut rest).as_ref(), Ok(b));
    assert!(rest.is_empty());
    let _ = (shown(&K::form(), &bytes_a), shown(&K::form(), &bytes_a[..bytes_a.len() / 2]));
}

/// What is accepted is what is written for it.
fn decoded<K: Key + Ord + Debug>(bytes: &[u8]) {
    let _ = shown(&K::form(), bytes);
    let mut rest = bytes;
    if let Ok(key) = K::decode(&mut rest) {
        assert_eq!(key.to_bytes(), bytes[..bytes.len() - rest.len()], "{key:?}");
        if let Ok(next) = K::decode(&mut rest) {
            ordered(&key, &next);
        }
    }
}

fn contains(bounds: &Bounds, key: &[u8]) -> bool {
    let bounds = (bounds.lower.as_ref().map(Vec::as_slice), bounds.upper.as_ref().map(Vec::as_slice));
    RangeBounds::<[u8]>::contains(&bounds, key)
}

/// What may stand in the brackets of a query selects by bytes what it selects by value.
fn selections(input: &mut Input<'_>) {
    type Name = <Person as Record>::Key;
    let (key, from, to) = (input.text(), input.text(), input.text());
    let bytes = Name::from_parts(key.clone()).to_bytes();
    let is_in = |bounds: Bounds| contains(&bounds, &bytes);
    assert_eq!(is_in(IntoRange::<Name>::into_bounds(starts_with(from.clone()))), key.starts_with(&from));
    assert_eq!(is_in(IntoRange::<Name>::into_bounds(&*from..&*to)), from <= key && key < to);
    assert_eq!(is_in(IntoRange::<Name>::into_bounds(&*from..=&*to)), from <= key && key <= to);
    assert_eq!(is_in(IntoRange::<Name>::into_bounds(&*from..)), from <= key);
    assert_eq!(is_in(IntoRange::<Name>::into_bounds(..&*to)), key < to);
    assert_eq!(is_in(IntoRange::<Name>::into_bounds(..=&*to)), key <= to);
    assert_eq!(is_in(IntoSelection::<Name>::into_selection(&*from)), key == from);

    type Title = <Note as Record>::Key;
    let (topic, first): (u8, u8) = (Made::made(input), Made::made(input));
    let bytes = Title::from_parts((topic, key.clone())).to_bytes();
    assert_eq!(contains(&IntoSelection::<Title>::into_selection(leading(first)), &bytes), topic == first);
    let bounds = IntoSelection::<Title>::into_selection((first, &*from)..(first, &*to));
    assert_eq!(contains(&bounds, &bytes), (first, &from) <= (topic, &key) && (topic, &key) < (first, &to));
    let above = crate::schema::successor(bytes.clone());
    if let Bound::Excluded(above) = &above {
        assert!(bytes < *above && !above.starts_with(&bytes));
    }
    let made = Parts::<Title>::made(input).0;
    ordered(&made, &Title::from_parts((topic, key)));
}
