//! A node process that a test kills: it does what the lines on its standard input say (see `words`), and ends with it.

use std::io::{BufRead, Write};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use netabase::{Event, Invite, Netabase, Role};
use netabase_tests::{Kept, LaterNote, Note, VERSION, settle_in, words};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

/// Lines that may wait.
const LINES_MAX: usize = 64;
/// Who write at once when a store is filled.
const FILLERS: usize = 32;

#[tokio::main]
async fn main() -> ExitCode {
    match std::env::var(VERSION).as_deref() {
        Ok("2") => node::<LaterNote>().await,
        _ => node::<Note>().await,
    }
}

/// A node whose program knows the notes up to this version.
async fn node<N: Kept>() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let (Some(dir), Some(listen)) = (arguments.next(), arguments.next()) else { return ExitCode::FAILURE };
    let start = Netabase::<N>::start().data_dir(dir).listen(listen).tuning(settle_in());
    let mut arguments = arguments.peekable();
    let start = match arguments.peek().map(|first| first.parse::<Invite>()) {
        None => start,
        Some(Ok(invite)) => start.join(invite),
        Some(Err(_)) => start.founders(arguments),
    };
    let db = match start.await {
        Ok(db) => db,
        Err(error) => {
            say(&format!("failed {error}"));
            return ExitCode::FAILURE;
        }
    };
    say("started");
    let changes = count_changes(&db);
    let mut lines = lines();
    let mut writing = Writing::default();
    while let Some(line) = lines.recv().await {
        let (word, rest) = words::split(&line);
        match word {
            "write" => writing.start(&db, rest),
            "pause" => {
                writing.stop().await;
                say("paused");
            }
            "hash" => match db.state_hash().await {
                Ok(hash) => say(&format!("hash {hash}")),
                Err(error) => say(&format!("hash {error}")),
            },
            "leader" => {
                let leader = db.status().await.ok().and_then(|status| status.leader);
                say(&format!("leader {}", leader.map_or_else(|| "-".to_owned(), |peer| peer.to_string())));
            }
            "changes" => say(&format!("changes {}", changes.swap(0, Ordering::Relaxed))),
            "members" => {
                let members = db.status().await.map(|status| status.members).unwrap_or_default();
                let members: Vec<String> = members.iter().map(|member| member.peer_id.to_string()).collect();
                say(&format!("members {}", members.join(" ")));
            }
            "invite" => match db.invite(Role::Voter).await {
                Ok(invite) => say(&format!("invite {invite}")),
                Err(error) => say(&format!("invite - {error}")),
            },
            "invite-client" => match db.invite(Role::Client).await {
                Ok(invite) => say(&format!("invite-client {invite}")),
                Err(error) => say(&format!("invite-client - {error}")),
            },
            "refused" => match db.status().await {
                Ok(status) => say(&format!("refused {:?}", status.refused)),
                Err(error) => say(&format!("refused - {error}")),
            },
            "remove" => match rest.parse() {
                Ok(peer) => match db.remove_member(peer).await {
                    Ok(()) => say("remove ok"),
                    Err(error) => say(&format!("remove {error}")),
                },
                Err(error) => say(&format!("remove {error}")),
            },
            "fill" => match fill(&db, rest).await {
                Ok(()) => say("fill ok"),
                Err(error) => say(&format!("fill {error}")),
            },
            "applied" => {
                let applied = db.status().await.map(|status| status.applied_round).unwrap_or_default();
                say(&format!("applied {applied}"));
            }
            "check" => say(&format!("missing {}", missing(&db, rest).await)),
            "stop" => {
                match db.shutdown().await {
                    Ok(()) => say("stopped ok"),
                    Err(error) => say(&format!("stopped {error}")),
                }
                return ExitCode::SUCCESS;
            }
            "records" => match db.status().await {
                Ok(status) => say(&format!("records {:?}", status.records)),
                Err(error) => say(&format!("records - {error}")),
            },
            "counted" => match N::counted(&db, rest.parse().unwrap_or(0)).await {
                Ok(count) => say(&format!("counted {count}")),
                Err(error) => say(&format!("counted - {error}")),
            },
            "put" => {
                let id = rest.parse().unwrap_or(0);
                match db.put_record(N::from(Note::of(id))).await {
                    Ok(_) => say("put ok"),
                    Err(error) => say(&format!("put {error}")),
                }
            }
            _ => {}
        }
    }
    ExitCode::SUCCESS
}

/// Counts how often somebody else leads, or nobody.
fn count_changes<N: Kept>(db: &Netabase<N>) -> Arc<AtomicU64> {
    let changes = Arc::new(AtomicU64::new(0));
    let (mut events, counted) = (db.events(), Arc::clone(&changes));
    tokio::spawn(async move {
        while let Some(event) = events.next().await {
            if let Event::LeaderChanged { .. } | Event::Missed { .. } = event {
                counted.fetch_add(1, Ordering::Relaxed);
            }
        }
    });
    changes
}

#[derive(Default)]
struct Writing {
    callers: JoinSet<()>,
    stop: Arc<AtomicBool>,
}

impl Writing {
    fn start<N: Kept>(&mut self, db: &Netabase<N>, words: &str) {
        let (first, callers) = words::split(words);
        let first: u64 = first.parse().unwrap_or(0);
        let callers: u64 = callers.parse().unwrap_or(1);
        self.stop = Arc::default();
        for caller in 0..callers {
            let (db, stop) = (db.clone(), Arc::clone(&self.stop));
            self.callers.spawn(async move {
                let mut id = first + caller;
                while !stop.load(Ordering::Relaxed) {
                    if db.put_record(N::from(Note::of(id))).await.is_ok() {
                        say(&format!("ack {id}"));
                    }
                    id += callers;
                }
            });
        }
    }

    async fn stop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        while self.callers.join_next().await.is_some() {}
    }
}

/// Writes so many notes of this size, a few of them at a time.
async fn fill<N: Kept>(db: &Netabase<N>, words: &str) -> netabase::Result<()> {
    let mut words = words.split_whitespace().map(|word| word.parse::<u64>().unwrap_or(0));
    let mut word = || words.next().unwrap_or(0);
    let (first, count, bytes) = (word(), word(), word() as usize);
    let mut callers = JoinSet::new();
    for caller in 0..FILLERS {
        let db = db.clone();
        callers.spawn(async move {
            for id in (first..first + count).skip(caller).step_by(FILLERS) {
                db.put_record(N::from(Note::sized(id, bytes))).await?;
            }
            Ok(())
        });
    }
    callers.join_all().await.into_iter().collect()
}

/// How many of the records of the ids in this file are not there, or are not what was written.
async fn missing<N: Kept>(db: &Netabase<N>, file: &str) -> usize {
    let ids = std::fs::read_to_string(file).unwrap_or_default();
    let mut missing = 0;
    for id in ids.lines().filter_map(|id| id.parse::<u64>().ok()) {
        if db.get_record::<N>(id).await.ok().flatten() != Some(N::from(Note::of(id))) {
            missing += 1;
        }
    }
    missing
}

fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    // Nobody reads any more: the test is over.
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}

fn lines() -> mpsc::Receiver<String> {
    let (sender, receiver) = mpsc::channel(LINES_MAX);
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            if sender.blocking_send(line).is_err() {
                return;
            }
        }
    });
    receiver
}
