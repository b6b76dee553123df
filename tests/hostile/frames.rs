//! HTTP/2, frame by frame, on the gRPC port.

use super::{Class, Target, class, read_all};
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const PRIORITY: u8 = 2;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PUSH_PROMISE: u8 = 5;
const PING: u8 = 6;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;
/// The connection ended with a word or without one.
const ENDED: &[&str] = &["goaway", "closed"];
/// Or it goes on, which is as well: the flood costs nobody anything.
const HARMLESS: &[&str] = &["goaway", "closed", "open"];

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let len = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&len[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// A header field, literal, without indexing.
fn literal(name: &str, value: &str) -> Vec<u8> {
    let text = |text: &str| {
        let mut out = Vec::new();
        if text.len() < 127 {
            out.push(text.len() as u8);
        } else {
            out.push(127);
            let mut rest = text.len() - 127;
            while rest >= 128 {
                out.push((rest & 127) as u8 | 128);
                rest >>= 7;
            }
            out.push(rest as u8);
        }
        out.extend_from_slice(text.as_bytes());
        out
    };
    [vec![0], text(name), text(value)].concat()
}

fn head(path: &str, more: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", path),
        (":authority", "x"),
        ("content-type", "application/grpc"),
        ("te", "trailers"),
    ] {
        block.extend(literal(name, value));
    }
    for (name, value) in more {
        block.extend(literal(name, value));
    }
    block
}

fn request(stream: u32, flags: u8) -> Vec<u8> {
    frame(HEADERS, 4 | flags, stream, &head(super::TRACES, &[]))
}

/// Frames behind the preface: how the connection ends.
async fn send(target: Target, frames: Vec<u8>) -> String {
    say(target, [PREFACE, &frame(SETTINGS, 0, 0, &[]), &frames].concat()).await
}

async fn say(target: Target, bytes: Vec<u8>) -> String {
    let stream = TcpStream::connect(target.grpc).await.unwrap();
    let (mut read, mut write) = stream.into_split();
    let writing = tokio::spawn(async move {
        let _ = write.write_all(&bytes).await;
        write
    });
    let (said, is_open) = read_all(&mut read, Duration::from_secs(4)).await;
    writing.abort();
    describe(&said, is_open)
}

/// The last word of the other side.
fn describe(said: &[u8], is_open: bool) -> String {
    let (mut rest, mut last) = (said, String::new());
    while rest.len() >= 9 {
        let len = usize::from(rest[0]) << 16 | usize::from(rest[1]) << 8 | usize::from(rest[2]);
        let (kind, payload) = (rest[3], rest.get(9..9 + len).unwrap_or_default());
        match kind {
            7 if payload.len() >= 8 => return format!("goaway {}", payload[7]),
            3 if payload.len() >= 4 => last = format!(" reset {}", payload[3]),
            1 => " headers".clone_into(&mut last),
            _ => {}
        }
        rest = rest.get(9 + len..).unwrap_or_default();
    }
    if is_open {
        format!("open{last}")
    } else {
        format!("closed{last}")
    }
}

fn frames(
    name: &str,
    right: &'static [&'static str],
    build: impl Fn() -> Vec<u8> + Send + Sync + 'static,
) -> Class {
    let frames = build();
    class(name, right, move |target| {
        let frames = frames.clone();
        async move { send(target, frames).await }
    })
}

pub(crate) fn classes() -> Vec<Class> {
    let mut all = wrong();
    all.extend(floods());
    all.extend(stalls());
    all
}

fn wrong() -> Vec<Class> {
    vec![
        class("garbage in place of the preface", ENDED, |target| {
            say(target, vec![b'x'; 100])
        }),
        class("HTTP/1.1 on the gRPC port", ENDED, |target| {
            say(target, b"POST / HTTP/1.1\r\nHost: x\r\n\r\n".to_vec())
        }),
        class(
            "a preface and no settings",
            &["goaway", "closed", "open"],
            |target| say(target, [PREFACE, &frame(PING, 0, 0, &[0; 8])[..]].concat()),
        ),
        frames("a frame longer than agreed", ENDED, || {
            frame(DATA, 0, 1, &vec![0; 2 << 20])
        }),
        frames("data on stream 0", ENDED, || frame(DATA, 0, 0, &[0; 8])),
        frames("data on a stream that was never opened", ENDED, || {
            frame(DATA, 0, 5, &[0; 8])
        }),
        frames("a stream with an even number", ENDED, || request(2, 0)),
        frames("streams in the wrong order", ENDED, || {
            [request(5, 1), request(3, 1)].concat()
        }),
        frames("headers without pseudo headers", HARMLESS, || {
            frame(HEADERS, 5, 1, &literal("x", "y"))
        }),
        frames("headers that are no HPACK", ENDED, || {
            frame(HEADERS, 5, 1, &[0xFF; 40])
        }),
        frames("an index that no table has", ENDED, || {
            frame(HEADERS, 5, 1, &[0xFE])
        }),
        frames("a promise from a client", ENDED, || {
            frame(PUSH_PROMISE, 4, 1, &[0, 0, 0, 2])
        }),
        frames("a ping of seven bytes", ENDED, || frame(PING, 0, 0, &[0; 7])),
        frames("settings of five bytes", ENDED, || frame(SETTINGS, 0, 0, &[0; 5])),
        frames("a window beyond 31 bits in the settings", ENDED, || {
            frame(SETTINGS, 0, 0, &[0, 4, 0xFF, 0xFF, 0xFF, 0xFF])
        }),
        frames("a frame size below the least", ENDED, || {
            frame(SETTINGS, 0, 0, &[0, 5, 0, 0, 0, 1])
        }),
        frames("a window update of zero", ENDED, || {
            frame(WINDOW_UPDATE, 0, 0, &[0; 4])
        }),
        frames("a window that overflows", ENDED, || {
            frame(WINDOW_UPDATE, 0, 0, &[0x7F, 0xFF, 0xFF, 0xFF]).repeat(3)
        }),
        frames("a continuation of nothing", ENDED, || {
            frame(CONTINUATION, 4, 1, &[])
        }),
        frames("padding longer than its frame", ENDED, || {
            [request(1, 0), frame(DATA, 8, 1, &[200, 0])].concat()
        }),
        frames("a reset of a stream that is idle", ENDED, || {
            frame(RST_STREAM, 0, 9, &[0, 0, 0, 8])
        }),
        frames("a path of a mebibyte over HTTP/2", HARMLESS, || {
            let block = head(&format!("/{}", "a".repeat(1 << 20)), &[]);
            pieces(1, &block)
        }),
        frames("upper case in a header's name", HARMLESS, || {
            frame(HEADERS, 5, 1, &head(super::TRACES, &[("X-Upper", "y")]))
        }),
    ]
}

/// A header block in frames.
fn pieces(stream: u32, block: &[u8]) -> Vec<u8> {
    let parts: Vec<&[u8]> = block.chunks(16_000).collect();
    let mut all = Vec::new();
    for (nth, part) in parts.iter().enumerate() {
        let (kind, last) = (
            if nth == 0 { HEADERS } else { CONTINUATION },
            nth + 1 == parts.len(),
        );
        let flags = u8::from(last) << 2 | u8::from(nth == 0);
        all.extend(frame(kind, flags, stream, part));
    }
    all
}

fn floods() -> Vec<Class> {
    vec![
        frames("a flood of continuations", ENDED, || {
            let mut all = frame(HEADERS, 1, 1, &head(super::TRACES, &[]));
            for nth in 0..5000 {
                all.extend(frame(
                    CONTINUATION,
                    0,
                    1,
                    &literal(&format!("x-{nth}"), &"y".repeat(200)),
                ));
            }
            all
        }),
        frames("a flood of empty continuations", ENDED, || {
            [
                frame(HEADERS, 1, 1, &head(super::TRACES, &[])),
                frame(CONTINUATION, 0, 1, &[]).repeat(50_000),
            ]
            .concat()
        }),
        frames("an HPACK bomb", HARMLESS, || {
            // One entry of four kilobytes in the table, and sixteen thousand references to it.
            let mut block = head(super::TRACES, &[]);
            let mut entry = literal("x-bomb", &"y".repeat(3900));
            entry[0] = 0x40;
            block.extend(entry);
            block.extend(vec![0xBE; 16_000]);
            pieces(1, &block)
        }),
        frames("a table update without end", HARMLESS, || {
            frame(HEADERS, 5, 1, &[0x20; 10_000])
        }),
        frames("a mebibyte of headers", HARMLESS, || {
            let more: Vec<(String, String)> =
                (0..256).map(|i| (format!("x-{i}"), "y".repeat(4096))).collect();
            let more: Vec<(&str, &str)> = more.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
            pieces(1, &head(super::TRACES, &more))
        }),
        frames("rapid reset", &["goaway"], || {
            let reset = |id| [request(id, 0), frame(RST_STREAM, 0, id, &[0, 0, 0, 8])].concat();
            (0..5000_u32).flat_map(|i| reset(i * 2 + 1)).collect()
        }),
        frames("resets that we are made to send", &["goaway"], || {
            let overflow = |id| {
                [
                    request(id, 0),
                    frame(WINDOW_UPDATE, 0, id, &[0x7F, 0xFF, 0xFF, 0xFF]),
                ]
                .concat()
            };
            (0..5000_u32).flat_map(|i| overflow(i * 2 + 1)).collect()
        }),
        frames("a flood of pings", &["goaway 11"], || {
            frame(PING, 0, 0, &[7; 8]).repeat(100_000)
        }),
        frames("a flood of settings", HARMLESS, || {
            frame(SETTINGS, 0, 0, &[0, 4, 0, 1, 0, 0]).repeat(50_000)
        }),
        frames("a flood of empty data", HARMLESS, || {
            [request(1, 0), frame(DATA, 0, 1, &[]).repeat(100_000)].concat()
        }),
        frames("a flood of padded nothing", HARMLESS, || {
            [request(1, 0), frame(DATA, 8, 1, &[255; 256]).repeat(2000)].concat()
        }),
        frames("a flood of window updates", HARMLESS, || {
            frame(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1]).repeat(100_000)
        }),
        frames("a flood of priorities", HARMLESS, || {
            (0..100_000_u32)
                .flat_map(|i| frame(PRIORITY, 0, i * 2 + 1, &[0, 0, 0, 0, 9]))
                .collect()
        }),
        frames("a flood of frames of unknown kinds", HARMLESS, || {
            frame(0xFA, 0, 0, &[1; 10]).repeat(100_000)
        }),
        frames("a flood of acknowledgements", HARMLESS, || {
            frame(SETTINGS, 1, 0, &[]).repeat(50_000)
        }),
    ]
}

fn stalls() -> Vec<Class> {
    vec![
        frames(
            "a deadline of a nanosecond",
            &["open headers", "open reset 0", "closed headers"],
            || {
                let block = head(super::TRACES, &[("grpc-timeout", "1n")]);
                [frame(HEADERS, 4, 1, &block), frame(DATA, 0, 1, &[0, 0, 0])].concat()
            },
        ),
        frames("streams beyond the agreed number", HARMLESS, || {
            (0..400_u32).flat_map(|i| request(i * 2 + 1, 0)).collect()
        }),
        frames("a client that has no window for answers", HARMLESS, || {
            let bad = |id| request(id, 1);
            let none = frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 0]);
            [none, (0..100_u32).flat_map(|i| bad(i * 2 + 1)).collect()].concat()
        }),
        class(
            "half a message, and then silence",
            &["closed headers", "open headers", "open reset", "goaway"],
            |target| async move {
                let stream = TcpStream::connect(target.grpc).await.unwrap();
                let (mut read, mut write) = stream.into_split();
                let begun = [
                    PREFACE,
                    &frame(SETTINGS, 0, 0, &[]),
                    &request(1, 0),
                    &frame(DATA, 0, 1, &[0, 0, 0, 1, 0, 1, 2, 3]),
                ]
                .concat();
                let _ = write.write_all(&begun).await;
                let (said, is_open) = read_all(&mut read, Duration::from_secs(8)).await;
                describe(&said, is_open)
            },
        ),
        class(
            "a hundred connections that begin and stop",
            &["done"],
            |target: Target| async move {
                for _ in 0..100 {
                    let mut stream = TcpStream::connect(target.grpc).await.unwrap();
                    let _ = stream
                        .write_all(&[PREFACE, &frame(SETTINGS, 0, 0, &[]), &request(1, 0)[..20]].concat())
                        .await;
                }
                "done".to_owned()
            },
        ),
    ]
}
