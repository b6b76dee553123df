//! The dictionary: what a number in the store stands for, as bytes that outlive handles.
//!
//! Version, kind and lane in one byte, then objective, cohort and, of a cell, stratum and source, each
//! behind its length. The parts are the registry's own encodings, which are versioned and injective, so
//! that this is too.

use crate::cohort::{
    CohortId, CohortKey, Level, ObjectiveId, Registry, SourceId, StratumId, decode_objective, decode_stratum,
    encode_objective, encode_stratum,
};
use crate::ledger::{CellKey, Lane, Nameless};
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
        let [NAME_VERSION, what, ..] = name else {
            return None;
        };
        Lane::of_code(what >> 4)?;
        match what & 0x0f {
            0 => Some(Self::Total),
            1 => Some(Self::Cohort),
            2 => Some(Self::Cell),
            _ => None,
        }
    }
}

/// The lane of a name; names from before there were lanes name what was seen.
pub fn lane_of(name: &[u8]) -> Lane {
    let code = name.get(1).map_or(0, |what| what >> 4);
    Lane::of_code(code).unwrap_or_default()
}

/// The name of a lane beside what `name` names.
pub fn in_lane(mut name: Vec<u8>, lane: Lane) -> Vec<u8> {
    if let Some(what) = name.get_mut(1) {
        *what = *what & 0x0f | lane.code() << 4;
    }
    name
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
            Nameless::Series(objective, cohort) | Nameless::SeriesLane(objective, cohort, _) => {
                (objective, cohort)
            }
            Nameless::Cell(key) | Nameless::CellLane(key, _) => (key.objective, key.cohort),
        };
        let (mut first, mut second) = (Vec::new(), Vec::new());
        let objective = Registry::objective(self, objective)?;
        encode_objective(&objective.service, &objective.slo, &mut first);
        let key = self.key(cohort)?;
        key.as_ref().as_ref().encode(&mut second);
        let name = match what {
            Nameless::Cell(cell) | Nameless::CellLane(cell, _) => {
                let (stratum, source) = (stratum_name(self, cell.stratum)?, source_name(self, cell.source)?);
                join(NameKind::Cell, &[&first, &second, &stratum, &source])
            }
            _ if key.level == Level::Total => join(NameKind::Total, &[&first, &second]),
            _ => join(NameKind::Cohort, &[&first, &second]),
        };
        Some(in_lane(name?, what.lane()))
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
            return Some(Nameless::Series(objective, cohort).in_lane(lane_of(name)));
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
        let cell = CellKey {
            objective,
            cohort,
            stratum,
            source,
        };
        Some(Nameless::Cell(cell).in_lane(lane_of(name)))
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
