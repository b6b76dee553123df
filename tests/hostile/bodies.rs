//! Bombs, and bytes that are not the message that they claim to be.

use super::receive_support::{
    GRPC_CODINGS, HTTP_CODINGS, framed, gzip, lz4, request, snappy_block, zlib, zstd,
};
use super::{Class, Target, class, grpc, post};
use prost::Message;

const MIB: usize = 1 << 20;
const REFUSED: &[&str] = &["400"];
const TOO_LARGE: &[&str] = &["413"];
const TAKEN: &[&str] = &["200"];
const TAKEN_OR_REFUSED: &[&str] = &["200", "400"];

/// A field of bytes.
fn field(number: u8, content: &[u8]) -> Vec<u8> {
    let mut out = vec![number << 3 | 2];
    let mut len = content.len();
    while len >= 0x80 {
        out.push((len & 0x7F) as u8 | 0x80);
        len >>= 7;
    }
    out.push(len as u8);
    out.extend_from_slice(content);
    out
}

/// A request with one resource, one scope, and these bytes in it.
fn in_scope(content: &[u8]) -> Vec<u8> {
    field(1, &field(2, content))
}

fn in_span(content: &[u8]) -> Vec<u8> {
    in_scope(&field(2, content))
}

/// `levels` of values in each other, as the wrapped number says.
fn nested(levels: usize, wrap: impl Fn(&[u8]) -> Vec<u8>) -> Vec<u8> {
    let mut value = Vec::new();
    for _ in 0..levels {
        value = wrap(&value);
    }
    value
}

fn noise(len: usize) -> Vec<u8> {
    let mut state = 7_u32;
    let next = |_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    (0..len).map(next).collect()
}

fn protobuf(
    name: &str,
    right: &'static [&'static str],
    body: impl Fn() -> Vec<u8> + Send + Sync + 'static,
) -> Class {
    class(name, right, {
        let body = body();
        move |target| {
            let body = body.clone();
            async move { post(target, &[], body).await }
        }
    })
}

fn coded(
    name: impl Into<String>,
    coding: &'static str,
    right: &'static [&'static str],
    body: impl Fn() -> Vec<u8> + Send + Sync + 'static,
) -> Class {
    class(name, right, {
        let body = body();
        move |target| {
            let body = body.clone();
            async move { post(target, &[("Content-Encoding", coding)], body).await }
        }
    })
}

fn json(
    name: &str,
    right: &'static [&'static str],
    body: impl Fn() -> Vec<u8> + Send + Sync + 'static,
) -> Class {
    class(name, right, {
        let body = body();
        move |target| {
            let body = body.clone();
            async move { post(target, &[("Content-Type", "application/json")], body).await }
        }
    })
}

fn framing(
    name: &str,
    right: &'static [&'static str],
    headers: &'static [(&'static str, &'static str)],
    body: impl Fn() -> Vec<u8> + Send + Sync + 'static,
) -> Class {
    class(name, right, {
        let body = body();
        move |target: Target| {
            let body = body.clone();
            async move { grpc(target, headers, body).await }
        }
    })
}

pub(crate) fn classes() -> Vec<Class> {
    let mut all = bombs();
    all.extend(codings());
    all.extend(messages());
    all.extend(texts());
    all.extend(grpc_frames());
    all
}

fn bombs() -> Vec<Class> {
    let mut all = Vec::new();
    for (nth, (coding, pack)) in HTTP_CODINGS.into_iter().enumerate().skip(2) {
        all.push(coded(
            format!("bomb of {coding} over HTTP ({nth})"),
            coding,
            TOO_LARGE,
            move || pack(&vec![0; 48 * MIB]),
        ));
    }
    for (nth, (coding, pack)) in GRPC_CODINGS.into_iter().enumerate() {
        all.push(class(
            format!("bomb of {coding} over gRPC ({nth})"),
            &["grpc 8"],
            {
                let body = framed(1, &pack(&vec![0; 48 * MIB]));
                move |target| {
                    let body = body.clone();
                    async move { grpc(target, &[("grpc-encoding", coding)], body).await }
                }
            },
        ));
    }
    all
}

fn codings() -> Vec<Class> {
    vec![
        coded("gzip within gzip", "gzip", REFUSED, || {
            gzip(&gzip(&vec![0; 40 * MIB]))
        }),
        coded("codings stacked in the header", "gzip, gzip", REFUSED, || {
            gzip(&gzip(b""))
        }),
        coded("a coding that nobody speaks", "br", REFUSED, || vec![1; 100]),
        coded("zstd with a window of two gigabytes", "zstd", TOO_LARGE, || {
            vec![0x28, 0xB5, 0x2F, 0xFD, 0x00, 0xA8, 0x01, 0x00, 0x00]
        }),
        coded("zstd with a dictionary that nobody has", "zstd", REFUSED, || {
            vec![0x28, 0xB5, 0x2F, 0xFD, 0x23, 1, 2, 3, 4, 5, 0x01, 0, 0]
        }),
        coded("zstd that claims more than it holds", "zstd", REFUSED, || {
            let mut frame = zstd(&[7; 1000]);
            let len = frame.len();
            frame.truncate(len - 3);
            frame
        }),
        coded("snappy that claims four gigabytes", "snappy", TOO_LARGE, || {
            vec![0xFF, 0xFF, 0xFF, 0xFF, 0x0F, 0]
        }),
        coded("snappy that claims less than it holds", "snappy", REFUSED, || {
            let mut block = snappy_block(&[7; 100]);
            block[0] = 50;
            block
        }),
        coded(
            "snappy that refers to before its start",
            "snappy",
            REFUSED,
            || vec![20, 0x3E, 0xFF, 0xFF],
        ),
        coded("lz4 with a broken header checksum", "lz4", REFUSED, || {
            let mut frame = lz4(b"hello");
            frame[6] ^= 0xFF;
            frame
        }),
        coded("lz4 without an end", "lz4", REFUSED, || {
            let frame = lz4(b"hello");
            frame[..frame.len() - 4].to_vec()
        }),
        coded("lz4 with a block longer than the body", "lz4", REFUSED, || {
            let frame = lz4(b"hello");
            [&frame[..7], &[0xFF, 0xFF, 0xFF, 0x7F, 1, 2, 3]].concat()
        }),
        coded("gzip with a name without end", "gzip", REFUSED, || {
            [vec![0x1F, 0x8B, 8, 8, 0, 0, 0, 0, 0, 0], vec![b'n'; 4 * MIB]].concat()
        }),
        coded("gzip with a wrong checksum", "gzip", REFUSED, || {
            let mut body = gzip(&request(3).encode_to_vec());
            let at = body.len() - 6;
            body[at] ^= 1;
            body
        }),
        coded("gzip cut short", "gzip", REFUSED, || {
            let body = gzip(&noise(10_000));
            body[..5000].to_vec()
        }),
        coded("a hundred thousand empty members of gzip", "gzip", TAKEN, || {
            gzip(b"").repeat(100_000)
        }),
        coded("bytes behind the end of zlib", "zlib", REFUSED, || {
            [zlib(b""), vec![0; 1000]].concat()
        }),
    ]
}

fn messages() -> Vec<Class> {
    vec![
        protobuf("a million empty spans", TOO_LARGE, || {
            in_scope(&[0x12, 0].repeat(1_000_000))
        }),
        protobuf("a million empty resources", TAKEN_OR_REFUSED, || {
            [0x0A, 0].repeat(1_000_000)
        }),
        protobuf("a million empty scopes", TAKEN_OR_REFUSED, || {
            field(1, &[0x12, 0].repeat(1_000_000))
        }),
        protobuf("a million empty attributes", TAKEN, || {
            in_span(&[0x4A, 0].repeat(1_000_000))
        }),
        protobuf("a million empty events", TAKEN, || {
            in_span(&[0x5A, 0].repeat(1_000_000))
        }),
        protobuf("a million empty links", TAKEN, || {
            in_span(&[0x6A, 0].repeat(1_000_000))
        }),
        protobuf(
            "a value of ten thousand lists in each other",
            TAKEN_OR_REFUSED,
            || {
                let value = nested(10_000, |inner| field(5, &field(1, inner)));
                in_span(&field(9, &[field(1, b"k"), field(2, &value)].concat()))
            },
        ),
        protobuf(
            "a value of ten thousand maps in each other",
            TAKEN_OR_REFUSED,
            || {
                let value = nested(10_000, |inner| field(6, &field(1, &field(2, inner))));
                in_span(&field(9, &[field(1, b"k"), field(2, &value)].concat()))
            },
        ),
        protobuf("a varint cut short", REFUSED, || vec![0x0A, 0x80]),
        protobuf("a varint of eleven bytes", REFUSED, || {
            [&[0x0A][..], &[0xFF; 10], &[1]].concat()
        }),
        protobuf("a length that is negative", REFUSED, || {
            [&[0x0A][..], &[0xFF; 9], &[1]].concat()
        }),
        protobuf("a length beyond the end", REFUSED, || vec![0x0A, 0x7F, 1]),
        protobuf("a length beyond the end, far inside", TAKEN_OR_REFUSED, || {
            in_span(&[0x0A, 0x7F, 1])
        }),
        protobuf("a field with the number zero", REFUSED, || vec![0x02, 0]),
        protobuf("a wire type that does not exist", REFUSED, || vec![0x0F, 0]),
        protobuf("a number where a message should be", TAKEN_OR_REFUSED, || {
            vec![0x08, 5]
        }),
        protobuf("a group without an end", TAKEN_OR_REFUSED, || vec![0x0B]),
        protobuf("an end without a group", REFUSED, || vec![0x0C]),
        protobuf("a million groups in each other", TAKEN_OR_REFUSED, || {
            vec![0x7B; 1_000_000]
        }),
        protobuf("names that are not UTF-8", TAKEN, || {
            let attribute = [
                field(1, b"service.name"),
                field(2, &field(1, &[0xFF, 0xFE, 0x80])),
            ]
            .concat();
            let span = [field(5, &[0xC3, 0x28]), field(9, &field(1, &[0xFF]))].concat();
            field(
                1,
                &[field(1, &field(1, &attribute)), field(2, &field(2, &span))].concat(),
            )
        }),
        protobuf("ids of a mebibyte", TAKEN, || {
            in_span(&[field(1, &vec![7; MIB]), field(2, &vec![7; MIB])].concat())
        }),
        protobuf("a service with a name of a mebibyte", TAKEN, || {
            let attribute = [field(1, b"service.name"), field(2, &field(1, &vec![b'x'; MIB]))].concat();
            field(
                1,
                &[field(1, &field(1, &attribute)), field(2, &field(2, b""))].concat(),
            )
        }),
        protobuf("names with quotes, newlines and NUL", TAKEN, || {
            let attribute = [
                field(1, b"service.name"),
                field(2, &field(1, b"a\"b\n# HELP x\0\\}<script>")),
            ]
            .concat();
            field(
                1,
                &[field(1, &field(1, &attribute)), field(2, &field(2, b""))].concat(),
            )
        }),
        protobuf("times at the end of time", TAKEN, || {
            let times = [&[0x39][..], &[0xFF; 8], &[0x41], &[0; 8]].concat();
            in_span(&times)
        }),
        protobuf("a mebibyte of noise", REFUSED, || noise(MIB)),
        class("a million empty data points", TOO_LARGE, |target| async move {
            let metric = field(5, &[0x0A, 0].repeat(1_000_000));
            let body = field(1, &field(2, &field(2, &metric)));
            to_path(target, "/v1/metrics", body).await
        }),
        class("a million empty log records", TOO_LARGE, |target| async move {
            to_path(target, "/v1/logs", in_scope(&[0x12, 0].repeat(1_000_000))).await
        }),
    ]
}

async fn to_path(target: Target, path: &str, body: Vec<u8>) -> String {
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-protobuf\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    super::exchange(target.http, [head.into_bytes(), body].concat()).await
}

fn texts() -> Vec<Class> {
    let spans = |inside: &str| {
        format!(r#"{{"resourceSpans":[{{"scopeSpans":[{{"spans":[{inside}]}}]}}]}}"#).into_bytes()
    };
    vec![
        json("a hundred thousand open brackets", REFUSED, || {
            vec![b'['; 100_000]
        }),
        json("a hundred thousand objects in each other", REFUSED, || {
            format!("{{\"a\":{}", "{\"a\":".repeat(100_000)).into_bytes()
        }),
        json("nesting that is closed again", REFUSED, || {
            format!("{{\"x\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000)).into_bytes()
        }),
        json("half a million equal keys", TAKEN_OR_REFUSED, || {
            format!("{{{}\"a\":1}}", "\"a\":1,".repeat(500_000)).into_bytes()
        }),
        json("a number beyond all numbers", REFUSED, move || {
            spans(r#"{"startTimeUnixNano":1e999999}"#)
        }),
        json("a number of a hundred thousand digits", REFUSED, move || {
            spans(&format!(r#"{{"startTimeUnixNano":{}}}"#, "9".repeat(100_000)))
        }),
        json("a string without an end", REFUSED, || {
            [b"{\"a\":\"".to_vec(), vec![b'x'; MIB]].concat()
        }),
        json("half a surrogate", TAKEN_OR_REFUSED, move || {
            spans(r#"{"name":"\ud800"}"#)
        }),
        json("an escape that does not exist", REFUSED, move || {
            spans(r#"{"name":"\x41"}"#)
        }),
        json("text that is not UTF-8", REFUSED, || {
            b"{\"a\":\"\xFF\xFE\"}".to_vec()
        }),
        json("three hundred thousand empty spans", TOO_LARGE, move || {
            spans(&"{},".repeat(300_000).trim_end_matches(',').to_owned())
        }),
        json("text behind the end", REFUSED, || b"{}{}".to_vec()),
        json("a byte order mark", REFUSED, || b"\xEF\xBB\xBF{}".to_vec()),
        json("NUL", REFUSED, || b"{\"a\":\0}".to_vec()),
        json("ids that are no hex", REFUSED, move || {
            spans(r#"{"traceId":"zz"}"#)
        }),
        json("a list where an object should be", REFUSED, || {
            br#"{"resourceSpans":[[]]}"#.to_vec()
        }),
    ]
}

fn grpc_frames() -> Vec<Class> {
    const BAD: &[&str] = &["grpc 3"];
    vec![
        framing("a frame flag of 2", BAD, &[], || framed(2, b"")),
        framing("a frame flag of 255", BAD, &[], || framed(255, b"")),
        framing("no message", BAD, &[], Vec::new),
        framing("a prefix cut short", BAD, &[], || vec![0, 0, 0]),
        framing("a message shorter than its prefix says", BAD, &[], || {
            framed(0, b"12345")[..7].to_vec()
        }),
        framing("a prefix that claims four gigabytes", &["grpc 8"], &[], || {
            vec![0, 0xFF, 0xFF, 0xFF, 0xFF]
        }),
        framing("two messages in a unary call", BAD, &[], || {
            [framed(0, b""), framed(0, b"")].concat()
        }),
        framing("bytes behind the message", BAD, &[], || {
            [framed(0, b""), vec![1]].concat()
        }),
        framing("compressed, and no word of how", BAD, &[], || {
            framed(1, &gzip(b""))
        }),
        framing(
            "a compression that nobody speaks",
            &["grpc 12"],
            &[("grpc-encoding", "br")],
            || framed(1, b"x"),
        ),
        framing("gzip that is none", BAD, &[("grpc-encoding", "gzip")], || {
            framed(1, &noise(1000))
        }),
        framing(
            "a deadline that is nonsense",
            &["grpc 0"],
            &[("grpc-timeout", "99999999999999H")],
            || framed(0, b""),
        ),
        framing(
            "a content type that is not gRPC",
            &["http 415"],
            &[("content-type", "text/html")],
            || framed(0, b""),
        ),
        framing("a million empty spans over gRPC", &["grpc 8"], &[], || {
            framed(0, &in_scope(&[0x12, 0].repeat(1_000_000)))
        }),
        framing("noise over gRPC", BAD, &[], || framed(0, &noise(MIB))),
    ]
}
