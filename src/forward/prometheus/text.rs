//! The exposition formats: Prometheus' text, and OpenMetrics.

use crate::forward::prom::{Family, FamilyKind, Sample, Series, Suffix, each_sample};
use std::fmt::Write as _;

/// A page while it is written.
#[derive(Debug)]
pub(super) struct Page {
    out: String,
    open_metrics: bool,
    timestamps: bool,
}

/// The names by which somebody else on the page may have a family: its own, and a counter's without `_total`.
pub(super) fn names_on_page(name: &str) -> impl Iterator<Item = &str> {
    [Some(name), name.strip_suffix("_total")].into_iter().flatten()
}

impl Page {
    pub(super) fn new(open_metrics: bool, timestamps: bool) -> Self {
        Self {
            out: String::new(),
            open_metrics,
            timestamps,
        }
    }

    /// One family, with those of its series that show.
    pub(super) fn family(&mut self, name: &str, family: &Family, series: &[&Series]) {
        if series.is_empty() {
            return;
        }
        // A counter of OpenMetrics is called without `_total`, which its samples have.
        let (called, kind) = match (self.open_metrics, family.kind, name.strip_suffix("_total")) {
            (true, FamilyKind::Counter, Some(stem)) => (stem, "counter"),
            (true, FamilyKind::Counter, None) => (name, "unknown"),
            (_, kind, _) => (name, kind.as_str()),
        };
        if !family.help.is_empty() {
            let mut help = family.help.replace('\\', r"\\").replace('\n', r"\n");
            if self.open_metrics {
                help = help.replace('"', "\\\"");
            }
            let _ = writeln!(self.out, "# HELP {called} {help}");
        }
        let _ = writeln!(self.out, "# TYPE {called} {kind}");
        for series in series {
            let mut lowest = f64::NEG_INFINITY;
            each_sample(series, |sample| {
                self.sample(name, family.kind, series, &sample, lowest);
                if let Some((_, bound)) = sample.extra {
                    lowest = bound;
                }
            });
            if self.open_metrics && series.start > 0 && kind != "gauge" && kind != "unknown" {
                let _ = write!(self.out, "{called}_created");
                self.labels(series, None);
                let _ = writeln!(self.out, " {}", series.start as f64 / 1e9);
            }
        }
    }

    fn sample(&mut self, name: &str, kind: FamilyKind, series: &Series, sample: &Sample, lowest: f64) {
        let _ = write!(self.out, "{name}{}", sample.suffix.as_str());
        self.labels(series, sample.extra);
        self.out.push(' ');
        number(&mut self.out, sample.value);
        if self.timestamps && series.time > 0 {
            let millis = series.time / 1_000_000;
            let _ = if self.open_metrics {
                write!(self.out, " {}.{:03}", millis / 1000, millis % 1000)
            } else {
                write!(self.out, " {millis}")
            };
        }
        if self.open_metrics {
            let fits = |value: f64| match (sample.suffix, sample.extra) {
                (Suffix::Bucket, Some((_, bound))) => value > lowest && value <= bound,
                (Suffix::None, None) => kind == FamilyKind::Counter && name.ends_with("_total"),
                _ => false,
            };
            self.example(series, fits);
        }
        self.out.push('\n');
    }

    /// The newest span that fits, behind its sample.
    fn example(&mut self, series: &Series, fits: impl Fn(f64) -> bool) {
        let Some(example) = series.examples.iter().rev().find(|example| fits(example.value)) else {
            return;
        };
        let _ = write!(self.out, " # {{trace_id=\"{}\"", hex::encode(&example.trace_id));
        if !example.span_id.is_empty() {
            let _ = write!(self.out, ",span_id=\"{}\"", hex::encode(&example.span_id));
        }
        self.out.push_str("} ");
        number(&mut self.out, example.value);
        if example.time > 0 {
            let _ = write!(self.out, " {}", example.time as f64 / 1e9);
        }
    }

    fn labels(&mut self, series: &Series, extra: Option<(&'static str, f64)>) {
        // `le` and `quantile` are the sample's own.
        let labels = series.labels.0.iter();
        let labels = labels.filter(|(name, _)| extra.is_none_or(|(own, _)| own != name));
        let mut separator = '{';
        for (name, value) in labels {
            let _ = write!(self.out, "{separator}{name}=\"");
            escape(&mut self.out, value);
            self.out.push('"');
            separator = ',';
        }
        if let Some((name, bound)) = extra {
            let _ = write!(self.out, "{separator}{name}=\"");
            if self.open_metrics {
                canonical(&mut self.out, bound);
            } else {
                number(&mut self.out, bound);
            }
            self.out.push('"');
            separator = ',';
        }
        if separator == ',' {
            self.out.push('}');
        }
    }

    pub(super) fn finish(self) -> String {
        self.out
    }
}

fn escape(out: &mut String, value: &str) {
    for c in value.chars() {
        match c {
            '\\' => out.push_str(r"\\"),
            '"' => out.push_str("\\\""),
            '\n' => out.push_str(r"\n"),
            c => out.push(c),
        }
    }
}

/// A value as both formats write it.
pub(in crate::forward) fn number(out: &mut String, value: f64) {
    let _ = match value {
        _ if value.is_nan() => write!(out, "NaN"),
        f64::INFINITY => write!(out, "+Inf"),
        f64::NEG_INFINITY => write!(out, "-Inf"),
        value => write!(out, "{value}"),
    };
}

/// A bound as OpenMetrics wants it: with a point.
fn canonical(out: &mut String, bound: f64) {
    if bound.is_finite() && bound.fract() == 0.0 && bound.abs() < 1e15 {
        let _ = write!(out, "{bound:.1}");
    } else {
        number(out, bound);
    }
}

/// Text of Prometheus' format as OpenMetrics: counters are called without `_total`, and those that do not
/// have it are of no known type. Without the end of the page.
pub fn to_open_metrics(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let counters: std::collections::HashSet<&str> = text
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE ")?.strip_suffix(" counter"))
        .collect();
    for line in text.lines().filter(|line| !line.is_empty()) {
        let meta = ["# HELP ", "# TYPE "]
            .into_iter()
            .find_map(|head| Some((head, line.strip_prefix(head)?)))
            .and_then(|(head, rest)| Some((head, rest.split_once(' ')?)));
        let _ = match meta {
            Some((head, (name, rest))) if counters.contains(name) => match name.strip_suffix("_total") {
                Some(stem) => writeln!(out, "{head}{stem} {rest}"),
                None if rest == "counter" => writeln!(out, "{head}{name} unknown"),
                None => writeln!(out, "{head}{name} {rest}"),
            },
            _ => writeln!(out, "{line}"),
        };
    }
    out
}
