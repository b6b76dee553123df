//! OTLP/gRPC against `serve_grpc`: the rows G1-G11, and what an attacker would try.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::disallowed_methods,
    missing_docs
)]

mod receive_support;

use burngate::config::{GrpcReceiver, ReceiverLimits};
use burngate::pipeline::{Accepted, Refusal, Signal, Signals};
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::logs::v1::logs_service_client::LogsServiceClient;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::metrics_service_client::MetricsServiceClient;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_client::TraceServiceClient;
use prost::Message;
use receive_support::{
    Running, Setup, TRACES, begin, call, eventually, framed, gzip, request, zstd, zstd_stream,
};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};
use tonic::Code;
use tonic_types::StatusExt;

const SMALL: u64 = 1;
const MIB: usize = 1 << 20;

/// Bytes that compress to about half.
fn noise(len: usize) -> Vec<u8> {
    let mut state = 1_u32;
    let next = |_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8 & 0x0F
    };
    (0..len).map(next).collect()
}

fn small() -> Setup {
    Setup {
        grpc: GrpcReceiver {
            max_recv_msg_size_mib: SMALL,
            ..GrpcReceiver::default()
        },
        ..Setup::default()
    }
}

#[tokio::test]
async fn g1_all_three_services_hand_over_the_bytes_that_were_sent() {
    let server = Setup::default().grpc().await;
    let channel = server.channel().await;
    let traces = request(3);
    TraceServiceClient::new(channel.clone())
        .export(traces.clone())
        .await
        .unwrap();
    MetricsServiceClient::new(channel.clone())
        .export(ExportMetricsServiceRequest::default())
        .await
        .unwrap();
    LogsServiceClient::new(channel)
        .export(ExportLogsServiceRequest::default())
        .await
        .unwrap();
    let batches = server.sink.batches.lock().unwrap();
    let signals: Vec<_> = batches.iter().map(|b| b.signal).collect();
    assert_eq!(signals, [Signal::Traces, Signal::Metrics, Signal::Logs]);
    assert_eq!(batches[0].bytes, traces.encode_to_vec());
    assert!(batches[0].peer.unwrap().ip().is_loopback());
}

#[tokio::test]
async fn g1_a_message_in_many_small_pieces_arrives_whole() {
    let server = Setup::default().grpc().await;
    let wire = framed(0, &request(50).encode_to_vec());
    let (sending, answer) = begin(&server.channel().await, TRACES, &[]);
    for piece in wire.chunks(3) {
        sending.send(piece.to_vec());
    }
    drop(sending);
    assert_eq!(answer.await.unwrap().code(), Code::Ok);
    assert_eq!(server.bodies(), [wire[5..].to_vec()]);
}

#[tokio::test]
async fn g2_none_gzip_and_zstd_are_spoken() {
    let server = Setup::default().grpc().await;
    let channel = server.channel().await;
    let plain = request(500).encode_to_vec();
    let cases: [(&str, u8, Vec<u8>); 6] = [
        ("identity", 0, plain.clone()),
        ("gzip", 0, plain.clone()),
        ("gzip", 1, gzip(&plain)),
        ("zstd", 1, zstd(&plain)),
        ("zstd", 1, zstd_stream(&plain)),
        (
            "zstd",
            1,
            [zstd(&plain[..100]), zstd_stream(&plain[100..])].concat(),
        ),
    ];
    for (coding, flag, body) in cases {
        let answer = call(
            &channel,
            TRACES,
            &[("grpc-encoding", coding)],
            framed(flag, &body),
        )
        .await;
        assert_eq!(answer.code(), Code::Ok, "{coding}: {answer:?}");
    }
    assert!(server.bodies().iter().all(|b| *b == plain));
    // Beyond one step and one guess of the output's size.
    let mixed = noise(3 * MIB);
    for (coding, body) in [
        ("gzip", gzip(&mixed)),
        ("zstd", zstd(&mixed)),
        ("zstd", zstd_stream(&mixed)),
    ] {
        let answer = call(&channel, TRACES, &[("grpc-encoding", coding)], framed(1, &body)).await;
        assert_eq!(
            answer.code(),
            Code::Ok,
            "{coding}, {} bytes: {answer:?}",
            body.len()
        );
        assert!(server.bodies().last().unwrap() == &mixed);
    }
}

#[tokio::test]
async fn g2_another_compression_is_unimplemented_and_the_answer_names_ours() {
    let server = Setup::default().grpc().await;
    let answer = call(
        &server.channel().await,
        TRACES,
        &[("grpc-encoding", "br")],
        framed(1, b"x"),
    )
    .await;
    assert_eq!(answer.code(), Code::Unimplemented);
    assert_eq!(
        answer.headers["grpc-accept-encoding"],
        "identity,gzip,zstd,snappy"
    );
    assert!(answer.status.message().contains("br"), "{answer:?}");
}

#[tokio::test]
async fn g3_oversize_is_resource_exhausted_without_retry_info_before_and_after_decompression() {
    let server = small().grpc().await;
    let channel = server.channel().await;
    let body = noise(MIB + 1);
    let cases = [
        ("identity", 0, body.clone()),
        ("gzip", 1, gzip(&body)),
        ("zstd", 1, zstd(&body)),
        ("zstd", 1, zstd_stream(&body)),
    ];
    for (coding, flag, body) in cases {
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
    let fits = call(&channel, TRACES, &[], framed(0, &body[..MIB])).await;
    assert_eq!(fits.code(), Code::Ok);
    assert_eq!(server.bodies().len(), 1);
}

#[tokio::test]
async fn g3_the_length_alone_is_enough_to_refuse() {
    let server = small().grpc().await;
    let (sending, answer) = begin(&server.channel().await, TRACES, &[]);
    sending.send(vec![0, 0xFF, 0xFF, 0xFF, 0xFF]);
    let answer = timeout(Duration::from_secs(5), answer).await.unwrap().unwrap();
    assert_eq!(answer.code(), Code::ResourceExhausted);
    drop(sending);
}

#[tokio::test]
async fn bombs_are_refused_within_the_ratio() {
    let server = Setup::default().grpc().await;
    let channel = server.channel().await;
    let zeros = vec![0; 16 * MIB];
    let bombs = [
        ("gzip", gzip(&zeros)),
        ("zstd", zstd(&zeros)),
        ("zstd", zstd_stream(&zeros)),
    ];
    drop(zeros);
    let before = peak_mib();
    for (coding, bomb) in &bombs {
        let wire = framed(1, bomb);
        let calls: Vec<_> = (0..8)
            .map(|_| {
                let (sending, answer) = begin(&channel, TRACES, &[("grpc-encoding", coding)]);
                sending.send(wire.clone());
                answer
            })
            .collect();
        for answer in calls {
            let answer = answer.await.unwrap();
            assert_eq!(answer.code(), Code::ResourceExhausted, "{coding}: {answer:?}");
            assert_eq!(answer.retry_delay(), None);
        }
    }
    assert!(server.bodies().is_empty());
    assert_eq!(server.admission.in_flight_bytes(), 0);
    // 24 of them, unfolded, would be 384 MiB.
    let grown = peak_mib() - before;
    assert!(grown < 100, "{grown} MiB");
}

/// The most memory that this process has had, in MiB.
fn peak_mib() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|l| l.starts_with("VmHWM")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() >> 10
}

#[tokio::test]
async fn zstd_windows_beyond_eight_mib_are_refused() {
    let server = Setup::default().grpc().await;
    let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 3).unwrap();
    encoder.window_log(27).unwrap();
    std::io::Write::write_all(&mut encoder, &request(10).encode_to_vec()).unwrap();
    let body = encoder.finish().unwrap();
    let answer = call(
        &server.channel().await,
        TRACES,
        &[("grpc-encoding", "zstd")],
        framed(1, &body),
    )
    .await;
    assert_eq!(answer.code(), Code::ResourceExhausted, "{answer:?}");
    assert!(answer.status.message().contains("window"));
}

#[tokio::test]
async fn g5_an_empty_request_is_a_success() {
    let server = Setup::default().grpc().await;
    let channel = server.channel().await;
    for (flag, body) in [(0, vec![]), (1, vec![]), (1, gzip(b""))] {
        let answer = call(
            &channel,
            TRACES,
            &[("grpc-encoding", "gzip")],
            framed(flag, &body),
        )
        .await;
        assert_eq!(answer.code(), Code::Ok);
    }
    assert_eq!(server.bodies(), [""; 3]);
}

#[tokio::test]
async fn g6_full_success_leaves_partial_success_unset() {
    let server = Setup::default().grpc().await;
    let answer = call(&server.channel().await, TRACES, &[], framed(0, b"x")).await;
    assert_eq!(
        (answer.http, answer.code(), answer.message.len()),
        (200, Code::Ok, 0)
    );
    assert_eq!(answer.headers["content-type"], "application/grpc");
}

#[tokio::test]
async fn g7_partial_success_says_how_many_and_why_and_a_warning_rejects_none() {
    let server = Setup::answering(|batch| {
        let rejected = batch.bytes.len() as u64;
        Ok(Accepted {
            items: 1,
            rejected,
            message: "a trace id of 15 bytes".into(),
        })
    });
    let server = server.grpc().await;
    let channel = server.channel().await;
    for len in [300, 0] {
        let answer = call(&channel, TRACES, &[], framed(0, &vec![b'x'; len])).await;
        assert_eq!(answer.code(), Code::Ok);
        let partial = ExportTraceServiceResponse::decode(answer.message)
            .unwrap()
            .partial_success
            .unwrap();
        assert_eq!(partial.rejected_spans, i64::try_from(len).unwrap());
        assert_eq!(partial.error_message, "a trace id of 15 bytes");
    }
}

#[tokio::test]
async fn g4_long_messages_are_cut_at_a_character() {
    let server = Setup::answering(|_| {
        Ok(Accepted {
            items: 0,
            rejected: 1,
            message: "\u{1F600}".repeat(100_000).into(),
        })
    });
    let server = server.grpc().await;
    let answer = call(&server.channel().await, TRACES, &[], framed(0, b"x")).await;
    let partial = ExportTraceServiceResponse::decode(answer.message)
        .unwrap()
        .partial_success
        .unwrap();
    assert_eq!(partial.error_message.len(), 1024);
}

#[tokio::test]
async fn g9_bad_data_is_invalid_argument_with_bad_request() {
    let server = Setup::answering(|_| Err(Refusal::Malformed("not a valid protobuf message".into())))
        .grpc()
        .await;
    let channel = server.channel().await;
    let truncated = &gzip(&request(100).encode_to_vec())[..60];
    let bodies: [(&str, Vec<u8>); 9] = [
        ("identity", framed(0, b"\xFF")),
        ("identity", framed(1, b"x")),
        ("gzip", framed(1, b"not gzip")),
        ("gzip", framed(1, truncated)),
        ("gzip", framed(1, &[gzip(b"x"), b"garbage".to_vec()].concat())),
        ("zstd", framed(1, b"not zstd, surely")),
        ("zstd", framed(1, &zstd(&request(100).encode_to_vec())[..40])),
        ("identity", framed(7, b"x")),
        ("identity", [framed(0, b"x"), framed(0, b"y")].concat()),
    ];
    for (coding, body) in bodies {
        let answer = call(&channel, TRACES, &[("grpc-encoding", coding)], body.clone()).await;
        assert_eq!(
            answer.code(),
            Code::InvalidArgument,
            "{coding} {body:?}: {answer:?}"
        );
        assert!(answer.status.get_details_bad_request().is_some(), "{answer:?}");
        assert_eq!(answer.retry_delay(), None);
    }
}

#[tokio::test]
async fn g9_overload_is_unavailable_with_retry_info() {
    let setup = Setup {
        limits: ReceiverLimits {
            max_in_flight_mib: 1,
            admission_wait_ms: 20,
            ..ReceiverLimits::default()
        },
        ..Setup::default()
    };
    let server = setup.grpc().await;
    let channel = server.channel().await;
    let half = framed(0, &vec![1; MIB * 3 / 4]);
    let (sending, first) = begin(&channel, TRACES, &[]);
    sending.send(half[..1000].to_vec());
    eventually("the first is admitted", || server.admission.in_flight_bytes() > 0).await;
    for _ in 0..50 {
        let refused = call(&channel, TRACES, &[], framed(0, &vec![1; MIB / 2])).await;
        assert_eq!(refused.code(), Code::Unavailable, "{refused:?}");
        let delay = refused.retry_delay().unwrap();
        assert!(
            (Duration::from_secs(1)..=Duration::from_secs(30)).contains(&delay),
            "{delay:?}"
        );
    }
    let fits = call(&channel, TRACES, &[], framed(0, b"small")).await;
    assert_eq!(fits.code(), Code::Ok);
    sending.send(half[1000..].to_vec());
    drop(sending);
    assert_eq!(first.await.unwrap().code(), Code::Ok);
    eventually("all is given back", || server.admission.in_flight_bytes() == 0).await;
}

#[tokio::test]
async fn g9_refusals_of_the_consumer_keep_their_meaning() {
    let server = Setup::answering(|batch| match batch.bytes.first() {
        Some(b'l') => Err(Refusal::TooLarge("too many spans".into())),
        _ => Err(Refusal::Overloaded {
            message: "the queue is full".into(),
            retry_after_secs: 7,
        }),
    });
    let server = server.grpc().await;
    let channel = server.channel().await;
    let large = call(&channel, TRACES, &[], framed(0, b"l")).await;
    assert_eq!(
        (large.code(), large.retry_delay()),
        (Code::ResourceExhausted, None)
    );
    let full = call(&channel, TRACES, &[], framed(0, b"o")).await;
    assert_eq!(
        (full.code(), full.status.message()),
        (Code::Unavailable, "the queue is full")
    );
    assert_eq!(full.retry_delay(), Some(Duration::from_secs(7)));
}

#[tokio::test]
async fn g10_a_signal_without_a_pipeline_is_unimplemented() {
    let setup = Setup {
        signals: Signals {
            traces: true,
            metrics: false,
            logs: false,
        },
        ..Setup::default()
    };
    let server = setup.grpc().await;
    let channel = server.channel().await;
    let metrics = MetricsServiceClient::new(channel.clone())
        .export(ExportMetricsServiceRequest::default())
        .await;
    assert_eq!(metrics.unwrap_err().code(), Code::Unimplemented);
    for path in [
        "/",
        "/opentelemetry.proto.collector.trace.v1.TraceService/Import",
        "/v1/traces",
    ] {
        assert_eq!(
            call(&channel, path, &[], framed(0, b"")).await.code(),
            Code::Unimplemented
        );
    }
    assert!(server.bodies().is_empty());
}

#[tokio::test]
async fn what_is_not_grpc_is_an_unsupported_media_type() {
    let server = Setup::default().grpc().await;
    let channel = server.channel().await;
    for content_type in [
        "application/json",
        "application/grpc+json",
        "application/grpc-web",
    ] {
        let answer = call(
            &channel,
            TRACES,
            &[("content-type", content_type)],
            framed(0, b""),
        )
        .await;
        assert_eq!(answer.http, 415, "{content_type}");
    }
    for content_type in ["application/grpc+proto", "application/grpc; charset=utf-8"] {
        let answer = call(
            &channel,
            TRACES,
            &[("content-type", content_type)],
            framed(0, b""),
        )
        .await;
        assert_eq!(answer.code(), Code::Ok, "{content_type}");
    }
}

#[tokio::test]
async fn our_own_deadline_is_kept_too() {
    let setup = Setup {
        grpc: GrpcReceiver {
            request_timeout_secs: 1,
            ..GrpcReceiver::default()
        },
        ..Setup::default()
    };
    let server = setup.grpc().await;
    let (sending, answer) = begin(&server.channel().await, TRACES, &[("grpc-timeout", "1H")]);
    sending.send(vec![0]);
    let answer = timeout(Duration::from_secs(4), answer)
        .await
        .expect("within the deadline")
        .unwrap();
    assert_eq!(answer.code(), Code::DeadlineExceeded);
    drop(sending);
}

#[tokio::test]
async fn a_client_that_leaves_gives_its_share_back() {
    let server = Setup::default().grpc().await;
    let (sending, answer) = begin(&server.channel().await, TRACES, &[]);
    sending.send(framed(0, &[1; 5000])[..50].to_vec());
    eventually("it is admitted", || server.admission.in_flight_bytes() == 5000).await;
    answer.abort();
    drop(sending);
    eventually("its share is given back", || {
        server.admission.in_flight_bytes() == 0
    })
    .await;
    assert!(server.bodies().is_empty());
}

#[tokio::test]
async fn a_panic_costs_its_batch_not_the_server() {
    let server = Setup::answering(|batch| {
        assert!(batch.bytes.first() != Some(&b'p'), "told to");
        Ok(Accepted::default())
    });
    let server = server.grpc().await;
    let channel = server.channel().await;
    assert_eq!(
        call(&channel, TRACES, &[], framed(0, b"p")).await.code(),
        Code::Internal
    );
    assert_eq!(
        call(&channel, TRACES, &[], framed(0, b"x")).await.code(),
        Code::Ok
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_requests_on_one_connection_all_arrive() {
    let server = Setup::default().grpc().await;
    let channel = server.channel().await;
    let calls: Vec<_> = (0..1000)
        .map(|_| {
            let mut client = TraceServiceClient::new(channel.clone());
            tokio::spawn(async move { client.export(request(5)).await })
        })
        .collect();
    for call in calls {
        call.await.unwrap().unwrap();
    }
    assert_eq!(server.bodies().len(), 1000);
}

#[tokio::test]
async fn shutdown_finishes_what_is_in_flight_and_takes_nothing_new() {
    let mut server = Setup::default().grpc().await;
    let channel = server.channel().await;
    let wire = framed(0, &request(9).encode_to_vec());
    let (sending, in_flight) = begin(&channel, TRACES, &[]);
    sending.send(wire[..20].to_vec());
    eventually("it is admitted", || server.admission.in_flight_bytes() > 0).await;
    server.stop();
    eventually("the port is closed", || {
        std::net::TcpStream::connect(server.addr).is_err()
    })
    .await;
    sleep(Duration::from_millis(100)).await;
    assert!(!server.task.is_finished());
    sending.send(wire[20..].to_vec());
    drop(sending);
    assert_eq!(in_flight.await.unwrap().code(), Code::Ok);
    timeout(Duration::from_secs(2), &mut server.task)
        .await
        .expect("done once the last has finished")
        .unwrap();
    assert_eq!(server.bodies().len(), 1);
}

#[tokio::test]
async fn shutdown_does_not_wait_for_ever() {
    let setup = Setup {
        limits: ReceiverLimits {
            drain_timeout_secs: 1,
            ..ReceiverLimits::default()
        },
        ..Setup::default()
    };
    let mut server = setup.grpc().await;
    let (sending, _in_flight) = begin(&server.channel().await, TRACES, &[]);
    sending.send(vec![0, 0, 0]);
    sleep(Duration::from_millis(50)).await;
    server.stop();
    timeout(Duration::from_secs(4), &mut server.task)
        .await
        .expect("cut after the drain time")
        .unwrap();
}

#[tokio::test]
async fn an_idle_connection_does_not_hold_the_shutdown_up() {
    let mut server = Setup::default().grpc().await;
    let channel = server.channel().await;
    assert_eq!(call(&channel, TRACES, &[], framed(0, b"")).await.code(), Code::Ok);
    let _silent = TcpStream::connect(server.addr).await.unwrap();
    sleep(Duration::from_millis(50)).await;
    server.stop();
    timeout(Duration::from_secs(1), &mut server.task)
        .await
        .expect("at once")
        .unwrap();
}

#[tokio::test]
async fn connections_beyond_the_cap_wait_for_a_place() {
    let setup = Setup {
        grpc: GrpcReceiver {
            max_connections: 1,
            ..GrpcReceiver::default()
        },
        ..Setup::default()
    };
    let server = setup.grpc().await;
    let first = server.channel().await;
    assert_eq!(call(&first, TRACES, &[], framed(0, b"1")).await.code(), Code::Ok);
    let url = server.url("");
    let second = tokio::spawn(async move {
        let channel = tonic::transport::Endpoint::from_shared(url)
            .unwrap()
            .connect()
            .await
            .unwrap();
        call(&channel, TRACES, &[], framed(0, b"2")).await.code()
    });
    sleep(Duration::from_millis(200)).await;
    assert!(!second.is_finished());
    drop(first);
    assert_eq!(
        timeout(Duration::from_secs(5), second).await.unwrap().unwrap(),
        Code::Ok
    );
}

// HTTP/2 by hand.

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const GOAWAY: u8 = 7;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let len = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&len[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

fn literal(index: &[u8], value: &str) -> Vec<u8> {
    [index, &[u8::try_from(value.len()).unwrap()], value.as_bytes()].concat()
}

/// HEADERS of an Export, without compression; not the end of the stream.
fn headers(stream: u32, more: &[(&str, &str)]) -> Vec<u8> {
    let block = [
        vec![0x83, 0x86],
        literal(&[0x04], TRACES),
        literal(&[0x01], "localhost"),
        literal(&[0x0F, 0x10], "application/grpc"),
        more.iter()
            .flat_map(|(name, value)| literal(&literal(&[0x00], name), value))
            .collect(),
    ];
    frame(1, 4, stream, &block.concat())
}

async fn http2(server: &Running) -> TcpStream {
    let mut stream = TcpStream::connect(server.addr).await.unwrap();
    stream
        .write_all(&[PREFACE, &frame(4, 0, 0, &[])].concat())
        .await
        .unwrap();
    stream
}

/// Reads frames until one of `kind`; its payload.
async fn read_until(stream: &mut TcpStream, kind: u8) -> Option<Vec<u8>> {
    loop {
        let mut head = [0; 9];
        stream.read_exact(&mut head).await.ok()?;
        let len = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        let mut payload = vec![0; len];
        stream.read_exact(&mut payload).await.ok()?;
        if head[3] == kind {
            return Some(payload);
        }
    }
}

#[tokio::test]
async fn http2_limits_are_announced() {
    let server = Setup::default().grpc().await;
    let settings = read_until(&mut http2(&server).await, 4).await.unwrap();
    let settings: std::collections::HashMap<u16, u32> = settings
        .chunks(6)
        .map(|s| {
            (
                u16::from_be_bytes([s[0], s[1]]),
                u32::from_be_bytes([s[2], s[3], s[4], s[5]]),
            )
        })
        .collect();
    // MAX_CONCURRENT_STREAMS, INITIAL_WINDOW_SIZE, MAX_FRAME_SIZE, MAX_HEADER_LIST_SIZE.
    assert_eq!((settings[&3], settings[&4]), (128, 4 << 20));
    assert_eq!((settings[&5], settings[&6]), (1 << 20, 16 << 10));
}

/// By hand, because a client's own stack gives up first.
#[tokio::test]
async fn the_clients_deadline_is_kept() {
    let server = Setup::default().grpc().await;
    let mut client = http2(&server).await;
    let half = &framed(0, &[1; 100])[..50];
    let request = [headers(1, &[("grpc-timeout", "200m")]), frame(0, 0, 1, half)].concat();
    client.write_all(&request).await.unwrap();
    eventually("it is admitted", || server.admission.in_flight_bytes() == 100).await;
    timeout(Duration::from_secs(3), read_until(&mut client, 1))
        .await
        .expect("an answer")
        .expect("HEADERS");
    assert_eq!(server.admission.in_flight_bytes(), 0);
}

#[tokio::test]
async fn rapid_reset_ends_the_connection_and_no_other() {
    let server = Setup::default().grpc().await;
    let healthy = server.channel().await;
    let mut attacker = http2(&server).await;
    let mut flood = Vec::new();
    for i in 0..500 {
        flood.extend(headers(2 * i + 1, &[]));
        flood.extend(frame(3, 0, 2 * i + 1, &8_u32.to_be_bytes()));
    }
    let _ = attacker.write_all(&flood).await;
    let goaway = timeout(Duration::from_secs(5), read_until(&mut attacker, GOAWAY))
        .await
        .unwrap();
    assert_eq!(goaway.map(|g| g[7]), Some(11), "ENHANCE_YOUR_CALM");
    assert_eq!(
        call(&healthy, TRACES, &[], framed(0, b"x")).await.code(),
        Code::Ok
    );
}

#[tokio::test]
async fn resets_that_we_are_made_to_send_end_the_connection() {
    let server = Setup::default().grpc().await;
    let mut attacker = http2(&server).await;
    let mut flood = Vec::new();
    for i in 0..400 {
        flood.extend(headers(2 * i + 1, &[]));
        flood.extend(frame(8, 0, 2 * i + 1, &0x7FFF_FFFF_u32.to_be_bytes()));
    }
    let _ = attacker.write_all(&flood).await;
    let goaway = timeout(Duration::from_secs(5), read_until(&mut attacker, GOAWAY))
        .await
        .unwrap();
    assert_eq!(goaway.map(|g| g[7]), Some(11), "ENHANCE_YOUR_CALM");
}

#[tokio::test]
async fn an_aged_connection_is_asked_to_leave_and_finishes() {
    let setup = Setup {
        grpc: GrpcReceiver {
            max_connection_age_secs: 1,
            max_connection_age_grace_secs: 5,
            ..GrpcReceiver::default()
        },
        ..Setup::default()
    };
    let server = setup.grpc().await;
    let channel = server.channel().await;
    let (sending, in_flight) = begin(&channel, TRACES, &[]);
    let wire = framed(0, b"0123456789");
    sending.send(wire[..8].to_vec());
    let mut idle = http2(&server).await;
    let goaway = timeout(Duration::from_secs(3), read_until(&mut idle, GOAWAY))
        .await
        .unwrap();
    assert_eq!(goaway.map(|g| g[7]), Some(0), "NO_ERROR");
    sending.send(wire[8..].to_vec());
    drop(sending);
    assert_eq!(in_flight.await.unwrap().code(), Code::Ok);
    assert_eq!(
        call(&server.channel().await, TRACES, &[], framed(0, b"x"))
            .await
            .code(),
        Code::Ok
    );
}

#[tokio::test]
async fn header_floods_are_refused() {
    let server = Setup::default().grpc().await;
    let channel = server.channel().await;
    let big = "x".repeat(60_000);
    let (sending, answer) = begin(&channel, TRACES, &[("x-flood", &big)]);
    drop(sending);
    // The client may see the status, or the reset; never a success.
    if let Ok(Ok(answer)) = timeout(Duration::from_secs(5), answer).await {
        assert_eq!(answer.http, 431, "{answer:?}");
    }
    assert!(server.bodies().is_empty());
    assert_eq!(
        call(&server.channel().await, TRACES, &[], framed(0, b"x"))
            .await
            .code(),
        Code::Ok
    );
}
