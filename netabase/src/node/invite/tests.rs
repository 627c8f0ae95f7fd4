//! Invites as their holders meet them: whole, damaged, too old, for something else.

use std::sync::LazyLock;

use proptest::prelude::*;

use super::*;

static INVITER: LazyLock<Identity> = LazyLock::new(Identity::generate);

const CLUSTER: ClusterId = ClusterId([7; 16]);

fn now() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_800_000_000)
}

fn members(count: usize, addresses: usize) -> Vec<(PeerId, Vec<Multiaddr>)> {
    let address = |port| format!("/ip4/10.0.0.1/tcp/{port}").parse().unwrap();
    (0..count).map(|_| (PeerId::random(), (1..=addresses).map(address).collect())).collect()
}

fn invite(role: Role) -> Invite {
    Invite::issue(&INVITER, CLUSTER, role, members(2, 2), now(), Invite::LASTS).unwrap()
}

fn reason<T: fmt::Debug>(result: Result<T>) -> String {
    match result {
        Err(Error::InvalidInvite { reason }) => reason,
        other => panic!("{other:?}"),
    }
}

fn parsed(text: &str) -> Result<Invite> {
    text.parse()
}

fn roles() -> impl Strategy<Value = Role> {
    prop_oneof![Just(Role::Voter), Just(Role::Learner), Just(Role::Client), Just(Role::Reader)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_text_is_read_back_as_it_was_made(
        role in roles(), count in 0_usize..20, addresses in 0_usize..12, lasts in 0_u64..1 << 40,
    ) {
        let made = Invite::issue(
            &INVITER, CLUSTER, role, members(count, addresses), now(), Duration::from_millis(lasts),
        ).unwrap();
        let text = made.to_string();
        prop_assert!(text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_'));
        let read: Invite = format!(" {text}\n").parse().unwrap();
        prop_assert_eq!(&read, &made);
        prop_assert_eq!(read.to_string(), text);
        prop_assert_eq!(read.members().len(), count.min(MEMBERS_MAX));
        prop_assert!(read.members().iter().all(|(_, known)| known.len() == addresses.min(ADDRESSES_MAX)));
        prop_assert_eq!(read.expires_at(), now() + Duration::from_millis(lasts));
    }

    #[test]
    fn one_changed_character_is_noticed(at in any::<prop::sample::Index>(), by in any::<char>()) {
        let text: Vec<char> = invite(Role::Voter).to_string().chars().collect();
        let at = at.index(text.len());
        prop_assume!(text[at] != by);
        let changed: String = text[..at].iter().chain([&by]).chain(&text[at + 1..]).collect();
        reason(parsed(&changed));
    }
}

/// Every place, with its neighbour in the alphabet: the least that can change.
#[test]
fn any_changed_character_is_noticed() {
    let text = invite(Role::Client).to_string().into_bytes();
    for at in 0..text.len() {
        let mut changed = text.clone();
        changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
        reason(parsed(std::str::from_utf8(&changed).unwrap()));
    }
}

#[test]
fn half_a_text_says_that_it_was_cut_short() {
    let text = invite(Role::Voter).to_string();
    for end in PREFIX.len()..text.len() {
        assert_eq!(reason(parsed(&text[..end])), CUT_SHORT, "{end}");
    }
    assert_eq!(reason(parsed(&format!("{text}AAAA"))), CHANGED);
    for other in ["", "netabase-invit", "12D3KooW", "netabase-wish-AAAA"] {
        assert!(reason(parsed(other)).contains("is not an invite"), "{other}");
    }
    let long = format!("{PREFIX}{}", "A".repeat(TEXT_BYTES_MAX));
    assert!(reason(parsed(&long)).contains("is not an invite"));
}

#[test]
fn a_newer_format_says_so() {
    let mut newer = invite(Role::Voter);
    newer.bytes[0] = VERSION + 1;
    assert!(reason(parsed(&newer.to_string())).contains("it has the format 2, and this program reads 1"));
}

#[test]
fn only_the_inviters_signature_counts() {
    let whole = invite(Role::Reader);
    // The holder makes itself a voter, and signs that with a key of its own, but in the inviter's name.
    let body = Body { role: Role::Voter, ..whole.body.clone() };
    let forged = Invite::signed(&Identity::generate(), body).unwrap();
    assert_eq!(reason(parsed(&forged.to_string())), CHANGED);
    // The same body and length, signed by nobody.
    let mut unsigned = whole;
    let end = unsigned.bytes.len();
    unsigned.bytes[end - SIGNATURE_BYTES..].fill(0);
    assert_eq!(reason(parsed(&unsigned.to_string())), CHANGED);
}

/// An invite is not believed more than it may say, whoever signed it.
#[test]
fn more_than_one_may_name_is_refused() {
    let whole = invite(Role::Voter);
    let more = [members(MEMBERS_MAX + 1, 1), members(1, ADDRESSES_MAX + 1)]
        .map(|members| Body { members, ..whole.body.clone() });
    let later = Body { expires_at_ms: EXPIRES_AT_MS_MAX + 1, ..whole.body.clone() };
    for body in more.into_iter().chain([later]) {
        let large = Invite::signed(&INVITER, body).unwrap();
        assert!(reason(parsed(&large.to_string())).contains("more members, more addresses or a later end"));
    }
    let lasting = Invite::issue(&INVITER, CLUSTER, Role::Voter, [], now(), Duration::MAX).unwrap();
    assert_eq!(parsed(&lasting.to_string()).unwrap(), lasting);
}

#[test]
fn it_expires_and_says_since_when() {
    let invite = invite(Role::Voter);
    let end = now() + Invite::LASTS;
    assert_eq!(invite.expires_at(), end);
    invite.check_expiry(end - Duration::from_millis(1)).unwrap();
    for (late, said) in [(0, "0 s"), (90, "90 s"), (1_200, "20 min"), (10_000, "2 h"), (400_000, "4 days")] {
        let reason = reason(invite.check_expiry(end + Duration::from_secs(late)));
        assert!(reason.starts_with(&format!("it expired {said} ago")), "{reason}");
    }
    // A text that has expired can be read all the same: who presents it is told, and so is who honours it.
    parsed(&invite.to_string()).unwrap();
}

#[test]
fn it_leads_to_one_cluster_and_one_role() {
    let invite = invite(Role::Client);
    invite.check_cluster(CLUSTER).unwrap();
    let wrong = reason(invite.check_cluster(ClusterId([8; 16])));
    assert!(wrong.contains(&CLUSTER.to_string()) && wrong.contains("0808"), "{wrong}");
    invite.check_role("connect", &[Role::Client, Role::Reader]).unwrap();
    let wrong = reason(invite.check_role("join", &[Role::Voter, Role::Learner]));
    assert_eq!(wrong, "it is for a client, and `join` takes one for a voter or a learner: ask for another one");
}

#[test]
fn nothing_shows_the_secret_but_the_text() {
    let invite = invite(Role::Voter);
    let shown = format!("{invite:?}");
    let bytes = format!("{:?}", invite.body.secret);
    assert!(!shown.contains(&bytes[1..bytes.len() - 1]));
    assert!(!shown.contains(&invite.to_string()));
    assert!(shown.contains("Voter"));
    // The log knows the public half of a key that the secret stands for.
    let knocker = invite.knocker().unwrap();
    assert_eq!(crate::consensus::knocker(&invite.hash().unwrap()), Some(knocker.peer_id()));
    assert_ne!(invite.hash().unwrap(), invite.body.secret);
    assert_ne!(invite.body.secret, super::tests::invite(Role::Voter).body.secret);
}

#[test]
fn serde_carries_the_text() {
    let invite = invite(Role::Learner);
    let json = serde_json::to_string(&invite).unwrap();
    assert_eq!(json, format!("\"{invite}\""));
    assert_eq!(serde_json::from_str::<Invite>(&json).unwrap(), invite);
    let error = serde_json::from_str::<Invite>("\"netabase-invite-A\"").unwrap_err();
    assert!(error.to_string().contains("cut short"), "{error}");
}
