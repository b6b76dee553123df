//! OTLP/HTTP against `serve_http`: the rows H1-H11, and what an attacker would try.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::disallowed_methods,
    missing_docs
)]

mod receive_support;

use burngate::config::{HttpReceiver, ReceiverLimits};
use burngate::pipeline::{Accepted, Refusal, Signal, Signals};
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceResponse;
use prost::Message;
use receive_support::{Running, Setup, eventually, gzip, request, zstd, zstd_stream};
use reqwest::{Client, Method, Response, StatusCode};
use serde_json::{Value, json};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};
use tonic_types::RpcStatusExt;

const PROTOBUF: &str = "application/x-protobuf";
const JSON: &str = "application/json";
const KIB: u64 = 1 << 10;

fn client() -> Client {
    let _ = rustls::crypto::ring::default_provider().install_default();
    Client::builder()
        .no_proxy()
        .timeout(Duration::from_secs(20))
        .build()
        .unwrap()
}

fn limited(max_request_body_size: u64) -> Setup {
    Setup {
        http: HttpReceiver {
            max_request_body_size,
            ..HttpReceiver::default()
        },
        ..Setup::default()
    }
}

async fn post(
    server: &Running,
    path: &str,
    headers: &[(&str, &str)],
    body: impl Into<reqwest::Body>,
) -> Response {
    let mut request = client().post(server.url(path)).body(body);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.send().await.unwrap()
}

/// The Status in a refusal's body, whatever its encoding: code, message, retry delay.
async fn status(response: Response) -> (i32, String, Option<Duration>) {
    let json = response.headers()["content-type"] == JSON;
    let body = response.bytes().await.unwrap();
    if json {
        let body: Value = serde_json::from_slice(&body).unwrap();
        let delay = body["details"].as_array().unwrap().iter().find_map(|d| {
            let seconds = d["retryDelay"].as_str()?.strip_suffix('s')?;
            Some(Duration::from_secs_f64(seconds.parse().unwrap()))
        });
        let code = i32::try_from(body["code"].as_i64().unwrap()).unwrap();
        return (code, body["message"].as_str().unwrap().to_owned(), delay);
    }
    let status = tonic_types::Status::decode(body).unwrap();
    let delay = status.get_details_retry_info().and_then(|r| r.retry_delay);
    (status.code, status.message, delay)
}

#[tokio::test]
async fn h1_h2_three_paths_take_protobuf_and_json_with_parameters() {
    let server = Setup::default().http().await;
    let traces = request(3);
    let cases: [(&str, &str, Vec<u8>); 6] = [
        ("/v1/traces", PROTOBUF, traces.encode_to_vec()),
        (
            "/v1/traces",
            "application/json; charset=utf-8",
            serde_json::to_vec(&traces).unwrap(),
        ),
        ("/v1/metrics", "Application/X-Protobuf;x=y", vec![]),
        ("/v1/metrics", JSON, b"{}".to_vec()),
        ("/v1/logs?a=b", PROTOBUF, vec![]),
        ("/v1/logs", JSON, br#"{"resourceLogs":[]}"#.to_vec()),
    ];
    for (path, content_type, body) in cases {
        let response = post(&server, path, &[("content-type", content_type)], body).await;
        assert_eq!(response.status(), StatusCode::OK, "{path} {content_type}");
    }
    let batches = server.sink.batches.lock().unwrap();
    let signals: Vec<_> = batches.iter().map(|b| b.signal).collect();
    assert_eq!(
        signals,
        [
            Signal::Traces,
            Signal::Traces,
            Signal::Metrics,
            Signal::Metrics,
            Signal::Logs,
            Signal::Logs
        ]
    );
    assert_eq!(batches[0].bytes, traces.encode_to_vec());
    let from_json = opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest::decode(
        batches[1].bytes.clone(),
    );
    assert_eq!(from_json.unwrap(), traces);
}

#[tokio::test]
async fn h3_h4_success_is_an_empty_response_in_the_requests_type() {
    let server = Setup::default().http().await;
    for (content_type, sent, body) in [(PROTOBUF, "", ""), (JSON, "{}", "{}")] {
        let response = post(&server, "/v1/traces", &[("content-type", content_type)], sent).await;
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()["content-type"], content_type);
        assert_eq!(response.text().await.unwrap(), body);
    }
}

#[tokio::test]
async fn partial_success_is_told_in_the_requests_type() {
    let server = Setup::answering(|_| {
        Ok(Accepted {
            items: 3,
            rejected: 2,
            message: "bad ids".into(),
        })
    })
    .http()
    .await;
    let response = post(&server, "/v1/metrics", &[("content-type", PROTOBUF)], "").await;
    let partial = ExportMetricsServiceResponse::decode(response.bytes().await.unwrap())
        .unwrap()
        .partial_success;
    let partial = partial.unwrap();
    assert_eq!(
        (partial.rejected_data_points, partial.error_message.as_str()),
        (2, "bad ids")
    );
    for (path, member) in [
        ("/v1/traces", "rejectedSpans"),
        ("/v1/metrics", "rejectedDataPoints"),
        ("/v1/logs", "rejectedLogRecords"),
    ] {
        let response = post(&server, path, &[("content-type", JSON)], "{}").await;
        let body: Value = response.json().await.unwrap();
        assert_eq!(
            body,
            json!({ "partialSuccess": { member: "2", "errorMessage": "bad ids" } })
        );
    }
}

#[tokio::test]
async fn h5_every_refusal_has_a_status_in_the_requests_encoding() {
    let setup = Setup {
        signals: Signals {
            metrics: false,
            ..Signals::ALL
        },
        ..Setup::default()
    };
    let server = setup.http().await;
    let url = |path| server.url(path);
    let cases = [
        (Method::GET, "/v1/traces", JSON, JSON, 405, 12),
        (Method::PUT, "/v1/logs", PROTOBUF, PROTOBUF, 405, 12),
        (Method::GET, "/v1/traces", "", PROTOBUF, 405, 12),
        (Method::POST, "/v1/traces", "text/plain", PROTOBUF, 415, 3),
        (
            Method::POST,
            "/v1/traces",
            "application/vnd.api+json",
            JSON,
            415,
            3,
        ),
        (Method::POST, "/v1/traces", "", PROTOBUF, 415, 3),
        (Method::POST, "/v1/spans", JSON, JSON, 404, 12),
        (Method::POST, "/", PROTOBUF, PROTOBUF, 404, 12),
        (Method::POST, "/v1/metrics", JSON, JSON, 404, 12),
    ];
    for (method, path, content_type, answered, http, code) in cases {
        let mut request = client().request(method.clone(), url(path)).body("x");
        if !content_type.is_empty() {
            request = request.header("content-type", content_type);
        }
        let response = request.send().await.unwrap();
        let what = format!("{method} {path} {content_type}");
        assert_eq!(response.status().as_u16(), http, "{what}");
        assert_eq!(response.headers()["content-type"], answered, "{what}");
        assert_eq!(response.headers().contains_key("allow"), http == 405, "{what}");
        let (found, message, delay) = status(response).await;
        assert_eq!((found, delay), (code, None), "{what}");
        assert!(!message.is_empty());
    }
    assert!(server.bodies().is_empty());
}

#[tokio::test]
async fn h6_oversize_is_413_by_length_in_chunks_and_after_decompression() {
    let server = limited(64 * KIB).http().await;
    let body = vec![b' '; 64 * 1024 + 1];
    let chunks = |body: &[u8]| {
        let pieces: Vec<_> = body
            .chunks(5000)
            .map(|c| Ok::<_, std::io::Error>(c.to_vec()))
            .collect();
        reqwest::Body::wrap(http_body_util::StreamBody::new(tokio_stream::StreamExt::map(
            tokio_stream::iter(pieces),
            |piece| piece.map(|p| http_body::Frame::data(bytes::Bytes::from(p))),
        )))
    };
    for coding in ["identity", "gzip", "zstd", "stream"] {
        let sent = match coding {
            "gzip" => reqwest::Body::from(gzip(&body)),
            "zstd" => zstd(&body).into(),
            "stream" => zstd_stream(&body).into(),
            _ => body.clone().into(),
        };
        let coding = if coding == "stream" { "zstd" } else { coding };
        let response = post(
            &server,
            "/v1/traces",
            &[("content-type", PROTOBUF), ("content-encoding", coding)],
            sent,
        )
        .await;
        assert_eq!(response.status(), StatusCode::PAYLOAD_TOO_LARGE, "{coding}");
        assert!(!response.headers().contains_key("retry-after"));
        assert_eq!(status(response).await.0, 8);
    }
    let response = post(&server, "/v1/traces", &[("content-type", JSON)], chunks(&body)).await;
    assert_eq!(response.status(), StatusCode::PAYLOAD_TOO_LARGE);
    let response = post(
        &server,
        "/v1/traces",
        &[("content-type", PROTOBUF)],
        chunks(&body[1..]),
    )
    .await;
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(server.bodies(), [body[1..].to_vec()]);
}

#[tokio::test]
async fn h6_a_client_that_writes_far_too_much_still_reads_its_413() {
    let server = limited(8 << 20).http().await;
    let response = post(
        &server,
        "/v1/traces",
        &[("content-type", PROTOBUF)],
        vec![1; 15 << 20],
    )
    .await;
    assert_eq!(response.status(), StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(server.admission.in_flight_bytes(), 0);
}

#[tokio::test]
async fn h7_undecodable_is_400_with_the_place() {
    let server = Setup::answering(|_| Err(Refusal::Malformed("not a valid protobuf message".into())))
        .http()
        .await;
    let cases: [(&str, &str, Vec<u8>); 6] = [
        (PROTOBUF, "identity", vec![0xFF]),
        (PROTOBUF, "gzip", b"not gzip".to_vec()),
        (PROTOBUF, "zstd", b"not zstd".to_vec()),
        (PROTOBUF, "gzip", gzip(b"hello")[..12].to_vec()),
        (JSON, "identity", b"".to_vec()),
        (
            JSON,
            "identity",
            br#"{"resourceSpans":[{"scopeSpans":[{"spans":[{"traceId":"xyz"}]}]}]}"#.to_vec(),
        ),
    ];
    for (content_type, coding, body) in cases {
        let headers = [("content-type", content_type), ("content-encoding", coding)];
        let response = post(&server, "/v1/traces", &headers, body.clone()).await;
        assert_eq!(response.status(), StatusCode::BAD_REQUEST, "{coding} {body:?}");
        assert_eq!(response.headers()["content-type"], content_type);
        let (code, message, delay) = status(response).await;
        assert_eq!((code, delay), (3, None));
        if body.len() > 40 {
            assert!(
                message.contains("resourceSpans[0].scopeSpans[0].spans[0].traceId"),
                "{message}"
            );
        }
    }
}

#[tokio::test]
async fn h9_overload_is_503_with_retry_after_and_retry_info() {
    let setup = Setup {
        limits: ReceiverLimits {
            max_in_flight_mib: 1,
            admission_wait_ms: 20,
            ..ReceiverLimits::default()
        },
        ..Setup::default()
    };
    let server = setup.http().await;
    let mut holder = TcpStream::connect(server.addr).await.unwrap();
    let head = format!(
        "POST /v1/traces HTTP/1.1\r\nhost: a\r\ncontent-type: {PROTOBUF}\r\ncontent-length: 800000\r\n\r\n"
    );
    holder
        .write_all(&[head.as_bytes(), &vec![1; 700_000]].concat())
        .await
        .unwrap();
    eventually("the first is admitted", || {
        server.admission.in_flight_bytes() == 700_000
    })
    .await;
    for content_type in [PROTOBUF, JSON] {
        let response = post(
            &server,
            "/v1/traces",
            &[("content-type", content_type)],
            vec![b' '; 600_000],
        )
        .await;
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
        let seconds: u64 = response.headers()["retry-after"]
            .to_str()
            .unwrap()
            .parse()
            .unwrap();
        assert!((1..=30).contains(&seconds));
        let (code, _, delay) = status(response).await;
        assert_eq!(code, 14);
        assert!(delay.unwrap() <= Duration::from_secs(seconds));
    }
    drop(holder);
    eventually("all is given back", || server.admission.in_flight_bytes() == 0).await;
}

#[tokio::test]
async fn h10_refusals_of_the_consumer_map_as_the_collectors() {
    let server = Setup::answering(|batch| match batch.bytes.first() {
        Some(b'm') => Err(Refusal::Malformed("m".into())),
        Some(b'l') => Err(Refusal::TooLarge("l".into())),
        Some(b'o') => Err(Refusal::Overloaded {
            message: "o".into(),
            retry_after_secs: 9,
        }),
        Some(b'p') => panic!("told to"),
        _ => Ok(Accepted::default()),
    });
    let server = server.http().await;
    for (body, http, code, retry) in [
        ("m", 400, 3, None),
        ("l", 413, 8, None),
        ("o", 503, 14, Some("9")),
        ("p", 500, 13, None),
    ] {
        let response = post(&server, "/v1/traces", &[("content-type", PROTOBUF)], body).await;
        assert_eq!(response.status().as_u16(), http, "{body}");
        assert_eq!(
            response.headers().get("retry-after").map(|v| v.to_str().unwrap()),
            retry
        );
        assert_eq!(status(response).await.0, code);
    }
    let response = post(&server, "/v1/traces", &[("content-type", PROTOBUF)], "x").await;
    assert_eq!(response.status(), StatusCode::OK);
}

#[tokio::test]
async fn h11_identity_gzip_and_zstd_are_taken_another_coding_is_400() {
    let server = Setup::default().http().await;
    let plain = request(200).encode_to_vec();
    let text = serde_json::to_vec(&request(200)).unwrap();
    for (coding, body) in [
        ("", plain.clone()),
        ("identity", plain.clone()),
        ("gzip", gzip(&plain)),
        ("GZIP", gzip(&plain)),
        ("zstd", zstd(&plain)),
    ] {
        let headers = [("content-type", PROTOBUF), ("content-encoding", coding)];
        let response = post(&server, "/v1/traces", &headers, body).await;
        assert_eq!(response.status(), StatusCode::OK, "{coding}");
    }
    assert!(server.bodies().iter().all(|b| *b == plain));
    let response = post(
        &server,
        "/v1/traces",
        &[("content-type", JSON), ("content-encoding", "gzip")],
        gzip(&text),
    )
    .await;
    assert_eq!(response.status(), StatusCode::OK);
    for coding in ["br", "gzip, gzip", "compress"] {
        let response = post(
            &server,
            "/v1/traces",
            &[("content-type", JSON), ("content-encoding", coding)],
            "{}",
        )
        .await;
        assert_eq!(response.status(), StatusCode::BAD_REQUEST);
        let (code, message, _) = status(response).await;
        assert_eq!(
            (code, message),
            (3, format!("unsupported Content-Encoding: {coding}"))
        );
    }
}

#[tokio::test]
async fn large_json_is_decoded_like_small() {
    let server = Setup::default().http().await;
    let large = request(20_000);
    let text = serde_json::to_vec(&large).unwrap();
    assert!(text.len() > 1 << 20);
    let response = post(&server, "/v1/traces", &[("content-type", JSON)], text).await;
    assert_eq!(response.status(), StatusCode::OK);
    let ids = &server.bodies()[0];
    let decoded =
        opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest::decode(ids.clone())
            .unwrap();
    assert!(decoded == large);
}

#[tokio::test]
async fn bombs_are_refused_within_the_ratio() {
    let server = Setup::default().http().await;
    let zeros = vec![0; 16 << 20];
    for (coding, bomb) in [
        ("gzip", gzip(&zeros)),
        ("zstd", zstd(&zeros)),
        ("zstd", zstd_stream(&zeros)),
    ] {
        let headers = [("content-type", PROTOBUF), ("content-encoding", coding)];
        let response = post(&server, "/v1/traces", &headers, bomb).await;
        assert_eq!(response.status(), StatusCode::PAYLOAD_TOO_LARGE, "{coding}");
    }
    assert_eq!(server.admission.in_flight_bytes(), 0);
}

#[tokio::test]
async fn http2_without_upgrade_works_on_the_same_port() {
    let server = Setup::default().http().await;
    let client = Client::builder()
        .no_proxy()
        .http2_prior_knowledge()
        .build()
        .unwrap();
    let response = client
        .post(server.url("/v1/traces"))
        .header("content-type", PROTOBUF)
        .body("x")
        .send()
        .await
        .unwrap();
    assert_eq!(
        (response.status(), response.version()),
        (StatusCode::OK, reqwest::Version::HTTP_2)
    );
    let response = client.get(server.url("/v1/traces")).send().await.unwrap();
    assert_eq!(response.status(), StatusCode::METHOD_NOT_ALLOWED);
}

async fn raw(server: &Running, request: &str) -> TcpStream {
    let mut stream = TcpStream::connect(server.addr).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    stream
}

/// What comes until `end` is seen or the connection closes.
async fn read_to(stream: &mut TcpStream, end: &str) -> String {
    let mut seen = Vec::new();
    let reading = async {
        let mut buf = [0; 1024];
        while !String::from_utf8_lossy(&seen).contains(end) {
            match stream.read(&mut buf).await {
                Ok(n) if n > 0 => seen.extend_from_slice(&buf[..n]),
                _ => break,
            }
        }
    };
    timeout(Duration::from_secs(10), reading).await.expect("an end");
    String::from_utf8_lossy(&seen).into_owned()
}

#[tokio::test]
async fn expect_continue_is_continued_or_refused_before_the_body() {
    let server = limited(1000).http().await;
    let head = |len: usize| {
        format!(
            "POST /v1/traces HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-type: {PROTOBUF}\r\ncontent-length: {len}\r\n\r\n"
        )
    };
    let mut stream = raw(&server, &head(4)).await;
    assert!(
        read_to(&mut stream, "\r\n\r\n")
            .await
            .starts_with("HTTP/1.1 100 Continue")
    );
    stream.write_all(b"body").await.unwrap();
    assert!(
        read_to(&mut stream, "\r\n\r\n")
            .await
            .starts_with("HTTP/1.1 200 OK")
    );
    let mut stream = raw(&server, &head(5000)).await;
    assert!(read_to(&mut stream, "\r\n\r\n").await.starts_with("HTTP/1.1 413"));
    assert_eq!(server.bodies(), ["body"]);
}

#[tokio::test]
async fn silent_and_slow_headers_are_reaped_and_others_not_affected() {
    let setup = Setup {
        http: HttpReceiver {
            read_header_timeout_secs: 1,
            ..HttpReceiver::default()
        },
        ..Setup::default()
    };
    let server = setup.http().await;
    let mut slow = Vec::new();
    for start in [
        "",
        "P",
        "POST /v1/traces HTTP/1.1\r\nhost: a\r\nx-slow: ",
        "PRI * HTTP/2.0\r\n",
    ] {
        for _ in 0..50 {
            slow.push(raw(&server, start).await);
        }
    }
    let response = post(&server, "/v1/traces", &[("content-type", PROTOBUF)], "x").await;
    assert_eq!(response.status(), StatusCode::OK);
    for mut stream in slow {
        read_to(&mut stream, "never").await;
    }
}

#[tokio::test]
async fn a_body_that_stops_is_given_up_in_seconds() {
    let server = Setup::default().http().await;
    let head = format!(
        "POST /v1/traces HTTP/1.1\r\nhost: a\r\ncontent-type: {PROTOBUF}\r\ncontent-length: 100\r\n\r\nabc"
    );
    let mut stream = raw(&server, &head).await;
    let answer = read_to(&mut stream, "\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
    eventually("its share is given back", || {
        server.admission.in_flight_bytes() == 0
    })
    .await;
}

#[tokio::test]
async fn header_floods_are_refused() {
    let server = Setup::default().http().await;
    let many = "x-many: y\r\n".repeat(100);
    let large = format!("x-large: {}\r\n", "y".repeat(200_000));
    for flood in [many, large] {
        let mut stream = TcpStream::connect(server.addr).await.unwrap();
        let _ = stream
            .write_all(format!("POST /v1/traces HTTP/1.1\r\nhost: a\r\n{flood}\r\n").as_bytes())
            .await;
        let answer = read_to(&mut stream, "never").await;
        assert!(
            answer.is_empty() || answer.starts_with("HTTP/1.1 431"),
            "{answer}"
        );
    }
    assert!(server.bodies().is_empty());
}

#[tokio::test]
async fn shutdown_finishes_what_is_in_flight_and_closes() {
    let mut server = Setup::default().http().await;
    let head = format!(
        "POST /v1/traces HTTP/1.1\r\nhost: a\r\ncontent-type: {PROTOBUF}\r\ncontent-length: 6\r\n\r\nabc"
    );
    let mut stream = raw(&server, &head).await;
    let idle = client();
    let kept = idle
        .post(server.url("/v1/traces"))
        .header("content-type", PROTOBUF)
        .body("k")
        .send()
        .await
        .unwrap();
    assert_eq!(kept.status(), StatusCode::OK);
    eventually("it is admitted", || server.admission.in_flight_bytes() > 0).await;
    server.stop();
    eventually("the port is closed", || {
        std::net::TcpStream::connect(server.addr).is_err()
    })
    .await;
    sleep(Duration::from_millis(100)).await;
    assert!(!server.task.is_finished());
    stream.write_all(b"def").await.unwrap();
    let answer = read_to(&mut stream, "never").await;
    assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
    assert!(answer.to_lowercase().contains("connection: close"), "{answer}");
    timeout(Duration::from_secs(2), &mut server.task)
        .await
        .expect("done once the last has finished")
        .unwrap();
    assert_eq!(server.bodies(), ["k", "abcdef"]);
}

#[tokio::test]
async fn connections_beyond_the_cap_wait_for_a_place() {
    let setup = Setup {
        http: HttpReceiver {
            max_connections: 1,
            ..HttpReceiver::default()
        },
        ..Setup::default()
    };
    let server = setup.http().await;
    let first = raw(&server, "POST /v1/traces HTTP/1.1\r\n").await;
    sleep(Duration::from_millis(50)).await;
    let url = server.url("/v1/traces");
    let second = tokio::spawn(async move {
        client()
            .post(url)
            .header("content-type", PROTOBUF)
            .body("x")
            .send()
            .await
    });
    sleep(Duration::from_millis(200)).await;
    assert!(!second.is_finished());
    drop(first);
    assert_eq!(second.await.unwrap().unwrap().status(), StatusCode::OK);
}
