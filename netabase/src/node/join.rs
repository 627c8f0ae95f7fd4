//! Knocking at a cluster with an invite, before there is a node: who may join is told what the cluster began with and where
//! its members are.
//!
//! ```text
//! invite ─▶ the key that it stands for ─▶ connections to the members it names ─▶ Knock ─▶ Admission
//! ```
//! Must hold: nothing is left behind when it fails; a member that cannot answer now, or says no, does not keep others from
//! being asked: its clock may be wrong. Used by `join` and `connect`.

use std::time::Duration;

use bytes::Bytes;
use libp2p::PeerId;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::assemble::Beginning;
use super::card::Card;
use super::invite::Invite;
use super::volume::Volume;
use crate::consensus::{Admission, Knock, KnockAnswer, Pulse};
use crate::error::{Error, Result};
use crate::network::{self, Channel, Network, NetworkConfig, NetworkEvent, NetworkLimits, Sockets};
use crate::schema::{Catalog, codec};

/// How long members are looked for.
const DEADLINE: Duration = Duration::from_secs(30);
/// How long one may take to answer: the admission is agreed on meanwhile.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// Pause before the same members are asked again.
const PAUSE: Duration = Duration::from_millis(200);

/// The way to the members that an invite names.
pub(crate) enum Door {
    /// Sockets.
    Street(Sockets),
    /// A network that was joined already, under the id of the invite's key.
    #[cfg(any(test, feature = "testing"))]
    Inside(Network, mpsc::Receiver<NetworkEvent>),
}

/// How the directory is to begin that is given an invite: one that is a member already goes on as it is.
pub(crate) async fn beginning_of(
    door: Door,
    invite: &Invite,
    me: PeerId,
    catalog: &Catalog,
    volume: &dyn Volume,
) -> Result<Beginning> {
    let card = volume.read_card()?.map(|bytes| Card::decode(&bytes)).transpose()?;
    if let Some(card) = &card {
        invite.check_cluster(card.cluster)?;
        if !card.departed {
            return Ok(Beginning::Alone);
        }
    }
    match knock(door, invite, me, catalog).await {
        // The invite with which it came once does not bring it back.
        Err(Error::InvalidInvite { .. }) if card.is_some() => Err(Error::Removed),
        admission => admission.map(Beginning::Joined),
    }
}

/// Has `member` let in. Errs with what the invite, the schema or the network lacks.
pub(crate) async fn knock(door: Door, invite: &Invite, member: PeerId, catalog: &Catalog) -> Result<Admission> {
    invite.check_now()?;
    let knock = Knock { cluster: invite.cluster(), member: member.to_bytes(), schema: catalog.summary() };
    let payload = codec::encode(&Pulse::<()>::Knock(Box::new(knock)))
        .map_err(|error| Error::Network { reason: format!("the knock cannot be encoded: {error}") })?;
    match door {
        Door::Street(sockets) => {
            let config = NetworkConfig {
                keypair: invite.knocker()?.keypair().clone(),
                listen: Vec::new(),
                peers: invite.members().to_vec(),
                limits: NetworkLimits::default(),
                sockets,
            };
            let (network, events, driver) = network::start(config).await?;
            tokio::select! {
                admission = ask_around(&network, events, invite, Bytes::from(payload)) => admission,
                () = driver => Err(Error::Network { reason: "the network ended before anybody answered".into() }),
            }
        }
        #[cfg(any(test, feature = "testing"))]
        Door::Inside(network, events) => ask_around(&network, events, invite, Bytes::from(payload)).await,
    }
}

async fn ask_around(
    network: &Network,
    mut events: mpsc::Receiver<NetworkEvent>,
    invite: &Invite,
    payload: Bytes,
) -> Result<Admission> {
    let deadline = Instant::now() + DEADLINE;
    let mut pause = tokio::time::interval(PAUSE);
    let mut heard = false;
    while Instant::now() < deadline {
        let (mut no, mut later) = (None, false);
        for (peer, _) in invite.members().iter().filter(|(peer, _)| network.is_connected(*peer)) {
            let answer = network.request(*peer, Channel::Heartbeat, payload.clone(), ANSWER_TIMEOUT).await;
            heard |= answer.is_ok();
            match answer.ok().and_then(|bytes| codec::decode::<Pulse<()>>(&bytes).ok()) {
                Some(Pulse::Answered(answer)) => match *answer {
                    KnockAnswer::Admitted(admission) => return checked(admission, invite),
                    KnockAnswer::Invalid(reason) => no = Some(reason),
                    KnockAnswer::SchemaMismatch { ours, theirs } => {
                        // What is theirs there is ours here.
                        return Err(Error::SchemaMismatch { ours: theirs, theirs: ours });
                    }
                    KnockAnswer::Later => later = true,
                },
                _ => continue,
            }
        }
        if let Some(reason) = no.filter(|_| !later) {
            return Err(Error::InvalidInvite { reason });
        }
        tokio::select! {
            _ = pause.tick() => {}
            event = events.recv() => if event.is_none() {
                break;
            },
        }
    }
    if heard {
        return Err(Error::NoQuorum);
    }
    let members: Vec<String> =
        invite.members().iter().flat_map(|(_, addresses)| addresses.iter().map(ToString::to_string)).collect();
    Err(Error::InvalidInvite {
        reason: format!(
            "no member lets its holder in, at {}: either none of them is up and can be reached from here, or the invite was \
             revoked; check both, then ask for a new one",
            members.join(", ")
        ),
    })
}

/// What a member says of another cluster than the invite's is worth nothing.
fn checked(admission: Admission, invite: &Invite) -> Result<Admission> {
    invite.check_cluster(admission.cluster)?;
    Ok(admission)
}
