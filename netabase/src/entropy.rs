//! Randomness from the operating system: for ids that must not repeat, and for jitter.

/// Random bytes; the clock and the address of a local stand in where the system has none to give.
pub(crate) fn bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    if let Err(error) = getrandom::fill(&mut bytes) {
        tracing::warn!(%error, "the system gives no randomness; ids are made from the clock");
        let mut hasher = blake3::Hasher::new_derive_key("netabase entropy v1");
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        hasher.update(&since.as_nanos().to_be_bytes());
        hasher.update(&std::process::id().to_be_bytes());
        hasher.update(format!("{:?}{:p}", std::thread::current().id(), &raw const bytes).as_bytes());
        hasher.finalize_xof().fill(&mut bytes);
    }
    bytes
}

/// Random bytes that nobody may guess; `None` where the system has none to give.
pub(crate) fn secret<const N: usize>() -> Option<[u8; N]> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).ok().map(|()| bytes)
}

/// A random number from 0 to 1.
#[allow(clippy::cast_precision_loss, reason = "a jitter needs no 64 bits")]
pub(crate) fn fraction() -> f64 {
    u64::from_be_bytes(bytes()) as f64 / u64::MAX as f64
}
