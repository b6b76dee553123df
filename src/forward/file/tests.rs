//! What arrives is in the file, whole lines of it, whatever the disk does.

use super::*;
use crate::config::{FileExporter, FileFormat, Rotation};
use crate::time::UnixNanos;
use std::fs;
use std::sync::atomic::{AtomicU64, Ordering};

/// A clock that a test steps.
#[derive(Debug, Default)]
struct Hand(AtomicU64);

impl Clock for Hand {
    fn now(&self) -> UnixNanos {
        UnixNanos(self.0.fetch_add(1_000_000_000, Ordering::Relaxed))
    }
}

/// LogRecord { body: text }
fn logs(text: &str) -> Batch {
    let field = |number: u8, inner: &[u8]| {
        let mut out = vec![number << 3 | 2];
        prost::encoding::encode_varint(inner.len() as u64, &mut out);
        out.extend(inner);
        out
    };
    let record = field(5, &field(1, text.as_bytes()));
    let bytes = field(1, &field(2, &field(2, &record)));
    Batch {
        items: Some(1),
        ..Batch::new(Signal::Logs, bytes.into())
    }
}

async fn write(config: &FileExporter, batches: Vec<Batch>) {
    let clock = Arc::new(Hand(AtomicU64::new(1_767_323_045_000_000_000)));
    let forwarder = FileForwarder::build("file", config, clock, &Memory::default()).unwrap();
    for batch in batches {
        forwarder.consume(batch).await.unwrap();
    }
    forwarder.run(async {}).await;
}

fn line(text: &str) -> String {
    format!(
        r#"{{"resourceLogs":[{{"scopeLogs":[{{"logRecords":[{{"body":{{"stringValue":"{text}"}}}}]}}]}}]}}"#
    )
}

#[tokio::test]
async fn each_batch_is_a_line_and_a_start_empties_the_file_unless_told_to_append() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = FileExporter::new(folder.path().join("out.jsonl"));
    write(&config, vec![logs("a"), logs("b")]).await;
    write(&config, vec![logs("c")]).await;
    assert_eq!(fs::read_to_string(&config.path).unwrap(), line("c") + "\n");
    config.append = true;
    write(&config, vec![logs("d")]).await;
    assert_eq!(
        fs::read_to_string(&config.path).unwrap(),
        [line("c"), line("d"), String::new()].join("\n")
    );
}

#[tokio::test]
async fn protobuf_stands_behind_its_length_and_may_be_compressed() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = FileExporter::new(folder.path().join("out.bin"));
    config.format = FileFormat::Proto;
    let batch = logs("x");
    write(&config, vec![batch.clone()]).await;
    let length = u32::try_from(batch.bytes.len()).unwrap().to_be_bytes();
    assert_eq!(
        fs::read(&config.path).unwrap(),
        [&length[..], &batch.bytes].concat()
    );
    config.zstd = true;
    write(&config, vec![batch.clone()]).await;
    let file = fs::read(&config.path).unwrap();
    assert_eq!(zstd::decode_all(&file[4..]).unwrap(), batch.bytes);
}

#[tokio::test]
async fn a_file_that_is_full_is_set_aside_and_the_oldest_leave() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = FileExporter::new(folder.path().join("out.jsonl"));
    config.rotation = Some(Rotation {
        max_megabytes: 1,
        max_backups: 2,
        ..Rotation::default()
    });
    // Each is more than half of a file, and more than a buffer.
    let big = "x".repeat(1 << 20);
    write(&config, (0..5).map(|_| logs(&big)).collect()).await;
    let mut names: Vec<_> = fs::read_dir(folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(
        names,
        [
            "out-2026-01-02T03-04-07.000.jsonl",
            "out-2026-01-02T03-04-08.000.jsonl",
            "out.jsonl"
        ]
    );
    for name in names {
        assert_eq!(
            fs::read_to_string(folder.path().join(name)).unwrap(),
            line(&big) + "\n"
        );
    }
}

#[tokio::test]
async fn a_full_queue_refuses_with_advice_and_holds_no_more_memory() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = FileExporter::new(folder.path().join("out.jsonl"));
    config.queue_size = 1;
    let memory = Memory::default();
    let forwarder = FileForwarder::build("file", &config, Arc::new(Hand::default()), &memory).unwrap();
    forwarder.consume(logs("a")).await.unwrap();
    let held = memory.held_bytes();
    let refusal = forwarder.consume(logs("b")).await.unwrap_err();
    assert!(matches!(
        refusal,
        Refusal::Overloaded {
            retry_after_secs: 1,
            ..
        }
    ));
    assert_eq!(memory.held_bytes(), held);
    forwarder.run(async {}).await;
    assert_eq!(memory.held_bytes(), 0);
    assert_eq!(fs::read_to_string(&config.path).unwrap(), line("a") + "\n");
}

#[test]
fn a_folder_that_is_not_there_is_an_error_at_start() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = FileExporter::new(folder.path().join("missing/out.jsonl"));
    let build = |config: &FileExporter| {
        FileForwarder::build("file/x", config, Arc::new(Hand::default()), &Memory::default()).map(drop)
    };
    let error = build(&config).unwrap_err().to_string();
    assert!(
        error.starts_with("exporter file/x: ") && error.contains("missing"),
        "{error}"
    );
    config.create_directory = true;
    build(&config).unwrap();
}

#[tokio::test]
async fn what_cannot_be_encoded_is_left_out_and_the_rest_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let config = FileExporter::new(folder.path().join("out.jsonl"));
    let broken = Batch::new(Signal::Logs, Bytes::from_static(&[0xff]));
    write(&config, vec![broken, logs("a")]).await;
    assert_eq!(fs::read_to_string(&config.path).unwrap(), line("a") + "\n");
}
