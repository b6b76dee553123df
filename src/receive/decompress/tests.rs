//! Every coding under the same caps.

use super::*;
use crate::config::ReceiverLimits;
use crate::receive::Admission;
use proptest::prelude::*;
use std::io::Write;

const CAPS: Caps = Caps {
    limit: 4 << 20,
    ratio: 100,
};

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zlib(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zstd_whole(bytes: &[u8]) -> Vec<u8> {
    ::zstd::bulk::compress(bytes, 3).unwrap()
}

fn zstd_stream(bytes: &[u8]) -> Vec<u8> {
    ::zstd::encode_all(bytes, 3).unwrap()
}

fn snappy_block(bytes: &[u8]) -> Vec<u8> {
    snap::raw::Encoder::new().compress_vec(bytes).unwrap()
}

fn snappy_framed(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = snap::write::FrameEncoder::new(Vec::new());
    encoder.write_all(bytes).unwrap();
    encoder.into_inner().unwrap()
}

fn lz4_with(info: lz4_flex::frame::FrameInfo, bytes: &[u8]) -> Vec<u8> {
    let mut encoder = lz4_flex::frame::FrameEncoder::with_frame_info(info, Vec::new());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn lz4(bytes: &[u8]) -> Vec<u8> {
    lz4_with(lz4_flex::frame::FrameInfo::new(), bytes)
}

fn lz4_linked(bytes: &[u8]) -> Vec<u8> {
    let info = lz4_flex::frame::FrameInfo::new()
        .block_mode(lz4_flex::frame::BlockMode::Linked)
        .block_size(lz4_flex::frame::BlockSize::Max64KB)
        .block_checksums(true)
        .content_checksum(true)
        .content_size(Some(bytes.len() as u64));
    lz4_with(info, bytes)
}

type Pack = fn(&[u8]) -> Vec<u8>;

/// How a body can be packed.
const PACKS: [(&str, Coding, Pack); 8] = [
    ("gzip", Coding::Gzip, gzip),
    ("zlib", Coding::Zlib, zlib),
    ("zstd", Coding::Zstd, zstd_whole),
    ("zstd stream", Coding::Zstd, zstd_stream),
    ("snappy block", Coding::Snappy, snappy_block),
    ("snappy framed", Coding::SnappyFramed, snappy_framed),
    ("lz4", Coding::Lz4, lz4),
    ("lz4 linked", Coding::Lz4, lz4_linked),
];

fn run(coding: Coding, body: Vec<u8>, caps: Caps) -> (Result<Bytes, Failure>, u64) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    runtime.block_on(async {
        let mut ticket = Admission::new(&ReceiverLimits::default()).open();
        let result = decompress(coding, body.into(), caps, &mut ticket).await;
        (result, ticket.charged())
    })
}

#[test]
fn every_byte_of_output_is_charged() {
    let mut state = 1_u32;
    let next = |_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 28) as u8
    };
    let body: Vec<u8> = (0..3_000_000).map(next).collect();
    for (name, coding, pack) in PACKS {
        let (result, charged) = run(coding, pack(&body), CAPS);
        assert!(result.unwrap() == body, "{name}");
        assert!(charged >= body.len() as u64, "{name}: {charged}");
    }
}

#[test]
fn bombs_are_charged_little_more_than_their_ceiling() {
    let zeros = vec![0; 16 << 20];
    for (name, coding, pack) in PACKS {
        let packed = pack(&zeros);
        let ceiling = CAPS.ceiling(packed.len()) as u64;
        let (result, charged) = run(coding, packed, CAPS);
        assert!(matches!(result, Err(Failure::TooLarge(_))), "{name}: {result:?}");
        // zstd's window comes on top.
        assert!(
            charged <= ceiling + (8 << 20) + 1,
            "{name}: {charged} of {ceiling}"
        );
    }
}

#[test]
fn a_size_that_a_trailer_or_header_tells_is_the_size_of_the_buffer() {
    let body = b"tell me how large you are".repeat(20_000);
    for (name, coding, packed) in [
        ("gzip", Coding::Gzip, gzip(&body)),
        ("zstd", Coding::Zstd, zstd_whole(&body)),
        ("snappy block", Coding::Snappy, snappy_block(&body)),
    ] {
        let (result, charged) = run(coding, packed, CAPS);
        assert!(result.unwrap() == body, "{name}");
        assert!(charged <= body.len() as u64 + 1, "{name}: {charged}");
    }
}

#[test]
fn a_buffer_is_hardly_larger_than_its_body_whatever_was_told() {
    let body = b"and again and again".repeat(30_000);
    let members = [gzip(&body), gzip(&body), gzip(b"and the last is short")].concat();
    let packs = PACKS.map(|(name, coding, pack)| (name, coding, pack(&body)));
    for (name, coding, packed) in packs.into_iter().chain([("members", Coding::Gzip, members)]) {
        let unfolded = run(coding, packed, CAPS).0.unwrap();
        let len = unfolded.len();
        // Nobody else has it, so that this is the allocation itself.
        let whole = Vec::from(unfolded).capacity();
        assert!(whole - len <= len / 8, "{name}: {whole} for {len}");
    }
}

#[test]
fn a_gzip_trailer_that_lies_is_malformed_and_charged_no_more_than_a_bomb() {
    let body = vec![b'x'; 300_000];
    for told in [0, 1, 299_999, 300_001, u32::MAX] {
        let mut packed = gzip(&body);
        let at = packed.len() - 4;
        packed[at..].copy_from_slice(&told.to_le_bytes());
        let ceiling = CAPS.ceiling(packed.len()) as u64;
        let (result, charged) = run(Coding::Gzip, packed, CAPS);
        assert!(matches!(result, Err(Failure::Malformed(_))), "{told}: {result:?}");
        assert!(charged <= ceiling + 1, "{told}: {charged} of {ceiling}");
    }
}

#[test]
fn what_is_no_gzip_or_would_be_too_large_is_not_believed_about_its_size() {
    let mut beyond = gzip(b"hello");
    let at = beyond.len() - 4;
    beyond[at..].copy_from_slice(&u32::MAX.to_le_bytes());
    for body in [b"no gzip".to_vec(), beyond] {
        let (result, charged) = run(Coding::Gzip, body, CAPS);
        assert!(matches!(result, Err(Failure::Malformed(_))), "{result:?}");
        assert!(
            charged <= 1024,
            "{charged}: a wrong body must not hear that memory is short"
        );
    }
}

#[test]
fn the_limit_is_exact() {
    let caps = Caps {
        limit: 1000,
        ratio: 100,
    };
    for len in [999, 1000, 1001] {
        let body = vec![b'x'; len];
        for (name, coding, pack) in PACKS {
            let (result, _) = run(coding, pack(&body), caps);
            assert_eq!(result.is_ok(), len <= 1000, "{name} {len}");
        }
    }
}

#[test]
fn frames_and_members_in_a_row_are_one_body() {
    let skippable = [0x50, 0x2A, 0x4D, 0x18, 2, 0, 0, 0, 1, 2];
    let (one, two) = (zstd_whole(b"one"), zstd_stream(b"two"));
    let (result, _) = run(Coding::Zstd, [&one[..], &skippable, &two, &one].concat(), CAPS);
    assert_eq!(result.unwrap(), "onetwoone");
    let members = [gzip(b"one"), gzip(b""), gzip(b"two")].concat();
    assert_eq!(run(Coding::Gzip, members, CAPS).0.unwrap(), "onetwo");
    let frames = [lz4(b"one"), skippable.to_vec(), lz4_linked(b"two")].concat();
    assert_eq!(run(Coding::Lz4, frames, CAPS).0.unwrap(), "onetwo");
    // The header may come again.
    let streams = [snappy_framed(b"one"), snappy_framed(b"two")].concat();
    assert_eq!(run(Coding::Snappy, streams, CAPS).0.unwrap(), "onetwo");
}

#[test]
fn snappy_is_known_by_its_first_bytes() {
    for pack in [snappy_block, snappy_framed] {
        let (result, _) = run(Coding::Snappy, pack(b"hello"), CAPS);
        assert_eq!(result.unwrap(), "hello");
    }
    let (block_as_frames, _) = run(Coding::SnappyFramed, snappy_block(b"hello"), CAPS);
    assert!(matches!(block_as_frames, Err(Failure::Malformed(_))));
}

#[test]
fn a_length_that_lies_is_refused_before_anything_is_allocated() {
    // Snappy: four gigabytes, and no data. LZ4: a frame of a terabyte.
    let mut frame = lz4_with(lz4_flex::frame::FrameInfo::new().content_size(Some(5)), b"hello");
    frame[6..14].copy_from_slice(&(1_u64 << 40).to_le_bytes());
    let check = twox_hash::XxHash32::oneshot(0, &frame[4..14]);
    frame[14] = check.to_le_bytes()[1];
    for (coding, body) in [
        (Coding::Snappy, vec![0xFF, 0xFF, 0xFF, 0xFF, 0x0F, 0]),
        (Coding::Lz4, frame),
    ] {
        let (result, charged) = run(coding, body, CAPS);
        assert!(
            matches!(result, Err(Failure::TooLarge(_))),
            "{coding:?}: {result:?}"
        );
        assert_eq!(charged, 0, "{coding:?}");
    }
    let (result, _) = run(Coding::Snappy, vec![100, 0], CAPS);
    assert!(matches!(result, Err(Failure::Malformed(_))), "{result:?}");
}

#[test]
fn what_follows_the_end_is_refused() {
    for (name, coding, pack) in PACKS {
        let (result, _) = run(coding, [pack(b"hello"), b"more".to_vec()].concat(), CAPS);
        assert!(result.is_err(), "{name}: {result:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn bodies_survive_their_coding(body in proptest::collection::vec(0_u8..4, 0..5000)) {
        for (name, coding, pack) in PACKS {
            let packed = pack(&body);
            let (result, _) = run(coding, packed.clone(), CAPS);
            prop_assert_eq!(&result.unwrap()[..], &body[..]);
            // Cut short it is malformed, never a shorter body; nothing at all is an empty one.
            if packed.len() > 1 {
                let (cut, _) = run(coding, packed[..packed.len() - 1].to_vec(), CAPS);
                prop_assert!(matches!(cut, Err(Failure::Malformed(_))), "{}: {:?}", name, cut);
            }
        }
    }

    #[test]
    fn noise_is_refused_or_unfolded_within_the_limit(
        noise in proptest::collection::vec(any::<u8>(), 1..300),
        at in 0_usize..300,
    ) {
        let caps = Caps { limit: 10_000, ratio: 100 };
        for (_, coding, pack) in PACKS {
            let mut damaged = pack(&[7; 9000]);
            let len = damaged.len();
            damaged[at % len] ^= noise[0];
            for body in [noise.clone(), damaged] {
                if let (Ok(body), _) = run(coding, body, caps) {
                    prop_assert!(body.len() <= 10_000);
                }
            }
        }
    }
}
