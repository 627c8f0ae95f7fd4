//! The failure detector as a pure rule: every instant is an argument.

use super::*;

const MS: Duration = Duration::from_millis(1);
const TIMING: Timing =
    Timing { beat: Duration::from_millis(50), silence: Duration::from_millis(250), jitter: Duration::from_millis(100) };

/// Five voters; `peers[0]` is this node.
struct Bench {
    start: Instant,
    peers: Vec<PeerId>,
    leadership: Leadership,
}

fn bench(voters: usize) -> Bench {
    let start = Instant::now();
    let peers: Vec<PeerId> = (0..voters).map(|_| PeerId::random()).collect();
    let leadership = Leadership::new(TIMING, peers[0], Voters::new(peers.clone()), start, || 0.5);
    Bench { start, peers, leadership }
}

impl Bench {
    fn at(&self, ms: u32) -> Instant {
        self.start + ms * MS
    }

    fn act(&mut self, ms: u32) -> Option<Act> {
        self.leadership.act(self.at(ms))
    }

    fn beat(&mut self, ms: u32, from: usize, ballot: Ballot, promised: Ballot) -> bool {
        let (now, from) = (self.at(ms), self.peers[from]);
        self.leadership.on_beat(now, from, ballot, promised)
    }

    fn elect(&mut self, ms: u32, ballot: Ballot) {
        let now = self.at(ms);
        self.leadership.role = Role::Campaigning;
        self.leadership.on_elected(now, ballot);
    }
}

#[test]
fn a_new_node_waits_its_jitter_and_asks() {
    let mut bench = bench(3);
    assert_eq!(bench.act(49), None);
    assert_eq!(bench.leadership.next(), Some(bench.at(50)));
    assert_eq!(bench.act(50), Some(Act::Ask));
    assert_eq!(bench.leadership.role(), Role::Asking);
    assert_eq!(bench.act(60), None, "one question at a time");
    assert_eq!(bench.leadership.next(), None);
}

#[test]
fn alone_it_campaigns_at_once() {
    let mut bench = bench(1);
    assert_eq!(bench.act(0), Some(Act::Ask));
    assert!(bench.leadership.campaign_if_agreed());
    assert_eq!(bench.leadership.role(), Role::Campaigning);
}

#[test]
fn nobody_campaigns_while_a_majority_hears_a_leader() {
    let mut bench = bench(5);
    assert_eq!(bench.act(50), Some(Act::Ask));
    assert!(!bench.leadership.campaign_if_agreed());
    assert!(!bench.leadership.on_agreement(), "two of five");
    bench.leadership.on_question_over(bench.at(100));
    assert_eq!(bench.leadership.role(), Role::Following);
    // What comes late belongs to a question that is over.
    assert!(!bench.leadership.on_agreement());
    assert!(!bench.leadership.on_agreement());
    // It asks again, and the count starts anew.
    assert_eq!(bench.act(199), None);
    assert_eq!(bench.act(200), Some(Act::Ask));
    assert!(!bench.leadership.on_agreement());
    assert!(bench.leadership.on_agreement(), "three of five");
    assert_eq!(bench.leadership.role(), Role::Campaigning);
    assert!(!bench.leadership.on_agreement(), "it campaigns once");
}

#[test]
fn a_beat_ends_the_question_and_silence_begins_the_next() {
    let mut bench = bench(3);
    assert_eq!(bench.act(50), Some(Act::Ask));
    assert!(bench.beat(60, 1, 4, 0));
    assert_eq!(bench.leadership.role(), Role::Following);
    assert_eq!(bench.leadership.leader(bench.at(60)), Some(bench.peers[1]));
    assert!(!bench.leadership.suspects(bench.at(309)));
    assert!(bench.leadership.suspects(bench.at(310)), "jitter is no part of the answer to another's question");
    assert_eq!(bench.leadership.leader(bench.at(310)), None);
    assert_eq!(bench.act(359), None);
    assert_eq!(bench.act(360), Some(Act::Ask), "250 ms of silence and 50 ms of jitter");
}

#[test]
fn a_deposed_leader_is_not_heard() {
    let mut bench = bench(3);
    assert!(!bench.beat(10, 1, 4, 5), "this node promised a greater ballot");
    assert_eq!(bench.leadership.leader(bench.at(10)), None);
    assert!(bench.beat(10, 2, 5, 5));
    assert!(!bench.beat(20, 1, 4, 0), "a greater ballot was heard to lead");
    assert_eq!(bench.leadership.leader(bench.at(20)), Some(bench.peers[2]));
    assert!(bench.leadership.suspects(bench.at(260)), "what is not heard does not break the silence");
}

#[test]
fn a_leader_whose_connection_closes_is_asked_about_at_once() {
    let mut bench = bench(3);
    assert!(bench.beat(10, 1, 4, 0));
    let (leader, other) = (bench.peers[1], bench.peers[2]);
    bench.leadership.on_disconnected(bench.at(20), other);
    assert!(!bench.leadership.suspects(bench.at(20)));
    bench.leadership.on_disconnected(bench.at(20), leader);
    assert!(bench.leadership.suspects(bench.at(20)));
    assert_eq!(bench.act(69), None);
    assert_eq!(bench.act(70), Some(Act::Ask));
}

#[test]
fn a_leader_beats_and_knows_whether_it_is_heard() {
    let mut bench = bench(5);
    bench.elect(100, 6);
    assert_eq!(bench.leadership.role(), Role::Leading { ballot: 6 });
    assert_eq!(bench.leadership.leader(bench.at(100)), Some(bench.peers[0]));
    assert_eq!(bench.act(100), Some(Act::Beat { ballot: 6 }));
    assert_eq!(bench.act(149), None);
    assert_eq!(bench.act(150), Some(Act::Beat { ballot: 6 }));
    assert!(bench.leadership.is_heard(bench.at(599)));
    assert!(!bench.leadership.is_heard(bench.at(600)), "nobody answered within twice the silence");
    assert!(bench.leadership.suspects(bench.at(600)), "it agrees that another one campaigns");
    let (now, first, second) = (bench.at(650), bench.peers[1], bench.peers[2]);
    assert!(!bench.leadership.on_beat_answer(now, first, 6));
    assert!(!bench.leadership.is_heard(now), "two of five");
    assert!(!bench.leadership.on_beat_answer(now, second, 6));
    assert!(bench.leadership.is_heard(now));
    assert!(!bench.leadership.suspects(now));
}

#[test]
fn an_answer_that_names_a_greater_ballot_deposes_and_is_not_an_answer() {
    let mut bench = bench(3);
    bench.elect(0, 6);
    let (now, peer) = (bench.at(600), bench.peers[1]);
    assert!(bench.leadership.on_beat_answer(now, peer, 7));
    assert!(!bench.leadership.is_heard(now));
    bench.leadership.on_lost(now);
    assert_eq!(bench.leadership.role(), Role::Following);
    assert_eq!(bench.leadership.leader(now), None);
    assert!(!bench.leadership.on_beat_answer(now, peer, 8), "it does not lead any more");
    assert_eq!(bench.act(899), None, "whoever stood in the way comes first");
    assert_eq!(bench.act(900), Some(Act::Ask));
}

/// A voter that named a great ballot once, and was never elected, must not make the true leader unheard for ever.
#[test]
fn a_leader_that_fell_silent_bars_no_lower_ballot() {
    let mut bench = bench(3);
    assert!(bench.beat(0, 1, 1_000, 5));
    assert!(!bench.beat(249, 2, 5, 5));
    assert!(bench.beat(250, 2, 5, 5));
    assert_eq!(bench.leadership.leader(bench.at(250)), Some(bench.peers[2]));
}

#[test]
fn one_voter_deposes_a_leader_now_and_then_only() {
    let mut bench = bench(3);
    bench.elect(0, 6);
    let (liar, other) = (bench.peers[1], bench.peers[2]);
    assert!(bench.leadership.on_beat_answer(bench.at(50), liar, 7));
    assert!(!bench.leadership.on_beat_answer(bench.at(100), liar, 8));
    assert!(bench.leadership.on_beat_answer(bench.at(100), other, 7), "another one's word is its own");
    for (early, due) in [(1_049, 1_050), (3_049, 3_050), (7_049, 7_050), (15_049, 15_050), (25_049, 25_050)] {
        assert!(!bench.leadership.on_beat_answer(bench.at(early), liar, 9));
        assert!(bench.leadership.on_beat_answer(bench.at(due), liar, 9), "{due}");
    }
    assert!(!bench.leadership.on_beat_answer(bench.at(25_100), liar, 6), "it follows");
    assert!(bench.leadership.on_beat_answer(bench.at(25_150), liar, 9), "so this is news");
}

#[test]
fn a_beat_does_not_interrupt_what_is_under_way() {
    let mut bench = bench(3);
    bench.elect(0, 6);
    assert!(bench.beat(10, 1, 7, 6));
    assert_eq!(bench.leadership.role(), Role::Leading { ballot: 6 }, "its own appends tell it that it lost");
    bench.leadership.role = Role::Campaigning;
    assert!(bench.beat(20, 1, 7, 6));
    assert_eq!(bench.leadership.role(), Role::Campaigning);
    assert_eq!(bench.act(10_000), None);
}

#[test]
fn a_beat_ends_a_campaign_that_nobody_has_heard_of() {
    let mut bench = bench(3);
    assert!(bench.beat(0, 1, 4, 4));
    assert_eq!(bench.act(300), Some(Act::Ask));
    assert!(bench.leadership.on_agreement());
    assert_eq!(bench.leadership.role(), Role::Campaigning);
    assert!(bench.beat(310, 1, 4, 4));
    assert_eq!(bench.leadership.role(), Role::Following, "rows were still being fetched for it");
    assert_eq!(bench.leadership.leader(bench.at(310)), Some(bench.peers[1]));
    // Once its prepare may have left, it goes on.
    assert_eq!(bench.act(610), Some(Act::Ask));
    assert!(bench.leadership.on_agreement());
    bench.leadership.on_campaign_begun();
    assert!(bench.beat(620, 1, 4, 4));
    assert_eq!(bench.leadership.role(), Role::Campaigning);
}

#[test]
fn a_leader_that_denies_its_silence_is_followed() {
    let mut bench = bench(3);
    assert!(bench.beat(0, 1, 4, 4));
    assert_eq!(bench.act(300), Some(Act::Ask));
    bench.leadership.on_denial(bench.at(301), bench.peers[2]);
    assert_eq!(bench.leadership.role(), Role::Asking, "another one's word is one of a majority");
    bench.leadership.on_denial(bench.at(302), bench.peers[1]);
    assert_eq!(bench.leadership.role(), Role::Following);
    assert!(!bench.leadership.on_agreement(), "what comes later is of a question that is over");
    assert!(!bench.leadership.suspects(bench.at(551)));
    assert_eq!(bench.act(601), None);
    assert_eq!(bench.act(602), Some(Act::Ask));
}

#[test]
fn whoever_stood_still_reads_what_was_said_meanwhile_first() {
    let mut bench = bench(3);
    assert!(bench.beat(0, 1, 4, 4));
    bench.leadership.on_stall(bench.at(600));
    assert!(!bench.leadership.suspects(bench.at(600)));
    assert_eq!(bench.act(600), None);
    assert_eq!(bench.leadership.next(), Some(bench.at(650)));
    assert!(bench.leadership.suspects(bench.at(650)), "nothing was said");
    assert_eq!(bench.act(650), Some(Act::Ask));
    bench.leadership.on_question_over(bench.at(700));
    // It stands still again and again: a leader that is gone is not excused for ever.
    bench.leadership.on_stall(bench.at(999));
    assert!(!bench.leadership.suspects(bench.at(999)));
    bench.leadership.on_stall(bench.at(1_000));
    assert!(bench.leadership.suspects(bench.at(1_000)));
}

#[test]
fn a_leader_that_stood_still_reads_its_answers_before_it_gives_up() {
    let mut bench = bench(3);
    bench.elect(0, 6);
    bench.leadership.on_stall(bench.at(700));
    assert!(bench.leadership.is_heard(bench.at(700)));
    assert!(!bench.leadership.is_heard(bench.at(750)), "there were none");
}

#[test]
fn the_first_of_an_epoch_waits_for_the_others_to_enter_it() {
    let mut bench = bench(3);
    let me = bench.peers[0];
    bench.leadership.expect(bench.at(0), me);
    assert!(bench.leadership.is_expected(bench.at(499)));
    assert!(!bench.leadership.is_expected(bench.at(500)));
    bench.leadership.on_lost(bench.at(10));
    assert!(!bench.leadership.is_expected(bench.at(20)), "somebody else stood in the way");
}

#[test]
fn only_a_followed_leader_is_succeeded() {
    let mut bench = bench(3);
    let tell = |bench: &mut Bench, ms, from: usize, ballot, promised| {
        let (now, from) = (bench.at(ms), bench.peers[from]);
        bench.leadership.on_succession(now, from, ballot, promised)
    };
    assert!(!tell(&mut bench, 0, 1, 4, 0), "it was never heard");
    assert!(bench.beat(10, 1, 4, 4));
    assert!(!tell(&mut bench, 20, 2, 4, 4), "another one");
    assert!(!tell(&mut bench, 20, 1, 1, 4), "an old word");
    assert!(!tell(&mut bench, 20, 1, 4, 5), "somebody else was promised since");
    assert!(!tell(&mut bench, 260, 1, 4, 4), "it fell silent: the usual question decides");
    assert_eq!(bench.leadership.role(), Role::Following);
    assert!(bench.beat(270, 1, 4, 4));
    assert!(tell(&mut bench, 280, 1, 4, 4));
    assert_eq!((bench.leadership.role(), bench.leadership.next()), (Role::Campaigning, None));
    assert!(!tell(&mut bench, 290, 1, 4, 4), "it campaigns already");
}
