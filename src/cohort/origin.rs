//! Who sent a resource: service, environment, region and instance.

use super::text::label_text;
use crate::config::Cohorts;
use crate::wire::{AnyValue, Attributes, KeyTableBuilder, Slot, Value};
use std::borrow::Cow;

/// The slots that a resource's origin is read from.
#[derive(Clone, Debug)]
pub struct OriginSlots {
    service: Slot,
    environments: Vec<Slot>,
    region: Slot,
    instance: Slot,
}

/// The raw origin of a resource; equal values are one origin.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct RawOrigin<'a> {
    service: Option<AnyValue<'a>>,
    environment: Option<AnyValue<'a>>,
    region: Option<AnyValue<'a>>,
    instance: Option<AnyValue<'a>>,
}

/// An origin, read. A part that is missing or no name is `None`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origin<'a> {
    /// `service.name`.
    pub service: Option<Cow<'a, str>>,
    /// The first environment attribute that is present.
    pub environment: Option<Cow<'a, str>>,
    /// `cloud.region`.
    pub region: Option<Cow<'a, str>>,
    /// `service.instance.id`.
    pub instance: Option<Cow<'a, str>>,
}

impl OriginSlots {
    /// Asks `keys` for the slots.
    pub fn compile(cohorts: &Cohorts, keys: &mut KeyTableBuilder) -> Self {
        Self {
            service: keys.key("service.name"),
            environments: cohorts
                .environment_attributes
                .iter()
                .map(|name| keys.key(name))
                .collect(),
            region: keys.key("cloud.region"),
            instance: keys.key("service.instance.id"),
        }
    }

    /// The raw origin of a resource.
    pub fn find<'a>(&self, resource: &Attributes<'a>) -> RawOrigin<'a> {
        let text = |slot: Slot| {
            resource
                .get(slot)
                .filter(|value| !matches!(value.value(), Ok(Value::Empty | Value::Str(b""))))
        };
        RawOrigin {
            service: text(self.service),
            environment: self.environments.iter().find_map(|slot| text(*slot)),
            region: text(self.region),
            instance: text(self.instance),
        }
    }
}

impl<'a> RawOrigin<'a> {
    /// Reads the names.
    pub fn read(&self) -> Origin<'a> {
        let name = |value: Option<AnyValue<'a>>| label_text(value?.as_str()?);
        Origin {
            service: name(self.service),
            environment: name(self.environment),
            region: name(self.region),
            instance: name(self.instance),
        }
    }
}
