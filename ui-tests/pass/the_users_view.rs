//! The program of the front page, as far as it needs no handle.
#![deny(warnings, missing_docs)]

use netabase::prelude::*;
use serde::{Deserialize, Serialize};

/// An account.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, NetabaseSchema)]
#[netabase(index(name = "by_city_balance", fields(city, balance)))]
pub struct Account {
    /// The key.
    #[netabase(key)]
    pub id: u64,
    /// Unique.
    #[netabase(unique)]
    pub email: String,
    /// Where.
    #[netabase(index)]
    pub city: String,
    /// How much.
    #[netabase(index)]
    pub balance: i64,
}

/// A booking.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, NetabaseSchema)]
pub struct Entry {
    /// Of whom.
    #[netabase(key)]
    pub account: u64,
    /// Which.
    #[netabase(key)]
    pub seq: u32,
    /// How much.
    pub amount: i64,
}

/// A package.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, NetabaseSchema)]
pub struct Package {
    /// The key.
    #[netabase(key)]
    pub name: String,
}

/// All of it.
#[derive(NetabaseSchema)]
pub enum Bank {
    /// Accounts.
    Account(Account),
    /// Bookings.
    Entry(Entry),
}

fn get<S: netabase::Schema, R: netabase::Member<S>>(key: impl netabase::IntoKey<R::Key>) -> R::Key {
    key.into_key()
}

fn query<S: netabase::Schema, R: netabase::Member<S>>(query: Query<R>) -> String {
    format!("{query:?}")
}

fn main() {
    let _ = get::<Bank, Account>(7);
    let _ = get::<Bank, Account>(AccountKey(7));
    let _ = get::<Bank, Entry>((7, 3));
    let _ = get::<Package, Package>("libc6");
    let _ = get::<Package, Package>(String::from("libc6"));
    let _ = get::<Package, Package>(&String::from("libc6"));
    let email = String::from("a@x.org");
    for plan in [
        query::<Bank, _>(Account::all()),
        query::<Account, _>(Account::range(10..20)),
        query::<Bank, _>(Account::range(10..=20)),
        query::<Bank, _>(Account::range(10..)),
        query::<Bank, _>(Account::range(..20)),
        query::<Bank, _>(Account::range(..=20)),
        query::<Bank, _>(Account::range(..)),
        query::<Package, _>(Package::range(starts_with("lib"))),
        query::<Bank, _>(Entry::prefix(7)),
        query::<Bank, _>(Entry::prefix((7,))),
        query::<Bank, _>(Entry::prefix((7, 3))),
        query::<Bank, _>(Entry::range((7, 3)..(8, 0))),
        query::<Bank, _>(Account::by_email("a@x.org")),
        query::<Bank, _>(Account::by_email(email.clone())),
        query::<Bank, _>(Account::by_email(&email)),
        query::<Bank, _>(Account::by_email(AccountByEmailKey(email))),
        query::<Bank, _>(Account::by_email("a".."b")),
        query::<Bank, _>(Account::by_city(starts_with("Par"))),
        query::<Bank, _>(Account::by_city_balance(leading("Paris"))),
        query::<Bank, _>(Account::by_city_balance(("Paris", 10)..("Paris", 20))),
        query::<Bank, _>(Account::by_balance(100..=200).limit(50).reverse()),
        query::<Bank, _>(Account::by_balance(100)),
        query::<Bank, _>(Account::by_balance(-5)),
        query::<Bank, _>(Account::all().after(AccountKey(41)).limit(100)),
        query::<Bank, _>(Account::all().after(41)),
    ] {
        assert!(plan.starts_with("Query"));
    }
    let account = Account { id: 7, email: "a@x.org".into(), city: "Paris".into(), balance: 10 };
    let _ = Account::by_city("Paris").after_record(&account);
    let bank = Bank::from(account.clone());
    assert!(Account::try_from(bank).is_ok_and(|back| back == account));
    assert_eq!(account.key(), AccountKey(7));
    assert_eq!(EntryKey::from((7, 3)).to_string(), "7/3");
    let _ = [BankLogEntry::PutAccount(account.clone()), BankLogEntry::RemoveEntry((7, 3).into())];
    let _ = [AccountLogEntry::PutAccount(account), AccountLogEntry::RemoveAccount(7.into())];
    let _ = BankKey::Account(7.into()) < BankKey::Entry((7, 3).into());
}
