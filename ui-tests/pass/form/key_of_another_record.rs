//! A record that has the keys of others, and is searched by them.
#![deny(warnings)]

use netabase::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Clone, Serialize, Deserialize, NetabaseSchema)]
struct Account {
    #[netabase(key)]
    id: u64,
}

#[derive(Clone, Serialize, Deserialize, NetabaseSchema)]
#[netabase(index(name = "by_payee_time", fields(payee, time)))]
struct Payment {
    #[netabase(key)]
    payer: AccountKey,
    #[netabase(key)]
    number: u32,
    #[netabase(index)]
    payee: AccountKey,
    #[netabase(index)]
    witness: Option<AccountKey>,
    time: u64,
    #[netabase(unique)]
    earlier: Option<PaymentKey>,
}

fn main() {
    let account = Account { id: 7 };
    let _ = [Payment::by_payee(account.key()), Payment::by_payee(&account.key()), Payment::by_witness(account.key())];
    let _ = [Payment::by_payee(AccountKey(1)..AccountKey(9)), Payment::by_payee_time((account.key(), 5))];
    let _ = [Payment::by_payee_time(leading(account.key())), Payment::prefix(account.key())];
    let _ = [Payment::range((account.key(), 1)..), Payment::by_earlier(PaymentKey::from((AccountKey(1), 2)))];
    let _ = (Account::range(account.key()..), Account::all().after(account.key()));
}
