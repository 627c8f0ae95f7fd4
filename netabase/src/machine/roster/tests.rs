use super::*;

fn id(byte: u8) -> MemberId {
    MemberId::new(vec![byte; 38])
}

fn at(round: u64) -> Place {
    Place { round, position: 0 }
}

fn hash(byte: u8) -> InviteHash {
    [byte; 32]
}

fn invite(hash: InviteHash, role: MemberRole) -> Reform {
    Reform::Invite { hash, role, expires_at_ms: 7 }
}

fn ids(voters: &[Voter]) -> Vec<MemberId> {
    voters.iter().map(|voter| voter.id.clone()).collect()
}

fn founded(voters: u8) -> Roster {
    Roster::founded((1..=voters).map(id), BTreeMap::new())
}

/// Invites and admits in the rounds 2n and 2n + 1.
fn join(roster: &mut Roster, member: u8, role: MemberRole) -> Result<(), ReformRefusal> {
    let round = u64::from(member) * 2;
    roster.reform(&invite(hash(member), role), at(round))?;
    admit(roster, member, member, round + 1)
}

fn admit(roster: &mut Roster, invite: u8, member: u8, round: u64) -> Result<(), ReformRefusal> {
    roster.reform(&Reform::Admit { hash: hash(invite), member: id(member) }, at(round))
}

fn seal(roster: &mut Roster, epoch: u64, voters: &[u8], round: u64) -> bool {
    let voters: Vec<MemberId> = voters.iter().copied().map(id).collect();
    roster.seal(&Seal { epoch, first: voters[0].clone(), voters }, at(round))
}

#[test]
fn a_voter_is_invited_admitted_and_votes_from_the_next_seal_on() {
    let mut roster = founded(1);
    assert_eq!(roster.next_voters(), None);
    join(&mut roster, 9, MemberRole::Voter).unwrap();
    assert_eq!(ids(&roster.voters), [id(1)]);
    assert!(!roster.is_voter(&id(9)));
    assert_eq!(roster.next_voters().map(|next| ids(&next)), Some(vec![id(1), id(9)]));
    assert!(seal(&mut roster, 0, &[1, 9], 40));
    assert_eq!((roster.epoch, roster.sealed), (1, 40));
    assert_eq!(ids(&roster.voters), [id(1), id(9)]);
    assert_eq!(roster.next_voters(), None);
}

#[test]
fn an_invite_is_good_for_the_first_who_uses_it() {
    let mut roster = founded(1);
    assert_eq!(admit(&mut roster, 5, 5, 1), Err(ReformRefusal::UnknownInvite));
    join(&mut roster, 5, MemberRole::Learner).unwrap();
    assert_eq!(admit(&mut roster, 5, 6, 20), Err(ReformRefusal::UsedInvite));
    assert_eq!(admit(&mut roster, 5, 5, 21), Ok(()), "it presents it again");
    roster.reform(&Reform::Remove { member: id(5) }, at(22)).unwrap();
    assert_eq!(admit(&mut roster, 5, 5, 23), Err(ReformRefusal::UsedInvite), "an old invite brings nobody back");
    roster.reform(&invite(hash(6), MemberRole::Learner), at(24)).unwrap();
    assert!(roster.has_left(&id(5)));
    assert_eq!(admit(&mut roster, 6, 5, 25), Ok(()), "a new one does");
    assert!(!roster.has_left(&id(5)));
    roster.reform(&invite(hash(7), MemberRole::Client), at(26)).unwrap();
    roster.reform(&Reform::Revoke { hash: hash(7) }, at(27)).unwrap();
    assert_eq!(admit(&mut roster, 7, 7, 28), Err(ReformRefusal::UnknownInvite));
}

#[test]
fn a_voter_leaves_with_the_next_seal_and_the_last_one_does_not() {
    let mut roster = founded(3);
    roster.reform(&Reform::Remove { member: id(3) }, at(5)).unwrap();
    assert!(roster.is_voter(&id(3)) && !roster.has_left(&id(3)));
    assert_eq!(roster.next_voters().map(|next| ids(&next)), Some(vec![id(1), id(2)]));
    assert!(seal(&mut roster, 0, &[1, 2], 6));
    assert!(roster.has_left(&id(3)));
    roster.reform(&Reform::Remove { member: id(3) }, at(7)).unwrap();
    assert_eq!(roster.reform(&Reform::Remove { member: id(9) }, at(7)), Err(ReformRefusal::NotAMember));
    roster.reform(&Reform::Remove { member: id(2) }, at(8)).unwrap();
    assert_eq!(roster.reform(&Reform::Remove { member: id(1) }, at(9)), Err(ReformRefusal::LastVoter));
}

#[test]
fn a_seal_of_another_epoch_or_behind_something_else_is_void() {
    let mut roster = founded(3);
    let before = roster.clone();
    assert!(!seal(&mut roster, 1, &[1], 5));
    let behind = Place { round: 5, position: 1 };
    assert!(!roster.seal(&Seal { epoch: 0, voters: vec![id(1)], first: id(1) }, behind));
    assert_eq!(roster, before);
}

/// D9, D14: what a voter says of itself counts from the next seal on.
#[test]
fn another_life_votes_from_the_next_seal_on() {
    let mut roster = founded(3);
    let life = |byte, lapses| Life { incarnation: [byte; 16], lapses };
    let present = |roster: &mut Roster, life| {
        roster.reform(
            &Reform::Present { member: id(2), life, addresses: vec!["/dns/b/tcp/1".into()], reads: BTreeMap::new() },
            at(4),
        )
    };
    present(&mut roster, life(7, 0)).unwrap();
    assert_eq!(roster.next_voters(), None, "it votes in this life, as far as anybody knows");
    present(&mut roster, life(7, 1)).unwrap();
    assert!(!roster.votes(&id(2), life(7, 1)), "it voted in this epoch before");
    assert_eq!(roster.next_voters().map(|next| ids(&next)), Some(vec![id(1), id(2), id(3)]));
    assert!(seal(&mut roster, 0, &[1, 2, 3], 5));
    assert_eq!(roster.next_voters(), None);
    assert!(roster.votes(&id(2), life(7, 1)) && !roster.votes(&id(2), life(7, 0)));
    present(&mut roster, life(8, 0)).unwrap();
    assert!(!roster.votes(&id(2), life(8, 0)), "another directory");
    assert!(seal(&mut roster, 1, &[1, 2, 3], 6));
    assert!(roster.votes(&id(2), life(8, 0)));
    let stranger = Reform::Present { member: id(9), life: life(1, 0), addresses: vec![], reads: BTreeMap::new() };
    assert_eq!(roster.reform(&stranger, at(9)), Err(ReformRefusal::NotAMember));
}

#[test]
fn an_invite_makes_nobody_less() {
    let mut roster = founded(3);
    join(&mut roster, 2, MemberRole::Reader).unwrap();
    assert_eq!(roster.member(&id(2)).map(|member| member.role), Some(MemberRole::Voter));
    join(&mut roster, 7, MemberRole::Learner).unwrap();
    roster.reform(&invite(hash(99), MemberRole::Voter), at(50)).unwrap();
    admit(&mut roster, 99, 7, 51).unwrap();
    assert_eq!(roster.member(&id(7)).map(|member| member.role), Some(MemberRole::Voter));
}

#[test]
fn everything_is_bounded_and_the_oldest_goes_first() {
    let mut roster = founded(1);
    let many = |n: usize| {
        let mut id = [0; 32];
        id[..8].copy_from_slice(&n.to_be_bytes());
        id
    };
    for n in 0..CLIENTS_MAX + 10 {
        let round = 2 * n as u64;
        roster.reform(&invite(many(n), MemberRole::Client), at(round)).unwrap();
        let member = MemberId::new(many(n).to_vec());
        roster.reform(&Reform::Admit { hash: many(n), member }, at(round + 1)).unwrap();
    }
    assert_eq!(roster.members.len(), 1 + CLIENTS_MAX);
    assert_eq!(roster.invites.len(), INVITES_MAX);
    assert!(roster.member(&MemberId::new(many(9).to_vec())).is_none());
    assert!(roster.member(&MemberId::new(many(10).to_vec())).is_some());
    for n in 2..NODES_MAX + 1 {
        let hash = many(100_000 + n);
        let round = (1 << 30) + n as u64;
        roster.reform(&invite(hash, MemberRole::Learner), at(round)).unwrap();
        let member = MemberId::new(hash.to_vec());
        roster.reform(&Reform::Admit { hash, member }, at(round)).unwrap();
    }
    let hash = many(200_000);
    roster.reform(&invite(hash, MemberRole::Learner), at(1 << 40)).unwrap();
    let one_more = Reform::Admit { hash, member: MemberId::new(vec![1]) };
    assert_eq!(roster.reform(&one_more, at(1 << 40)), Err(ReformRefusal::TooMany));
}
