//! Rows G1 to G13.

use crate::receive_support::{Authority, GRPC_CODINGS, Setup, TRACES, call, framed, gzip, request};
use crate::{authenticators, noise};
use burngate::config::{GrpcReceiver, ReceiverAuth, ReceiverLimits};
use burngate::pipeline::{Accepted, Refusal, Signal, Signals};
use burngate::receive::{Authenticators, Gate};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;
use prost::Message;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tonic::Code;
use tonic::transport::{Certificate, ClientTlsConfig, Endpoint, Identity};
use tonic_types::StatusExt;

const METRICS: &str = "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export";
const LOGS: &str = "/opentelemetry.proto.collector.logs.v1.LogsService/Export";
const MIB: usize = 1 << 20;

fn small() -> Setup {
    Setup {
        grpc: GrpcReceiver {
            max_recv_msg_size_mib: 1,
            ..GrpcReceiver::default()
        },
        ..Setup::default()
    }
}

#[tokio::test]
async fn g1_three_unary_services_on_port_4317() {
    assert_eq!(GrpcReceiver::default().endpoint.address().unwrap().port(), 4317);
    let server = Setup::default().grpc().await;
    let channel = server.channel().await;
    for path in [TRACES, METRICS, LOGS] {
        assert_eq!(
            call(&channel, path, &[], framed(0, b"")).await.code(),
            Code::Ok,
            "{path}"
        );
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
async fn g2_none_gzip_zstd_and_snappy_are_spoken_and_others_are_unimplemented() {
    let server = Setup::default().grpc().await;
    let channel = server.channel().await;
    let plain = request(500).encode_to_vec();
    for (coding, pack) in GRPC_CODINGS {
        let answer = call(
            &channel,
            TRACES,
            &[("grpc-encoding", coding)],
            framed(1, &pack(&plain)),
        )
        .await;
        assert_eq!(answer.code(), Code::Ok, "{coding}: {answer:?}");
        assert_eq!(
            answer.headers["grpc-accept-encoding"],
            "identity,gzip,zstd,snappy"
        );
    }
    assert!(server.bodies().iter().all(|body| *body == plain));
    let answer = call(&channel, TRACES, &[("grpc-encoding", "br")], framed(1, &plain)).await;
    assert_eq!(answer.code(), Code::Unimplemented);
}

#[tokio::test]
async fn g3_too_large_before_or_after_decompression_is_resource_exhausted_and_final() {
    let server = small().grpc().await;
    let channel = server.channel().await;
    let (mixed, zeros) = (noise(MIB + 1), vec![0; 8 * MIB]);
    let mut sent = vec![("identity", 0, mixed.clone())];
    for (coding, pack) in GRPC_CODINGS {
        sent.push((coding, 1, pack(&mixed)));
        sent.push((coding, 1, pack(&zeros)));
    }
    for (coding, flag, body) in sent {
        let answer = call(
            &channel,
            TRACES,
            &[("grpc-encoding", coding)],
            framed(flag, &body),
        )
        .await;
        assert_eq!(answer.code(), Code::ResourceExhausted, "{coding}: {answer:?}");
        assert_eq!(answer.retry_delay(), None);
    }
    assert!(server.bodies().is_empty());
}

#[tokio::test]
async fn g4_an_answer_stays_small() {
    let server = Setup::answering(|_| Err(Refusal::Malformed("x".repeat(100_000).into())))
        .grpc()
        .await;
    let answer = call(&server.channel().await, TRACES, &[], framed(0, b"")).await;
    assert_eq!(answer.code(), Code::InvalidArgument);
    assert_eq!(answer.status.message().len(), 1024);
}

#[tokio::test]
async fn g5_an_empty_request_is_a_success() {
    let server = Setup::default().grpc().await;
    let answer = call(&server.channel().await, TRACES, &[], framed(0, b"")).await;
    assert_eq!((answer.code(), answer.message.len()), (Code::Ok, 0));
}

#[tokio::test]
async fn g6_full_success_leaves_partial_success_unset() {
    let server = Setup::default().grpc().await;
    let answer = call(
        &server.channel().await,
        TRACES,
        &[],
        framed(0, &request(3).encode_to_vec()),
    )
    .await;
    let message = ExportTraceServiceResponse::decode(answer.message).unwrap();
    assert_eq!(message, ExportTraceServiceResponse::default());
}

#[tokio::test]
async fn g7_rejected_items_are_told_by_partial_success() {
    let server = Setup::answering(|_| {
        Ok(Accepted {
            items: 8,
            rejected: 2,
            message: "2 of 10 spans have a wrong id".into(),
        })
    });
    let answer = call(&server.grpc().await.channel().await, TRACES, &[], framed(0, b"")).await;
    assert_eq!(answer.code(), Code::Ok);
    let partial = ExportTraceServiceResponse::decode(answer.message)
        .unwrap()
        .partial_success
        .unwrap();
    assert_eq!(partial.rejected_spans, 2);
    assert!(partial.error_message.contains("wrong id"));
}

#[tokio::test]
async fn g8_only_what_may_be_sent_again_has_a_code_that_says_so() {
    let retryable = [
        Code::Cancelled,
        Code::DeadlineExceeded,
        Code::Aborted,
        Code::OutOfRange,
        Code::Unavailable,
        Code::DataLoss,
    ];
    let overloaded = || Refusal::Overloaded {
        message: "full".into(),
        retry_after_secs: 3,
    };
    let cases: [(fn() -> Refusal, bool); 3] = [
        (overloaded, true),
        (|| Refusal::Malformed("bad".into()), false),
        (|| Refusal::TooLarge("big".into()), false),
    ];
    for (refusal, again) in cases {
        let server = Setup::answering(move |_| Err(refusal())).grpc().await;
        let answer = call(&server.channel().await, TRACES, &[], framed(0, b"")).await;
        assert_eq!(retryable.contains(&answer.code()), again, "{answer:?}");
        assert_eq!(answer.retry_delay().is_some(), again, "{answer:?}");
    }
}

#[tokio::test]
async fn g9_overload_is_unavailable_with_retry_info_and_bad_data_invalid_argument_with_bad_request() {
    let full = Setup {
        limits: ReceiverLimits {
            max_in_flight_mib: 1,
            ..ReceiverLimits::default()
        },
        ..Setup::default()
    };
    let server = full.grpc().await;
    let answer = call(&server.channel().await, TRACES, &[], framed(0, &noise(MIB + 1))).await;
    assert_eq!(answer.code(), Code::Unavailable);
    assert!(answer.retry_delay().unwrap() >= Duration::from_secs(1));
    let bad = call(
        &server.channel().await,
        TRACES,
        &[("grpc-encoding", "gzip")],
        framed(1, b"no gzip"),
    )
    .await;
    assert_eq!(bad.code(), Code::InvalidArgument);
    assert!(bad.status.get_details_bad_request().is_some());
    assert_eq!(bad.retry_delay(), None);
}

#[tokio::test]
async fn g10_a_signal_without_a_pipeline_is_unimplemented() {
    let setup = Setup {
        signals: Signals {
            logs: false,
            ..Signals::ALL
        },
        ..Setup::default()
    };
    let server = setup.grpc().await;
    let channel = server.channel().await;
    for path in [LOGS, "/opentelemetry.proto.collector.trace.v1.TraceService/Other"] {
        assert_eq!(
            call(&channel, path, &[], framed(0, b"")).await.code(),
            Code::Unimplemented
        );
    }
    assert_eq!(
        call(&channel, METRICS, &[], framed(0, b"")).await.code(),
        Code::Ok
    );
}

/// What the pipeline does with such a span is tested against the whole binary, in tests/limits.rs.
#[tokio::test]
async fn g11_a_span_with_a_wrong_id_does_not_fail_its_request() {
    let server = Setup::answering(|batch| {
        let items = burngate::wire::count_items(burngate::wire::Request::Traces, &batch.bytes).unwrap();
        Ok(Accepted {
            items: items - 1,
            rejected: 1,
            message: "1 of 3 spans have a trace id that is not 16 bytes".into(),
        })
    });
    let mut sent = request(3);
    sent.resource_spans[0].scope_spans[0].spans[1].trace_id = vec![7; 15];
    let server = server.grpc().await;
    let answer = call(
        &server.channel().await,
        TRACES,
        &[],
        framed(0, &sent.encode_to_vec()),
    )
    .await;
    assert_eq!(answer.code(), Code::Ok);
    assert_eq!(
        server.bodies(),
        [sent.encode_to_vec()],
        "the receiver itself leaves the bytes alone"
    );
}

#[tokio::test]
async fn g12_idle_connections_leave_and_pings_are_limited() {
    let setup = Setup {
        grpc: GrpcReceiver {
            max_connection_idle_secs: 1,
            // This client does not answer the ping that comes with our farewell.
            max_connection_age_grace_secs: 1,
            ..GrpcReceiver::default()
        },
        ..Setup::default()
    };
    let server = setup.grpc().await;
    let ping = [0, 0, 8, 6, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8];
    let hello = [
        &b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..],
        &[0, 0, 0, 4, 0, 0, 0, 0, 0],
    ]
    .concat();
    let mut idle = TcpStream::connect(server.addr).await.unwrap();
    idle.write_all(&hello).await.unwrap();
    let mut pinging = TcpStream::connect(server.addr).await.unwrap();
    pinging.write_all(&hello).await.unwrap();
    for _ in 0..5 {
        let _ = pinging.write_all(&ping).await;
    }
    let (mut of_idle, mut of_pinging) = (Vec::new(), Vec::new());
    let both = async {
        let _ = pinging.read_to_end(&mut of_pinging).await;
        let _ = idle.read_to_end(&mut of_idle).await;
    };
    tokio::time::timeout(Duration::from_secs(20), both)
        .await
        .expect("both are closed");
    let text = b"too_many_pings";
    assert!(
        of_pinging.windows(text.len()).any(|w| w == text),
        "{of_pinging:?}"
    );
    // GOAWAY without an error.
    let goaway = of_idle.windows(9).any(|w| w[3] == 7 && w[..2] == [0, 0]);
    assert!(goaway, "{of_idle:?}");
}

#[tokio::test]
async fn g13_without_the_right_credentials_unauthenticated() {
    let config = GrpcReceiver {
        auth: Some(ReceiverAuth {
            authenticator: "bearertokenauth".to_owned(),
            request_params: Vec::new(),
        }),
        ..GrpcReceiver::default()
    };
    assert!(
        Gate::grpc(&config, &Authenticators::default()).is_err(),
        "an extension that is not there"
    );
    let setup = Setup {
        gate: Gate::grpc(&config, &authenticators("t0ken")).unwrap(),
        grpc: config,
        ..Setup::default()
    };
    let server = setup.grpc().await;
    let channel = server.channel().await;
    for headers in [
        &[][..],
        &[("authorization", "Bearer wrong")],
        &[("authorization", "t0ken")],
    ] {
        let answer = call(&channel, TRACES, headers, framed(0, b"")).await;
        assert_eq!(answer.code(), Code::Unauthenticated, "{headers:?}");
        assert!(!answer.status.message().contains("t0ken"));
    }
    let right = call(
        &channel,
        TRACES,
        &[("authorization", "Bearer t0ken")],
        framed(0, b""),
    )
    .await;
    assert_eq!(right.code(), Code::Ok);
    let batches = server.sink.batches.lock().unwrap();
    let metadata = batches[0].metadata.as_ref().unwrap();
    assert_eq!(metadata.identity.as_deref(), Some("bearertokenauth#1"));
    assert!(metadata.headers.is_empty(), "include_metadata is off");
}

#[tokio::test]
async fn tls_and_client_certificates_are_asked_for() {
    let (servers, clients, others) = (Authority::default(), Authority::default(), Authority::default());
    let mut tls = servers.server();
    tls.client_ca = Some(burngate::config::PemSource::Inline(
        burngate::config::Secret::new(&*clients.root),
    ));
    let config = GrpcReceiver {
        tls: Some(tls),
        ..GrpcReceiver::default()
    };
    let setup = Setup {
        gate: Gate::grpc(&config, &Authenticators::default()).unwrap(),
        grpc: config,
        ..Setup::default()
    };
    let server = setup.grpc().await;
    let connect = |identity: Option<(String, String)>| {
        let roots = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(&servers.root));
        let tls = match identity {
            Some((certificate, key)) => roots.identity(Identity::from_pem(certificate, key)),
            None => roots,
        };
        let url = format!("https://{}", server.addr);
        Endpoint::from_shared(url)
            .unwrap()
            .tls_config(tls.domain_name("localhost"))
            .unwrap()
    };
    let known = connect(Some(clients.sign("client"))).connect().await.unwrap();
    let body = framed(1, &gzip(&request(5).encode_to_vec()));
    let answer = call(&known, TRACES, &[("grpc-encoding", "gzip")], body).await;
    assert_eq!(answer.code(), Code::Ok);
    for stranger in [None, Some(others.sign("client"))] {
        // With TLS 1.3 the client learns of it only when it reads.
        if let Ok(channel) = connect(stranger).connect().await {
            use opentelemetry_proto::tonic::collector::trace::v1::trace_service_client::TraceServiceClient;
            assert!(TraceServiceClient::new(channel).export(request(1)).await.is_err());
        }
    }
    assert_eq!(server.bodies().len(), 1);
}
