//! A policy's `kill_switches:` list: which flags may be switched off, and when.

use super::compile::Findings;
use super::compile_alerts::{HOLD_MAX_SECS, threshold};
use super::error::{nearest, one_of};
use super::model::{KillMode, KillRule, KillSwitch, Slo};
use super::raw::{RawKillRule, RawKillSwitch, Text};
use super::workbook;
use crate::budget::Threshold;
use crate::cohort::flags::{OFF, ON, is_reserved};
use crate::ledger::{BUCKET_SECS, COHORT_REACH_SECS};
use serde_saphyr::{Location, Spanned};
use std::sync::Arc;

/// Compiles the list; what is wrong is in `findings`.
pub(super) fn switches(
    raw: &[Spanned<RawKillSwitch>],
    environment: Option<&Arc<str>>,
    slos: &[Arc<Slo>],
    findings: &mut Findings,
) -> Vec<Arc<KillSwitch>> {
    let mut switches: Vec<Arc<KillSwitch>> = Vec::new();
    for entry in raw {
        let Some(environment) = environment else {
            let message = "a kill switch acts in one environment only: give the policy an environment, \
                           such as production";
            findings.problem(entry.referenced, message);
            return switches;
        };
        let Some(switch) = switch(entry, environment, slos, findings) else {
            continue;
        };
        let same = |s: &Arc<KillSwitch>| {
            s.flag == switch.flag && s.exporter == switch.exporter && s.slo == switch.slo
        };
        if switches.iter().any(same) {
            let message = format!(
                "the flag \"{}\" has two kill switches for the same exporter and SLO; keep one",
                switch.flag
            );
            findings.problem(entry.value.flag.referenced, message);
        }
        switches.push(Arc::new(switch));
    }
    switches
}

fn switch(
    entry: &Spanned<RawKillSwitch>,
    environment: &Arc<str>,
    slos: &[Arc<Slo>],
    findings: &mut Findings,
) -> Option<KillSwitch> {
    let raw = &entry.value;
    let flag = findings.name("flag", &raw.flag);
    let exporter = findings.name("exporter", &raw.exporter);
    let slo = match &raw.slo {
        Some(text) => Some(known_slo(text, slos, findings)?),
        None => None,
    };
    let variants = match &raw.variants {
        Some(list) => Some(variants(list, findings)?),
        None => None,
    };
    let when = rule(&raw.when, findings);
    let mode = raw
        .mode
        .as_ref()
        .map_or(Some(KillMode::default()), |text| mode(text, findings));
    let (flag, exporter, when, mode) = (flag?, exporter?, when?, mode?);
    let place = findings.place(entry.referenced);
    let switch = KillSwitch {
        flag,
        exporter,
        environment: Arc::clone(environment),
        slo,
        variants,
        when,
        mode,
        place,
    };
    warn(&switch, slos, entry.referenced, findings);
    Some(switch)
}

fn known_slo(text: &Text, slos: &[Arc<Slo>], findings: &mut Findings) -> Option<Arc<str>> {
    let name = findings.name("slo", text)?;
    if !slos.is_empty() && !slos.iter().any(|s| s.name == name) {
        let names: Vec<&str> = slos.iter().map(|s| &*s.name).collect();
        let hint = nearest(&name, names.iter().copied())
            .map_or_else(String::new, |n| format!("; did you mean \"{n}\"?"));
        findings.problem(
            text.referenced,
            format!("this policy has no SLO \"{name}\", only {}{hint}", one_of(&names)),
        );
        return None;
    }
    Some(name)
}

fn variants(list: &Spanned<Vec<Text>>, findings: &mut Findings) -> Option<Vec<Arc<str>>> {
    if list.value.is_empty() {
        findings.problem(
            list.referenced,
            "variants is empty, so no variant could be blamed; name some or leave it out",
        );
        return None;
    }
    let mut variants = Vec::new();
    for text in &list.value {
        let variant = findings.name("variant", text)?;
        let variant = normal(variant);
        if is_reserved(&variant) {
            let message = format!(
                "the variant {variant} holds evaluations that failed or fell back; it is never blamed"
            );
            findings.problem(text.referenced, message);
            return None;
        }
        if &*variant == OFF {
            findings.problem(
                text.referenced,
                "the variant off is never blamed: switching off what is off changes nothing",
            );
            return None;
        }
        variants.push(variant);
    }
    Some(variants)
}

/// Variants as cohorts name them: a boolean flag has `on` and `off`, whatever the SDK says.
fn normal(variant: Arc<str>) -> Arc<str> {
    match variant.to_ascii_lowercase().as_str() {
        "true" | "on" | "enabled" | "1" | "yes" => ON.into(),
        "false" | "off" | "disabled" | "0" | "no" => OFF.into(),
        _ => variant,
    }
}

fn rule(raw: &RawKillRule, findings: &mut Findings) -> Option<KillRule> {
    let default = KillRule::default();
    let burn_above = match &raw.burn_above {
        Some(text) => threshold(text.referenced, &text.value, findings),
        None => Some(default.burn_above),
    };
    let window_secs = match &raw.window {
        Some(t) => findings.window_at(
            t.referenced,
            &t.value,
            "the window of a kill switch",
            BUCKET_SECS,
            COHORT_REACH_SECS,
        ),
        None => Some(default.window_secs),
    };
    let for_secs = match &raw.hold {
        Some(text) => findings.secs_at(text.referenced, &text.value, "for", 0, HOLD_MAX_SECS),
        None => Some(default.for_secs),
    };
    let contrast = match &raw.contrast {
        Some(text) => contrast(text, findings),
        None => Some(default.contrast),
    };
    let min_bad = match &raw.min_bad {
        Some(text) => findings.parsed(text),
        None => Some(default.min_bad),
    };
    Some(KillRule {
        burn_above: burn_above?,
        window_secs: window_secs?,
        for_secs: for_secs?,
        contrast: contrast?,
        min_bad: min_bad?,
    })
}

fn contrast(text: &Text, findings: &mut Findings) -> Option<Threshold> {
    let contrast: Threshold = findings.parsed(text)?;
    if contrast < Threshold::ONE {
        let message =
            "a contrast below 1 would blame the better variant; write at least 1 (1 asks for no comparison)";
        findings.problem(text.referenced, message);
        return None;
    }
    Some(contrast)
}

fn mode(text: &Text, findings: &mut Findings) -> Option<KillMode> {
    const ALL: [KillMode; 3] = [KillMode::Off, KillMode::Observe, KillMode::Auto];
    let found = ALL.into_iter().find(|m| m.as_str() == text.value);
    if found.is_none() {
        let expected = one_of(&ALL.map(KillMode::as_str));
        let message = match text.value.as_str() {
            "propose" => format!("mode propose is not supported yet; expected {expected}"),
            other => format!("unknown mode \"{other}\"; expected {expected}"),
        };
        findings.problem(text.referenced, message);
    }
    found
}

fn warn(switch: &KillSwitch, slos: &[Arc<Slo>], at: Location, findings: &mut Findings) {
    let burn_above = switch.when.burn_above;
    let mut concerned = slos
        .iter()
        .filter(|s| switch.slo.as_ref().is_none_or(|n| *n == s.name))
        .peekable();
    if concerned.peek().is_some()
        && concerned.all(|s| workbook::unreachable([burn_above].into_iter(), s.target).is_some())
    {
        let message = format!(
            "the kill switch of \"{}\" can never act: no outage burns above {burn_above}",
            switch.flag
        );
        findings.warning(at, message);
    }
    if switch.when.contrast == Threshold::ONE && switch.mode == KillMode::Auto {
        let message = format!(
            "the kill switch of \"{}\" acts without a comparison with the other variants (contrast: 1); \
             any outage of the service switches it off",
            switch.flag
        );
        findings.warning(at, message);
    }
}
