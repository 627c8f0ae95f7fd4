//! Tuples: the fields' bytes one after the other. Also the form of every composite key.

use std::cmp::Ordering;
use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::option::{Read, Serde};
use super::{DebugPart, Key, KeyError, KeyForm};

macro_rules! tuples {
    ($(($first:ident $zero:tt $($rest:ident $n:tt)*))*) => { $(
        #[diagnostic::do_not_recommend]
        impl<$first: Key, $($rest: Key),*> Key for ($first, $($rest,)*) {
            #[allow(non_snake_case)]
            fn encode(&self, out: &mut Vec<u8>) {
                let ($first, $($rest,)*) = self;
                $first.encode(out);
                $($rest.encode(out);)*
            }
            fn decode(input: &mut &[u8]) -> Result<Self, KeyError> {
                Ok(($first::decode(input)?, $($rest::decode(input)?,)*))
            }
            fn form() -> KeyForm {
                KeyForm::Tuple(vec![$first::form(), $($rest::form()),*])
            }
            #[allow(non_snake_case)]
            fn show(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let ($first, $($rest,)*) = self;
                $first.show(f)?;
                $(f.write_str("/")?; $rest.show(f)?;)*
                Ok(())
            }
            #[allow(non_snake_case)]
            fn serialize_key<S_: Serializer>(&self, serializer: S_) -> Result<S_::Ok, S_::Error> {
                let ($first, $($rest,)*) = self;
                (Serde($first), $(Serde($rest),)*).serialize(serializer)
            }
            #[allow(non_snake_case)]
            fn deserialize_key<'de, D_: Deserializer<'de>>(deserializer: D_) -> Result<Self, D_::Error> {
                let ($first, $($rest,)*) = <(Read<$first>, $(Read<$rest>,)*)>::deserialize(deserializer)?;
                Ok(($first.0, $($rest.0,)*))
            }
            #[allow(non_snake_case)]
            fn clone_key(&self) -> Self {
                let ($first, $($rest,)*) = self;
                ($first.clone_key(), $($rest.clone_key(),)*)
            }
            #[allow(non_snake_case)]
            fn debug_key(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let ($first, $($rest,)*) = self;
                f.debug_tuple("").field(&DebugPart(&|f| $first.debug_key(f)))
                    $(.field(&DebugPart(&|f| $rest.debug_key(f))))*.finish()
            }
            fn compare_key(&self, other: &Self) -> Ordering {
                self.$zero.compare_key(&other.$zero)$(.then_with(|| self.$n.compare_key(&other.$n)))*
            }
        }
    )* };
}

tuples! { (A 0) (A 0 B 1) (A 0 B 1 C 2) (A 0 B 1 C 2 D 3) (A 0 B 1 C 2 D 3 E 4) (A 0 B 1 C 2 D 3 E 4 F 5) }
