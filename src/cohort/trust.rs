//! Whose word is evidence.
//!
//! Who can send telemetry can have a flag switched off, unless a receiver asks who sends and the
//! configuration says for which services each may speak. What somebody says of other services is shown and
//! counted, since a budget that leaves requests out would be wrong as well; but no variant and no deployment
//! is blamed for it.

use globset::{Glob, GlobSet, GlobSetBuilder};

/// For what one identity, or several, may speak.
#[derive(Clone, Debug)]
struct Witness {
    identities: GlobSet,
    services: GlobSet,
    environments: GlobSet,
}

/// See the module's words. The default trusts everybody.
#[derive(Clone, Debug, Default)]
pub struct Trust(Vec<Witness>);

impl Trust {
    /// From lists of patterns (`*`, `?`): identities, services, environments. Patterns that are none match
    /// nothing; the configuration has refused them.
    pub fn new<'a>(entries: impl IntoIterator<Item = [&'a [String]; 3]>) -> Self {
        let witness = |[identities, services, environments]: [&[String]; 3]| Witness {
            identities: set(identities),
            services: set(services),
            environments: set(environments),
        };
        Self(entries.into_iter().map(witness).collect())
    }

    /// Whether what `identity` says of this service is evidence. `None` is somebody whom no receiver asked.
    pub fn has(&self, identity: Option<&str>, service: &str, environment: Option<&str>) -> bool {
        self.0.is_empty()
            || identity.is_some_and(|identity| {
                self.0.iter().any(|witness| {
                    witness.identities.is_match(identity)
                        && witness.services.is_match(service)
                        && witness.environments.is_match(environment.unwrap_or_default())
                })
            })
    }
}

fn set(patterns: &[String]) -> GlobSet {
    let mut set = GlobSetBuilder::new();
    for pattern in patterns.iter().filter_map(|it| Glob::new(it).ok()) {
        set.add(pattern);
    }
    set.build().unwrap_or_else(|_| GlobSet::empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(patterns: &[&str]) -> Vec<String> {
        patterns.iter().map(|it| (*it).to_owned()).collect()
    }

    #[test]
    fn without_a_list_everybody_is_believed() {
        assert!(Trust::default().has(None, "checkout", None));
    }

    #[test]
    fn an_identity_speaks_for_its_services_and_environments_alone() {
        let (ann, shop, live) = (list(&["ann"]), list(&["shop-*"]), list(&["production"]));
        let (bots, any) = (list(&["bearertokenauth/ci#?"]), list(&["*"]));
        let trust = Trust::new([[&ann[..], &shop[..], &live[..]], [&bots[..], &any[..], &any[..]]]);
        assert!(trust.has(Some("ann"), "shop-cart", Some("production")));
        assert!(
            !trust.has(Some("ann"), "pay", Some("production")),
            "another service"
        );
        assert!(
            !trust.has(Some("ann"), "shop-cart", Some("staging")),
            "another environment"
        );
        assert!(!trust.has(Some("ann"), "shop-cart", None));
        assert!(
            !trust.has(Some("bob"), "shop-cart", Some("production")),
            "a stranger"
        );
        assert!(
            !trust.has(None, "shop-cart", Some("production")),
            "nobody was asked"
        );
        assert!(trust.has(Some("bearertokenauth/ci#2"), "pay", None));
    }
}
