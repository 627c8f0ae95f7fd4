//! The record that the node processes store, in the two versions that their programs know.

use netabase::{Answer, Member, Netabase, NetabaseSchema, Record, Schema};
use serde::{Deserialize, Serialize};

/// The record that the node processes store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, NetabaseSchema)]
pub struct Note {
    /// Unique over a test.
    #[netabase(key)]
    pub id: u64,
    /// Which writer wrote it.
    #[netabase(index)]
    pub writer: String,
    /// Filler, derived from the id.
    pub text: String,
}

/// The same in its second version, with the length of its text to search by.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, NetabaseSchema)]
#[netabase(name = "note", version = 2, from = Note, into = Note)]
pub struct LaterNote {
    /// Unique over a test.
    #[netabase(key)]
    pub id: u64,
    /// Which writer wrote it.
    #[netabase(index)]
    pub writer: String,
    /// Filler, derived from the id.
    pub text: String,
    /// The bytes of the text.
    #[netabase(index)]
    pub bytes: u64,
}

impl From<Note> for LaterNote {
    fn from(Note { id, writer, text }: Note) -> Self {
        LaterNote { id, writer, bytes: text.len() as u64, text }
    }
}

impl From<LaterNote> for Note {
    fn from(LaterNote { id, writer, text, .. }: LaterNote) -> Self {
        Note { id, writer, text }
    }
}

impl Note {
    /// As [`Note::of`], with a text of so many bytes.
    #[must_use]
    pub fn sized(id: u64, bytes: usize) -> Self {
        let mut text = format!("{id:016x}").repeat(bytes.div_ceil(16));
        text.truncate(bytes);
        Note { text, ..Note::of(id) }
    }

    /// The one record of this id: whoever reads it back can tell whether it is whole.
    #[must_use]
    pub fn of(id: u64) -> Self {
        Note {
            id,
            writer: format!("writer {}", id % 16),
            text: format!("{id:x}-").repeat(usize::try_from(id % 40).unwrap_or(0)),
        }
    }
}

/// What a node process keeps: a note, in the version of its program.
pub trait Kept: Member<Self> + Record<Key: From<u64>> + Schema + From<Note> + PartialEq {
    /// How many notes have a text of so many bytes, by an index if there is one.
    fn counted(db: &Netabase<Self>, bytes: u64) -> Answer<u64>;
}

impl Kept for Note {
    fn counted(db: &Netabase<Self>, _bytes: u64) -> Answer<u64> {
        db.count(Note::all())
    }
}

impl Kept for LaterNote {
    fn counted(db: &Netabase<Self>, bytes: u64) -> Answer<u64> {
        db.count(LaterNote::by_bytes(bytes))
    }
}
