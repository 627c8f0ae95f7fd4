//! The frame codec for `crate::fuzzing`: any bytes in any pieces.

use bytes::Bytes;

use super::codec::{Frame, FrameError, Kind, PaxosCodec};
use super::protocol::HEADER_BYTES;

const PAYLOAD_BYTES_MAX: usize = 4_096;

/// What arrives, in pieces of these sizes in turn, is frames or an error; the same whatever the pieces, and the frames are
/// written as they were read.
pub(crate) fn frames(bytes: &[u8], pieces: [u8; 4]) {
    let (frames, error) = read(bytes, pieces);
    let (whole, of_whole) = read(bytes, [u8::MAX; 4]);
    assert_eq!(frames, whole);
    assert_eq!(error, of_whole);
    let read_bytes: usize = frames.iter().map(|frame| HEADER_BYTES + frame.payload.len()).sum();
    assert!(read_bytes <= bytes.len());
    let mut codec = PaxosCodec::new(PAYLOAD_BYTES_MAX);
    let mut written = Vec::new();
    for frame in frames {
        if !codec.has_room() {
            write(&mut codec, &mut written);
        }
        codec.encode(frame);
    }
    write(&mut codec, &mut written);
    assert_eq!(written, bytes[..read_bytes]);
}

fn read(mut bytes: &[u8], pieces: [u8; 4]) -> (Vec<Frame>, Option<FrameError>) {
    let mut codec = PaxosCodec::new(PAYLOAD_BYTES_MAX);
    let mut frames = Vec::new();
    let mut pieces = pieces.into_iter().cycle().map(|piece| usize::from(piece) + 1);
    loop {
        loop {
            match codec.decode() {
                Ok(Some(frame)) => frames.push(frame),
                Ok(None) => break,
                Err(error) => return (frames, Some(error)),
            }
        }
        if bytes.is_empty() {
            return (frames, None);
        }
        let room = codec.room();
        assert!(!room.is_empty(), "there is always room after all was decoded");
        let piece = pieces.next().unwrap_or(1).min(room.len()).min(bytes.len());
        let (now, later) = bytes.split_at(piece);
        room[..piece].copy_from_slice(now);
        codec.filled(piece);
        bytes = later;
    }
}

fn write(codec: &mut PaxosCodec, out: &mut Vec<u8>) {
    while !codec.unwritten().is_empty() {
        let piece = codec.unwritten().len().min(1_000);
        out.extend_from_slice(&codec.unwritten()[..piece]);
        codec.wrote(piece);
    }
}

/// A few frames, for a seed.
pub(crate) fn seed() -> Vec<u8> {
    let mut codec = PaxosCodec::new(PAYLOAD_BYTES_MAX);
    for (id, kind, payload) in [(1, Kind::Request, "abc"), (2, Kind::Response, ""), (3, Kind::Refused, "no")] {
        codec.encode(Frame { id, kind, payload: Bytes::from_static(payload.as_bytes()) });
    }
    let mut bytes = Vec::new();
    write(&mut codec, &mut bytes);
    bytes
}
