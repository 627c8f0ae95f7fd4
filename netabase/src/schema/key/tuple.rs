//! Tuples: the fields' bytes one after the other. Also the form of every composite key.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::option::Serde;
use super::{Key, KeyError, KeyForm};

macro_rules! tuples {
    ($(($first:ident $($rest:ident)*))*) => { $(
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
                let ($first, $($rest,)*) = self.clone();
                (Serde($first), $(Serde($rest),)*).serialize(serializer)
            }
            #[allow(non_snake_case)]
            fn deserialize_key<'de, D_: Deserializer<'de>>(deserializer: D_) -> Result<Self, D_::Error> {
                let ($first, $($rest,)*) = <(Serde<$first>, $(Serde<$rest>,)*)>::deserialize(deserializer)?;
                Ok(($first.0, $($rest.0,)*))
            }
        }
    )* };
}

tuples! { (A) (A B) (A B C) (A B C D) (A B C D E) (A B C D E F) }
