//! `include` and `exclude`, compiled: which items are meant.

use super::ProcessError;
use super::edits::{Halt, held};
use super::text::as_text;
use crate::config::{AttributeMatch, LibraryMatch, Matching, PlainValue, SeverityMatch};
use crate::pipeline::Signal;
use crate::wire::edit::{Field, Held, Levels, Map, Message};
use regex::bytes::{Regex, RegexSet};

/// Properties that must all hold; one that is not given holds.
#[derive(Debug)]
pub(super) struct Matcher {
    services: Option<Texts>,
    resources: Tests,
    libraries: Vec<(Texts, Option<Texts>)>,
    attributes: Tests,
    span_names: Option<Texts>,
    span_kinds: Option<Texts>,
    log_bodies: Option<Texts>,
    severity_texts: Option<Texts>,
    severity: Option<SeverityMatch>,
    metric_names: Option<Texts>,
}

/// One of several texts.
#[derive(Debug)]
enum Texts {
    Strict(Vec<Box<[u8]>>),
    Regexp(RegexSet),
}

/// What the value of an attribute must be.
#[derive(Debug)]
enum Test {
    Any,
    Equals(Held<'static>),
    Matches(Regex),
}

/// Tests of attributes by key.
type Tests = Vec<(Box<[u8]>, Test)>;

impl Texts {
    fn new(texts: &[String], regexp: bool) -> Result<Option<Self>, regex::Error> {
        Ok(match (texts.is_empty(), regexp) {
            (true, _) => None,
            (false, true) => Some(Self::Regexp(RegexSet::new(texts)?)),
            (false, false) => Some(Self::Strict(
                texts.iter().map(|text| text.as_bytes().into()).collect(),
            )),
        })
    }

    fn have(&self, text: &[u8]) -> bool {
        match self {
            Self::Strict(texts) => texts.iter().any(|one| **one == *text),
            Self::Regexp(set) => set.is_match(text),
        }
    }
}

impl Test {
    fn new(value: Option<&PlainValue>, regexp: bool) -> Result<Self, regex::Error> {
        Ok(match value {
            None => Self::Any,
            Some(PlainValue::Text(pattern)) if regexp => Self::Matches(Regex::new(pattern)?),
            Some(value) => Self::Equals(held(value)),
        })
    }

    fn holds(&self, map: &Map<'_>, key: &[u8]) -> Result<bool, Halt> {
        let Some(value) = map.get(key) else {
            return Ok(false);
        };
        Ok(match self {
            Self::Any => true,
            // Values of lists are alike when their encodings are.
            Self::Equals(wanted) => {
                value.value()? == wanted.any().value()? || value.encoded() == wanted.any().encoded()
            }
            Self::Matches(regex) => regex.is_match(&as_text(value)?),
        })
    }
}

fn tests(all: &[AttributeMatch], regexp: bool) -> Result<Tests, regex::Error> {
    all.iter()
        .map(|one| Ok((one.key.as_bytes().into(), Test::new(one.value.as_ref(), regexp)?)))
        .collect()
}

fn libraries(all: &[LibraryMatch], regexp: bool) -> Result<Vec<(Texts, Option<Texts>)>, regex::Error> {
    let one = |text: &String| Texts::new(std::slice::from_ref(text), regexp);
    let mut read = Vec::new();
    for library in all {
        if let Some(name) = one(&library.name)? {
            read.push((name, library.version.as_ref().map(one).transpose()?.flatten()));
        }
    }
    Ok(read)
}

impl Matcher {
    pub(super) fn new(id: &str, config: &Matching) -> Result<Self, ProcessError> {
        Self::compile(config)
            .map_err(|error| ProcessError::whole(id, format!("not a regular expression: {error}")))
    }

    fn compile(config: &Matching) -> Result<Self, regex::Error> {
        let regexp = config.regexp;
        Ok(Self {
            services: Texts::new(&config.services, regexp)?,
            resources: tests(&config.resources, regexp)?,
            libraries: libraries(&config.libraries, regexp)?,
            attributes: tests(&config.attributes, regexp)?,
            span_names: Texts::new(&config.span_names, regexp)?,
            span_kinds: Texts::new(&config.span_kinds, regexp)?,
            log_bodies: Texts::new(&config.log_bodies, regexp)?,
            severity_texts: Texts::new(&config.log_severity_texts, regexp)?,
            severity: config.log_severity_number,
            metric_names: Texts::new(&config.metric_names, regexp)?,
        })
    }

    /// Whether resource and scope are those that are meant.
    pub(super) fn holds_around(&self, at: &Levels<'_>) -> Result<bool, Halt> {
        let resource = at.resource.attributes();
        if let Some(services) = &self.services {
            let Some(name) = resource.get(b"service.name") else {
                return Ok(false);
            };
            if !services.have(&as_text(name)?) {
                return Ok(false);
            }
        }
        if !all_hold(&self.resources, resource)? {
            return Ok(false);
        }
        let (name, version) = (at.scope.bytes(Field::Name), at.scope.bytes(Field::Version));
        let meant = |(names, versions): &(Texts, Option<Texts>)| {
            names.have(name) && versions.as_ref().is_none_or(|versions| versions.have(version))
        };
        Ok(self.libraries.is_empty() || self.libraries.iter().any(meant))
    }

    /// Whether the item (of metrics: the data point) is one that is meant, resource and scope aside. A
    /// property that the signal does not have does not hold.
    pub(super) fn holds_for(&self, at: &Levels<'_>, signal: Signal) -> Result<bool, Halt> {
        let item = &at.item;
        let map = match signal {
            Signal::Metrics => at.part.attributes(),
            Signal::Traces | Signal::Logs => item.attributes(),
        };
        let text = |texts: &Option<Texts>, of: Signal, field: Field| {
            texts
                .as_ref()
                .is_none_or(|texts| signal == of && texts.have(item.bytes(field)))
        };
        let fields = text(&self.span_names, Signal::Traces, Field::Name)
            && text(&self.severity_texts, Signal::Logs, Field::SeverityText)
            && text(&self.metric_names, Signal::Metrics, Field::Name)
            && self
                .span_kinds
                .as_ref()
                .is_none_or(|kinds| signal == Signal::Traces && kinds.have(kind_name(item)))
            && self
                .severity
                .is_none_or(|severity| signal == Signal::Logs && is_severe(item, severity));
        if !fields || !all_hold(&self.attributes, map)? {
            return Ok(false);
        }
        Ok(match &self.log_bodies {
            None => true,
            Some(bodies) => signal == Signal::Logs && bodies.have(&as_text(item.body())?),
        })
    }
}

fn all_hold(tests: &[(Box<[u8]>, Test)], map: &Map<'_>) -> Result<bool, Halt> {
    for (key, test) in tests {
        if !test.holds(map, key)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The kind of a span as OTLP names it.
pub(super) fn kind_name(span: &Message<'_>) -> &'static [u8] {
    match span.number(Field::SpanKind) {
        Some(1) => b"SPAN_KIND_INTERNAL",
        Some(2) => b"SPAN_KIND_SERVER",
        Some(3) => b"SPAN_KIND_CLIENT",
        Some(4) => b"SPAN_KIND_PRODUCER",
        Some(5) => b"SPAN_KIND_CONSUMER",
        _ => b"SPAN_KIND_UNSPECIFIED",
    }
}

fn is_severe(record: &Message<'_>, severity: SeverityMatch) -> bool {
    match record.number(Field::SeverityNumber).unwrap_or(0) {
        0 => severity.match_undefined,
        number => i64::from(severity.min) <= number.cast_signed(),
    }
}
