//! gRPC's length-prefixed message: one flag byte, four bytes of length, the message.

use crate::receive::admission::Ticket;
use crate::receive::body::{BoxError, Paced};
use crate::receive::failure::Failure;
use bytes::{Buf, Bytes, BytesMut};
use http_body::Body;

/// Flag and length.
const PREFIX_BYTES: usize = 5;

/// The one message of a unary request.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Message {
    /// Whether `bytes` are compressed.
    pub(super) compressed: bool,
    /// The message.
    pub(super) bytes: Bytes,
}

/// Reads the one message of `body`. Its length is checked and charged before any of it is stored; a message
/// that came in one piece is not copied.
pub(super) async fn gather<B>(
    body: &mut Paced<B>,
    limit: usize,
    ticket: &mut Ticket,
) -> Result<Message, Failure>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    let (prefix, first) = prefix(body).await?;
    let compressed = match prefix[0] {
        0 => false,
        1 => true,
        flag => {
            return Err(Failure::Malformed(
                format!("gRPC frame flag of {flag}; 0 or 1 is valid").into(),
            ));
        }
    };
    let len = u32::from_be_bytes([prefix[1], prefix[2], prefix[3], prefix[4]]) as usize;
    if len > limit {
        return Err(Failure::TooLarge(
            format!("message of {len} bytes; at most {limit} are taken").into(),
        ));
    }
    ticket.charge(len).await?;
    let bytes = collect(body, len, first).await?;
    Ok(Message { compressed, bytes })
}

/// The prefix, which may come in pieces, and what of the message came with it.
async fn prefix<B>(body: &mut Paced<B>) -> Result<([u8; PREFIX_BYTES], Bytes), Failure>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    let mut prefix = [0; PREFIX_BYTES];
    let mut have = 0;
    while let Some(mut data) = body.next().await? {
        let take = data.len().min(PREFIX_BYTES - have);
        data.copy_to_slice(&mut prefix[have..have + take]);
        have += take;
        if have == PREFIX_BYTES {
            return Ok((prefix, data));
        }
    }
    let why = if have == 0 {
        "the request has no message"
    } else {
        "the request ends within a message's prefix"
    };
    Err(Failure::Malformed(why.into()))
}

/// `len` bytes, of which `first` are here, and nothing after them.
async fn collect<B>(body: &mut Paced<B>, len: usize, first: Bytes) -> Result<Bytes, Failure>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    let mut whole = first;
    let mut pieces = BytesMut::new();
    if whole.len() < len {
        pieces.reserve(len);
        pieces.extend_from_slice(&whole);
        while pieces.len() < len {
            let Some(data) = body.next().await? else {
                return Err(Failure::Malformed("the request ends within its message".into()));
            };
            let take = data.len().min(len - pieces.len());
            pieces.extend_from_slice(&data[..take]);
            if take < data.len() {
                return Err(more_than_one());
            }
        }
        whole = pieces.freeze();
    } else if whole.len() > len {
        return Err(more_than_one());
    }
    match body.next().await? {
        None => Ok(whole),
        Some(_) => Err(more_than_one()),
    }
}

fn more_than_one() -> Failure {
    Failure::Malformed("a unary request has exactly one message".into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::ReceiverLimits;
    use crate::receive::Admission;
    use http_body_util::StreamBody;
    use proptest::prelude::*;
    use std::convert::Infallible;

    fn body(pieces: Vec<Vec<u8>>) -> impl Body<Data = Bytes, Error = Infallible> + Unpin {
        let frames = pieces
            .into_iter()
            .map(|p| Ok::<_, Infallible>(http_body::Frame::data(Bytes::from(p))));
        StreamBody::new(tokio_stream::iter(frames))
    }

    async fn run(pieces: Vec<Vec<u8>>, limit: usize) -> Result<Message, Failure> {
        let mut ticket = Admission::new(&ReceiverLimits::default()).open();
        gather(&mut Paced::new(body(pieces)), limit, &mut ticket).await
    }

    fn framed(flag: u8, message: &[u8]) -> Vec<u8> {
        let len = u32::try_from(message.len()).unwrap();
        [&[flag][..], &len.to_be_bytes(), message].concat()
    }

    #[tokio::test]
    async fn length_above_the_limit_is_refused_before_the_message_comes() {
        let result = run(vec![vec![0, 0, 0, 4, 1]], 1024).await;
        assert!(matches!(result, Err(Failure::TooLarge(_))), "{result:?}");
    }

    #[tokio::test]
    async fn broken_framing_is_malformed() {
        let cases: [&[u8]; 5] = [
            b"",
            &[0, 0, 0],
            &framed(2, b"x"),
            &framed(0, b"abc")[..7],
            &[framed(0, b"a"), framed(0, b"b")].concat(),
        ];
        for case in cases {
            let result = run(vec![case.to_vec()], 1024).await;
            assert!(
                matches!(result, Err(Failure::Malformed(_))),
                "{case:?}: {result:?}"
            );
        }
    }

    #[tokio::test]
    async fn message_in_one_piece_is_not_copied() {
        let wire = Bytes::from(framed(0, &[5; 2000]));
        let at = wire.as_ptr() as usize;
        let frames = tokio_stream::iter([Ok::<_, Infallible>(http_body::Frame::data(wire))]);
        let mut ticket = Admission::new(&ReceiverLimits::default()).open();
        let message = gather(&mut Paced::new(StreamBody::new(frames)), 4096, &mut ticket)
            .await
            .unwrap();
        assert_eq!(message.bytes.as_ptr() as usize, at + PREFIX_BYTES);
        assert_eq!(ticket.charged(), 2000);
    }

    proptest! {
        #[test]
        fn any_cut_of_a_message_gathers_to_the_same(
            message in proptest::collection::vec(any::<u8>(), 0..200),
            cuts in proptest::collection::vec(0_usize..210, 0..8),
        ) {
            let wire = framed(1, &message);
            let mut cuts: Vec<_> = cuts.into_iter().map(|c| c.min(wire.len())).collect();
            cuts.sort_unstable();
            cuts.push(wire.len());
            let mut from = 0;
            let pieces = cuts.into_iter().map(|to| wire[std::mem::replace(&mut from, to)..to].to_vec()).collect();
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
            let got = runtime.block_on(run(pieces, 1024)).unwrap();
            prop_assert_eq!(got, Message { compressed: true, bytes: Bytes::from(message) });
        }
    }
}
