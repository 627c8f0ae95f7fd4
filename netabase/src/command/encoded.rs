//! The bytes of a command, on the wire and in the log.
//!
//! ```text
//! open    [1][nonce 16]
//! close   [2][session: round BE8, position BE4]
//! put     [3][session 12][number BE8][floor BE8][RecordId BE4][value ...]
//! insert  [4]      "         "         "          "          [value ...]
//! remove  [5]      "         "         "          "          [key ...]
//! transact[6]      "         "         "
//!         [0 | 1, request id 16][reads BE4][read ...][writes BE4][write ...]
//!   read  [1][RecordId BE4][bytes key][round BE8]
//!      or [2][RecordId BE4][0 | 1, IndexId BE4][bound][bound][rows BE8][hash 16]
//!      or [3][RecordId BE4][bytes key][round BE8]
//!      or [4][RecordId BE4][0 | 1, IndexId BE4][bound][bound][milliseconds since 1970 BE8, not 0][rows BE8][hash 16]
//!   bound [0] | [1: included, 2: excluded][bytes row key]
//!   write [3 | 4 | 5][RecordId BE4][bytes value or key]
//!   bytes [length BE4][...]
//! reform  [7]      "         "         "          codec bytes of a reform
//! seal    [8] codec bytes of a seal
//! upgrade [9]      "         "         "          [RecordId BE4]
//! expire  [10]     "         "         "          [milliseconds since 1970 BE8]
//! upgrade [11]     "         "         "          [RecordId BE4][milliseconds since 1970 BE8]
//! ```
//! By hand and not by the codec, so that decoding shares the entry's memory instead of copying each value.
//! Decoding is total and strict: one encoding a command, every other byte string is [`Undecodable`].

use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};

use super::command::{Action, Command, SessionId, Write};
use super::reform;
use super::transaction::{TRANSACTION_OVERHEAD_BYTES, Transaction};
use crate::schema::RecordId;

const OPEN: u8 = 1;
const CLOSE: u8 = 2;
const PUT: u8 = 3;
const INSERT: u8 = 4;
const REMOVE: u8 = 5;
const TRANSACT: u8 = 6;
const REFORM: u8 = 7;
pub(super) const SEAL: u8 = 8;
const UPGRADE: u8 = 9;
const EXPIRE: u8 = 10;
const UPGRADE_AT: u8 = 11;

/// What session, number and floor take, with the tag before them.
const HEAD_BYTES: usize = 1 + 12 + 8 + 8;

/// What a command takes in a body beyond keys and values, its length there included: that of a transaction of one read
/// and one write, which is more than that of a write.
pub(crate) const COMMAND_OVERHEAD_BYTES: usize = 4 + HEAD_BYTES + TRANSACTION_OVERHEAD_BYTES;

/// These bytes are no command or no batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a command: {0}")]
pub(crate) struct Undecodable(pub(crate) &'static str);

/// The bytes of a command that is known to decode, so that one from a peer cannot void the batch it is put in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct EncodedCommand {
    bytes: Bytes,
}

impl EncodedCommand {
    /// Checks what came from a peer.
    pub(crate) fn check(bytes: Bytes) -> Result<EncodedCommand, Undecodable> {
        EncodedCommand::open(bytes).map(|(encoded, _)| encoded)
    }

    /// Checks what came from a peer, and shows what it is.
    pub(crate) fn open(bytes: Bytes) -> Result<(EncodedCommand, Command), Undecodable> {
        let command = Command::decode(bytes.clone())?;
        Ok((EncodedCommand { bytes }, command))
    }

    pub(crate) fn as_bytes(&self) -> &Bytes {
        &self.bytes
    }

    pub(crate) fn is_seal(&self) -> bool {
        self.bytes.first() == Some(&SEAL)
    }
}

impl Command {
    pub(crate) fn encode(&self) -> EncodedCommand {
        let mut out;
        match self {
            Command::Open { nonce } => {
                out = BytesMut::with_capacity(1 + nonce.len());
                out.put_u8(OPEN);
                out.put_slice(nonce);
            }
            Command::Close { session } => {
                out = BytesMut::with_capacity(1 + 12);
                out.put_u8(CLOSE);
                put_session(&mut out, *session);
            }
            Command::Seal(seal) => {
                out = BytesMut::new();
                out.put_u8(SEAL);
                out.put_slice(&reform::encode(&**seal));
            }
            Command::Execute { session, number, floor, action } => {
                let action_bytes = match action {
                    Action::Write(write) => 4 + write.payload_bytes(),
                    Action::Transact(transaction) => transaction.bytes(),
                    Action::Reform(_) => 0,
                    Action::Upgrade(_) => 4,
                    Action::UpgradeAt { .. } => 12,
                    Action::Expire { .. } => 8,
                };
                out = BytesMut::with_capacity(HEAD_BYTES + action_bytes);
                match action {
                    Action::Write(write) => put_write_tag(&mut out, write),
                    Action::Transact(_) => out.put_u8(TRANSACT),
                    Action::Reform(_) => out.put_u8(REFORM),
                    Action::Upgrade(_) => out.put_u8(UPGRADE),
                    Action::UpgradeAt { .. } => out.put_u8(UPGRADE_AT),
                    Action::Expire { .. } => out.put_u8(EXPIRE),
                }
                put_session(&mut out, *session);
                out.put_u64(*number);
                out.put_u64(*floor);
                match action {
                    Action::Write(write) => {
                        out.put_u32(write.record().0);
                        out.put_slice(write.payload());
                    }
                    Action::Transact(transaction) => transaction.encode_into(&mut out),
                    Action::Reform(reform) => out.put_slice(&reform::encode(&**reform)),
                    Action::Upgrade(record) => out.put_u32(record.0),
                    Action::UpgradeAt { record, now_ms } => {
                        out.put_u32(record.0);
                        out.put_u64(*now_ms);
                    }
                    Action::Expire { now_ms } => out.put_u64(*now_ms),
                }
            }
        }
        EncodedCommand { bytes: out.freeze() }
    }

    /// Shares the memory of `bytes`.
    pub(crate) fn decode(mut bytes: Bytes) -> Result<Command, Undecodable> {
        let [tag] = take(&mut bytes)?;
        match tag {
            OPEN => {
                let command = Command::Open { nonce: take(&mut bytes)? };
                end(&bytes, command)
            }
            CLOSE => {
                let command = Command::Close { session: take_session(&mut bytes)? };
                end(&bytes, command)
            }
            SEAL => Ok(Command::Seal(Arc::new(reform::decode(&bytes)?))),
            PUT | INSERT | REMOVE | TRANSACT | REFORM | UPGRADE | EXPIRE | UPGRADE_AT => {
                let session = take_session(&mut bytes)?;
                let number = u64::from_be_bytes(take(&mut bytes)?);
                let floor = u64::from_be_bytes(take(&mut bytes)?);
                let action = match tag {
                    TRANSACT => Action::Transact(Arc::new(Transaction::decode(bytes)?)),
                    REFORM => Action::Reform(Arc::new(reform::decode(&bytes)?)),
                    UPGRADE => {
                        let record = RecordId(u32::from_be_bytes(take(&mut bytes)?));
                        end(&bytes, Action::Upgrade(record))?
                    }
                    UPGRADE_AT => {
                        let record = RecordId(u32::from_be_bytes(take(&mut bytes)?));
                        let now_ms = u64::from_be_bytes(take(&mut bytes)?);
                        end(&bytes, Action::UpgradeAt { record, now_ms })?
                    }
                    EXPIRE => {
                        let now_ms = u64::from_be_bytes(take(&mut bytes)?);
                        end(&bytes, Action::Expire { now_ms })?
                    }
                    _ => {
                        let record = RecordId(u32::from_be_bytes(take(&mut bytes)?));
                        write_of(tag, record, bytes).ok_or(Undecodable("an unknown kind of write"))?.into()
                    }
                };
                Ok(Command::Execute { session, number, floor, action })
            }
            _ => Err(Undecodable("an unknown tag")),
        }
    }
}

pub(super) fn put_write_tag(out: &mut BytesMut, write: &Write) {
    out.put_u8(match write {
        Write::Put { .. } => PUT,
        Write::Insert { .. } => INSERT,
        Write::Remove { .. } => REMOVE,
    });
}

pub(super) fn write_of(tag: u8, record: RecordId, payload: Bytes) -> Option<Write> {
    match tag {
        PUT => Some(Write::Put { record, value: payload }),
        INSERT => Some(Write::Insert { record, value: payload }),
        REMOVE => Some(Write::Remove { record, key: payload }),
        _ => None,
    }
}

fn put_session(out: &mut BytesMut, session: SessionId) {
    out.put_u64(session.round);
    out.put_u32(session.position);
}

fn take_session(bytes: &mut Bytes) -> Result<SessionId, Undecodable> {
    let round = u64::from_be_bytes(take(bytes)?);
    let position = u32::from_be_bytes(take(bytes)?);
    Ok(SessionId { round, position })
}

pub(super) fn take<const N: usize>(bytes: &mut Bytes) -> Result<[u8; N], Undecodable> {
    let head = *bytes.first_chunk::<N>().ok_or(Undecodable("it ends too early"))?;
    let _ = bytes.split_to(N);
    Ok(head)
}

fn end<T>(rest: &Bytes, decoded: T) -> Result<T, Undecodable> {
    if rest.is_empty() { Ok(decoded) } else { Err(Undecodable("bytes behind its end")) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use std::ops::Bound;

    use super::*;
    use crate::command::{Digest, Life, MemberId, MemberRole, RangeRead, Read, Reform, RequestId, Seal};
    use crate::schema::IndexId;

    fn commands() -> impl Strategy<Value = Command> {
        let session = || (any::<u64>(), any::<u32>()).prop_map(|(round, position)| SessionId { round, position });
        let payload = prop::collection::vec(any::<u8>(), 0..40).prop_map(Bytes::from);
        let record = any::<u32>().prop_map(RecordId);
        let write = (PUT..=REMOVE, record.clone(), payload.clone())
            .prop_map(|(tag, record, payload)| write_of(tag, record, payload).expect("a tag of a write"));
        let bound = (0..3, payload.clone()).prop_map(|(kind, bytes)| match kind {
            0 => Bound::Unbounded,
            1 => Bound::Included(bytes),
            _ => Bound::Excluded(bytes),
        });
        let index = prop::option::of(any::<u32>().prop_map(IndexId));
        let seen = (any::<u64>(), any::<[u8; 16]>()).prop_map(|(rows, hash)| Digest { rows, hash });
        let read = prop_oneof![
            (record.clone(), payload, any::<u64>(), any::<bool>()).prop_map(|(record, key, round, hidden)| {
                if hidden { Read::Hidden { record, key, round } } else { Read::Record { record, key, round } }
            }),
            (record, index, bound.clone(), bound, prop::option::of(any::<u64>()), seen).prop_map(
                |(record, index, lower, upper, hidden_by_ms, seen)| {
                    let hidden_by_ms = hidden_by_ms.unwrap_or(0);
                    Read::Range(RangeRead { record, index, lower, upper, hidden_by_ms, seen })
                }
            ),
        ];
        let request = prop::option::of(any::<[u8; 16]>().prop_map(RequestId));
        let transaction = (request, prop::collection::vec(read, 0..4), prop::collection::vec(write.clone(), 0..4))
            .prop_map(|(request, reads, writes)| Action::Transact(Arc::new(Transaction { request, reads, writes })));
        let member = || prop::collection::vec(any::<u8>(), 1..64).prop_map(MemberId::new);
        let addresses = || prop::collection::vec("[ -~]{0,40}", 0..4);
        let reform = prop_oneof![
            (any::<[u8; 32]>(), any::<u64>()).prop_map(|(hash, expires_at_ms)| Reform::Invite {
                hash,
                role: MemberRole::Client,
                expires_at_ms
            }),
            any::<[u8; 32]>().prop_map(|hash| Reform::Revoke { hash }),
            (any::<[u8; 32]>(), member()).prop_map(|(hash, member)| Reform::Admit { hash, member }),
            member().prop_map(|member| Reform::Remove { member }),
            (member(), any::<[u8; 16]>(), any::<u32>(), addresses()).prop_map(
                |(member, incarnation, lapses, addresses)| Reform::Present {
                    member,
                    life: Life { incarnation, lapses },
                    addresses,
                    reads: [(RecordId(lapses), 3)].into(),
                }
            ),
        ]
        .prop_map(Action::from);
        let seal = (any::<u64>(), prop::collection::btree_set(member(), 1..5)).prop_map(|(epoch, voters)| {
            let voters: Vec<MemberId> = voters.into_iter().collect();
            Command::Seal(Arc::new(Seal { epoch, first: voters[0].clone(), voters }))
        });
        let upgrade = any::<u32>().prop_map(|record| Action::Upgrade(RecordId(record)));
        let expire = any::<u64>().prop_map(|now_ms| Action::Expire { now_ms });
        let upgrade_at = (any::<u32>(), any::<u64>())
            .prop_map(|(record, now_ms)| Action::UpgradeAt { record: RecordId(record), now_ms });
        let action = prop_oneof![write.prop_map(Action::Write), transaction, reform, upgrade, expire, upgrade_at];
        prop_oneof![
            seal,
            any::<[u8; 16]>().prop_map(|nonce| Command::Open { nonce }),
            session().prop_map(|session| Command::Close { session }),
            (session(), any::<u64>(), any::<u64>(), action)
                .prop_map(|(session, number, floor, action)| Command::Execute { session, number, floor, action }),
        ]
    }

    proptest! {
        #[test]
        fn a_command_survives_its_bytes(command in commands()) {
            let bytes = command.encode().as_bytes().clone();
            if let Command::Execute { action: Action::Transact(transaction), .. } = &command {
                prop_assert!(bytes.len() <= HEAD_BYTES + transaction.bytes(), "it takes more than it says");
            }
            for length in 0..bytes.len() {
                prop_assert_ne!(Command::decode(bytes.slice(..length)), Ok(command.clone()));
            }
            prop_assert_eq!(Command::decode(bytes), Ok(command));
        }

        /// Whatever decodes is what its command encodes to: no two byte strings are one command.
        #[test]
        fn decoding_is_total_and_strict(bytes in prop::collection::vec(any::<u8>(), 0..60), tag in 0..12_u8) {
            let mut bytes = bytes;
            if let Some(first) = bytes.first_mut() {
                *first = tag;
            }
            let bytes = Bytes::from(bytes);
            if let Ok(command) = Command::decode(bytes.clone()) {
                let again = command.encode();
                prop_assert_eq!(again.as_bytes(), &bytes);
            }
        }
    }

    #[test]
    fn what_is_cut_off_or_too_long_is_no_command() {
        let session = SessionId { round: 1, position: 2 };
        for command in [Command::Open { nonce: [3; 16] }, Command::Close { session }] {
            let bytes = command.encode().as_bytes().clone();
            for length in 0..bytes.len() {
                assert!(Command::decode(bytes.slice(..length)).is_err());
            }
            let longer = Bytes::from([&bytes[..], b"!"].concat());
            assert!(EncodedCommand::check(longer).is_err());
        }
        let write = Write::Remove { record: RecordId(7), key: Bytes::new() };
        let bytes = Command::Execute { session, number: 1, floor: 1, action: write.into() }.encode().as_bytes().clone();
        assert_eq!(bytes.len(), HEAD_BYTES + 4);
        assert!((0..bytes.len()).all(|length| Command::decode(bytes.slice(..length)).is_err()));
    }
}
