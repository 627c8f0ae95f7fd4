//! A bound in number and bytes on what one peer may have inside, shared by all its substreams.
//!
//! What must hold: the numbers never exceed the bounds, but one item always fits, however large; every
//! waker of a full gate is woken when something leaves.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};

/// Far more tasks than a peer may have connections and requests.
const WAITING_MAX: usize = 1024;

#[derive(Debug)]
pub(super) struct Gate {
    count_max: usize,
    bytes_max: usize,
    inside: Mutex<Inside>,
}

#[derive(Debug, Default)]
struct Inside {
    count: usize,
    bytes: usize,
    /// One a substream or request at most: substreams of one task share a waker.
    waiting: Vec<Waker>,
}

impl Inside {
    fn wait(&mut self, cx: &Context<'_>) {
        if !self.waiting.iter().any(|waker| waker.will_wake(cx.waker())) {
            if self.waiting.len() >= WAITING_MAX {
                // Most are of connections long gone; the others will come again.
                self.waiting.drain(..).for_each(Waker::wake);
            }
            self.waiting.push(cx.waker().clone());
        }
    }
}

impl Gate {
    pub(super) fn new(count_max: usize, bytes_max: usize) -> Arc<Self> {
        Arc::new(Gate { count_max, bytes_max, inside: Mutex::default() })
    }

    pub(super) fn try_enter(self: &Arc<Self>, bytes: usize) -> Option<Pass> {
        self.admit(&mut self.lock(), bytes)
    }

    /// Enters, or wakes the task when it is worth trying again.
    pub(super) fn poll_enter(self: &Arc<Self>, bytes: usize, cx: &Context<'_>) -> Poll<Pass> {
        let mut inside = self.lock();
        match self.admit(&mut inside, bytes) {
            Some(pass) => Poll::Ready(pass),
            None => {
                inside.wait(cx);
                Poll::Pending
            }
        }
    }

    fn admit(self: &Arc<Self>, inside: &mut Inside, bytes: usize) -> Option<Pass> {
        let fits = inside.count < self.count_max && inside.bytes.saturating_add(bytes) <= self.bytes_max;
        if !fits && inside.count > 0 {
            return None;
        }
        inside.count += 1;
        inside.bytes += bytes;
        Some(Pass { gate: self.clone(), bytes })
    }

    fn lock(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A place inside; left when dropped.
#[derive(Debug)]
pub(super) struct Pass {
    gate: Arc<Gate>,
    bytes: usize,
}

impl Pass {
    /// Ready while the bytes inside are within the bound, or nobody else is: then it is no use to wait.
    pub(super) fn poll_room(&self, cx: &Context<'_>) -> Poll<()> {
        let mut inside = self.gate.lock();
        if inside.bytes < self.gate.bytes_max || inside.bytes <= self.bytes {
            return Poll::Ready(());
        }
        inside.wait(cx);
        Poll::Pending
    }

    /// Now takes that many bytes, also if that is more than the gate would admit: it is there already.
    pub(super) fn resize(&mut self, bytes: usize) {
        let mut inside = self.gate.lock();
        inside.bytes = inside.bytes - self.bytes + bytes;
        self.bytes = bytes;
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        let mut inside = self.gate.lock();
        inside.count -= 1;
        inside.bytes -= self.bytes;
        let waiting = std::mem::take(&mut inside.waiting);
        drop(inside);
        waiting.into_iter().for_each(Waker::wake);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_hold_and_one_item_always_fits() {
        let gate = Gate::new(2, 10);
        let large = gate.try_enter(1000).expect("one always fits");
        assert!(gate.try_enter(0).is_none());
        drop(large);
        let a = gate.try_enter(4).unwrap();
        let mut b = gate.try_enter(6).unwrap();
        assert!(gate.try_enter(0).is_none(), "the count is full");
        drop(a);
        assert!(gate.try_enter(5).is_none(), "the bytes are full");
        b.resize(5);
        assert!(gate.try_enter(5).is_some());
    }

    #[test]
    fn who_waits_is_woken() {
        let (waker, woken) = counting_waker();
        let gate = Gate::new(1, 10);
        let first = gate.try_enter(1).unwrap();
        let cx = Context::from_waker(&waker);
        assert!(gate.poll_enter(1, &cx).is_pending());
        assert!(gate.poll_enter(1, &cx).is_pending());
        assert_eq!(gate.lock().waiting.len(), 1, "a task waits once");
        drop(first);
        assert_eq!(woken.0.load(std::sync::atomic::Ordering::SeqCst), 1);
        assert!(gate.poll_enter(1, &cx).is_ready());
    }

    #[test]
    fn tasks_that_are_gone_are_not_remembered_for_ever() {
        let gate = Gate::new(1, 10);
        let _inside = gate.try_enter(1).unwrap();
        for _ in 0..10 * WAITING_MAX {
            let (waker, _) = counting_waker();
            assert!(gate.poll_enter(1, &Context::from_waker(&waker)).is_pending());
        }
        assert!(gate.lock().waiting.len() <= WAITING_MAX);
    }

    struct Woken(std::sync::atomic::AtomicUsize);

    impl std::task::Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        }
    }

    fn counting_waker() -> (Waker, Arc<Woken>) {
        let woken = Arc::new(Woken(0.into()));
        (woken.clone().into(), woken)
    }
}
