//! On a port that speaks TLS.

use super::{Class, Target, class, read_all, summary};
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

/// Bytes, and then silence: what was said before the end. Alerts are not HTTP.
async fn say(target: Target, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(target.tls).await.unwrap();
    let _ = stream.write_all(bytes).await;
    let (said, is_open) = read_all(&mut stream, Duration::from_secs(10)).await;
    summary(&said, is_open)
}

fn bytes(name: &str, bytes: &'static [u8]) -> Class {
    class(name, &["closed"], move |target| say(target, bytes))
}

pub(crate) fn classes() -> Vec<Class> {
    vec![
        bytes("a handshake that does not begin", b""),
        bytes(
            "garbage in place of TLS",
            b"\xDE\xAD\xBE\xEF garbage garbage garbage garbage",
        ),
        bytes(
            "plain HTTP on a TLS port",
            b"POST /v1/traces HTTP/1.1\r\nHost: x\r\n\r\n",
        ),
        bytes(
            "HTTP/2 in the clear on a TLS port",
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0",
        ),
        bytes(
            "a record cut short",
            &[22, 3, 1, 0x40, 0, 1, 0, 0x3F, 0xFC, 3, 3, 1, 2, 3],
        ),
        bytes(
            "a record longer than records may be",
            &[22, 3, 1, 0xFF, 0xFF, 1, 0, 0],
        ),
        bytes(
            "a hello that lies about its length",
            &[22, 3, 1, 0, 5, 1, 0xFF, 0xFF, 0xFF, 0],
        ),
        bytes("an alert as the first word", &[21, 3, 1, 0, 2, 2, 40]),
        class(
            "four hundred handshakes that do not end",
            &["served"],
            |target: Target| async move {
                let mut all = Vec::new();
                for _ in 0..400 {
                    let mut stream = TcpStream::connect(target.tls).await.unwrap();
                    let _ = stream.write_all(&[22, 3, 1, 2, 0, 1, 0, 1, 0xFC]).await;
                    all.push(stream);
                }
                let _ = rustls::crypto::ring::default_provider().install_default();
                let client = reqwest::Client::builder()
                    .no_proxy()
                    .tls_danger_accept_invalid_certs(true)
                    .timeout(Duration::from_secs(10))
                    .build()
                    .unwrap();
                let url = format!("https://{}/v1/traces", target.tls);
                let answer = client
                    .post(url)
                    .header("content-type", "application/json")
                    .body("{}")
                    .send()
                    .await;
                match answer {
                    Ok(answer) if answer.status() == 200 => "served".to_owned(),
                    other => format!("{other:?}"),
                }
            },
        ),
    ]
}
