//! Invites: any text; and any body, with the signature of whoever it names as signer.

use std::time::Duration;

use crate::Invite;
use crate::node::fuzz;

/// The first byte says which.
pub fn invite(data: &[u8]) {
    match data.split_first() {
        Some((0, text)) => drop(check(&String::from_utf8_lossy(text))),
        Some((_, body)) => {
            if let Some(text) = fuzz::invite_text(body) {
                check(&text);
                changed(&text, body);
            }
        }
        None => {}
    }
}

fn check(text: &str) -> bool {
    let Ok(invite) = text.parse::<Invite>() else { return false };
    assert_eq!(invite.to_string(), text.trim(), "what is accepted is written the same");
    let _ = (invite.role(), invite.expires_at(), invite.cluster(), invite.members().len());
    assert!(invite.hash().is_ok() && invite.knocker().is_ok());
    assert!(!format!("{invite:?}").contains(&text[text.len() / 2..]), "the secret is not shown");
    let (end, moment) = (invite.expires_at(), Duration::from_millis(1));
    assert!(invite.check_expiry(end).is_err() && invite.check_expiry(end + moment * 1_000_000_000).is_err());
    assert!(invite.expires_at_ms() == 0 || invite.check_expiry(end - moment).is_ok());
    true
}

/// One character changed, chosen by the body: refused, whatever it was.
fn changed(text: &str, body: &[u8]) {
    let choice = body.iter().fold(text.len(), |sum, byte| sum.wrapping_mul(31).wrapping_add(usize::from(*byte)));
    let mut bytes = text.as_bytes().to_vec();
    let at = choice % bytes.len();
    bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
    assert!(!check(&String::from_utf8_lossy(&bytes)), "{text} changed at {at}");
}
