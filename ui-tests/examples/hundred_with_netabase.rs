//! A hundred structs of ten fields with the derive of Netabase and those of serde: see `ui-tests/compile-time`.

use netabase::prelude::*;
use serde::{Deserialize, Serialize};

/// Nobody reads them: what counts is what it takes to make them.
macro_rules! structs {
    ($($name:ident)*) => {
        $(
            #[derive(Clone, Serialize, Deserialize, NetabaseSchema)]
            #[allow(dead_code, reason = "only their code is wanted")]
            struct $name {
                #[netabase(key)]
                id: u64,
                #[netabase(unique)]
                name: String,
                #[netabase(index)]
                city: String,
                text: String,
                count: u32,
                flag: bool,
                list: Vec<u64>,
                maybe: Option<String>,
                pair: (u32, i64),
                bytes: Vec<u8>,
            }
        )*

        #[derive(NetabaseSchema)]
        enum Hundred {
            $($name($name)),*
        }
    };
}

structs! {
    S00 S01 S02 S03 S04 S05 S06 S07 S08 S09 S10 S11 S12 S13 S14 S15 S16 S17 S18 S19 S20 S21 S22 S23 S24 S25 S26
    S27 S28 S29 S30 S31 S32 S33 S34 S35 S36 S37 S38 S39 S40 S41 S42 S43 S44 S45 S46 S47 S48 S49 S50 S51 S52 S53
    S54 S55 S56 S57 S58 S59 S60 S61 S62 S63 S64 S65 S66 S67 S68 S69 S70 S71 S72 S73 S74 S75 S76 S77 S78 S79 S80
    S81 S82 S83 S84 S85 S86 S87 S88 S89 S90 S91 S92 S93 S94 S95 S96 S97 S98 S99
}

/// So that the code of all of them is made, with what serde makes of them for a format.
fn main() -> netabase::Result<()> {
    let store = netabase::store::Store::<Hundred>::open("", StoreKind::Memory)?;
    println!("{} records", store.verify()?.records);
    Ok(())
}
