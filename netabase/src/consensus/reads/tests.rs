use std::time::{Duration, Instant};

use futures::poll;
use libp2p::PeerId;

use super::{PAUSE, READERS_MAX, ReadQueue, Reads, Settled, Whom};
use crate::error::Error;

fn waiting(readers: impl IntoIterator<Item = u32>) -> Reads<u32> {
    let mut reads = Reads::default();
    readers.into_iter().for_each(|reader| reads.join(reader));
    reads
}

fn settled(index: u64, readers: &[u32]) -> Option<Settled<u32>> {
    Some(Settled { index, readers: readers.to_vec() })
}

#[test]
fn whoever_waits_when_a_confirm_starts_shares_it_and_nobody_else() {
    let now = Instant::now();
    let mut reads = waiting([1, 2]);
    let first = reads.ask_voters(7, 40, 1, 2);
    reads.join(3);
    assert!(!reads.is_due(now), "one at a time");
    assert_eq!(reads.len(), 3);
    assert_eq!(reads.on_word(now, first, Some(7), 7), settled(40, &[1, 2]));
    assert!(reads.is_due(now));
    let second = reads.ask_voters(7, 41, 1, 2);
    assert_eq!(reads.on_word(now, first, Some(7), 7), None, "a late answer is the first one's");
    assert_eq!(reads.on_word(now, second, Some(6), 7), settled(41, &[3]));
    assert_eq!(reads.len(), 0);
}

#[test]
fn a_majority_with_the_leader_counts_and_who_spoke_above_it_does_not() {
    let now = Instant::now();
    // Of five, the leader needs two others.
    for (words, confirmed) in [
        (vec![Some(7), Some(3)], true),
        (vec![Some(8), None, Some(7), Some(0)], true),
        (vec![Some(7)], false),
        (vec![Some(7), Some(8), Some(9), None], false),
    ] {
        let mut reads = waiting([1]);
        let number = reads.ask_voters(7, 40, 2, 4);
        let served = words.iter().any(|word| reads.on_word(now, number, *word, 7).is_some());
        assert_eq!(served, confirmed, "{words:?}");
    }
    let mut reads = waiting([1]);
    let number = reads.ask_voters(7, 40, 1, 2);
    assert_eq!(reads.on_word(now, number, Some(7), 8), None, "the leader itself has promised another");
}

#[test]
fn readers_that_nobody_confirmed_start_over_after_a_moment_in_their_order() {
    let now = Instant::now();
    let mut reads = waiting([1, 2]);
    let number = reads.ask_voters(7, 40, 1, 2);
    reads.join(3);
    assert_eq!(reads.on_word(now, number, None, 7), None);
    assert_eq!(reads.on_word(now, number, Some(8), 7), None);
    assert_eq!((reads.is_due(now), reads.due()), (false, Some(now + PAUSE)));
    assert!(reads.is_due(now + PAUSE));
    assert_eq!(reads.on_word(now, number, Some(7), 7), None, "it is over");
    let number = reads.ask_voters(7, 50, 1, 2);
    assert_eq!(reads.on_word(now, number, Some(7), 7), settled(50, &[1, 2, 3]));
}

#[test]
fn another_ballot_or_leader_ends_what_was_asked() {
    let now = Instant::now();
    let (leader, other) = (PeerId::random(), PeerId::random());
    let mut reads = waiting([1]);
    let number = reads.ask_voters(7, 40, 1, 2);
    reads.only(Some(Whom::Voters(7)));
    assert!(!reads.is_due(now));
    reads.only(Some(Whom::Voters(10)));
    assert!(reads.is_due(now), "at once");
    assert_eq!(reads.on_word(now, number, Some(7), 7), None);
    let number = reads.ask_leader(leader);
    assert_eq!(reads.on_word(now, number, Some(0), 0), None, "no voter was asked");
    reads.only(Some(Whom::Leader(other)));
    assert_eq!(reads.on_index(number, 9), None);
    let number = reads.ask_leader(other);
    reads.on_nothing(now, number - 1);
    assert_eq!(reads.on_index(number, 9), settled(9, &[1]));
    reads.join(2);
    let number = reads.ask_leader(other);
    reads.on_nothing(now, number);
    reads.only(None);
    assert_eq!(reads.on_index(number, 9), None);
    assert_eq!(reads.due(), Some(now + PAUSE));
}

#[test]
fn a_reader_reads_once_its_index_is_applied() {
    let mut reads = waiting([]);
    reads.settle(Settled { index: 5, readers: vec![1] });
    reads.settle(Settled { index: 3, readers: vec![2, 3] });
    reads.settle(Settled { index: 3, readers: vec![4] });
    assert_eq!(reads.on_applied(2).count(), 0);
    assert_eq!(reads.on_applied(4).collect::<Vec<_>>(), [2, 3, 4]);
    assert_eq!(reads.on_applied(u64::MAX).collect::<Vec<_>>(), [1]);
    assert_eq!(reads.len(), 0);
}

#[test]
fn who_waits_no_longer_is_taken_wherever_it_is() {
    let now = Instant::now();
    let mut reads = waiting([1, 2]);
    reads.settle(Settled { index: 5, readers: vec![3, 4] });
    let number = reads.ask_voters(7, 40, 1, 2);
    reads.join(5);
    reads.join(6);
    let mut over = reads.take(|reader| *reader % 2 == 0);
    over.sort_unstable();
    assert_eq!(over, [2, 4, 6]);
    assert_eq!(reads.take_waiting(|_| true), [5]);
    assert_eq!(reads.on_word(now + Duration::from_secs(1), number, Some(7), 7), settled(40, &[1]));
    assert_eq!(reads.on_applied(5).collect::<Vec<_>>(), [3]);
    assert_eq!(reads.settle_waiting(9), None);
}

#[tokio::test]
async fn the_queue_is_bounded_and_ends_with_the_member() {
    let (queue, inbox) = ReadQueue::new(Duration::from_secs(1));
    let mut waiting: Vec<_> = (0..READERS_MAX).map(|_| Box::pin(queue.wait())).collect();
    for reader in &mut waiting {
        assert!(poll!(reader).is_pending());
    }
    assert!(matches!(queue.wait().await, Some(Err(Error::Overloaded { limit: READERS_MAX }))));
    inbox.woken().await;
    assert_eq!(inbox.take(10).len(), 10);
    // Who is left behind is announced again.
    inbox.woken().await;
    assert_eq!(inbox.take(READERS_MAX).len(), READERS_MAX - 10);
    // Taken and let go, or never taken: nobody waits for ever.
    let mut late = Box::pin(queue.wait());
    assert!(poll!(&mut late).is_pending());
    drop(inbox);
    assert!(late.await.is_none());
    assert!(queue.wait().await.is_none());
    for reader in waiting {
        assert!(reader.await.is_none());
    }
}
