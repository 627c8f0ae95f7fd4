//! The files of a node for `crate::fuzzing`: card, markers and mark as anything may have left them, and a snapshot that is
//! received.

use std::sync::Arc;

use libp2p::Multiaddr;

use super::card::Card;
use super::invite::Invite;
use super::role::Role;
use super::vault::{self, Files};
use super::volume::{Side, Volume};
use crate::consensus::{Charter, ClusterId, Vault, Voters};
use crate::machine::{Machine, Roster, SnapshotId};
use crate::network::Identity;
use crate::schema::{Catalog, codec};
use crate::storage::{Store, StoreKind, archive};
use crate::testing::Disks;

const KIND: StoreKind = StoreKind::Redb;

fn hashed(magic: &[u8], body: &[u8]) -> Vec<u8> {
    [magic, blake3::hash(body).as_bytes(), body].concat()
}

/// A card with this body: refused, or written again so that it reads the same.
pub(crate) fn card(body: &[u8]) {
    let _ = Card::decode(body);
    if let Ok(card) = Card::decode(&hashed(b"netabase", body)) {
        let again = card.encode().expect("what was read can be written");
        assert_eq!(Card::decode(&again).expect("what was written can be read"), card);
        let _ = (card.charter.voters(), card.life());
    }
}

/// A start that finds a marker with this body: that of an installation, or that of `recover_alone`.
pub(crate) fn marker(body: &[u8]) {
    let volume = Disks::new().mount();
    for marker in [hashed(b"", body), hashed(super::alone::MAGIC, body), body.to_vec()] {
        volume.write_marker(&marker).expect("memory takes it");
        let _ = vault::resume(&volume, KIND);
        // Nothing here waits.
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        let _ = std::pin::pin!(super::alone::complete(&volume, KIND)).as_mut().poll(&mut context);
    }
}

/// A mark of a snapshot of this many bytes, and what was received before: `received` is never more than is there.
pub(crate) fn mark(fields: &[u8; 56], part: &[u8], catalog: Catalog, founders: Roster) {
    let volume: Arc<dyn Volume> = Arc::new(Disks::new().mount());
    let number = |at: usize| u64::from_be_bytes(*fields[at..].first_chunk().expect("56 bytes hold it"));
    let id =
        SnapshotId { round: number(0), hash: *fields[8..].first_chunk().expect("56 bytes hold it"), bytes: number(40) };
    let file = |side| volume.open_side(side).expect("memory takes it");
    let bytes = [fields.as_slice(), blake3::hash(fields).as_bytes()].concat();
    archive::write(&*file(Side::Mark), 0, &bytes).expect("memory takes it");
    archive::write(&*file(Side::Incoming), 0, part).expect("memory takes it");
    let files = Files::new(Arc::clone(&volume), KIND, catalog, ClusterId([7; 16]), founders);
    if let Ok(incoming) = files.receive(id) {
        assert!(incoming.received() <= (part.len() as u64).min(id.bytes));
    }
    let _ = files.build(id);
}

/// Bodies of a card and of both markers, for seeds.
pub(crate) fn seeds(catalog: &Catalog) -> (Vec<u8>, Vec<Vec<u8>>) {
    let charter = Charter::founded(&Voters::new(vec![identity().peer_id()]), catalog);
    let peers = vec![(identity().peer_id().to_string(), vec!["/ip4/10.0.0.1/tcp/4710".to_owned()])];
    let mut card = Card::new(charter, ClusterId([7; 16]), identity().peer_id().to_string(), peers);
    card.incarnation = crate::consensus::Incarnation([2; 16]);
    let card = card.lapsed(1, "its log is gone").encode().expect("it encodes");
    let encode =
        |installation: (u64, u64, u64, u64), kind: &str| codec::encode(&(installation, kind)).expect("it encodes");
    let alone = codec::encode(&(&card, 9_u64, "Redb")).expect("it encodes");
    (card[40..].to_vec(), vec![encode((12, 0, 3, 9), "Redb"), encode((12, 0, 3, 9), "Memory"), alone])
}

/// A node's directory with a snapshot under way, and what was handed to it.
#[derive(Debug)]
pub(crate) struct Receiver {
    pub(crate) disks: Disks,
    files: Files,
    catalog: Catalog,
    founders: Roster,
}

impl Receiver {
    pub(crate) fn new(cluster: [u8; 16], catalog: Catalog, founders: Roster) -> Self {
        let disks = Disks::new();
        let volume = Arc::new(disks.mount());
        let files = Files::new(volume, KIND, catalog.clone(), ClusterId(cluster), founders.clone());
        Receiver { disks, files, catalog, founders }
    }

    /// After a restart, or a power cut.
    pub(crate) fn restarted(self, cluster: [u8; 16]) -> Self {
        let volume: Arc<dyn Volume> = Arc::new(self.disks.mount());
        vault::resume(&*volume, KIND).expect("nothing was being installed");
        let files = Files::new(volume, KIND, self.catalog.clone(), ClusterId(cluster), self.founders.clone());
        Receiver { files, ..self }
    }

    pub(crate) fn files(&self) -> &dyn Vault {
        &self.files
    }

    /// What is in the part file now.
    pub(crate) fn part(&self) -> Vec<u8> {
        let volume = self.disks.mount();
        if !volume.has_side(Side::Incoming) {
            return Vec::new();
        }
        let file = volume.open_side(Side::Incoming).expect("memory takes it");
        let mut bytes = vec![0; usize::try_from(file.len().expect("memory reads")).expect("it is in memory")];
        file.read(0, &mut bytes).expect("memory reads");
        bytes
    }

    /// Opens the store that is in use.
    pub(crate) fn open(&self) -> Machine {
        let engine = self.disks.mount().open_store(KIND).expect("a store");
        let store = Store::open(engine).expect("a store");
        Machine::open(store, self.catalog.clone(), self.founders.clone()).expect("a machine")
    }
}

/// The same in every run.
pub(crate) fn identity() -> Identity {
    let key = libp2p::identity::Keypair::ed25519_from_bytes([1; 32]).expect("any 32 bytes are a key");
    Identity::from(key)
}

/// The body of an invite, with a signature of [`identity`].
pub(crate) fn invite_text(body: &[u8]) -> Option<String> {
    Invite::text_of(&identity(), body)
}

/// The body of an invite of [`identity`], for seeds.
pub(crate) fn invite_body(members: usize) -> Vec<u8> {
    let addresses: Vec<Multiaddr> = ["/ip4/10.0.0.1/tcp/4710", "/dns/a.example/udp/4710/quic-v1"]
        .map(|text| text.parse().expect("an address"))
        .to_vec();
    let members = vec![(identity().peer_id(), addresses); members];
    let signer = identity().keypair().public().encode_protobuf();
    codec::encode(&(ClusterId([7; 16]), [5_u8; 32], Role::Learner, 1_u64 << 41, members, signer)).expect("it encodes")
}
