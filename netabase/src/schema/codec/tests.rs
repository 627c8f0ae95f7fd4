use std::collections::BTreeMap;

use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use serde::{Deserialize, Serialize};

use super::bounded::DEPTH_MAX;
use super::{CodecError, decode, encode};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Tree {
    Leaf(u8),
    Branch(Box<Tree>),
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Everything {
    number: i64,
    text: String,
    bytes: Vec<u8>,
    map: BTreeMap<String, Option<(u16, bool)>>,
    tree: Tree,
    unit: (),
    array: [u32; 3],
}

fn tree(depth: u32) -> Tree {
    (0..depth).fold(Tree::Leaf(1), |inner, _| Tree::Branch(Box::new(inner)))
}

proptest! {
    #[test]
    fn what_was_written_is_read(
        number in any::<i64>(),
        text in ".*",
        bytes in vec(any::<u8>(), 0..300),
        map in btree_map(".*", proptest::option::of(any::<(u16, bool)>()), 0..5),
        depth in 0..20u32,
        array in any::<[u32; 3]>(),
    ) {
        let value = Everything { number, text, bytes, map, tree: tree(depth), unit: (), array };
        let encoded = encode(&value).expect("it encodes");
        prop_assert_eq!(decode::<Everything>(&encoded).expect("it decodes"), value);
    }

    #[test]
    fn any_bytes_decode_or_fail(input in vec(prop_oneof![0..4u8, 250..=255u8, any::<u8>()], 0..200)) {
        let _ = decode::<Everything>(&input);
        let _ = decode::<Vec<Vec<()>>>(&input);
        let _ = decode::<Tree>(&input);
    }
}

/// A length of 2^60 in nine bytes.
const HUGE: [u8; 9] = [253, 0, 0, 0, 0, 0, 0, 0, 0x10];

#[test]
fn a_length_allocates_nothing_that_is_not_there() {
    assert!(matches!(decode::<String>(&HUGE), Err(CodecError::Decode(_))));
    assert!(matches!(decode::<serde_bytes_like::Buffer>(&HUGE), Err(CodecError::Decode(_))));
    assert!(matches!(decode::<Vec<u64>>(&HUGE), Err(CodecError::Decode(_))));
}

#[test]
fn elements_that_take_no_bytes_are_counted_all_the_same() {
    let error = decode::<Vec<()>>(&HUGE).expect_err("it would count to 2^60").to_string();
    assert!(error.contains("larger than the whole input"), "{error}");
}

#[test]
fn nesting_ends() {
    // A `Branch` is nested in two levels: the enum and, transparently, its box.
    assert_eq!(decode::<Tree>(&encode(&tree(100)).expect("it encodes")).expect("it decodes"), tree(100));
    let deep = vec![1u8; 1 << 20];
    let error = decode::<Tree>(&deep).expect_err("it would overflow the stack").to_string();
    assert!(error.contains(&DEPTH_MAX.to_string()), "{error}");
}

#[test]
fn nothing_may_follow() {
    assert!(matches!(decode::<u8>(&[1, 2, 3]), Err(CodecError::Trailing(2))));
}

/// A buffer that asks for `deserialize_byte_buf`, as `serde_bytes` and `bytes` do.
mod serde_bytes_like {
    use serde::de::Visitor;
    use serde::{Deserialize, Deserializer};

    #[derive(Debug)]
    pub(super) struct Buffer;

    impl<'de> Deserialize<'de> for Buffer {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            struct Any;
            impl Visitor<'_> for Any {
                type Value = Buffer;
                fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                    f.write_str("bytes")
                }
                fn visit_bytes<E>(self, _: &[u8]) -> Result<Buffer, E> {
                    Ok(Buffer)
                }
            }
            deserializer.deserialize_byte_buf(Any)
        }
    }
}
