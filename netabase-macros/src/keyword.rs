//! Every word that `#[netabase(…)]` knows, and where it may stand.

pub(crate) const NETABASE: &str = "netabase";
pub(crate) const SERDE: &str = "serde";

pub(crate) const CONSISTENCY: &str = "consistency";
pub(crate) const CRATE: &str = "crate";
pub(crate) const FIELDS: &str = "fields";
pub(crate) const FROM: &str = "from";
pub(crate) const INDEX: &str = "index";
pub(crate) const INTO: &str = "into";
pub(crate) const KEY: &str = "key";
pub(crate) const NAME: &str = "name";
pub(crate) const TTL: &str = "ttl";
pub(crate) const UNIQUE: &str = "unique";
pub(crate) const VERSION: &str = "version";

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
            Position::Record => &[NAME, CRATE, INDEX, VERSION, FROM, INTO, TTL, CONSISTENCY],
            Position::Field => &[KEY, INDEX, UNIQUE],
            Position::Schema | Position::OwnKey => &[CRATE],
            Position::Variant => &[NAME],
        }
    }

    /// What may stand alone here.
    pub(crate) fn example(self) -> &'static str {
        match self {
            Position::Record => "name = \"accounts\"",
            Position::Field => KEY,
            Position::Schema | Position::OwnKey => "crate = \"path\"",
            Position::Variant => "name = \"…\"",
        }
    }

    /// What to write for a word of another library that means something here.
    pub(crate) fn instead_of(word: &str) -> Option<&'static str> {
        Some(match word {
            "primary" | "primary_key" | "id" | "pk" => "the key is `#[netabase(key)]` on its field",
            "secondary" | "secondary_key" | "indexed" | "sorted" => "an index is `#[netabase(index)]` on its field",
            "unique_key" | "unique_index" => "an index without two equal values is `#[netabase(unique)]` on its field",
            "rename" | "table" | "table_name" | "entity" => {
                "the stored name is `#[netabase(name = \"…\")]` on the struct; a field is renamed by `#[serde(rename = \"…\")]`"
            }
            "skip" | "ignore" | "transient" => "a field that is not stored has `#[serde(skip)]`",
            "default" => "a field's default is serde's: `#[serde(default)]`",
            "nullable" | "optional" | "null" => "a field that may be missing is an `Option<…>`",
            "auto_increment" | "autoincrement" | "auto" => {
                "netabase gives no numbers: choose the key yourself, for example a `Uuid` (feature `uuid`)"
            }
            "compound" | "composite" => {
                "a key of several fields has `#[netabase(key)]` on each; an index over several is `#[netabase(index(name = \"by_…\", fields(…, …)))]` on the struct"
            }
            _ => return None,
        })
    }

    /// Where else a word may be written.
    pub(crate) fn of(word: &str) -> Option<Position> {
        Position::ALL.into_iter().find(|position| position.words().contains(&word))
    }
}
