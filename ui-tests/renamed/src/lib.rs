//! A crate to which netabase is known as `store`, and which passes it on to others as its own module.

use serde::{Deserialize, Serialize};
use store::NetabaseSchema;

/// Where others find it.
pub mod records {
    pub use store as agreed;
}

/// An account.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, NetabaseSchema)]
#[netabase(crate = "store", index(name = "by_city_id", fields(city, id)))]
pub struct Account {
    /// The key.
    #[netabase(key)]
    pub id: u64,
    /// Where.
    #[netabase(index)]
    pub city: Option<String>,
}

/// A booking.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, NetabaseSchema)]
#[netabase(crate = "crate::records::agreed", name = "bookings")]
pub struct Entry {
    /// Of whom.
    #[netabase(key)]
    pub account: u64,
    /// Which.
    #[netabase(key)]
    pub seq: u32,
}

/// Both.
#[derive(NetabaseSchema)]
#[netabase(crate = "::store")]
pub enum Bank {
    /// Accounts.
    Account(Account),
    /// Bookings.
    Entry(Entry),
}

#[cfg(test)]
mod tests {
    use super::{Account, AccountByCityIdKey, AccountKey, Entry, EntryKey};
    use store::{Record, leading};

    #[test]
    fn the_derive_finds_its_crate() {
        assert_eq!(Account { id: 1, city: None }.key(), AccountKey(1));
        assert_eq!(Entry { account: 1, seq: 2 }.key(), EntryKey { account: 1, seq: 2 });
        assert_eq!(Entry::NAME, "bookings");
        assert_eq!(AccountByCityIdKey::from((Some("Paris"), 7)).to_string(), "Paris/7");
        let _ = Account::by_city_id(leading(Some("Paris")));
    }
}
