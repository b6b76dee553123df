//! An alert in one line: `5m > 14 and 1h > 7 for 5m`.

/// The parts of the line, as text: (window, threshold) pairs and the hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ShortForm<'a> {
    pub(super) windows: Vec<(&'a str, &'a str)>,
    pub(super) hold: Option<&'a str>,
}

/// Takes the line apart; what the parts mean is checked by whoever reads them.
pub(super) fn parse(line: &str) -> Result<ShortForm<'_>, String> {
    let wrong = |what: &str| format!("{what}; write it like \"5m > 14 and 1h > 7 for 5m\"");
    let (conditions, hold) = match line.split_once(" for ") {
        Some((conditions, hold)) => (conditions, Some(hold.trim())),
        None => (line, None),
    };
    let pair = |condition: &'_ str| -> Result<(usize, usize), String> {
        if condition.contains(['<', '=']) {
            return Err(wrong("a burn rate is compared with > only"));
        }
        let at = condition
            .find('>')
            .ok_or_else(|| wrong(&format!("\"{}\" has no >", condition.trim())))?;
        Ok((at, at + 1))
    };
    let mut windows = Vec::new();
    for condition in conditions.split(" and ") {
        let (end, start) = pair(condition)?;
        let (window, threshold) = (condition.get(..end), condition.get(start..));
        let window = window.unwrap_or_default().trim();
        let window = window.strip_prefix("burn").map_or(window, str::trim);
        windows.push((window, threshold.unwrap_or_default().trim()));
    }
    Ok(ShortForm { windows, hold })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_line_is_taken_apart() {
        let form = parse("5m > 14 and 1h > 7 for 5m").unwrap();
        assert_eq!(
            form,
            ShortForm {
                windows: vec![("5m", "14"), ("1h", "7")],
                hold: Some("5m")
            }
        );
        assert_eq!(
            parse("burn5m>8 and burn6h>2").unwrap().windows,
            [("5m", "8"), ("6h", "2")]
        );
    }

    #[test]
    fn other_comparisons_are_refused() {
        for line in ["5m >= 14", "5m < 14", "5m 14", ""] {
            assert!(parse(line).is_err(), "{line}");
        }
    }

    proptest! {
        #[test]
        fn no_line_panics(line in "\\PC{0,60}") {
            let _ = parse(&line);
        }
    }
}
