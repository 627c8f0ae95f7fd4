//! A crate to which netabase is known as `store`, and which passes it on to others as its own module. It denies all that
//! clippy finds in what the derives generate.
#![deny(warnings, clippy::all, clippy::pedantic, clippy::nursery, missing_docs, unsafe_code)]

use serde::{Deserialize, Serialize};
use store::{NetabaseKey, NetabaseSchema};

/// Where others find it.
pub mod records {
    pub use store as agreed;
}

/// An account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, NetabaseSchema)]
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
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, NetabaseSchema)]
#[netabase(crate = "crate::records::agreed", name = "bookings")]
pub struct Entry {
    /// Of whom.
    #[netabase(key)]
    pub account: u64,
    /// Which.
    #[netabase(key)]
    pub seq: u32,
}

/// How far a task is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, NetabaseKey)]
#[netabase(crate = "store")]
pub enum Status {
    /// Not done.
    Open = 1,
    /// Done.
    Closed = 5,
}

/// Called.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, NetabaseKey)]
#[netabase(crate = "crate::records::agreed")]
pub struct Title(pub String);

/// Its fields have no names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, NetabaseSchema)]
#[netabase(crate = "store", index(name = "by_status_title", fields(1, 0)))]
pub struct Task(
    /// The key.
    #[netabase(key)]
    pub Title,
    /// How far.
    #[netabase(index(name = "by_status"))]
    pub Status,
);

/// All of them.
#[derive(NetabaseSchema)]
#[netabase(crate = "::store")]
pub enum Bank {
    /// Accounts.
    Account(Account),
    /// Bookings.
    Entry(Entry),
    /// Tasks.
    Task(Task),
}

#[cfg(test)]
mod tests {
    use super::{Account, AccountByCityIdKey, AccountKey, Entry, EntryKey, Status, Task, TaskKey, Title};
    use store::{Record, leading, starts_with};

    #[test]
    fn the_derive_finds_its_crate() {
        assert_eq!(Account { id: 1, city: None }.key(), AccountKey(1));
        assert_eq!(Entry { account: 1, seq: 2 }.key(), EntryKey { account: 1, seq: 2 });
        assert_eq!(Entry::NAME, "bookings");
        assert_eq!(AccountByCityIdKey::from((Some("Paris"), 7)).to_string(), "Paris/7");
        let _ = Account::by_city_id(leading(Some("Paris")));
        assert_eq!(Task(Title("x".into()), Status::Open).key(), TaskKey(Title("x".into())));
        let _ = (Task::by_status(Status::Open..), Task::by_status_title(leading(Status::Open)));
        let _ = Task::range(starts_with("x"));
    }
}
