//! Who the own metrics, spans and log lines are from.

use crate::config::SelfResource;
use opentelemetry::KeyValue;
use opentelemetry_sdk::Resource;
use std::collections::BTreeMap;
use std::sync::OnceLock;

/// A new one at each start, so that two lives of one process are two series and not one that goes backwards.
static INSTANCE: OnceLock<String> = OnceLock::new();

/// The resource attributes, defaults and configuration together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnResource(BTreeMap<String, String>);

impl OwnResource {
    /// The defaults (`service.name`, `service.version`, `service.instance.id`) and what `config` says on top.
    pub fn new(config: &SelfResource) -> Self {
        let mut attributes = BTreeMap::from([
            ("service.name".to_owned(), "burngate".to_owned()),
            ("service.version".to_owned(), env!("CARGO_PKG_VERSION").to_owned()),
            (
                "service.instance.id".to_owned(),
                INSTANCE.get_or_init(uuid).clone(),
            ),
        ]);
        for (key, value) in &config.attributes {
            match value {
                Some(value) => drop(attributes.insert(key.clone(), value.clone())),
                None => drop(attributes.remove(key)),
            }
        }
        Self(attributes)
    }

    /// Its attributes, by key.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(key, value)| (key.as_str(), value.as_str()))
    }

    pub(super) fn for_sdk(&self) -> Resource {
        let attributes = self
            .iter()
            .map(|(key, value)| KeyValue::new(key.to_owned(), value.to_owned()));
        Resource::builder_empty().with_attributes(attributes).build()
    }
}

/// A random UUID of version 4.
fn uuid() -> String {
    let random = fastrand::u128(..) & !(0xf << 76) | (0x4 << 76);
    let hex = format!("{:032x}", random & !(0x3 << 62) | (0x2 << 62));
    let parts = [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]];
    parts.join("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_configuration_changes_adds_and_removes() {
        let mut config = SelfResource::default();
        let default = OwnResource::new(&config);
        assert_eq!(default, OwnResource::new(&config), "one instance a process");
        config.attributes = BTreeMap::from([
            ("service.name".to_owned(), Some("edge".to_owned())),
            ("service.instance.id".to_owned(), None),
            ("region".to_owned(), Some("eu".to_owned())),
        ]);
        let resource = OwnResource::new(&config);
        let keys: Vec<_> = resource.iter().map(|(key, _)| key).collect();
        assert_eq!(keys, ["region", "service.name", "service.version"]);
        assert!(resource.iter().any(|it| it == ("service.name", "edge")));
    }

    #[test]
    fn an_instance_is_a_uuid() {
        let pattern =
            regex::Regex::new("^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$")
                .unwrap();
        for _ in 0..100 {
            assert!(pattern.is_match(&uuid()), "{}", uuid());
        }
    }
}
