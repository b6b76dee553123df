//! Opening the embedded store, come what may.
//!
//! A gateway that does not start because yesterday's power cut damaged a file is worse than one that starts
//! with empty budgets and says so. So a damaged file is set aside under a name of its own, never deleted, and
//! an empty one takes its place. A file that is in use, of a newer format, or not readable for lack of rights
//! is an error: those an operator must decide.

use super::embedded::FILE_NAME;
use super::{Keeper, Names, RedbStore, Restored, Store, StoreError};
use crate::ledger::Ledger;
use crate::time::UnixNanos;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// An open store and the ledger that came out of it.
#[derive(Debug)]
pub struct Opened {
    /// The store: history, journal.
    pub store: Arc<RedbStore>,
    /// The tick's hand on it.
    pub keeper: Keeper,
    /// The counts.
    pub ledger: Ledger,
    /// What was found.
    pub restored: Restored,
    /// Where a damaged file was put aside.
    pub quarantined: Option<PathBuf>,
}

/// Opens the store in `directory` and restores a ledger from it. `ledger` makes an empty one with its plans
/// set.
pub fn open_embedded(
    directory: &Path,
    names: &Arc<dyn Names>,
    ledger: &dyn Fn() -> Ledger,
    now: UnixNanos,
) -> Result<Opened, StoreError> {
    let attempt = || -> Result<Opened, StoreError> {
        let store = Arc::new(RedbStore::open(directory)?);
        let mut ledger = ledger();
        let (keeper, restored) = Keeper::restore(
            Arc::<RedbStore>::clone(&store) as Arc<dyn Store>,
            Arc::clone(names),
            &mut ledger,
            now,
        )?;
        Ok(Opened {
            store,
            keeper,
            ledger,
            restored,
            quarantined: None,
        })
    };
    match attempt() {
        Err(error) if error.is_damage() => {
            let aside = set_aside(directory, now)?;
            metrics::counter!("burngate_store_quarantined_total").increment(1);
            tracing::error!(%error, file = %aside.display(), "the store was damaged; it was set aside, counts start empty");
            let opened = attempt()?;
            Ok(Opened {
                quarantined: Some(aside),
                ..opened
            })
        }
        other => other,
    }
}

fn set_aside(directory: &Path, now: UnixNanos) -> Result<PathBuf, StoreError> {
    let path = directory.join(FILE_NAME);
    let mut aside = directory.join(format!("{FILE_NAME}.corrupt-{}", now.secs()));
    let mut copy = 1;
    while aside.exists() {
        aside = directory.join(format!("{FILE_NAME}.corrupt-{}-{copy}", now.secs()));
        copy += 1;
    }
    std::fs::rename(&path, &aside).map_err(|e| StoreError::Open {
        path,
        reason: format!(
            "it is damaged and could not be set aside as {}: {e}",
            aside.display()
        ),
    })?;
    Ok(aside)
}
