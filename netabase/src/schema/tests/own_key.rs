//! Types of one's own as keys: their bytes, their order, and what a peer that declares them otherwise is told.

use serde::{Deserialize, Serialize};

use super::super::key::{KeyForm, decode_all, shown};
use crate::error::Error;
use crate::schema::{Catalog, Key, KeyError, Record, starts_with};
use crate::storage::StoreKind;
use crate::store::Store;
use crate::{NetabaseKey, NetabaseSchema};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, NetabaseKey)]
#[netabase(crate = "crate")]
enum Status {
    Open,
    Paid,
    Closed,
}

/// Neither `Ord` nor `Clone` nor serde's traits: a key needs none of them.
#[derive(NetabaseKey)]
#[netabase(crate = "crate")]
struct Name(String);

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, NetabaseKey)]
#[netabase(crate = "crate")]
struct Place {
    at: (i16, Option<Status>),
}

const STATUS: [Status; 3] = [Status::Open, Status::Paid, Status::Closed];

#[test]
fn an_enum_is_sorted_as_it_is_declared() {
    for one in STATUS {
        assert_eq!(one.to_bytes(), [0, one as u8]);
        assert_eq!(decode_all::<Status>(&one.to_bytes()), Ok(one));
        for two in STATUS {
            assert_eq!(one.to_bytes().cmp(&two.to_bytes()), one.cmp(&two));
            assert_eq!(one.compare_key(&two), one.cmp(&two));
        }
    }
    assert_eq!(decode_all::<Status>(&[0, 3]), Err(KeyError::Malformed));
    assert_eq!(decode_all::<Status>(&[0]), Err(KeyError::Short));
    assert_eq!(Status::form(), KeyForm::Variants(vec!["Open".to_owned(), "Paid".to_owned(), "Closed".to_owned()]));
    assert_eq!(shown(&Status::form(), &Status::Paid.to_bytes()), "Paid");
}

#[test]
fn a_struct_is_its_field() {
    let places: Vec<_> = [-1, 0, 7]
        .into_iter()
        .flat_map(|number| {
            [None, Some(Status::Open), Some(Status::Closed)].map(|status| Place { at: (number, status) })
        })
        .collect();
    for one in &places {
        assert_eq!(one.to_bytes(), one.at.to_bytes());
        assert_eq!(decode_all::<Place>(&one.to_bytes()).as_ref(), Ok(one));
        for two in &places {
            assert_eq!(one.to_bytes().cmp(&two.to_bytes()), one.cmp(two));
        }
    }
    assert_eq!(Place::form(), <(i16, Option<Status>)>::form());
    assert_eq!(Name("a\0b".to_owned()).to_bytes(), "a\0b".to_owned().to_bytes());
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, NetabaseSchema)]
#[netabase(crate = "crate")]
struct Order {
    #[netabase(key)]
    place: Place,
    #[netabase(key)]
    status: Status,
    #[netabase(index)]
    next: Option<Status>,
}

/// As `Order`, with the enum declared in another order.
mod other {
    use super::{Deserialize, NetabaseKey, NetabaseSchema, Place, Serialize};

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, NetabaseKey)]
    #[netabase(crate = "crate")]
    pub(super) enum Status {
        Paid,
        Open,
        Closed,
    }

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, NetabaseSchema)]
    #[netabase(crate = "crate")]
    pub(super) struct Order {
        #[netabase(key)]
        place: Place,
        #[netabase(key)]
        status: super::Status,
        #[netabase(index)]
        next: Option<Status>,
    }
}

#[test]
fn variants_in_another_order_are_another_schema() {
    let (ours, theirs) = (Catalog::of::<Order>().expect("it opens"), Catalog::of::<other::Order>().expect("it opens"));
    assert!(ours.fingerprint() != theirs.fingerprint());
    assert!(matches!(ours.descriptor().check(theirs.descriptor()), Err(Error::SchemaMismatch { .. })));
}

#[test]
fn keys_go_through_serde_as_their_fields_do() {
    let order = Order { place: Place { at: (1, None) }, status: Status::Paid, next: None };
    let key = order.key();
    let json = serde_json::to_string(&key).expect("it can be written");
    assert_eq!(json, r#"[[1,null],"Paid"]"#);
    assert_eq!(serde_json::from_str::<OrderKey>(&json).expect("it can be read"), key);
    assert!(serde_json::from_str::<OrderKey>(r#"[[1,null],"Lost"]"#).is_err());
    let bytes = crate::schema::codec::encode(&key).expect("it can be written");
    assert_eq!(bytes, crate::schema::codec::encode(&((1i16, None::<Status>), Status::Paid)).expect("so can this"));
    assert_eq!(crate::schema::codec::decode::<OrderKey>(&bytes).expect("it can be read"), key);
    assert!(crate::schema::codec::decode::<OrderKey>(&[2, 0, 3]).is_err());
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, NetabaseKey)]
#[netabase(crate = "crate")]
struct Label(String);

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, NetabaseSchema)]
#[netabase(crate = "crate")]
struct Task {
    #[netabase(key)]
    label: Label,
    #[netabase(index)]
    status: Status,
}

#[test]
fn records_are_found_by_them() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = Store::<Task>::open(folder.path().join("tasks"), StoreKind::Redb).expect("it opens");
    let task = |label: &str, status| Task { label: Label(label.to_owned()), status };
    let tasks = [task("a", Status::Closed), task("ab", Status::Open), task("b", Status::Paid), task("c", Status::Open)];
    store.put_records(tasks.clone()).expect("they are stored");
    let labels = |query| -> Vec<String> {
        store.query(query).expect("they are read").into_iter().map(|task: Task| task.label.0).collect()
    };
    assert_eq!(labels(Task::by_status(Status::Open)), ["ab", "c"]);
    assert_eq!(labels(Task::by_status(Status::Paid..)), ["b", "a"]);
    assert_eq!(labels(Task::by_status(..).reverse()), ["a", "b", "c", "ab"]);
    assert_eq!(labels(Task::range(starts_with("a"))), ["a", "ab"]);
    assert_eq!(store.get_record::<Task>(&tasks[2].label).expect("it is read").as_ref(), Some(&tasks[2]));
}
