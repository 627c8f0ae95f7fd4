//! What may stand in the brackets of `all`, `range`, `prefix` and `by_…`, and the byte bounds it turns into.
//!
//! The traits are public because they are in the signatures of queries; users meet them only in error messages, which
//! is what their attributes are for.

use std::ops::{Bound, Range, RangeFrom, RangeFull, RangeInclusive, RangeTo, RangeToInclusive};

use super::key::{IntoPart, Key, KeyParts, Text, escape};
use super::plan::successor;

/// Bounds over encoded keys.
#[doc(hidden)]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bounds {
    pub lower: Bound<Vec<u8>>,
    pub upper: Bound<Vec<u8>>,
}

impl Bounds {
    #[doc(hidden)]
    #[must_use]
    pub fn exactly(key: &impl Key) -> Bounds {
        let bytes = key.to_bytes();
        Bounds { lower: Bound::Included(bytes.clone()), upper: Bound::Included(bytes) }
    }

    pub(crate) fn everything() -> Bounds {
        Bounds { lower: Bound::Unbounded, upper: Bound::Unbounded }
    }

    #[doc(hidden)]
    #[must_use]
    pub fn starting_with(prefix: Vec<u8>) -> Bounds {
        Bounds { lower: Bound::Included(prefix.clone()), upper: successor(prefix) }
    }

    /// `20..10` selects nothing; bounds the wrong way round make ordered maps panic.
    fn in_order(self) -> Bounds {
        match (&self.lower, &self.upper) {
            (Bound::Included(low), Bound::Included(high) | Bound::Excluded(high)) if low > high => {
                Bounds { lower: Bound::Included(high.clone()), upper: Bound::Excluded(high.clone()) }
            }
            _ => self,
        }
    }
}

/// A value that converts to the key type `K`: `7`, `"name"`, `(7, 3)`, or the key itself.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be used as `{K}`",
    label = "wrong type for this key",
    note = "it must have the type of the key's field: convert a number first, e.g. with `u64::from(..)` or `u64::try_from(..)?`, and write a type of your own as itself, `Id(7)`; a key of several fields is a tuple of them"
)]
pub trait IntoKey<K> {
    /// The key.
    fn into_key(self) -> K;
}

#[diagnostic::do_not_recommend]
impl<K: Key, T: Into<K>> IntoKey<K> for T {
    fn into_key(self) -> K {
        self.into()
    }
}

/// A range of keys: `a..b`, `a..=b`, `a..`, `..b`, `..=b`, `..`, or, over strings, [`starts_with`].
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a range of `{K}`",
    label = "expected a range such as `a..b`, `a..=b`, `a..` or `..`",
    note = "`get_record` reads a single key; `starts_with(\"…\")` is a range of a string key"
)]
pub trait IntoRange<K> {
    #[doc(hidden)]
    fn into_bounds(self) -> Bounds;
}

/// What an index is asked for: a value, a range of values, over strings [`starts_with`], over several fields [`leading`].
#[diagnostic::on_unimplemented(
    message = "`{Self}` is neither a value nor a range of `{K}`",
    label = "expected a value, or a range such as `a..=b`",
    note = "it must have the type of the indexed field: convert a number first, e.g. with `i64::from(..)`, and write a type of your own as itself, `Status::Open`; `starts_with(\"…\")` is for string indexes",
    note = "an index over several fields takes a tuple of them, a range of tuples, or `leading(..)` with the first ones, each of its own type"
)]
pub trait IntoSelection<K> {
    #[doc(hidden)]
    fn into_selection(self) -> Bounds;
}

/// The leading fields of a composite key or of an index over several fields: the first one, or a tuple of the first few.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a prefix of `{K}`",
    label = "expected the leading fields of a composite key: one value, or a tuple of them",
    note = "only a key of several fields has prefixes; for the start of a string key use `range(starts_with(\"…\"))`"
)]
pub trait IntoPrefix<K> {
    #[doc(hidden)]
    fn into_prefix(self) -> Bounds;
}

macro_rules! ranges {
    ($($t:ty, $r:ident => $lower:expr, $upper:expr;)*) => { $(
        impl<K: Key, T: IntoKey<K>> IntoRange<K> for $t {
            fn into_bounds(self) -> Bounds {
                let $r = self;
                Bounds { lower: $lower, upper: $upper }.in_order()
            }
        }
        impl<K: Key, T: IntoKey<K>> IntoSelection<K> for $t {
            fn into_selection(self) -> Bounds {
                IntoRange::<K>::into_bounds(self)
            }
        }
    )* };
}

fn bytes<K: Key>(value: impl IntoKey<K>) -> Vec<u8> {
    value.into_key().to_bytes()
}

ranges! {
    Range<T>, r => Bound::Included(bytes::<K>(r.start)), Bound::Excluded(bytes::<K>(r.end));
    RangeFrom<T>, r => Bound::Included(bytes::<K>(r.start)), Bound::Unbounded;
    RangeTo<T>, r => Bound::Unbounded, Bound::Excluded(bytes::<K>(r.end));
    RangeToInclusive<T>, r => Bound::Unbounded, Bound::Included(bytes::<K>(r.end));
}

impl<K: Key, T: IntoKey<K>> IntoRange<K> for RangeInclusive<T> {
    fn into_bounds(self) -> Bounds {
        let (low, high) = self.into_inner();
        Bounds { lower: Bound::Included(bytes::<K>(low)), upper: Bound::Included(bytes::<K>(high)) }.in_order()
    }
}

impl<K: Key, T: IntoKey<K>> IntoSelection<K> for RangeInclusive<T> {
    fn into_selection(self) -> Bounds {
        IntoRange::<K>::into_bounds(self)
    }
}

impl<K> IntoRange<K> for RangeFull {
    fn into_bounds(self) -> Bounds {
        Bounds::everything()
    }
}

impl<K> IntoSelection<K> for RangeFull {
    fn into_selection(self) -> Bounds {
        Bounds::everything()
    }
}

/// Everything that starts with a string; made by [`starts_with`].
#[derive(Clone, Debug)]
pub struct StartsWith(String);

/// Selects what starts with `prefix`, over a string key or a string index.
///
/// `Package::range(starts_with("lib"))`, `Account::by_city(starts_with("Par"))`. Upper and lower case differ; an empty
/// prefix selects everything.
pub fn starts_with(prefix: impl Into<String>) -> StartsWith {
    StartsWith(prefix.into())
}

impl StartsWith {
    fn bounds(&self) -> Bounds {
        let mut prefix = Vec::new();
        escape(self.0.as_bytes(), &mut prefix);
        Bounds::starting_with(prefix)
    }
}

#[diagnostic::do_not_recommend]
impl<K: KeyParts<Parts: Text>> IntoRange<K> for StartsWith {
    fn into_bounds(self) -> Bounds {
        self.bounds()
    }
}

#[diagnostic::do_not_recommend]
impl<K: KeyParts<Parts: Text>> IntoSelection<K> for StartsWith {
    fn into_selection(self) -> Bounds {
        self.bounds()
    }
}

/// Everything whose first fields are these; made by [`leading`].
#[derive(Clone, Debug)]
pub struct Leading<T>(T);

/// Selects what has these leading fields, over an index of several.
///
/// `Account::by_city_balance(leading("Paris"))` are all in Paris, those with the least balance first;
/// `leading(("Paris", 10))` fixes two fields. The fields that come later may have any value: a range of one of them is
/// a range of tuples, `("Paris", 10)..("Paris", 20)`. Over a composite key the same is `Entry::prefix(7)`.
pub fn leading<T>(fields: T) -> Leading<T> {
    Leading(fields)
}

#[diagnostic::do_not_recommend]
impl<K, T: IntoPrefix<K>> IntoSelection<K> for Leading<T> {
    fn into_selection(self) -> Bounds {
        self.0.into_prefix()
    }
}

/// The first `N` fields of several.
#[doc(hidden)]
#[diagnostic::on_unimplemented(
    message = "a key of `{Self}` has no {N} leading fields",
    label = "expected a key of more fields"
)]
pub trait FirstFields<const N: usize> {
    type Parts: Key;
}

macro_rules! first_fields {
    ($($n:literal ($($p:ident)*) of ($($all:ident)*);)*) => { $(
        impl<$($all: Key),*> FirstFields<$n> for ($($all,)*) {
            type Parts = ($($p,)*);
        }
    )* };
}

first_fields! {
    1 (A) of (A B); 2 (A B) of (A B);
    1 (A) of (A B C); 2 (A B) of (A B C); 3 (A B C) of (A B C);
    1 (A) of (A B C D); 2 (A B) of (A B C D); 3 (A B C) of (A B C D); 4 (A B C D) of (A B C D);
    1 (A) of (A B C D E); 2 (A B) of (A B C D E); 3 (A B C) of (A B C D E); 4 (A B C D) of (A B C D E);
    5 (A B C D E) of (A B C D E);
    1 (A) of (A B C D E F); 2 (A B) of (A B C D E F); 3 (A B C) of (A B C D E F); 4 (A B C D) of (A B C D E F);
    5 (A B C D E) of (A B C D E F); 6 (A B C D E F) of (A B C D E F);
}

// A value and a tuple cannot be told apart by one blanket impl, and a blanket impl would leave integer literals without
// a type: one impl a source type, of which the field's type rules out all but one.
macro_rules! values {
    ($([$($g:tt)*] $t:ty;)*) => { $(
        #[diagnostic::do_not_recommend]
        impl<$($g)* K: KeyParts + Key> IntoSelection<K> for $t
        where
            $t: IntoPart<K::Parts>,
        {
            fn into_selection(self) -> Bounds {
                Bounds::exactly(&K::from_parts(self.into_part()))
            }
        }

        #[diagnostic::do_not_recommend]
        impl<$($g)* K: KeyParts> IntoPrefix<K> for $t
        where
            K::Parts: FirstFields<1>,
            ($t,): IntoPart<<K::Parts as FirstFields<1>>::Parts>,
        {
            fn into_prefix(self) -> Bounds {
                Bounds::starting_with((self,).into_part().to_bytes())
            }
        }
    )* };
}

#[cfg(any(feature = "chrono", feature = "time", feature = "uuid"))]
pub(super) use values;

values! {
    [] u8; [] u16; [] u32; [] u64; [] u128;
    [] i8; [] i16; [] i32; [] i64; [] i128;
    [] bool; [] char;
    [] String; ['a,] &'a str; ['a,] &'a String;
    [] Vec<u8>; ['a,] &'a [u8]; ['a,] &'a Vec<u8>;
    [const N: usize,] [u8; N]; ['a, const N: usize,] &'a [u8; N];
    [T,] Option<T>;
}

macro_rules! tuples {
    ($($n:literal ($($t:ident)*);)*) => { $(
        #[diagnostic::do_not_recommend]
        impl<K: KeyParts + Key, $($t),*> IntoSelection<K> for ($($t,)*)
        where
            ($($t,)*): IntoPart<K::Parts>,
        {
            fn into_selection(self) -> Bounds {
                Bounds::exactly(&K::from_parts(self.into_part()))
            }
        }

        #[diagnostic::do_not_recommend]
        impl<K: KeyParts, $($t),*> IntoPrefix<K> for ($($t,)*)
        where
            K::Parts: FirstFields<$n>,
            ($($t,)*): IntoPart<<K::Parts as FirstFields<$n>>::Parts>,
        {
            fn into_prefix(self) -> Bounds {
                Bounds::starting_with(self.into_part().to_bytes())
            }
        }
    )* };
}

tuples! { 1 (A); 2 (A B); 3 (A B C); 4 (A B C D); 5 (A B C D E); 6 (A B C D E F); }
