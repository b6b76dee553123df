//! Names and units by OpenTelemetry's rules for Prometheus.

/// Units and the words that names end in.
const UNITS: [(&str, &str); 31] = [
    ("d", "days"),
    ("h", "hours"),
    ("min", "minutes"),
    ("s", "seconds"),
    ("ms", "milliseconds"),
    ("us", "microseconds"),
    ("ns", "nanoseconds"),
    ("By", "bytes"),
    ("KiBy", "kibibytes"),
    ("MiBy", "mebibytes"),
    ("GiBy", "gibibytes"),
    ("TiBy", "tibibytes"),
    ("KBy", "kilobytes"),
    ("kBy", "kilobytes"),
    ("MBy", "megabytes"),
    ("GBy", "gigabytes"),
    ("TBy", "terabytes"),
    ("bit", "bits"),
    ("m", "meters"),
    ("V", "volts"),
    ("A", "amperes"),
    ("J", "joules"),
    ("W", "watts"),
    ("g", "grams"),
    ("Cel", "celsius"),
    ("Hz", "hertz"),
    ("%", "percent"),
    ("1", ""),
    ("mo", "months"),
    ("y", "years"),
    ("w", "weeks"),
];

/// The same after `/`.
const PER: [(&str, &str); 7] = [
    ("s", "second"),
    ("m", "minute"),
    ("min", "minute"),
    ("h", "hour"),
    ("d", "day"),
    ("w", "week"),
    ("mo", "month"),
];

/// What a name depends on beside itself.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shape {
    /// A monotonic sum.
    pub(super) is_counter: bool,
    pub(super) is_gauge: bool,
}

/// Words of a name: what is neither letter, digit nor colon separates.
fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_ascii_alphanumeric() && c != ':')
        .filter(|word| !word.is_empty())
}

/// The words of a unit: `By/s` becomes `bytes` and `per_second`.
fn unit_words(unit: &str) -> (Vec<String>, Vec<String>) {
    let (main, per) = match unit.split_once('/') {
        Some((main, per)) => (main.trim(), per.trim()),
        None => (unit.trim(), ""),
    };
    let known = |table: &[(&str, &'static str)], unit: &str| {
        // What stands in braces is a remark, not a unit.
        if unit.contains(['{', '}']) {
            return String::new();
        }
        let found = table.iter().find(|(known, _)| *known == unit);
        found.map_or_else(|| unit.to_owned(), |(_, word)| (*word).to_owned())
    };
    let split = |text: String| words(&text).map(str::to_owned).collect::<Vec<_>>();
    let mut per = split(known(&PER, per));
    if !per.is_empty() {
        per.insert(0, "per".to_owned());
    }
    (split(known(&UNITS, main)), per)
}

/// The name of a family, without what tells its samples apart.
pub(super) fn family_name(namespace: &str, name: &str, unit: &str, shape: Shape, suffixes: bool) -> String {
    let mut all: Vec<String> = words(name).map(str::to_owned).collect();
    if suffixes {
        let (main, per) = unit_words(unit);
        for word in main.into_iter().chain(per) {
            if word == "per" || !all.contains(&word) {
                all.push(word);
            }
        }
        // `per` whose unit was in the name already says nothing.
        if all.last().is_some_and(|word| word == "per") {
            all.pop();
        }
        if shape.is_counter {
            all.retain(|word| word != "total");
            all.push("total".to_owned());
        }
        if shape.is_gauge && unit == "1" {
            all.retain(|word| word != "ratio");
            all.push("ratio".to_owned());
        }
    }
    let joined = words(namespace)
        .map(str::to_owned)
        .chain(all)
        .collect::<Vec<_>>()
        .join("_");
    if joined.starts_with(|c: char| c.is_ascii_digit()) || joined.is_empty() {
        return format!("_{joined}");
    }
    joined
}

/// The name that Prometheus has for a family, by the rules of this module.
pub(crate) fn prometheus_name(
    name: &str,
    unit: &str,
    is_counter: bool,
    is_gauge: bool,
    suffixes: bool,
) -> String {
    family_name("", name, unit, Shape { is_counter, is_gauge }, suffixes)
}

/// The name of a label: letters, digits and `_`, and nothing that Prometheus keeps for itself.
pub(super) fn label_name(key: &str) -> String {
    let mut name: String = key
        .chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() || c == '_' {
                c
            } else {
                '_'
            }
        })
        .collect();
    if name.starts_with(|c: char| c.is_ascii_digit()) {
        name.insert_str(0, "key_");
    } else if name.starts_with("__") || name.is_empty() {
        name.insert_str(0, "key");
    }
    name
}
