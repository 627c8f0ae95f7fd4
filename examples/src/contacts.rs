//! Contacts in two versions of a program: what the first one stored, the second one reads, searches and goes on writing.
//!
//! `contacts --demo` does all of it in a temporary directory and ends by itself. In a cluster the nodes are started with the
//! second program one after the other; it writes its own version once all of them have it.

use std::path::Path;

use netabase::prelude::*;
use serde::{Deserialize, Serialize};

/// As the first program has it. The second one keeps it to read what is there, under another name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, NetabaseSchema)]
#[netabase(name = "contact")]
struct ContactV1 {
    #[netabase(key)]
    id: u64,
    name: String,
}

/// As the second program has it: the name in two parts, and an index over the last one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, NetabaseSchema)]
#[netabase(version = 2, from = ContactV1, into = ContactV1)]
struct Contact {
    #[netabase(key)]
    id: u64,
    first_name: String,
    #[netabase(index)]
    last_name: String,
}

impl From<ContactV1> for Contact {
    fn from(ContactV1 { id, name }: ContactV1) -> Self {
        let (first_name, last_name) = name.split_once(' ').unwrap_or(("", &name));
        Contact { id, first_name: first_name.to_owned(), last_name: last_name.to_owned() }
    }
}

/// What the second program writes as long as one node of the cluster has the first.
impl From<Contact> for ContactV1 {
    fn from(Contact { id, first_name, last_name }: Contact) -> Self {
        ContactV1 { id, name: format!("{first_name} {last_name}") }
    }
}

async fn first_program(data_dir: &Path) -> netabase::Result<()> {
    let db = Netabase::<ContactV1>::start().data_dir(data_dir).await?;
    for (id, name) in (1..).zip(["Ada Lovelace", "Grace Hopper", "Barbara Liskov"]) {
        db.put_record(ContactV1 { id, name: name.to_owned() }).await?;
    }
    db.shutdown().await
}

async fn second_program(data_dir: &Path) -> netabase::Result<()> {
    let db = Netabase::<Contact>::start().data_dir(data_dir).await?;
    db.put_record(Contact { id: 4, first_name: "Leslie".into(), last_name: "Lamport".into() }).await?;
    // The rows of before are converted beside everything else; until they are, the index is not read.
    let found = loop {
        match db.query(Contact::by_last_name(starts_with("L"))).await {
            Err(Error::IndexNotReady { .. }) => tokio::task::yield_now().await,
            found => break found?,
        }
    };
    for contact in found {
        println!("{}, {}", contact.last_name, contact.first_name);
    }
    for record in db.status().await?.records {
        println!("`{}` is written in version {:?}", record.name, record.active);
    }
    db.shutdown().await
}

#[tokio::main]
async fn main() -> netabase::Result<()> {
    let scratch = tempfile::tempdir().expect("a temporary directory can be made");
    first_program(scratch.path()).await?;
    second_program(scratch.path()).await?;
    // From here on the first program is too old, and is told so.
    let refused = first_program(scratch.path()).await;
    println!("{}", refused.expect_err("it cannot read what is there"));
    Ok(())
}
