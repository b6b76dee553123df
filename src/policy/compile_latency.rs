//! The target of an SLO, and what it keeps beside its counts.
//!
//! `p99_below: 300ms` is `target: 99%` with `faster_than: 300ms`, in the words of somebody who thinks in
//! quantiles: 99 % of requests are faster than 300 ms exactly when their 99th percentile is below it.

use super::compile::Findings;
use super::raw::{RawSlo, Text};
use crate::budget::Target;
use crate::sli::spec::{Failed, Latency, Source, WrittenSli};
use crate::sli::{Detail, SliSpec, parse_nanos};
use serde_saphyr::Location;

/// Routes that a promise may be for, at most.
const TOP_ROUTES_MAX: usize = 20;

/// What an SLO says of its target and of durations.
#[derive(Debug)]
pub(super) struct Promise {
    target: String,
    /// Where the target is said.
    pub(super) at: Location,
    pub(super) sli: SliSpec,
    pub(super) top_routes: Option<usize>,
}

impl Promise {
    pub(super) fn target(&self, findings: &mut Findings) -> Option<Target> {
        findings.parsed_at(self.at, &self.target)
    }
}

/// Reads it; `None` when something is wrong, which `findings` then says.
pub(super) fn promise(raw: &RawSlo, findings: &mut Findings) -> Option<Promise> {
    let below: Vec<(&str, &Text)> = [
        ("50", &raw.p50_below),
        ("75", &raw.p75_below),
        ("90", &raw.p90_below),
        ("95", &raw.p95_below),
        ("99", &raw.p99_below),
    ]
    .into_iter()
    .filter_map(|(percent, text)| Some((percent, text.as_ref()?)))
    .collect();
    let WrittenSli {
        spec: mut sli,
        failed,
    } = raw.sli.clone().unwrap_or_default();
    if failed.is_some() && below.is_empty() {
        let message =
            "failed belongs to a latency SLI; add faster_than (or p99_below and its kin) or remove it";
        findings.problem(raw.name.referenced, message);
        return None;
    }
    let (target, at) = match (raw.target.as_ref(), below.as_slice()) {
        (Some(target), []) => (target.value.clone(), target.referenced),
        (None, [(percent, threshold)]) => {
            let latency = quantile(percent, threshold, &sli, findings)?;
            sli.latency = Some(Latency {
                failed: failed.unwrap_or_default(),
                ..latency
            });
            (format!("{percent}%"), threshold.referenced)
        }
        (None, []) => {
            let message = "the key \"target\" is missing (or p99_below and its kin, which say it too)";
            findings.problem(raw.name.referenced, message);
            return None;
        }
        (Some(target), [(percent, _), ..]) => {
            let message = format!("p{percent}_below says the target, {percent} %; remove target");
            findings.problem(target.referenced, message);
            return None;
        }
        (None, [_, (percent, second), ..]) => {
            let message = format!("p{percent}_below is a second promise; write an SLO for each");
            findings.problem(second.referenced, message);
            return None;
        }
    };
    let top_routes = match &raw.top_routes {
        None => None,
        Some(text) => Some(top_routes(text, findings)?),
    };
    let is_latency = sli.latency.is_some();
    let has_durations = matches!(sli.source, Source::Spans(_));
    if raw.quantiles == Some(true) && !has_durations {
        let message = "quantiles are of durations, which only spans have; remove the key";
        findings.problem(raw.name.referenced, message);
    }
    sli.detail = Detail {
        quantiles: raw.quantiles.unwrap_or(is_latency) && has_durations,
        routes: raw.routes.unwrap_or(is_latency) || top_routes.is_some(),
    };
    Some(Promise {
        target,
        at,
        sli,
        top_routes,
    })
}

fn quantile(percent: &str, threshold: &Text, sli: &SliSpec, findings: &mut Findings) -> Option<Latency> {
    let at = threshold.referenced;
    if !matches!(sli.source, Source::Spans(_)) {
        let message = format!("p{percent}_below needs durations, which only spans have; write a target");
        findings.problem(at, message);
        return None;
    }
    if sli.latency.is_some() {
        let message = format!("p{percent}_below and faster_than say the same; keep one");
        findings.problem(at, message);
        return None;
    }
    let Some(faster_than_nanos) = parse_nanos(threshold.value.trim()) else {
        let text = &threshold.value;
        let message =
            format!("\"{text}\" is no duration; expected a number with a unit, such as 250ms or 1.5s");
        findings.problem(at, message);
        return None;
    };
    Some(Latency {
        faster_than_nanos,
        failed: Failed::default(),
    })
}

fn top_routes(text: &Text, findings: &mut Findings) -> Option<usize> {
    let number = text.value.trim().parse().ok();
    let found = number.filter(|number| (1..=TOP_ROUTES_MAX).contains(number));
    if found.is_none() {
        let message = format!(
            "top_routes of \"{}\": must be a whole number from 1 to {TOP_ROUTES_MAX}",
            text.value
        );
        findings.problem(text.referenced, message);
    }
    found
}
