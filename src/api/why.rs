//! Why a flag or a deployment was switched, or was not, in words and numbers.

use super::answers::ApiState;
use super::proto;
use super::view::{self, timestamp};
use crate::decide::{Decision, Proof, Ruling, Withheld, WithheldReason};
use crate::evidence::Verdict;
use std::fmt::Write as _;
use std::sync::PoisonError;

/// Decisions in one answer.
const DECISIONS_MAX: usize = 20;
/// Rulings in one answer.
const RULINGS_MAX: usize = 1000;

/// What is asked about; empty strings mean "any".
#[derive(Clone, Debug, Default, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct WhyFilter {
    pub(super) flag: String,
    pub(super) service: String,
    pub(super) environment: String,
}

impl WhyFilter {
    fn wants(&self, flag: &str, service: &str, environment: &str) -> bool {
        let is = |want: &str, have: &str| want.is_empty() || want == have;
        is(&self.flag, flag) && is(&self.service, service) && is(&self.environment, environment)
    }

    fn in_words(&self) -> String {
        let mut words = match self.flag.as_str() {
            "" => "a flag".to_owned(),
            flag => format!("the flag \"{flag}\""),
        };
        for (of, name) in [
            ("of the service", &self.service),
            ("in the environment", &self.environment),
        ] {
            if !name.is_empty() {
                let _ = write!(words, " {of} \"{name}\"");
            }
        }
        words
    }
}

impl ApiState {
    /// What the rules say of each variant and version that they may act on, and what was decided.
    pub(super) fn why(&self, filter: &WhyFilter) -> proto::WhyResponse {
        let rulings = self.rulings.read().unwrap_or_else(PoisonError::into_inner);
        let wanted = |r: &&Ruling| filter.wants(&r.flag, &r.service, &r.environment);
        let rulings: Vec<Ruling> = rulings.iter().filter(wanted).take(RULINGS_MAX).cloned().collect();
        let all = self.decisions.snapshot(usize::MAX);
        let ours = |d: &&Decision| filter.wants(&d.flag, &d.evidence.service, &d.environment);
        let decisions: Vec<&Decision> = all.iter().filter(ours).take(DECISIONS_MAX).collect();
        let withheld = self.withheld.read().unwrap_or_else(PoisonError::into_inner);
        proto::WhyResponse {
            told: self.told(filter, &rulings, &decisions, &withheld),
            rulings: rulings
                .iter()
                .map(|it| ruling(it, kept_back(it, &withheld)))
                .collect(),
            decisions: decisions.into_iter().map(view::decision).collect(),
        }
    }

    fn told(
        &self,
        filter: &WhyFilter,
        rulings: &[Ruling],
        decisions: &[&Decision],
        withheld: &[Withheld],
    ) -> Vec<String> {
        let mut told: Vec<String> = decisions.iter().map(|decision| of_decision(decision)).collect();
        told.extend(rulings.iter().map(|it| of_ruling(it, kept_back(it, withheld))));
        let plain = withheld.iter().filter(|w| {
            filter.wants(&w.flag, &w.service, &w.environment) && !rulings.iter().any(|it| is_of(w, it))
        });
        told.extend(plain.map(|w| {
            format!(
                "{} {} of {} (attribution: off) burns {:.2} above {} and is left alone. {}",
                w.flag, w.variant, w.service, w.burn, w.burn_above, w.reason
            )
        }));
        if told.is_empty() {
            told.push(self.nothing_known(filter));
        }
        told
    }

    /// What is missing, if nothing is known at all.
    fn nothing_known(&self, filter: &WhyFilter) -> String {
        let policies = self.policies.load();
        let named = policies.kill_switches().any(|(policy, switch)| {
            let is = |want: &str, has: bool| want.is_empty() || has;
            is(&filter.flag, *switch.flag == *filter.flag)
                && is(&filter.service, policy.service.matches(&filter.service))
                && is(
                    &filter.environment,
                    policy.environment.as_deref() == Some(&*filter.environment),
                )
        });
        if !named {
            return format!(
                "no policy names {}, so nothing is ever done about it; add it to kill_switches",
                filter.in_words()
            );
        }
        "policies name it, and no request with a variant of it has been counted yet (see /api/v1/shapes for \
         what came and could not be used)"
            .to_owned()
    }
}

fn of_decision(decision: &Decision) -> String {
    let last = decision.history.last().map_or("", |(_, what)| what.as_str());
    format!(
        "{} ({}) was decided at {}: {}; it is {}. Last: {last}",
        decision.subject(),
        decision.action,
        decision.decided_at,
        decision.history.first().map_or("", |(_, what)| what.as_str()),
        decision.state.as_str(),
    )
}

/// Whether a record of a withheld decision belongs to a ruling.
fn is_of(withheld: &Withheld, ruling: &Ruling) -> bool {
    (&withheld.exporter, &withheld.service, &withheld.environment)
        == (&ruling.exporter, &ruling.service, &ruling.environment)
        && (&withheld.slo, &withheld.flag, &withheld.variant, &withheld.sha)
            == (&ruling.slo, &ruling.flag, &ruling.variant, &ruling.sha)
}

/// What keeps back the decision of a rule that holds: a cooldown, a limit, somebody's hold. The rule itself
/// knows nothing of these.
fn kept_back<'a>(ruling: &Ruling, withheld: &'a [Withheld]) -> Option<&'a WithheldReason> {
    if matches!(ruling.verdict, Verdict::Hold { .. }) {
        return None;
    }
    let found = withheld.iter().find(|w| is_of(w, ruling));
    found.map(|w| &w.reason)
}

fn of_ruling(ruling: &Ruling, kept_back: Option<&WithheldReason>) -> String {
    let who = match &ruling.sha {
        Some(sha) => format!("version {sha} of {}", ruling.service),
        None => format!("{} {} of {}", ruling.flag, ruling.variant, ruling.service),
    };
    let what = match (&ruling.verdict, kept_back) {
        (Verdict::Hold { .. }, _) => "is left alone".to_owned(),
        (Verdict::Kill { .. }, Some(reason)) => format!("is not switched now ({reason})"),
        (Verdict::Kill { .. }, None) => "is to be switched".to_owned(),
    };
    format!("{who} ({}) {what}: {}", ruling.mode, ruling.words.join("; "))
}

fn ruling(ruling: &Ruling, kept_back: Option<&WithheldReason>) -> proto::Ruling {
    let (verdict, reasons) = match &ruling.verdict {
        Verdict::Kill { .. } => ("kill", kept_back.iter().map(|r| r.as_str().to_owned()).collect()),
        Verdict::Hold { reasons } => ("hold", reasons.iter().map(|r| r.as_str().to_owned()).collect()),
    };
    let mut words = ruling.words.clone();
    words.extend(kept_back.map(ToString::to_string));
    let windows = ruling.windows.iter().map(|window| proto::Window {
        window_secs: window.secs,
        good: window.counts.good,
        bad: window.counts.bad,
        ..proto::Window::default()
    });
    proto::Ruling {
        exporter: ruling.exporter.clone(),
        service: ruling.service.clone(),
        slo: ruling.slo.clone(),
        environment: ruling.environment.clone(),
        flag: ruling.flag.clone(),
        variant: ruling.variant.clone(),
        sha: ruling.sha.clone(),
        mode: ruling.mode.to_owned(),
        at: Some(timestamp(ruling.at)),
        proof: Some(proof(&ruling.proof)),
        windows: windows.collect(),
        burn_above: ruling.burn_above,
        verdict: verdict.to_owned(),
        reasons,
        words,
    }
}

/// The statistics behind a verdict.
pub fn proof(proof: &Proof) -> proto::Proof {
    let count = |n: usize| u64::try_from(n).unwrap_or(u64::MAX);
    proto::Proof {
        class: proof.class.as_str().to_owned(),
        log_e: proof.log_e,
        kill_bound: proof.kill_bound,
        log_d: proof.log_d,
        change_bound: proof.change_bound,
        ratio: proof.ratio,
        epoch_since: Some(timestamp(proof.epoch_since)),
        epoch_cause: proof.epoch_cause.as_str().to_owned(),
        treated_good: proof.treated.good,
        treated_bad: proof.treated.bad,
        control_good: proof.control.good,
        control_bad: proof.control.bad,
        overdispersion: proof.overdispersion,
        ratio_low: proof.ratio_interval.map(|it| it.low),
        ratio_high: proof.ratio_interval.and_then(|it| it.high),
        attribution: proof.attribution.clone(),
        sources: proof.sources.map(|sources| proto::SourceProof {
            active: count(sources.active),
            with_bad: count(sources.with_bad),
            top_share: sources.top_share,
            log_e_without_top: sources.log_e_without_top,
            roots: sources.roots.map(count),
        }),
        temporal: proof.temporal.map(|past| proto::TemporalProof {
            changed_at: past.changed_at.map(timestamp),
            log_risen: past.log_risen,
            log_apart: past.log_apart,
            after_good: past.after.good,
            after_bad: past.after.bad,
            before_good: past.before.good,
            before_bad: past.before.bad,
            aside_good: past.aside.good,
            aside_bad: past.aside.bad,
            lacks: past
                .lacks
                .map(|lack| lack.as_str().to_owned())
                .unwrap_or_default(),
        }),
    }
}
