//! The header of a zstd frame (RFC 8878, section 3.1.1): how much memory the frame asks for, before it is
//! given any.

/// What starts here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Frame {
    /// Compressed data.
    Data {
        /// Bytes of history that the decoder must keep.
        window: u64,
        /// Bytes of content, if the frame says so.
        content: Option<u64>,
    },
    /// User data to hop over.
    Skippable {
        /// Bytes of the whole frame.
        len: usize,
    },
}

const DATA_MAGIC: u32 = 0xFD2F_B528;
const SKIPPABLE_MAGIC: u32 = 0x184D_2A50;

/// Reads the header; `None` when this is not a frame.
pub(super) fn peek(input: &[u8]) -> Option<Frame> {
    let magic = u32::try_from(little_endian(input, 0, 4)?).ok()?;
    if magic & 0xFFFF_FFF0 == SKIPPABLE_MAGIC {
        let len = usize::try_from(little_endian(input, 4, 4)?).ok()?;
        return Some(Frame::Skippable {
            len: len.checked_add(8)?,
        });
    }
    if magic != DATA_MAGIC {
        return None;
    }
    let descriptor = *input.get(4)?;
    let single_segment = descriptor & 0x20 != 0;
    let mut at = 5;
    let mut window = 0;
    if !single_segment {
        let byte = u64::from(*input.get(at)?);
        let base = 1_u64 << (10 + (byte >> 3));
        window = base + base / 8 * (byte & 7);
        at += 1;
    }
    at += [0, 1, 2, 4][usize::from(descriptor & 3)];
    let content = match descriptor >> 6 {
        0 if single_segment => Some(little_endian(input, at, 1)?),
        0 => None,
        1 => Some(little_endian(input, at, 2)? + 256),
        2 => Some(little_endian(input, at, 4)?),
        _ => Some(little_endian(input, at, 8)?),
    };
    if let (true, Some(content)) = (single_segment, content) {
        window = content;
    }
    Some(Frame::Data { window, content })
}

fn little_endian(input: &[u8], at: usize, len: usize) -> Option<u64> {
    let bytes = input.get(at..at.checked_add(len)?)?;
    Some(
        bytes
            .iter()
            .rev()
            .fold(0, |value, byte| value << 8 | u64::from(*byte)),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn header_of_a_one_shot_frame_tells_its_content() {
        let body = vec![7; 300_000];
        let packed = zstd::bulk::compress(&body, 3).unwrap();
        let Some(Frame::Data { window, content }) = peek(&packed) else {
            panic!("no frame")
        };
        assert_eq!(content, Some(300_000));
        assert!(window >= 300_000, "{window}");
    }

    #[test]
    fn header_of_a_streamed_frame_tells_its_window() {
        let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 3).unwrap();
        std::io::Write::write_all(&mut encoder, &vec![1; 5 << 20]).unwrap();
        let packed = encoder.finish().unwrap();
        assert_eq!(
            peek(&packed),
            Some(Frame::Data {
                window: 2 << 20,
                content: None
            })
        );
    }

    #[test]
    fn skippable_frames_are_measured() {
        assert_eq!(
            peek(&[0x53, 0x2A, 0x4D, 0x18, 3, 0, 0, 0, 9, 9, 9]),
            Some(Frame::Skippable { len: 11 })
        );
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_no_panic(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..24)) {
            let mut input = DATA_MAGIC.to_le_bytes().to_vec();
            input.extend(&bytes);
            let _ = peek(&input);
            let _ = peek(&bytes);
        }
    }
}
