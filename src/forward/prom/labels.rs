//! The labels of a series.

use super::name::label_name;
use crate::config::Naming;
use crate::forward::attribute::{push_text, text};
use crate::forward::fields::{each_in, last_in};
use crate::wire::{AnyValue, Malformed};
use std::collections::BTreeMap;

/// Bytes of a label's value; what is beyond is cut.
const VALUE_MAX: usize = 4096;
/// Labels of a series; what is beyond is left out.
const LABELS_MAX: usize = 256;

/// Names and values, sorted by name.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Labels(pub(crate) Vec<(String, String)>);

/// Attributes on their way to labels: two keys that become one name share it, values joined by `;` in the
/// order of the keys.
#[derive(Debug, Default)]
struct Making(BTreeMap<String, BTreeMap<String, String>>);

impl Making {
    fn add(&mut self, key: &str, value: String) {
        let name = label_name(key);
        if self.0.len() < LABELS_MAX || self.0.contains_key(&name) {
            self.0.entry(name).or_default().insert(key.to_owned(), value);
        }
    }

    /// Labels of their own, which win over attributes of the same name.
    fn set(&mut self, name: &str, value: &str) {
        if !value.is_empty() {
            self.0.insert(
                name.to_owned(),
                BTreeMap::from([(String::new(), value.to_owned())]),
            );
        }
    }

    /// The attributes in field `number` of `message`, `prefix` before each key.
    fn attributes(&mut self, message: &[u8], number: u32, prefix: &str) -> Result<(), Malformed> {
        each_in(message, number, |pair| {
            let (key, value) = attribute(pair)?;
            self.add(&[prefix, &key].concat(), value);
            Ok(())
        })
    }

    fn finish(self) -> Labels {
        let joined = |values: BTreeMap<String, String>| values.into_values().collect::<Vec<_>>().join(";");
        let all = self.0.into_iter().map(|(name, values)| (name, joined(values)));
        Labels(all.filter(|(_, value)| !value.is_empty()).collect())
    }
}

/// Key and value of a KeyValue as text.
fn attribute(pair: &[u8]) -> Result<(String, String), Malformed> {
    let mut value = String::new();
    push_text(&mut value, AnyValue::new(last_in(pair, 2)?))?;
    if value.len() > VALUE_MAX {
        let end = (0..=VALUE_MAX)
            .rev()
            .find(|at| value.is_char_boundary(*at))
            .unwrap_or(0);
        value.truncate(end);
    }
    Ok((text(last_in(pair, 1)?).into_owned(), value))
}

/// `job` and `instance` of a resource.
fn target(resource: &[u8]) -> Result<(String, String), Malformed> {
    let (mut namespace, mut service, mut instance) = (String::new(), String::new(), String::new());
    each_in(resource, 1, |pair| {
        let slot = match last_in(pair, 1)? {
            b"service.namespace" => &mut namespace,
            b"service.name" => &mut service,
            b"service.instance.id" => &mut instance,
            _ => return Ok(()),
        };
        *slot = attribute(pair)?.1;
        Ok(())
    })?;
    let job = match (namespace.is_empty(), service.is_empty()) {
        (_, true) => String::new(),
        (true, false) => service,
        (false, false) => format!("{namespace}/{service}"),
    };
    Ok((job, instance))
}

/// The labels of a point, whose attributes stand in field `number`.
pub(super) fn of_point(
    naming: &Naming,
    resource: &[u8],
    scope: &[u8],
    point: &[u8],
    number: u32,
) -> Result<Labels, Malformed> {
    let mut making = Making::default();
    for (name, value) in &naming.const_labels {
        making.set(&label_name(name), value);
    }
    if naming.resource_to_telemetry_conversion {
        making.attributes(resource, 1, "")?;
    }
    if !naming.without_scope_info {
        making.attributes(scope, 3, "otel_scope_")?;
        making.set("otel_scope_name", &text(last_in(scope, 1)?));
        making.set("otel_scope_version", &text(last_in(scope, 2)?));
    }
    // Of an attribute of point and resource alike, the point's is nearer.
    let mut own = Making::default();
    own.attributes(point, number, "")?;
    making.0.append(&mut own.0);
    let (job, instance) = target(resource)?;
    making.set("job", &job);
    making.set("instance", &instance);
    Ok(making.finish())
}

/// The labels of a resource's `target_info`; none where nothing tells the target or nothing is told of it.
pub(super) fn of_target(naming: &Naming, resource: &[u8]) -> Result<Option<Labels>, Malformed> {
    let (job, instance) = target(resource)?;
    if job.is_empty() && instance.is_empty() {
        return Ok(None);
    }
    let mut making = Making::default();
    each_in(resource, 1, |pair| {
        if matches!(
            last_in(pair, 1)?,
            b"service.namespace" | b"service.name" | b"service.instance.id"
        ) {
            return Ok(());
        }
        let (key, value) = attribute(pair)?;
        making.add(&key, value);
        Ok(())
    })?;
    if making.0.is_empty() {
        return Ok(None);
    }
    for (name, value) in &naming.const_labels {
        making.set(&label_name(name), value);
    }
    making.set("job", &job);
    making.set("instance", &instance);
    Ok(Some(making.finish()))
}
