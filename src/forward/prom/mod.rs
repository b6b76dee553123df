//! OTLP metrics as Prometheus' series: what the page of received metrics and remote write share.
//!
//! Names, units and labels are those of OpenTelemetry's specification of the two models. A point finds its
//! series by a hash of its identity as it stands on the wire, so that names and labels are made once a series
//! and a point of a known one allocates nothing. Deltas are added up, as Prometheus knows only totals.

mod accumulate;
mod labels;
mod name;
mod points;
mod samples;
mod series;
mod store;

pub(crate) use name::prometheus_name;
pub(crate) use points::{Head, Kind, Scratch, walk_points};
pub(super) use samples::{Sample, Suffix, each_sample};
pub(super) use series::{Left, Series};
pub(super) use store::{Family, FamilyKind, Store, StoreLimits};
