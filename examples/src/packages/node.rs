//! A node process: one replica of the archive, told what to do over its standard input.
//!
//! It ends as in a crash when its input ends: the parent is gone, and what was acknowledged is on disk.

use std::{
    ffi::OsString,
    io::{self, BufRead, Write},
    process::{self, ExitCode},
};

use netabase::prelude::*;
use tokio::sync::mpsc;

use crate::{
    protocol::{Numbered, Remedy, Reply, Request, START},
    schema::{Archive, Dependency, Package},
};

/// The parent sends one request at a time; a few more may wait after it lost patience.
const REQUESTS_MAX: usize = 16;

/// `node DATA_DIR LISTEN FOUNDER...`
pub(crate) async fn run(arguments: Vec<OsString>) -> ExitCode {
    let mut requests = read_requests();
    let db = match start(arguments).await {
        Ok(db) => db,
        Err(error) => {
            say(START, &failed(&error));
            return ExitCode::FAILURE;
        }
    };
    say(START, &Reply::Started);
    while let Some(Numbered { number, body: request }) = requests.recv().await {
        let stop = matches!(request, Request::Shutdown);
        let reply = answer(&db, request).await.unwrap_or_else(|error| failed(&error));
        say(number, &reply);
        if stop {
            break;
        }
    }
    ExitCode::SUCCESS
}

async fn start(arguments: Vec<OsString>) -> netabase::Result<Netabase<Archive>> {
    let mut arguments = arguments.into_iter().map(|argument| argument.to_string_lossy().into_owned());
    let (Some(data_dir), Some(listen)) = (arguments.next(), arguments.next()) else {
        return Err(Error::Configuration { option: "node", reason: "a node needs a directory and an address".into() });
    };
    Netabase::start().data_dir(data_dir).listen(listen).founders(arguments).await
}

async fn answer(db: &Netabase<Archive>, request: Request) -> netabase::Result<Reply> {
    Ok(match request {
        Request::PutPackages(packages) => {
            db.put_records(packages).await?;
            Reply::Done
        }
        Request::PutDependencies(dependencies) => {
            db.put_records(dependencies).await?;
            Reply::Done
        }
        Request::Status => {
            let status = db.status().await?;
            Reply::Status {
                peer_id: status.peer_id.to_string(),
                leader: status.leader.map(|leader| leader.to_string()),
            }
        }
        Request::StateHash => {
            let state = db.state_hash().await?;
            Reply::StateHash { round: state.round, hash: state.to_string() }
        }
        Request::Dependents { on } => Reply::Dependencies(db.query(Dependency::by_on(on)).await?),
        Request::OfSection { section } => Reply::Packages(db.query(Package::by_section(section)).await?),
        Request::NamesThatStartWith { prefix } => Reply::Packages(db.query(Package::range(starts_with(prefix))).await?),
        Request::Packages { after, limit } => {
            let page = Package::all().limit(limit);
            Reply::Packages(
                db.query(match after {
                    Some(name) => page.after(name),
                    None => page,
                })
                .await?,
            )
        }
        Request::Dependencies { after, limit } => {
            let page = Dependency::all().limit(limit);
            Reply::Dependencies(
                db.query(match after {
                    Some(key) => page.after(key),
                    None => page,
                })
                .await?,
            )
        }
        Request::Shutdown => {
            db.clone().shutdown().await?;
            Reply::Done
        }
    })
}

fn failed(error: &Error) -> Reply {
    Reply::Failed { message: error.to_string(), remedy: remedy(error) }
}

fn remedy(error: &Error) -> Remedy {
    match error {
        Error::NoQuorum | Error::Timeout | Error::ConnectionLost | Error::Overloaded { .. } => Remedy::Retry,
        Error::Batch { source, .. } => remedy(source),
        Error::Network { .. } => Remedy::OtherPorts,
        _ => Remedy::None,
    }
}

/// Reads on a thread of its own, so that the end of the input is seen whatever the node is doing.
fn read_requests() -> mpsc::Receiver<Numbered<Request>> {
    let (sender, receiver) = mpsc::channel(REQUESTS_MAX);
    std::thread::spawn(move || {
        for line in io::stdin().lock().lines().map_while(Result::ok) {
            match serde_json::from_str(&line) {
                Ok(request) => {
                    if sender.blocking_send(request).is_err() {
                        return; // shutting down
                    }
                }
                Err(error) => eprintln!("not a request: {error}"),
            }
        }
        process::exit(1);
    });
    receiver
}

fn say(number: u64, reply: &Reply) {
    let line = serde_json::to_string(&Numbered { number, body: reply }).expect("a reply is plain data");
    let mut out = io::stdout().lock();
    if writeln!(out, "{line}").and_then(|()| out.flush()).is_err() {
        process::exit(1); // nobody listens any more
    }
}
