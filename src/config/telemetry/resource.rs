//! `service.telemetry.resource`.

use crate::config::section::Section;
use crate::config::setting::text;
use crate::config::tree::Value;
use std::collections::BTreeMap;

/// What the configuration says about the resource of the own telemetry. `None` removes an attribute that
/// would be there by default (`service.name`, `service.instance.id`, `service.version`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SelfResource {
    /// Attribute and its value.
    pub attributes: BTreeMap<String, Option<String>>,
}

impl SelfResource {
    /// `key: value`, or the newer `attributes: [{name: ..., value: ...}]`.
    pub(super) fn read(section: &Section<'_>) -> Self {
        let mut attributes = BTreeMap::new();
        for entry in section.entries() {
            if entry.key == "attributes" && matches!(entry.node.value, Value::List(_)) {
                for item in section.sections_in("attributes").into_iter().flatten() {
                    let name = item.required::<String>("name", "the attribute's name");
                    let mut value = None::<String>;
                    item.field("value", &mut value);
                    item.without_effect(&["type"], "attributes are text here");
                    item.finish();
                    attributes.extend(name.map(|name| (name, value)));
                }
                continue;
            }
            if entry.key == "schema_url" {
                continue;
            }
            if entry.key == "detectors" {
                section.problem("detectors", "not supported in this version: `detectors`");
                continue;
            }
            match (text(&entry.node), &entry.node.value) {
                (Some(value), _) => drop(attributes.insert(entry.key.clone(), Some(value.to_owned()))),
                (None, Value::Null) => drop(attributes.insert(entry.key.clone(), None)),
                (None, _) => section.problem(&entry.key, "expected text, or null to leave it out"),
            }
        }
        Self { attributes }
    }
}
