//! Values to offer to a `Deserialize` that one traces through.
//!
//! Most types take the first sample. One that checks what it reads (an e-mail address, a port, a range) refuses some:
//! the walk then offers the next round at that place, and gives up after `ROUNDS`.

/// How many samples a place is offered before it counts as out of sight.
pub(super) const ROUNDS: usize = 16;

const TEXTS: [&str; ROUNDS] = [
    "a",
    "1",
    "",
    "a@example.org",
    "http://example.org/",
    "127.0.0.1",
    "127.0.0.1:80",
    "::1",
    "2000-01-01T00:00:00Z",
    "2000-01-01",
    "00:00:00",
    "00000000-0000-4000-8000-000000000001",
    "example.org",
    "1.0.0",
    "en",
    "A1",
];

const NUMBERS: [u8; 6] = [1, 0, 2, 10, 100, 127];

const LENGTHS: [usize; ROUNDS] = [16, 0, 4, 20, 32, 64, 12, 24, 8, 1, 2, 3, 6, 33, 48, 96];

static BYTES: [u8; 96] = [1; 96];

pub(super) fn text(round: usize) -> &'static str {
    TEXTS[round % ROUNDS]
}

pub(super) fn bytes(round: usize) -> &'static [u8] {
    &BYTES[..LENGTHS[round % ROUNDS]]
}

/// Fits every number type. Later rounds grow with the position among its siblings, for types that want an order.
pub(super) fn number(round: usize, position: u32) -> u8 {
    match NUMBERS.get(round) {
        Some(&number) => number,
        None => ((round - NUMBERS.len()) as u32 + position).min(i8::MAX as u32) as u8,
    }
}

/// How many elements a sequence or map has. The first of them is what one wants to see.
pub(super) fn length(round: usize) -> usize {
    [1, 2, 0, 3][round % 4]
}
