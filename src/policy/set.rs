//! All policies together: which objective holds for a service in an environment.
//!
//! Several policies may speak of one service: a glob for everybody, an exact one for the checkout. They are
//! not mixed, since the reader of a policy should see all that holds: the closest service text with a policy
//! for the environment decides alone. Closer is an exact name before a glob, then the glob with more literal
//! characters. Of one service text, the policies that name the environment and those that name none hold
//! together. A policy that names an environment never holds for telemetry that names none. Objectives are
//! chosen by the same rule where spans are judged.

use super::error::{PolicyError, PolicyProblem, nearest, one_of};
use super::model::{
    Budgeting, Composite, DeploySwitch, Journey, KillSwitch, LowTraffic, Member, Plans, Policy, Slo,
};
use super::place::{Place, Warning};
use super::text_hash::TextHash;
use super::workbook;
use crate::budget::{Period, Target};
use crate::config::DefaultSlo;
use crate::indicate::Layer;
use crate::ledger::{COHORT_REACH_SECS, PlanError, WindowPlan};
use crate::sli::{DefaultObjective, ObjectiveName, ObjectiveSpec, SliSpec};
use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::sync::Arc;

/// Windows that are always kept: what dashboards show and other pairs use.
pub(super) const COMMON_WINDOWS_SECS: [u64; 7] = [300, 1800, 3600, 7200, 21_600, 86_400, 259_200];

/// A flag that some policy names.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NamedFlag {
    /// The policy's service, exact or a glob.
    pub service: Arc<str>,
    /// The policy's environment.
    pub environment: Option<Arc<str>>,
    /// The flag's key.
    pub flag: Arc<str>,
}

/// Every policy, compiled; immutable.
#[derive(Clone, Debug, Default)]
pub struct PolicySet {
    /// Closest first.
    policies: Vec<Arc<Policy>>,
    journeys: Vec<Arc<Journey>>,
    default_slo: Option<Arc<Slo>>,
    warnings: Vec<Warning>,
    text: TextHash,
}

impl PolicySet {
    /// Lays `policies` over each other.
    pub(super) fn new(
        mut policies: Vec<Arc<Policy>>,
        journeys: Vec<Arc<Journey>>,
        warnings: Vec<Warning>,
    ) -> Self {
        let text = |p: &Policy| p.service.as_str().to_owned();
        policies.sort_by_cached_key(|p| (Reverse(p.service.closeness()), text(p), p.environment.is_none()));
        Self {
            policies,
            journeys,
            default_slo: None,
            warnings,
            text: TextHash::default(),
        }
    }

    /// The same set, with an objective for services that no policy covers.
    pub fn with_default(mut self, default_slo: Option<&DefaultSlo>) -> Self {
        self.default_slo = default_slo.and_then(|d| {
            let target = Target::from_budget_ppb(d.budget_ppb).ok()?;
            let period_secs = d.window.as_secs();
            Some(Arc::new(Slo {
                name: DefaultSlo::NAME.into(),
                target,
                period: Period::Rolling { secs: period_secs },
                period_secs,
                budgeting: Budgeting::occurrences(target),
                targets: Vec::new(),
                low_traffic: LowTraffic::default(),
                alerts: workbook::alerts(period_secs, None),
                sli: SliSpec::default(),
                top_routes: None,
                plans: Arc::new(Plans::default()),
            }))
        });
        self
    }

    /// The same set, and the text that it was read from.
    pub(super) fn of_text(mut self, text: TextHash) -> Self {
        self.text = text;
        self
    }

    /// SHA-256 of the text of all policy files, in hex: what was decided under which policies.
    pub fn text_hash(&self) -> String {
        self.text.hex()
    }

    /// The same set, with warnings of parts of journeys that will never count: the policies speak of the
    /// service, and of no such SLO there. Of a service that they do not speak of nothing is known: its policy
    /// may be added later, or the default objective hold.
    pub(super) fn with_missing_parts(mut self) -> Self {
        let mut missing = Vec::new();
        for (journey, composite) in self.composites() {
            for member in &composite.members {
                if let Some(message) = self.missing_part(member) {
                    let message = format!(
                        "the SLO \"{}\" of journey \"{}\": {message}",
                        composite.slo.name, journey.name
                    );
                    let place = journey.place.clone();
                    missing.push(Warning { place, message });
                }
            }
        }
        self.warnings.extend(missing);
        self
    }

    /// Why a part of a journey never counts, if that is so.
    fn missing_part(&self, member: &Member) -> Option<String> {
        let name = ObjectiveName {
            service: Arc::clone(&member.service),
            slo: Arc::clone(&member.slo),
        };
        self.of_service(&member.service).next()?;
        if self.find(&name, member.environment.as_deref()).is_some() {
            return None;
        }
        let (service, slo) = (&member.service, &member.slo);
        let covers = |p: &&Arc<Policy>| p.covers(service, member.environment.as_deref());
        let within = |e: Option<&str>| e.map_or("without an environment".to_owned(), |e| format!("in {e}"));
        let elsewhere: BTreeSet<String> = self
            .of_service(service)
            .filter(|p| !covers(p) && p.slos.iter().any(|s| s.name == *slo))
            .map(|p| within(p.environment.as_deref()))
            .collect();
        if !elsewhere.is_empty() {
            let where_else = elsewhere.into_iter().collect::<Vec<_>>().join(" and ");
            let wanted = within(member.environment.as_deref());
            return Some(format!(
                "the policies of service \"{service}\" have an SLO \"{slo}\" {where_else} and none {wanted}, \
                 so this part never counts; write the environment of the part or of the journey"
            ));
        }
        // Of a service text that is less close nothing holds.
        let closest = self.of_service(service).find(covers).map(|p| p.service.as_str());
        let known: BTreeSet<&str> = self
            .of_service(service)
            .filter(|p| closest.is_none_or(|text| p.service.as_str() == text))
            .flat_map(|p| p.slos.iter().map(|s| &*s.name))
            .collect();
        let known: Vec<&str> = known.into_iter().collect();
        let hint = match nearest(slo, known.iter().copied()) {
            Some(near) => format!("did you mean \"{near}\"?"),
            None => format!("it has {}", one_of(&known)),
        };
        Some(format!(
            "the policies of service \"{service}\" have no SLO \"{slo}\", so this part never counts; {hint}"
        ))
    }

    /// The policies, closest first.
    pub fn policies(&self) -> &[Arc<Policy>] {
        &self.policies
    }

    /// The journeys.
    pub fn journeys(&self) -> &[Arc<Journey>] {
        &self.journeys
    }

    /// Every composite with its journey.
    pub fn composites(&self) -> impl Iterator<Item = (&Arc<Journey>, &Composite)> {
        self.journeys
            .iter()
            .flat_map(|j| j.slos.iter().map(move |c| (j, c)))
    }

    /// The objective of services without a policy.
    pub fn default_slo(&self) -> Option<&Arc<Slo>> {
        self.default_slo.as_ref()
    }

    /// What works and is probably not what was meant.
    pub fn warnings(&self) -> &[Warning] {
        &self.warnings
    }

    /// The policy and SLO that hold for `objective` in `environment`; the policy is `None` for the default
    /// objective.
    pub fn find(
        &self,
        objective: &ObjectiveName,
        environment: Option<&str>,
    ) -> Option<(Option<&Arc<Policy>>, &Arc<Slo>)> {
        let mut named = false;
        let mut chosen: Option<&str> = None;
        for policy in self.of_service(&objective.service) {
            named = true;
            if !policy.covers(&objective.service, environment) {
                continue;
            }
            if *chosen.get_or_insert(policy.service.as_str()) != policy.service.as_str() {
                break;
            }
            if let Some(slo) = policy.slos.iter().find(|s| s.name == objective.slo) {
                return Some((Some(policy), slo));
            }
        }
        let default = self
            .default_slo
            .as_ref()
            .filter(|d| !named && d.name == objective.slo)?;
        Some((None, default))
    }

    /// The policies that speak of `service`, closest first; for the owner and tier to show.
    pub fn of_service<'s, 'n>(
        &'s self,
        service: &'n str,
    ) -> impl Iterator<Item = &'s Arc<Policy>> + use<'s, 'n> {
        self.policies.iter().filter(move |p| p.service.matches(service))
    }

    /// Every kill switch with its policy, also those that are `off`.
    pub fn kill_switches(&self) -> impl Iterator<Item = (&Arc<Policy>, &Arc<KillSwitch>)> {
        self.policies
            .iter()
            .flat_map(|p| p.kill_switches.iter().map(move |k| (p, k)))
    }

    /// Every rule for deployments with its policy, also those that are `off`.
    pub fn deploy_switches(&self) -> impl Iterator<Item = (&Arc<Policy>, &Arc<DeploySwitch>)> {
        self.policies
            .iter()
            .flat_map(|p| p.deployments.iter().map(move |d| (p, d)))
    }

    /// The flags that policies name, whatever the mode: those whose absence from a list means `off`.
    pub fn named_flags(&self) -> Vec<NamedFlag> {
        let named: BTreeSet<_> = self
            .kill_switches()
            .map(|(policy, switch)| NamedFlag {
                service: policy.service.as_str().into(),
                environment: policy.environment.clone(),
                flag: Arc::clone(&switch.flag),
            })
            .collect();
        named.into_iter().collect()
    }

    /// What telemetry is judged by, one a policy and SLO.
    pub fn objectives(&self) -> Vec<ObjectiveSpec> {
        let of_policy = |policy: &Arc<Policy>| {
            let service: Arc<str> = policy.service.as_str().into();
            let environment = policy.environment.clone();
            policy.slos.clone().into_iter().map(move |slo| ObjectiveSpec {
                name: ObjectiveName {
                    service: Arc::clone(&service),
                    slo: Arc::clone(&slo.name),
                },
                environment: environment.clone(),
                sli: slo.sli.clone(),
            })
        };
        self.policies.iter().flat_map(of_policy).collect()
    }

    /// What the policies say of leading indicators, the closest service text first; also those that say
    /// nothing, since a policy for a service hides what a glob says of it.
    pub fn indicator_layers(&self) -> Vec<Layer> {
        let layer = |policy: &Arc<Policy>| Layer {
            service: policy.service.as_str().into(),
            environment: policy.environment.clone(),
            indicators: policy.indicators.clone(),
            off: policy.indicators_off.clone(),
        };
        self.policies.iter().map(layer).collect()
    }

    /// What telemetry of services without a policy is judged by.
    pub fn default_objective(&self) -> Option<DefaultObjective> {
        let slo = self.default_slo.as_ref()?;
        Some(DefaultObjective {
            slo: Arc::clone(&slo.name),
            sli: slo.sli.clone(),
        })
    }

    /// Checks that every kill switch has an exporter among `known`, the configured decision exporters.
    pub fn check_exporters(&self, known: &[&str]) -> Result<(), PolicyError> {
        let flags = self.kill_switches().map(|(_, k)| (&k.exporter, &k.place));
        let named = flags.chain(self.deploy_switches().map(|(_, d)| (&d.exporter, &d.place)));
        let unknown = named.filter(|(exporter, _)| !known.contains(&&***exporter));
        let problems: Vec<_> = unknown
            .map(|(exporter, place)| unknown_exporter(exporter, place, known))
            .collect();
        if problems.is_empty() {
            Ok(())
        } else {
            Err(PolicyError { problems })
        }
    }

    /// The objectives whose windows cannot all be kept.
    pub(super) fn plan_problems(&self) -> Vec<PolicyProblem> {
        let mut problems = Vec::new();
        for policy in &self.policies {
            for slo in &policy.slos {
                let name = ObjectiveName {
                    service: policy.service.as_str().into(),
                    slo: Arc::clone(&slo.name),
                };
                if let Err(e) = self.plan(&name) {
                    let message = format!("SLO \"{}\": {e}", slo.name);
                    problems.push(PolicyProblem {
                        place: policy.place.clone(),
                        message,
                    });
                }
            }
        }
        problems
    }

    /// The windows to keep for `objective`, whatever the environment: those of its alerts and kill switches,
    /// the common ones, and the period.
    pub fn plan(&self, objective: &ObjectiveName) -> Result<WindowPlan, PlanError> {
        let mut windows = self.own_windows(objective);
        // What calls account for is told of every window of the SLOs beside them; a policy with so many that
        // there is no room for all is told of fewer.
        for own in self.beside_calls(objective) {
            for secs in self.own_windows(&own) {
                if windows.len() < WindowPlan::MAX_WINDOWS {
                    windows.insert(secs);
                }
            }
        }
        let totals: Vec<u64> = windows.iter().copied().collect();
        let cohorts: Vec<u64> = windows.into_iter().filter(|&w| w <= COHORT_REACH_SECS).collect();
        WindowPlan::new(&totals, &cohorts)
    }

    /// The SLOs of the policies that have `objective` as one of a dependency's calls.
    fn beside_calls(&self, objective: &ObjectiveName) -> BTreeSet<ObjectiveName> {
        let mut beside = BTreeSet::new();
        for policy in self.of_service(&objective.service) {
            if policy.dependencies.iter().any(|d| d.slo == objective.slo) {
                let is_own = |slo: &&Arc<Slo>| policy.dependencies.iter().all(|d| d.slo != slo.name);
                beside.extend(policy.slos.iter().filter(is_own).map(|slo| ObjectiveName {
                    service: Arc::clone(&objective.service),
                    slo: Arc::clone(&slo.name),
                }));
            }
        }
        beside
    }

    /// The windows that an objective needs for itself.
    fn own_windows(&self, objective: &ObjectiveName) -> BTreeSet<u64> {
        let mut windows = BTreeSet::from(COMMON_WINDOWS_SECS);
        for policy in self.of_service(&objective.service) {
            for slo in policy.slos.iter().filter(|s| s.name == objective.slo) {
                add_slo(&mut windows, slo);
            }
            let flags = policy.kill_switches.iter().map(|k| (&k.slo, k.when.window_secs));
            let deploys = policy.deployments.iter().map(|d| (&d.slo, d.when.window_secs));
            let concerned = flags
                .chain(deploys)
                .filter(|(slo, _)| slo.as_ref().is_none_or(|s| *s == objective.slo));
            windows.extend(concerned.map(|(_, window_secs)| window_secs));
        }
        for (_, composite) in self.composites().filter(|(_, c)| !c.slo.budgeting.is_sliced()) {
            let ours = |m: &Member| m.service == objective.service && m.slo == objective.slo;
            if composite.members.iter().any(ours) {
                add_slo(&mut windows, &composite.slo);
            }
        }
        if let Some(slo) = self.default_slo.as_ref().filter(|d| d.name == objective.slo) {
            add_slo(&mut windows, slo);
        }
        windows
    }
}

fn unknown_exporter(exporter: &Arc<str>, place: &Place, known: &[&str]) -> PolicyProblem {
    let message = match (nearest(exporter, known.iter().copied()), known) {
        (_, []) => {
            format!("the exporter \"{exporter}\" is not configured, and no other that switches flags is")
        }
        (Some(near), _) => format!("the exporter \"{exporter}\" is not configured; did you mean \"{near}\"?"),
        (None, _) => format!(
            "the exporter \"{exporter}\" is not configured; configured are {}",
            one_of(known)
        ),
    };
    PolicyProblem {
        place: place.clone(),
        message,
    }
}

fn add_slo(windows: &mut BTreeSet<u64>, slo: &Slo) {
    // Slices and calendar periods have accounts of their own.
    if slo.budgeting.is_sliced() {
        return;
    }
    if let Period::Rolling { secs } = slo.period {
        windows.insert(secs);
    }
    windows.insert(workbook::exhaustion_window(slo.period_secs));
    windows.extend(
        slo.alerts
            .iter()
            .flat_map(|a| a.windows.iter().map(|w| w.window_secs)),
    );
}

impl Policy {
    /// Whether this policy speaks of `service` in `environment`.
    pub fn covers(&self, service: &str, environment: Option<&str>) -> bool {
        self.service.matches(service) && self.environment.as_deref().is_none_or(|e| environment == Some(e))
    }
}
