//! A majority is lost for good: what the survivor had goes on as a cluster of its own.

use netabase::testing::Cluster;
use netabase::{Error, Role};
use netabase_tests::Note;

fn note(id: u64) -> Note {
    Note { id, writer: "one".into(), text: format!("text {id}") }
}

async fn holds(cluster: &Cluster<Note>, place: usize, ids: std::ops::Range<u64>) -> netabase::Result<()> {
    for id in ids {
        assert_eq!(cluster.node(place).get_record::<Note>(id).await?, Some(note(id)), "record {id} at {place}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_survivor_goes_on_alone_and_others_join_it() -> netabase::Result<()> {
    let mut cluster = Cluster::<Note>::start(3).await?;
    for id in 0..40 {
        cluster.node(0).put_record(note(id)).await?;
    }
    cluster.converged().await?;
    cluster.crash(1).await;
    // From here on, the survivor is of every majority: whatever is acknowledged, it has at least accepted.
    for id in 40..80 {
        cluster.node(0).put_record(note(id)).await?;
    }
    let old = cluster.node(2).status().await?;
    assert_eq!(old.recovery, None);
    cluster.crash(2).await;
    cluster.crash(0).await;
    cluster.lose_directory(0);
    cluster.lose_directory(1);

    cluster.recover_alone(2).await?;
    holds(&cluster, 2, 0..80).await?;
    let status = cluster.node(2).status().await?;
    assert_eq!((status.role, status.members.len(), status.epoch), (Role::Voter, 1, 0));
    let recovery = status.recovery.expect("that is how this cluster began");
    assert!(recovery.agreed + recovery.unconfirmed >= old.applied_round && !recovery.without_log, "{recovery:?}");
    cluster.node(2).put_record(note(80)).await?;

    let joined = cluster.join(2, Role::Voter).await?;
    cluster.node(joined).put_record(note(81)).await?;
    cluster.converged().await?;
    holds(&cluster, joined, 0..82).await?;
    assert_eq!(cluster.node(joined).status().await?.recovery, None);

    // It is what it is from now on, and remembers how it began.
    cluster.crash(2).await;
    let again = cluster.recover_alone(2).await;
    assert!(again.is_ok(), "one of two voters may be recovered once more: {again:?}");
    holds(&cluster, 2, 0..82).await?;
    cluster.crash(2).await;
    let again = cluster.recover_alone(2).await;
    assert!(matches!(again, Err(Error::Configuration { option: "recover_alone", .. })), "{again:?}");
    cluster.restart(2).await?;
    assert!(cluster.node(2).status().await?.recovery.is_some_and(|latest| latest.left != recovery.left));
    cluster.shutdown().await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_old_cluster_and_the_new_one_know_nothing_of_each_other() -> netabase::Result<()> {
    let mut cluster = Cluster::<Note>::start(3).await?;
    cluster.node(0).put_record(note(0)).await?;
    cluster.converged().await?;
    cluster.crash(2).await;
    // The others were not lost at all: the worst mistake that can be made with it.
    cluster.recover_alone(2).await?;
    cluster.node(0).put_record(note(1)).await?;
    cluster.node(2).put_record(note(2)).await?;
    cluster.node(1).put_record(note(3)).await?;
    holds(&cluster, 1, 3..4).await?;
    for (place, absent) in [(0, 2), (1, 2), (2, 1), (2, 3)] {
        assert_eq!(cluster.node(place).get_record::<Note>(absent).await?, None, "record {absent} at {place}");
    }
    assert_eq!(cluster.node(2).status().await?.members.len(), 1);
    cluster.shutdown().await
}
