//! The bytes of a command, on the wire and in the log.
//!
//! ```text
//! open    [1][nonce 16]
//! close   [2][session: round BE8, position BE4]
//! put     [3][session 12][number BE8][floor BE8][RecordId BE4][value ...]
//! insert  [4]      "         "         "          "          [value ...]
//! remove  [5]      "         "         "          "          [key ...]
//! ```
//! By hand and not by the codec, so that decoding shares the entry's memory instead of copying each value.
//! Decoding is total and strict: one encoding a command, every other byte string is [`Undecodable`].

use bytes::{BufMut, Bytes, BytesMut};

use super::command::{Command, SessionId, Write};
use crate::schema::RecordId;

const OPEN: u8 = 1;
const CLOSE: u8 = 2;
const PUT: u8 = 3;
const INSERT: u8 = 4;
const REMOVE: u8 = 5;

/// What a write takes in a body beyond its key or value, its length there included.
pub(crate) const COMMAND_OVERHEAD_BYTES: usize = 4 + 1 + 12 + 8 + 8 + 4;

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
        Command::decode(bytes.clone())?;
        Ok(EncodedCommand { bytes })
    }

    pub(crate) fn as_bytes(&self) -> &Bytes {
        &self.bytes
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
            Command::Write { session, number, floor, write } => {
                out = BytesMut::with_capacity(COMMAND_OVERHEAD_BYTES + write.payload_bytes());
                let (tag, record, payload) = match write {
                    Write::Put { record, value } => (PUT, record, value),
                    Write::Insert { record, value } => (INSERT, record, value),
                    Write::Remove { record, key } => (REMOVE, record, key),
                };
                out.put_u8(tag);
                put_session(&mut out, *session);
                out.put_u64(*number);
                out.put_u64(*floor);
                out.put_u32(record.0);
                out.put_slice(payload);
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
            PUT | INSERT | REMOVE => {
                let session = take_session(&mut bytes)?;
                let number = u64::from_be_bytes(take(&mut bytes)?);
                let floor = u64::from_be_bytes(take(&mut bytes)?);
                let record = RecordId(u32::from_be_bytes(take(&mut bytes)?));
                let write = match tag {
                    PUT => Write::Put { record, value: bytes },
                    INSERT => Write::Insert { record, value: bytes },
                    _ => Write::Remove { record, key: bytes },
                };
                Ok(Command::Write { session, number, floor, write })
            }
            _ => Err(Undecodable("an unknown tag")),
        }
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

fn end(rest: &Bytes, command: Command) -> Result<Command, Undecodable> {
    if rest.is_empty() { Ok(command) } else { Err(Undecodable("bytes behind its end")) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn commands() -> impl Strategy<Value = Command> {
        let session = || (any::<u64>(), any::<u32>()).prop_map(|(round, position)| SessionId { round, position });
        let payload = prop::collection::vec(any::<u8>(), 0..40).prop_map(Bytes::from);
        let write = (0..3, any::<u32>().prop_map(RecordId), payload).prop_map(|(kind, record, payload)| match kind {
            0 => Write::Put { record, value: payload },
            1 => Write::Insert { record, value: payload },
            _ => Write::Remove { record, key: payload },
        });
        prop_oneof![
            any::<[u8; 16]>().prop_map(|nonce| Command::Open { nonce }),
            session().prop_map(|session| Command::Close { session }),
            (session(), any::<u64>(), any::<u64>(), write).prop_map(|(session, number, floor, write)| Command::Write {
                session,
                number,
                floor,
                write
            }),
        ]
    }

    proptest! {
        #[test]
        fn a_command_survives_its_bytes(command in commands()) {
            let bytes = command.encode().as_bytes().clone();
            prop_assert_eq!(Command::decode(bytes), Ok(command));
        }

        /// Whatever decodes is what its command encodes to: no two byte strings are one command.
        #[test]
        fn decoding_is_total_and_strict(bytes in prop::collection::vec(any::<u8>(), 0..60), tag in 0..7_u8) {
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
        let bytes = Command::Write { session, number: 1, floor: 1, write }.encode().as_bytes().clone();
        assert_eq!(bytes.len() + 4, COMMAND_OVERHEAD_BYTES);
        assert!((0..bytes.len()).all(|length| Command::decode(bytes.slice(..length)).is_err()));
    }
}
