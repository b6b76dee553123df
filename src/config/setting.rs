//! Scalars and lists as types, each with the words that an error uses for it.

use super::duration::{format_duration, parse_duration, scaled};
use super::section::shown;
use super::tree::{Node, Value};
use super::{Absent, BuiltInIndicators, JoinMode, LogEncoding, LogLevel, Secret};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

/// A type that a key may have.
pub(super) trait Setting: Sized {
    /// What to write, after "expected".
    const EXPECTED: &'static str;

    /// Whether it must not be shown.
    const SECRET: bool = false;

    /// Reads it, or says what was found instead, without secrets.
    fn read(node: &Node) -> Result<Self, String>;

    /// How a bound of it is written in an error.
    fn show(&self) -> String {
        String::new()
    }
}

/// The text of a scalar, or of whatever `${...}` brought.
pub(super) fn text(node: &Node) -> Option<&str> {
    match (&node.expanded, &node.value) {
        (Some(expanded), _) => Some(&expanded.text),
        (None, Value::Scalar(text)) => Some(text),
        (None, _) => None,
    }
}

pub(super) fn parsed<T>(node: &Node, parse: impl FnOnce(&str) -> Option<T>) -> Result<T, String> {
    text(node).and_then(parse).ok_or_else(|| shown(node))
}

impl<T: Setting> Setting for Option<T> {
    const EXPECTED: &'static str = T::EXPECTED;
    const SECRET: bool = T::SECRET;

    fn read(node: &Node) -> Result<Self, String> {
        T::read(node).map(Some)
    }
}

impl Setting for String {
    const EXPECTED: &'static str = "text";

    fn read(node: &Node) -> Result<Self, String> {
        parsed(node, |text| Some(text.to_owned()))
    }
}

impl Setting for Secret {
    const EXPECTED: &'static str = "text (a secret, not shown)";
    const SECRET: bool = true;

    fn read(node: &Node) -> Result<Self, String> {
        text(node)
            .map(Self::new)
            .ok_or_else(|| "something else".to_owned())
    }
}

impl Setting for PathBuf {
    const EXPECTED: &'static str = "a path";

    fn read(node: &Node) -> Result<Self, String> {
        parsed(node, |text| (!text.trim().is_empty()).then(|| Self::from(text)))
    }
}

impl Setting for bool {
    const EXPECTED: &'static str = "true or false";

    fn read(node: &Node) -> Result<Self, String> {
        parsed(node, |text| match text {
            "true" | "True" | "TRUE" => Some(true),
            "false" | "False" | "FALSE" => Some(false),
            _ => None,
        })
    }
}

/// Digits, with `_` between them as YAML writes large numbers.
fn integer(text: &str) -> Option<u64> {
    text.replace('_', "").parse().ok()
}

impl Setting for u64 {
    const EXPECTED: &'static str = "a whole number";

    fn read(node: &Node) -> Result<Self, String> {
        parsed(node, integer)
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

impl Setting for u32 {
    const EXPECTED: &'static str = u64::EXPECTED;

    fn read(node: &Node) -> Result<Self, String> {
        parsed(node, |text| Self::try_from(integer(text)?).ok())
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

impl Setting for usize {
    const EXPECTED: &'static str = u64::EXPECTED;

    fn read(node: &Node) -> Result<Self, String> {
        parsed(node, |text| Self::try_from(integer(text)?).ok())
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

impl Setting for Duration {
    const EXPECTED: &'static str = "a duration such as 200ms, 30s, 1h30m or 30d";

    fn read(node: &Node) -> Result<Self, String> {
        parsed(node, parse_duration)
    }

    fn show(&self) -> String {
        format_duration(*self)
    }
}

/// A duration; a number without a unit is milliseconds, as the field's SDKs write them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Millis(pub(super) Duration);

impl Setting for Millis {
    const EXPECTED: &'static str = "milliseconds such as 5000, or a duration such as 5s";

    fn read(node: &Node) -> Result<Self, String> {
        parsed(node, |text| {
            let millis = integer(text).map(Duration::from_millis);
            millis.or_else(|| parse_duration(text)).map(Self)
        })
    }

    fn show(&self) -> String {
        format_duration(self.0)
    }
}

impl Setting for SocketAddr {
    const EXPECTED: &'static str =
        "an address to listen on such as 0.0.0.0:4317, localhost:4317, [::1]:4317 or :4317";

    fn read(node: &Node) -> Result<Self, String> {
        parsed(node, |text| {
            text.parse().ok().or_else(|| {
                let (host, port) = text.rsplit_once(':')?;
                let ip = match host {
                    "" => Ipv4Addr::UNSPECIFIED,
                    "localhost" => Ipv4Addr::LOCALHOST,
                    _ => return None,
                };
                Some(Self::new(IpAddr::V4(ip), port.parse().ok()?))
            })
        })
    }
}

impl Setting for Vec<String> {
    const EXPECTED: &'static str = "a list of texts such as [a, b]";

    fn read(node: &Node) -> Result<Self, String> {
        let Value::List(items) = &node.value else {
            return Err(shown(node));
        };
        items
            .iter()
            .map(String::read)
            .map(|item| item.map_err(|found| format!("{found} in it")))
            .collect()
    }
}

impl Setting for Absent {
    const EXPECTED: &'static str = "off or ignore";

    fn read(node: &Node) -> Result<Self, String> {
        parsed(node, |text| match text {
            "off" => Some(Self::Off),
            "ignore" => Some(Self::Ignore),
            _ => None,
        })
    }
}

impl Setting for JoinMode {
    const EXPECTED: &'static str = "local_root or same_span";

    fn read(node: &Node) -> Result<Self, String> {
        parsed(node, |text| match text {
            "local_root" => Some(Self::LocalRoot),
            "same_span" => Some(Self::SameSpan),
            _ => None,
        })
    }
}

impl Setting for BuiltInIndicators {
    const EXPECTED: &'static str = "none, metrics or all";

    fn read(node: &Node) -> Result<Self, String> {
        parsed(node, |text| match text {
            "none" => Some(Self::None),
            "metrics" => Some(Self::Metrics),
            "all" => Some(Self::All),
            _ => None,
        })
    }
}

impl Setting for LogLevel {
    const EXPECTED: &'static str = "debug, info, warn or error";

    fn read(node: &Node) -> Result<Self, String> {
        parsed(node, |text| match text.to_ascii_lowercase().as_str() {
            "debug" => Some(Self::Debug),
            "info" => Some(Self::Info),
            "warn" => Some(Self::Warn),
            "error" => Some(Self::Error),
            _ => None,
        })
    }
}

impl Setting for LogEncoding {
    const EXPECTED: &'static str = "console or json";

    fn read(node: &Node) -> Result<Self, String> {
        parsed(node, |text| match text {
            "console" => Some(Self::Console),
            "json" => Some(Self::Json),
            _ => None,
        })
    }
}

/// A share of requests that may fail, in parts per billion, written as its target: `99.9%`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Target(pub(super) u64);

impl Setting for Target {
    const EXPECTED: &'static str = "a percentage between 0% and 100% such as 99.9%";

    fn read(node: &Node) -> Result<Self, String> {
        const WHOLE: u64 = 1_000_000_000;
        parsed(node, |text| {
            let number = text.strip_suffix('%')?.trim_end();
            let target = u64::try_from(scaled(number, 10_000_000)?).ok()?;
            (target > 0 && target < WHOLE).then(|| Self(WHOLE - target))
        })
    }
}

/// A number, or a percentage as its share: `0.01`, `1%`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Ratio(pub(super) f64);

impl Setting for Ratio {
    const EXPECTED: &'static str = "a number such as 0.01 or a percentage such as 1%";

    fn read(node: &Node) -> Result<Self, String> {
        parsed(node, |text| {
            let (number, unit) = match text.strip_suffix('%') {
                Some(number) => (number.trim_end(), 100.0),
                None => (text, 1.0),
            };
            let number: f64 = number.parse().ok()?;
            number.is_finite().then_some(Self(number / unit))
        })
    }
}

/// An http or https URL without credentials in it, as written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct HttpUrl(pub(super) String);

impl Setting for HttpUrl {
    const EXPECTED: &'static str =
        "a URL such as https://unleash.example.com, without user name and password";

    fn read(node: &Node) -> Result<Self, String> {
        let url = text(node).and_then(|text| Some((text, reqwest::Url::parse(text).ok()?)));
        // A webhook's URL may itself be the secret: what was found is not repeated.
        let Some((written, url)) = url else {
            return Err("something else".to_owned());
        };
        if !url.username().is_empty() || url.password().is_some() {
            return Err("credentials in it".to_owned());
        }
        if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none_or(str::is_empty) {
            return Err("something else".to_owned());
        }
        Ok(Self(written.to_owned()))
    }
}
