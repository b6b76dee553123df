//! The embedded store when things go wrong: damage, a second process, a newer format, a frame with a flipped bit.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stderr, missing_docs)]

mod ledger_support;

use burngate::cohort::{CohortId, SourceId, StratumId};
use burngate::ledger::{Counts, EvidenceDelta, Ledger, LedgerLimits, SeriesRef};
use burngate::store::{
    Commit, Journal as _, JournalLimits, Names, RedbStore, Store, StoreError, open_embedded,
};
use burngate::time::UnixNanos;
use ledger_support::{House, Numbers, OBJECTIVE, TOTALS, WORKBOOK, plan};
use std::path::Path;
use std::sync::Arc;

const NOW: UnixNanos = UnixNanos::from_secs(1_767_225_605);

fn empty() -> Ledger {
    Ledger::new(LedgerLimits::default(), plan(&WORKBOOK), Arc::new(Numbers))
}

fn open(folder: &Path, now: UnixNanos) -> Result<burngate::store::Opened, StoreError> {
    let names: Arc<dyn Names> = Arc::new(Numbers);
    open_embedded(folder, &names, &empty, now)
}

fn fill(folder: &Path) {
    let store = Arc::new(RedbStore::open(folder).unwrap());
    let mut house = House::open(store, &plan(&WORKBOOK), NOW);
    for second in 0..400 {
        let now = NOW.plus_secs(second);
        house.absorb(now, 0, now.secs() / 10, 3, 1);
        house.absorb(now, TOTALS, now.secs() / 10, 2, 0);
        house.tick(now);
    }
}

#[test]
fn a_damaged_file_is_set_aside_and_counts_start_empty() {
    let folder = tempfile::tempdir().unwrap();
    fill(folder.path());
    let file = folder.path().join("burngate.redb");
    let whole = std::fs::read(&file).unwrap();
    let damages: [(&str, Vec<u8>); 4] = [
        ("zeroes", vec![0; whole.len()]),
        ("text", b"this is not a database".to_vec()),
        ("cut off", whole[..whole.len() / 3].to_vec()),
        (
            "every page torn",
            whole
                .iter()
                .enumerate()
                .map(|(i, b)| if i % 512 > 300 { !b } else { *b })
                .collect(),
        ),
    ];
    for (number, (what, bytes)) in damages.into_iter().enumerate() {
        std::fs::write(&file, &bytes).unwrap();
        let now = NOW.plus_secs(1_000 + number as u64);
        let opened = open(folder.path(), now).unwrap_or_else(|e| panic!("{what}: {e}"));
        let aside = opened
            .quarantined
            .unwrap_or_else(|| panic!("{what}: not noticed"));
        let name = aside.file_name().unwrap().to_string_lossy().into_owned();
        assert_eq!(name, format!("burngate.redb.corrupt-{}", now.secs()), "{what}");
        assert_eq!(
            std::fs::read(&aside).unwrap().len(),
            bytes.len(),
            "{what}: kept as it was"
        );
        assert_eq!(opened.ledger.stats().series, 0, "{what}");
    }
}

#[test]
fn random_damage_never_panics_the_process() {
    let folder = tempfile::tempdir().unwrap();
    fill(folder.path());
    let file = folder.path().join("burngate.redb");
    let whole = std::fs::read(&file).unwrap();
    let seed = std::env::var("BURNGATE_SEED").map_or(7, |seed| seed.parse().unwrap());
    let mut random = fastrand::Rng::with_seed(seed);
    for _ in 0..40 {
        let mut bytes = whole.clone();
        for _ in 0..random.usize(1..200) {
            let at = random.usize(0..bytes.len());
            bytes[at] = random.u8(..);
        }
        std::fs::write(&file, &bytes).unwrap();
        let opened = open(folder.path(), NOW.plus_secs(500)).expect("opens, with or without its past");
        // Damage that only a write comes upon is an error then; never a panic.
        if let Err(error) = opened.store.put("decision", b"works") {
            assert!(error.is_damage(), "{error}");
        }
        drop(opened);
    }
}

#[test]
fn a_second_process_is_refused_with_clear_words() {
    let folder = tempfile::tempdir().unwrap();
    let first = RedbStore::open(folder.path()).unwrap();
    let error = open(folder.path(), NOW).unwrap_err();
    assert!(matches!(error, StoreError::InUse { .. }), "{error}");
    assert!(error.to_string().contains("in use by another process"), "{error}");
    drop(first);
    assert!(open(folder.path(), NOW).unwrap().quarantined.is_none());
}

#[test]
fn a_newer_format_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    drop(RedbStore::open(folder.path()).unwrap());
    let file = folder.path().join("burngate.redb");
    {
        let database = redb::Database::open(&file).unwrap();
        let write = database.begin_write().unwrap();
        let meta = redb::TableDefinition::<&str, u64>::new("meta");
        write.open_table(meta).unwrap().insert("format", 2).unwrap();
        write.commit().unwrap();
    }
    let error = open(folder.path(), NOW).unwrap_err();
    assert!(
        matches!(
            error,
            StoreError::Newer {
                found: 2,
                supported: 1,
                ..
            }
        ),
        "{error}"
    );
    assert!(file.exists());
}

#[test]
fn a_frame_with_a_flipped_bit_is_dropped_alone() {
    let folder = tempfile::tempdir().unwrap();
    fill(folder.path());
    let store = RedbStore::open(folder.path()).unwrap();
    let mut frames = Vec::new();
    store
        .frames(&mut |number, bytes| frames.push((number, bytes.to_vec())))
        .unwrap();
    assert!((1..=120).contains(&frames.len()), "{} frames", frames.len());
    let (number, mut bytes) = frames[frames.len() / 2].clone();
    bytes[5] ^= 4;
    let meta = store.meta().unwrap();
    let commit = Commit {
        now: meta.now,
        next_series: meta.next_series,
        frame: Some((number, bytes)),
        ..Commit::default()
    };
    store.commit(&commit).unwrap();
    drop(store);
    let mut opened = open(folder.path(), NOW.plus_secs(400)).unwrap();
    assert_eq!(opened.restored.damaged_frames, 1);
    // Later frames hold absolute counts, so that nothing is missing.
    let view = opened.ledger.view(OBJECTIVE, CohortId(0)).unwrap();
    assert_eq!(
        view.lifetime,
        Counts {
            good: 1_200,
            bad: 400
        }
    );
}

#[test]
fn evidence_and_decisions_survive_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let cell = |source: u32, good: u64| EvidenceDelta {
        objective: OBJECTIVE,
        cohort: CohortId(TOTALS),
        stratum: StratumId(4),
        source: SourceId(source),
        bucket: NOW.secs() / 10,
        counts: Counts { good, bad: 1 },
    };
    {
        let store = Arc::new(RedbStore::open(folder.path()).unwrap());
        let mut house = House::open(Arc::clone(&store) as Arc<_>, &plan(&WORKBOOK), NOW);
        house
            .ledger
            .lock()
            .unwrap()
            .absorb(NOW, &[], &[cell(1, 5), cell(2, 6), cell(1, 1)]);
        house.tick(NOW);
        store.put("kill-1", b"first").unwrap();
        store.put("kill-1", b"second").unwrap();
    }
    let opened = open(folder.path(), NOW.plus_secs(30)).unwrap();
    assert_eq!(opened.restored.evidence_cells, 2);
    let mut sums = opened.ledger.evidence(OBJECTIVE, CohortId(TOTALS), 600);
    sums.sort_by_key(|sum| sum.source);
    let got: Vec<_> = sums.iter().map(|s| (s.stratum, s.source, s.counts)).collect();
    let want = |source, good, bad| (StratumId(4), SourceId(source), Counts { good, bad });
    assert_eq!(got, [want(1, 6, 2), want(2, 6, 1)]);
    assert_eq!(
        opened.store.all().unwrap(),
        [("kill-1".to_owned(), b"second".to_vec())]
    );
}

#[test]
fn what_nobody_sends_any_more_leaves_the_store() {
    let store = Arc::new(burngate::store::MemStore::new());
    let mut house = House::open(Arc::clone(&store) as Arc<_>, &plan(&WORKBOOK), NOW);
    house.absorb(NOW, TOTALS, NOW.secs() / 10, 1, 1);
    for hour in 0..90 {
        let now = NOW.plus_secs(hour * 3_600);
        house.tick(now);
        house.changed(now);
        house.ledger.lock().unwrap().idle(now);
    }
    assert_eq!(house.ledger.lock().unwrap().stats().series, 0);
    assert_eq!(store.rows(), (0, 0, 0), "chunks, frames, names");
    assert!(store.names(SeriesRef(0), 9).unwrap().is_empty());
}

/// Both engines, each with the folder that it needs.
fn engines() -> [(tempfile::TempDir, Arc<dyn Store>); 2] {
    let (disk, memory) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let redb: Arc<dyn Store> = Arc::new(RedbStore::open(disk.path()).unwrap());
    [(disk, redb), (memory, Arc::new(burngate::store::MemStore::new()))]
}

fn at(now: UnixNanos) -> Commit {
    Commit {
        now,
        ..Commit::default()
    }
}

fn ids(store: &dyn Store) -> Vec<String> {
    store.all().unwrap().into_iter().map(|(id, _)| id).collect()
}

#[test]
fn the_journal_keeps_its_newest_rows_and_the_one_being_written() {
    for (_folder, store) in engines() {
        // All but the last are older than the last, whatever their names.
        for (second, id) in (0..).zip(["z", "y", "x", "a", "b"]) {
            store.commit(&at(NOW.plus_secs(second))).unwrap();
            store.put(id, b"row").unwrap();
        }
        assert_eq!(ids(&*store).len(), 5, "{store:?}");
        store.limit(JournalLimits {
            rows: 3,
            secs: 86_400,
        });
        store.put("c", b"row").unwrap();
        assert_eq!(ids(&*store), ["a", "b", "c"], "{store:?}: the oldest go");
        // A row that is written again is as new as any.
        store.commit(&at(NOW.plus_secs(9))).unwrap();
        store.put("a", b"again").unwrap();
        store.put("0", b"row").unwrap();
        assert_eq!(ids(&*store), ["0", "a", "c"], "{store:?}");
    }
}

#[test]
fn corrections_and_keys_stay_whatever_the_journal_keeps_of_decisions() {
    for (_folder, store) in engines() {
        let limits = JournalLimits { rows: 2, secs: 7_200 };
        store.limit(limits);
        store.commit(&at(NOW)).unwrap();
        for id in ["correction/1", "events/00001", "a"] {
            store.put(id, b"row").unwrap();
        }
        store.commit(&at(NOW.plus_secs(1))).unwrap();
        for id in ["b", "c"] {
            store.put(id, b"row").unwrap();
        }
        let guests = ["correction/1", "events/00001"];
        assert_eq!(ids(&*store), ["b", "c", guests[0], guests[1]], "{store:?}");
        store.commit(&at(NOW.plus_secs(90 * 86_400))).unwrap();
        assert_eq!(ids(&*store), guests, "{store:?}: a budget looks back that far");
        store.commit(&at(NOW.plus_secs(401 * 86_400))).unwrap();
        assert_eq!(ids(&*store), Vec::<String>::new(), "{store:?}");
    }
}

#[test]
fn the_journal_forgets_what_is_older_than_it_keeps() {
    for (_folder, store) in engines() {
        store.limit(JournalLimits {
            rows: 100,
            secs: 7_200,
        });
        store.commit(&at(NOW)).unwrap();
        store.put("old", b"row").unwrap();
        store.commit(&at(NOW.plus_secs(7_000))).unwrap();
        store.put("young", b"row").unwrap();
        assert_eq!(ids(&*store), ["old", "young"], "{store:?}");
        // Looked at once an hour.
        store.commit(&at(NOW.plus_secs(7_200 + 3_600))).unwrap();
        assert_eq!(ids(&*store), ["young"], "{store:?}");
    }
}
