//! Commands of clients: looked at, taken along to the leader, answered with what became of them.
//!
//! Must hold: a client that may only read writes nothing; only what a handle sends is taken, each within an entry's limit;
//! the answer is there after [`SETTLE_TIMEOUT`] at the latest, and says honestly what is not known by then.

use std::time::Duration;

use bytes::Bytes;
use libp2p::PeerId;
use tokio::time::{Instant, timeout_at};

use super::Right;
use super::message::{Settled, Submitted, Trouble};
use super::serve::Counter;
use crate::command::{EncodedCommand, body_bytes_alone, entry_bytes_max};
use crate::consensus::{Name, Outlook};

/// How long a member waits for the outcomes of commands. The client sends them again after as long.
const SETTLE_TIMEOUT: Duration = Duration::from_secs(2);
/// How long commands wait for somebody to lead: then the client is told to look elsewhere, before it gives up by itself and
/// cannot know that they were handed to nobody.
const LEADERLESS_TIMEOUT: Duration = Duration::from_secs(1);
/// Commands of one client that are under way through a member.
pub(crate) const UNDER_WAY_MAX: usize = 4_096;

impl Counter {
    pub(super) async fn submit(
        &self,
        client: PeerId,
        right: Right,
        commands: Vec<Bytes>,
    ) -> Result<Submitted, Trouble> {
        if right < Right::Write {
            return Err(Trouble::NotAuthorized { reason: "this client was let in to read".into() });
        }
        if let Some(refusal) = self.submitter.refusal() {
            return Err(Trouble::Elsewhere { reason: refusal.to_string() });
        }
        let bytes_max = entry_bytes_max(self.record_bytes_max);
        let open = |bytes: Bytes| {
            if body_bytes_alone(bytes.len()) > bytes_max {
                return Err(Trouble::malformed("a command that fits into no entry"));
            }
            let (encoded, command) =
                EncodedCommand::open(bytes).map_err(|error| Trouble::malformed(error.to_string()))?;
            let name = Name::of(&command).ok_or_else(|| Trouble::malformed("a command that is not a client's"))?;
            Ok((name, encoded))
        };
        let commands = commands.into_iter().map(open).collect::<Result<Vec<_>, _>>()?;
        let _under_way = self.begin_commands(client, commands.len())?;
        // All of them are queued before the first is waited for.
        let relay = self.submitter.relay();
        let relayed: Vec<_> = commands.into_iter().map(|(name, command)| relay.submit(name, command)).collect();
        let now = Instant::now();
        let (leaderless, deadline) = (now + LEADERLESS_TIMEOUT, now + SETTLE_TIMEOUT);
        let mut settled = Vec::with_capacity(relayed.len());
        for relayed in relayed {
            let Ok(mut relayed) = relayed else {
                settled.push(Settled::NotTaken);
                continue;
            };
            let mut fate = timeout_at(leaderless, relayed.settled()).await;
            if fate.is_err() {
                if relayed.is_untaken() && self.standing.borrow().leader.is_none() {
                    // It may have been taken since.
                    let untaken = relayed.give_up() == Outlook::NotTaken;
                    settled.push(if untaken { Settled::NoQuorum } else { Settled::Unknown });
                    continue;
                }
                fate = timeout_at(deadline, relayed.settled()).await;
            }
            settled.push(match fate {
                Ok(Some(fate)) => fate.into(),
                Ok(None) | Err(_) => relayed.give_up().into(),
            });
        }
        Ok(Submitted { applied: self.replica.applied(), settled })
    }
}
