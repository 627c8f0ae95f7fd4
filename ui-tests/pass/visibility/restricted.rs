//! Items are as visible as the type.
#![deny(warnings)]

#![deny(private_interfaces, private_bounds, unreachable_pub)]

mod outer {
    pub(crate) mod inner {
        use netabase::{NetabaseKey, NetabaseSchema};
        use serde::{Deserialize, Serialize};

        #[derive(Clone, Serialize, Deserialize, NetabaseKey)]
        pub(in crate::outer) enum Kind {
            One,
        }

        #[derive(Clone, Serialize, Deserialize, NetabaseSchema)]
        pub(in crate::outer) struct Record {
            #[netabase(key)]
            pub(super) id: u8,
            #[netabase(index)]
            pub(super) kind: Kind,
        }

        #[derive(NetabaseSchema)]
        pub(super) enum Schema {
            Record(Record),
        }
    }

    pub(crate) fn test() {
        use inner::{Kind, Record, RecordByKindKey, RecordKey, Schema, SchemaKey};
        use netabase::Record as _;
        let record = Record { id: 1, kind: Kind::One };
        assert_eq!(SchemaKey::Record(record.key()), SchemaKey::Record(RecordKey(1)));
        let _ = (Record::by_kind(RecordByKindKey(Kind::One)), Schema::from(record));
    }
}

fn main() {
    outer::test();
}
