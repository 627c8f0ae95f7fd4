//! Every word that `#[netabase(…)]` knows, where it may stand, and those that are promised but not built yet.

pub(crate) const NETABASE: &str = "netabase";
pub(crate) const SERDE: &str = "serde";

pub(crate) const CRATE: &str = "crate";
pub(crate) const FIELDS: &str = "fields";
pub(crate) const INDEX: &str = "index";
pub(crate) const KEY: &str = "key";
pub(crate) const NAME: &str = "name";
pub(crate) const UNIQUE: &str = "unique";

const CONSISTENCY: &str = "consistency";
const FROM: &str = "from";
const TTL: &str = "ttl";
const VERSION: &str = "version";

/// Where an attribute stands.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Position {
    Record,
    Field,
    Schema,
    Variant,
    OwnKey,
}

impl Position {
    /// Where a word belongs first comes first: `index` on a field.
    const ALL: [Position; 5] =
        [Position::Field, Position::Record, Position::Schema, Position::Variant, Position::OwnKey];

    pub(crate) fn place(self) -> &'static str {
        match self {
            Position::Record => "on a struct",
            Position::Field => "on a field",
            Position::Schema => "on an enum",
            Position::Variant => "on a variant",
            Position::OwnKey => "on a key type",
        }
    }

    /// What may be written here.
    pub(crate) fn words(self) -> &'static [&'static str] {
        match self {
            Position::Record => &[NAME, CRATE, INDEX],
            Position::Field => &[KEY, INDEX, UNIQUE],
            Position::Schema | Position::OwnKey => &[CRATE],
            Position::Variant => &[NAME],
        }
    }

    /// What will be possible here in a later version.
    pub(crate) fn promised(self) -> &'static [&'static str] {
        match self {
            Position::Record => &[VERSION, FROM, CONSISTENCY, TTL],
            Position::Field | Position::Schema | Position::Variant | Position::OwnKey => &[],
        }
    }

    /// Where else a word may be written.
    pub(crate) fn of(word: &str) -> Option<Position> {
        Position::ALL.into_iter().find(|position| position.words().contains(&word))
    }
}
