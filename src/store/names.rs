//! The dictionary: what a number in the store stands for, as bytes that outlive handles.
//!
//! Version, kind, then objective, cohort and, of a cell, stratum and source, each behind its length. The
//! parts are the registry's own encodings, which are versioned and injective, so that this is too.

use crate::cohort::{
    CohortId, CohortKey, Level, ObjectiveId, Registry, SourceId, StratumId, decode_objective, decode_stratum,
    encode_objective, encode_stratum,
};
use crate::ledger::{CellKey, Nameless};
use crate::time::UnixNanos;
use std::fmt;

const NAME_VERSION: u8 = 1;
const MISSING: u8 = 0;
const PRESENT: u8 = 1;

/// What a name names. It decides how long the store keeps it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NameKind {
    /// A service's total.
    Total,
    /// Any other cohort.
    Cohort,
    /// An evidence cell.
    Cell,
}

impl NameKind {
    /// Reads the kind off a name.
    pub fn of(name: &[u8]) -> Option<Self> {
        match name {
            [NAME_VERSION, 0, ..] => Some(Self::Total),
            [NAME_VERSION, 1, ..] => Some(Self::Cohort),
            [NAME_VERSION, 2, ..] => Some(Self::Cell),
            _ => None,
        }
    }
}

/// Handles to names and back. The cohort registry is the one of production; tests bring their own.
pub trait Names: Send + Sync + fmt::Debug {
    /// The name of a series or cell; `None` when its handles resolve no more.
    fn encode(&self, what: Nameless) -> Option<Vec<u8>>;
    /// The objective of a name, without bringing a cohort to life.
    fn objective(&self, name: &[u8]) -> Option<ObjectiveId>;
    /// Brings what a name names to life; caps do not apply.
    fn restore(&self, name: &[u8], now: UnixNanos) -> Option<Nameless>;
}

/// Puts a name together from its encoded parts.
pub fn join(kind: NameKind, parts: &[&[u8]]) -> Option<Vec<u8>> {
    let mut name = vec![NAME_VERSION, kind as u8];
    for part in parts {
        name.extend_from_slice(&u32::try_from(part.len()).ok()?.to_le_bytes());
        name.extend_from_slice(part);
    }
    Some(name)
}

/// Takes a name apart.
pub fn split(name: &[u8]) -> Option<(NameKind, Vec<&[u8]>)> {
    let kind = NameKind::of(name)?;
    let (mut rest, mut parts) = (name.get(2..)?, Vec::new());
    while !rest.is_empty() {
        let (length, tail) = rest.split_first_chunk::<4>()?;
        let (part, tail) = tail.split_at_checked(usize::try_from(u32::from_le_bytes(*length)).ok()?)?;
        parts.push(part);
        rest = tail;
    }
    Some((kind, parts))
}

impl Names for Registry {
    fn encode(&self, what: Nameless) -> Option<Vec<u8>> {
        let (objective, cohort) = match what {
            Nameless::Series(objective, cohort) => (objective, cohort),
            Nameless::Cell(key) => (key.objective, key.cohort),
        };
        let (mut first, mut second) = (Vec::new(), Vec::new());
        let objective = Registry::objective(self, objective)?;
        encode_objective(&objective.service, &objective.slo, &mut first);
        let key = self.key(cohort)?;
        key.as_ref().as_ref().encode(&mut second);
        match what {
            Nameless::Series(..) if key.level == Level::Total => join(NameKind::Total, &[&first, &second]),
            Nameless::Series(..) => join(NameKind::Cohort, &[&first, &second]),
            Nameless::Cell(cell) => {
                let (stratum, source) = (stratum_name(self, cell.stratum)?, source_name(self, cell.source)?);
                join(NameKind::Cell, &[&first, &second, &stratum, &source])
            }
        }
    }

    fn objective(&self, name: &[u8]) -> Option<ObjectiveId> {
        let (_, parts) = split(name)?;
        let objective = decode_objective(parts.first()?).ok()?;
        Some(self.objective_id(&objective.service, &objective.slo, &mut Vec::new()))
    }

    fn restore(&self, name: &[u8], now: UnixNanos) -> Option<Nameless> {
        let (kind, parts) = split(name)?;
        let objective = Names::objective(self, name)?;
        let cohort: CohortId = Registry::restore(self, &CohortKey::decode(parts.get(1)?).ok()?);
        if kind != NameKind::Cell {
            return Some(Nameless::Series(objective, cohort));
        }
        let stratum = match parts.get(2)?.split_first()? {
            (&PRESENT, stratum) => {
                let stratum = decode_stratum(stratum).ok()?;
                self.stratum_id(&stratum.endpoint, stratum.region.as_deref(), now, &mut Vec::new())
            }
            _ => StratumId::OVERFLOW,
        };
        let source = match parts.get(3)?.split_first()? {
            (&PRESENT, source) => self.source_id(std::str::from_utf8(source).ok()?, now),
            _ => SourceId::OVERFLOW,
        };
        Some(Nameless::Cell(CellKey {
            objective,
            cohort,
            stratum,
            source,
        }))
    }
}

fn stratum_name(registry: &Registry, id: StratumId) -> Option<Vec<u8>> {
    if id == StratumId::OVERFLOW {
        return Some(vec![MISSING]);
    }
    let stratum = registry.stratum(id)?;
    let mut name = vec![PRESENT];
    encode_stratum(&stratum.endpoint, stratum.region.as_deref(), &mut name);
    Some(name)
}

fn source_name(registry: &Registry, id: SourceId) -> Option<Vec<u8>> {
    if id == SourceId::OVERFLOW {
        return Some(vec![MISSING]);
    }
    let source = registry.source(id)?;
    Some([&[PRESENT], source.as_bytes()].concat())
}
