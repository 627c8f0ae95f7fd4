//! The losses of the prototypes, one after the other, as schedules that lose nothing here; and the rules D1 to D14 that
//! see to it. Each test turns red when its rule is taken out (`tests/sabotage`).
//!
//! Most of them put one real node among voters whose messages the test writes itself ([`stage`]): so every order of
//! promises, syncs and answers can be had on purpose.

mod ballots;
mod catch_up;
mod directory;
mod disk;
mod election;
mod epochs;
mod far_behind;
mod handover;
mod integrity;
mod leader;
mod learner;
mod outcome;
mod puppet;
mod reads;
mod referee;
mod stage;
mod strangers;
mod votes;
