//! The enums of OTLP by their names.

const SPAN_KINDS: [&str; 6] = [
    "UNSPECIFIED",
    "INTERNAL",
    "SERVER",
    "CLIENT",
    "PRODUCER",
    "CONSUMER",
];
const STATUS_CODES: [&str; 3] = ["UNSET", "OK", "ERROR"];
const SEVERITIES: [&str; 6] = ["TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL"];
const DATA_TYPES: [&str; 6] = [
    "NONE",
    "GAUGE",
    "SUM",
    "HISTOGRAM",
    "EXPONENTIAL_HISTOGRAM",
    "SUMMARY",
];
const TEMPORALITIES: [&str; 3] = ["UNSPECIFIED", "DELTA", "CUMULATIVE"];

/// The number behind a name such as `SPAN_KIND_SERVER`.
pub(super) fn number(name: &str) -> Option<i64> {
    let place = |names: &[&str], prefix: &str| {
        let rest = name.strip_prefix(prefix)?;
        let place = names.iter().position(|one| *one == rest)?;
        i64::try_from(place).ok()
    };
    place(&SPAN_KINDS, "SPAN_KIND_")
        .or_else(|| place(&STATUS_CODES, "STATUS_CODE_"))
        .or_else(|| place(&DATA_TYPES, "METRIC_DATA_TYPE_"))
        .or_else(|| place(&TEMPORALITIES, "AGGREGATION_TEMPORALITY_"))
        .or_else(|| severity(name.strip_prefix("SEVERITY_NUMBER_")?))
}

/// `INFO`, `INFO2` ... of four numbers each.
fn severity(name: &str) -> Option<i64> {
    if name == "UNSPECIFIED" {
        return Some(0);
    }
    let (name, step) = match name.as_bytes().last() {
        Some(digit @ b'2'..=b'4') => (name.get(..name.len() - 1)?, i64::from(digit - b'1')),
        _ => (name, 0),
    };
    let place = SEVERITIES.iter().position(|one| *one == name)?;
    Some(i64::try_from(place).ok()? * 4 + 1 + step)
}

/// The kind of a span in words, as `kind.string` has it.
pub(super) fn kind_text(number: i64) -> &'static str {
    match number {
        1 => "Internal",
        2 => "Server",
        3 => "Client",
        4 => "Producer",
        5 => "Consumer",
        _ => "Unspecified",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_the_numbers_of_the_protocol() {
        for (name, value) in [
            ("SPAN_KIND_UNSPECIFIED", 0),
            ("SPAN_KIND_SERVER", 2),
            ("STATUS_CODE_ERROR", 2),
            ("SEVERITY_NUMBER_UNSPECIFIED", 0),
            ("SEVERITY_NUMBER_TRACE", 1),
            ("SEVERITY_NUMBER_INFO", 9),
            ("SEVERITY_NUMBER_WARN3", 15),
            ("SEVERITY_NUMBER_FATAL4", 24),
            ("METRIC_DATA_TYPE_SUMMARY", 5),
            ("AGGREGATION_TEMPORALITY_DELTA", 1),
        ] {
            assert_eq!(number(name), Some(value), "{name}");
        }
        assert_eq!(number("SPAN_KIND_ROBOT"), None);
        assert_eq!(number("SEVERITY_NUMBER_INFO5"), None);
        assert_eq!(number("FALSE"), None);
    }
}
