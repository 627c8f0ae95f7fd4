//! Addresses of founders and peers, as users write them.

use libp2p::{Multiaddr, PeerId, multiaddr::Protocol};

use crate::Error;

/// Parses the full address of a peer, `/ip4/…/tcp/…/p2p/<id>`, into the peer and where to dial it.
///
/// # Errors
/// `Error::Configuration` for `option`, which says what an address looks like.
pub(crate) fn parse_peer_address(option: &'static str, text: &str) -> Result<(PeerId, Multiaddr), Error> {
    let wrong = |what: &str| Error::Configuration {
        option,
        reason: format!(
            "`{text}` {what}: write the full address that the node prints when it starts, such as \
             /ip4/10.0.0.1/tcp/4710/p2p/12D3KooW…"
        ),
    };
    let mut address: Multiaddr = text.trim().parse().map_err(|error| wrong(&format!("is not an address ({error})")))?;
    let Some(Protocol::P2p(peer)) = address.pop() else {
        return Err(wrong("does not end with /p2p/ and a peer id"));
    };
    let dialable = match address.iter().collect::<Vec<_>>()[..] {
        [ref host, Protocol::Tcp(port)] => is_host(host) && port != 0,
        [ref host, Protocol::Udp(port), Protocol::QuicV1] => is_host(host) && port != 0,
        _ => false,
    };
    if !dialable {
        return Err(wrong("cannot be dialled, it needs a host with /tcp/<port> or /udp/<port>/quic-v1"));
    }
    Ok((peer, address))
}

fn is_host(part: &Protocol<'_>) -> bool {
    match part {
        Protocol::Ip4(ip) => !ip.is_unspecified(),
        Protocol::Ip6(ip) => !ip.is_unspecified(),
        Protocol::Dns(_) | Protocol::Dns4(_) | Protocol::Dns6(_) => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn full_addresses_give_the_peer_and_where_it_is() {
        let peer = PeerId::random();
        for place in ["/ip4/10.0.0.1/tcp/4710", "/ip6/::1/udp/4710/quic-v1", "/dns/db.example/tcp/4710"] {
            let parsed = parse_peer_address("founders", &format!("{place}/p2p/{peer}")).unwrap();
            assert_eq!(parsed, (peer, place.parse().unwrap()));
        }
    }

    #[test]
    fn others_are_refused_with_the_text_and_a_model() {
        let peer = PeerId::random();
        for text in [
            String::new(),
            "10.0.0.1:4710".into(),
            "/ip4/10.0.0.1/tcp/4710".into(),
            "/ip4/10.0.0.1/tcp/4710/p2p/nobody".into(),
            format!("/p2p/{peer}"),
            format!("/ip4/10.0.0.1/p2p/{peer}"),
            format!("/ip4/0.0.0.0/tcp/4710/p2p/{peer}"),
            format!("/ip4/10.0.0.1/tcp/0/p2p/{peer}"),
            format!("/ip4/10.0.0.1/udp/4710/p2p/{peer}"),
        ] {
            let error = parse_peer_address("founders", &text).unwrap_err();
            let Error::Configuration { option: "founders", reason } = &error else { panic!("{error:?}") };
            assert!(reason.contains(&text) && reason.contains("/ip4/10.0.0.1/tcp/4710/p2p/"), "{reason}");
        }
    }
}
