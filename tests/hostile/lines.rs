//! HTTP/1.1 that is broken, ambiguous, endless or slow.

use super::{Class, Target, class, exchange, read_all, summary};
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

const BAD: &[&str] = &["400", "closed"];
const HEAD: &str = "POST /v1/traces HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n";

/// Bytes as they are, and what comes of them.
fn raw(
    name: &str,
    right: &'static [&'static str],
    bytes: impl Fn() -> Vec<u8> + Send + Sync + 'static,
) -> Class {
    let bytes = bytes();
    class(name, right, move |target: Target| {
        let bytes = bytes.clone();
        async move { exchange(target.http, bytes).await }
    })
}

/// A head with these headers, and a body.
fn post(headers: &str, body: &str) -> Vec<u8> {
    format!("{HEAD}{headers}\r\n{body}").into_bytes()
}

/// Opens, and then a few bytes again and again: what was said before the end.
fn drip(name: &str, right: &'static [&'static str], opening: &'static str, drop: &'static str) -> Class {
    class(name, right, move |target: Target| async move {
        let stream = TcpStream::connect(target.http).await.unwrap();
        let (mut read, mut write) = stream.into_split();
        let dripping = tokio::spawn(async move {
            let mut next = opening;
            while write.write_all(next.as_bytes()).await.is_ok() {
                next = drop;
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        });
        let (said, is_open) = read_all(&mut read, Duration::from_secs(25)).await;
        dripping.abort();
        summary(&said, is_open)
    })
}

pub(crate) fn classes() -> Vec<Class> {
    let mut all = broken();
    all.extend(ambiguous());
    all.extend(slow());
    all
}

fn broken() -> Vec<Class> {
    vec![
        raw("garbage in place of HTTP", BAD, || {
            b"\x00\x01\x02garbage\r\n\r\n".to_vec()
        }),
        raw("a TLS hello on a plain port", BAD, || {
            [&[22, 3, 1, 2, 0, 1][..], &[7; 600]].concat()
        }),
        raw("ten thousand headers", &["431", "400", "closed"], || {
            let headers: String = (0..10_000).map(|i| format!("x-{i}: y\r\n")).collect();
            post(&headers, "")
        }),
        raw("a header of a mebibyte", &["431", "400", "closed"], || {
            post(&format!("x: {}\r\n", "y".repeat(1 << 20)), "")
        }),
        raw("a path of a mebibyte", &["414", "431", "400", "closed"], || {
            format!("POST /{} HTTP/1.1\r\nHost: x\r\n\r\n", "a".repeat(1 << 20)).into_bytes()
        }),
        raw("a method of a mebibyte", &["400", "431", "closed"], || {
            format!("{} / HTTP/1.1\r\nHost: x\r\n\r\n", "A".repeat(1 << 20)).into_bytes()
        }),
        raw("a version from the future", &["400", "505", "closed"], || {
            b"POST /v1/traces HTTP/7.1\r\n\r\n".to_vec()
        }),
        raw("a request of 1991", BAD, || b"GET /v1/traces\r\n\r\n".to_vec()),
        raw("NUL in a header", BAD, || post("x: a\0b\r\n", "")),
        raw("a header name with a space", BAD, || post("x y: z\r\n", "")),
        raw("a folded header", &["400", "closed", "200"], || {
            post("x: a\r\n b\r\nContent-Length: 2\r\nConnection: close\r\n", "{}")
        }),
        raw("a length that is negative in HTTP", BAD, || {
            post("Content-Length: -5\r\n", "")
        }),
        raw("a length with a sign", BAD, || {
            post("Content-Length: +2\r\nConnection: close\r\n", "{}")
        }),
        raw("a length in hex", BAD, || post("Content-Length: 0x2\r\n", "{}")),
        raw("a length beyond all memory", &["413"], || {
            post("Content-Length: 9223372036854775807\r\n", "{")
        }),
        raw("a length that is no number of 64 bits", BAD, || {
            post("Content-Length: 99999999999999999999999\r\n", "{")
        }),
        raw("a chunk size that is garbage", &["400"], || {
            post("Transfer-Encoding: chunked\r\n", "zz\r\n{}\r\n0\r\n\r\n")
        }),
        raw("a chunk size beyond 64 bits", &["400"], || {
            post(
                "Transfer-Encoding: chunked\r\n",
                "FFFFFFFFFFFFFFFFF\r\n{}\r\n0\r\n\r\n",
            )
        }),
        raw("chunks without their line ends", &["400"], || {
            post("Transfer-Encoding: chunked\r\n", "2\r\n{}XX0\r\n\r\n")
        }),
        raw("a chunk extension of a mebibyte", &["400", "200"], || {
            post(
                "Transfer-Encoding: chunked\r\nConnection: close\r\n",
                &format!("2;{}\r\n{{}}\r\n0\r\n\r\n", "x".repeat(1 << 20)),
            )
        }),
        raw("ten thousand chunks of one byte", &["200"], || {
            let spaces = "1\r\n \r\n".repeat(10_000);
            post(
                "Transfer-Encoding: chunked\r\nConnection: close\r\n",
                &format!("2\r\n{{}}\r\n{spaces}0\r\n\r\n"),
            )
        }),
        raw("trailers without end", &["400", "200", "431", "503"], || {
            let trailers: String = (0..20_000).map(|i| format!("x-{i}: y\r\n")).collect();
            post(
                "Transfer-Encoding: chunked\r\nConnection: close\r\n",
                &format!("2\r\n{{}}\r\n0\r\n{trailers}\r\n"),
            )
        }),
        raw("an upgrade to what is not there", &["200"], || {
            post(
                "Connection: Upgrade, close\r\nUpgrade: websocket\r\nContent-Length: 2\r\n",
                "{}",
            )
        }),
        raw("a thousand requests in one write", &["200 200 200"], || {
            let mut all = post("Content-Length: 2\r\n", "{}").repeat(1000);
            all.extend(post("Content-Length: 2\r\nConnection: close\r\n", "{}"));
            all
        }),
        raw("a proxy's CONNECT", &["404", "405", "400"], || {
            b"CONNECT evil:443 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".to_vec()
        }),
        raw("TRACE", &["405"], || {
            b"TRACE /v1/traces HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".to_vec()
        }),
    ]
}

/// Where two readers of the same bytes could see different requests, one answer at most, and the connection ends.
fn ambiguous() -> Vec<Class> {
    let hidden = "POST /v1/logs HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n";
    vec![
        raw("both a length and chunks", BAD, move || {
            post(
                "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n",
                &format!("0\r\n\r\n{hidden}"),
            )
        }),
        raw("two lengths that differ", BAD, move || {
            post(
                "Content-Length: 2\r\nContent-Length: 60\r\n",
                &format!("{{}}{hidden}"),
            )
        }),
        raw("a list of lengths", BAD, move || {
            post("Content-Length: 2, 60\r\n", &format!("{{}}{hidden}"))
        }),
        raw("chunked, but not last", BAD, move || {
            post(
                "Transfer-Encoding: chunked, identity\r\n",
                &format!("0\r\n\r\n{hidden}"),
            )
        }),
        raw("a transfer coding that does not exist", BAD, move || {
            post("Transfer-Encoding: xchunked\r\n", &format!("0\r\n\r\n{hidden}"))
        }),
        raw("a transfer coding behind a tab", BAD, move || {
            post("Transfer-Encoding :\tchunked\r\n", &format!("0\r\n\r\n{hidden}"))
        }),
        raw("chunks in HTTP/1.0", BAD, move || {
            format!("POST /v1/traces HTTP/1.0\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{hidden}").into_bytes()
        }),
        raw("bytes behind the body", &["200 400", "200"], || {
            post("Content-Length: 2\r\n", "{}garbage\r\n\r\n")
        }),
        raw(
            "an expectation that nobody can meet",
            &["417", "200", "400"],
            || {
                post(
                    "Expect: the-unexpected\r\nContent-Length: 2\r\nConnection: close\r\n",
                    "{}",
                )
            },
        ),
        raw("100-continue, and the body at once", &["100 200", "200"], || {
            post(
                "Expect: 100-continue\r\nContent-Length: 2\r\nConnection: close\r\n",
                "{}",
            )
        }),
        raw("100-continue for what would be refused", &["413"], || {
            post("Expect: 100-continue\r\nContent-Length: 999999999\r\n", "")
        }),
    ]
}

fn slow() -> Vec<Class> {
    vec![
        drip("nothing at all", &["closed"], "", ""),
        drip(
            "headers a byte at a time",
            &["closed", "408"],
            "POST /v1/traces HTTP/1.1\r\nHost: x\r\nX-Long: 0123456789\r\n",
            "x",
        ),
        drip(
            "a body a byte at a time",
            &["503"],
            "POST /v1/traces HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 9999\r\n\r\n",
            " ",
        ),
        drip(
            "chunks a byte at a time",
            &["503"],
            "POST /v1/traces HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n",
            "1\r\n \r\n",
        ),
        class("a body that never comes", &["503"], |target: Target| async move {
            exchange(target.http, post("Content-Length: 100\r\n", "{")).await
        }),
        class(
            "a client that goes away in the middle",
            &["gone"],
            |target: Target| async move {
                for _ in 0..100 {
                    let mut stream = TcpStream::connect(target.http).await.unwrap();
                    let _ = stream
                        .write_all(&post("Content-Length: 1000000\r\n", "{\"resourceSpans\":["))
                        .await;
                }
                "gone".to_owned()
            },
        ),
        class(
            "a client that does not read",
            &["cut"],
            |target: Target| async move {
                let mut stream = TcpStream::connect(target.http).await.unwrap();
                let requests = b"GET /nowhere HTTP/1.1\r\nHost: x\r\n\r\n".repeat(1000);
                for _ in 0..20_000 {
                    match tokio::time::timeout(Duration::from_secs(20), stream.write_all(&requests)).await {
                        Ok(Ok(())) => {}
                        Ok(Err(_)) => return "cut".to_owned(),
                        Err(_) => return "waits for ever".to_owned(),
                    }
                }
                "read on".to_owned()
            },
        ),
        class(
            "five hundred connections that say nothing",
            &["all closed"],
            |target: Target| async move {
                let mut all = Vec::new();
                for _ in 0..500 {
                    all.push(TcpStream::connect(target.http).await.unwrap());
                }
                for mut stream in all {
                    let (said, is_open) = read_all(&mut stream, Duration::from_secs(25)).await;
                    if is_open || !said.is_empty() {
                        return format!("open: {}", said.len());
                    }
                }
                "all closed".to_owned()
            },
        ),
    ]
}
