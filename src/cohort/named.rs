//! The flags that policies name, by service.
//!
//! Only these can be switched, so only these have evidence cells, and only these count as `off` when a list
//! lacks them.

use globset::{Glob, GlobMatcher};
use std::sync::Arc;

/// See the module's words.
#[derive(Clone, Debug, Default)]
pub struct NamedFlags {
    entries: Vec<Entry>,
}

#[derive(Clone, Debug)]
struct Entry {
    service: Service,
    flags: Vec<Arc<str>>,
}

#[derive(Clone, Debug)]
enum Service {
    Exactly(Arc<str>),
    Like(GlobMatcher),
}

impl NamedFlags {
    /// No policy names a flag.
    pub fn new() -> Self {
        Self::default()
    }

    /// The policy of `service` (a name, or a glob such as `checkout-*`, as in an objective) names `flags`.
    pub fn name<'f>(
        &mut self,
        service: &str,
        flags: impl IntoIterator<Item = &'f str>,
    ) -> Result<(), globset::Error> {
        let is_pattern = service.contains(['*', '?', '[', '{']);
        let service = if is_pattern {
            Service::Like(Glob::new(service)?.compile_matcher())
        } else {
            Service::Exactly(service.into())
        };
        self.entries.push(Entry {
            service,
            flags: flags.into_iter().map(Arc::from).collect(),
        });
        Ok(())
    }

    /// The flags that any policy of `service` names, sorted, each once.
    pub fn of(&self, service: &str) -> Vec<Arc<str>> {
        let matching = self.entries.iter().filter(|entry| match &entry.service {
            Service::Exactly(name) => **name == *service,
            Service::Like(glob) => glob.is_match(service),
        });
        let mut flags: Vec<Arc<str>> = matching.flat_map(|entry| entry.flags.iter().cloned()).collect();
        flags.sort_unstable();
        flags.dedup();
        flags
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_patterns_add_up() {
        let mut named = NamedFlags::new();
        named.name("checkout", ["b", "a"]).unwrap();
        named.name("check*", ["c", "a"]).unwrap();
        let of = |service: &str| {
            named
                .of(service)
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
        };
        assert_eq!(of("checkout"), ["a", "b", "c"]);
        assert_eq!(of("checkin"), ["a", "c"]);
        assert_eq!(of("cart"), [""; 0]);
        assert!(named.name("[", []).is_err());
    }
}
