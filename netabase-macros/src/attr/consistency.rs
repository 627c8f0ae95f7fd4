//! `consistency` of a struct: whether its writes are agreed on.

use super::{Item, text};
use crate::diagnostics::{Mistakes, did_you_mean};
use crate::model::Consistency;

const LINEARIZABLE: &str = "linearizable";
const EVENTUAL: &str = "eventual";

pub(super) fn of(item: &Item, mistakes: &mut Mistakes) -> Option<Consistency> {
    let literal = text(item, EVENTUAL, mistakes)?;
    match literal.value().as_str() {
        LINEARIZABLE => return Some(Consistency::Linearizable),
        EVENTUAL => return Some(Consistency::Eventual),
        other => {
            let message = match did_you_mean(other, &[LINEARIZABLE, EVENTUAL]) {
                Some(meant) => format!("there is no consistency `{other}`: did you mean `\"{meant}\"`?"),
                None => format!("a consistency is `\"{LINEARIZABLE}\"`, which is the default, or `\"{EVENTUAL}\"`"),
            };
            mistakes.at(&literal, message);
        }
    }
    None
}
