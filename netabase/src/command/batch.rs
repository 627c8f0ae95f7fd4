//! The body of an entry: several commands, one behind the other.
//!
//! ```text
//! [version 1] ([length BE4][command])*
//! ```
//! Commands are put in as they came. A body with anything wrong in it is void as a whole: `apply` does
//! nothing for it. An empty batch is a no-op.

use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};

use super::command::Command;
use super::encoded::{COMMAND_OVERHEAD_BYTES, EncodedCommand, SEAL, Undecodable, take};
use super::reform::Seal;

const VERSION: u8 = 1;

/// How large a body may become by adding commands. One larger command goes alone.
pub(crate) const BATCH_BYTES: usize = 1 << 20;

/// How many commands a body may have.
pub(crate) const COMMANDS_MAX: usize = 4_096;

/// The largest body while records may take `record_bytes_max`.
pub(crate) const fn entry_bytes_max(record_bytes_max: usize) -> usize {
    let alone = 1 + COMMAND_OVERHEAD_BYTES + record_bytes_max;
    if alone > BATCH_BYTES { alone } else { BATCH_BYTES }
}

/// How large a body with nothing but one command of this size is.
pub(crate) const fn body_bytes_alone(command_bytes: usize) -> usize {
    1 + 4 + command_bytes
}

/// Where the tag of a body's first command is.
const FIRST_TAG: usize = 1 + 4;

/// What an entry says, decoded. Its commands share the entry's memory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Batch {
    pub(crate) commands: Vec<Command>,
}

impl Batch {
    pub(crate) fn decode(body: &Bytes) -> Result<Batch, Undecodable> {
        let mut rest = body.clone();
        let [version] = take(&mut rest)?;
        if version != VERSION {
            return Err(Undecodable("an unknown version"));
        }
        let mut commands = Vec::new();
        while !rest.is_empty() {
            if commands.len() == COMMANDS_MAX {
                return Err(Undecodable("too many commands"));
            }
            let length = u32::from_be_bytes(take(&mut rest)?) as usize;
            if length > rest.len() {
                return Err(Undecodable("a command ends behind its entry"));
            }
            commands.push(Command::decode(rest.split_to(length))?);
        }
        Ok(Batch { commands })
    }
}

impl Batch {
    /// The body of an entry that seals an epoch.
    pub(crate) fn seal(seal: Seal) -> Bytes {
        let mut batch = BatchBuilder::new();
        // The first command always fits.
        let _ = batch.push(&Command::Seal(Arc::new(seal)).encode());
        batch.finish()
    }

    /// The seal that this body would be if it were chosen in its epoch. Asked of every proposal, so mostly a look at one
    /// byte.
    pub(crate) fn seal_in(body: &Bytes) -> Option<Arc<Seal>> {
        if body.get(FIRST_TAG) != Some(&SEAL) {
            return None;
        }
        match Batch::decode(body).ok()?.commands.into_iter().next()? {
            Command::Seal(seal) => Some(seal),
            _ => None,
        }
    }
}

/// Gathers commands into a body.
#[derive(Debug)]
pub(crate) struct BatchBuilder {
    body: BytesMut,
    commands: usize,
}

impl BatchBuilder {
    pub(crate) fn new() -> Self {
        let mut body = BytesMut::new();
        body.put_u8(VERSION);
        BatchBuilder { body, commands: 0 }
    }

    /// Adds a command, or says `false` if it has to go into the next body. The first always fits.
    #[must_use]
    pub(crate) fn push(&mut self, command: &EncodedCommand) -> bool {
        let command = command.as_bytes();
        let Ok(length) = u32::try_from(command.len()) else {
            return false;
        };
        let bytes = self.body.len() + 4 + command.len();
        if self.commands > 0 && (bytes > BATCH_BYTES || self.commands == COMMANDS_MAX) {
            return false;
        }
        self.body.put_u32(length);
        self.body.put_slice(command);
        self.commands += 1;
        true
    }

    #[cfg(test)]
    pub(crate) fn commands(&self) -> usize {
        self.commands
    }

    #[cfg(test)]
    pub(crate) fn bytes(&self) -> usize {
        self.body.len()
    }

    /// The body; of no command, that of a no-op.
    pub(crate) fn finish(self) -> Bytes {
        self.body.freeze()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::{MemberId, SessionId, Write};
    use crate::schema::RecordId;

    fn put(value_bytes: usize) -> Command {
        let write = Write::Put { record: RecordId(5), value: Bytes::from(vec![9; value_bytes]) };
        Command::Execute { session: SessionId { round: 1, position: 0 }, number: 3, floor: 2, action: write.into() }
    }

    #[test]
    fn a_body_holds_the_commands_in_order() {
        let commands = vec![Command::Open { nonce: [1; 16] }, put(0), put(300)];
        let mut builder = BatchBuilder::new();
        assert!(commands.iter().all(|command| builder.push(&command.encode())));
        assert_eq!(builder.commands(), 3);
        let body = builder.finish();
        assert_eq!(Batch::decode(&body), Ok(Batch { commands }));
        assert_eq!(Batch::decode(&BatchBuilder::new().finish()), Ok(Batch::default()));
    }

    #[test]
    fn a_seal_is_seen_in_its_body() {
        let voter = MemberId::new(vec![7; 38]);
        let seal = Seal { epoch: 3, voters: vec![voter.clone()], first: voter };
        let body = Batch::seal(seal.clone());
        assert_eq!(Batch::seal_in(&body).as_deref(), Some(&seal));
        assert_eq!(Batch::seal_in(&BatchBuilder::new().finish()), None);
        let mut builder = BatchBuilder::new();
        assert!(builder.push(&put(300).encode()) && builder.push(&Command::Seal(Arc::new(seal)).encode()));
        assert_eq!(Batch::seal_in(&builder.finish()), None, "behind something else it is none");
        assert_eq!(Batch::seal_in(&body.slice(..body.len() - 1)), None);
    }

    #[test]
    fn a_body_is_bounded_in_commands_and_bytes() {
        let mut builder = BatchBuilder::new();
        let small = put(0).encode();
        assert!((0..COMMANDS_MAX).all(|_| builder.push(&small)));
        assert!(!builder.push(&small));
        assert_eq!(Batch::decode(&builder.finish()).map(|batch| batch.commands.len()), Ok(COMMANDS_MAX));

        let mut builder = BatchBuilder::new();
        let large = put(1 << 20).encode();
        assert!(builder.push(&large), "one command always fits");
        assert!(!builder.push(&small));
        assert!(builder.bytes() <= entry_bytes_max(1 << 20));

        let mut builder = BatchBuilder::new();
        assert!(builder.push(&small) && !builder.push(&large));
        while builder.push(&put(60_000).encode()) {}
        assert!(builder.bytes() <= BATCH_BYTES && builder.bytes() > BATCH_BYTES - 61_000);
    }

    #[test]
    fn what_is_wrong_anywhere_voids_the_body() {
        let mut builder = BatchBuilder::new();
        assert!(builder.push(&Command::Open { nonce: [1; 16] }.encode()));
        let body = builder.finish();
        // The first byte alone is a no-op; nothing else that is shorter is a body.
        assert!((2..body.len()).chain([0]).all(|length| Batch::decode(&body.slice(..length)).is_err()));
        let with = |tail: &[u8]| Batch::decode(&Bytes::from([&body[..], tail].concat()));
        assert!(with(&[0]).is_err());
        assert!(with(&[0, 0, 0, 0]).is_err());
        assert!(with(&[0xff; 4]).is_err());
        assert!(with(&[0, 0, 0, 1, 77]).is_err());
        assert!(Batch::decode(&Bytes::from_static(&[2])).is_err());
        let too_many = body.slice(1..).repeat(COMMANDS_MAX + 1);
        assert!(Batch::decode(&Bytes::from([&[VERSION][..], &too_many].concat())).is_err());
    }
}
