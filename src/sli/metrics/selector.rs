//! A metric as a policy names it: `http_requests_total{code=~"5..", route!=""}`.
//!
//! Labels are written as in PromQL, also with its rules: a label that is missing is an empty text, and a
//! regular expression must match the whole value. A label names an attribute, either as it is
//! (`http.route`, in quotes or not) or as Prometheus would call it (`http_route`).

use serde::{Deserialize, Deserializer};
use std::str::FromStr;

/// Longest selector, in bytes.
const SELECTOR_BYTES_MAX: usize = 4096;

/// Which points of which metric.
#[derive(Clone, Debug, PartialEq)]
pub struct Selector {
    /// The metric's name: OpenTelemetry's or Prometheus'.
    pub name: String,
    /// What its labels must be.
    pub labels: Vec<LabelMatcher>,
    /// `le`, in the metric's unit: only what lies at or below it; everything lies below `+Inf`.
    pub at_most: Option<f64>,
}

/// One label and what it must be.
#[derive(Clone, Debug, PartialEq)]
pub struct LabelMatcher {
    /// The label's name.
    pub label: String,
    /// Whether it must not be so.
    pub negated: bool,
    /// A regular expression, else the text itself.
    pub regex: bool,
    /// The text or the pattern.
    pub value: String,
}

impl FromStr for Selector {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.len() > SELECTOR_BYTES_MAX {
            return Err(format!(
                "a metric's selector is longer than {SELECTOR_BYTES_MAX} bytes"
            ));
        }
        let text = text.trim();
        let (name, labels) = match text.split_once('{') {
            None => (text, None),
            Some((name, rest)) => {
                let inner = rest.strip_suffix('}').ok_or_else(|| {
                    format!("{text:?}: the braces do not close; write name{{label=\"value\"}}")
                })?;
                (name.trim_end(), Some(inner))
            }
        };
        if name.is_empty() || name.contains(char::is_whitespace) {
            return Err(format!(
                "{text:?} names no metric; write its name, such as http.server.request.duration or \
                 http_requests_total{{code=~\"5..\"}}"
            ));
        }
        let mut selector = Self {
            name: name.to_owned(),
            labels: Vec::new(),
            at_most: None,
        };
        let mut rest = labels.unwrap_or_default().trim();
        while !rest.is_empty() {
            let (matcher, behind) = matcher(rest).map_err(|problem| format!("{text:?}: {problem}"))?;
            rest = behind.trim_start();
            rest = match rest.strip_prefix(',') {
                Some(behind) => behind.trim_start(),
                None if rest.is_empty() => rest,
                None => return Err(format!("{text:?}: expected a comma before {rest:?}")),
            };
            selector
                .take(matcher)
                .map_err(|problem| format!("{text:?}: {problem}"))?;
        }
        Ok(selector)
    }
}

impl Selector {
    fn take(&mut self, matcher: LabelMatcher) -> Result<(), String> {
        if matcher.label == "le" {
            if matcher.negated || matcher.regex || self.at_most.is_some() {
                return Err("le takes one value, such as le=\"0.5\"".to_owned());
            }
            let bound = matcher
                .value
                .parse()
                .ok()
                .filter(|bound: &f64| *bound > f64::NEG_INFINITY);
            let bound = bound.ok_or_else(|| format!("le={:?} is no number", matcher.value))?;
            self.at_most = Some(bound).filter(|bound| bound.is_finite());
            return Ok(());
        }
        if matcher.regex {
            super::labels::anchored(&matcher.value)
                .map_err(|problem| format!("bad regular expression {:?}: {problem}", matcher.value))?;
        }
        self.labels.push(matcher);
        Ok(())
    }
}

/// The first `label op "value"` of `text`, and what stands behind it.
fn matcher(text: &str) -> Result<(LabelMatcher, &str), String> {
    let (label, rest) = if text.starts_with('"') {
        quoted(text)?
    } else {
        let end = text
            .find(|c: char| !c.is_ascii_alphanumeric() && !matches!(c, '_' | '.' | ':' | '-'))
            .unwrap_or(text.len());
        let (label, rest) = text.split_at(end);
        (label.to_owned(), rest)
    };
    if label.is_empty() {
        return Err(format!("expected a label before {text:?}"));
    }
    let rest = rest.trim_start();
    let (negated, regex, rest) = [
        ("=~", false, true),
        ("!~", true, true),
        ("!=", true, false),
        ("=", false, false),
    ]
    .into_iter()
    .find_map(|(op, negated, regex)| Some((negated, regex, rest.strip_prefix(op)?)))
    .ok_or_else(|| format!("label {label:?}: expected =, !=, =~ or !~"))?;
    let (value, rest) = quoted(rest.trim_start())?;
    let matcher = LabelMatcher {
        label,
        negated,
        regex,
        value,
    };
    Ok((matcher, rest))
}

/// A text in double or single quotes, and what stands behind it. A backslash keeps the next character, except
/// in `\n` and `\t`.
fn quoted(text: &str) -> Result<(String, &str), String> {
    let wrong = || format!("expected a text in quotes, found {text:?}");
    let quote = text
        .chars()
        .next()
        .filter(|c| matches!(c, '"' | '\''))
        .ok_or_else(wrong)?;
    let mut value = String::new();
    let mut chars = text.char_indices().skip(1);
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' => match chars.next().ok_or_else(wrong)?.1 {
                'n' => value.push('\n'),
                't' => value.push('\t'),
                other => value.push(other),
            },
            _ if c == quote => return Ok((value, text.get(at + 1..).unwrap_or_default())),
            _ => value.push(c),
        }
    }
    Err(wrong())
}

impl<'de> Deserialize<'de> for Selector {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn selectors_are_read_as_promql_reads_them() {
        let plain: Selector = "http.server.request.duration".parse().unwrap();
        assert!(plain.labels.is_empty() && plain.at_most.is_none());
        let full: Selector = r#"x_bucket{ le="0.5", code=~"5..",route!='/a"b' , "http.route" = "\"" }"#
            .parse()
            .unwrap();
        assert_eq!((full.name.as_str(), full.at_most), ("x_bucket", Some(0.5)));
        let seen: Vec<_> = full
            .labels
            .iter()
            .map(|m| (m.label.as_str(), m.negated, m.regex, m.value.as_str()))
            .collect();
        assert_eq!(
            seen,
            [
                ("code", false, true, "5.."),
                ("route", true, false, "/a\"b"),
                ("http.route", false, false, "\"")
            ]
        );
        let all: Selector = r#"x_bucket{le="+Inf"}"#.parse().unwrap();
        assert_eq!(
            (all.name.as_str(), all.at_most, all.labels.len()),
            ("x_bucket", None, 0)
        );
        assert_eq!("a{}".parse::<Selector>().unwrap().name, "a");
        assert_eq!(r#"a{b="c",}"#.parse::<Selector>().unwrap().labels.len(), 1);
    }

    #[test]
    fn what_is_no_selector_is_refused_with_its_reason() {
        for (text, why) in [
            ("", "names no metric"),
            ("{a=\"b\"}", "names no metric"),
            ("a b", "names no metric"),
            ("a{b=\"c\"", "do not close"),
            ("a{b=c}", "in quotes"),
            ("a{b>\"c\"}", "expected ="),
            ("a{=\"c\"}", "expected a label"),
            ("a{b=\"c\" d=\"e\"}", "comma"),
            ("a{b=~\"(\"}", "regular expression"),
            ("a{le=\"x\"}", "no number"),
            ("a{le=\"-Inf\"}", "no number"),
            ("a{le=\"NaN\"}", "no number"),
            ("a{le=~\"0.5\"}", "one value"),
        ] {
            let problem = text.parse::<Selector>().unwrap_err();
            assert!(problem.contains(why), "{text}: {problem}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "[a{}=~!\", \\\\.'_]{0,24}") {
            let _ = text.parse::<Selector>();
        }
    }
}
