//! Whom a line of the outcome is about.

use crate::cohort::Level;
use crate::policy::BudgetStatus;
use serde::Serialize;

/// Whom a line is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[allow(missing_docs, reason = "the fields are those of a cohort")]
pub struct Subject {
    pub service: String,
    pub slo: String,
    pub environment: Option<String>,
    pub sha: Option<String>,
    pub flag: Option<String>,
    pub variant: Option<String>,
    /// An endpoint class, of objectives that want routes.
    pub route: Option<String>,
    /// Events whose cohort lay beyond a cap.
    pub overflow: bool,
}

impl Subject {
    /// A flag's variant, or a version, which has no flag.
    pub(super) fn of_accused(
        (service, slo, environment): (&str, &str, &str),
        sha: Option<&String>,
        (flag, variant): (&str, &str),
    ) -> Self {
        let named = |name: &str| (!name.is_empty()).then(|| name.to_owned());
        Self {
            service: service.to_owned(),
            slo: slo.to_owned(),
            environment: Some(environment.to_owned()),
            sha: sha.cloned(),
            flag: named(flag),
            variant: named(variant),
            route: None,
            overflow: false,
        }
    }

    pub(super) fn of(status: &BudgetStatus) -> Self {
        let text = |it: &std::sync::Arc<str>| it.to_string();
        let level = &status.cohort.level;
        let (sha, flag, variant) = match level {
            Level::Total | Level::Route { .. } | Level::Overflow => (None, None, None),
            Level::Deployment { sha } => (Some(text(sha)), None, None),
            Level::Flag { sha, flag, variant } => {
                (sha.as_ref().map(text), Some(text(flag)), Some(text(variant)))
            }
        };
        let route = match level {
            Level::Route { route } => Some(text(route)),
            _ => None,
        };
        Self {
            service: text(&status.cohort.service),
            slo: text(&status.objective.slo),
            environment: status.cohort.environment.as_ref().map(text),
            sha,
            flag,
            variant,
            route,
            overflow: status.cohort.level == Level::Overflow,
        }
    }
}
