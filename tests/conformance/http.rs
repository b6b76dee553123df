//! Rows H1 to H16.

use crate::receive_support::{Authority, HTTP_CODINGS, Running, Setup, gzip, request};
use crate::{authenticators, noise};
use burngate::config::{Cors, HttpReceiver, PemSource, ReceiverAuth, ReceiverLimits};
use burngate::pipeline::{Refusal, Signal};
use burngate::receive::{Authenticators, Gate};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message;
use reqwest::{Client, Method, Response, StatusCode};
use serde_json::Value;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tonic::Code;

pub(crate) const PROTOBUF: &str = "application/x-protobuf";
pub(crate) const JSON: &str = "application/json";

fn builder() -> reqwest::ClientBuilder {
    let _ = rustls::crypto::ring::default_provider().install_default();
    Client::builder().no_proxy().timeout(Duration::from_secs(20))
}

pub(crate) async fn post(
    server: &Running,
    path: &str,
    headers: &[(&str, &str)],
    body: impl Into<reqwest::Body>,
) -> Response {
    send(server, Method::POST, path, headers, body).await
}

async fn send(
    server: &Running,
    method: Method,
    path: &str,
    headers: &[(&str, &str)],
    body: impl Into<reqwest::Body>,
) -> Response {
    let mut request = builder()
        .build()
        .unwrap()
        .request(method, server.url(path))
        .body(body);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.send().await.unwrap()
}

fn with(http: HttpReceiver) -> Setup {
    Setup {
        http,
        ..Setup::default()
    }
}

/// Code and message of a Status in either encoding.
async fn status(response: Response) -> (i64, String) {
    let is_json = response.headers()["content-type"] == JSON;
    let body = response.bytes().await.unwrap();
    if is_json {
        let body: Value = serde_json::from_slice(&body).unwrap();
        return (
            body["code"].as_i64().unwrap(),
            body["message"].as_str().unwrap().to_owned(),
        );
    }
    let status = tonic_types::Status::decode(body).unwrap();
    (i64::from(status.code), status.message)
}

#[tokio::test]
async fn h1_three_paths_on_port_4318_that_can_be_changed() {
    assert_eq!(HttpReceiver::default().endpoint.address().unwrap().port(), 4318);
    let server = with(HttpReceiver {
        metrics_url_path: "/otlp/m".to_owned(),
        ..HttpReceiver::default()
    });
    let server = server.http().await;
    for (path, expected) in [
        ("/v1/traces", 200),
        ("/otlp/m", 200),
        ("/v1/logs", 200),
        ("/v1/metrics", 404),
    ] {
        let response = post(&server, path, &[("content-type", PROTOBUF)], "").await;
        assert_eq!(response.status(), expected, "{path}");
    }
    let signals: Vec<_> = server
        .sink
        .batches
        .lock()
        .unwrap()
        .iter()
        .map(|b| b.signal)
        .collect();
    assert_eq!(signals, [Signal::Traces, Signal::Metrics, Signal::Logs]);
}

#[tokio::test]
async fn h2_the_content_type_chooses_the_encoding_and_parameters_are_tolerated() {
    let server = Setup::default().http().await;
    let sent = request(2);
    let json = serde_json::to_vec(&sent).unwrap();
    for (kind, body) in [
        (PROTOBUF, sent.encode_to_vec()),
        ("Application/JSON; charset=utf-8", json),
        ("application/x-protobuf;charset=x", sent.encode_to_vec()),
    ] {
        assert_eq!(
            post(&server, "/v1/traces", &[("content-type", kind)], body)
                .await
                .status(),
            200
        );
    }
    for body in server.bodies() {
        assert_eq!(ExportTraceServiceRequest::decode(body).unwrap(), sent);
    }
}

#[tokio::test]
async fn h3_answers_come_in_the_encoding_of_the_request() {
    let server = Setup::default().http().await;
    for (kind, body) in [(PROTOBUF, ""), (JSON, "{}"), (PROTOBUF, "x"), (JSON, "x")] {
        let response = post(&server, "/v1/logs", &[("content-type", kind)], body).await;
        assert_eq!(response.headers()["content-type"], kind);
    }
}

#[tokio::test]
async fn h4_success_is_200_with_a_response() {
    let server = Setup::default().http().await;
    let binary = post(&server, "/v1/traces", &[("content-type", PROTOBUF)], "").await;
    assert_eq!(
        (binary.status(), binary.bytes().await.unwrap().len()),
        (StatusCode::OK, 0)
    );
    let text = post(&server, "/v1/traces", &[("content-type", JSON)], "{}").await;
    assert_eq!(
        (text.status(), text.text().await.unwrap()),
        (StatusCode::OK, "{}".to_owned())
    );
}

#[tokio::test]
async fn h5_every_refusal_has_a_status_as_its_body() {
    let server = Setup::default().http().await;
    for (method, path, kind, expected) in [
        (Method::GET, "/v1/traces", JSON, 405),
        (Method::POST, "/v1/traces", "text/json", 415),
        (Method::POST, "/v1/traces", "text/plain", 415),
        (Method::POST, "/nowhere", PROTOBUF, 404),
        (Method::POST, "/v1/traces", JSON, 400),
    ] {
        let response = send(&server, method, path, &[("content-type", kind)], "[").await;
        assert_eq!(response.status(), expected, "{path} {kind}");
        let (code, message) = status(response).await;
        assert!(code > 0 && !message.is_empty(), "{path} {kind}");
    }
}

#[tokio::test]
async fn h6_too_large_before_or_after_decompression_is_413() {
    let server = with(HttpReceiver {
        max_request_body_size: 65_536,
        ..HttpReceiver::default()
    });
    let server = server.http().await;
    let bodies = [noise(65_537), vec![0; 4 << 20]];
    for (coding, pack) in HTTP_CODINGS {
        for body in &bodies {
            let headers = [("content-type", PROTOBUF), ("content-encoding", coding)];
            let response = post(&server, "/v1/traces", &headers, pack(body)).await;
            assert_eq!(response.status(), 413, "{coding}");
            assert!(!response.headers().contains_key("retry-after"), "{coding}");
            assert_eq!(status(response).await.0, 8, "{coding}");
        }
    }
    assert!(server.bodies().is_empty());
}

#[tokio::test]
async fn h7_undecodable_is_400_with_bad_request() {
    let server = Setup::answering(|_| Err(Refusal::Malformed("not a request".into())))
        .http()
        .await;
    let response = post(&server, "/v1/traces", &[("content-type", JSON)], "{}").await;
    assert_eq!(response.status(), 400);
    let body: Value = response.json().await.unwrap();
    assert_eq!(body["code"], 3);
    assert_eq!(
        body["details"][0]["@type"],
        "type.googleapis.com/google.rpc.BadRequest"
    );
}

#[tokio::test]
async fn h8_only_what_may_be_sent_again_has_a_status_that_says_so() {
    let cases: [(fn() -> Refusal, bool); 3] = [
        (|| Refusal::Malformed("bad".into()), false),
        (|| Refusal::TooLarge("big".into()), false),
        (
            || Refusal::Overloaded {
                message: "full".into(),
                retry_after_secs: 2,
            },
            true,
        ),
    ];
    for (refusal, again) in cases {
        let server = Setup::answering(move |_| Err(refusal())).http().await;
        let response = post(&server, "/v1/traces", &[("content-type", PROTOBUF)], "").await;
        let status = response.status().as_u16();
        assert_eq!([429, 502, 503, 504].contains(&status), again, "{status}");
    }
}

#[tokio::test]
async fn h9_overload_is_503_with_retry_after() {
    let full = Setup {
        limits: ReceiverLimits {
            max_in_flight_mib: 1,
            ..ReceiverLimits::default()
        },
        ..Setup::default()
    };
    let server = full.http().await;
    let response = post(&server, "/v1/traces", &[("content-type", JSON)], noise(2 << 20)).await;
    assert_eq!(response.status(), 503);
    let after: u64 = response.headers()["retry-after"]
        .to_str()
        .unwrap()
        .parse()
        .unwrap();
    assert!((1..=30).contains(&after));
    let body: Value = response.json().await.unwrap();
    assert_eq!(
        body["details"][0]["@type"],
        "type.googleapis.com/google.rpc.RetryInfo"
    );
}

#[tokio::test]
async fn h10_codes_from_downstream_map_as_the_collectors() {
    for (code, expected) in [
        (Code::Cancelled, 503),
        (Code::DeadlineExceeded, 503),
        (Code::Aborted, 503),
        (Code::OutOfRange, 503),
        (Code::Unavailable, 503),
        (Code::DataLoss, 503),
        (Code::ResourceExhausted, 429),
        (Code::InvalidArgument, 400),
        (Code::Unauthenticated, 401),
        (Code::PermissionDenied, 403),
        (Code::Unimplemented, 404),
        (Code::Internal, 500),
    ] {
        let refuse = move |_: &_| {
            Err(Refusal::Downstream {
                code,
                message: "backend".into(),
                retry_after: Some(Duration::from_millis(1500)),
            })
        };
        let server = Setup::answering(refuse).http().await;
        let response = post(&server, "/v1/traces", &[("content-type", PROTOBUF)], "").await;
        assert_eq!(response.status(), expected, "{code:?}");
        assert_eq!(response.headers()["retry-after"], "2");
        assert_eq!(status(response).await, (code as i64, "backend".to_owned()));
    }
}

#[tokio::test]
async fn h11_all_content_codings_are_taken_and_can_be_turned_off() {
    let server = Setup::default().http().await;
    let plain = request(300).encode_to_vec();
    for (coding, pack) in HTTP_CODINGS {
        let headers = [("content-type", PROTOBUF), ("content-encoding", coding)];
        let response = post(&server, "/v1/traces", &headers, pack(&plain)).await;
        assert_eq!(response.status(), 200, "{coding}");
    }
    assert!(server.bodies().iter().all(|body| *body == plain));
    let off = with(HttpReceiver {
        compression_algorithms: Vec::new(),
        ..HttpReceiver::default()
    });
    let off = off.http().await;
    for (server, coding) in [(&server, "br"), (&server, "gzip, gzip"), (&off, "gzip")] {
        let headers = [("content-type", JSON), ("content-encoding", coding)];
        let response = post(server, "/v1/traces", &headers, gzip(b"{}")).await;
        assert_eq!(response.status(), 400, "{coding}");
        let expected = format!("unsupported Content-Encoding: {coding}");
        assert_eq!(status(response).await, (3, expected));
    }
}

#[tokio::test]
async fn h12_answers_are_not_compressed() {
    let server = Setup::answering(|_| Err(Refusal::Malformed("x".repeat(2000).into())))
        .http()
        .await;
    let headers = [("content-type", JSON), ("accept-encoding", "gzip")];
    let response = post(&server, "/v1/traces", &headers, "{}").await;
    assert!(!response.headers().contains_key("content-encoding"));
}

#[tokio::test]
async fn h13_pages_of_allowed_origins_may_send() {
    let server = with(HttpReceiver {
        cors: Some(Cors {
            allowed_origins: vec!["https://*.example.com".to_owned()],
            allowed_headers: vec!["x-tenant".to_owned()],
            ..Cors::default()
        }),
        response_headers: vec![("x-served-by".to_owned(), "burngate".to_owned())],
        ..HttpReceiver::default()
    });
    let server = server.http().await;
    let preflight = |origin| {
        let headers = [
            ("origin", origin),
            ("access-control-request-method", "POST"),
            ("access-control-request-headers", "content-type,x-tenant"),
        ];
        let server = &server;
        async move { send(server, Method::OPTIONS, "/v1/traces", &headers, "").await }
    };
    let (mine, other) = (
        preflight("https://shop.example.com").await,
        preflight("https://evil.com").await,
    );
    assert_eq!(
        (mine.status(), other.status()),
        (StatusCode::NO_CONTENT, StatusCode::NO_CONTENT)
    );
    assert_eq!(
        mine.headers()["access-control-allow-origin"],
        "https://shop.example.com"
    );
    assert_eq!(mine.headers()["access-control-allow-credentials"], "true");
    assert!(!other.headers().contains_key("access-control-allow-origin"));
    let headers = [("content-type", JSON), ("origin", "https://shop.example.com")];
    let sent = post(&server, "/v1/traces", &headers, "{}").await;
    assert_eq!(
        (sent.status(), &sent.headers()["access-control-allow-origin"]),
        (StatusCode::OK, &mine.headers()["access-control-allow-origin"])
    );
    assert_eq!(sent.headers()["x-served-by"], "burngate");
}

#[tokio::test]
async fn h14_slow_clients_lose_their_place() {
    let server = with(HttpReceiver {
        read_header_timeout_secs: 1,
        read_timeout_secs: 1,
        idle_timeout_secs: 2,
        ..HttpReceiver::default()
    });
    let server = server.http().await;
    let started = std::time::Instant::now();
    let mut ends = Vec::new();
    for (opening, drip) in [
        ("", ""),
        (
            "POST /v1/traces HTTP/1.1\r\nHost: x\r\nX-Long-Enough: 0123456789\r\n",
            "X-A: b\r\n",
        ),
        (
            "POST /v1/traces HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n",
            " ",
        ),
        (
            "POST /v1/traces HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}",
            "",
        ),
    ] {
        let mut stream = TcpStream::connect(server.addr).await.unwrap();
        ends.push(tokio::spawn(async move {
            stream.write_all(opening.as_bytes()).await.unwrap();
            let (mut read, mut write) = stream.split();
            let mut said = Vec::new();
            let dripping = async {
                loop {
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    if write.write_all(drip.as_bytes()).await.is_err() {
                        std::future::pending::<()>().await;
                    }
                }
            };
            tokio::select! {
                _ = read.read_to_end(&mut said) => {}
                () = dripping => {}
            }
            String::from_utf8_lossy(&said).into_owned()
        }));
    }
    let mut said = Vec::new();
    for end in ends {
        said.push(
            tokio::time::timeout(Duration::from_secs(15), end)
                .await
                .expect("closed")
                .unwrap(),
        );
    }
    assert!(started.elapsed() < Duration::from_secs(15));
    assert_eq!(&said[..2], ["", ""], "no request, no answer");
    assert!(said[2].starts_with("HTTP/1.1 503"), "{}", said[2]);
    assert!(
        said[3].starts_with("HTTP/1.1 200"),
        "served, and closed when idle: {}",
        said[3]
    );
}

#[tokio::test]
async fn h15_without_the_right_credentials_401_and_metadata_is_kept_where_asked_for() {
    let config = HttpReceiver {
        include_metadata: true,
        auth: Some(ReceiverAuth {
            authenticator: "bearertokenauth".to_owned(),
            request_params: vec!["authorization".to_owned()],
        }),
        ..HttpReceiver::default()
    };
    let setup = Setup {
        gate: Gate::http(&config, &authenticators("t0ken")).unwrap(),
        http: config,
        ..Setup::default()
    };
    let server = setup.http().await;
    for kind in [PROTOBUF, JSON] {
        let response = post(&server, "/v1/traces", &[("content-type", kind)], "{}").await;
        assert_eq!(
            (response.status(), &response.headers()["www-authenticate"]),
            (StatusCode::UNAUTHORIZED, &"Bearer".parse().unwrap())
        );
        assert_eq!(status(response).await.0, 16);
    }
    let headers = [
        ("content-type", JSON),
        ("authorization", "Bearer t0ken"),
        ("X-Tenant", "acme"),
    ];
    assert_eq!(post(&server, "/v1/traces", &headers, "{}").await.status(), 200);
    let by_query = post(
        &server,
        "/v1/traces?authorization=Bearer%20t0ken",
        &headers[..1],
        "{}",
    )
    .await;
    assert_eq!(by_query.status(), 200);
    let batches = server.sink.batches.lock().unwrap();
    let metadata = batches[0].metadata.as_ref().unwrap();
    assert_eq!(metadata.values("x-tenant").collect::<Vec<_>>(), ["acme"]);
    assert_eq!(metadata.identity.as_deref(), Some("bearertokenauth#1"));
}

#[tokio::test]
async fn h16_certificates_that_change_are_in_use_without_a_dropped_connection() {
    let folder = tempfile::tempdir().unwrap();
    let (cert, key) = (folder.path().join("c.pem"), folder.path().join("k.pem"));
    let write = |authority: &Authority| {
        let (certificate, private) = authority.sign("localhost");
        std::fs::write(&cert, certificate).unwrap();
        std::fs::write(&key, private).unwrap();
    };
    let (old, new) = (Authority::default(), Authority::default());
    write(&old);
    let mut tls = old.server();
    tls.certificate = PemSource::File(cert.clone());
    tls.key = PemSource::File(key.clone());
    let config = HttpReceiver {
        tls: Some(tls),
        ..HttpReceiver::default()
    };
    let setup = Setup {
        gate: Gate::http(&config, &Authenticators::default()).unwrap(),
        http: config,
        ..Setup::default()
    };
    let server = setup.http().await;
    let client = |authority: &Authority| {
        let root = reqwest::Certificate::from_pem(authority.root.as_bytes()).unwrap();
        let to = ("localhost", server.addr);
        builder()
            .tls_certs_only([root])
            .resolve(to.0, to.1)
            .build()
            .unwrap()
    };
    let url = format!("https://localhost:{}/v1/traces", server.addr.port());
    let send = |client: &Client| client.post(&url).header("content-type", JSON).body("{}").send();
    let kept = client(&old);
    assert_eq!(send(&kept).await.unwrap().status(), 200);
    assert!(send(&client(&new)).await.is_err());
    write(&new);
    server.reload.ring();
    let mut taken = false;
    for _ in 0..100 {
        taken = send(&client(&new)).await.is_ok();
        if taken {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(taken, "the new certificate is in use");
    assert_eq!(
        send(&kept).await.unwrap().status(),
        200,
        "the old connection lives on"
    );
    std::fs::write(&cert, "half").unwrap();
    server.reload.ring();
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(
        send(&client(&new)).await.unwrap().status(),
        200,
        "a bad file changes nothing"
    );
    // Plain text on a port of TLS gets nowhere, and costs nobody else anything.
    let mut plain = TcpStream::connect(server.addr).await.unwrap();
    plain.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    let mut said = Vec::new();
    let _ = plain.read_to_end(&mut said).await;
    assert!(!said.starts_with(b"HTTP"));
}
