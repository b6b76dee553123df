//! The OTLP exporters against a backend that behaves, and one that does not.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]
#![allow(clippy::disallowed_methods, reason = "these tests wait in real time")]

mod forward_support;

use burngate::config::{Compression, OtlpExporter, OtlpProtocol, Retry};
use burngate::pipeline::Refusal;
use forward_support::{Answer, Sink, batch, context, quick, run, sized_batch};
use std::time::{Duration, Instant, SystemTime};
use tonic::Code;

const BOTH: [OtlpProtocol; 2] = [OtlpProtocol::Grpc, OtlpProtocol::Http];

/// Without a queue, so that the answer to the client is the backend's.
fn direct(protocol: OtlpProtocol, sink: &Sink) -> OtlpExporter {
    let mut config = quick(protocol, &sink.url());
    config.queue = None;
    config
}

fn code(result: &Result<burngate::pipeline::Accepted, Refusal>) -> Code {
    match result {
        Err(Refusal::Downstream { code, .. }) => *code,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn uncompressed_batch_arrives_byte_for_byte() {
    for protocol in BOTH {
        let sink = Sink::start().await;
        sink.keep_bodies();
        let built = run(&quick(protocol, &sink.url()), context(None));
        let sent = sized_batch(1, 1000, 500);
        built.sink().consume(sent.clone()).await.unwrap();
        sink.until("a request", |sink| sink.count() == 1).await;
        let [received] = &sink.requests()[..] else {
            panic!("one request")
        };
        assert_eq!(received.message, sent.bytes, "{protocol:?}");
        let (path, kind) = match protocol {
            OtlpProtocol::Grpc => (
                "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
                "application/grpc",
            ),
            OtlpProtocol::Http => ("/v1/traces", "application/x-protobuf"),
        };
        assert_eq!(received.path, path);
        assert_eq!(received.headers["content-type"], kind);
        assert!(
            received.headers["user-agent"]
                .to_str()
                .unwrap()
                .starts_with("burngate/")
        );
        built.shutdown(Duration::from_secs(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn compressed_batch_unpacks_to_the_same_bytes() {
    for protocol in BOTH {
        for compression in [Compression::Gzip(6), Compression::Zstd(3)] {
            let sink = Sink::start().await;
            sink.keep_bodies();
            let mut config = direct(protocol, &sink);
            config.compression = compression;
            let sent = sized_batch(1, 300, 300);
            run(&config, context(None))
                .sink()
                .consume(sent.clone())
                .await
                .unwrap();
            assert_eq!(
                sink.requests()[0].message,
                sent.bytes,
                "{protocol:?} {compression:?}"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn packed_request_of_a_queue_is_the_same_at_every_attempt() {
    for protocol in BOTH {
        let sink = Sink::start().await;
        sink.keep_bodies();
        let unwell = || match protocol {
            OtlpProtocol::Grpc => Answer::Grpc(Code::Unavailable, None),
            OtlpProtocol::Http => Answer::Http(503, Vec::new(), Vec::new()),
        };
        sink.answer([unwell(), unwell()]);
        let mut config = quick(protocol, &sink.url());
        config.compression = Compression::Gzip(6);
        let built = run(&config, context(None));
        // Its bytes are not kept beside their packed form.
        let sent = sized_batch(1, 1000, 500);
        built.sink().consume(sent.clone()).await.unwrap();
        sink.until("three attempts", |sink| sink.count() == 3).await;
        for received in sink.requests() {
            assert_eq!(received.message, sent.bytes, "{protocol:?}");
        }
        built.shutdown(Duration::from_secs(5)).await;
        assert_eq!(sink.count(), 3, "{protocol:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn json_is_written_on_request() {
    let sink = Sink::start().await;
    sink.keep_bodies();
    let mut config = direct(OtlpProtocol::Http, &sink);
    config.encoding = burngate::config::OtlpEncoding::Json;
    // The sink reads protobuf only where it counts spans.
    config.endpoints.traces = Some(format!("{}/json", sink.url()));
    run(&config, context(None))
        .sink()
        .consume(batch(1, 2))
        .await
        .unwrap();
    let received = &sink.requests()[0];
    assert_eq!(received.headers["content-type"], "application/json");
    let text: serde_json::Value = serde_json::from_slice(&received.message).unwrap();
    let spans = &text["resourceSpans"][0]["scopeSpans"][0]["spans"];
    assert_eq!(spans[1]["spanId"], "0000000000000002");
}

#[tokio::test(flavor = "multi_thread")]
async fn headers_and_credentials_go_with_every_call() {
    #[derive(Debug)]
    struct Token;
    impl burngate::forward::Authorize for Token {
        fn header(&self) -> Option<(http::HeaderName, http::HeaderValue)> {
            Some((http::header::AUTHORIZATION, "Bearer t".parse().unwrap()))
        }
    }
    for protocol in BOTH {
        let sink = Sink::start().await;
        let mut config = direct(protocol, &sink);
        config.headers = vec![("x-tenant".to_owned(), burngate::config::Secret::new("a"))];
        let mut context = context(None);
        context.authorization = Some(std::sync::Arc::new(Token));
        run(&config, context).sink().consume(batch(1, 1)).await.unwrap();
        let headers = &sink.requests()[0].headers;
        assert_eq!(
            (&headers["x-tenant"], &headers["authorization"]),
            (&"a".parse().unwrap(), &"Bearer t".parse().unwrap())
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn codes_of_the_table_are_tried_again_and_the_others_are_not() {
    let sink = Sink::start().await;
    let built = run(&direct(OtlpProtocol::Grpc, &sink), context(None));
    for code in (1..17).map(Code::from) {
        let before = sink.count();
        sink.answer([Answer::Grpc(code, None)]);
        let result = built.sink().consume(batch(1, 1)).await;
        let attempts = sink.count() - before;
        let again = matches!(
            code,
            Code::Cancelled
                | Code::DeadlineExceeded
                | Code::Aborted
                | Code::OutOfRange
                | Code::Unavailable
                | Code::DataLoss
        );
        assert_eq!(
            (attempts, result.is_ok()),
            if again { (2, true) } else { (1, false) },
            "{code:?}"
        );
    }
    sink.answer([Answer::Grpc(
        Code::ResourceExhausted,
        Some(Duration::from_millis(300)),
    )]);
    let begun = Instant::now();
    built.sink().consume(batch(1, 1)).await.unwrap();
    assert!(begun.elapsed() >= Duration::from_millis(300));
}

#[tokio::test(flavor = "multi_thread")]
async fn statuses_of_the_table_are_tried_again_and_the_others_are_not() {
    let sink = Sink::start().await;
    let built = run(&direct(OtlpProtocol::Http, &sink), context(None));
    for status in [
        301, 307, 400, 401, 403, 404, 408, 413, 429, 500, 501, 502, 503, 504,
    ] {
        let before = sink.count();
        sink.answer([Answer::Http(status, vec![], vec![])]);
        let result = built.sink().consume(batch(1, 1)).await;
        let again = matches!(status, 429 | 502 | 503 | 504);
        let attempts = sink.count() - before;
        assert_eq!(
            (attempts, result.is_ok()),
            if again { (2, true) } else { (1, false) },
            "{status}"
        );
    }
    let soon = SystemTime::now() + Duration::from_secs(3);
    let date = jiff::Timestamp::try_from(soon).unwrap();
    let date = date.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
    for (value, least) in [("1".to_owned(), 1000), (date, 900)] {
        sink.answer([Answer::Http(503, vec![("retry-after", value)], vec![])]);
        let begun = Instant::now();
        built.sink().consume(batch(1, 1)).await.unwrap();
        assert!(
            begun.elapsed() >= Duration::from_millis(least),
            "{:?}",
            begun.elapsed()
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn partial_success_is_passed_on_and_never_sent_again() {
    for protocol in BOTH {
        let sink = Sink::start().await;
        sink.answer([Answer::Partial(3, "three are odd")]);
        let mut config = quick(protocol, &sink.url());
        config.queue.as_mut().unwrap().wait_for_result = true;
        let built = run(&config, context(None));
        let accepted = built.sink().consume(batch(1, 10)).await.unwrap();
        assert_eq!((accepted.items, accepted.rejected), (7, 3));
        assert_eq!(accepted.message, "three are odd");
        assert_eq!(sink.count(), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nonsense_is_a_failure_that_ends() {
    let html = || {
        Answer::Http(
            200,
            vec![("content-type", "text/html".to_owned())],
            b"<html>".to_vec(),
        )
    };
    let cases = [
        (OtlpProtocol::Grpc, html()),
        (OtlpProtocol::Http, html()),
        (OtlpProtocol::Grpc, Answer::Endless),
        (OtlpProtocol::Http, Answer::Endless),
        (OtlpProtocol::Http, Answer::Frames(vec![b"<html>".to_vec()], None)),
        (
            OtlpProtocol::Grpc,
            Answer::Frames(vec![vec![0, 0, 0, 0, 9, 1]], Some(ok_trailers())),
        ),
        (
            OtlpProtocol::Grpc,
            Answer::Frames(vec![vec![1, 0, 0, 0, 1, 1]], Some(ok_trailers())),
        ),
    ];
    for (protocol, answer) in cases {
        let sink = Sink::start().await;
        sink.answer([answer.clone()]);
        let result = run(&direct(protocol, &sink), context(None))
            .sink()
            .consume(batch(1, 1))
            .await;
        assert!(result.is_err(), "{protocol:?} {answer:?}");
        assert_eq!(sink.count(), 1, "{protocol:?} {answer:?}");
    }
    // An answer without a status is a broken connection, which may pass.
    let sink = Sink::start().await;
    sink.answer([Answer::Frames(vec![vec![0; 5]], None)]);
    run(&direct(OtlpProtocol::Grpc, &sink), context(None))
        .sink()
        .consume(batch(1, 1))
        .await
        .unwrap();
}

fn ok_trailers() -> http::HeaderMap {
    let mut trailers = http::HeaderMap::new();
    trailers.insert("grpc-status", "0".parse().unwrap());
    trailers
}

#[tokio::test(flavor = "multi_thread")]
async fn silent_backend_costs_the_timeout() {
    for protocol in BOTH {
        let sink = Sink::start().await;
        sink.answer_always(Answer::Hang);
        let mut config = direct(protocol, &sink);
        config.timeout = Duration::from_millis(200);
        config.retry = None;
        let begun = Instant::now();
        let result = run(&config, context(None)).sink().consume(batch(1, 1)).await;
        assert_eq!(code(&result), Code::DeadlineExceeded);
        assert!(begun.elapsed() < Duration::from_secs(3));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn retries_end_after_their_time() {
    let sink = Sink::start().await;
    sink.answer_always(Answer::Grpc(Code::Unavailable, None));
    let mut config = direct(OtlpProtocol::Grpc, &sink);
    config.retry = Some(Retry {
        max_elapsed_time: Some(Duration::from_millis(300)),
        ..config.retry.unwrap()
    });
    let result = run(&config, context(None)).sink().consume(batch(1, 1)).await;
    assert_eq!(code(&result), Code::Unavailable);
    assert!(sink.count() > 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn backend_that_comes_back_is_found_again() {
    for protocol in BOTH {
        let mut sink = Sink::start().await;
        let built = run(&direct(protocol, &sink), context(None));
        built.sink().consume(batch(1, 1)).await.unwrap();
        sink.stop().await;
        let exit = built.sink();
        let waiting = tokio::spawn(async move { exit.consume(batch(2, 1)).await });
        let deadline = Instant::now() + Duration::from_secs(20);
        while !built.is_failing() && Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert!(!waiting.is_finished() && built.is_failing());
        sink.come_back().await;
        waiting.await.unwrap().unwrap();
        assert_eq!((sink.spans(), built.is_failing()), (2, false));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn many_at_once_all_arrive_once() {
    for protocol in BOTH {
        let sink = Sink::start().await;
        let built = run(&quick(protocol, &sink.url()), context(None));
        for i in 0..200 {
            built.sink().consume(batch(i * 50, 50)).await.unwrap();
        }
        built.shutdown(Duration::from_secs(30)).await;
        assert_eq!((sink.spans(), sink.arrivals()), (10_000, 10_000), "{protocol:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn large_request_passes_flow_control() {
    let sink = Sink::start().await;
    let built = run(&direct(OtlpProtocol::Grpc, &sink), context(None));
    built.sink().consume(sized_batch(1, 2000, 8000)).await.unwrap();
    assert_eq!(sink.spans(), 2000);
}
