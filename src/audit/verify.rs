//! Whether a chain is whole, and if not, where it breaks first and what differs.

use super::entry::{Entry, GENESIS, hash_of, kind, split};
use super::trail::End;
use crate::store::{Chain, StoreError};
use serde::{Deserialize, Serialize};

/// Rows read at once.
const PAGE: usize = 256;

/// A place in the chain: an entry and its hash.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// Its number; 0 is before the first.
    pub seq: u64,
    /// Its hash.
    pub hash: String,
}

impl Head {
    /// Before the first entry.
    pub fn genesis() -> Self {
        Self {
            seq: 0,
            hash: GENESIS.to_owned(),
        }
    }
}

/// The first place where a chain is not what was written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("entry {seq}: {difference}")]
pub struct Break {
    /// The entry that should be there.
    pub seq: u64,
    /// What is there instead.
    pub difference: Difference,
}

/// What differs.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say it")]
pub enum Difference {
    #[error("is no entry: {0}")]
    NotAnEntry(String),
    #[error("was changed: its hash says {claimed}, its bytes come to {computed}")]
    Changed { claimed: String, computed: String },
    #[error("entry {found} stands in its place: entries are missing, moved or put in")]
    OutOfOrder { found: u64 },
    #[error("does not follow the entry before it: it names {named}, that one has {actual}")]
    Unlinked { named: String, actual: String },
    #[error("is the oldest one, and nothing says that those before it were dropped")]
    NoBeginning,
    #[error("is missing: the record should go on to entry {head}")]
    Missing { head: u64 },
    #[error("has the hash {actual}, the head should be {head}")]
    OtherHead { head: String, actual: String },
    #[error("is the head to be found, and is not kept any more: what lies before it cannot be compared")]
    NotKept,
    #[error("goes beyond the head, which is entry {head}")]
    Beyond { head: u64 },
}

/// How a chain begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begins {
    /// With the first entry ever.
    AtGenesis,
    /// Behind entries that were dropped by the limits, as a later entry says.
    BehindPruned(u64),
    /// Somewhere: it is a part.
    Within(u64),
}

/// A chain that is whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// Its entries.
    pub entries: u64,
    /// How it begins.
    pub begins: Begins,
    /// Its last entry.
    pub head: Head,
}

/// Takes entries in their order, and says no at the first that does not fit.
#[derive(Clone, Debug, Default)]
pub struct Verifier {
    /// What stands before the first entry, as that one says.
    start: Option<Head>,
    last: Option<Head>,
    entries: u64,
    /// An entry that the chain must hold.
    passing: Option<Head>,
    /// The last place before which everything was dropped, as an entry of the chain says.
    pruned: Option<Head>,
}

impl Verifier {
    /// A verifier of a chain, or of a part of one, from its oldest entry on.
    pub fn new() -> Self {
        Self::default()
    }

    /// A verifier of what follows `start`.
    pub fn behind(start: Head) -> Self {
        Self {
            last: Some(start.clone()),
            start: Some(start),
            ..Self::default()
        }
    }

    /// The same, of a chain that must hold the entry `passing`: a head that somebody kept.
    #[must_use]
    pub fn passing(mut self, passing: Option<Head>) -> Self {
        self.passing = passing;
        self
    }

    /// The next line.
    pub fn take(&mut self, line: &[u8]) -> Result<Entry, Break> {
        let expected = self.last.as_ref().map(|last| last.seq + 1);
        let read = Entry::read(line);
        let seq = expected
            .or_else(|| read.as_ref().ok().map(|it| it.seq))
            .unwrap_or(1);
        let broken = |difference| Break { seq, difference };
        let Some((body, claimed)) = split(line) else {
            let words = read
                .err()
                .map_or("it does not end with a hash".to_owned(), |e| e.to_string());
            return Err(broken(Difference::NotAnEntry(words)));
        };
        let computed = hash_of(&body);
        if computed != claimed {
            let claimed = claimed.to_owned();
            return Err(broken(Difference::Changed { claimed, computed }));
        }
        let entry = read.map_err(|e| broken(Difference::NotAnEntry(e.to_string())))?;
        if entry.seq != seq || entry.seq == 0 {
            return Err(broken(Difference::OutOfOrder { found: entry.seq }));
        }
        if let Some(last) = self.last.as_ref().filter(|last| last.hash != entry.prev) {
            return Err(broken(Difference::Unlinked {
                named: entry.prev,
                actual: last.hash.clone(),
            }));
        }
        if let Some(kept) = self.passing.take_if(|kept| kept.seq == seq)
            && kept.hash != computed
        {
            let (head, actual) = (kept.hash, computed);
            return Err(broken(Difference::OtherHead { head, actual }));
        }
        if self.start.is_none() {
            self.start = Some(Head {
                seq: entry.seq - 1,
                hash: entry.prev.clone(),
            });
        }
        if entry.kind == kind::PRUNED {
            let through = entry.facts.clone().and_then(|it| serde_json::from_value(it).ok());
            self.pruned = through.or(self.pruned.take());
        }
        self.entries += 1;
        self.last = Some(Head { seq, hash: computed });
        Ok(entry)
    }

    /// There is no more; `head` is where the chain must end, if somebody knows.
    pub fn finish(self, head: Option<&Head>) -> Result<Verified, Break> {
        let start = self.start.unwrap_or_else(Head::genesis);
        let last = self.last.unwrap_or_else(|| start.clone());
        let broken = |seq, difference| Err(Break { seq, difference });
        if let Some(kept) = self.passing {
            let difference = if kept.seq > last.seq {
                Difference::Missing { head: kept.seq }
            } else {
                Difference::NotKept
            };
            return broken(kept.seq.min(last.seq + 1), difference);
        }
        match head {
            Some(head) if head.seq > last.seq => {
                return broken(last.seq + 1, Difference::Missing { head: head.seq });
            }
            Some(head) if head.seq < last.seq => {
                return broken(head.seq + 1, Difference::Beyond { head: head.seq });
            }
            Some(head) if head.hash != last.hash => {
                let (head, actual) = (head.hash.clone(), last.hash);
                return broken(last.seq, Difference::OtherHead { head, actual });
            }
            _ => {}
        }
        let begins = if start.seq == 0 {
            if start.hash != GENESIS {
                let (named, actual) = (start.hash, GENESIS.to_owned());
                return broken(1, Difference::Unlinked { named, actual });
            }
            Begins::AtGenesis
        } else if self.pruned.as_ref() == Some(&start) {
            Begins::BehindPruned(start.seq)
        } else {
            Begins::Within(start.seq)
        };
        Ok(Verified {
            entries: self.entries,
            begins,
            head: last,
        })
    }
}

/// Verifies all that a store holds against where it says that the record ends; `Ok(Err)` where it breaks.
pub fn verify_store(store: &dyn Chain, passing: Option<Head>) -> Result<Result<Verified, Break>, StoreError> {
    let end = End::read(store)?;
    let mut verifier = Verifier::new().passing(passing);
    let mut after = 0;
    loop {
        let page = store.rows_after(after, PAGE)?;
        let Some(&(last, _)) = page.last() else { break };
        for (number, line) in page {
            match verifier.take(&line) {
                Ok(entry) if entry.seq == number => {}
                Ok(entry) => {
                    let difference = Difference::OutOfOrder { found: entry.seq };
                    return Ok(Err(Break {
                        seq: number,
                        difference,
                    }));
                }
                Err(broken) => return Ok(Err(broken)),
            }
        }
        after = last;
    }
    let verified = match verifier.finish(Some(&end.head())) {
        Ok(verified) => verified,
        Err(broken) => return Ok(Err(broken)),
    };
    if let Begins::Within(before) = verified.begins {
        let (seq, difference) = (before + 1, Difference::NoBeginning);
        return Ok(Err(Break { seq, difference }));
    }
    Ok(Ok(verified))
}
