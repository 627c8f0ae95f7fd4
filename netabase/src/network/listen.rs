//! What may be listened on, and clear words where it cannot be.

use std::{
    error::Error as StdError,
    io,
    net::{IpAddr, SocketAddr, TcpListener, UdpSocket},
};

use libp2p::{Multiaddr, multiaddr::Protocol};

use crate::Error;

/// Fails if the address is malformed or its port is in use.
///
/// libp2p lets two TCP listeners share a port (`SO_REUSEPORT`), so that a second node started by mistake
/// would take half of the first one's connections, and neither would notice. This bind does not share.
pub(super) fn probe(address: &Multiaddr) -> Result<(), Error> {
    let bound = match socket(address)? {
        Socket::Tcp(at) => TcpListener::bind(at).map(drop),
        Socket::Quic(at) => UdpSocket::bind(at).map(drop),
    };
    bound.map_err(|error| failed(address, &error))
}

enum Socket {
    Tcp(SocketAddr),
    Quic(SocketAddr),
}

fn socket(address: &Multiaddr) -> Result<Socket, Error> {
    let mut parts = address.iter();
    let ip: Option<IpAddr> = match parts.next() {
        Some(Protocol::Ip4(ip)) => Some(ip.into()),
        Some(Protocol::Ip6(ip)) => Some(ip.into()),
        _ => None,
    };
    match (ip, parts.next(), parts.next(), parts.next()) {
        (Some(ip), Some(Protocol::Tcp(port)), None, None) => Ok(Socket::Tcp((ip, port).into())),
        (Some(ip), Some(Protocol::Udp(port)), Some(Protocol::QuicV1), None) => Ok(Socket::Quic((ip, port).into())),
        _ => Err(unusable(format!(
            "{address} cannot be listened on: write /ip4/<address>/tcp/<port> or /ip4/<address>/udp/<port>/quic-v1 \
             (or /ip6), with port 0 for any free one"
        ))),
    }
}

/// Names the address, the cause and the way out.
pub(super) fn failed(address: &Multiaddr, error: &(dyn StdError + 'static)) -> Error {
    let mut cause = Some(error);
    let kind = std::iter::from_fn(|| {
        let error = cause?;
        cause = error.source();
        Some(error)
    })
    .find_map(|error| error.downcast_ref::<io::Error>())
    .map(io::Error::kind);
    unusable(match kind {
        Some(io::ErrorKind::AddrInUse) => format!(
            "{address} is in use by another program or another node: stop that one, or listen on another port \
             (0 for any free one)"
        ),
        Some(io::ErrorKind::AddrNotAvailable) => format!(
            "{address} is not an address of this machine: listen on one of its own, or on all of them with 0.0.0.0"
        ),
        Some(io::ErrorKind::PermissionDenied) => {
            format!("{address} may not be used by this user: listen on a port above 1023")
        }
        _ => format!("{address} cannot be listened on: {error}"),
    })
}

fn unusable(reason: String) -> Error {
    Error::Configuration { option: "listen", reason }
}
