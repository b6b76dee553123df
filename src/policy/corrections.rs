//! Corrections that were made while the gateway runs: kept in the store, listed, taken back, never deleted.
//!
//! A correction changes what a budget says of the past, so it carries who made it, when and why, and one that
//! was taken back stays in the list. It is on disk before it has an effect.

use super::plan::{Correction, Withdrawn};
use crate::store::{Store, StoreError};
use crate::time::UnixNanos;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

/// Corrections in force at most.
pub const CORRECTIONS_MAX: usize = 1_000;
/// Corrections kept at most, those that were taken back among them.
const KEPT_MAX: usize = 10_000;
/// What their rows of the journal are called.
const ROW: &str = "correction/";

/// Why a correction was not taken.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say it")]
pub enum CorrectionError {
    #[error("{what} is {problem}")]
    Field { what: &'static str, problem: String },
    #[error(
        "{CORRECTIONS_MAX} corrections can be in force, and {KEPT_MAX} are kept with those that were taken back; take \
         one back that is over"
    )]
    TooMany,
    #[error("there is no correction {0:?}")]
    Unknown(String),
    #[error("the correction {0:?} was taken back already")]
    Withdrawn(String),
    #[error("the correction {0:?} stands in a policy; change it there")]
    InPolicy(String),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// See the module. Clones share one list.
#[derive(Clone)]
pub struct Corrections {
    store: Arc<dyn Store>,
    list: Arc<Mutex<(u64, Vec<Arc<Correction>>)>>,
}

impl fmt::Debug for Corrections {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Corrections")
    }
}

/// What somebody asks for.
#[derive(Clone, Debug, Default)]
pub struct NewCorrection {
    /// The service, exactly.
    pub service: String,
    /// Its SLOs; empty for all.
    pub slos: Vec<String>,
    /// The environment; empty for all.
    pub environment: String,
    /// Its start, in seconds.
    pub from: u64,
    /// Its end, in seconds.
    pub to: u64,
    /// Who.
    pub author: String,
    /// Why.
    pub reason: String,
}

impl Corrections {
    /// Reads what the store keeps. A row that cannot be read is reported and left alone.
    pub fn load(store: Arc<dyn Store>) -> Result<Self, StoreError> {
        let mut list = Vec::new();
        for (id, row) in store.all()? {
            if !id.starts_with(ROW) {
                continue;
            }
            match serde_json::from_slice::<Correction>(&row) {
                Ok(correction) => list.push(Arc::new(correction)),
                Err(error) => tracing::error!(%id, %error, "a correction in the store cannot be read"),
            }
        }
        Ok(Self {
            store,
            list: Arc::new(Mutex::new((1, list))),
        })
    }

    /// Every correction that was made at run time, and a number that changes with them.
    pub fn snapshot(&self) -> (u64, Vec<Arc<Correction>>) {
        self.list.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Takes a correction on: widened to whole five minutes, on disk when this returns.
    pub fn add(&self, now: UnixNanos, new: NewCorrection) -> Result<Arc<Correction>, CorrectionError> {
        check(now, &new)?;
        let mut list = self.list.lock().unwrap_or_else(PoisonError::into_inner);
        let in_force = list.1.iter().filter(|c| c.withdrawn.is_none()).count();
        if in_force >= CORRECTIONS_MAX || list.1.len() >= KEPT_MAX {
            return Err(CorrectionError::TooMany);
        }
        let mut correction = Correction {
            id: format!("{:016x}{:04x}", now.0, list.1.len() & 0xffff),
            service: new.service,
            slos: new.slos,
            environment: Some(new.environment).filter(|e| !e.is_empty()),
            from: new.from,
            to: new.to,
            author: new.author,
            reason: new.reason,
            created_at: Some(now),
            withdrawn: None,
        };
        let span = correction.span();
        (correction.from, correction.to) = (span.from, span.to);
        self.write(&correction)?;
        let correction = Arc::new(correction);
        list.1.push(Arc::clone(&correction));
        list.0 += 1;
        Ok(correction)
    }

    /// Takes a correction back: its events count again.
    pub fn withdraw(
        &self,
        now: UnixNanos,
        id: &str,
        (author, reason): (&str, &str),
    ) -> Result<Arc<Correction>, CorrectionError> {
        for (what, text) in [("author", author), ("reason", reason)] {
            said(what, text)?;
        }
        if id.starts_with("policy:") {
            return Err(CorrectionError::InPolicy(id.to_owned()));
        }
        let mut list = self.list.lock().unwrap_or_else(PoisonError::into_inner);
        let found = list.1.iter_mut().find(|c| c.id == id);
        let Some(correction) = found else {
            return Err(CorrectionError::Unknown(id.to_owned()));
        };
        if correction.withdrawn.is_some() {
            return Err(CorrectionError::Withdrawn(id.to_owned()));
        }
        let mut changed = (**correction).clone();
        changed.withdrawn = Some(Withdrawn {
            author: author.to_owned(),
            reason: reason.to_owned(),
            at: now,
        });
        self.write(&changed)?;
        let changed = Arc::new(changed);
        *correction = Arc::clone(&changed);
        list.0 += 1;
        Ok(changed)
    }

    fn write(&self, correction: &Correction) -> Result<(), CorrectionError> {
        let row = serde_json::to_vec(correction).unwrap_or_default();
        Ok(self.store.put(&format!("{ROW}{}", correction.id), &row)?)
    }
}

/// A text that somebody must have said.
fn said(what: &'static str, text: &str) -> Result<(), CorrectionError> {
    let problem = if text.trim().is_empty() {
        "missing: it is read when somebody asks why"
    } else if text.len() > 512 {
        "longer than 512 bytes"
    } else if text.chars().any(char::is_control) {
        "not printable: it holds a control character"
    } else {
        return Ok(());
    };
    Err(CorrectionError::Field {
        what,
        problem: problem.to_owned(),
    })
}

fn check(now: UnixNanos, new: &NewCorrection) -> Result<(), CorrectionError> {
    const DAY: u64 = 86_400;
    let required = [
        ("service", &new.service),
        ("author", &new.author),
        ("reason", &new.reason),
    ];
    for (what, text) in required {
        said(what, text)?;
    }
    if new.slos.len() > 64 || new.slos.iter().any(|s| s.len() > 512) {
        let problem = "too long: at most 64 names".to_owned();
        return Err(CorrectionError::Field {
            what: "slos",
            problem,
        });
    }
    let problem = if new.from >= new.to {
        "not after from"
    } else if new.to - new.from > 31 * DAY {
        "more than 31 days after from; what is left out so long is no SLO"
    } else if new.to > now.secs() + 31 * DAY {
        "more than 31 days ahead; plan it as maintenance in the policy"
    } else if new.from < now.secs().saturating_sub(400 * DAY) {
        "longer ago than counts are kept (400 days)"
    } else {
        return Ok(());
    };
    Err(CorrectionError::Field {
        what: "to",
        problem: problem.to_owned(),
    })
}
