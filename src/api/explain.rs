//! The answers that explain counts: what bad events have in common, and in which shapes flags came.

use super::answers::{ApiState, bounded};
use super::proto;
use super::view::timestamp;
use crate::cohort::Level;
use crate::cohort::flags::Basis;
use crate::ledger::{ErrorSignature, TopSignatures};
use crate::policy::Filter;

/// Series in one answer unless the caller says otherwise, and at most.
const SERIES_DEFAULT: u32 = 100;
const SERIES_MAX: u32 = 1000;
/// Shapes in one answer unless the caller says otherwise, and at most.
const SHAPES_DEFAULT: u32 = 1000;
const SHAPES_MAX: u32 = 10_000;

/// Whose signatures are asked for; empty strings and zero mean "not said".
#[derive(Clone, Debug, Default, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct SignatureFilter {
    pub(super) service: String,
    pub(super) slo: String,
    pub(super) sha: String,
    pub(super) flag: String,
    pub(super) variant: String,
    pub(super) limit: u32,
}

/// Whose shapes are asked for.
#[derive(Clone, Debug, Default, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct ShapeFilter {
    pub(super) service: String,
    pub(super) limit: u32,
}

impl ApiState {
    /// The most frequent signatures of bad events, of every series that has some, most bad events first.
    pub(super) fn signatures(&self, filter: &SignatureFilter) -> proto::ListSignaturesResponse {
        fn said(text: &str) -> Option<&str> {
            Some(text).filter(|t| !t.is_empty())
        }
        let found = self.board.list(&Filter {
            service: said(&filter.service),
            slo: said(&filter.slo),
            sha: said(&filter.sha),
            flag: said(&filter.flag),
            variant: said(&filter.variant),
            ..Filter::default()
        });
        let keys: Vec<_> = found.iter().map(|s| (s.objective_id, s.cohort_id)).collect();
        let mut series: Vec<_> = found
            .iter()
            .zip(self.signatures.tops(&keys))
            .filter(|(_, top)| !top.signatures.is_empty())
            .collect();
        let bad = |top: &TopSignatures| {
            top.signatures
                .iter()
                .map(|s| s.count)
                .fold(0, u64::saturating_add)
        };
        // Stable: among equals the board's order stays.
        series.sort_by_key(|(_, top)| std::cmp::Reverse(bad(top)));
        let limit = bounded(filter.limit, SERIES_DEFAULT, SERIES_MAX);
        let truncated = series.len() > limit;
        series.truncate(limit);
        let one = |(status, top): (&std::sync::Arc<crate::policy::BudgetStatus>, TopSignatures)| {
            let key = &status.cohort;
            let (sha, flag, variant) = match &key.level {
                Level::Total | Level::Route { .. } | Level::Overflow => (None, None, None),
                Level::Deployment { sha } => (Some(sha), None, None),
                Level::Flag { sha, flag, variant } => (sha.as_ref(), Some(flag), Some(variant)),
            };
            let text = |s: &std::sync::Arc<str>| s.as_ref().to_owned();
            proto::Signatures {
                service: text(&key.service),
                slo: text(&status.objective.slo),
                environment: key.environment.as_ref().map(text),
                sha: sha.map(text),
                flag: flag.map(text),
                variant: variant.map(text),
                overflow: key.level == Level::Overflow,
                from: Some(timestamp(top.from)),
                signatures: top.signatures.iter().map(signature).collect(),
            }
        };
        proto::ListSignaturesResponse {
            series: series.into_iter().map(one).collect(),
            truncated,
        }
    }

    /// In which shapes flags came, what of it was refused, and who told of them.
    pub(super) fn shapes(&self, filter: &ShapeFilter) -> proto::ListShapesResponse {
        let service = Some(filter.service.as_str()).filter(|service| !service.is_empty());
        let limit = bounded(filter.limit, SHAPES_DEFAULT, SHAPES_MAX);
        let mut shapes = self.shapes.shapes(service);
        let mut told = self.shapes.told(service);
        // Rows that say only that nobody said how a flag was decided.
        told.retain(|(_, told, _)| {
            told.provider.is_some() || told.set.is_some() || told.basis != Basis::Unknown
        });
        let truncated = shapes.len() > limit || told.len() > limit;
        shapes.truncate(limit);
        told.truncate(limit);
        proto::ListShapesResponse {
            shapes: shapes
                .into_iter()
                .map(|(service, attribute, shape, seen)| proto::Shape {
                    service: service.to_string(),
                    attribute: attribute.to_string(),
                    place: shape.place.as_str().to_owned(),
                    form: shape.form.as_str().to_owned(),
                    refused: shape.refused.map(|refused| refused.as_str().to_owned()),
                    count: seen.count,
                    first_seen: Some(timestamp(seen.first)),
                    last_seen: Some(timestamp(seen.last)),
                })
                .collect(),
            evaluations: told
                .into_iter()
                .map(|(service, told, seen)| proto::Evaluations {
                    service: service.to_string(),
                    flag: told.flag.into(),
                    provider: told.provider.map(String::from),
                    provider_environment: told.set.map(String::from),
                    count: seen.count,
                    first_seen: Some(timestamp(seen.first)),
                    last_seen: Some(timestamp(seen.last)),
                })
                .collect(),
            truncated,
        }
    }
}

/// One signature.
pub(super) fn signature(signature: &ErrorSignature) -> proto::ErrorSignature {
    proto::ErrorSignature {
        what: signature.what.clone(),
        route: signature.route.clone(),
        service: signature.service.clone(),
        count: signature.count,
        error: signature.error,
        traces: signature.traces.clone(),
    }
}
