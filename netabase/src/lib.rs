//! Netabase: a typed, persistent, replicated record store from one derive.
//!
//! Derive [`NetabaseSchema`] on your structs, call `Netabase::<MySchema>::start()`, and read and write records. Start with
//! the handle, `Netabase` (feature `paxos`); [`docs`] tells how it works, what is on disk and on the wire, and the words used.

#[doc(hidden)]
#[path = "private.rs"]
pub mod __private;
#[cfg(feature = "paxos")]
mod client;
#[cfg_attr(not(feature = "paxos"), allow(dead_code, reason = "consensus uses it"))]
mod clock;
#[cfg_attr(not(feature = "paxos"), allow(dead_code, unused_imports, reason = "consensus uses it"))]
mod command;
#[cfg(feature = "paxos")]
mod consensus;
#[cfg(feature = "paxos")]
mod desk;
pub mod docs;
#[cfg(feature = "paxos")]
mod entropy;
mod error;
#[cfg(feature = "paxos")]
mod event;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
#[cfg(feature = "paxos")]
mod handle;
#[cfg_attr(not(feature = "paxos"), allow(dead_code, unused_imports, reason = "consensus uses it"))]
mod machine;
#[cfg(feature = "native")]
#[cfg_attr(not(feature = "paxos"), allow(dead_code, unused_imports, reason = "consensus uses it"))]
mod network;
#[cfg(feature = "paxos")]
mod node;
mod receipt;
#[cfg_attr(not(feature = "paxos"), allow(dead_code, unused_imports, reason = "the store and the network use the rest"))]
mod schema;
#[cfg_attr(not(feature = "paxos"), allow(dead_code, unused_imports, reason = "the machine uses it"))]
mod storage;
pub mod store;
#[cfg(any(test, feature = "testing"))]
pub mod testing;

/// What a record type must be able to do besides: by a derive of `std` or `serde`, and, of a later version, by a `From`; and
/// what the field of `ttl` must be able to do.
pub mod requirement {
    pub use crate::schema::{
        Expiry, MadeFrom, RecordClone, RecordDeserialize, RecordSerialize, RecordThreads, SameKeyAs, WrittenAs,
    };
}

#[cfg(feature = "native")]
pub use crate::network::Identity;
pub use crate::receipt::Receipt;
pub use crate::storage::StoreKind;
pub use error::{Error, Result};
#[cfg(feature = "native")]
pub use libp2p::{Multiaddr, PeerId, identity::Keypair};
pub use netabase_macros::{NetabaseKey, NetabaseSchema};
pub use schema::{
    Agreed, IntoKey, IntoPrefix, IntoRange, IntoSelection, Key, KeyError, Leading, Member, Query, Record, Schema,
    StartsWith, leading, starts_with,
};

#[cfg(feature = "paxos")]
pub use crate::{
    handle::{
        Answer, Backup, Change, Changes, Connect, Cursor, Events, Explain, Linearizable, MemberStatus, Netabase,
        Records, Requested, Start, StateHash, Status, Tx, Watch,
    },
    network::{NetworkLimits, Refused},
    node::{Event, Invite, Limits, Recovery, Role, Tuning},
};

/// What most programs need: `use netabase::prelude::*;`.
pub mod prelude {
    #[cfg(feature = "paxos")]
    pub use crate::{Change, Invite, Limits, Netabase, Role};

    pub use crate::schema::{Record as _, Schema as _};
    pub use crate::{Error, NetabaseKey, NetabaseSchema, Query, Receipt, StoreKind, leading, starts_with};
}
