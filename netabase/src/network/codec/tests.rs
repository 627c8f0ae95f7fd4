use super::*;

const MAX: usize = 100_000;

/// Deterministic bytes; the seed is in the panic message through the test's own asserts.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % bound
    }
}

/// Feeds `bytes` in pieces of the given sizes.
fn feed(codec: &mut PaxosCodec, mut bytes: &[u8], mut piece: impl FnMut() -> usize) -> Result<Vec<Frame>, FrameError> {
    let mut frames = Vec::new();
    loop {
        while let Some(frame) = codec.decode()? {
            frames.push(frame);
        }
        if bytes.is_empty() {
            return Ok(frames);
        }
        let room = codec.room();
        let size = piece().min(room.len()).min(bytes.len());
        assert!(size > 0, "no room");
        room[..size].copy_from_slice(&bytes[..size]);
        codec.filled(size);
        bytes = &bytes[size..];
    }
}

fn write_all(codec: &mut PaxosCodec, mut piece: impl FnMut() -> usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    while !codec.unwritten().is_empty() {
        let size = piece().min(codec.unwritten().len());
        bytes.extend_from_slice(&codec.unwritten()[..size]);
        codec.wrote(size);
    }
    bytes
}

fn header(counted: u32, kind: u8) -> Vec<u8> {
    [&counted.to_be_bytes()[..], &7_u64.to_be_bytes(), &[kind]].concat()
}

#[test]
fn frames_come_back_whatever_the_pieces() {
    for seed in 0..200 {
        let mut random = Random(seed);
        let mut codec = PaxosCodec::new(MAX);
        let mut sent = Vec::new();
        let mut bytes = Vec::new();
        for id in 0..1 + random.below(20) as u64 {
            let size = match random.below(4) {
                0 => 0,
                1 => random.below(100),
                2 => WRITE_DIRECT_BYTES - 2 + random.below(4),
                _ => random.below(MAX + 1),
            };
            let kind = if random.below(2) == 0 { Kind::Request } else { Kind::Response };
            let frame = Frame { id, kind, payload: vec![id as u8; size].into() };
            if !codec.has_room() {
                bytes.extend(write_all(&mut codec, || 1 + random.below(9000)));
            }
            codec.encode(frame.clone());
            sent.push(frame);
        }
        bytes.extend(write_all(&mut codec, || 1 + random.below(9000)));
        let mut codec = PaxosCodec::new(MAX);
        assert_eq!(feed(&mut codec, &bytes, || 1 + random.below(70_000)), Ok(sent), "seed {seed}");
        assert!(!codec.is_within_frame(), "seed {seed}");
    }
}

#[test]
fn the_bytes_of_a_frame_are_these() {
    let mut codec = PaxosCodec::new(MAX);
    codec.encode(Frame { id: 0x0102, kind: Kind::Request, payload: Bytes::from_static(b"ab") });
    codec.encode(Frame { id: 3, kind: Kind::Refused, payload: Bytes::new() });
    let bytes = write_all(&mut codec, || usize::MAX);
    assert_eq!(bytes, [0, 0, 0, 11, 0, 0, 0, 0, 0, 0, 1, 2, 1, b'a', b'b', 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0, 3, 3]);
}

#[test]
fn the_limit_is_exact_and_checked_before_anything_is_allocated() {
    let at_limit = [header((MAX + COUNTED_BYTES) as u32, KIND_REQUEST), vec![1; MAX]].concat();
    assert_eq!(feed(&mut PaxosCodec::new(MAX), &at_limit, || 1000).unwrap()[0].payload.len(), MAX);
    let cases = [
        (
            header((MAX + COUNTED_BYTES + 1) as u32, KIND_RESPONSE),
            FrameError::TooLarge { bytes: MAX + 1, bytes_max: MAX },
        ),
        (
            header(u32::MAX, KIND_REQUEST),
            FrameError::TooLarge { bytes: u32::MAX as usize - COUNTED_BYTES, bytes_max: MAX },
        ),
        (
            header((REFUSAL_BYTES_MAX + COUNTED_BYTES + 1) as u32, KIND_REFUSED),
            FrameError::TooLarge { bytes: REFUSAL_BYTES_MAX + 1, bytes_max: REFUSAL_BYTES_MAX },
        ),
        (header(8, KIND_REQUEST), FrameError::TooShort(8)),
        (header(0, KIND_REQUEST), FrameError::TooShort(0)),
        (header(9, 0), FrameError::UnknownKind(0)),
        (header(9, 4), FrameError::UnknownKind(4)),
    ];
    for (bytes, error) in cases {
        let mut codec = PaxosCodec::new(MAX);
        assert_eq!(feed(&mut codec, &bytes, || 1), Err(error));
        assert!(codec.partial.is_none());
    }
}

#[test]
fn memory_follows_what_arrived() {
    let mut codec = PaxosCodec::new(1 << 30);
    let mut bytes = header((1 << 30) - 1, KIND_REQUEST);
    bytes.extend(vec![0; 1000]);
    assert_eq!(feed(&mut codec, &bytes, || 64), Ok(Vec::new()));
    assert!(codec.is_within_frame());
    let capacity = codec.partial.as_ref().map(|partial| partial.payload.capacity());
    assert!(capacity.is_some_and(|capacity| capacity <= 2000), "{capacity:?}");
}

#[test]
fn random_bytes_are_frames_or_an_error_never_a_panic() {
    for seed in 0..2_000 {
        let mut random = Random(seed);
        let mut bytes: Vec<u8> = (0..random.below(400)).map(|_| random.below(256) as u8).collect();
        if seed % 2 == 0 {
            // Half of them with a length that passes, to get behind the header.
            let header = header(random.below(300) as u32, 1 + random.below(3) as u8);
            bytes.splice(0..0, header);
        }
        let mut codec = PaxosCodec::new(MAX);
        let total: usize = feed(&mut codec, &bytes, || 1 + random.below(50))
            .map_or(0, |frames| frames.iter().map(|frame| frame.payload.len() + HEADER_BYTES).sum());
        assert!(total <= bytes.len(), "seed {seed}");
    }
}
