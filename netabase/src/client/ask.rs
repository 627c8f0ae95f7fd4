//! One request to a member, and what its failure means.

use std::sync::Arc;
use std::time::Duration;

use serde::de::DeserializeOwned;
use tokio::time::Instant;

use super::shared::{Member, Shared};
use crate::consensus;
use crate::desk::message::{Request, Trouble};
use crate::error::{Error, Result};
use crate::network::{Channel, RequestError};
use crate::schema::codec;

/// Why a request has no answer that helps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// The member has not seen it.
    NotSent,
    /// The member may have done it.
    Lost,
    /// The member will not talk to this client.
    Refused(String),
    /// The member says why not.
    Trouble(Trouble),
}

/// Pause before the same is asked again.
const AGAIN: Duration = Duration::from_millis(20);

impl Shared {
    /// Asks a member, as long as it is the one that is asked. If it does not answer, another one is looked for.
    pub(super) async fn ask<T: DeserializeOwned>(
        &self,
        member: Member,
        request: &Request,
        timeout: Duration,
    ) -> Result<T, Failure> {
        let answer = self.ask_peer(member.peer, request, timeout);
        let answer = tokio::select! {
            biased;
            answer = answer => answer,
            () = self.left(member) => Err(Failure::Lost),
        };
        self.judge(member, &answer);
        answer
    }

    /// Leaves a member that does not answer as it should.
    pub(super) fn judge<T>(&self, member: Member, answer: &Result<T, Failure>) {
        if let Err(Failure::Lost | Failure::Refused(_)) | Err(Failure::Trouble(Trouble::Elsewhere { .. })) = answer {
            self.leave(member);
        } else if answer.is_err() && !self.network.is_connected(member.peer) {
            self.leave(member);
        }
    }

    pub(super) async fn ask_peer<T: DeserializeOwned>(
        &self,
        peer: libp2p::PeerId,
        request: &Request,
        timeout: Duration,
    ) -> Result<T, Failure> {
        let payload = codec::encode(request).map_err(|_| Failure::NotSent)?;
        match self.network.request(peer, Channel::Client, payload.into(), timeout).await {
            // What cannot be read was answered all the same.
            Ok(bytes) => match codec::decode::<Result<T, Trouble>>(&bytes) {
                Ok(answer) => answer.map_err(Failure::Trouble),
                Err(_) => Err(Failure::Lost),
            },
            Err(RequestError::NotConnected | RequestError::QueueFull | RequestError::TooLarge { .. }) => {
                Err(Failure::NotSent)
            }
            Err(RequestError::Refused(reason)) => Err(Failure::Refused(reason)),
            Err(RequestError::Timeout | RequestError::ConnectionLost) => Err(Failure::Lost),
        }
    }

    /// Asks for what may be asked as often as one likes, of one member after the other, until the call's time is over.
    pub(super) async fn read<T: DeserializeOwned>(&self, request: impl Fn() -> Request) -> Result<T> {
        self.read_within(self.timeout, request).await
    }

    pub(super) async fn read_within<T: DeserializeOwned>(
        &self,
        timeout: Duration,
        request: impl Fn() -> Request,
    ) -> Result<T> {
        let _turn = self.asks.acquire().await.map_err(|_| Error::ShutDown)?;
        let deadline = Instant::now() + timeout;
        loop {
            let member = self.member_until(deadline).await?;
            let left = deadline.saturating_duration_since(Instant::now());
            match self.ask(member, &request(), left).await {
                Ok(answer) => return Ok(answer),
                Err(failure) if self.is_passing(member, &failure) => {}
                Err(failure) => return Err(into_error(failure)),
            }
            if Instant::now() >= deadline {
                return Err(self.submitter.no_quorum());
            }
            tokio::time::sleep(AGAIN).await;
        }
    }

    /// Whether the same may go better a moment later, or elsewhere.
    pub(super) fn is_passing(&self, member: Member, failure: &Failure) -> bool {
        match failure {
            Failure::NotSent | Failure::Lost | Failure::Refused(_) => true,
            Failure::Trouble(Trouble::Elsewhere { .. }) => true,
            Failure::Trouble(Trouble::Behind) => {
                self.leave(member);
                true
            }
            Failure::Trouble(_) => false,
        }
    }
}

/// What the caller is told.
pub(super) fn into_error(failure: Failure) -> Error {
    let trouble = match failure {
        Failure::NotSent | Failure::Lost => return Error::NoQuorum,
        Failure::Refused(reason) => return Error::NotAuthorized { reason: format!("the member said: {reason}") },
        Failure::Trouble(trouble) => trouble,
    };
    match trouble {
        Trouble::NoQuorum | Trouble::Behind | Trouble::NoLease => Error::NoQuorum,
        Trouble::Removed => Error::Removed,
        Trouble::Elsewhere { reason } => Error::Network { reason: format!("the member cannot serve: {reason}") },
        Trouble::Compacted { oldest } => Error::Compacted { oldest },
        Trouble::Overloaded { limit } => Error::Overloaded { limit: usize::try_from(limit).unwrap_or(usize::MAX) },
        Trouble::NotAuthorized { reason } => Error::NotAuthorized { reason },
        Trouble::OtherCluster { cluster } => Error::Configuration {
            option: "connect",
            reason: format!("the member belongs to the cluster {cluster}: ask a member of the right one for an invite"),
        },
        Trouble::SchemaMismatch { member, client } => Error::SchemaMismatch { ours: client, theirs: member },
        Trouble::Codec { record, reason } => Error::Codec { record, reason },
        Trouble::After { reason } => Error::Configuration { option: "after", reason },
        Trouble::TransactionTooLarge { reason } => Error::TransactionTooLarge { reason },
        Trouble::IndexNotReady { record, index } => Error::IndexNotReady { record, index },
        Trouble::Malformed { reason } => {
            Error::Network { reason: format!("the member cannot read a request: {reason}") }
        }
    }
}

/// The same error again and again, as what stands in the way of everything.
pub(super) fn lasting(failure: Failure) -> consensus::Trouble {
    Arc::new(move || into_error(failure.clone()))
}
