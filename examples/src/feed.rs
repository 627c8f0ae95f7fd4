//! A feed: a process that writes posts and follows those of one topic is killed again and again, and goes on behind the
//! last post that it had seen. None is missed, none comes twice.
//!
//! `feed --demo` works in a temporary directory and ends by itself; `feed [DIR]` keeps its data in `DIR` (default
//! `./feed-data`) and adds to it in the next run.
//!
//! What the reader has seen it appends to a file, each post with its cursor in one line: that is all that it needs to go
//! on. It is this program once more, with the subcommand `read`, so that it can be killed.

use std::fs::{self, OpenOptions};
use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use netabase::Cursor;
use netabase::prelude::*;
use serde::{Deserialize, Serialize};

/// How many posts a run adds, and how often its reader is killed.
const POSTS: u64 = 600;
const KILLS: u64 = 5;
const TOPIC: &str = "rust";

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, NetabaseSchema)]
struct Post {
    #[netabase(key)]
    number: u64,
    #[netabase(index)]
    topic: String,
    text: String,
}

impl Post {
    fn of(number: u64) -> Post {
        let topic = if number.is_multiple_of(3) { "cooking" } else { TOPIC };
        Post { number, topic: topic.into(), text: format!("post {number} on {topic}") }
    }
}

/// The reader's memory: a line a post, its cursor first. A line that the kill cut off was not written.
struct Seen {
    file: PathBuf,
}

impl Seen {
    fn lines(&self) -> io::Result<Vec<(Cursor, u64)>> {
        let text = fs::read_to_string(&self.file).or_else(|error| match error.kind() {
            io::ErrorKind::NotFound => Ok(String::new()),
            _ => Err(error),
        })?;
        let whole = text.rfind('\n').map_or(0, |end| end + 1);
        if whole < text.len() {
            OpenOptions::new().write(true).open(&self.file)?.set_len(whole as u64)?;
        }
        let parse =
            |line: &str| line.split_once(' ').and_then(|(at, post)| Some((at.parse().ok()?, post.parse().ok()?)));
        Ok(text[..whole].lines().filter_map(parse).collect())
    }

    fn append(&self, cursor: Cursor, number: u64) -> io::Result<()> {
        let mut file = OpenOptions::new().create(true).append(true).open(&self.file)?;
        file.write_all(format!("{cursor} {number}\n").as_bytes())
    }
}

/// The reader: writes up to the post `last`, and follows its topic until it has seen them all.
async fn read(dir: &Path, last: u64) -> netabase::Result<()> {
    let file_failed = |error: io::Error| Error::Configuration { option: "DIR", reason: error.to_string() };
    let db = Netabase::<Post>::start().data_dir(dir.join("data")).await?;
    let seen = Seen { file: dir.join("seen") };
    let watch = db.watch(Post::by_topic(TOPIC));
    let before = seen.lines().map_err(file_failed)?.last().copied();
    let mut posts = match before {
        Some((cursor, _)) => watch.after(cursor).await?,
        None => watch.from_round(1).await?,
    };

    let written = db.query(Post::all().reverse().limit(1)).await?;
    let first = written.first().map_or(0, |post| post.number + 1);
    let writer = db.clone();
    let writing = tokio::spawn(async move {
        for number in first..=last {
            writer.put_record(Post::of(number)).await?;
        }
        Ok::<_, Error>(())
    });

    let last = (0..=last).rev().find(|number| Post::of(*number).topic == TOPIC);
    let mut at = before.map(|(_, number)| number);
    while at != last {
        let change = posts.next().await.ok_or(Error::ShutDown)??;
        if let Change::Put { record, .. } = &change {
            seen.append(change.cursor(), record.number).map_err(file_failed)?;
            println!("{}", record.number); // the parent counts
            at = Some(record.number);
        }
    }
    writing.await.expect("the writer does not panic")?;
    db.shutdown().await
}

fn spawn_reader(dir: &Path, last: u64) -> io::Result<Child> {
    Command::new(std::env::current_exe()?).arg("read").arg(dir).arg(last.to_string()).stdout(Stdio::piped()).spawn()
}

/// Lets readers work in turn: all but the last are killed after some posts.
fn run(dir: &Path) -> io::Result<()> {
    fs::create_dir_all(dir)?;
    let seen = Seen { file: dir.join("seen") };
    let before = seen.lines()?.last().map_or(0, |(_, number)| number + 1);
    let last = before + POSTS;
    for kill in 0..=KILLS {
        let mut reader = spawn_reader(dir, last)?;
        let output = reader.stdout.take().ok_or(io::ErrorKind::BrokenPipe)?;
        let posts = BufReader::new(output).lines().map_while(Result::ok);
        if kill < KILLS {
            let read = posts.take(10 + 13 * kill as usize).count();
            reader.kill()?;
            reader.wait()?;
            println!("killed after {read} posts, {} seen so far", seen.lines()?.len());
        } else {
            let read = posts.count();
            assert!(reader.wait()?.success(), "the last reader failed");
            println!("not killed: {read} posts");
        }
    }
    let numbers: Vec<u64> = seen.lines()?.into_iter().map(|(_, number)| number).collect();
    let expected: Vec<u64> = (0..=last).filter(|number| Post::of(*number).topic == TOPIC).collect();
    assert_eq!(numbers, expected, "a post is missing, or came twice");
    println!("{} posts on {TOPIC}, each seen once, in order, by {} readers", numbers.len(), KILLS + 1);
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let scratch = tempfile::tempdir()?;
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match &arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["read", dir, last] => read(Path::new(dir), last.parse()?).await?,
        ["--demo"] => run(scratch.path())?,
        [dir] => run(Path::new(dir))?,
        _ => run(Path::new("feed-data"))?,
    }
    Ok(())
}
