//! Peers that mean harm, over real sockets, against node processes that honest writers keep busy: what they send is refused
//! and counted, the memory of the node stays bounded, and writes go on.
//!
//! Memory is a bound and asserted; how fast the writers are meanwhile is printed.

#[path = "hostile/siege.rs"]
mod siege;

use std::time::Duration;

use netabase::Identity;
use netabase::testing::hostile::{Hostile, Papers, Wire, frame, page, watch};
use netabase_tests::{Failed, Note};
use siege::{Siege, pause};

const PAXOS: &str = "/netabase/paxos/1.0.0";
const HEARTBEAT: &str = "/netabase/heartbeat/1.0.0";
const FORWARD: &str = "/netabase/forward/1.0.0";
const CLIENT: &str = "/netabase/client/1.0.0";
const GIBIBYTE: usize = 1 << 30;

fn request(id: u64, payload: &[u8]) -> Vec<u8> {
    frame(id, payload, payload.len())
}

/// Sends the frame again and again for as long as the node takes it.
async fn flood(wire: &mut Wire, frame: &[u8]) {
    while wire.send(frame).await.is_ok() {}
}

#[test]
fn a_stranger_that_speaks_paxos_is_refused() -> Result<(), Failed> {
    let mut siege = Siege::lay()?;
    siege.besiege("a stranger that speaks paxos", async |address| {
        let stranger = Identity::generate();
        loop {
            if let Ok(peer) = Hostile::connect(&stranger, &address).await
                && let Ok(mut wire) = peer.open(PAXOS).await
            {
                flood(&mut wire, &request(1, &[7; 64])).await;
                panic!("a stranger was heard");
            }
            pause().await;
        }
    })?;
    siege.refused("strangers", 1)
}

/// Where the machine is fast enough for it, most of them have no handshake.
#[test]
fn a_crowd_of_strangers_is_stopped_before_the_handshake() -> Result<(), Failed> {
    let mut siege = Siege::lay()?;
    siege.besiege("2,000 connections of strangers", async |address| {
        for _ in 0..2_000 {
            let _ = Hostile::connect(&Identity::generate(), &address).await;
        }
        std::future::pending().await
    })?;
    // How many are barred depends on how fast they come: the siege prints it.
    siege.refused("strangers", 1)
}

#[test]
fn a_removed_voter_that_goes_on_voting_is_not_heard() -> Result<(), Failed> {
    let mut siege = Siege::lay()?;
    let (removed, thief) = siege.spare_voter()?;
    // What it knew when it was a member.
    let papers = siege.papers(&thief)?;
    siege.remove(&removed)?;
    siege.besiege("a removed voter that goes on", async |address| {
        loop {
            if let Ok(peer) = Hostile::connect(&thief, &address).await {
                let _ = vote(&peer, &papers, papers.epoch()).await;
            }
            pause().await;
        }
    })?;
    siege.refused("foreign", 1)
}

/// Says who it is, then that it leads and wants promises, all in this epoch, until the connection is gone.
async fn vote(peer: &Hostile, papers: &Papers, epoch: u64) -> std::io::Result<()> {
    let (mut pulse, mut paxos) = (peer.open(HEARTBEAT).await?, peer.open(PAXOS).await?);
    pulse.send(&request(1, &papers.greeting(epoch))).await?;
    for ballot in (1..).step_by(3) {
        pulse.send(&request(ballot, &papers.beat(epoch, ballot))).await?;
        paxos.send(&request(ballot, &papers.prepare(epoch, 1, ballot))).await?;
        // It is a flood of what it may send, not of what the socket takes: that is the next test's.
        tokio::task::yield_now().await;
    }
    Ok(())
}

#[test]
fn a_voter_of_another_epoch_is_not_heard() -> Result<(), Failed> {
    let mut siege = Siege::lay()?;
    let (_, thief) = siege.spare_voter()?;
    let papers = siege.papers(&thief)?;
    siege.besiege("a voter of a later and of an earlier epoch", async |address| {
        for epoch in [papers.epoch() + 1_000, u64::MAX, papers.epoch().wrapping_sub(1)].into_iter().cycle() {
            if let Ok(peer) = Hostile::connect(&thief, &address).await {
                let voting = vote(&peer, &papers, epoch);
                let _ = tokio::time::timeout(Duration::from_millis(300), voting).await;
            }
            pause().await;
        }
    })?;
    siege.refused("foreign", 1)
}

#[test]
fn replayed_messages_change_nothing() -> Result<(), Failed> {
    let mut siege = Siege::lay()?;
    let (_, thief) = siege.spare_voter()?;
    let papers = siege.papers(&thief)?;
    siege.besiege("messages of the leader, replayed to it", async |address| {
        loop {
            let Ok(peer) = Hostile::connect(&thief, &address).await else { continue };
            let Ok(mut pulse) = peer.open(HEARTBEAT).await else { continue };
            let Ok(mut paxos) = peer.open(PAXOS).await else { continue };
            let _ = pulse.send(&request(1, &papers.greeting(papers.epoch()))).await;
            // The leader tells it what it tells every voter.
            tokio::time::sleep(Duration::from_millis(300)).await;
            let mut heard = peer.heard();
            heard.retain(|(_, payload)| !Papers::is_greeting(payload));
            for (id, (protocol, payload)) in heard.iter().cycle().take(20_000).enumerate() {
                let wire = if protocol == PAXOS { &mut paxos } else { &mut pulse };
                if wire.send(&request(id as u64, payload)).await.is_err() {
                    break;
                }
            }
        }
    })?;
    siege.refused("foreign", 1)
}

#[test]
fn a_client_that_speaks_as_a_voter_loses_its_connection() -> Result<(), Failed> {
    let mut siege = Siege::lay()?;
    let client = siege.client()?;
    siege.besiege("a client that speaks as a voter", async |address| {
        for protocol in [PAXOS, FORWARD, HEARTBEAT].into_iter().cycle() {
            if let Ok(mut peer) = Hostile::connect(&client, &address).await
                && let Ok(mut wire) = peer.open(protocol).await
            {
                flood(&mut wire, &request(1, &[7; 64])).await;
                peer.closed().await;
            }
            pause().await;
        }
    })?;
    siege.refused("not_allowed", 1)
}

#[test]
fn a_client_that_asks_nonsense_as_fast_as_it_can_is_answered_and_holds_up_nobody() -> Result<(), Failed> {
    let mut siege = Siege::lay()?;
    let client = siege.client()?;
    siege.besiege("a client that asks as fast as it can", async |address| {
        let peer = Hostile::connect(&client, &address).await.expect("a client is let in");
        let mut wire = peer.open(CLIENT).await.expect("a client is heard");
        let questions = request(1, b"?").repeat(400);
        while wire.send(&questions).await.is_ok() {
            for _ in 0..400 {
                wire.hear().await.expect("an answer comes");
            }
        }
        panic!("whoever only asks is not closed");
    })?;
    siege.refused("malformed", 1)
}

/// It asks for megabytes a second on every stream that it may have, and takes none of them.
#[test]
fn a_client_that_never_reads_costs_little_and_is_dropped() -> Result<(), Failed> {
    let mut siege = Siege::lay()?;
    siege.fill(16 << 20)?;
    let client = siege.client()?;
    siege.last(Duration::from_secs(13));
    siege.besiege("a client that never reads", async |address| {
        let mut held = Vec::new();
        for _ in 0..20 {
            if let Ok(peer) = Hostile::connect(&client, &address).await
                && let Ok(mut wire) = peer.open(CLIENT).await
            {
                let asks = [request(1, &watch::<Note>()), request(2, &page::<Note>()).repeat(500)].concat();
                let _ = tokio::time::timeout(Duration::from_millis(100), wire.send(&asks)).await;
                held.push((peer, wire));
            }
        }
        std::future::pending().await
    })?;
    siege.refused("connections", 1)?;
    siege.refused("slow_readers", 1)
}

#[test]
fn ten_thousand_streams_cost_their_opener_the_connection() -> Result<(), Failed> {
    let mut siege = Siege::lay()?;
    let client = siege.client()?;
    siege.besiege("10,000 streams", async |address| {
        let mut opened = 0;
        while opened < 10_000 {
            let Ok(peer) = Hostile::connect(&client, &address).await else {
                pause().await;
                continue;
            };
            // In turn: streams that say nothing but fill their window, and whole ones, one after the other.
            let mut bare = Vec::new();
            for _ in 0..200 {
                let Ok(Ok(mut wire)) = tokio::time::timeout(Duration::from_millis(50), peer.open_bare()).await else {
                    break;
                };
                let _ = tokio::time::timeout(Duration::from_millis(5), wire.send(&[0x7f; 256 << 10])).await;
                bare.push(wire);
                opened += 1;
            }
            drop(bare);
            let Ok(peer) = Hostile::connect(&client, &address).await else { continue };
            while peer.open(CLIENT).await.is_ok() {
                opened += 1;
            }
        }
        std::future::pending().await
    })?;
    siege.refused("streams", 1)
}

#[test]
fn a_gibibyte_is_refused_before_it_comes() -> Result<(), Failed> {
    let mut siege = Siege::lay()?;
    let client = siege.client()?;
    siege.besiege("a frame of 1 GiB, at once and slowly", async |address| {
        loop {
            let Ok(peer) = Hostile::connect(&client, &address).await else { continue };
            let Ok(mut wire) = peer.open(CLIENT).await else { continue };
            // What may be announced comes slowly, a byte at a time; what may not comes as fast as it can.
            let mut slow = Hostile::connect(&client, &address).await;
            if let Ok(slow) = &mut slow
                && let Ok(mut trickle) = slow.open(CLIENT).await
            {
                let _ = trickle.send(&frame(1, &[1; 1_000], 2 << 20)).await;
                for _ in 0..10 {
                    pause().await;
                    let _ = trickle.send(&[1]).await;
                }
            }
            if wire.send(&frame(1, &[], GIBIBYTE)).await.is_ok() {
                flood(&mut wire, &[1; 64 << 10]).await;
            }
        }
    })?;
    siege.refused("too_large", 1)
}
