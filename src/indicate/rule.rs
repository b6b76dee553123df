//! When an indicator becomes active, and when it ceases to be.

use crate::config::{format_duration, parse_duration};
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// Longest `for`.
const HOLD_SECS_MAX: u64 = 86_400;

/// A comparison that must hold for a time: `> 0.9 for 1m`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bound {
    /// Whether the value must lie above the threshold; else below.
    pub above: bool,
    /// The threshold; a value equal to it is on neither side.
    pub threshold: f64,
    /// At every look for so long, in seconds.
    pub for_secs: u64,
}

/// The two bounds of an indicator. What lies between them changes nothing, so that a value near a threshold
/// does not make the indicator flap.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rule {
    /// It becomes active where this holds.
    pub enter: Bound,
    /// It ceases to be where this holds; None: as soon as `enter` does not hold.
    pub leave: Option<Bound>,
}

impl Bound {
    /// Whether `value` lies on the bound's side.
    pub fn holds(&self, value: f64) -> bool {
        if self.above {
            value > self.threshold
        } else {
            value < self.threshold
        }
    }
}

impl Rule {
    /// A rule whose bounds do not contradict each other.
    pub fn new(enter: Bound, leave: Option<Bound>) -> Result<Self, String> {
        if let Some(leave) = leave {
            if leave.above == enter.above {
                return Err(format!(
                    "it would enter and leave on the same side: enter is \"{enter}\", so leave is written with {}",
                    if enter.above { "<" } else { ">" }
                ));
            }
            let crossed = if enter.above {
                leave.threshold > enter.threshold
            } else {
                leave.threshold < enter.threshold
            };
            if crossed {
                return Err(format!(
                    "\"{leave}\" would hold where \"{enter}\" does, so that it would enter and leave at once"
                ));
            }
        }
        Ok(Self { enter, leave })
    }

    /// Whether `value` lets an active indicator go.
    pub fn lets_go(&self, value: f64) -> bool {
        match self.leave {
            Some(leave) => leave.holds(value),
            None => !self.enter.holds(value),
        }
    }

    /// How long it must be let go before it ceases.
    pub fn leave_secs(&self) -> u64 {
        self.leave.map_or(0, |leave| leave.for_secs)
    }

    /// The worse of two values.
    pub fn worse(&self, a: f64, b: f64) -> f64 {
        if self.enter.above { a.max(b) } else { a.min(b) }
    }
}

impl FromStr for Bound {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = |what: &str| format!("{what}; write it like \"> 0.9\" or \"> 0.9 for 1m\"");
        let text = text.trim();
        let (above, rest) = match (text.strip_prefix('>'), text.strip_prefix('<')) {
            (Some(rest), _) => (true, rest),
            (_, Some(rest)) => (false, rest),
            _ => return Err(wrong("it begins with > or <")),
        };
        if rest.starts_with('=') {
            return Err(wrong(
                "there is no >= and no <=: a value equal to the threshold is on neither side",
            ));
        }
        let (number, hold) = match rest.split_once(" for ") {
            Some((number, hold)) => (number.trim(), Some(hold.trim())),
            None => (rest.trim(), None),
        };
        let threshold: Option<f64> = match number.strip_suffix('%') {
            Some(percent) => percent.trim().parse().ok().map(|it: f64| it / 100.0),
            None => number.parse().ok(),
        };
        let threshold = threshold.filter(|it| it.is_finite());
        let threshold = threshold.ok_or_else(|| wrong(&format!("\"{number}\" is no number")))?;
        let for_secs = match hold {
            None => 0,
            Some(hold) => parse_duration(hold)
                .filter(|it| it.subsec_nanos() == 0 && it.as_secs() <= HOLD_SECS_MAX)
                .ok_or_else(|| wrong(&format!("\"{hold}\" is no duration in whole seconds up to 24h")))?
                .as_secs(),
        };
        Ok(Self {
            above,
            threshold,
            for_secs,
        })
    }
}

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", if self.above { '>' } else { '<' }, self.threshold)?;
        if self.for_secs > 0 {
            write!(f, " for {}", format_duration(Duration::from_secs(self.for_secs)))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn bounds_read_like_speech() {
        let bound = |above, threshold, for_secs| Bound {
            above,
            threshold,
            for_secs,
        };
        assert_eq!("> 0.9 for 1m".parse(), Ok(bound(true, 0.9, 60)));
        assert_eq!("<5%".parse(), Ok(bound(false, 0.05, 0)));
        assert_eq!("< -2".parse(), Ok(bound(false, -2.0, 0)));
        for wrong in [
            "0.9",
            ">= 1",
            "> x",
            "> 1 for",
            "> 1 for 1.5s",
            "> 1 for 25h",
            "> inf",
            "",
        ] {
            assert!(wrong.parse::<Bound>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn bounds_that_contradict_each_other_are_refused() {
        let rule = |enter: &str, leave: &str| Rule::new(enter.parse().unwrap(), Some(leave.parse().unwrap()));
        assert!(rule("> 0.9", "< 0.8").is_ok());
        assert!(rule("> 0.9", "> 0.8").is_err());
        assert!(rule("> 0.9", "< 0.95").is_err());
        assert!(rule("< 10", "> 5").is_err());
        assert!(rule("< 10", "> 20").is_ok());
    }

    proptest! {
        #[test]
        fn printing_and_reading_are_inverse(above: bool, threshold in -1e9_f64..1e9, for_secs in 0_u64..HOLD_SECS_MAX) {
            let bound = Bound { above, threshold, for_secs };
            prop_assert_eq!(bound.to_string().parse(), Ok(bound));
        }

        #[test]
        fn no_text_panics(text in "[<>= 0-9a-z.%-]{0,20}") {
            let _ = text.parse::<Bound>();
        }
    }
}
