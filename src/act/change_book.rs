//! Changes of flags that somebody told, on disk.
//!
//! A webhook tells once. Were its word kept in memory only, a restart would count the evidence of the last
//! half hour against rules that the flag no longer has, and would not know which of two flags changed last.
//! So the last change of each flag is a row of the journal, in one of [`KEPT_MAX`] numbered places: no row
//! need ever be deleted, and of more flags the one that changed longest ago is forgotten. What services keep
//! a record of themselves is read there again and is not written here. Rejected: a row named after the flag,
//! which would stay when no policy names the flag any more, so that there would be no bound.

use crate::store::{Journal, StoreError};
use crate::time::UnixNanos;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

/// What its rows of the journal are called.
const ROW: &str = "flag-change/";
/// Version of the rows that this release writes.
const VERSION: u32 = 1;
/// Flags whose last change is kept.
pub(super) const KEPT_MAX: usize = 10_000;

/// An environment and a flag.
pub(super) type Flag = (String, String);

/// A row.
#[derive(Serialize, Deserialize)]
struct Row<'a> {
    version: u32,
    environment: Cow<'a, str>,
    flag: Cow<'a, str>,
    at: UnixNanos,
}

/// See the module.
pub(super) struct ChangeBook {
    journal: Arc<dyn Journal>,
    max: usize,
    /// The place and the last change of each flag.
    kept: BTreeMap<Flag, (u64, UnixNanos)>,
    /// Places that hold a row, those that nobody can read among them.
    taken: BTreeSet<u64>,
}

impl fmt::Debug for ChangeBook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChangeBook")
            .field("kept", &self.kept.len())
            .finish_non_exhaustive()
    }
}

impl ChangeBook {
    /// Reads what the journal keeps. A row that cannot be read is reported and left alone.
    pub(super) fn load(journal: Arc<dyn Journal>, max: usize) -> Result<Self, StoreError> {
        let rows = journal.all()?;
        let mut book = Self {
            journal,
            max: max.max(1),
            kept: BTreeMap::new(),
            taken: BTreeSet::new(),
        };
        for (id, bytes) in rows {
            let Some(place) = id.strip_prefix(ROW) else {
                continue;
            };
            match read(place, &bytes) {
                Ok((place, row)) => book.restore(place, row),
                Err(error) => {
                    book.taken.extend(place.parse::<u64>());
                    tracing::error!(
                        %id, %error,
                        "a change of a flag in the store cannot be read; tell of it again, or evidence from before counts"
                    );
                }
            }
        }
        book.tell();
        Ok(book)
    }

    fn restore(&mut self, place: u64, row: Row<'static>) {
        self.taken.insert(place);
        let flag = (row.environment.into_owned(), row.flag.into_owned());
        let known = self.kept.entry(flag).or_insert((place, row.at));
        if row.at > known.1 {
            *known = (place, row.at);
        }
    }

    /// Every change that is kept.
    pub(super) fn changes(&self) -> impl Iterator<Item = (&Flag, UnixNanos)> {
        self.kept.iter().map(|(flag, (_, at))| (flag, *at))
    }

    /// The flag was changed `at`: on disk when this returns, unless a later change is there already.
    pub(super) fn keep(&mut self, environment: &str, flag: &str, at: UnixNanos) -> Result<(), StoreError> {
        let key = (environment.to_owned(), flag.to_owned());
        let known = self.kept.get(&key).copied();
        if known.is_some_and(|(_, known)| known >= at) {
            return Ok(());
        }
        let (place, displaced) = match known {
            Some((place, _)) => (place, None),
            None => self.place(),
        };
        let row = Row {
            version: VERSION,
            environment: environment.into(),
            flag: flag.into(),
            at,
        };
        let bytes = serde_json::to_vec(&row).map_err(|e| StoreError::Io {
            reason: e.to_string(),
        })?;
        self.journal.put(&format!("{ROW}{place:05}"), &bytes)?;
        if let Some(displaced) = displaced {
            tracing::info!(
                environment = %displaced.0, flag = %displaced.1,
                "its change is kept no longer: others have changed since, and there is no more room"
            );
            self.kept.remove(&displaced);
        }
        self.taken.insert(place);
        self.kept.insert(key, (place, at));
        self.tell();
        Ok(())
    }

    /// Where one more flag goes: to the first free place, or to that of the flag that changed longest ago.
    fn place(&self) -> (u64, Option<Flag>) {
        let oldest = self.kept.iter().min_by_key(|(_, (_, at))| *at);
        if let Some((flag, (place, _))) = oldest.filter(|_| self.kept.len() >= self.max) {
            return (*place, Some(flag.clone()));
        }
        let free = (0..).zip(&self.taken).find(|(n, taken)| n != *taken);
        (free.map_or(self.taken.len() as u64, |(n, _)| n), None)
    }

    fn tell(&self) {
        metrics::gauge!("burngate_flag_changes_kept").set(self.kept.len() as f64);
    }
}

fn read(place: &str, bytes: &[u8]) -> Result<(u64, Row<'static>), String> {
    #[derive(Deserialize)]
    struct Version {
        version: u32,
    }
    let place = place.parse().map_err(|_| "it has no number".to_owned())?;
    let Version { version } = serde_json::from_slice(bytes).map_err(|e| e.to_string())?;
    if version != VERSION {
        return Err(format!("it has version {version}, this release reads {VERSION}"));
    }
    let row: Row<'static> = serde_json::from_slice(bytes).map_err(|e| e.to_string())?;
    Ok((place, row))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::MemStore;

    fn at(secs: u64) -> UnixNanos {
        UnixNanos::from_secs(secs)
    }

    fn told(book: &ChangeBook) -> Vec<(&str, &str, u64)> {
        book.changes()
            .map(|((environment, flag), at)| (environment.as_str(), flag.as_str(), at.secs()))
            .collect()
    }

    fn again(store: &Arc<MemStore>, max: usize) -> ChangeBook {
        ChangeBook::load(store.clone(), max).unwrap()
    }

    #[test]
    fn the_last_change_of_each_flag_comes_back_after_a_restart() {
        let store = Arc::new(MemStore::default());
        let mut book = again(&store, 10);
        book.keep("production", "a/b", at(50)).unwrap();
        book.keep("production", "c", at(60)).unwrap();
        book.keep("staging", "c", at(61)).unwrap();
        book.keep("production", "a/b", at(70)).unwrap();
        book.keep("production", "c", at(9)).unwrap();
        let want = [
            ("production", "a/b", 70),
            ("production", "c", 60),
            ("staging", "c", 61),
        ];
        assert_eq!(told(&book), want, "an older one changes nothing");
        assert_eq!(told(&again(&store, 10)), want);
        assert_eq!(store.all().unwrap().len(), 3, "a row a flag");
    }

    #[test]
    fn of_too_many_flags_the_one_that_changed_longest_ago_is_forgotten() {
        let store = Arc::new(MemStore::default());
        let mut book = again(&store, 3);
        for n in 0..20 {
            // The first is changed again and again.
            book.keep("production", "first", at(1_000 + n)).unwrap();
            book.keep("production", &format!("flag-{n}"), at(n)).unwrap();
            if n % 5 == 0 {
                book = again(&store, 3);
            }
        }
        let want = [
            ("production", "first", 1_019),
            ("production", "flag-18", 18),
            ("production", "flag-19", 19),
        ];
        assert_eq!(told(&book), want);
        assert_eq!(told(&again(&store, 3)), want);
        assert_eq!(store.all().unwrap().len(), 3);
        let smaller = again(&store, 1);
        assert_eq!(
            told(&smaller),
            want,
            "a smaller book forgets with the next change"
        );
    }

    #[test]
    fn a_row_that_nobody_can_read_is_left_alone_and_so_are_those_of_others() {
        let store = Arc::new(MemStore::default());
        let newer = br#"{"version":9,"who":"a later release"}"#;
        let rows: [(&str, &[u8]); 5] = [
            ("flag-change/00000", b"{"),
            ("flag-change/00002", newer),
            ("flag-change/what", b"{}"),
            ("correction/00000", b"another room's"),
            ("0123abcd", b"a decision"),
        ];
        for (id, row) in rows {
            store.put(id, row).unwrap();
        }
        let mut book = again(&store, 10);
        assert_eq!(told(&book), []);
        for n in 0..3 {
            book.keep("production", &format!("flag-{n}"), at(n + 1)).unwrap();
        }
        let all: BTreeMap<String, Vec<u8>> = store.all().unwrap().into_iter().collect();
        for (id, row) in rows {
            assert_eq!(all[id], row, "{id}");
        }
        assert_eq!(all.len(), rows.len() + 3);
        assert_eq!(told(&again(&store, 10)), told(&book));
    }

    #[test]
    fn what_cannot_be_written_is_not_taken_for_kept() {
        struct Full;
        impl Journal for Full {
            fn put(&self, _: &str, _: &[u8]) -> Result<(), StoreError> {
                Err(StoreError::DiskFull {
                    reason: "no space".to_owned(),
                })
            }
            fn all(&self) -> Result<Vec<(String, Vec<u8>)>, StoreError> {
                Ok(Vec::new())
            }
            fn limit(&self, _: crate::store::JournalLimits) {}
        }
        let mut book = ChangeBook::load(Arc::new(Full), 3).unwrap();
        assert!(book.keep("production", "f", at(1)).is_err());
        assert_eq!(told(&book), []);
        assert!(book.keep("production", "f", at(1)).is_err(), "it is tried again");
    }
}
