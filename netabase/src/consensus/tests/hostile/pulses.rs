//! Signs of life, questions, and their answers, with numbers that cannot be.

use std::time::Duration;

use futures::stream::{self, StreamExt};

use super::isolated::isolated;
use super::siege::Siege;
use super::voter::{Asked, Papers, Say};
use crate::consensus::guard::BALLOT_JUMP_MAX;
use crate::consensus::message::{ForwardAnswer, PulseAnswer, PulseRequest};
use crate::network::Channel;

const ABSURD: [u64; 4] = [10_000_000, u64::MAX / 2 - 1, u64::MAX - 1, u64::MAX];

#[test]
fn beats_with_absurd_numbers_change_nothing() {
    isolated("pulses::beats_with_absurd_numbers_change_nothing", async || {
        let mut siege = Siege::start().await;
        for number in ABSURD {
            for ballot in [
                u64::MAX,
                siege.voter.papers.own_greatest(),
                0,
                siege.voter.papers.own_above(siege.voter.papers.seen()),
            ] {
                let beat = PulseRequest::Beat { ballot, decided: number, held: number, word: None };
                siege.voter.ask_both(Channel::Heartbeat, siege.voter.papers.pulse(beat)).await;
                siege.stands(&format!("a beat of ballot {ballot} with {number} decided and held")).await;
            }
            siege.voter.depose(siege.applied().await + 1).await;
            siege.stands("an election after it").await;
            assert!(siege.pages_asked_for().await <= 5, "{number} rounds are sought for ever");
        }
        siege.end().await;
    });
}

/// A voter that says once that it leads, under a ballot that may be, and is never heard again: who believed it must
/// follow the true leader as before.
#[test]
fn a_leader_of_one_beat_is_forgotten() {
    isolated("pulses::a_leader_of_one_beat_is_forgotten", async || {
        let mut siege = Siege::start().await;
        // It hears whoever leads, so that it is of no help to a new campaign.
        siege.voter.conduct(|papers, asked| match asked {
            Asked::Pulse(PulseRequest::Suspect) => {
                Some(Say::This(papers.pulse(PulseAnswer::Suspect { agrees: false, decided: 0 })))
            }
            _ => None,
        });
        for _ in 0..3 {
            let ballot = siege.voter.papers.own_above(siege.voter.papers.seen() + BALLOT_JUMP_MAX - 10);
            let beat = PulseRequest::Beat { ballot, decided: 0, held: 0, word: None };
            siege.voter.ask_both(Channel::Heartbeat, siege.voter.papers.pulse(beat)).await;
            siege.stands("one beat of a leader that nobody elected").await;
        }
        siege.end().await;
    });
}

/// As long as it beats, whoever never heard a greater ballot forwards to it; once it stops, the true leader is back.
#[test]
fn a_leader_that_nobody_elected_is_forgotten_when_it_stops() {
    isolated("pulses::a_leader_that_nobody_elected_is_forgotten_when_it_stops", async || {
        let mut siege = Siege::start().await;
        type Answer = fn(&Papers) -> Say;
        let answers: [(&str, Answer); 5] = [
            ("takes commands and loses them", |papers| Say::This(papers.wrap(ForwardAnswer::Taken).encode().unwrap())),
            ("names a leader that is none", |papers| {
                let leader = Some(vec![0xff; 100]);
                Say::This(papers.wrap(ForwardAnswer::NotLeader { leader }).encode().unwrap())
            }),
            ("says that it has too much to do", |papers| {
                Say::This(papers.wrap(ForwardAnswer::Overloaded).encode().unwrap())
            }),
            ("answers nonsense", |_| Say::This(vec![0xff; 1_000].into())),
            ("answers nothing", |_| Say::Nothing),
        ];
        for (what, answer) in answers {
            siege.voter.conduct(move |papers, asked| matches!(asked, Asked::Forward(_)).then(|| answer(papers)));
            let ballot = siege.voter.papers.own_above(siege.voter.papers.seen() + 1_000);
            let beat = siege.voter.papers.pulse(PulseRequest::Beat { ballot, decided: 0, held: 0, word: None });
            let writes = siege.writes_under_way();
            for _ in 0..10 {
                siege.voter.ask_both(Channel::Heartbeat, beat.clone()).await;
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            siege.stands(&format!("a leader that nobody elected, and that {what}")).await;
            for write in writes {
                write.await.unwrap().expect("what the false leader lost is sent again");
            }
        }
        siege.end().await;
    });
}

#[test]
fn answers_to_beats_and_questions_with_absurd_numbers_change_nothing() {
    isolated("pulses::answers_to_beats_and_questions_with_absurd_numbers_change_nothing", async || {
        let mut siege = Siege::start().await;
        for number in ABSURD {
            for promised in [number, 0, 1] {
                siege.voter.conduct(move |papers, asked| match asked {
                    Asked::Pulse(PulseRequest::Beat { .. }) => Some(Say::This(papers.pulse(PulseAnswer::Beat {
                        promised,
                        applied: number,
                        durable: number,
                        checkpoints: Vec::new(),
                        clock_ms: 0,
                    }))),
                    Asked::Pulse(PulseRequest::Suspect) => {
                        Some(Say::This(papers.pulse(PulseAnswer::Suspect { agrees: false, decided: number })))
                    }
                    _ => None,
                });
                siege.stands(&format!("beats answered with {promised} promised and {number} durable")).await;
                siege.voter.depose(siege.applied().await + 1).await;
                siege.stands(&format!("questions answered with {number} decided")).await;
            }
            assert!(siege.leaders_lost().await <= 4, "{number} promised deposes a leader again and again");
        }
        siege.end().await;
    });
}

/// "I promised another": true or not, it makes a leader campaign now and then, not at every beat.
#[test]
fn a_voter_that_always_promised_another_does_not_wear_the_leader_out() {
    isolated("pulses::a_voter_that_always_promised_another_does_not_wear_the_leader_out", async || {
        let mut siege = Siege::start().await;
        siege.voter.conduct(|papers, asked| match asked {
            Asked::Pulse(PulseRequest::Beat { ballot, .. }) => {
                let promised = papers.own_above(*ballot);
                Some(Say::This(papers.pulse(PulseAnswer::Beat {
                    promised,
                    applied: 0,
                    durable: 0,
                    checkpoints: Vec::new(),
                    clock_ms: 0,
                })))
            }
            Asked::Pulse(PulseRequest::Suspect) => {
                Some(Say::This(papers.pulse(PulseAnswer::Suspect { agrees: false, decided: 0 })))
            }
            _ => None,
        });
        siege.stands("beats answered with a greater promise each").await;
        // Believed at first, and then more and more rarely.
        siege.leaders_lost().await;
        assert!(siege.leaders_lost().await <= 4);
        siege.stands("a time of that").await;
        siege.end().await;
    });
}

#[test]
fn pulses_of_the_wrong_kind_are_ignored() {
    isolated("pulses::pulses_of_the_wrong_kind_are_ignored", async || {
        let mut siege = Siege::start().await;
        siege.voter.conduct(|papers, asked| match asked {
            Asked::Pulse(PulseRequest::Beat { .. }) => {
                Some(Say::This(papers.pulse(PulseAnswer::Suspect { agrees: true, decided: 0 })))
            }
            Asked::Pulse(PulseRequest::Suspect) => Some(Say::This(papers.pulse(PulseAnswer::Beat {
                promised: 0,
                applied: 0,
                durable: 0,
                checkpoints: Vec::new(),
                clock_ms: 0,
            }))),
            _ => None,
        });
        siege.stands("pulses answered by those of the other kind").await;
        siege.voter.depose(siege.applied().await + 1).await;
        siege.stands("an election of that kind").await;
        siege.voter.conduct(|_, asked| matches!(asked, Asked::Pulse(_)).then_some(Say::Nothing));
        siege.voter.depose(siege.applied().await + 1).await;
        siege.stands("pulses that are never answered").await;
        siege.end().await;
    });
}

#[test]
fn a_flood_of_questions_starves_nobody() {
    isolated("pulses::a_flood_of_questions_starves_nobody", async || {
        let mut siege = Siege::start().await;
        let question = siege.voter.papers.pulse(PulseRequest::Suspect);
        for peer in siege.peers() {
            let asked = stream::iter(0..20_000).map(|_| siege.voter.ask(peer, Channel::Heartbeat, question.clone()));
            let answered =
                asked.buffer_unordered(500).filter(|answer| futures::future::ready(answer.is_ok())).count().await;
            assert!(answered > 0);
            siege.stands(&format!("20000 questions, {answered} answered")).await;
        }
        siege.end().await;
    });
}
