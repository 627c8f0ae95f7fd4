//! `PaxosCodec`: bytes of one substream to frames and back, without any I/O.
//!
//! What must hold: nothing that a peer sends panics; an announced length over the limit is an error
//! before anything is allocated for it; memory follows what has arrived, not what was announced.

use bytes::Bytes;

use super::{
    limits::{READ_BUFFER_BYTES, WRITE_BUFFER_BYTES, WRITE_DIRECT_BYTES},
    protocol::{COUNTED_BYTES, HEADER_BYTES, KIND_REFUSED, KIND_REQUEST, KIND_RESPONSE, REFUSAL_BYTES_MAX},
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Request,
    Response,
    /// The payload says why, in at most `REFUSAL_BYTES_MAX` bytes.
    Refused,
}

impl Kind {
    fn of_byte(byte: u8) -> Result<Kind, FrameError> {
        match byte {
            KIND_REQUEST => Ok(Kind::Request),
            KIND_RESPONSE => Ok(Kind::Response),
            KIND_REFUSED => Ok(Kind::Refused),
            other => Err(FrameError::UnknownKind(other)),
        }
    }

    fn byte(self) -> u8 {
        match self {
            Kind::Request => KIND_REQUEST,
            Kind::Response => KIND_RESPONSE,
            Kind::Refused => KIND_REFUSED,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Frame {
    pub(super) id: u64,
    pub(super) kind: Kind,
    pub(super) payload: Bytes,
}

/// The peer does not follow the protocol: its connection is closed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum FrameError {
    #[error("a frame of {bytes} payload bytes was announced, the limit is {bytes_max}")]
    TooLarge { bytes: usize, bytes_max: usize },
    #[error("a frame announced {0} bytes, less than its header")]
    TooShort(usize),
    #[error("a frame of the unknown kind {0}")]
    UnknownKind(u8),
    #[error("a {0:?} frame where none may come")]
    Misplaced(Kind),
    #[error("the stream ended within a frame")]
    Truncated,
}

/// A frame of which a part has arrived.
#[derive(Debug)]
struct Partial {
    id: u64,
    kind: Kind,
    payload: Vec<u8>,
    payload_bytes: usize,
}

/// Reads and writes the frames of one substream.
#[derive(Debug)]
pub(super) struct PaxosCodec {
    payload_bytes_max: usize,
    /// `start..end` holds what was read and not yet decoded: a part of a header at most, between calls.
    input: Box<[u8]>,
    start: usize,
    end: usize,
    partial: Option<Partial>,
    /// Frames to write, of which `written` bytes are; then `direct`, a payload too large to copy here.
    output: Vec<u8>,
    written: usize,
    direct: Bytes,
}

impl PaxosCodec {
    pub(super) fn new(payload_bytes_max: usize) -> Self {
        PaxosCodec {
            payload_bytes_max,
            input: vec![0; READ_BUFFER_BYTES].into_boxed_slice(),
            start: 0,
            end: 0,
            partial: None,
            output: Vec::new(),
            written: 0,
            direct: Bytes::new(),
        }
    }

    /// Where to read into; never empty after `decode` returned `None`.
    pub(super) fn room(&mut self) -> &mut [u8] {
        self.input.copy_within(self.start..self.end, 0);
        self.end -= self.start;
        self.start = 0;
        &mut self.input[self.end..]
    }

    /// `bytes` were read into `room`.
    pub(super) fn filled(&mut self, bytes: usize) {
        self.end = (self.end + bytes).min(self.input.len());
    }

    /// The next whole frame, if it has arrived. After an error the substream is of no use.
    pub(super) fn decode(&mut self) -> Result<Option<Frame>, FrameError> {
        let mut partial = match self.partial.take() {
            Some(partial) => partial,
            None => match self.decode_header()? {
                Some(partial) => partial,
                None => return Ok(None),
            },
        };
        let missing = partial.payload_bytes - partial.payload.len();
        let arrived = missing.min(self.end - self.start);
        // Doubles as it grows, but never beyond what was announced.
        if partial.payload.capacity() - partial.payload.len() < arrived {
            let more = arrived.max(partial.payload.len()).min(missing);
            partial.payload.reserve_exact(more);
        }
        partial.payload.extend_from_slice(&self.input[self.start..self.start + arrived]);
        self.start += arrived;
        if arrived < missing {
            self.partial = Some(partial);
            return Ok(None);
        }
        let Partial { id, kind, payload, .. } = partial;
        Ok(Some(Frame { id, kind, payload: payload.into() }))
    }

    fn decode_header(&mut self) -> Result<Option<Partial>, FrameError> {
        let Some((header, _)) = self.input[self.start..self.end].split_first_chunk::<HEADER_BYTES>() else {
            return Ok(None);
        };
        let [l0, l1, l2, l3, id @ .., kind] = *header;
        let counted = u32::from_be_bytes([l0, l1, l2, l3]) as usize;
        let kind = Kind::of_byte(kind)?;
        let bytes = counted.checked_sub(COUNTED_BYTES).ok_or(FrameError::TooShort(counted))?;
        let bytes_max = match kind {
            Kind::Request | Kind::Response => self.payload_bytes_max,
            Kind::Refused => REFUSAL_BYTES_MAX,
        };
        if bytes > bytes_max {
            return Err(FrameError::TooLarge { bytes, bytes_max });
        }
        self.start += HEADER_BYTES;
        Ok(Some(Partial { id: u64::from_be_bytes(id), kind, payload: Vec::new(), payload_bytes: bytes }))
    }

    /// Whether a part of a frame has arrived, so that the stream may not end here.
    pub(super) fn is_within_frame(&self) -> bool {
        self.partial.is_some() || self.start < self.end
    }

    /// Whether another frame may be encoded before more is written.
    pub(super) fn has_room(&self) -> bool {
        self.direct.is_empty() && self.output.len() < WRITE_BUFFER_BYTES
    }

    /// Adds a frame to what is to be written. The caller has checked `has_room` and the payload's size.
    pub(super) fn encode(&mut self, frame: Frame) {
        debug_assert!(self.direct.is_empty(), "a direct payload comes last");
        let Frame { id, kind, payload } = frame;
        debug_assert!(payload.len() <= self.payload_bytes_max.max(REFUSAL_BYTES_MAX), "the sender checks the limit");
        let counted = (payload.len() + COUNTED_BYTES) as u32;
        self.output.extend_from_slice(&counted.to_be_bytes());
        self.output.extend_from_slice(&id.to_be_bytes());
        self.output.push(kind.byte());
        if payload.len() < WRITE_DIRECT_BYTES {
            self.output.extend_from_slice(&payload);
        } else {
            self.direct = payload;
        }
    }

    /// What to write next; empty when all is written.
    pub(super) fn unwritten(&self) -> &[u8] {
        if self.written < self.output.len() { &self.output[self.written..] } else { &self.direct }
    }

    /// The first `bytes` of `unwritten` are written.
    pub(super) fn wrote(&mut self, bytes: usize) {
        if self.written < self.output.len() {
            self.written += bytes;
            if self.written >= self.output.len() && self.direct.is_empty() {
                self.restart_output();
            }
        } else {
            self.direct = self.direct.slice(bytes.min(self.direct.len())..);
            if self.direct.is_empty() {
                self.restart_output();
            }
        }
    }

    fn restart_output(&mut self) {
        self.output.clear();
        self.written = 0;
    }
}

#[cfg(test)]
mod tests;
