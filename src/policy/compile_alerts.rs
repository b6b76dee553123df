//! A policy's own `alerts:` list.

use super::compile::Findings;
use super::error::{nearest, one_of};
use super::model::{Alert, AlertWindow, Severity};
use super::raw::{RawAlert, Text};
use super::{short_form, workbook};
use crate::budget::{Target, Threshold};
use crate::config::format_duration;
use crate::ledger::{BUCKET_SECS, COHORT_REACH_SECS, TOTAL_REACH_SECS};
use serde_saphyr::{Location, Spanned};
use std::sync::Arc;
use std::time::Duration;

/// Windows that one alert may look at.
const WINDOWS_MAX: usize = 8;
/// Longest `for`.
pub(super) const HOLD_MAX_SECS: u64 = 86_400;

/// Compiles the list; what is wrong is in `findings`.
pub(super) fn alerts(
    raw: &[Spanned<RawAlert>],
    target: Target,
    period_secs: u64,
    findings: &mut Findings,
) -> Vec<Arc<Alert>> {
    let mut alerts: Vec<Arc<Alert>> = Vec::new();
    for entry in raw {
        let at = entry.referenced;
        let Some(mut alert) = alert(at, &entry.value, findings) else {
            continue;
        };
        if alerts.iter().any(|a| a.name == alert.name) {
            match &entry.value.name {
                Some(name) => {
                    findings.problem(
                        name.referenced,
                        format!("the alert \"{}\" is defined twice; rename one", alert.name),
                    );
                }
                None => alert.name = format!("{}_{}", alert.name, alerts.len() + 1).into(),
            }
        }
        warn(&alert, period_secs, at, findings);
        let alert = Arc::new(alert);
        warn_unreachable(std::slice::from_ref(&alert), target, at, findings);
        alerts.push(alert);
    }
    alerts
}

fn alert(at: Location, raw: &RawAlert, findings: &mut Findings) -> Option<Alert> {
    let mut hold = raw.hold.as_ref().map(|t| (t.referenced, t.value.clone()));
    let windows = match (&raw.windows, &raw.burn) {
        (Some(list), None) => {
            let texts = list.value.iter().map(|w| (&w.window, &w.burn_above));
            texts
                .map(|(w, b)| (w.referenced, w.value.clone(), b.referenced, b.value.clone()))
                .collect()
        }
        (None, Some(line)) => short(line, &mut hold, findings)?,
        (Some(_), Some(burn)) => {
            findings.problem(
                burn.referenced,
                "windows and burn say the same in two ways; keep one",
            );
            return None;
        }
        (None, None) => {
            findings.problem(
                at,
                "an alert needs windows, such as [{ window: 5m, burn_above: 14 }]",
            );
            return None;
        }
    };
    let windows = conditions(at, &windows, findings);
    let for_secs = match hold {
        Some((at, text)) => findings.secs_at(at, &text, "for", 0, HOLD_MAX_SECS),
        None => Some(0),
    };
    let severity = raw
        .severity
        .as_ref()
        .map_or(Some(Severity::Page), |text| severity(text, findings));
    let (windows, for_secs, severity) = (windows?, for_secs?, severity?);
    let name = match &raw.name {
        Some(text) => findings.name("the alert's name", text)?,
        None => default_name(&windows),
    };
    Some(Alert {
        name,
        severity,
        level: severity.level(),
        windows,
        for_secs,
        of_target: None,
    })
}

/// (place, window, place, threshold), as written.
type Condition = (Location, String, Location, String);

fn short(
    line: &Text,
    hold: &mut Option<(Location, String)>,
    findings: &mut Findings,
) -> Option<Vec<Condition>> {
    let at = line.referenced;
    let form = match short_form::parse(&line.value) {
        Ok(form) => form,
        Err(message) => {
            findings.problem(at, message);
            return None;
        }
    };
    if let Some(text) = form.hold {
        if let Some((at, _)) = hold {
            findings.problem(*at, "for stands in burn already; keep one");
            return None;
        }
        *hold = Some((at, text.to_owned()));
    }
    Some(
        form.windows
            .iter()
            .map(|(w, t)| (at, (*w).to_owned(), at, (*t).to_owned()))
            .collect(),
    )
}

fn conditions(at: Location, raw: &[Condition], findings: &mut Findings) -> Option<Vec<AlertWindow>> {
    if raw.is_empty() || raw.len() > WINDOWS_MAX {
        findings.problem(
            at,
            format!("an alert looks at 1 to {WINDOWS_MAX} windows, not {}", raw.len()),
        );
        return None;
    }
    let mut windows: Vec<AlertWindow> = Vec::new();
    for (window_at, window, burn_at, burn) in raw {
        let window_secs = findings.window_at(*window_at, window, "a window", BUCKET_SECS, TOTAL_REACH_SECS);
        let burn_above = threshold(*burn_at, burn, findings);
        let (Some(window_secs), Some(burn_above)) = (window_secs, burn_above) else {
            continue;
        };
        if windows.iter().any(|w| w.window_secs == window_secs) {
            findings.problem(
                *window_at,
                format!("the window {window} is named twice in one alert; keep one"),
            );
        }
        windows.push(AlertWindow {
            window_secs,
            burn_above,
        });
    }
    (windows.len() == raw.len()).then_some(windows)
}

/// A threshold above zero.
pub(super) fn threshold(at: Location, text: &str, findings: &mut Findings) -> Option<Threshold> {
    let threshold: Threshold = findings.parsed_at(at, text)?;
    if threshold.millionths() == 0 {
        findings.problem(
            at,
            "a burn threshold of 0 would fire at any single bad event; write one above 0",
        );
        return None;
    }
    Some(threshold)
}

fn severity(text: &Text, findings: &mut Findings) -> Option<Severity> {
    const ALL: [Severity; 5] = [
        Severity::Critical,
        Severity::Page,
        Severity::Ticket,
        Severity::Warning,
        Severity::Info,
    ];
    let found = ALL.into_iter().find(|s| s.as_str() == text.value);
    if found.is_none() {
        let names = ALL.map(Severity::as_str);
        let hint =
            nearest(&text.value, names).map_or_else(String::new, |n| format!("; did you mean \"{n}\"?"));
        let message = format!(
            "unknown severity \"{}\", expected {}{hint}",
            text.value,
            one_of(&names)
        );
        findings.problem(text.referenced, message);
    }
    found
}

/// `burn_5m_1h`.
fn default_name(windows: &[AlertWindow]) -> Arc<str> {
    let shown = |w: &AlertWindow| format_duration(Duration::from_secs(w.window_secs));
    format!("burn_{}", windows.iter().map(shown).collect::<Vec<_>>().join("_")).into()
}

fn warn(alert: &Alert, period_secs: u64, at: Location, findings: &mut Findings) {
    let shown = |secs| format_duration(Duration::from_secs(secs));
    if let [only] = alert.windows.as_slice() {
        let window = shown(only.window_secs);
        let message = format!(
            "alert \"{}\" looks at {window} only: it stays for up to {window} after the burn ends; \
             add a shorter window",
            alert.name
        );
        findings.warning(at, message);
    }
    let longest = alert.windows.iter().map(|w| w.window_secs).max().unwrap_or(0);
    if longest > period_secs {
        let message = format!(
            "alert \"{}\" looks back {}, beyond the period of {}",
            alert.name,
            shown(longest),
            shown(period_secs)
        );
        findings.warning(at, message);
    }
    if longest > COHORT_REACH_SECS {
        let message = format!(
            "alert \"{}\" looks back {}; deployments and flags are kept for {}, so it speaks of the \
             service's total only",
            alert.name,
            shown(longest),
            shown(COHORT_REACH_SECS)
        );
        findings.warning(at, message);
    }
}

/// Warns of thresholds that no outage reaches: at 90 % the burn is at most 10, so 14.4 never fires.
pub(super) fn warn_unreachable(alerts: &[Arc<Alert>], target: Target, at: Location, findings: &mut Findings) {
    for alert in alerts {
        if let Some(threshold) = workbook::unreachable(alert.windows.iter().map(|w| w.burn_above), target) {
            let message = format!(
                "alert \"{}\" can never fire: at a target of {target} the burn rate is at most {}, \
                 not above {threshold}",
                alert.name,
                (target.max_burn() * 100.0).round() / 100.0
            );
            findings.warning(at, message);
        }
    }
}
