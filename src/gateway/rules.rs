//! From the configuration to what holds for all rules by evidence.

use crate::cohort::Trust;
use crate::config::Config;
use crate::decide::{CommonGuards, ErrorRates};
use crate::policy::{Blame, KillMode, PolicySet};
use globset::{Glob, GlobSet, GlobSetBuilder};
use std::collections::BTreeMap;

pub(super) fn rates(config: &Config) -> ErrorRates {
    let it = config.error_budget.evidence;
    ErrorRates {
        alpha: it.alpha,
        wrong_a_year: it.wrong_a_year,
        innocent_ratio: it.innocent_ratio,
    }
}

pub(super) fn guards(config: &Config) -> CommonGuards {
    let it = &config.error_budget.guards;
    let mut never = GlobSetBuilder::new();
    // The configuration was refused if one of them is no pattern.
    for glob in it.never_kill.iter().filter_map(|glob| Glob::new(glob).ok()) {
        never.add(glob);
    }
    CommonGuards {
        never_kill: never.build().unwrap_or_else(|_| GlobSet::empty()),
        max_burning_percent: it.max_burning_percent,
        min_coverage: it.min_coverage,
    }
}

/// Whose word is evidence.
pub(super) fn trust(config: &Config) -> Trust {
    let witnesses = config.error_budget.guards.witnesses.iter();
    Trust::new(witnesses.map(|it| {
        [
            std::slice::from_ref(&it.identity),
            it.services.as_slice(),
            it.environments.as_slice(),
        ]
    }))
}

/// What keeps rules from ever acting, as configuration and policies stand: not wrong, and hardly meant.
pub fn cautions(config: &Config, policies: &PolicySet) -> Vec<String> {
    let common = guards(config);
    let used = || policies.kill_switches().filter(|(_, s)| s.mode != KillMode::Off);
    let mut all: Vec<String> = used()
        .filter(|(_, switch)| common.never_kill.is_match(&*switch.flag))
        .map(|(_, switch)| {
            let (place, flag) = (&switch.place, &switch.flag);
            format!("{place}: the kill switch of \"{flag}\" can never act: guards.never_kill holds the flag")
        })
        .collect();
    all.extend(contradictions(policies));
    let by_evidence = used().any(|(_, switch)| switch.blame != Blame::Burn)
        || policies.deploy_switches().any(|(_, s)| s.mode != KillMode::Off);
    let asks = config.receivers.iter().any(|it| {
        let grpc = it.config.grpc.as_ref().is_some_and(|door| door.auth.is_some());
        grpc || it.config.http.as_ref().is_some_and(|door| door.auth.is_some())
    });
    if by_evidence && !asks && !config.error_budget.guards.witnesses.is_empty() {
        let message = "connectors.error_budget.guards.witnesses: no receiver has `auth`, so nobody is known by \
                       name and nobody's telemetry is evidence; no rule by evidence can ever act";
        all.push(message.to_owned());
    }
    all
}

/// Policies that would make different things of the same flag: what one of them does the other undoes.
fn contradictions(policies: &PolicySet) -> Vec<String> {
    let mut known = BTreeMap::new();
    let mut all = Vec::new();
    for (policy, switch) in policies.kill_switches().filter(|(_, s)| s.mode != KillMode::Off) {
        let flag = (&switch.exporter, &switch.environment, &switch.flag);
        let (service, first) = known.entry(flag).or_insert((&policy.service, switch));
        if first.action != switch.action {
            all.push(format!(
                "{}: the kill switch of \"{}\" makes it {}, and that of {} makes it {}: one undoes the other; \
                 give both the same action",
                switch.place,
                switch.flag,
                switch.action,
                service.as_str(),
                first.action
            ));
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::ConfigSource;

    const POLICY: &str = "
service: checkout
environment: production
slos: [ { name: availability, target: 99.9% } ]
kill_switches:
  - { flag: sec-login, exporter: webhook }
  - { flag: sec-off, exporter: webhook, mode: off }
  - { flag: new-checkout, exporter: webhook, attribution: off }
";

    fn said(guards: &str, auth: &str, policy: &str) -> Vec<String> {
        let yaml = format!(
            "receivers: {{ otlp: {{ protocols: {{ http: {{ endpoint: '127.0.0.1:0'{auth} }} }} }} }}\n\
             connectors: {{ error_budget: {{ guards: {guards} }} }}\n\
             exporters: {{ prometheus: {{ endpoint: '127.0.0.1:0' }} }}\n\
             extensions: {{ bearertokenauth: {{ token: t }} }}\n\
             service:\n  extensions: [ bearertokenauth ]\n  pipelines:\n    \
             traces: {{ receivers: [ otlp ], exporters: [ error_budget ] }}\n    \
             metrics/budget: {{ receivers: [ error_budget ], exporters: [ prometheus ] }}\n"
        );
        let config = Config::load(&ConfigSource::Text(yaml)).unwrap();
        cautions(&config, &crate::policy::from_text("p.yaml", policy).unwrap())
    }

    #[test]
    fn a_rule_that_a_guard_holds_for_ever_is_told_at_start() {
        let told = said("{ never_kill: [ 'sec-*' ] }", "", POLICY);
        assert_eq!(
            told,
            ["p.yaml:6:5: the kill switch of \"sec-login\" can never act: guards.never_kill holds the flag"]
        );
        let witnesses = "{ witnesses: [ { identity: ann, services: [ checkout ] } ] }";
        let told = said(witnesses, "", POLICY);
        assert!(
            told.len() == 1 && told[0].contains("no receiver has `auth`"),
            "{told:?}"
        );
        assert!(said(witnesses, ", auth: { authenticator: bearertokenauth }", POLICY).is_empty());
        let plain = POLICY.replace("exporter: webhook }", "exporter: webhook, mode: off }");
        assert!(
            said(witnesses, "", &plain).is_empty(),
            "the plain rule asks for no evidence"
        );
    }

    #[test]
    fn two_policies_that_undo_each_other_are_told_at_start() {
        let other = POLICY.replace("service: checkout", "service: search");
        let other = other.replace(
            "exporter: webhook, attribution",
            "action: on, exporter: webhook, attribution",
        );
        let told = said("{}", "", &format!("{POLICY}---{other}"));
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(
            told[0].contains("\"new-checkout\" makes it on, and that of checkout makes it off"),
            "{told:?}"
        );
    }
}
