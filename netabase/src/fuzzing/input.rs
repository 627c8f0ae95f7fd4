//! Bytes as a source of choices: what a target does next, with which values. Beyond the end there are zeros, so that every
//! input means something.

/// Short texts that are each other's prefixes and neighbours, with the bytes that escaping gets wrong.
const TEXTS: [&str; 14] =
    ["", "a", "a\0", "a\0\0", "a\0b", "a\u{1}", "ab", "b", "\0", "\0\u{ff}", "\u{ff}", "é", "zz", "\u{10ffff}"];

/// What is left of the bytes.
#[derive(Debug)]
pub(super) struct Input<'d> {
    rest: &'d [u8],
}

impl<'d> Input<'d> {
    pub(super) fn new(data: &'d [u8]) -> Self {
        Input { rest: data }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub(super) fn rest(self) -> &'d [u8] {
        self.rest
    }

    pub(super) fn byte(&mut self) -> u8 {
        let [byte] = self.array();
        byte
    }

    pub(super) fn array<const N: usize>(&mut self) -> [u8; N] {
        let mut array = [0; N];
        let taken = self.bytes(N);
        array[..taken.len()].copy_from_slice(taken);
        array
    }

    /// So many, or as many as there are.
    pub(super) fn bytes(&mut self, count: usize) -> &'d [u8] {
        let (taken, rest) = self.rest.split_at(count.min(self.rest.len()));
        self.rest = rest;
        taken
    }

    /// A few bytes, behind their number.
    pub(super) fn block(&mut self) -> &'d [u8] {
        let count = self.byte();
        self.bytes(usize::from(count))
    }

    pub(super) fn number(&mut self) -> u64 {
        u64::from_be_bytes(self.array())
    }

    /// Below the bound, which is no more than 65,536.
    pub(super) fn below(&mut self, bound: usize) -> usize {
        usize::from(u16::from_be_bytes(self.array())) % bound.max(1)
    }

    pub(super) fn flag(&mut self) -> bool {
        self.byte() & 1 == 1
    }

    /// Mostly one of a few, so that what is written under one is met again.
    pub(super) fn text(&mut self) -> String {
        let choice = usize::from(self.byte());
        match TEXTS.get(choice % (TEXTS.len() + 2)) {
            Some(text) => (*text).to_owned(),
            None => String::from_utf8_lossy(self.block()).into_owned(),
        }
    }

    pub(super) fn optional<T>(&mut self, make: impl FnOnce(&mut Self) -> T) -> Option<T> {
        self.flag().then(|| make(self))
    }
}
