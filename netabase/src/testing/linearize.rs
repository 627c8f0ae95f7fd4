//! Whether a history of concurrent calls is linearizable: each call as if at one moment between its call and its return.
//!
//! The search of Wing and Gong ("Testing and Verifying Concurrent Objects", 1993) with the memory of Lowe ("Testing for
//! Linearizability", 2017): depth first over the calls that may come next, never twice from the same set of calls and the
//! same state. A call without a known outcome may take effect at any time after it was made, or never; many of them would
//! leave too many orders, so what no outcome tells apart counts as equal, and a set of calls is not searched from when the
//! same known calls led to the same state with fewer unknown ones.
//!
//! Calls on keys that no call joins are searched apart: a history is linearizable if each of its parts is (Herlihy and
//! Wing 1990).
//!
//! ```
//! use netabase::testing::linearize::{Call, Op, Outcome, Registers, check};
//!
//! let call = |called, returned, op, outcome| Call::<Registers> { client: 0, op, called, returned: Some((returned, outcome)) };
//! let put = call(0, 10, Op::Put(1, 7), Outcome::Existed(false));
//! let overlapping = call(5, 15, Op::Get(1), Outcome::Value(None));
//! assert!(check(&[put.clone(), overlapping]).is_ok(), "the read may come first");
//! let later = call(20, 30, Op::Get(1), Outcome::Value(None));
//! assert!(check(&[put, later]).is_err(), "the put had returned");
//! ```

mod registers;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::hash::Hash;

pub use self::registers::{Op, Outcome, Registers};

/// What the calls do one after the other.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not say what the calls of a history do",
    label = "not a model",
    note = "implement `Model` for what is called, as it would be if nobody else called; `Registers` is one of single values"
)]
pub trait Model: Clone + Eq + Hash + Default {
    /// What is called.
    type Op: Clone + fmt::Debug + PartialEq;
    /// What comes back.
    type Outcome: fmt::Debug + PartialEq;

    /// Does it here and now.
    fn apply(&mut self, op: &Self::Op) -> Self::Outcome;

    /// What it touches: calls that share none of it cannot tell in which order they happened.
    fn keys(op: &Self::Op) -> Vec<u64>;

    /// What the calls of a history do, with differences left out that none of its outcomes could tell.
    fn told_apart(calls: &[&Call<Self>]) -> Vec<Self::Op>;
}

/// One call in a history. Times are of one clock; what returns at the time of another's call overlaps it.
#[derive(Clone, Debug)]
pub struct Call<M: Model> {
    /// Who called; shown only.
    pub client: usize,
    /// What.
    pub op: M::Op,
    /// When it was called.
    pub called: u64,
    /// When it returned what; nothing when it is not known whether it happened.
    pub returned: Option<(u64, M::Outcome)>,
}

/// A part of a history that no order explains.
#[derive(Debug)]
pub struct Violation {
    /// The calls of the part in the order in which they were made; `>` before those that fit into the longest order found.
    pub calls: Vec<String>,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "no order of these {} calls explains what they returned:", self.calls.len())?;
        self.calls.iter().try_for_each(|call| writeln!(f, "{call}"))
    }
}

/// Checks a history, each independent part of it on its own.
///
/// # Errors
/// The first part that is not linearizable.
pub fn check<M: Model>(history: &[Call<M>]) -> Result<(), Violation> {
    parts(history).iter().try_for_each(|part| Search::new(part).run())
}

/// The calls that share keys, directly or through others.
fn parts<M: Model>(history: &[Call<M>]) -> Vec<Vec<&Call<M>>> {
    let mut joined: BTreeMap<u64, u64> = BTreeMap::new();
    let root = |joined: &BTreeMap<u64, u64>, mut key: u64| {
        while let Some(&above) = joined.get(&key).filter(|above| **above != key) {
            key = above;
        }
        key
    };
    for call in history {
        let keys = M::keys(&call.op);
        for key in &keys {
            let (one, other) = (root(&joined, keys[0]), root(&joined, *key));
            joined.insert(other, one);
        }
    }
    let mut parts: BTreeMap<u64, Vec<&Call<M>>> = BTreeMap::new();
    for call in history {
        if let Some(key) = M::keys(&call.op).first() {
            parts.entry(root(&joined, *key)).or_default().push(call);
        }
    }
    parts.into_values().collect()
}

/// What happens at one time: a call is made, or returns.
#[derive(Clone, Copy, Debug)]
struct Event {
    call: usize,
    returns: bool,
    next: usize,
    previous: usize,
}

/// Before the first event and behind the last one.
const END: usize = 0;

/// The search: events in order of time as a linked list, from which the calls that are placed are taken out.
struct Search<'a, M: Model> {
    calls: &'a [&'a Call<M>],
    /// What they do, as far as it can be told.
    ops: Vec<M::Op>,
    events: Vec<Event>,
    /// Of a call with an unknown outcome, the last one before it that does the same.
    twins: Vec<Option<usize>>,
    /// Where a call returns; nowhere when its outcome is unknown.
    returns: Vec<Option<usize>>,
    /// Calls with a known outcome that are not placed yet.
    left: usize,
    placed: Placed,
    /// The known calls that were placed and the state they led to, each with the unknown ones it took.
    seen: HashMap<(Calls, M), Vec<Calls>>,
}

/// A set of calls, a bit each.
type Calls = Vec<u64>;

/// The calls that are placed, apart by whether their outcome is known.
struct Placed {
    known: Calls,
    unknown: Calls,
}

impl Placed {
    fn flip(&mut self, call: usize, known: bool) {
        let calls = if known { &mut self.known } else { &mut self.unknown };
        calls[call / 64] ^= 1 << (call % 64);
    }

    fn holds_unknown(&self, call: usize) -> bool {
        self.unknown[call / 64] & (1 << (call % 64)) != 0
    }
}

impl<'a, M: Model> Search<'a, M> {
    fn new(calls: &'a [&'a Call<M>]) -> Self {
        let mut times: Vec<(u64, bool, usize)> = Vec::new();
        for (place, call) in calls.iter().enumerate() {
            times.push((call.called, false, place));
            times.extend(call.returned.as_ref().map(|(returned, _)| (*returned, true, place)));
        }
        times.sort_unstable();
        let len = times.len();
        let mut events = vec![Event { call: 0, returns: false, next: 1 % (len + 1), previous: len }];
        let mut returns = vec![None; calls.len()];
        for (place, (_, is_return, call)) in (1..).zip(times) {
            if is_return {
                returns[call] = Some(place);
            }
            events.push(Event { call, returns: is_return, next: (place + 1) % (len + 1), previous: place - 1 });
        }
        let left = returns.iter().flatten().count();
        let ops = M::told_apart(calls);
        let twins = twins(calls, &ops);
        let none = vec![0; calls.len().div_ceil(64)];
        let placed = Placed { known: none.clone(), unknown: none };
        Search { calls, ops, events, twins, returns, left, placed, seen: HashMap::new() }
    }

    fn run(mut self) -> Result<(), Violation> {
        let mut state = M::default();
        let mut stack: Vec<(usize, M)> = Vec::new();
        let mut longest: Vec<usize> = Vec::new();
        let mut at = self.events[END].next;
        // Calls without a known outcome are tried last: there they are only where something needs them.
        let mut known = true;
        while self.left > 0 {
            let event = self.events[at];
            if at != END && !event.returns {
                let placed =
                    if self.returns[event.call].is_some() == known { self.try_place(event.call, &state) } else { None };
                if let Some(next) = placed {
                    stack.push((at, std::mem::replace(&mut state, next)));
                    self.take(at);
                    (at, known) = (self.events[END].next, true);
                } else {
                    at = event.next;
                }
                continue;
            }
            // A call that is not placed returns here: nothing behind it can come before it.
            if known {
                (at, known) = (self.events[END].next, false);
                continue;
            }
            if stack.len() > longest.len() {
                longest = stack.iter().map(|(at, _)| self.events[*at].call).collect();
            }
            let Some((back, before)) = stack.pop() else { return Err(self.violation(&longest)) };
            self.put_back(back);
            state = before;
            at = self.events[back].next;
            known = self.returns[self.events[back].call].is_some();
        }
        Ok(())
    }

    /// The state after this call, if what it returned fits, and nothing else led to the same.
    fn try_place(&mut self, call: usize, state: &M) -> Option<M> {
        if self.twins[call].is_some_and(|twin| !self.placed.holds_unknown(twin)) {
            // The one that was made earlier can stand in this place, too.
            return None;
        }
        let mut after = state.clone();
        let outcome = after.apply(&self.ops[call]);
        match &self.calls[call].returned {
            Some((_, returned)) if *returned != outcome => return None,
            // Without an effect it may as well never have happened.
            None if after == *state => return None,
            _ => {}
        }
        let known = self.returns[call].is_some();
        self.placed.flip(call, known);
        let seen = self.seen.entry((self.placed.known.clone(), after.clone())).or_default();
        let unknown = &self.placed.unknown;
        let fewer = |seen: &Calls| seen.iter().zip(unknown).all(|(seen, taken)| seen & !taken == 0);
        let led_here = seen.iter().any(fewer);
        if !led_here {
            seen.push(unknown.clone());
        }
        self.placed.flip(call, known);
        (!led_here).then_some(after)
    }

    fn take(&mut self, at: usize) {
        let call = self.events[at].call;
        self.placed.flip(call, self.returns[call].is_some());
        self.unlink(at);
        if let Some(returns) = self.returns[call] {
            self.unlink(returns);
            self.left -= 1;
        }
    }

    fn put_back(&mut self, at: usize) {
        let call = self.events[at].call;
        self.placed.flip(call, self.returns[call].is_some());
        if let Some(returns) = self.returns[call] {
            self.link(returns);
            self.left += 1;
        }
        self.link(at);
    }

    fn unlink(&mut self, at: usize) {
        let Event { next, previous, .. } = self.events[at];
        self.events[previous].next = next;
        self.events[next].previous = previous;
    }

    /// Undoes the last `unlink` that is not undone.
    fn link(&mut self, at: usize) {
        let Event { next, previous, .. } = self.events[at];
        self.events[previous].next = at;
        self.events[next].previous = at;
    }

    fn violation(&self, longest: &[usize]) -> Violation {
        let mut order: Vec<usize> = (0..self.calls.len()).collect();
        order.sort_by_key(|&call| self.calls[call].called);
        let show = |call: usize| {
            let Call { client, op, called, returned } = self.calls[call];
            let mark = if longest.contains(&call) { '>' } else { ' ' };
            match returned {
                Some((at, outcome)) => format!("{mark} {called:>12}..{at:<12} client {client}: {op:?} = {outcome:?}"),
                None => format!("{mark} {called:>12}..{:<12} client {client}: {op:?} = unknown", "?"),
            }
        };
        Violation { calls: order.into_iter().map(show).collect() }
    }
}

/// Of each call with an unknown outcome, the last one before it that does the same.
fn twins<M: Model>(calls: &[&Call<M>], ops: &[M::Op]) -> Vec<Option<usize>> {
    let is_unknown = |call: &usize| calls[*call].returned.is_none();
    let made = |call: usize| (calls[call].called, call);
    let earlier = |call: usize| {
        (0..calls.len())
            .filter(|other| is_unknown(other) && made(*other) < made(call) && ops[*other] == ops[call])
            .max_by_key(|&other| made(other))
    };
    (0..calls.len()).map(|call| if is_unknown(&call) { earlier(call) } else { None }).collect()
}
