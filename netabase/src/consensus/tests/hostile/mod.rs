//! Two honest nodes against a third voter, or strangers, that send whatever can do harm, over real sockets.
//!
//! After each input: a leader is there, both honest nodes take a write in time, neither panicked, nor gave up its vote,
//! nor grew; in the end both hold the same. What a voter says was *chosen* is trusted (SAFETY.md): no test here forges
//! that, except the one that says so.

mod answers;
mod ballots;
mod floods;
mod greetings;
mod isolated;
mod pulses;
mod rounds;
mod siege;
mod strangers;
mod voter;
