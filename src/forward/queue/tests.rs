//! What the queue promises: order, bounds, merges, splits, and what an end does.

use super::*;
use crate::forward::disk::Limits;
use crate::forward::otlp::{Arrived, Failure};
use crate::pipeline::{ClientMetadata, Signal};
use prost::Message;
use std::path::Path;
use std::time::Duration;
use tonic::Code;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};

const SECOND: Duration = Duration::from_secs(1);

fn queue_of(settings: SendingQueue, log: Option<Arc<Log>>) -> Arc<Queue> {
    let meters = Arc::new(Meters::new("test"));
    Arc::new(Queue::new(settings, Memory::default(), meters, log))
}

fn queue(settings: SendingQueue) -> Arc<Queue> {
    queue_of(settings, None)
}

fn log_in(folder: &Path) -> Arc<Log> {
    let limits = Limits {
        bytes: 64 << 20,
        fsync: false,
    };
    Log::open(folder, limits).unwrap()
}

fn batch(from: u64, count: u64) -> Batch {
    let span = |n: u64| Span {
        name: format!("{n}"),
        ..Span::default()
    };
    let request = ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans {
            scope_spans: vec![ScopeSpans {
                spans: (from..from + count).map(span).collect(),
                ..ScopeSpans::default()
            }],
            ..ResourceSpans::default()
        }],
    };
    let mut batch = Batch::new(Signal::Traces, request.encode_to_vec().into());
    batch.items = Some(count);
    batch
}

fn wish(min_items: u64, max_items: u64) -> Arc<Batching> {
    Arc::new(Batching {
        id: "batch".into(),
        min_items,
        max_items,
        timeout: SECOND,
        metadata_keys: vec!["x-tenant".into()],
        metadata_cardinality_limit: 2,
    })
}

fn wished(from: u64, count: u64, wish: &Arc<Batching>) -> Batch {
    Batch {
        batching: Some(wish.clone()),
        ..batch(from, count)
    }
}

fn of_tenant(batch: Batch, tenant: &str) -> Batch {
    let metadata = ClientMetadata {
        headers: vec![("x-tenant".into(), tenant.into())],
        identity: None,
    };
    Batch {
        metadata: Some(Arc::new(metadata)),
        ..batch
    }
}

#[allow(clippy::disallowed_methods, reason = "prost is the oracle")]
fn names(bytes: &[u8]) -> Vec<u64> {
    let request = ExportTraceServiceRequest::decode(bytes).unwrap();
    let scopes = request.resource_spans.into_iter().flat_map(|it| it.scope_spans);
    scopes
        .flat_map(|it| it.spans)
        .map(|span| span.name.parse().unwrap())
        .collect()
}

/// The spans of the next request, and the job.
async fn next(queue: &Queue) -> (Vec<u64>, Job) {
    let mut job = queue.next().await.unwrap();
    let pieces = job.load(&queue.meters).await;
    (names(&pieces.concat()), job)
}

async fn settle(job: Job) {
    Part::settle_all(job.parts, &Ok(Arrived::default())).await;
}

async fn nothing_is_ready(queue: &Queue) -> bool {
    tokio::time::timeout(Duration::from_millis(1), queue.next())
        .await
        .is_err()
}

#[tokio::test(start_paused = true)]
async fn first_in_is_first_out_and_the_same_buffer() {
    let queue = queue(SendingQueue::default());
    let first = batch(0, 3);
    queue.offer(first.clone()).await.unwrap();
    queue.offer(batch(3, 3)).await.unwrap();
    let mut job = queue.next().await.unwrap();
    let [only] = &job.load(&queue.meters).await[..] else {
        panic!("one piece")
    };
    assert_eq!(only.as_ptr(), first.bytes.as_ptr());
    assert_eq!(next(&queue).await.0, [3, 4, 5]);
}

#[tokio::test(start_paused = true)]
async fn full_queue_refuses_and_room_is_there_when_a_request_has_ended() {
    let queue = queue(SendingQueue {
        queue_size: 2,
        ..SendingQueue::default()
    });
    queue.offer(batch(0, 1)).await.unwrap();
    queue.offer(batch(1, 1)).await.unwrap();
    assert!(matches!(
        queue.offer(batch(2, 1)).await,
        Err(Refusal::Overloaded { .. })
    ));
    let (_, job) = next(&queue).await;
    assert!(
        queue.offer(batch(2, 1)).await.is_err(),
        "what is under way takes room"
    );
    settle(job).await;
    queue.offer(batch(2, 1)).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn full_queue_makes_clients_wait_where_asked_to_and_who_leaves_leaves_nothing() {
    let queue = queue(SendingQueue {
        queue_size: 1,
        block_on_overflow: true,
        ..SendingQueue::default()
    });
    queue.offer(batch(0, 1)).await.unwrap();
    assert!(
        tokio::time::timeout(SECOND, queue.offer(batch(1, 1)))
            .await
            .is_err()
    );
    let waits = tokio::spawn({
        let queue = queue.clone();
        async move { queue.offer(batch(2, 1)).await }
    });
    tokio::time::sleep(SECOND).await;
    let (_, job) = next(&queue).await;
    settle(job).await;
    waits.await.unwrap().unwrap();
    let (names, _takes_room) = next(&queue).await;
    assert_eq!(names, [2]);
    let late = tokio::spawn({
        let queue = queue.clone();
        async move { queue.offer(batch(3, 1)).await }
    });
    tokio::time::sleep(SECOND).await;
    queue.close();
    assert!(late.await.unwrap().is_err(), "an end wakes those who wait");
}

#[tokio::test(start_paused = true)]
async fn batches_leave_together_at_their_size_and_alone_at_their_time() {
    let queue = queue(SendingQueue::default());
    let timer = queue.clone();
    tokio::spawn(async move { timer.keep_time().await });
    let wish = wish(10, 0);
    for i in 0..3 {
        queue.offer(wished(i * 4, 4, &wish)).await.unwrap();
    }
    assert_eq!(next(&queue).await.0, (0..12).collect::<Vec<_>>());
    let begun = Instant::now();
    queue.offer(wished(12, 4, &wish)).await.unwrap();
    assert_eq!(next(&queue).await.0, [12, 13, 14, 15]);
    assert!(begun.elapsed() >= SECOND && begun.elapsed() < 2 * SECOND);
}

#[tokio::test(start_paused = true)]
async fn large_batches_are_split_at_items() {
    let queue = queue(SendingQueue::default());
    let wish = wish(10, 10);
    queue.offer(wished(0, 7, &wish)).await.unwrap();
    queue.offer(wished(7, 18, &wish)).await.unwrap();
    assert_eq!(next(&queue).await.0, (0..10).collect::<Vec<_>>());
    assert_eq!(next(&queue).await.0, (10..20).collect::<Vec<_>>());
    assert!(nothing_is_ready(&queue).await);
    queue.close();
    assert_eq!(next(&queue).await.0, (20..25).collect::<Vec<_>>());
    assert!(queue.next().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn tenants_do_not_mix_up_to_the_limit_of_their_number() {
    let queue = queue(SendingQueue::default());
    let wish = wish(100, 0);
    for (i, tenant) in (0..).zip(["a", "b", "a", "c", "d"]) {
        queue.offer(of_tenant(wished(i, 1, &wish), tenant)).await.unwrap();
    }
    queue.close();
    let mut all = Vec::new();
    while let Some(mut job) = queue.next().await {
        all.push(names(&job.load(&queue.meters).await.concat()));
    }
    all.sort();
    assert_eq!(all, [vec![0, 2], vec![1], vec![3, 4]]);
}

#[tokio::test(start_paused = true)]
async fn timeout_of_zero_leaves_at_once_and_still_splits() {
    let queue = queue(SendingQueue::default());
    let wish = Arc::new(Batching {
        timeout: Duration::ZERO,
        ..(*wish(8192, 2)).clone()
    });
    queue.offer(wished(0, 3, &wish)).await.unwrap();
    assert_eq!(next(&queue).await.0, [0, 1]);
    assert_eq!(next(&queue).await.0, [2]);
}

#[tokio::test(start_paused = true)]
async fn own_batch_merges_what_has_no_wish_by_items_or_bytes() {
    for sizer in [Sizer::Items, Sizer::Bytes] {
        let each = batch(10, 1).bytes.len() as u64;
        let size = if sizer == Sizer::Bytes { 3 * each } else { 3 };
        let queue = queue(SendingQueue {
            batch: Some(crate::config::QueueBatch {
                min_size: size,
                max_size: size,
                sizer,
                ..crate::config::QueueBatch::default()
            }),
            ..SendingQueue::default()
        });
        for i in 10..14 {
            queue.offer(batch(i, 1)).await.unwrap();
        }
        assert_eq!(next(&queue).await.0, [10, 11, 12], "{sizer:?}");
        assert!(nothing_is_ready(&queue).await);
    }
}

#[tokio::test(start_paused = true)]
async fn client_that_waits_gets_the_answer_of_all_parts() {
    let settings = SendingQueue {
        wait_for_result: true,
        ..SendingQueue::default()
    };
    let queue = queue(settings);
    let waits = |batch| {
        let queue = queue.clone();
        tokio::spawn(async move { queue.offer(batch).await })
    };
    let halves = waits(wished(0, 4, &wish(1, 2)));
    let (_, first) = next(&queue).await;
    let (_, second) = next(&queue).await;
    let rejected = |n| {
        Ok(Arrived {
            rejected: n,
            message: String::new(),
        })
    };
    Part::settle_all(first.parts, &rejected(1)).await;
    assert!(!halves.is_finished());
    Part::settle_all(second.parts, &rejected(1)).await;
    let accepted = halves.await.unwrap().unwrap();
    assert_eq!((accepted.items, accepted.rejected), (2, 2));
    let fails = waits(batch(0, 1));
    let (_, job) = next(&queue).await;
    let failure = Failure::of(Code::PermissionDenied, "no");
    Part::settle_all(job.parts, &Err(failure)).await;
    let refusal = fails.await.unwrap().unwrap_err();
    assert!(matches!(
        refusal,
        Refusal::Downstream {
            code: Code::PermissionDenied,
            ..
        }
    ));
}

#[tokio::test]
async fn memory_is_charged_as_long_as_a_batch_is_held() {
    let memory = Memory::default();
    let meters = Arc::new(Meters::new("test"));
    let queue = Arc::new(Queue::new(SendingQueue::default(), memory.clone(), meters, None));
    let batch = batch(0, 10);
    let bytes = batch.bytes.len() as u64;
    queue.offer(batch).await.unwrap();
    let (_, job) = next(&queue).await;
    assert_eq!(memory.held_bytes(), bytes);
    settle(job).await;
    assert_eq!(memory.held_bytes(), 0);
}

#[tokio::test]
async fn bytes_that_all_parts_were_loaded_of_are_the_requests_alone() {
    let folder = tempfile::tempdir().unwrap();
    let on_disk = queue_of(SendingQueue::default(), Some(log_in(folder.path())));
    for queue in [queue(SendingQueue::default()), on_disk] {
        let mut whole = batch(0, 2);
        let bytes = whole.bytes.clone();
        whole.batching = Some(wish(1, 1));
        queue.offer(whole).await.unwrap();
        let mut first = queue.next().await.unwrap();
        drop(first.load(&queue.meters).await);
        assert!(!bytes.is_unique(), "the second part needs them");
        let mut second = queue.next().await.unwrap();
        let pieces = second.load(&queue.meters).await;
        assert_eq!(names(&pieces.concat()), [1]);
        assert!(!bytes.is_unique(), "the request has them");
        drop(pieces);
        assert!(bytes.is_unique(), "packed or sent, nobody needs them");
        settle(first).await;
        settle(second).await;
    }
}

#[tokio::test]
async fn what_was_loaded_and_not_sent_is_still_on_disk() {
    let folder = tempfile::tempdir().unwrap();
    let old = queue_of(SendingQueue::default(), Some(log_in(folder.path())));
    old.offer(batch(0, 4)).await.unwrap();
    let (loaded, job) = next(&old).await;
    assert_eq!(loaded, [0, 1, 2, 3]);
    let new = queue_of(SendingQueue::default(), Some(log_in(folder.path())));
    old.close();
    old.end();
    old.unfinished(job);
    assert_eq!(adopted(&new).await, loaded);
}

/// Adopts whatever was there before, and then lets it leave.
async fn adopted(queue: &Arc<Queue>) -> Vec<u64> {
    let adopting = tokio::spawn(queue.clone().adopt());
    tokio::time::sleep(Duration::from_millis(200)).await;
    queue.close();
    let mut all = Vec::new();
    while let Some(mut job) = queue.next().await {
        all.extend(names(&job.load(&queue.meters).await.concat()));
        settle(job).await;
    }
    adopting.abort();
    all.sort_unstable();
    all
}

#[tokio::test]
async fn what_was_taken_survives_its_queue_and_what_was_sent_does_not() {
    let folder = tempfile::tempdir().unwrap();
    let before = queue_of(SendingQueue::default(), Some(log_in(folder.path())));
    let wish = wish(5, 5);
    before.offer(batch(0, 2)).await.unwrap();
    before.offer(wished(2, 8, &wish)).await.unwrap();
    before.offer(wished(10, 3, &wish)).await.unwrap();
    settle(next(&before).await.1).await;
    // Half of the second batch is sent: all of it comes again.
    settle(next(&before).await.1).await;
    drop(before);
    let after = queue_of(SendingQueue::default(), Some(log_in(folder.path())));
    assert_eq!(adopted(&after).await, (2..13).collect::<Vec<_>>());
    drop(after);
    let empty = queue_of(SendingQueue::default(), Some(log_in(folder.path())));
    assert_eq!(adopted(&empty).await, [0; 0]);
}

#[tokio::test]
async fn end_hands_over_to_the_queue_that_takes_the_place() {
    let folder = tempfile::tempdir().unwrap();
    let old = queue_of(SendingQueue::default(), Some(log_in(folder.path())));
    old.offer(batch(0, 4)).await.unwrap();
    old.offer(batch(4, 4)).await.unwrap();
    let under_way = old.next().await.unwrap();
    let new = queue_of(SendingQueue::default(), Some(log_in(folder.path())));
    new.offer(batch(8, 4)).await.unwrap();
    old.close();
    old.end();
    old.unfinished(under_way);
    assert_eq!(adopted(&new).await, (0..12).collect::<Vec<_>>());
}

#[tokio::test]
async fn damaged_batch_is_dropped_and_the_rest_of_its_request_is_sent() {
    use std::os::unix::fs::FileExt;
    let folder = tempfile::tempdir().unwrap();
    let before = queue_of(SendingQueue::default(), Some(log_in(folder.path())));
    let wish = wish(100, 0);
    before.offer(wished(0, 4, &wish)).await.unwrap();
    before.offer(wished(4, 4, &wish)).await.unwrap();
    drop(before);
    let mut files = std::fs::read_dir(folder.path())
        .unwrap()
        .map(|it| it.unwrap().path());
    let log = files
        .find(|it| it.extension().is_some_and(|it| it == "log"))
        .unwrap();
    let file = std::fs::OpenOptions::new().write(true).open(&log).unwrap();
    file.write_all_at(&[0xff; 4], file.metadata().unwrap().len() - 4)
        .unwrap();
    let after = queue_of(SendingQueue::default(), Some(log_in(folder.path())));
    assert_eq!(adopted(&after).await, [0, 1, 2, 3]);
}
