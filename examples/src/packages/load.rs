//! Loads the records batch by batch, and takes the leader away half way.

use std::{
    io::{IsTerminal, stderr},
    time::Duration,
};

use indicatif::{HumanCount, ProgressBar, ProgressStyle};
use tokio::time::{Instant, timeout};

use crate::{cluster::Cluster, failure::Failure, input::Input, protocol::Request};

/// Records in one request to a node.
const BATCH_RECORDS: usize = 1_000;

/// What the load was like.
#[derive(Debug)]
pub(crate) struct Load {
    pub(crate) records: usize,
    pub(crate) took: Duration,
    /// How many records were acknowledged when the leader was killed.
    pub(crate) killed_after: usize,
    /// From the kill until a survivor had acknowledged the batch that the leader was at.
    pub(crate) stalled: Duration,
    /// The node that was killed, and restarted before the end.
    pub(crate) killed: usize,
}

/// When the leader is killed.
#[derive(Debug)]
pub(crate) struct Plan {
    /// After this part of the batches, 0 to 1.
    share: f64,
    /// So long after it was sent the next batch.
    into_batch: Duration,
}

impl Plan {
    /// From 40 to 60 % of the records, and up to 15 ms into a batch.
    pub(crate) fn of_seed(seed: u64) -> Plan {
        Plan { share: 0.4 + (seed % 1_000) as f64 / 5_000.0, into_batch: Duration::from_millis(seed / 1_000 % 16) }
    }
}

/// Puts everything, and kills the leader as planned; it is restarted once half of the rest is in.
pub(crate) async fn load(cluster: &mut Cluster, input: &Input, plan: &Plan) -> Result<Load, Failure> {
    let batches: Vec<(usize, Request)> = input
        .packages
        .chunks(BATCH_RECORDS)
        .map(|batch| (batch.len(), Request::PutPackages(batch.to_vec())))
        .chain(
            input
                .dependencies
                .chunks(BATCH_RECORDS)
                .map(|batch| (batch.len(), Request::PutDependencies(batch.to_vec()))),
        )
        .collect();
    let kill_at = (batches.len() as f64 * plan.share) as usize;
    let restart_at = kill_at + (batches.len() - kill_at) / 2;
    let progress = Progress::new(input.packages.len() + input.dependencies.len());

    let mut node = cluster.leader().await?;
    let mut done = 0;
    let mut kill = None;
    let start = Instant::now();
    for (index, (records, request)) in batches.iter().enumerate() {
        if index == kill_at {
            let leader = cluster.leader().await?;
            // The leader has the batch, in part or as a whole, when it dies. Whatever it says of it, the
            // batch goes to another node again: that is how long writes were stalled.
            let _unknown = timeout(plan.into_batch, cluster.node(leader).ask(request)).await;
            let killed_at = Instant::now();
            cluster.node(leader).kill().await?;
            progress.say(&format!("killed the leader, node {}, after {} records", leader + 1, HumanCount(done as u64)));
            node = cluster.put(leader, request).await?;
            kill = Some((leader, killed_at.elapsed(), done));
            progress.say(&format!("writes go on through node {}", node + 1));
        } else {
            node = cluster.put(node, request).await?;
        }
        done += records;
        progress.set(done);
        if index == restart_at
            && let Some((killed, ..)) = kill
        {
            cluster.node(killed).spawn()?;
            if let Err(refusal) = cluster.node(killed).started().await {
                return Err(cluster.node(killed).explain("did not start again", &refusal));
            }
            progress.say(&format!("restarted node {}", killed + 1));
        }
    }
    let took = start.elapsed();
    progress.finish();
    let (killed, stalled, killed_after) = kill.ok_or_else(|| Failure::new("the input is too small to be halved"))?;
    Ok(Load { records: done, took, killed_after, stalled, killed })
}

/// A bar where there is a terminal, a line each tenth where there is none.
struct Progress {
    bar: ProgressBar,
    total: usize,
    lines: bool,
    tenths: std::cell::Cell<usize>,
}

impl Progress {
    fn new(total: usize) -> Self {
        let bar = ProgressBar::new(total as u64);
        let style = "{bar:40} {human_pos}/{human_len} records, {per_sec}, {eta} left";
        bar.set_style(ProgressStyle::with_template(style).expect("the template is sound"));
        Progress { bar, total, lines: !stderr().is_terminal(), tenths: std::cell::Cell::new(0) }
    }

    fn set(&self, done: usize) {
        self.bar.set_position(done as u64);
        let tenths = done * 10 / self.total;
        if self.lines && tenths > self.tenths.replace(tenths) {
            eprintln!("loaded {} of {} records", HumanCount(done as u64), HumanCount(self.total as u64));
        }
    }

    fn say(&self, line: &str) {
        self.bar.suspend(|| eprintln!("{line}"));
    }

    fn finish(&self) {
        self.bar.finish_and_clear();
    }
}
