//! The program of the README: a record type, one derive, one call. Takes the data directory as an
//! argument; without one it uses `./netabase-data`. Run it twice: the second run finds the first's record.

use netabase::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, NetabaseSchema)]
struct Account {
    #[netabase(key)]
    id: u64,
    #[netabase(unique)]
    email: String,
    #[netabase(index)]
    city: String,
    balance: i64,
}

#[tokio::main]
async fn main() -> netabase::Result<()> {
    let data_dir = std::env::args().nth(1).unwrap_or_else(|| "netabase-data".into());
    let db = Netabase::<Account>::start().data_dir(data_dir).await?;

    let before = db.get_record::<Account>(7).await?.map_or(0, |account| account.balance);
    let account = Account { id: 7, email: "ada@example.org".into(), city: "Paris".into(), balance: before + 10 };
    let receipt = db.put_record(account).await?; // on disk when this returns
    println!("written in round {:?}", receipt.round());

    for account in db.query(Account::by_city("Paris")).await? {
        println!("{} in {} has {}", account.email, account.city, account.balance);
    }
    db.shutdown().await
}
