//! Nodes join and leave while others write: every acknowledged write stays, no two nodes differ.

use std::time::Duration;

use netabase::testing::Cluster;
use netabase::{Error, Role};
use netabase_tests::{Note, until};

fn note(id: u64) -> Note {
    Note { id, writer: "one".into(), text: format!("text {id}") }
}

async fn role(cluster: &Cluster<Note>, place: usize) -> Option<Role> {
    cluster.node(place).status().await.ok().map(|status| status.role)
}

#[tokio::test(flavor = "multi_thread")]
async fn one_becomes_three_becomes_five_becomes_three() -> netabase::Result<()> {
    let mut cluster = Cluster::<Note>::start(1).await?;
    for id in 0..50 {
        cluster.node(0).put_record(note(id)).await?;
    }
    for (place, id) in [(1, 100), (2, 101), (3, 102), (4, 103)] {
        assert_eq!(cluster.join(place - 1, Role::Voter).await?, place);
        assert_eq!(role(&cluster, place).await, Some(Role::Voter));
        cluster.node(place).put_record(note(id)).await?;
        assert_eq!(cluster.node(place).get_record::<Note>(id).await?, Some(note(id)));
    }
    cluster.converged().await?;
    assert_eq!(cluster.node(0).status().await?.members.len(), 5);

    // A minority may be away.
    cluster.crash(1).await;
    cluster.crash(0).await;
    cluster.node(4).put_record(note(200)).await?;
    cluster.restart(0).await?;
    cluster.restart(1).await?;
    cluster.converged().await?;

    let leader = cluster.leader().await?;
    let other = (leader + 1) % 5;
    for gone in [leader, other] {
        let by = (0..5).find(|by| *by != gone && cluster.is_running(*by) && *by != other).unwrap_or(leader);
        cluster.node(by).remove_member(cluster.peer_id(gone)).await?;
        let handle = cluster.node(gone);
        until(|| async { matches!(handle.status().await, Err(Error::Removed)) }).await;
        cluster.crash(gone).await;
        assert!(
            matches!(cluster.restart(gone).await, Err(Error::Removed)),
            "its directory cannot come back by accident"
        );
    }
    let left = (0..5).find(|place| cluster.is_running(*place)).expect("three are left");
    assert_eq!(cluster.node(left).status().await?.members.len(), 3);
    cluster.node(left).put_record(note(300)).await?;
    cluster.converged().await?;
    for id in (0..50).chain(100..104).chain([200, 300]) {
        assert_eq!(cluster.node(left).get_record::<Note>(id).await?, Some(note(id)));
    }
    cluster.shutdown().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_learner_holds_everything_and_has_no_vote() -> netabase::Result<()> {
    let mut cluster = Cluster::<Note>::start(1).await?;
    cluster.node(0).put_record(note(1)).await?;
    let learner = cluster.join(0, Role::Learner).await?;
    assert_eq!(role(&cluster, learner).await, Some(Role::Learner));
    cluster.node(learner).put_record(note(2)).await?;
    cluster.crash(learner).await;
    // Alone, the voter needs nobody.
    cluster.node(0).put_record(note(3)).await?;
    cluster.restart(learner).await?;
    cluster.converged().await?;
    assert_eq!(cluster.node(learner).linearizable().get_record::<Note>(3).await?, Some(note(3)));
    cluster.node(learner).remove_member(cluster.peer_id(learner)).await?;
    cluster.crash(learner).await;
    cluster.shutdown().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_voter_that_the_rest_cannot_do_without_stays() -> netabase::Result<()> {
    let mut cluster = Cluster::<Note>::start(3).await?;
    let leader = cluster.leader().await?;
    let (away, here) = ((leader + 1) % 3, (leader + 2) % 3);
    cluster.crash(away).await;
    tokio::time::timeout(Duration::from_secs(20), async {
        loop {
            // The leader has to notice first.
            match cluster.node(here).remove_member(cluster.peer_id(leader)).await {
                Err(Error::Configuration { reason, .. }) => {
                    assert!(reason.contains(&cluster.peer_id(away).to_string()), "{reason}");
                    return Ok(());
                }
                Err(Error::NoQuorum) => {}
                other => return other,
            }
        }
    })
    .await
    .expect("it is refused")?;
    cluster.node(here).put_record(note(1)).await?;
    assert!(matches!(
        cluster.node(here).remove_member(netabase::PeerId::random()).await,
        Err(Error::Configuration { .. })
    ));
    cluster.shutdown().await
}
