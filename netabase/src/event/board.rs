//! A board on which news are put up, for whoever reads along: each reader has a bounded queue of its own.
//!
//! What must hold: putting news up waits for nobody; a reader that is behind keeps the newest and is told, in their place,
//! how many it missed; dropping a reader is all it takes to leave. The node puts news up, the handle reads.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, Waker};

/// How many news wait for a reader.
const QUEUE_NEWS: usize = 256;

/// Where news of the kind `T` are put up.
#[derive(Debug)]
pub(crate) struct Board<T> {
    /// `None` once nothing will come any more.
    readers: Mutex<Option<Vec<Weak<Queue<T>>>>>,
}

impl<T: Clone> Board<T> {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Board { readers: Mutex::new(Some(Vec::new())) })
    }

    fn readers(&self) -> MutexGuard<'_, Option<Vec<Weak<Queue<T>>>>> {
        self.readers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads along from now on.
    pub(crate) fn read(&self) -> Reader<T> {
        let mut readers = self.readers();
        let queue = Arc::new(Queue::new(readers.is_none()));
        if let Some(readers) = &mut *readers {
            readers.retain(|reader| reader.strong_count() > 0);
            readers.push(Arc::downgrade(&queue));
        }
        Reader(queue)
    }

    pub(crate) fn put_up(&self, news: &T) {
        // Woken one by one: what a waker does must not find the board locked.
        for reader in self.present() {
            wake(reader.push(news.clone()));
        }
    }

    /// Nothing will come any more: readers take what is left, and end.
    pub(crate) fn close(&self) {
        let readers = self.readers().take().unwrap_or_default();
        for reader in readers.iter().filter_map(Weak::upgrade) {
            wake(reader.close());
        }
    }

    fn present(&self) -> Vec<Arc<Queue<T>>> {
        self.readers().iter().flatten().filter_map(Weak::upgrade).collect()
    }
}

fn wake(waker: Option<Waker>) {
    if let Some(waker) = waker {
        waker.wake();
    }
}

/// One who reads along.
#[derive(Debug)]
pub(crate) struct Reader<T>(Arc<Queue<T>>);

/// What a reader finds.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Read<T> {
    News(T),
    /// So many were put up that there was no room for, before the next one.
    Missed(u64),
}

impl<T> Reader<T> {
    /// The next news; `None` when nothing will come any more.
    pub(crate) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Read<T>>> {
        let mut state = self.0.lock();
        match std::mem::take(&mut state.missed) {
            0 => {}
            missed => return Poll::Ready(Some(Read::Missed(missed))),
        }
        match state.news.pop_front() {
            Some(news) => Poll::Ready(Some(Read::News(news))),
            None if state.closed => Poll::Ready(None),
            None => {
                state.reader = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }
}

#[derive(Debug)]
struct Queue<T>(Mutex<State<T>>);

#[derive(Debug)]
struct State<T> {
    news: VecDeque<T>,
    missed: u64,
    closed: bool,
    reader: Option<Waker>,
}

impl<T> Queue<T> {
    fn new(closed: bool) -> Self {
        Queue(Mutex::new(State { news: VecDeque::new(), missed: 0, closed, reader: None }))
    }

    /// No operation leaves the state half changed.
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, news: T) -> Option<Waker> {
        let mut state = self.lock();
        if state.news.len() >= QUEUE_NEWS {
            // What is old tells less than what is new.
            state.news.pop_front();
            state.missed += 1;
        }
        state.news.push_back(news);
        state.reader.take()
    }

    fn close(&self) -> Option<Waker> {
        let mut state = self.lock();
        state.closed = true;
        state.reader.take()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn next(reader: &mut Reader<usize>) -> Poll<Option<Read<usize>>> {
        reader.poll_next(&mut Context::from_waker(Waker::noop()))
    }

    fn news(at: usize) -> Poll<Option<Read<usize>>> {
        Poll::Ready(Some(Read::News(at)))
    }

    #[test]
    fn a_slow_reader_keeps_the_newest_and_is_told_what_it_missed() {
        let board = Board::new();
        let (mut slow, mut quick) = (board.read(), board.read());
        for at in 0..QUEUE_NEWS + 7 {
            board.put_up(&at);
            assert_eq!(next(&mut quick), news(at), "it is not held up");
        }
        assert_eq!(next(&mut slow), Poll::Ready(Some(Read::Missed(7))));
        for at in 7..QUEUE_NEWS + 7 {
            assert_eq!(next(&mut slow), news(at));
        }
        assert_eq!(next(&mut slow), Poll::Pending, "told once");
    }

    #[test]
    fn what_was_put_up_before_the_end_is_read() {
        let board = Board::new();
        let mut reader = board.read();
        board.put_up(&1);
        board.close();
        board.put_up(&2);
        assert_eq!(next(&mut reader), news(1));
        assert_eq!((next(&mut reader), next(&mut reader)), (Poll::Ready(None), Poll::Ready(None)));
        assert_eq!(next(&mut board.read()), Poll::Ready(None), "nor does anything come to who is late");
    }

    #[test]
    fn one_who_left_is_forgotten() {
        let board = Board::new();
        board.put_up(&0);
        let stays = board.read();
        (0..100).for_each(|_| drop(board.read()));
        assert!(board.readers().as_ref().unwrap().len() <= 2);
        board.put_up(&1);
        assert_eq!(next(&mut { stays }), news(1), "and nothing from before comes");
    }

    #[tokio::test]
    async fn a_waiting_reader_is_woken() {
        let board = Board::new();
        let mut reader = board.read();
        let waiting = tokio::spawn(async move {
            let mut read = Vec::new();
            while let Some(Read::News(news)) = std::future::poll_fn(|cx| reader.poll_next(cx)).await {
                read.push(news);
            }
            read
        });
        for at in 0..3 {
            tokio::task::yield_now().await;
            board.put_up(&at);
        }
        tokio::task::yield_now().await;
        board.close();
        assert_eq!(waiting.await.unwrap(), [0, 1, 2]);
    }
}
