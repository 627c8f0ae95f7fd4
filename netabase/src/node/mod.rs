//! One node: what it is made of, in which order it starts and stops.
//!
//! ```text
//! options ─▶ card, log, store (volume) ─▶ replay ─▶ network ─▶ member ─▶ ready
//! ```
//!
//! Must hold: nothing speaks to a peer before the card is durable and the chosen rows are replayed; a node that fails
//! says why to everybody who waits for it, and its records stay readable. Used by the handle and by `testing`.

mod alone;
mod assemble;
pub(crate) mod backup;
mod ballast;
mod card;
#[cfg(feature = "fuzzing")]
pub(crate) mod fuzz;
mod invite;
mod join;
mod lapse;
mod news;
mod options;
mod reform;
mod restore;
mod role;
mod space;
mod thread;
mod vault;
mod volume;

pub use self::alone::Recovery;
pub(crate) use self::alone::{recover, used};
#[cfg(any(test, feature = "testing"))]
pub(crate) use self::assemble::Beginning;
pub(crate) use self::assemble::{Assembly, Wire};
pub use self::invite::Invite;
pub(crate) use self::join::{Door, beginning_of, knock};
pub use self::news::Event;
pub(crate) use self::options::Options;
pub(crate) use self::options::RECORD_BYTES_CEILING;
pub use self::options::{Limits, Tuning};
pub(crate) use self::restore::restore;
pub use self::role::Role;
pub(crate) use self::thread::Node;
pub(crate) use self::volume::{Directory, Volume};
#[cfg(any(test, feature = "testing"))]
pub(crate) use self::volume::{Side, fill_memory};
