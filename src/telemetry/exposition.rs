//! The own metrics between the recorder and the wire: families of samples, read from the recorder's own page.
//!
//! The recorder keeps everything to itself except for its page of text. So the page is read back: the scrape
//! and the push begin with the very same families, and cannot disagree. It is our own writing, some hundred
//! lines; what cannot be read of it (nothing, says the test) is left out rather than guessed.

use std::borrow::Cow;
use std::fmt::Write as _;

/// What the samples of a family are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Counter,
    Gauge,
    Histogram,
    Summary,
}

/// One metric with all its samples.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Family {
    pub(super) name: String,
    pub(super) help: Cow<'static, str>,
    pub(super) kind: Kind,
    pub(super) samples: Vec<Sample>,
}

/// One line of a family. `suffix` is what stands behind the family's name: `_bucket`, `_sum`, `_count`.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Sample {
    pub(super) suffix: &'static str,
    pub(super) labels: Vec<(String, String)>,
    pub(super) value: Value,
}

/// Counts stay whole numbers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Value {
    Count(u64),
    Float(f64),
}

impl Value {
    pub(super) fn as_f64(self) -> f64 {
        match self {
            Self::Count(count) => count as f64,
            Self::Float(value) => value,
        }
    }
}

impl Family {
    /// A family of one sample without labels.
    pub(super) fn single(name: &str, help: &'static str, kind: Kind, value: f64) -> Self {
        Self {
            name: name.to_owned(),
            help: Cow::Borrowed(help),
            kind,
            samples: vec![Sample {
                suffix: "",
                labels: Vec::new(),
                value: Value::Float(value),
            }],
        }
    }
}

/// The families of a page.
pub(super) fn parse(page: &str) -> Vec<Family> {
    let mut families: Vec<Family> = Vec::new();
    let mut help = ("", "");
    for line in page.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            help = rest.split_once(' ').unwrap_or((rest, ""));
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap_or((rest, "gauge"));
            let kind = match kind {
                "counter" => Kind::Counter,
                "histogram" => Kind::Histogram,
                "summary" => Kind::Summary,
                _ => Kind::Gauge,
            };
            let help = if help.0 == name { help.1 } else { "" };
            families.push(Family {
                name: name.to_owned(),
                help: Cow::Owned(unescaped(help)),
                kind,
                samples: Vec::new(),
            });
        } else if let Some(family) = families.last_mut() {
            family.samples.extend(sample(line, &family.name, family.kind));
        }
    }
    families
}

fn sample(line: &str, family: &str, kind: Kind) -> Option<Sample> {
    let rest = line.strip_prefix(family)?;
    let name_ends = rest.find(['{', ' '])?;
    let suffix = match &rest[..name_ends] {
        "" => "",
        "_bucket" => "_bucket",
        "_sum" => "_sum",
        "_count" => "_count",
        _ => return None,
    };
    let (labels, value) = match rest[name_ends..].strip_prefix('{') {
        Some(rest) => labels(rest)?,
        None => (Vec::new(), &rest[name_ends..]),
    };
    let value = value.trim();
    let count = matches!((kind, suffix), (Kind::Counter, _) | (_, "_bucket" | "_count"));
    let value = match value.parse::<u64>() {
        Ok(whole) if count => Value::Count(whole),
        _ => Value::Float(value.parse().ok()?),
    };
    Some(Sample {
        suffix,
        labels,
        value,
    })
}

/// Labels up to the closing brace, and what follows.
fn labels(mut rest: &str) -> Option<(Vec<(String, String)>, &str)> {
    let mut labels = Vec::new();
    loop {
        rest = rest.trim_start_matches(',');
        if let Some(after) = rest.strip_prefix('}') {
            return Some((labels, after));
        }
        let (name, after) = rest.split_once("=\"")?;
        let mut escaped = false;
        let end = after.bytes().position(|byte| {
            let ends = byte == b'"' && !escaped;
            escaped = byte == b'\\' && !escaped;
            ends
        })?;
        labels.push((name.to_owned(), unescaped(&after[..end])));
        rest = &after[end + 1..];
    }
}

fn unescaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some('n') => out.push('\n'),
                Some(other) => out.push(other),
                None => out.push('\\'),
            },
            c => out.push(c),
        }
    }
    out
}

fn escape(text: &str, out: &mut String) {
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '"' => out.push_str("\\\""),
            '\n' => out.push_str("\\n"),
            c => out.push(c),
        }
    }
}

/// Writes a family under `name`, with `constant` labels behind its own.
pub(super) fn write(family: &Family, name: &str, constant: &[(String, String)], out: &mut String) {
    let kind = match family.kind {
        Kind::Counter => "counter",
        Kind::Gauge => "gauge",
        Kind::Histogram => "histogram",
        Kind::Summary => "summary",
    };
    if !family.help.is_empty() {
        let help = family.help.replace('\\', "\\\\").replace('\n', "\\n");
        let _ = writeln!(out, "# HELP {name} {help}");
    }
    let _ = writeln!(out, "# TYPE {name} {kind}");
    for sample in &family.samples {
        out.push_str(name);
        out.push_str(sample.suffix);
        let own = sample.labels.iter();
        let added = constant
            .iter()
            .filter(|(name, _)| sample.labels.iter().all(|(own, _)| own != name));
        for (nth, (label, value)) in own.chain(added).enumerate() {
            out.push(if nth == 0 { '{' } else { ',' });
            let _ = write!(out, "{label}=\"");
            escape(value, out);
            out.push('"');
        }
        if !(sample.labels.is_empty() && constant.is_empty()) {
            out.push('}');
        }
        let _ = match sample.value {
            Value::Count(count) => writeln!(out, " {count}"),
            Value::Float(value) if value == f64::INFINITY => writeln!(out, " +Inf"),
            Value::Float(value) if value == f64::NEG_INFINITY => writeln!(out, " -Inf"),
            Value::Float(value) => writeln!(out, " {value}"),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use metrics_exporter_prometheus::PrometheusBuilder;
    use proptest::prelude::*;

    /// Everything that the recorder can write, with whatever stands in a label.
    fn page(label: &str, count: u64, gauge: f64) -> String {
        let recorder = PrometheusBuilder::new()
            .set_buckets_for_metric(
                metrics_exporter_prometheus::Matcher::Prefix("hist".to_owned()),
                &[1.0, 10.0],
            )
            .unwrap()
            .build_recorder();
        let handle = recorder.handle();
        metrics::with_local_recorder(&recorder, || {
            metrics::describe_counter!("count", "what \"it\" is");
            metrics::counter!("count", "label" => label.to_owned(), "other" => "x").increment(count);
            metrics::counter!("bare").increment(1);
            metrics::gauge!("gauge", "label" => label.to_owned()).set(gauge);
            metrics::histogram!("hist_size", "label" => label.to_owned()).record(3.0);
            metrics::histogram!("summary").record(0.5);
        });
        handle.render()
    }

    #[test]
    fn every_kind_is_read_back() {
        let families = parse(&page("a", 7, 1.5));
        let find = |name: &str| families.iter().find(|it| it.name == name).unwrap();
        let count = find("count");
        assert_eq!(
            (count.kind, count.help.as_ref()),
            (Kind::Counter, "what \"it\" is")
        );
        assert_eq!(count.samples[0].value, Value::Count(7));
        assert_eq!(find("bare").samples[0].labels, []);
        assert_eq!(find("gauge").samples[0].value, Value::Float(1.5));
        let hist = find("hist_size");
        assert_eq!((hist.kind, hist.samples.len()), (Kind::Histogram, 5));
        assert!(
            hist.samples
                .iter()
                .any(|it| it.suffix == "_sum" && it.value == Value::Float(3.0))
        );
        assert_eq!(find("summary").kind, Kind::Summary);
        assert_eq!(families.len(), 5);
    }

    proptest! {
        /// Without backslashes: the recorder takes two of them for one that is escaped already.
        #[test]
        fn nothing_is_lost_between_reading_and_writing(label in "[^\\\\]*", count: u64, gauge: f64) {
            let families = parse(&page(&label, count, gauge));
            let mut again = String::new();
            for family in &families {
                write(family, &family.name, &[], &mut again);
            }
            let reread = parse(&again);
            prop_assert_eq!(format!("{reread:?}"), format!("{families:?}"));
            let counted = families.iter().find(|it| it.name == "count").unwrap();
            prop_assert_eq!(&counted.samples[0].labels[0].1, &label);
            prop_assert_eq!(counted.samples[0].value, Value::Count(count));
        }

        #[test]
        fn no_page_makes_it_panic(page in "(# (TYPE|HELP) [a-z]{0,3} [a-z]{0,9}\n|[a-z_]{0,9}[{]?[a-z\"=\\\\,]{0,9}[}]? [0-9.]{0,3}\n){0,9}") {
            parse(&page);
        }
    }
}
