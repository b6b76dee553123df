//! Which metric a name means.
//!
//! Problem: one metric has many spellings. `jvm.gc.duration` in seconds is `jvm_gc_duration_seconds` in
//! Prometheus, its sum is `jvm_gc_duration_seconds_sum`, and a Collector that scraped it sends the Prometheus
//! name over OTLP. Property wanted: a formula may use any of them. So names are compared by their words, dots
//! and underscores alike, without `_total`; a metric answers to its name with its unit behind it as well; and
//! `_sum`, `_count` and `_bucket` name a part of a histogram or a summary.

use super::formula::Shape;

/// What of a metric is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Part {
    /// The value of a sum or gauge; of a histogram or summary how many measurements there were.
    Whole,
    /// The sum of the measurements of a histogram or summary.
    Sum,
    /// How many measurements there were in a histogram or summary.
    Count,
}

/// Units whose words Prometheus puts behind a name.
const UNITS: [(&str, &str); 18] = [
    ("s", "seconds"),
    ("ms", "milliseconds"),
    ("us", "microseconds"),
    ("ns", "nanoseconds"),
    ("min", "minutes"),
    ("h", "hours"),
    ("d", "days"),
    ("By", "bytes"),
    ("KiBy", "kibibytes"),
    ("MiBy", "mebibytes"),
    ("GiBy", "gibibytes"),
    ("kBy", "kilobytes"),
    ("MBy", "megabytes"),
    ("GBy", "gigabytes"),
    ("%", "percent"),
    ("Hz", "hertz"),
    ("Cel", "celsius"),
    ("1", "ratio"),
];

/// The words of a name with `_` between them, without a `total` behind.
pub(super) fn stem_into(name: &str, stem: &mut String) {
    stem.clear();
    for word in name.split(|c: char| !c.is_ascii_alphanumeric() && c != ':') {
        if word.is_empty() {
            continue;
        }
        if !stem.is_empty() {
            stem.push('_');
        }
        stem.push_str(word);
    }
    if let Some(rest) = stem.strip_suffix("_total") {
        stem.truncate(rest.len());
    }
}

/// The word that a unit adds to a name, if it adds one. A unit that is no known sign is a word itself; what
/// stands in braces is a remark.
pub(super) fn unit_word(unit: &str) -> Option<&str> {
    let known = UNITS.iter().find(|(known, _)| *known == unit);
    let is_word = !unit.is_empty() && unit.chars().all(|c| c.is_ascii_alphanumeric());
    known.map(|(_, word)| *word).or(is_word.then_some(unit))
}

/// What metrics may be called that a formula means by `name`, and which part of them.
pub(super) fn stems(name: &str, shape: Shape) -> Vec<(String, Part)> {
    let mut stem = String::new();
    stem_into(name, &mut stem);
    let suffixes = match shape {
        Shape::Distribution => [("_bucket", Part::Whole), ("", Part::Whole), ("", Part::Whole)],
        Shape::Flow | Shape::Level | Shape::Keyed => [
            ("_sum", Part::Sum),
            ("_count", Part::Count),
            ("_bucket", Part::Count),
        ],
    };
    let parts: Vec<(String, Part)> = suffixes
        .iter()
        .filter(|(suffix, _)| !suffix.is_empty())
        .filter_map(|(suffix, part)| {
            let rest = stem.strip_suffix(suffix).filter(|rest| !rest.is_empty())?;
            Some((rest.to_owned(), *part))
        })
        .collect();
    let mut all = vec![(stem, Part::Whole)];
    all.extend(parts);
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stem(name: &str) -> String {
        let mut stem = String::new();
        stem_into(name, &mut stem);
        stem
    }

    #[test]
    fn spellings_of_one_name_share_a_stem() {
        for name in [
            "envoy.cluster.upstream_rq_pending_overflow",
            "envoy_cluster_upstream_rq_pending_overflow_total",
            "envoy/cluster-upstream.rq__pending_overflow",
        ] {
            assert_eq!(stem(name), "envoy_cluster_upstream_rq_pending_overflow", "{name}");
        }
        assert_eq!(stem("total"), "total");
        assert_eq!(stem("..."), "");
    }

    #[test]
    fn suffixes_name_parts_of_histograms() {
        assert_eq!(
            stems("gc_pause_seconds_sum", Shape::Flow),
            [
                ("gc_pause_seconds_sum".to_owned(), Part::Whole),
                ("gc_pause_seconds".to_owned(), Part::Sum)
            ]
        );
        assert_eq!(stems("a_count", Shape::Flow)[1], ("a".to_owned(), Part::Count));
        assert_eq!(
            stems("a_seconds_bucket", Shape::Distribution)[1],
            ("a_seconds".to_owned(), Part::Whole)
        );
        assert_eq!(stems("_sum", Shape::Flow).len(), 1);
    }
}
