//! D11: applying is total. A refused command is an outcome; an entry that cannot be read does nothing; no node falls.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::stage::{Stage, item, opening, patient, putting, session, until};
use crate::command::{Command, Write};
use crate::consensus::fixture::{batch, entry_of};
use crate::consensus::message::PaxosAnswer;
use crate::error::Error;
use crate::schema::{Record, RecordId};
use crate::testing::Cluster;
use crate::testing::fixture::Item;

/// A record whose name nobody else may have.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, crate::NetabaseSchema)]
#[netabase(crate = "crate")]
struct Badge {
    #[netabase(key)]
    id: u64,
    #[netabase(unique)]
    name: String,
}

#[tokio::test(flavor = "multi_thread")]
async fn d11_a_unique_violation_is_an_outcome_and_no_node_falls() {
    let cluster = Cluster::<Badge>::start(3).await.unwrap();
    cluster.node(0).put_record(Badge { id: 1, name: "ada".into() }).await.unwrap();
    for place in 0..3 {
        let refused = cluster.node(place).put_record(Badge { id: 2, name: "ada".into() }).await.unwrap_err();
        assert!(matches!(&refused, Error::UniqueViolation { record, index } if record == "badge" && index == "name"));
        assert!(!refused.may_have_happened());
        let exists = cluster.node(place).insert_record(Badge { id: 1, name: "bob".into() }).await.unwrap_err();
        assert!(matches!(exists, Error::AlreadyExists { .. }));
    }
    cluster.node(1).put_record(Badge { id: 2, name: "bob".into() }).await.unwrap();
    cluster.converged().await.unwrap();
    for place in 0..3 {
        assert_eq!(cluster.node(place).status().await.unwrap().keeper_restarts, 0);
        assert_eq!(cluster.node(place).count(Badge::all()).await.unwrap(), 2);
    }
    cluster.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn d11_what_cannot_be_read_is_an_outcome_and_the_node_stays_up() {
    let (stage, puppets) = Stage::start(3, 0, patient()).await;
    let leader = &puppets[0];
    let record = RecordId::of_member::<Item, Item>();
    let unreadable = Write::Put { record, value: Bytes::from_static(&[0xff; 9]) };
    let unknown = Write::Put { record: RecordId(1), value: Bytes::from_static(b"?") };
    let nothing_there = Write::Remove { record, key: Bytes::from_static(b"not a key") };
    let write = |number, write: Write| Command::Execute { session: session(2), number, floor: 0, action: write.into() };
    let entries = [
        entry_of(1, Bytes::from_static(b"not a batch")),
        opening(2),
        batch(3, &[write(0, unreadable), write(1, unknown), write(2, nothing_there)]),
        entry_of(4, Bytes::new()),
        putting(5, session(1), 0, &item(4)),
        putting(6, session(2), 3, &item(5)),
    ];
    for (round, entry) in (1..).zip(&entries) {
        assert_eq!(leader.commit(round, 4, entry).await, Ok(PaxosAnswer::Committed));
    }
    until(|| stage.applied() == 6).await;
    assert_eq!(stage.handle().get_record::<Item>(4_u64).await.unwrap(), None, "a session that was never opened");
    assert_eq!(stage.handle().get_record::<Item>(5_u64).await.unwrap(), Some(item(5)));
    let status = stage.handle().status().await.unwrap();
    assert_eq!((status.keeper_restarts, status.applied_round), (0, 6));
    assert!(matches!(leader.prepare(7, 4).await, Ok(PaxosAnswer::Promise(_))), "it still votes");
}
