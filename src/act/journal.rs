//! Decisions on disk: one row a decision, replaced at each transition, before the step that follows.
//!
//! Rows are JSON with a version, so that a person can read them with any tool and a later release can tell
//! what it meets. A row that cannot be read is reported and left alone: it must not keep the gateway from
//! starting, and it must not be taken for a decision.

use crate::decide::Decision;
use crate::store::Journal;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::Arc;

/// Version of the rows that this release writes. Those of version 1 say nothing of what came after the
/// switch, and are read.
const VERSION: u32 = 2;
const READ_SINCE: u32 = 1;
/// Row with the epoch of the last process.
const EPOCH_ROW: &str = "lease/epoch";

/// Why the journal failed; the store's words.
#[derive(Clone, Debug, thiserror::Error)]
#[error("journal: {0}")]
pub struct JournalError(pub String);

/// What a journal held, and how many of its rows nobody could read.
#[derive(Debug, Default)]
pub struct Loaded {
    /// The decisions, in no order.
    pub decisions: Vec<Decision>,
    /// One message a row that could not be read.
    pub unreadable: Vec<String>,
}

/// Where decisions are kept. Calls block until the row is on disk.
pub trait DecisionLog: Send + Sync + fmt::Debug + 'static {
    /// Writes `decision` over its earlier row, durably.
    fn record(&self, decision: &Decision) -> Result<(), JournalError>;
    /// Reads every row.
    fn load(&self) -> Result<Loaded, JournalError>;
    /// A number above every one that was given before: each process writes under its own. A log that several
    /// processes share refuses a row whose [`crate::decide::Life::fence`] is below the one that it holds.
    fn next_epoch(&self) -> Result<u64, JournalError> {
        let loaded = self.load()?;
        let last = loaded.decisions.iter().map(|d| d.life.fence).max();
        Ok(last.unwrap_or(0) + 1)
    }
}

impl<T: DecisionLog + ?Sized> DecisionLog for Arc<T> {
    fn record(&self, decision: &Decision) -> Result<(), JournalError> {
        (**self).record(decision)
    }

    fn load(&self) -> Result<Loaded, JournalError> {
        (**self).load()
    }

    fn next_epoch(&self) -> Result<u64, JournalError> {
        (**self).next_epoch()
    }
}

/// The journal in the gateway's store.
pub struct StoreLog<J: ?Sized>(pub Arc<J>);

impl<J: ?Sized> fmt::Debug for StoreLog<J> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StoreLog")
    }
}

impl<J: Journal + ?Sized + 'static> DecisionLog for StoreLog<J> {
    fn record(&self, decision: &Decision) -> Result<(), JournalError> {
        let row = encode(decision)?;
        self.0
            .put(&decision.id, &row)
            .map_err(|e| JournalError(e.to_string()))
    }

    fn load(&self) -> Result<Loaded, JournalError> {
        let mut loaded = Loaded::default();
        for (id, row) in self.0.all().map_err(|e| JournalError(e.to_string()))? {
            // No decision has a slash in its id: the row is another room's (idempotency keys, corrections).
            if id.contains('/') {
                continue;
            }
            match decode(&id, &row) {
                Ok(decision) => loaded.decisions.push(decision),
                Err(error) => loaded.unreadable.push(error.to_string()),
            }
        }
        Ok(loaded)
    }

    fn next_epoch(&self) -> Result<u64, JournalError> {
        let rows = self.0.all().map_err(|e| JournalError(e.to_string()))?;
        let mut last = 0;
        for (id, row) in rows {
            if id == EPOCH_ROW {
                let text = String::from_utf8_lossy(&row);
                last = last.max(text.trim().parse().unwrap_or(0));
            } else if let Ok(decision) = decode(&id, &row) {
                last = last.max(decision.life.fence);
            }
        }
        let epoch = last + 1;
        self.0
            .put(EPOCH_ROW, epoch.to_string().as_bytes())
            .map_err(|e| JournalError(e.to_string()))?;
        Ok(epoch)
    }
}

#[derive(Serialize)]
struct RowRef<'a> {
    version: u32,
    decision: &'a Decision,
}

#[derive(Deserialize)]
struct Version {
    version: u32,
}

#[derive(Deserialize)]
struct Row {
    decision: Decision,
}

/// A decision as a row.
pub fn encode(decision: &Decision) -> Result<Vec<u8>, JournalError> {
    serde_json::to_vec(&RowRef {
        version: VERSION,
        decision,
    })
    .map_err(|e| JournalError(e.to_string()))
}

/// A row as a decision; `id` is the row's key and must be the decision's.
pub fn decode(id: &str, row: &[u8]) -> Result<Decision, JournalError> {
    let refuse = |problem: String| JournalError(format!("row `{id}`: {problem}"));
    let Version { version } = serde_json::from_slice(row).map_err(|e| refuse(e.to_string()))?;
    if !(READ_SINCE..=VERSION).contains(&version) {
        return Err(refuse(format!(
            "has version {version}, this release reads {READ_SINCE} to {VERSION}"
        )));
    }
    let Row { decision } = serde_json::from_slice(row).map_err(|e| refuse(e.to_string()))?;
    if decision.id != id {
        return Err(refuse(format!("holds the decision `{}`", decision.id)));
    }
    Ok(decision)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::act::tests::decision;
    use crate::decide::DecisionState;
    use crate::store::{JournalLimits, StoreError};
    use proptest::prelude::*;
    use std::collections::BTreeMap;
    use std::sync::Mutex;

    #[derive(Default)]
    struct Rows(Mutex<BTreeMap<String, Vec<u8>>>);

    impl Journal for Rows {
        fn put(&self, id: &str, value: &[u8]) -> Result<(), StoreError> {
            self.0.lock().unwrap().insert(id.to_owned(), value.to_vec());
            Ok(())
        }

        fn all(&self) -> Result<Vec<(String, Vec<u8>)>, StoreError> {
            Ok(self.0.lock().unwrap().clone().into_iter().collect())
        }

        fn limit(&self, _: JournalLimits) {}
    }

    #[test]
    fn a_row_comes_back_as_it_was() {
        let d = decision("new-checkout");
        assert_eq!(decode(&d.id, &encode(&d).unwrap()).unwrap(), d);
    }

    #[test]
    fn a_row_of_another_version_or_key_is_refused_and_named() {
        let d = decision("f");
        let newer = encode(&d).unwrap();
        let newer = String::from_utf8(newer)
            .unwrap()
            .replace("\"version\":2", "\"version\":9");
        let error = decode(&d.id, newer.as_bytes()).unwrap_err().to_string();
        assert!(error.contains("version 9") && error.contains(&d.id), "{error}");
        assert!(decode("other", &encode(&d).unwrap()).is_err());
    }

    #[test]
    fn a_row_of_the_first_version_is_read_as_one_without_a_life() {
        let mut d = decision("f");
        d.state = DecisionState::Sending { attempt: 2 };
        let mut row: serde_json::Value = serde_json::from_slice(&encode(&d).unwrap()).unwrap();
        row["version"] = 1.into();
        for key in ["life", "action", "actor", "deployment"] {
            row["decision"].as_object_mut().unwrap().remove(key).unwrap();
        }
        assert_eq!(decode(&d.id, row.to_string().as_bytes()).unwrap(), d);
    }

    #[test]
    fn every_process_has_an_epoch_of_its_own_also_when_it_wrote_nothing() {
        let log = StoreLog(Arc::new(Rows::default()));
        assert_eq!((log.next_epoch().unwrap(), log.next_epoch().unwrap()), (1, 2));
        let mut d = decision("f");
        d.life.fence = 7;
        log.record(&d).unwrap();
        assert_eq!(log.next_epoch().unwrap(), 8);
        assert_eq!(log.load().unwrap().unreadable, Vec::<String>::new());
    }

    #[test]
    fn the_store_keeps_the_last_row_of_each_decision() {
        let log = StoreLog(Arc::new(Rows::default()));
        let mut d = decision("f");
        log.record(&d).unwrap();
        d.state = DecisionState::Sending { attempt: 1 };
        log.record(&d).unwrap();
        log.0.put("broken", b"{").unwrap();
        let loaded = log.load().unwrap();
        assert_eq!(loaded.decisions, [d]);
        assert_eq!(loaded.unreadable.len(), 1);
    }

    proptest! {
        #[test]
        fn no_broken_row_panics(
            row in proptest::collection::vec(any::<u8>(), 0..200),
            at in 0usize..400,
            byte: u8,
        ) {
            let _ = decode("x", &row);
            let d = decision("f");
            let mut bytes = encode(&d).unwrap();
            let at = at % bytes.len();
            bytes[at] = byte;
            let _ = decode(&d.id, &bytes);
        }
    }
}
