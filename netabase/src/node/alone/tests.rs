//! The recovery of a survivor, cut off at every change of a disk, and what it keeps.

use std::collections::BTreeSet;

use bytes::Bytes;

use super::*;
use crate::command::{Action, Command, EntryId, Seal, SessionId, Write};
use crate::consensus::{Installation, Vault};
use crate::machine::Roster;
use crate::network::Identity;
use crate::node::{Assembly, Beginning, Directory, Limits, Node, Tuning, Wire};
use crate::schema::{Record, RecordId};
use crate::storage::Rows;
use crate::testing::fixture::Item;
use crate::testing::{Disks, Fabric, Fuse, Unsynced};

/// What the survivor has: rounds in its store, rounds known to be agreed on, rounds voted for; and one behind a gap.
const STORED: u64 = 3;
const CHOSEN: u64 = 6;
const VOTED: u64 = 9;
const BEYOND: u64 = 12;
const BALLOT: u64 = 9;

fn catalog() -> Catalog {
    Catalog::of::<Item>().expect("a schema")
}

fn entry_of(round: u64, command: &Command) -> Entry {
    let mut body = BatchBuilder::new();
    assert!(body.push(&command.encode()));
    let mut id = [0; 24];
    id[..8].copy_from_slice(&round.to_be_bytes());
    Entry { id: EntryId::from_bytes(id), body: body.finish() }
}

fn entry(round: u64) -> Entry {
    if round == 1 {
        return entry_of(1, &Command::Open { nonce: [7; 16] });
    }
    let item = Item { id: round, name: "n".repeat(30_000 * usize::from(round == 5) + 10) };
    let write = Write::Put {
        record: RecordId::of_member::<Item, Item>(),
        value: Bytes::from(Record::__encode(&item).expect("a value")),
    };
    let session = SessionId { round: 1, position: 0 };
    entry_of(round, &Command::Execute { session, number: round, floor: round, action: Action::Write(write) })
}

struct Survivors {
    identity: Identity,
    me: PeerId,
    card: Card,
    kind: StoreKind,
}

impl Survivors {
    /// One of so many founders.
    fn of(founders: usize, kind: StoreKind) -> Self {
        let identity = Identity::generate();
        let me = identity.peer_id();
        let peers: Vec<PeerId> = (1..founders).map(|_| PeerId::random()).chain([me]).collect();
        let charter = Charter::founded(&Voters::new(peers), &catalog());
        let cluster = charter.cluster().expect("founders");
        Survivors { identity, me, card: Card::new(charter, cluster, me.to_string(), Vec::new()), kind }
    }

    fn owner(&self) -> Owner {
        Owner { cluster: self.card.cluster, incarnation: self.card.incarnation }
    }

    fn machine(&self, volume: &dyn Volume, founders: Roster) -> Machine {
        let store = Store::open(volume.open_store(self.kind).expect("a store")).expect("a sound store");
        Machine::open(store, catalog(), founders).expect("a machine")
    }

    /// The directory of one, which has voted for these rounds above those that are chosen.
    async fn directory(&self, accepted: &[(u64, Entry)]) -> Disks {
        let disks = Disks::new();
        self.fill(&disks.mount(), accepted).await;
        disks
    }

    async fn fill(&self, volume: &dyn Volume, accepted: &[(u64, Entry)]) {
        let mut machine = self.machine(volume, founders_of(&self.card));
        (1..=STORED).for_each(|round| drop(machine.apply(round, &entry(round)).expect("it reads")));
        flush(&mut machine).expect("a sound disk");
        drop(machine);
        let log = Log::open(volume.open_log().expect("a database"), self.owner()).expect("its owner's");
        (1..=CHOSEN).for_each(|round| log.chosen(round, entry(round)).expect("a queue"));
        for (round, entry) in accepted {
            log.accept(*round, BALLOT, entry.clone()).await.expect("a sound disk");
        }
        log.barrier().await.expect("a sound disk");
        close(log).await;
        volume.write_card(&self.card.encode().expect("a card")).expect("a sound disk");
    }

    async fn recover(&self, disks: &Disks) -> Result<()> {
        let volume: Arc<dyn Volume> = Arc::new(disks.mount());
        recover(&volume, self.me, catalog(), self.kind).await
    }

    /// Whether the directory is the old cluster's, with all that it had.
    async fn check_old(&self, disks: &Disks) {
        let volume = disks.mount();
        assert!(!complete(&volume, self.kind).await.expect("it reads"));
        assert!(vault::resume(&volume, self.kind).expect("it reads").is_none());
        let machine = self.machine(&volume, founders_of(&self.card));
        assert_eq!(machine.applied(), if self.kind == StoreKind::Memory { 0 } else { STORED });
        assert_eq!(machine.roster().voters.len(), 3);
        let log = Log::open(volume.open_log().expect("a database"), self.owner()).expect("its owner's");
        assert_eq!(log.durable(|log| (log.chosen(), log.ballot())), (CHOSEN, BALLOT));
        assert_eq!(log.durable(|log| log.accepted_from(0).last().map(|row| row.round)), Some(BEYOND));
        assert_eq!(log.read_chosen(1, usize::MAX).expect("it reads").len() as u64, CHOSEN);
        close(log).await;
    }

    /// What the new cluster has: its card, and the ids of its records.
    async fn check_new(&self, disks: &Disks) -> (Card, BTreeSet<u64>) {
        let volume = disks.mount();
        assert!(volume.read_marker().expect("it reads").is_none());
        let card = used(&volume).expect("a card");
        assert_ne!((card.cluster, card.incarnation), (self.card.cluster, self.card.incarnation));
        assert_eq!(card.charter.founders, [self.me.to_string()]);
        let machine = self.machine(&volume, founders_of(&card));
        assert_eq!(
            **machine.roster(),
            Roster::founded([member_id(&self.me)], catalog().newest()),
            "the old list of members is gone"
        );
        let owner = Owner { cluster: card.cluster, incarnation: card.incarnation };
        let log = Log::open(volume.open_log().expect("a database"), owner).expect("its owner's");
        assert_eq!(log.durable(|log| (log.epoch(), log.chosen())), (Epoch(0), machine.applied()));
        assert_eq!(log.durable(|log| log.accepted_from(0).count()), 0);
        close(log).await;
        let left = disks.left_log(&self.card.cluster.to_string()).expect("the old log is kept");
        let left =
            Log::open(crate::storage::open_database(left).expect("a database"), self.owner()).expect("the old one's");
        assert_eq!(left.durable(|log| log.chosen()), CHOSEN);
        close(left).await;
        let view = machine.views().view();
        let sessions = view
            .scan(Bound::Included(&[layout::SPACE_SESSION]), Bound::Excluded(&[layout::SPACE_REQUEST]), false)
            .expect("it reads")
            .count();
        assert_eq!(sessions, 0);
        let has = |id: &u64| {
            let key = layout::record_key(RecordId::of_member::<Item, Item>(), &id.to_be_bytes());
            view.get(&key).expect("it reads").is_some()
        };
        (card, (2..=BEYOND).filter(has).collect())
    }
}

async fn close(log: Log) {
    let closed = log.closed();
    drop(log);
    closed.await;
}

fn voted() -> Vec<(u64, Entry)> {
    (CHOSEN + 1..=VOTED).chain([BEYOND]).map(|round| (round, entry(round))).collect()
}

async fn a_crash_at_any_change_is_completed_or_never_was(kind: StoreKind) {
    let survivor = Survivors::of(3, kind);
    let expected = Recovery {
        left: survivor.card.cluster.to_string(),
        agreed: CHOSEN,
        unconfirmed: VOTED - CHOSEN,
        dropped: 1,
        heard: BEYOND,
        without_log: false,
    };
    let (mut cuts, mut before, mut between, mut after) = (0, 0, 0, 0);
    loop {
        let unsynced = match cuts % 3 {
            0 => Unsynced::Lost,
            1 => Unsynced::Torn { seed: cuts },
            _ => Unsynced::Kept,
        };
        let disks = survivor.directory(&voted()).await;
        let fuse = Fuse::of(cuts);
        disks.set_fuse(&fuse);
        let done = survivor.recover(&disks).await.is_ok() && fuse.left() > 0;
        disks.power_cut(unsynced);
        let marker = disks.mount().read_marker().expect("it reads").is_some();
        let is_new = used(&disks.mount()).expect("a card") != survivor.card;
        if marker {
            between += 1;
            // Whether by a start or by another attempt.
            if cuts % 2 == 0 {
                assert!(complete(&disks.mount(), kind).await.expect("a sound disk"), "cut {cuts}");
            } else {
                survivor.recover(&disks).await.expect("a sound disk");
            }
        } else if is_new {
            after += 1;
        } else {
            before += 1;
            survivor.check_old(&disks).await;
            survivor.recover(&disks).await.expect("a sound disk");
        }
        let (card, records) = survivor.check_new(&disks).await;
        assert_eq!(card.recovery.as_ref(), Some(&expected), "cut {cuts}");
        assert_eq!(records, (2..=VOTED).collect(), "cut {cuts}");
        let again = survivor.recover(&disks).await;
        assert!(matches!(again, Err(Error::Configuration { option: "recover_alone", .. })), "{again:?}");
        if done {
            break;
        }
        cuts += 1;
    }
    assert!(before > 3 && between > 10 && after > 0, "before {before}, between {between}, after {after}");
}

#[tokio::test]
async fn a_crash_at_any_change_of_a_disk_leaves_the_old_directory_or_is_completed() {
    a_crash_at_any_change_is_completed_or_never_was(StoreKind::Redb).await;
}

#[tokio::test]
async fn a_crash_is_completed_in_memory_too() {
    a_crash_at_any_change_is_completed_or_never_was(StoreKind::Memory).await;
}

#[tokio::test]
async fn a_start_completes_what_was_begun() {
    let survivor = Survivors::of(3, StoreKind::Redb);
    let mut cuts = 0;
    let disks = loop {
        let disks = survivor.directory(&voted()).await;
        disks.set_fuse(&Fuse::of(cuts));
        let _ = survivor.recover(&disks).await;
        disks.power_cut(Unsynced::Lost);
        if disks.mount().read_marker().expect("it reads").is_some() {
            break disks;
        }
        cuts += 1;
    };
    let (network, events) = Fabric::new(0).join(survivor.me);
    let assembly = Assembly {
        catalog: catalog(),
        identity: survivor.identity.clone(),
        beginning: Beginning::Alone,
        rebuild: false,
        volume: Arc::new(disks.mount()),
        wire: Wire::Joined(network, events),
        store: StoreKind::Redb,
        limits: Limits::default(),
        network_limits: crate::network::NetworkLimits::default(),
        tuning: Tuning::default(),
    };
    let node = Node::start(assembly).await.expect("it starts");
    assert_eq!(node.recovery.as_ref().map(|recovery| recovery.unconfirmed), Some(VOTED - CHOSEN));
    node.shut_down().await.expect("a sound disk");
    drop(node);
    assert_eq!(used(&disks.mount()).expect("a card").charter.founders, [survivor.me.to_string()]);
}

async fn in_a_directory(kind: StoreKind) {
    let survivor = Survivors::of(3, kind);
    let directory = tempfile::tempdir().expect("a temporary directory");
    let volume: Arc<dyn Volume> =
        Arc::new(Directory::open(directory.path(), crate::storage::CACHE_BYTES).expect("a directory"));
    survivor.fill(&*volume, &voted()).await;
    recover(&volume, survivor.me, catalog(), kind).await.expect("a sound disk");
    let card = used(&*volume).expect("a card");
    assert_eq!(card.recovery.as_ref().map(|recovery| recovery.unconfirmed), Some(VOTED - CHOSEN));
    let machine = survivor.machine(&*volume, founders_of(&card));
    assert_eq!(machine.applied(), VOTED + 1);
    assert!(directory.path().join(format!("log.redb.{}", survivor.card.cluster)).exists());
}

#[tokio::test]
async fn it_is_the_same_in_a_directory() {
    in_a_directory(StoreKind::Redb).await;
    in_a_directory(StoreKind::Memory).await;
    #[cfg(feature = "sled")]
    in_a_directory(StoreKind::Sled).await;
}

/// The snapshot is in the store, the log has not followed yet.
async fn installing(survivor: &Survivors) -> Disks {
    const SNAPSHOT: u64 = CHOSEN + 2;
    let disks = survivor.directory(&voted()).await;
    let volume: Arc<dyn Volume> = Arc::new(disks.mount());
    let engine = volume.make_store(StoreKind::Redb).expect("a sound disk").expect("a store");
    let store = Store::open(engine).expect("a store");
    let mut machine = Machine::open(store, catalog(), founders_of(&survivor.card)).expect("a machine");
    (1..=SNAPSHOT).for_each(|round| drop(machine.apply(round, &entry(round)).expect("it reads")));
    flush(&mut machine).expect("a sound disk");
    drop(machine);
    let (cluster, founders) = (survivor.card.cluster, founders_of(&survivor.card));
    let files = vault::Files::new(volume, StoreKind::Redb, catalog(), cluster, founders);
    let then = Installation { round: SNAPSHOT, epoch: Epoch(0), chosen: CHOSEN, ballot: BALLOT };
    drop(files.install(then).expect("a sound disk"));
    disks
}

#[tokio::test]
async fn a_snapshot_that_was_being_installed_is_not_mixed_up_with_what_is_made_of_it() {
    let survivor = Survivors::of(3, StoreKind::Redb);
    let mut cuts = 0;
    loop {
        let disks = installing(&survivor).await;
        let fuse = Fuse::of(cuts);
        disks.set_fuse(&fuse);
        let done = survivor.recover(&disks).await.is_ok() && fuse.left() > 0;
        disks.power_cut(Unsynced::Kept);
        if used(&disks.mount()).expect("a card") == survivor.card {
            let volume = disks.mount();
            let begun = volume.read_marker().expect("it reads").is_some_and(|marker| marker.starts_with(MAGIC));
            if !begun {
                vault::resume(&volume, StoreKind::Redb).expect("it can be completed");
                assert_eq!(survivor.machine(&volume, Roster::default()).applied(), CHOSEN + 2, "cut {cuts}");
            }
            survivor.recover(&disks).await.expect("a sound disk");
        } else if !done {
            complete(&disks.mount(), StoreKind::Redb).await.expect("a sound disk");
        }
        let card = used(&disks.mount()).expect("a card");
        let recovery = card.recovery.expect("it was recovered");
        assert_eq!((recovery.agreed, recovery.unconfirmed, recovery.dropped), (CHOSEN + 2, 1, 1), "cut {cuts}");
        if done {
            break;
        }
        cuts += 1;
    }
    assert!(cuts > 10, "{cuts}");
}

#[tokio::test]
async fn nothing_behind_a_seal_is_kept() {
    let survivor = Survivors::of(3, StoreKind::Redb);
    let me = member_id(&survivor.me);
    let seal = Seal { epoch: 0, voters: vec![me.clone()], first: me };
    let seal = entry_of(CHOSEN + 2, &Command::Seal(Arc::new(seal)));
    let rows = vec![(CHOSEN + 1, entry(CHOSEN + 1)), (CHOSEN + 2, seal), (CHOSEN + 3, entry(CHOSEN + 3))];
    let disks = survivor.directory(&rows).await;
    survivor.recover(&disks).await.expect("a sound disk");
    let (card, records) = survivor.check_new(&disks).await;
    assert_eq!(records, (2..=CHOSEN + 1).collect());
    let recovery = card.recovery.expect("it was recovered");
    assert_eq!((recovery.unconfirmed, recovery.dropped), (2, 1));
}

#[tokio::test]
async fn a_departed_node_and_one_without_its_log_are_recovered_too() {
    let mut survivor = Survivors::of(3, StoreKind::Redb);
    survivor.card = survivor.card.clone().departed();
    let disks = survivor.directory(&voted()).await;
    survivor.recover(&disks).await.expect("a sound disk");
    let (card, records) = survivor.check_new(&disks).await;
    assert!(!card.departed && records.contains(&VOTED));

    let survivor = Survivors::of(3, StoreKind::Redb);
    let disks = survivor.directory(&voted()).await;
    disks.lose_log();
    survivor.recover(&disks).await.expect("a sound disk");
    let recovery = used(&disks.mount()).expect("a card").recovery.expect("it was recovered");
    assert!(recovery.without_log);
    assert_eq!((recovery.agreed, recovery.unconfirmed), (STORED, 0));
}

#[tokio::test]
async fn what_needs_no_recovery_is_refused_and_left_as_it_is() {
    let disks = Disks::new();
    let survivor = Survivors::of(3, StoreKind::Redb);
    let refused = survivor.recover(&disks).await;
    assert!(matches!(refused, Err(Error::Configuration { option: "recover_alone", .. })), "{refused:?}");

    let alone = Survivors::of(1, StoreKind::Redb);
    let disks = alone.directory(&voted()).await;
    let refused = alone.recover(&disks).await;
    assert!(matches!(refused, Err(Error::Configuration { option: "recover_alone", .. })), "{refused:?}");
    assert_eq!(used(&disks.mount()).expect("a card"), alone.card);

    let disks = survivor.directory(&voted()).await;
    let stranger = Survivors::of(3, StoreKind::Redb);
    assert!(matches!(stranger.recover(&disks).await, Err(Error::DataDirectory { .. })));
    survivor.check_old(&disks).await;
}

#[test]
fn a_damaged_marker_is_noticed_and_another_is_left_alone() {
    let marker = Marker { card: vec![1; 50], round: 7, kind: "Redb".into() }.encode().expect("it is short");
    assert_eq!(Marker::decode(&marker).expect("it is sound").map(|marker| marker.round), Some(7));
    assert!(Marker::decode(b"of a snapshot").expect("not ours").is_none());
    for at in MAGIC.len()..marker.len() {
        let mut damaged = marker.clone();
        damaged[at] ^= 1;
        assert!(Marker::decode(&damaged).is_err(), "byte {at}");
    }
}
