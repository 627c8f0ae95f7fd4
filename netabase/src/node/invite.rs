//! The invite: one line of text that lets a stranger become a member or a client (DESIGN, "Who is let in").
//!
//! ```text
//! netabase-invite- base64url( version | length of it all | body | signature of the inviter over all before )
//! ```
//!
//! Must hold: whoever holds the text holds the secret, so `Debug` shows neither, and the log only ever sees the public key
//! that belongs to it; a text with any character changed is refused; a clock decides at the doors, where an invite is presented and
//! where it is honoured, never in `apply`. Made by a member, parsed by whoever joins or connects.

use std::fmt;
use std::str::FromStr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use data_encoding::{BASE64URL_NOPAD, DecodeKind};
use libp2p::identity::{PublicKey, ed25519};
use libp2p::{Multiaddr, PeerId};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::role::Role;
use crate::clock;
use crate::command::InviteHash;
use crate::consensus::ClusterId;
use crate::entropy;
use crate::error::{Error, Result};
use crate::network::Identity;
use crate::schema::codec;

const PREFIX: &str = "netabase-invite-";
/// Raised with every change of [`Body`].
const VERSION: u8 = 1;
/// The version and the length of the whole.
const HEADER_BYTES: usize = 3;
const SIGNATURE_BYTES: usize = 64;
/// What the signature is over begins with this, so that nothing else that the key signs can be taken for an invite.
const SIGNED_AS: &[u8] = b"netabase invite v1\0";
const KEY_CONTEXT: &str = "netabase invite key v1";

/// Members that an invite names, and addresses of each: enough to find one that is up.
const MEMBERS_MAX: usize = 16;
const ADDRESSES_MAX: usize = 8;
/// A DNS name takes 253 of them.
const ADDRESS_BYTES_MAX: usize = 320;
/// The end of the year 9999, which every system's clock can show.
const EXPIRES_AT_MS_MAX: u64 = 253_402_300_799_999;
/// The longest text that is looked at; the length in the header says no more.
const TEXT_BYTES_MAX: usize = (1 << 16) * 4 / 3 + PREFIX.len() + 2;

/// What lets one stranger in, once: made by a member, handed over as one string, presented by whoever joins or connects.
///
/// The string is a secret: whoever has it can use it, until it was used, was revoked, or has expired. It is bound to the
/// first identity that uses it, which may use it again.
///
/// ```
/// use netabase::{Error, Invite};
/// let error = "netabase-invite-AQ".parse::<Invite>().expect_err("half of one");
/// assert!(matches!(error, Error::InvalidInvite { .. }));
/// assert!(error.to_string().contains("cut short"));
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Invite {
    body: Body,
    /// The whole token, as it was signed and sent.
    bytes: Vec<u8>,
}

/// What is signed, after the header.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Body {
    cluster: ClusterId,
    secret: [u8; 32],
    role: Role,
    expires_at_ms: u64,
    members: Vec<(PeerId, Vec<Multiaddr>)>,
    /// The inviter's public key, as libp2p encodes it.
    signer: Vec<u8>,
}

impl Invite {
    /// What its holder may become.
    #[must_use]
    pub fn role(&self) -> Role {
        self.body.role
    }

    /// Until when it may be used for the first time.
    #[must_use]
    pub fn expires_at(&self) -> SystemTime {
        UNIX_EPOCH + Duration::from_millis(self.body.expires_at_ms)
    }
}

impl Invite {
    /// How long an invite may be used, unless said otherwise.
    pub(crate) const LASTS: Duration = Duration::from_secs(60 * 60);

    /// A new invite, signed by `identity`. Of `members`, the first 16 are named, with 8 addresses each.
    pub(crate) fn issue(
        identity: &Identity,
        cluster: ClusterId,
        role: Role,
        members: impl IntoIterator<Item = (PeerId, Vec<Multiaddr>)>,
        now: SystemTime,
        lasts: Duration,
    ) -> Result<Self> {
        let secret = entropy::secret()
            .ok_or_else(|| invalid("none can be made: the system gives no randomness for its secret".into()))?;
        let mut members: Vec<_> = members.into_iter().take(MEMBERS_MAX).collect();
        for (_, addresses) in &mut members {
            addresses.retain(|address| address.len() <= ADDRESS_BYTES_MAX);
            addresses.truncate(ADDRESSES_MAX);
        }
        let expires_at_ms = unix_ms(now).saturating_add(u64::try_from(lasts.as_millis()).unwrap_or(u64::MAX));
        let expires_at_ms = expires_at_ms.min(EXPIRES_AT_MS_MAX);
        let signer = identity.keypair().public().encode_protobuf();
        Self::signed(identity, Body { cluster, secret, role, expires_at_ms, members, signer })
    }

    /// The same, from now on and for as long as invites last.
    pub(crate) fn issue_now(
        identity: &Identity,
        cluster: ClusterId,
        role: Role,
        members: impl IntoIterator<Item = (PeerId, Vec<Multiaddr>)>,
    ) -> Result<Self> {
        Self::issue(identity, cluster, role, members, clock::now(), Self::LASTS)
    }

    /// Refuses an invite that has expired, by this machine's clock.
    pub(crate) fn check_now(&self) -> Result<()> {
        self.check_expiry(clock::now())
    }

    fn signed(identity: &Identity, body: Body) -> Result<Self> {
        let encoded = codec::encode(&body).map_err(|error| unsigned(&error))?;
        let bytes = sign(identity, &encoded)?;
        Ok(Invite { body, bytes })
    }

    /// The text of an invite with these bytes for its body.
    #[cfg(feature = "fuzzing")]
    pub(super) fn text_of(identity: &Identity, body: &[u8]) -> Option<String> {
        let bytes = sign(identity, body).ok()?;
        Some(format!("{PREFIX}{}", BASE64URL_NOPAD.encode(&bytes)))
    }

    pub(crate) fn cluster(&self) -> ClusterId {
        self.body.cluster
    }

    /// Who knocks with it: the key of which the log knows the public half. That a connection is made with it proves that
    /// one holds the invite, so that strangers are refused right after the handshake all the same.
    pub(crate) fn knocker(&self) -> Result<Identity> {
        key_of(&self.body.secret).map(|key| Identity::from(libp2p::identity::Keypair::from(key)))
    }

    /// By what the log knows it: the public half of the key that knocks.
    pub(crate) fn hash(&self) -> Result<InviteHash> {
        key_of(&self.body.secret).map(|key| key.public().to_bytes())
    }

    pub(crate) fn expires_at_ms(&self) -> u64 {
        self.body.expires_at_ms
    }

    /// Members to turn to, and where they were when it was made.
    pub(crate) fn members(&self) -> &[(PeerId, Vec<Multiaddr>)] {
        &self.body.members
    }

    /// Refuses an invite that is no longer valid, by this machine's clock.
    pub(crate) fn check_expiry(&self, now: SystemTime) -> Result<()> {
        check_expiry(self.body.expires_at_ms, now)
    }

    /// Refuses an invite to another cluster than `ours`.
    pub(crate) fn check_cluster(&self, ours: ClusterId) -> Result<()> {
        if self.body.cluster == ours {
            return Ok(());
        }
        let theirs = self.body.cluster;
        Err(invalid(format!(
            "it is to the cluster {theirs}, and this is {ours}: ask a member of {ours} for one, or use another directory"
        )))
    }

    /// Refuses an invite that does not lead where its holder wants to go: `call` takes only `roles`.
    pub(crate) fn check_role(&self, call: &str, roles: &[Role]) -> Result<()> {
        if roles.contains(&self.body.role) {
            return Ok(());
        }
        let roles: Vec<String> = roles.iter().map(ToString::to_string).collect();
        Err(invalid(format!(
            "it is for a {}, and `{call}` takes one for a {}: ask for another one",
            self.body.role,
            roles.join(" or a ")
        )))
    }
}

/// The key that the secret stands for.
fn key_of(secret: &[u8; 32]) -> Result<ed25519::Keypair> {
    let mut seed = blake3::derive_key(KEY_CONTEXT, secret);
    let secret = ed25519::SecretKey::try_from_bytes(&mut seed).map_err(|_| invalid(CHANGED.to_owned()))?;
    Ok(ed25519::Keypair::from(secret))
}

/// Refuses what expired, by this machine's clock: for whoever presents an invite, and for the member that honours it.
pub(crate) fn check_expiry(expires_at_ms: u64, now: SystemTime) -> Result<()> {
    let now_ms = unix_ms(now);
    if now_ms < expires_at_ms {
        return Ok(());
    }
    Err(invalid(format!(
        "it expired {} ago, by the clock of this machine: ask a member for a new one, or set the clock right",
        shown(Duration::from_millis(now_ms - expires_at_ms))
    )))
}

/// For people, in one unit.
fn shown(span: Duration) -> String {
    match span.as_secs() {
        seconds @ 0..120 => format!("{seconds} s"),
        seconds @ 120..7_200 => format!("{} min", seconds / 60),
        seconds @ 7_200..172_800 => format!("{} h", seconds / 3_600),
        seconds => format!("{} days", seconds / 86_400),
    }
}

fn unix_ms(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

fn unsigned(what: &dyn fmt::Display) -> Error {
    invalid(format!("none can be made: {what}"))
}

/// The whole token of an encoded body.
fn sign(identity: &Identity, encoded: &[u8]) -> Result<Vec<u8>> {
    let length = HEADER_BYTES + encoded.len() + SIGNATURE_BYTES;
    let length = u16::try_from(length).map_err(|_| unsigned(&"the members' addresses are too long"))?;
    let mut bytes = [&[VERSION], length.to_be_bytes().as_slice(), encoded].concat();
    let signature = identity.keypair().sign(&to_sign(&bytes)).map_err(|error| unsigned(&error))?;
    bytes.extend(signature);
    Ok(bytes)
}

fn to_sign(bytes: &[u8]) -> Vec<u8> {
    [SIGNED_AS, bytes].concat()
}

fn invalid(reason: String) -> Error {
    Error::InvalidInvite { reason }
}

const CHANGED: &str = "it was changed on the way: copy the whole line again, or ask for a new one";
const CUT_SHORT: &str = "it was cut short: copy the whole line";

impl FromStr for Invite {
    type Err = Error;

    /// Reads an invite, and checks that it is as it was signed; not whether it has expired. Blanks around it are ignored.
    fn from_str(text: &str) -> Result<Self> {
        let text = text.trim();
        let token = text.strip_prefix(PREFIX).filter(|_| text.len() <= TEXT_BYTES_MAX).ok_or_else(|| {
            invalid(format!("it is not an invite, which is one line that begins with `{PREFIX}`: copy it whole"))
        })?;
        let bytes = BASE64URL_NOPAD.decode(token.as_bytes()).map_err(|error| match error.kind {
            DecodeKind::Length | DecodeKind::Trailing => invalid(CUT_SHORT.into()),
            DecodeKind::Symbol | DecodeKind::Padding => invalid(CHANGED.into()),
        })?;
        let [version, length @ ..] = bytes.first_chunk::<HEADER_BYTES>().ok_or_else(|| invalid(CUT_SHORT.into()))?;
        if *version != VERSION {
            return Err(invalid(format!(
                "it has the format {version}, and this program reads {VERSION}: use the version of Netabase that made it"
            )));
        }
        let length = usize::from(u16::from_be_bytes(*length));
        if bytes.len() < length {
            return Err(invalid(CUT_SHORT.into()));
        }
        if bytes.len() > length || length < HEADER_BYTES + SIGNATURE_BYTES {
            return Err(invalid(CHANGED.into()));
        }
        let (signed, signature) = bytes.split_at(length - SIGNATURE_BYTES);
        let body = codec::decode::<Body>(&signed[HEADER_BYTES..])
            .ok()
            .filter(|body| {
                PublicKey::try_decode_protobuf(&body.signer).is_ok_and(|key| key.verify(&to_sign(signed), signature))
            })
            .ok_or_else(|| invalid(CHANGED.into()))?;
        let bounded = body.expires_at_ms <= EXPIRES_AT_MS_MAX
            && body.members.len() <= MEMBERS_MAX
            && body.members.iter().all(|(_, addresses)| {
                addresses.len() <= ADDRESSES_MAX && addresses.iter().all(|address| address.len() <= ADDRESS_BYTES_MAX)
            });
        if !bounded {
            return Err(invalid(
                "it names more members, more addresses or a later end than one may: ask for another one".into(),
            ));
        }
        Ok(Invite { body, bytes })
    }
}

impl fmt::Display for Invite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(PREFIX)?;
        BASE64URL_NOPAD.encode_display(&self.bytes).fmt(f)
    }
}

/// Without the secret, or the text, which holds it.
impl fmt::Debug for Invite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Invite")
            .field("cluster", &self.body.cluster)
            .field("role", &self.body.role)
            .field("expires_at", &self.expires_at())
            .field("members", &self.body.members)
            .finish_non_exhaustive()
    }
}

/// As its text, in every format.
impl Serialize for Invite {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Invite {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests;
