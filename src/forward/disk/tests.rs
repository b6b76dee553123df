//! What the log promises: nothing written is lost, damage costs itself, space comes back.

use super::{AppendError, Limits, Log, Record};
use crate::pipeline::Signal;
use proptest::prelude::*;
use std::collections::BTreeSet;
use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

const LIMITS: Limits = Limits {
    bytes: 64 << 20,
    fsync: false,
};

fn open(folder: &Path) -> Arc<Log> {
    Log::open(folder, LIMITS).unwrap()
}

fn append(log: &Log, n: u32, bytes: usize) -> Record {
    let mut content = vec![0; bytes.max(4)];
    content[..4].copy_from_slice(&n.to_le_bytes());
    log.append(Signal::Logs, u64::from(n), b"beside", &content)
        .unwrap()
}

fn number(record: &Record) -> Option<u32> {
    let (metadata, bytes) = Log::read(record).unwrap()?;
    assert_eq!(&metadata[..], b"beside");
    let n = u32::from_le_bytes(bytes[..4].try_into().unwrap());
    assert_eq!((record.items(), record.signal()), (u64::from(n), Signal::Logs));
    Some(n)
}

/// The readable numbers, and damaged places; all stay live.
fn backlog(log: &Log) -> (BTreeSet<u32>, u64, Vec<Record>) {
    let (mut found, mut corrupt, mut all) = (BTreeSet::new(), 0, Vec::new());
    while let Some(part) = log.next_of_backlog() {
        corrupt += part.corrupt;
        for record in part.records {
            match number(&record) {
                Some(n) => assert!(found.insert(n), "{n} twice"),
                None => corrupt += 1,
            }
            all.push(record);
        }
    }
    (found, corrupt, all)
}

fn files(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|it| it.unwrap().path());
    let mut files: Vec<_> = entries
        .filter(|it| it.extension().is_some_and(|e| e == extension))
        .collect();
    files.sort();
    files
}

#[test]
fn what_is_written_is_there_after_the_end_and_what_is_done_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(folder.path());
    let records: Vec<_> = (0..10).map(|n| append(&log, n, 100)).collect();
    for n in [0, 3, 9] {
        log.done(&records[n]);
    }
    // Everything dropped without a word, as a kill would.
    drop((records, log));
    let log = open(folder.path());
    let (found, corrupt, records) = backlog(&log);
    assert_eq!(found, BTreeSet::from([1, 2, 4, 5, 6, 7, 8]));
    assert_eq!(corrupt, 0);
    for record in &records {
        log.done(record);
    }
    assert_eq!(
        (
            log.used(),
            files(folder.path(), "log").len(),
            files(folder.path(), "done").len()
        ),
        (0, 0, 0)
    );
}

#[test]
fn space_comes_back_when_a_file_is_sent_and_numbers_do_not_mix() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(folder.path());
    let records: Vec<_> = (0..40).map(|n| append(&log, n, 1 << 20)).collect();
    let full = log.used();
    assert!(full > 40 << 20 && files(folder.path(), "log").len() > 3);
    records[..20].iter().rev().for_each(|record| log.done(record));
    assert!(log.used() < full - (14 << 20), "{}", log.used());
    records[20..].iter().for_each(|record| log.done(record));
    assert_eq!(log.used(), 0);
    append(&log, 99, 10);
    drop((records, log));
    assert_eq!(backlog(&open(folder.path())).0, BTreeSet::from([99]));
}

#[test]
fn done_twice_is_done_once() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(folder.path());
    let (first, second) = (append(&log, 1, 10), append(&log, 2, 10));
    log.done(&first);
    log.done(&first);
    assert!(second.is_live() && !first.is_live());
    drop((first, second, log));
    assert_eq!(backlog(&open(folder.path())).0, BTreeSet::from([2]));
}

#[test]
fn limit_refuses_what_is_new_and_room_takes_it_again() {
    let folder = tempfile::tempdir().unwrap();
    let limits = Limits {
        bytes: 1 << 20,
        ..LIMITS
    };
    let log = Log::open(folder.path(), limits).unwrap();
    let mut records = Vec::new();
    let refused = loop {
        match log.append(Signal::Logs, 1, b"", &vec![0; 100_000]) {
            Ok(record) => records.push(record),
            Err(error) => break error,
        }
    };
    assert!(matches!(refused, AppendError::Full(1)));
    assert_eq!(records.len(), 10);
    log.done(&records[0]);
    log.append(Signal::Logs, 1, b"", &vec![0; 90_000]).unwrap();
}

#[test]
fn stale_notes_do_not_pass_for_those_of_a_new_file() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(folder.path());
    let records = [append(&log, 1, 10), append(&log, 2, 10)];
    log.done(&records[0]);
    drop((records, log));
    // A crash between the two removals, the other way round.
    fs::remove_file(&files(folder.path(), "log")[0]).unwrap();
    let log = open(folder.path());
    append(&log, 7, 10);
    drop(log);
    assert_eq!(backlog(&open(folder.path())).0, BTreeSet::from([7]));
}

#[test]
fn torn_tail_costs_the_record_that_was_being_written() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(folder.path());
    (0..3).for_each(|n| drop(append(&log, n, 500)));
    drop(log);
    let path = &files(folder.path(), "log")[0];
    let length = fs::metadata(path).unwrap().len();
    OpenOptions::new()
        .write(true)
        .open(path)
        .unwrap()
        .set_len(length - 100)
        .unwrap();
    let (found, corrupt, _) = backlog(&open(folder.path()));
    assert_eq!((found, corrupt), (BTreeSet::from([0, 1]), 1));
}

#[test]
fn what_an_instance_gives_back_the_next_one_finds_once() {
    let folder = tempfile::tempdir().unwrap();
    let old = open(folder.path());
    let new = open(folder.path());
    assert!(Arc::ptr_eq(&old, &new));
    let record = append(&old, 5, 10);
    old.give_back(vec![record.clone(), record.clone(), append(&old, 6, 10)]);
    let (found, _, _) = backlog(&new);
    assert_eq!(found, BTreeSet::from([5, 6]));
}

#[test]
fn with_fsync_the_device_is_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let log = Log::open(
        folder.path(),
        Limits {
            fsync: true,
            ..LIMITS
        },
    )
    .unwrap();
    let threads: Vec<_> = (0..4)
        .map(|t| {
            let log = log.clone();
            std::thread::spawn(move || (0..5).for_each(|n| drop(append(&log, t * 10 + n, 100))))
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
    drop(log);
    assert_eq!(backlog(&open(folder.path())).0.len(), 20);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn damage_anywhere_costs_no_more_than_what_it_touches(
        sizes in prop::collection::vec(4_usize..300, 1..12),
        at in 0.0_f64..1.0,
        damage in prop::collection::vec(any::<u8>(), 1..40),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let log = open(folder.path());
        let mut ends = Vec::new();
        for (n, size) in (0..).zip(&sizes) {
            append(&log, n, *size);
            ends.push(log.used());
        }
        let whole = log.used();
        drop(log);
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let at = (at * whole as f64) as u64;
        let path = &files(folder.path(), "log")[0];
        let length = damage.len().min(usize::try_from(whole - at).unwrap());
        OpenOptions::new().write(true).open(path).unwrap().write_all_at(&damage[..length], at).unwrap();
        let (found, _, _) = backlog(&open(folder.path()));
        let until = at + length as u64;
        for (n, end) in (0..).zip(&ends) {
            let start = if n == 0 { 0 } else { ends[n as usize - 1] };
            let touched = start < until && at < *end;
            prop_assert!(touched || found.contains(&n), "record {} of {}..{} is lost", n, start, end);
        }
    }
}
