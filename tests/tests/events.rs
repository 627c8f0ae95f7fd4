//! A node tells whoever operates it what happens to it and its cluster, and how things stand.

use std::time::Duration;

use netabase::testing::Cluster;
use netabase::{Error, Event, Events, Identity, Netabase, PeerId};
use netabase_tests::Note;

const DEADLINE: Duration = Duration::from_secs(30);

/// Reads on until this happens, and returns all that was read.
async fn until(events: &mut Events, wanted: impl Fn(&Event) -> bool) -> Vec<Event> {
    let mut read = Vec::new();
    let reading = async {
        while let Some(event) = events.next().await {
            read.push(event.clone());
            if wanted(&event) {
                return;
            }
        }
        panic!("the events ended");
    };
    if tokio::time::timeout(DEADLINE, reading).await.is_err() {
        panic!("it did not happen, only {read:?}");
    }
    read
}

fn led_by_other(than: PeerId) -> impl Fn(&Event) -> bool {
    move |event| matches!(event, Event::LeaderChanged { leader: Some(leader) } if *leader != than)
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_there_and_who_leads_is_told() -> netabase::Result<()> {
    let mut cluster = Cluster::<Note>::start(3).await?;
    let leader = cluster.leader().await?;
    let (gone, other) = (cluster.node(leader).peer_id(), (leader + 1) % 3);
    let mut events = cluster.node(other).events();
    let mut at_leader = cluster.node(leader).events();
    cluster.crash(leader).await;
    let read = until(&mut events, led_by_other(gone)).await;
    assert!(read.contains(&Event::Disconnected { peer: gone }), "{read:?}");
    assert!(read.contains(&Event::LeaderChanged { leader: None }), "{read:?}");
    while let Some(event) = tokio::time::timeout(DEADLINE, at_leader.next()).await.expect("they end with the node") {
        assert!(!matches!(event, Event::Failed { .. }), "a crash is no failure of its own: {event:?}");
    }
    cluster.restart(leader).await?;
    until(&mut events, |event| *event == Event::Connected { peer: gone }).await;

    let new = cluster.leader().await?;
    let status = cluster.node(new).status().await?;
    assert_eq!((status.leader, status.lag), (Some(cluster.node(new).peer_id()), 0));
    assert_eq!(status.members.len(), 3);
    cluster.shutdown().await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_leader_knows_how_far_everyone_is() -> netabase::Result<()> {
    let cluster = Cluster::<Note>::start(3).await?;
    let leader = cluster.leader().await?;
    cluster.node(leader).put_record(Note::of(1)).await?;
    let hash = cluster.converged().await?;
    let known = async {
        loop {
            let status = cluster.node(leader).status().await?;
            let there = |at: Option<u64>| at.is_some_and(|round| round >= hash.round);
            if status.members.iter().all(|member| member.connected && there(member.applied_round)) {
                return Ok::<_, Error>(());
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(DEADLINE, known).await.expect("it hears of it")?;
    let follower = cluster.node((leader + 1) % 3);
    for member in follower.status().await?.members {
        assert_eq!(member.applied_round.is_some(), member.peer_id == follower.peer_id(), "a follower is not told");
    }
    cluster.shutdown().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_lags_says_so_and_says_when_it_has_caught_up() -> netabase::Result<()> {
    let mut cluster = Cluster::<Note>::start(3).await?;
    let leader = cluster.leader().await?;
    let away = (leader + 1) % 3;
    let mut events = cluster.node(away).events();
    cluster.partition([&[leader, (leader + 2) % 3], &[away]]);
    // One round each: far more than may be missing unnoticed.
    for id in 0..1_200 {
        cluster.node(leader).put_record(Note::of(id)).await?;
    }
    cluster.heal();
    let read = until(&mut events, |event| matches!(event, Event::Lags { .. })).await;
    let Some(Event::Lags { rounds }) = read.last() else { unreachable!("it was waited for") };
    assert!((1_024..2_400).contains(rounds), "{rounds}");
    let read = until(&mut events, |event| matches!(event, Event::CaughtUp { .. })).await;
    assert!(matches!(read.last(), Some(Event::CaughtUp { round }) if *round > 1_000), "{read:?}");
    cluster.shutdown().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_fails_says_why_and_then_nothing() -> netabase::Result<()> {
    let cluster = Cluster::<Note>::start(3).await?;
    let failing = (cluster.leader().await? + 1) % 3;
    let mut events = cluster.node(failing).events();
    cluster.log_disk(failing).fail_syncs(true);
    while cluster.node((failing + 1) % 3).put_record(Note::of(1)).await.is_err() {}
    let read = until(&mut events, |event| matches!(event, Event::Failed { .. })).await;
    assert!(read.contains(&Event::VotesNoLonger) || read.len() == 1, "{read:?}");
    let Some(Event::Failed { reason }) = read.last() else { unreachable!("it was waited for") };
    assert!(reason.contains("consensus log"), "{reason}");
    assert_eq!(events.next().await, None);
    assert_eq!(cluster.node(failing).events().next().await, None, "nor later");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_are_counted() -> netabase::Result<()> {
    let dirs = [(); 2].map(|()| tempfile::tempdir().expect("a temporary directory can be made"));
    let db = Netabase::<Note>::start().data_dir(dirs[0].path()).listen("/ip4/127.0.0.1/tcp/0").await?;
    let mut events = db.events();
    let address = db.status().await?.listen_addresses.first().map(ToString::to_string).expect("it listens");
    let stranger = Identity::generate();
    let founders =
        [format!("{address}/p2p/{}", db.peer_id()), format!("/ip4/127.0.0.1/tcp/1/p2p/{}", stranger.peer_id())];
    let other = Netabase::<Note>::start().data_dir(dirs[1].path()).identity(stranger).founders(founders).await?;
    let read = until(&mut events, |event| matches!(event, Event::StrangersRefused { .. })).await;
    let Some(Event::StrangersRefused { total }) = read.last() else { unreachable!("it was waited for") };
    assert!(*total >= 1 && db.status().await?.refused.strangers >= *total);
    other.shutdown().await?;
    db.shutdown().await
}
