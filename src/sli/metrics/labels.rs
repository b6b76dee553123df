//! Prometheus' labels, looked for among a point's attributes as they stand.
//!
//! A label's name does not say which attribute it was made of: `http_route` may be `http.route`. So the
//! attributes of the few points that a selector with labels lets through are walked by name; everything else
//! uses the slots of the key table.

use super::selector::LabelMatcher;
use crate::sli::SpanContext;
use crate::wire::{AnyValue, KeyTableBuilder, Point, Slot, Value};
use std::io::Write;

/// Longest decimal form of a number as a label's value.
const DECIMAL_BYTES_MAX: usize = 40;

/// A regular expression that must match the whole text.
pub(super) fn anchored(pattern: &str) -> Result<regex::bytes::Regex, String> {
    regex::bytes::RegexBuilder::new(&format!("^(?:{pattern})$"))
        .dot_matches_new_line(true)
        .size_limit(1 << 20)
        .build()
        .map_err(|error| error.to_string().lines().last().unwrap_or_default().to_owned())
}

/// A compiled matcher.
#[derive(Debug)]
pub(super) struct Label {
    place: LabelPlace,
    negated: bool,
    check: LabelCheck,
}

#[derive(Debug)]
enum LabelPlace {
    Attribute(Box<[u8]>),
    /// `job`: namespace and name of the service.
    Job(Slot, Slot),
    /// `instance`.
    Instance(Slot),
    ScopeName,
    ScopeVersion,
}

#[derive(Debug)]
enum LabelCheck {
    Text(Box<[u8]>),
    Regex(Box<regex::bytes::Regex>),
}

impl Label {
    pub(super) fn compile(
        matcher: &LabelMatcher,
        keys: &mut KeyTableBuilder,
    ) -> Result<Self, (String, String)> {
        let place = match matcher.label.as_str() {
            "job" => LabelPlace::Job(keys.key("service.namespace"), keys.key("service.name")),
            "instance" => LabelPlace::Instance(keys.key("service.instance.id")),
            "otel_scope_name" => LabelPlace::ScopeName,
            "otel_scope_version" => LabelPlace::ScopeVersion,
            other => LabelPlace::Attribute(other.as_bytes().into()),
        };
        let check = if matcher.regex {
            let regex = anchored(&matcher.value).map_err(|problem| (matcher.value.clone(), problem))?;
            LabelCheck::Regex(Box::new(regex))
        } else {
            LabelCheck::Text(matcher.value.as_bytes().into())
        };
        Ok(Self {
            place,
            negated: matcher.negated,
            check,
        })
    }

    /// Whether the point passes. A label that is missing is empty.
    pub(super) fn holds(&self, point: &Point<'_>, context: &SpanContext<'_, '_>) -> bool {
        let text = |slot: Slot| {
            let value = context.resource.get(slot).and_then(AnyValue::as_str);
            value.unwrap_or_default()
        };
        let found = match &self.place {
            LabelPlace::ScopeName => self.check.holds(context.scope.name),
            LabelPlace::ScopeVersion => self.check.holds(context.scope.version),
            LabelPlace::Instance(slot) => self.check.holds(text(*slot)),
            LabelPlace::Job(namespace, name) => match text(*namespace) {
                b"" => self.check.holds(text(*name)),
                space => self.check.holds(&[space, b"/", text(*name)].concat()),
            },
            LabelPlace::Attribute(label) => {
                let mut found = None;
                point.for_each_attribute(|key, value| {
                    if is_label_of(label, key) {
                        found = Some(with_text(value, |text| self.check.holds(text)));
                    }
                });
                found.unwrap_or_else(|| self.check.holds(b""))
            }
        };
        found != self.negated
    }
}

impl LabelCheck {
    fn holds(&self, text: &[u8]) -> bool {
        match self {
            Self::Text(wanted) => **wanted == *text,
            Self::Regex(regex) => regex.is_match(text),
        }
    }
}

/// Whether Prometheus calls the attribute `key` so, or the label is the key itself.
fn is_label_of(label: &[u8], key: &[u8]) -> bool {
    let key_as_label = |key: &[u8]| {
        label.len() == key.len()
            && label
                .iter()
                .zip(key)
                .all(|(l, k)| l == k || (*l == b'_' && !k.is_ascii_alphanumeric()))
    };
    if label == key || key_as_label(key) {
        return true;
    }
    label.strip_prefix(b"key_").is_some_and(|rest| {
        key.first().is_some_and(u8::is_ascii_digit)
            && rest.len() == key.len()
            && rest
                .iter()
                .zip(key)
                .all(|(l, k)| l == k || (*l == b'_' && !k.is_ascii_alphanumeric()))
    })
}

/// A value as the text of a label.
fn with_text(value: AnyValue<'_>, test: impl FnOnce(&[u8]) -> bool) -> bool {
    let mut buffer = [0_u8; DECIMAL_BYTES_MAX];
    let mut rest = &mut buffer[..];
    let written = match value.value() {
        Ok(Value::Str(text)) => return test(text),
        Ok(Value::Bool(yes)) => write!(rest, "{yes}"),
        Ok(Value::Int(number)) => write!(rest, "{number}"),
        Ok(Value::Double(number)) => write!(rest, "{number}"),
        _ => return test(b""),
    };
    let left = rest.len();
    written.is_ok() && test(&buffer[..DECIMAL_BYTES_MAX - left])
}

#[cfg(test)]
mod tests {
    use super::is_label_of;

    #[test]
    fn a_label_is_found_under_the_name_that_prometheus_gives_it() {
        for (label, key) in [
            ("http_route", "http.route"),
            ("http_route", "http_route"),
            ("http.route", "http.route"),
            ("code", "code"),
            ("key_2xx", "2xx"),
            ("a_b_c", "a-b/c"),
        ] {
            assert!(is_label_of(label.as_bytes(), key.as_bytes()), "{label} {key}");
        }
        for (label, key) in [
            ("http_route", "http.routes"),
            ("http.route", "http_route"),
            ("a1b", "a.b"),
        ] {
            assert!(!is_label_of(label.as_bytes(), key.as_bytes()), "{label} {key}");
        }
    }
}
