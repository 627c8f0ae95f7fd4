//! From the campaign to the moment this node may serve (DESIGN, "Leadership"): campaign, close what was left open, and
//! decide a no-op.
//!
//! Must hold: every append is driven to its end; nothing is served before every round that the election demands
//! something of is applied here.

use std::time::Duration;

use super::entries::Entries;
use super::id::{Ballot, Round};
use super::keeper::{Appended, Appender};
use super::seat::Seat;

/// A won election.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Elected {
    pub(crate) ballot: Ballot,
}

/// How long a chosen round may take to be applied here before the election is given up.
const APPLY_TIMEOUT: Duration = Duration::from_secs(5);

/// How long the row of a round that turned out to be decided may take to get here.
const ROW_PATIENCE: Duration = Duration::from_millis(300);

/// How many campaigns may follow each other, each because the round of the one before turned out to be decided.
const CAMPAIGNS_MAX: usize = 4;

/// Campaigns at the round after the last applied one; `Err` says what stood in the way.
pub(crate) async fn run(seat: &Seat, appender: &Appender, entries: &Entries) -> Result<Elected, Appended> {
    let mut campaigns = 0;
    let (round, mut no_op_round) = loop {
        let (round, known) = (seat.replica.applied() + 1, seat.observed());
        campaigns += 1;
        match appender.campaign(round, entries.no_op()).await {
            Appended::Chosen(chosen) => break (round, Some(chosen)),
            Appended::Railroaded => break (round, None),
            // The last words of the leader before were still on their way. Nobody stands in the way, so nobody else has
            // to be given the time to be heard.
            lost if campaigns < CAMPAIGNS_MAX && is_merely_behind(seat, round, known, lost).await => {}
            lost => return Err(lost),
        }
    };
    let (ballot, greatest_demand) = {
        let mandate = seat.mandate();
        (mandate.ballot(), mandate.greatest_demand())
    };
    applied(seat, round).await?;
    // What others accepted before stands in the rounds up to the greatest demand; appending drives each to its end.
    loop {
        let done =
            seat.replica.applied() >= greatest_demand && no_op_round.is_some_and(|round| round >= greatest_demand);
        if done {
            return Ok(Elected { ballot });
        }
        match appender.append(entries.no_op()).await {
            Appended::Chosen(round) => {
                applied(seat, round).await?;
                no_op_round = Some(round);
            }
            Appended::Railroaded | Appended::Converged => {}
            lost => return Err(lost),
        }
    }
}

/// Whether the campaign for this round was lost only because the round was decided, as this node learns in a moment: no
/// greater ballot came up meanwhile.
async fn is_merely_behind(seat: &Seat, round: Round, known: Ballot, lost: Appended) -> bool {
    let unrivalled = || seat.observed() <= seat.mandate().ballot().max(known);
    if lost == Appended::Converged && unrivalled() {
        // Its row may not come by itself: it is asked for.
        seat.claim(round);
        let mut follow = seat.replica.follow();
        let _ = tokio::time::timeout(ROW_PATIENCE, follow.wait_for(|applied| *applied >= round)).await;
    }
    seat.replica.applied() >= round && unrivalled()
}

async fn applied(seat: &Seat, round: Round) -> Result<(), Appended> {
    let mut follow = seat.replica.follow();
    match tokio::time::timeout(APPLY_TIMEOUT, follow.wait_for(|applied| *applied >= round)).await {
        Ok(Ok(_)) => Ok(()),
        _ => Err(Appended::Gone),
    }
}
