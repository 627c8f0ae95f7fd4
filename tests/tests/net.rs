//! The net of the tests by itself, before anything is concluded from tests on it: it delays, loses and cuts as it is told,
//! and nothing else.
#![cfg(target_os = "linux")]

use std::net::UdpSocket;
use std::time::{Duration, Instant};

use netabase_tests::Failed;
use netabase_tests::net::{Net, Weather};

/// How long a packet is waited for that is not to come.
const SILENCE: Duration = Duration::from_millis(300);

fn failed(error: impl std::fmt::Display) -> Failed {
    Failed(error.to_string())
}

/// Three hosts with a socket each.
struct Sockets {
    net: Net,
    sockets: Vec<UdpSocket>,
}

impl Sockets {
    fn new(seed: u64) -> Result<Self, Failed> {
        let mut net = Net::new(seed)?;
        let mut sockets = Vec::new();
        for _ in 0..3 {
            let host = net.add()?;
            let socket = net.socket(host)?;
            socket.set_read_timeout(Some(SILENCE)).map_err(failed)?;
            sockets.push(socket);
        }
        Ok(Sockets { net, sockets })
    }

    fn send(&self, from: usize, to: usize, what: u32) -> Result<(), Failed> {
        let address = self.sockets[to].local_addr().map_err(failed)?;
        self.sockets[from].send_to(&what.to_be_bytes(), address).map_err(failed).map(|_| ())
    }

    /// What comes next, if anything comes.
    fn next(&self, at: usize) -> Option<u32> {
        let mut bytes = [0; 4];
        let length = self.sockets[at].recv(&mut bytes).ok()?;
        (length == bytes.len()).then(|| u32::from_be_bytes(bytes))
    }

    /// Whether a packet arrives, and no other one.
    fn passes(&self, from: usize, to: usize) -> Result<bool, Failed> {
        let what = u32::try_from(from * 10 + to).map_err(failed)?;
        self.send(from, to, what)?;
        let heard = self.next(to);
        assert!(heard.is_none_or(|heard| heard == what), "{heard:?} instead of {what}");
        Ok(heard.is_some())
    }

    /// How long there and back takes.
    fn round_trip(&self) -> Result<Duration, Failed> {
        let start = Instant::now();
        self.send(0, 1, 1)?;
        assert_eq!(self.next(1), Some(1));
        self.send(1, 0, 2)?;
        assert_eq!(self.next(0), Some(2));
        Ok(start.elapsed())
    }
}

#[test]
fn packets_are_under_way_for_as_long_as_the_weather_says() -> Result<(), Failed> {
    if !Net::may_be_made() {
        return Ok(());
    }
    let hosts = Sockets::new(1)?;
    let mut fair: Vec<Duration> = (0..20).map(|_| hosts.round_trip()).collect::<Result<_, _>>()?;
    hosts.net.weather(Weather { loss: 0, ..Weather::FOUL });
    let mut foul: Vec<Duration> = (0..20).map(|_| hosts.round_trip()).collect::<Result<_, _>>()?;
    fair.sort_unstable();
    foul.sort_unstable();
    println!("there and back: {:?} in fair weather, {:?} in foul", fair[10], foul[10]);
    // A busy machine makes them later, not earlier.
    assert!(foul[0] >= Weather::FOUL.delay * 2, "{:?}", foul[0]);
    assert!(foul[10] < Duration::from_millis(180), "{:?}", foul[10]);
    assert!(fair[10] < Duration::from_millis(40), "{:?}", fair[10]);
    Ok(())
}

#[test]
fn as_many_packets_are_lost_as_the_weather_says_and_the_seed_decides_which() -> Result<(), Failed> {
    if !Net::may_be_made() {
        return Ok(());
    }
    let heard = |seed| {
        let hosts = Sockets::new(seed)?;
        hosts.net.weather(Weather { loss: 50, ..Weather::FAIR });
        let mut heard = Vec::new();
        for part in 0..20 {
            for packet in 0..50 {
                hosts.send(0, 1, part * 50 + packet)?;
            }
            // The last of each part may be lost as well: what counts is that no queue runs over.
            let passed = |net: &Net| net.counts().passed + net.counts().lost;
            while passed(&hosts.net) < u64::from(part + 1) * 50 {
                std::thread::yield_now();
            }
            while (heard.len() as u64) < hosts.net.counts().passed {
                heard.push(hosts.next(1).ok_or_else(|| Failed("one that passed did not arrive".into()))?);
            }
        }
        assert_eq!(hosts.net.counts().crowded, 0);
        Ok::<_, Failed>(heard)
    };
    let first = heard(1)?;
    println!("{} of 1000 arrive", first.len());
    assert!((915..=985).contains(&first.len()), "{} of 1000 arrive at 5 %", first.len());
    assert_eq!(first, heard(1)?, "the same seed loses the same");
    assert_ne!(first, heard(2)?, "another seed loses others");
    Ok(())
}

#[test]
fn what_is_cut_is_cut_in_that_direction_until_it_is_healed() -> Result<(), Failed> {
    if !Net::may_be_made() {
        return Ok(());
    }
    let hosts = Sockets::new(1)?;
    let pairs = || (0..3).flat_map(|from| (0..3).filter(move |to| *to != from).map(move |to| (from, to)));
    for (from, to) in pairs() {
        assert!(hosts.passes(from, to)?, "{from} to {to}, whole");
    }
    hosts.net.cut(0, 1);
    for (from, to) in pairs() {
        assert_eq!(hosts.passes(from, to)?, (from, to) != (0, 1), "{from} to {to}, cut one way");
    }
    hosts.net.cut(1, 0);
    hosts.net.cut(2, 0);
    for (from, to) in pairs() {
        let cut = [(0, 1), (1, 0), (2, 0)].contains(&(from, to));
        assert_eq!(hosts.passes(from, to)?, !cut, "{from} to {to}, cut more");
    }
    hosts.net.heal();
    for (from, to) in pairs() {
        assert!(hosts.passes(from, to)?, "{from} to {to}, healed");
    }
    assert_eq!(hosts.net.counts().lost, 0);
    Ok(())
}

/// Two nets have the same addresses, and nothing in common.
#[test]
fn a_net_reaches_no_other_one() -> Result<(), Failed> {
    if !Net::may_be_made() {
        return Ok(());
    }
    let (one, other) = (Sockets::new(1)?, Sockets::new(1)?);
    assert!(one.passes(0, 1)?);
    assert_eq!(other.next(1), None);
    drop(one);
    assert!(other.passes(0, 1)?);
    Ok(())
}
