//! `window:`, `budgeting:`, `targets:` and `low_traffic:`: what a budget is, and how it is counted.

use super::compile::Findings;
use super::compile_alerts;
use super::error::{nearest, one_of};
use super::model::{Alert, Budgeting, LowTraffic, NamedTarget};
use super::raw::{RawBudgeting, RawLowTraffic, RawTarget, RawWindow, Text};
use crate::budget::{Calendar, CalendarUnit, EmptySlice, Method, Period, SliceRule, Target, zone};
use crate::config::{format_duration, parse_duration};
use crate::ledger::COHORT_REACH_SECS;
use serde_saphyr::{Location, Spanned};
use std::sync::Arc;
use std::time::Duration;

const HOUR: u64 = 3600;
const DAY: u64 = 24 * HOUR;
const PERIOD_MIN_SECS: u64 = HOUR;
const PERIOD_MAX_SECS: u64 = 90 * DAY;
/// Further targets of one SLO.
const TARGETS_MAX: usize = 8;
/// Minutes, and five of them: the widths that totals are kept in.
const SLICES_SECS: [u64; 2] = [60, 300];

impl Findings {
    /// `window:` of a policy or an SLO.
    pub(super) fn period(&mut self, window: &Spanned<RawWindow>) -> Option<Period> {
        let at = window.referenced;
        match &window.value {
            RawWindow::Rolling(text) => {
                let secs = self.window_at(at, text, "a window", PERIOD_MIN_SECS, PERIOD_MAX_SECS)?;
                Some(Period::Rolling { secs })
            }
            RawWindow::Calendar { unit, timezone } => {
                let units = CalendarUnit::ALL.map(CalendarUnit::as_str);
                let unit = self.word(at, "calendar", unit, &units)?;
                let name = timezone.as_deref().unwrap_or("UTC");
                Some(Period::Calendar(Calendar::new(
                    CalendarUnit::ALL[unit],
                    self.zone(at, name)?,
                )))
            }
        }
    }

    /// A time zone by its IANA name.
    pub(super) fn zone(&mut self, at: Location, name: &str) -> Option<jiff::tz::TimeZone> {
        let found = zone(name);
        if found.is_none() {
            let all: Vec<String> = jiff::tz::db().available().map(|n| n.to_string()).collect();
            let near = nearest(name, all.iter().map(String::as_str));
            let hint = near.map_or_else(
                || "write its IANA name, such as Europe/Berlin".to_owned(),
                |near| format!("did you mean \"{near}\"?"),
            );
            self.problem(at, format!("there is no time zone \"{name}\"; {hint}"));
        }
        found
    }

    /// One of `words`, by its place in the list.
    pub(super) fn word(&mut self, at: Location, what: &str, text: &str, words: &[&str]) -> Option<usize> {
        let found = words.iter().position(|w| *w == text.trim());
        if found.is_none() {
            let near = nearest(text, words.iter().copied());
            let hint = near.map_or_else(String::new, |n| format!("; did you mean \"{n}\"?"));
            self.problem(
                at,
                format!("unknown {what} \"{text}\", expected {}{hint}", one_of(words)),
            );
        }
        found
    }

    /// A whole number from `min` to `max`.
    pub(super) fn whole(&mut self, what: &str, text: &Text, min: u64, max: u64) -> Option<u64> {
        let number = text.value.trim().parse().ok().filter(|n| (min..=max).contains(n));
        if number.is_none() {
            let message = format!(
                "{what} of {}: must be a whole number from {min} to {max}",
                text.value
            );
            self.problem(text.referenced, message);
        }
        number
    }

    /// `budgeting:` of a policy or an SLO; `target` is what a slice must reach unless it says so itself.
    pub(super) fn budgeting(
        &mut self,
        raw: Option<&Spanned<RawBudgeting>>,
        target: Target,
        period: &Period,
    ) -> Option<Budgeting> {
        let Some(raw) = raw else {
            return Some(Budgeting::occurrences(target));
        };
        let at = raw.referenced;
        let raw = &raw.value;
        let names = Method::ALL.map(Method::as_str);
        let method = Method::ALL[self.word(raw.method.referenced, "method", &raw.method.value, &names)?];
        if method == Method::Occurrences {
            if raw.slice.is_some() || raw.slice_target.is_some() || raw.empty.is_some() {
                let message = "occurrences have no slices; remove slice, slice_target and empty, \
                               or write method: timeslices";
                self.problem(at, message);
                return None;
            }
            return Some(Budgeting::occurrences(target));
        }
        let slice_secs = self.slice(at, raw.slice.as_ref(), period);
        let slice_target = raw
            .slice_target
            .as_ref()
            .map_or(Some(target), |text| self.parsed(text));
        let words = EmptySlice::ALL.map(EmptySlice::as_str);
        let empty = match &raw.empty {
            Some(text) => self.word(text.referenced, "rule for empty slices", &text.value, &words),
            None => Some(0),
        };
        Some(Budgeting {
            rule: SliceRule {
                method,
                slice_secs: slice_secs?,
                empty: EmptySlice::ALL[empty?],
            },
            slice_target: slice_target?,
        })
    }

    /// The length of a slice: one that is kept for as long as the period is.
    fn slice(&mut self, at: Location, text: Option<&Text>, period: &Period) -> Option<u64> {
        // A calendar day has up to 25 hours, which minutes outlast.
        let minutes_last = period.nominal_secs() <= COHORT_REACH_SECS;
        let Some(text) = text else {
            return Some(SLICES_SECS[usize::from(!minutes_last)]);
        };
        let secs = parse_duration(text.value.trim())
            .filter(|d| d.subsec_nanos() == 0)
            .map(|d| d.as_secs());
        let Some(secs) = secs.filter(|s| SLICES_SECS.contains(s)) else {
            let message = format!(
                "a slice of {}: a total is kept in minutes and in five minutes; write 1m or 5m",
                text.value
            );
            self.problem(text.referenced, message);
            return None;
        };
        if secs == SLICES_SECS[0] && !minutes_last {
            let message = format!(
                "slices of 1m over {}: minutes are kept for 3d, five minutes for 400d; \
                 write slice: 5m, or a window of at most 3d",
                format_duration(Duration::from_secs(period.nominal_secs()))
            );
            self.problem(at, message);
            return None;
        }
        Some(secs)
    }

    /// `low_traffic:`, of an SLO or else of its policy.
    pub(super) fn low_traffic(&mut self, raw: Option<&Spanned<RawLowTraffic>>) -> Option<LowTraffic> {
        let Some(raw) = raw else {
            return Some(LowTraffic::default());
        };
        let min_bad = match &raw.value.min_bad {
            Some(text) => self.whole("min_bad", text, 1, 1_000_000_000)?,
            // Who asks for the rule means the published one.
            None => 3,
        };
        Some(LowTraffic {
            min_bad,
            budget_events: raw.value.budget_events.unwrap_or(true),
        })
    }

    /// `targets:`; the alerts of a further target are added to `alerts` under its name.
    pub(super) fn targets(
        &mut self,
        raw: &[Spanned<RawTarget>],
        period_secs: u64,
        alerts: &mut Vec<Arc<Alert>>,
    ) -> Vec<NamedTarget> {
        let mut targets: Vec<NamedTarget> = Vec::new();
        if let Some(beyond) = raw.get(TARGETS_MAX) {
            self.problem(
                beyond.referenced,
                format!("an SLO has at most {TARGETS_MAX} further targets"),
            );
        }
        for entry in raw {
            let (name, target) = (
                self.name("the target's name", &entry.value.name),
                self.parsed(&entry.value.target),
            );
            let (Some(name), Some(target)) = (name, target) else {
                continue;
            };
            if targets.iter().any(|t| t.name == name) {
                let message = format!("the target \"{name}\" is defined twice; rename one");
                self.problem(entry.value.name.referenced, message);
                continue;
            }
            if let Some(own) = &entry.value.alerts {
                for alert in compile_alerts::alerts(own, target, period_secs, self) {
                    alerts.push(Arc::new(Alert {
                        name: format!("{name}:{}", alert.name).into(),
                        of_target: Some(target),
                        ..(*alert).clone()
                    }));
                }
            }
            targets.push(NamedTarget { name, target });
        }
        targets
    }

    /// Windows of alerts over slices are made of whole slices, and no longer than these are kept.
    pub(super) fn check_slices(&mut self, at: Location, budgeting: &Budgeting, alerts: &[Arc<Alert>]) {
        let slice = budgeting.rule.slice_secs;
        let shown = |secs| format_duration(Duration::from_secs(secs));
        let windows = alerts
            .iter()
            .flat_map(|a| a.windows.iter().map(move |w| (a, w.window_secs)));
        for (alert, secs) in windows.filter(|_| budgeting.is_sliced()) {
            let problem = if secs % slice != 0 {
                format!(
                    "cannot be judged in slices of {}; write a multiple of it",
                    shown(slice)
                )
            } else if slice < SLICES_SECS[1] && secs > COHORT_REACH_SECS {
                "reaches further back than slices of 1m are kept (3d)".to_owned()
            } else {
                continue;
            };
            self.problem(
                at,
                format!(
                    "the alert \"{}\": its window of {} {problem}",
                    alert.name,
                    shown(secs)
                ),
            );
        }
    }
}
