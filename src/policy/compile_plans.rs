//! `maintenance:`, `peaks:` and `corrections:` of a policy.

use super::compile::Findings;
use super::compile_alerts;
use super::model::Plans;
use super::plan::{Correction, Planned};
use super::raw::{RawDays, RawPlan, RawPolicy, Text};
use crate::budget::{Days, Schedule, Span, Threshold};
use jiff::civil::{DateTime, Time};
use jiff::tz::TimeZone;
use serde_saphyr::{Location, Spanned};
use std::sync::Arc;

/// Entries of one list.
const PLANS_MAX: usize = 100;
/// What is left out is left out in whole five minutes.
const GRAIN_SECS: u64 = 300;
/// Longest single maintenance window or correction, in seconds.
const SPAN_MAX_SECS: u64 = 31 * 86_400;

/// Which list an entry stands in.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Maintenance,
    Peak,
    Correction,
}

/// Plans with the names of the SLOs that they concern; `None` for all.
type Scoped<T> = Vec<(Arc<T>, Option<Vec<String>>)>;

/// Everything planned in one policy, not yet dealt out to its SLOs.
#[derive(Default)]
pub(super) struct Compiled {
    maintenance: Scoped<Planned>,
    peaks: Scoped<Planned>,
    corrections: Scoped<Correction>,
}

impl Compiled {
    /// What concerns one SLO.
    pub(super) fn of(&self, slo: &str) -> Arc<Plans> {
        fn ours<T>(list: &Scoped<T>, slo: &str) -> Vec<Arc<T>> {
            let concerned =
                |names: &Option<Vec<String>>| names.as_ref().is_none_or(|n| n.iter().any(|n| n == slo));
            list.iter()
                .filter(|(_, names)| concerned(names))
                .map(|(it, _)| Arc::clone(it))
                .collect()
        }
        Arc::new(Plans {
            maintenance: ours(&self.maintenance, slo),
            peaks: ours(&self.peaks, slo),
            corrections: ours(&self.corrections, slo),
        })
    }
}

/// Compiles the three lists. `who` is the service or journey, `slos` are the names that may be meant.
pub(super) fn plans(raw: &RawPolicy, who: &str, slos: &[&str], findings: &mut Findings) -> Compiled {
    let mut compiled = Compiled::default();
    let environment = raw.environment.as_ref().map(|t| t.value.trim().to_owned());
    for (kind, list) in [
        (Kind::Maintenance, &raw.maintenance),
        (Kind::Peak, &raw.peaks),
        (Kind::Correction, &raw.corrections),
    ] {
        if let Some(beyond) = list.get(PLANS_MAX) {
            findings.problem(
                beyond.referenced,
                format!("at most {PLANS_MAX} entries can stand here"),
            );
        }
        for entry in list {
            let names = scope(&entry.value, slos, findings);
            match kind {
                Kind::Maintenance => {
                    compiled
                        .maintenance
                        .extend(planned(kind, entry, findings).map(|p| (Arc::new(p), names)));
                }
                Kind::Peak => compiled
                    .peaks
                    .extend(planned(kind, entry, findings).map(|p| (Arc::new(p), names))),
                Kind::Correction => {
                    let index = compiled.corrections.len();
                    let found = correction(entry, who, environment.as_ref(), index, findings);
                    compiled.corrections.extend(found.map(|c| (Arc::new(c), names)));
                }
            }
        }
    }
    compiled
}

/// `slos:` of an entry.
fn scope(raw: &RawPlan, slos: &[&str], findings: &mut Findings) -> Option<Vec<String>> {
    let list = raw.slos.as_ref()?;
    if list.value.is_empty() {
        findings.problem(
            list.referenced,
            "slos is empty; name one, or leave it out for all of them",
        );
    }
    for name in &list.value {
        findings.word(name.referenced, "SLO", &name.value, slos);
    }
    Some(list.value.iter().map(|n| n.value.trim().to_owned()).collect())
}

fn text(findings: &mut Findings, what: &str, raw: Option<&Text>) -> Option<Arc<str>> {
    match raw {
        Some(text) => findings.name(what, text),
        None => Some("".into()),
    }
}

fn planned(kind: Kind, entry: &Spanned<RawPlan>, findings: &mut Findings) -> Option<Planned> {
    let (at, raw) = (entry.referenced, &entry.value);
    let Some(name) = &raw.name else {
        findings.problem(at, "it needs a name, which is shown while it is on");
        return None;
    };
    let name = findings.name("the name", name);
    if let Some(author) = &raw.author {
        findings.problem(
            author.referenced,
            "author belongs to a correction; write approved_by",
        );
    }
    let burn_factor = match (kind, &raw.burn_factor) {
        (Kind::Peak, Some(text)) => factor(text, findings),
        (Kind::Peak, None) => {
            findings.problem(
                at,
                "a peak needs burn_factor: by how much the burn may be higher, such as 2",
            );
            None
        }
        (_, Some(text)) => {
            findings.problem(
                text.referenced,
                "burn_factor belongs to a peak; maintenance is left out as a whole",
            );
            None
        }
        (_, None) => Some(Threshold::ONE),
    };
    let schedule = schedule(kind, at, raw, findings);
    Some(Planned {
        name: name?,
        schedule: schedule?,
        reason: text(findings, "reason", raw.reason.as_ref())?,
        approved_by: text(findings, "approved_by", raw.approved_by.as_ref())?,
        burn_factor: burn_factor?,
    })
}

fn factor(text: &Text, findings: &mut Findings) -> Option<Threshold> {
    let factor = compile_alerts::threshold(text.referenced, &text.value, findings)?;
    if factor < Threshold::ONE || factor > Threshold::from_millionths(1_000_000_000) {
        findings.problem(
            text.referenced,
            format!("burn_factor of {factor}: must be from 1 to 1000"),
        );
        return None;
    }
    Some(factor)
}

fn schedule(kind: Kind, at: Location, raw: &RawPlan, findings: &mut Findings) -> Option<Schedule> {
    let zone = match &raw.timezone {
        Some(name) => findings.zone(name.referenced, &name.value)?,
        None => TimeZone::UTC,
    };
    let Some(every) = &raw.every else {
        return once(kind, raw, &zone, findings).map(Schedule::Once);
    };
    let words = match &every.value {
        RawDays::One(word) => std::slice::from_ref(word),
        RawDays::Several(words) => words,
    };
    let mut days = Days::default();
    for word in words {
        let Some(more) = Days::of_name(word.trim()) else {
            let message = format!("every \"{word}\": expected day, weekday, weekend, or monday to sunday");
            findings.problem(every.referenced, message);
            return None;
        };
        days = days.and(more);
    }
    if days == Days::default() {
        findings.problem(every.referenced, "every is empty; name a day");
    }
    let (from, to) = (clock(kind, &raw.from, findings), clock(kind, &raw.to, findings));
    let (from, to) = (from?, to?);
    if kind == Kind::Correction {
        findings.problem(
            at,
            "a correction is made of something that happened; it has no every",
        );
    }
    Some(Schedule::Weekly { days, from, to, zone })
}

/// A time of the day, `22:30`.
fn clock(kind: Kind, text: &Text, findings: &mut Findings) -> Option<Time> {
    let read = text
        .value
        .trim()
        .split_once(':')
        .and_then(|(hour, minute)| Time::new(hour.parse().ok()?, minute.parse().ok()?, 0, 0).ok());
    let Some(time) = read else {
        let message = format!(
            "\"{}\" is no time of a day; with every, write it like 22:30",
            text.value
        );
        findings.problem(text.referenced, message);
        return None;
    };
    if kind != Kind::Peak && time.minute() % 5 != 0 {
        findings.problem(text.referenced, in_grains(&text.value));
        return None;
    }
    Some(time)
}

fn in_grains(text: &str) -> String {
    format!("\"{text}\": what is left out is left out in whole five minutes; write a multiple of them")
}

fn once(kind: Kind, raw: &RawPlan, zone: &TimeZone, findings: &mut Findings) -> Option<Span> {
    let (from, to) = (
        instant(kind, &raw.from, zone, findings),
        instant(kind, &raw.to, zone, findings),
    );
    let span = Span { from: from?, to: to? };
    if span.from >= span.to {
        findings.problem(raw.to.referenced, "it ends before it begins");
        return None;
    }
    if span.to - span.from > SPAN_MAX_SECS {
        findings.problem(
            raw.to.referenced,
            "it is longer than 31 days; what is left out so long is no SLO",
        );
        return None;
    }
    Some(span)
}

/// An instant: with its offset, or by the clock of `zone`.
fn instant(kind: Kind, text: &Text, zone: &TimeZone, findings: &mut Findings) -> Option<u64> {
    let written = text.value.trim();
    let stamp = written.parse::<jiff::Timestamp>().ok();
    let stamp = stamp.or_else(|| {
        let civil: DateTime = written.parse().ok()?;
        Some(civil.to_zoned(zone.clone()).ok()?.timestamp())
    });
    let Some(secs) = stamp.and_then(|t| u64::try_from(t.as_second()).ok()) else {
        let message = format!(
            "\"{written}\" is no instant; write it like 2026-12-05T22:00:00+01:00, \
             or 2026-12-05T22:00 with a timezone"
        );
        findings.problem(text.referenced, message);
        return None;
    };
    if kind != Kind::Peak && secs % GRAIN_SECS != 0 {
        findings.problem(text.referenced, in_grains(written));
        return None;
    }
    Some(secs)
}

fn correction(
    entry: &Spanned<RawPlan>,
    who: &str,
    environment: Option<&String>,
    index: usize,
    findings: &mut Findings,
) -> Option<Correction> {
    let (at, raw) = (entry.referenced, &entry.value);
    let (Some(author), Some(reason)) = (&raw.author, &raw.reason) else {
        findings.problem(
            at,
            "a correction needs an author and a reason: it is read when somebody asks why",
        );
        return None;
    };
    if who.contains(['*', '?']) {
        findings.problem(
            at,
            "a correction is made of one service; write a policy that names it exactly",
        );
        return None;
    }
    for text in [&raw.burn_factor, &raw.approved_by].into_iter().flatten() {
        findings.problem(
            text.referenced,
            "belongs to a peak or a maintenance window, not to a correction",
        );
    }
    if raw.every.is_some() {
        findings.problem(
            at,
            "a correction is made of something that happened; it has no every",
        );
        return None;
    }
    let zone = match &raw.timezone {
        Some(name) => findings.zone(name.referenced, &name.value)?,
        None => TimeZone::UTC,
    };
    let span = once(Kind::Correction, raw, &zone, findings)?;
    let author = findings.name("author", author)?;
    let reason = findings.name("reason", reason)?;
    let name = match &raw.name {
        Some(text) => findings.name("the name", text)?.to_string(),
        None => format!("{who}-{index}"),
    };
    Some(Correction {
        id: format!("policy:{name}"),
        service: who.to_owned(),
        slos: raw
            .slos
            .iter()
            .flat_map(|l| &l.value)
            .map(|n| n.value.trim().to_owned())
            .collect(),
        environment: environment.cloned(),
        from: span.from,
        to: span.to,
        author: author.to_string(),
        reason: reason.to_string(),
        created_at: None,
        withdrawn: None,
    })
}
