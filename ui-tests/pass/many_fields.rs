//! A record of 40 fields and 12 indexes, and a composite key of six.

use netabase::prelude::*;
use serde::{Deserialize, Serialize};

macro_rules! wide {
    ($($key:ident)* ; $($indexed:ident)* ; $($plain:ident)*) => {
        #[derive(Clone, Default, Serialize, Deserialize, NetabaseSchema)]
        pub struct Wide {
            $(#[netabase(key)] pub $key: u16,)*
            $(#[netabase(index)] pub $indexed: String,)*
            $(pub $plain: Option<Vec<u8>>,)*
        }
    };
}

wide! {
    k1 k2 k3 k4 k5 k6;
    i1 i2 i3 i4 i5 i6 i7 i8 i9 i10 i11 i12;
    p1 p2 p3 p4 p5 p6 p7 p8 p9 p10 p11 p12 p13 p14 p15 p16 p17 p18 p19 p20 p21 p22
}

fn main() {
    let _ = Wide::prefix((1, 2, 3, 4, 5));
    let _ = Wide::by_i12(starts_with("x")).after_record(&Wide::default());
    assert_eq!(Wide::default().key().to_string(), "0/0/0/0/0/0");
}
