//! `connectors.error_budget.evidence` and `.guards`: how often a rule by evidence may be wrong, and what no
//! policy may do.

use super::section::Section;
use super::setting::Ratio;
use globset::Glob;

/// `connectors.error_budget.evidence`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct EvidenceSettings {
    /// Chance that an epoch blames anybody wrongly, over all flags, variants and SLOs together.
    pub alpha: f64,
    /// Wrong blames a year by breakage long after a change.
    pub wrong_a_year: f64,
    /// How many times as often as its control an innocent variant may fail.
    pub innocent_ratio: f64,
}

/// `connectors.error_budget.guards`.
#[derive(Clone, Debug, PartialEq)]
pub struct GuardSettings {
    /// Flags that are never switched, whatever a policy says: names with `*` and `?`.
    pub never_kill: Vec<String>,
    /// More percent of the services than this burning at once are no flag's doing.
    pub max_burning_percent: u8,
    /// No rule acts while less than this share of the requests of the last minutes was taken.
    pub min_coverage: f64,
    /// Whose word is evidence, and for which services; empty for everybody's.
    pub witnesses: Vec<Witness>,
}

/// An entry of `guards.witnesses`; patterns with `*` and `?`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Witness {
    /// Names that receivers' authenticators give.
    pub identity: String,
    /// Services that they may speak for.
    pub services: Vec<String>,
    /// Environments of those.
    pub environments: Vec<String>,
}

impl Default for EvidenceSettings {
    fn default() -> Self {
        Self {
            alpha: 0.01,
            wrong_a_year: 1.0,
            innocent_ratio: 1.0,
        }
    }
}

impl Default for GuardSettings {
    fn default() -> Self {
        Self {
            never_kill: Vec::new(),
            max_burning_percent: 30,
            min_coverage: 0.99,
            witnesses: Vec::new(),
        }
    }
}

impl EvidenceSettings {
    pub(super) fn read(section: Section<'_>) -> Self {
        let mut it = Self::default();
        for (key, value, least, most) in [
            ("alpha", &mut it.alpha, 1e-9, 0.5),
            ("wrong_per_year", &mut it.wrong_a_year, 1e-6, 1000.0),
            ("innocent_ratio", &mut it.innocent_ratio, 1.0, 10.0),
        ] {
            let mut ratio = Ratio(*value);
            section.field(key, &mut ratio);
            if (least..=most).contains(&ratio.0) {
                *value = ratio.0;
            } else {
                section.problem(key, format!("expected a number from {least} to {most}"));
            }
        }
        section.finish();
        it
    }
}

impl GuardSettings {
    pub(super) fn read(section: Section<'_>) -> Self {
        let mut it = Self::default();
        section.field("never_kill", &mut it.never_kill);
        check_globs(&section, "never_kill", &it.never_kill, "sec-*");
        let mut coverage = Ratio(it.min_coverage);
        section.field("min_coverage", &mut coverage);
        if (0.0..=1.0).contains(&coverage.0) {
            it.min_coverage = coverage.0;
        } else {
            section.problem("min_coverage", "expected a percentage from 0% to 100%");
        }
        let witnesses = section.sections_in("witnesses").unwrap_or_default();
        it.witnesses = witnesses.into_iter().filter_map(Witness::read).collect();
        let mut percent = Ratio(f64::from(it.max_burning_percent) / 100.0);
        section.field("max_burning_services", &mut percent);
        let whole = (percent.0 * 100.0).round();
        if (1.0..=100.0).contains(&whole) {
            #[allow(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "from 1 to 100"
            )]
            {
                it.max_burning_percent = whole as u8;
            }
        } else {
            section.problem("max_burning_services", "expected a percentage from 1% to 100%");
        }
        section.finish();
        it
    }
}

impl Witness {
    fn read(section: Section<'_>) -> Option<Self> {
        let any = || vec!["*".to_owned()];
        let mut it = Self {
            environments: any(),
            ..Self::default()
        };
        let hint = "a user of basicauth, or bearertokenauth#1 for its first token";
        let identity = section.required("identity", hint);
        section.field("services", &mut it.services);
        if it.services.is_empty() {
            section.problem(
                "services",
                "required: the services that it may speak for, such as [checkout]",
            );
        }
        section.field("environments", &mut it.environments);
        check_globs(&section, "services", &it.services, "shop-*");
        check_globs(&section, "environments", &it.environments, "prod*");
        if let Some(identity) = &identity {
            check_globs(&section, "identity", std::slice::from_ref(identity), "team-*");
        }
        section.finish();
        it.identity = identity?;
        Some(it)
    }
}

fn check_globs(section: &Section<'_>, key: &str, globs: &[String], example: &str) {
    if let Some(wrong) = globs.iter().find(|glob| Glob::new(glob).is_err()) {
        section.problem(
            key,
            format!("\"{wrong}\" is no pattern; expected something like {example}"),
        );
    }
}
