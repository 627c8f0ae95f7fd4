//! Greetings of nodes that do not belong here, or claim what cannot be.

use super::isolated::isolated;
use super::siege::Siege;
use super::voter::{Asked, Papers, Say, encoded};
use crate::consensus::id::{Epoch, Incarnation};
use crate::consensus::message::{Greeting, Pulse, PulseAnswer, PulseRequest};
use crate::network::Channel;
use crate::schema::Summary;

type Change = fn(&mut Greeting);

const CHANGES: &[(&str, Change)] = &[
    ("another cluster", |greeting| greeting.cluster.0[0] ^= 1),
    ("another epoch", |greeting| greeting.epoch = Epoch(u64::MAX)),
    ("another life of its directory", |greeting| greeting.incarnation = Incarnation([0; 16])),
    ("other founders", |greeting| greeting.founders = vec!["x".repeat(1_000); 50]),
    ("no founders", |greeting| greeting.founders.clear()),
    ("another schema", |greeting| greeting.schema = Summary::made_of(&[("item", 1, &"y".repeat(1_000))])),
    ("no schema", |greeting| greeting.schema = Summary::default()),
    ("a vote counted under the greatest ballot", |greeting| greeting.counted = u64::MAX),
    ("a vote counted under ten million", |greeting| greeting.counted = 10_000_000),
    ("the greatest round applied", |greeting| greeting.applied = u64::MAX),
    ("half of all rounds applied", |greeting| greeting.applied = u64::MAX / 2 - 1),
];

fn greeting(papers: &Papers, change: Change) -> Greeting {
    let mut greeting = papers.greeting();
    change(&mut greeting);
    greeting
}

#[test]
fn that_do_not_fit_change_nothing() {
    isolated("greetings::that_do_not_fit_change_nothing", async || {
        let mut siege = Siege::start().await;
        for (what, change) in CHANGES {
            let said = Box::new(greeting(&siege.voter.papers, *change));
            siege.voter.ask_both(Channel::Heartbeat, encoded(&Pulse::<PulseRequest>::Greeting(said))).await;
            siege.stands(&format!("a greeting of {what}")).await;
            siege.voter.conduct(|papers, asked| {
                let Asked::Greeting = asked else { return None };
                let said = Box::new(greeting(papers, *change));
                Some(Say::This(encoded(&Pulse::<PulseAnswer>::Greeting(said))))
            });
            siege.voter.campaign(siege.applied().await + 1).await;
            siege.stands(&format!("greetings answered with {what}")).await;
            siege.voter.behave();
            let proper = Box::new(siege.voter.papers.greeting());
            siege.voter.ask_both(Channel::Heartbeat, encoded(&Pulse::<PulseRequest>::Greeting(proper))).await;
        }
        siege.end().await;
    });
}

/// Before it has greeted, not even a voter is listened to.
#[test]
fn are_needed_before_anything_else() {
    isolated("greetings::are_needed_before_anything_else", async || {
        let mut siege = Siege::start().await;
        let said = Box::new(greeting(&siege.voter.papers, |greeting| greeting.founders.clear()));
        siege.voter.conduct(|_, asked| matches!(asked, Asked::Greeting).then_some(Say::Nothing));
        siege.voter.ask_both(Channel::Heartbeat, encoded(&Pulse::<PulseRequest>::Greeting(said))).await;
        for (what, channel, bytes) in super::strangers::inputs(&siege.voter.papers, siege.applied().await + 1) {
            let answers = siege.voter.ask_both(channel, bytes).await;
            let greeted = what == "a greeting";
            assert!(greeted || answers == [None, None], "{what} without a greeting is answered");
            if greeted {
                siege
                    .voter
                    .ask_both(
                        Channel::Heartbeat,
                        encoded(&Pulse::<PulseRequest>::Greeting(Box::new(greeting(
                            &siege.voter.papers,
                            |greeting| greeting.founders.clear(),
                        )))),
                    )
                    .await;
            }
        }
        siege.stands("everything at once, without a greeting").await;
        siege.end().await;
    });
}
