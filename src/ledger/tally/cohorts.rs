//! What one (origin, deployment, flags) of a batch comes to: its cohorts, and what join and shapes need.

use crate::cohort::flags::{FlagSet, Problems, Rank, Shape, ToldBy};
use crate::cohort::{Cap, CohortId, Interned};
use crate::ledger::JOINT_FLAGS;
use crate::ledger::join::{self, Base, Place};
use std::sync::Arc;

/// The cohorts of one (origin, deployment, flags), and whether each has evidence cells.
#[derive(Default)]
pub(super) struct Cohorts {
    /// What they are for: the first three numbers of a key.
    pub(super) of: Option<(u32, u32, u32)>,
    pub(super) ids: Vec<(CohortId, bool)>,
    /// Flags that policies name, in the order of their keys, at most [`JOINT_FLAGS`].
    pub(super) armed: Vec<CohortId>,
    pub(super) refused: Option<Cap>,
    pub(super) problems: Problems,
    pub(super) invalid_deployment: bool,
    /// The flags, for the join, and the deployment.
    pub(super) bases: Vec<Base>,
    pub(super) sha: Option<Arc<str>>,
    pub(super) shapes: Vec<(Shape, u32)>,
    pub(super) told_by: Vec<ToldBy>,
}

impl Cohorts {
    /// Adds a cohort; where its events count. An event counts once in the overflow, however many of its
    /// cohorts were refused.
    pub(super) fn add(&mut self, interned: Interned, cells: bool) -> Place {
        let place = match interned {
            Interned::Live(cohort) => Place {
                cohort,
                cells,
                live: true,
            },
            Interned::Overflow(cohort, cap) => {
                self.refused.get_or_insert(cap);
                Place {
                    cohort,
                    cells: false,
                    live: false,
                }
            }
        };
        let id = (place.cohort, place.cells);
        if !self.ids.contains(&id) {
            self.ids.push(id);
        }
        place
    }

    /// Counts a flag in pairs with others of the same events.
    pub(super) fn arm(&mut self, place: Place) {
        if place.cells && self.armed.len() < JOINT_FLAGS {
            self.armed.push(place.cohort);
        }
    }

    /// Takes what a set says beside its variants.
    pub(super) fn take(&mut self, set: &FlagSet) {
        self.bases.extend(set.mentioned.iter().map(|flag| Base {
            id: join::id_of(flag),
            rank: Rank::Joined,
            place: None,
        }));
        self.problems = set.problems;
        self.shapes.clone_from(&set.shapes);
        self.told_by.clone_from(&set.told_by);
    }
}
