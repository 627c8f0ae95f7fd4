//! The harness of the tests: node processes that can be killed, a checker of histories, and random numbers that can be
//! repeated.

mod host;
#[cfg(target_os = "linux")]
pub mod net;
mod note;
mod processes;
pub mod words;

pub use host::{Host, settle_in};
use netabase::testing::Cluster;
pub use netabase::testing::Random;
use netabase::{Netabase, Schema};
pub use note::{Kept, LaterNote, Note};
pub use processes::{Failed, Processes, VERSION};

/// On which side of the wire the handle of a test is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// A node's own.
    Node,
    /// A client's, without data.
    Client,
}

impl Side {
    /// A handle to the cluster.
    ///
    /// # Errors
    /// Where a client cannot connect.
    pub async fn of<S: Schema>(self, cluster: &Cluster<S>) -> netabase::Result<Netabase<S>> {
        match self {
            Side::Node => Ok(cluster.node(0)),
            Side::Client => cluster.client().await,
        }
    }
}

/// Runs each of these tests, `async fn(Side)`, once over a node's handle and once over a client's.
#[macro_export]
macro_rules! on_both_sides {
    ($($test:ident),+ $(,)?) => {
        $crate::on_both_sides!(@ node, Node, $($test),+);
        $crate::on_both_sides!(@ client, Client, $($test),+);
    };
    (@ $module:ident, $side:ident, $($test:ident),+) => {
        mod $module {
            $(
                #[tokio::test(flavor = "multi_thread")]
                async fn $test() -> netabase::Result<()> {
                    super::$test($crate::Side::$side).await
                }
            )+
        }
    };
}

/// Writes the note of this id, again and again while there is no quorum, for ten seconds.
///
/// # Errors
/// Any other error, and [`netabase::Error::NoQuorum`] when it lasts.
pub async fn until_taken(db: &netabase::Netabase<Note>, id: u64) -> netabase::Result<()> {
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
    loop {
        match db.put_record(Note::of(id)).await {
            Err(netabase::Error::NoQuorum) if std::time::Instant::now() < deadline => {
                tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            }
            other => return other.map(|_| ()),
        }
    }
}

/// Looks again and again until the condition holds.
///
/// # Panics
/// When it does not within 20 seconds.
pub async fn until<F: Future<Output = bool>>(condition: impl Fn() -> F) {
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while !condition().await {
        assert!(std::time::Instant::now() < deadline, "it did not come to that in time");
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
}
