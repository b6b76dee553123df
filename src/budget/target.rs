//! An SLO's target, kept as its error budget in integer parts per billion.

use super::decimal::{self, DecimalError};
use serde::de::{self, Deserialize, Deserializer, Visitor};
use std::fmt;
use std::str::FromStr;

const BILLION: u64 = 1_000_000_000;

/// An SLO target such as 99.95 %, exact.
///
/// Written as `99.95%`, `99.95 %`, `0.9995` or `99.95`. A bare number above 1 means percent, one up to 1
/// means a fraction. 100 % is refused, since it leaves no budget and any burn rate would be infinite; so is 0
/// %, which promises nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Target {
    budget_ppb: u64,
}

/// Why a target was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// Not a number.
    #[error("a target {0}; write it like 99.95% or 0.9995")]
    Decimal(#[from] DecimalError),
    /// 100 % or more.
    #[error(
        "a target of 100 % or more leaves no error budget, so no burn rate exists; choose one below 100 %"
    )]
    NoBudget,
    /// 0 %.
    #[error("a target of 0 % promises nothing, so its budget can never be spent; choose one above 0 %")]
    NoPromise,
}

impl Target {
    /// The target that leaves `budget_ppb` parts per billion for errors.
    pub const fn from_budget_ppb(budget_ppb: u64) -> Result<Self, TargetError> {
        match budget_ppb {
            0 => Err(TargetError::NoBudget),
            BILLION.. => Err(TargetError::NoPromise),
            _ => Ok(Self { budget_ppb }),
        }
    }

    /// Share of events that may be bad, in parts per billion: above 0 and below 1,000,000,000.
    pub const fn budget_ppb(self) -> u64 {
        self.budget_ppb
    }

    /// Share of events that may be bad.
    pub fn budget_ratio(self) -> f64 {
        self.budget_ppb as f64 / BILLION as f64
    }

    /// Share of events that must be good.
    pub fn ratio(self) -> f64 {
        (BILLION - self.budget_ppb) as f64 / BILLION as f64
    }

    /// The highest burn rate that exists: every event bad.
    pub fn max_burn(self) -> f64 {
        BILLION as f64 / self.budget_ppb as f64
    }

    fn from_good_ppb(good: u64) -> Result<Self, TargetError> {
        Self::from_budget_ppb(BILLION.saturating_sub(good))
    }
}

impl FromStr for Target {
    type Err = TargetError;

    fn from_str(text: &str) -> Result<Self, TargetError> {
        let text = text.trim();
        if let Some(percent) = text.strip_suffix('%') {
            return Self::from_good_ppb(decimal::parse(percent.trim_end(), 7)?);
        }
        // A fraction has at most nine digits that matter, a percentage seven: read as a fraction first.
        match decimal::parse(text, 9) {
            Ok(fraction) if fraction <= BILLION => Self::from_good_ppb(fraction),
            Err(e @ (DecimalError::NotANumber | DecimalError::TooFine(_))) => Err(e.into()),
            Ok(_) | Err(DecimalError::TooLarge) => Self::from_good_ppb(decimal::parse(text, 7)?),
        }
    }
}

impl fmt::Display for Target {
    /// Percent, exact: `99.95%`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        decimal::write(f, BILLION - self.budget_ppb, 7)?;
        f.write_str("%")
    }
}

impl serde::Serialize for Target {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Target {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        super::threshold::number_text(deserializer, "a target such as 99.95% or 0.9995")
    }
}

/// Reads a number or a text as `T`, by the number's shortest decimal text; so `99.95` in YAML is 99.95, not
/// its neighbour.
pub(super) struct NumberText<T>(pub(super) &'static str, pub(super) std::marker::PhantomData<T>);

impl<T: FromStr<Err: fmt::Display>> Visitor<'_> for NumberText<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        text.parse().map_err(E::custom)
    }

    fn visit_f64<E: de::Error>(self, number: f64) -> Result<T, E> {
        self.visit_str(&number.to_string())
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<T, E> {
        self.visit_str(&number.to_string())
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<T, E> {
        self.visit_str(&number.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_spelling_of_a_target_means_the_same() {
        for text in [
            "99.95%", "99.95 %", " 99.95% ", "0.9995", "99.95", ".9995", "99.9500",
        ] {
            assert_eq!(
                text.parse::<Target>().map(Target::budget_ppb),
                Ok(500_000),
                "{text}"
            );
        }
    }

    #[test]
    fn v1_nines_have_their_budgets() {
        for (text, ppb) in [
            ("90%", 100_000_000),
            ("99.9%", 1_000_000),
            ("99.99%", 100_000),
            ("99.9999999%", 1),
        ] {
            assert_eq!(text.parse::<Target>().map(Target::budget_ppb), Ok(ppb), "{text}");
        }
    }

    #[test]
    fn a_bare_number_up_to_one_is_a_fraction_above_it_percent() {
        assert_eq!("0.5".parse::<Target>().map(Target::budget_ppb), Ok(500_000_000));
        assert_eq!("0.5%".parse::<Target>().map(Target::budget_ppb), Ok(995_000_000));
        assert_eq!("1.5".parse::<Target>().map(Target::budget_ppb), Ok(985_000_000));
    }

    #[test]
    fn a_whole_and_a_zero_target_are_refused_with_the_reason() {
        for text in ["100%", "100", "1", "1.0", "250%", "100.0000001"] {
            assert_eq!(text.parse::<Target>(), Err(TargetError::NoBudget), "{text}");
        }
        for text in ["0", "0%", "0.0"] {
            assert_eq!(text.parse::<Target>(), Err(TargetError::NoPromise), "{text}");
        }
        for text in ["", "%", "99,9%", "-1", "high", "0.99999999999", "99.99999999999"] {
            assert!(
                matches!(text.parse::<Target>(), Err(TargetError::Decimal(_))),
                "{text}"
            );
        }
    }

    #[test]
    fn yaml_numbers_and_texts_are_read_alike() {
        for yaml in ["99.95", "99.95%", "\"99.95%\"", "0.9995"] {
            let target: Target = serde_saphyr::from_str(yaml).unwrap();
            assert_eq!(target.budget_ppb(), 500_000, "{yaml}");
        }
    }

    proptest! {
        #[test]
        fn what_is_shown_is_read_back(ppb in 1..BILLION) {
            let target = Target::from_budget_ppb(ppb).unwrap();
            prop_assert_eq!(target.to_string().parse::<Target>(), Ok(target));
        }

        #[test]
        fn no_text_panics(text in "\\PC{0,30}") {
            let _ = text.parse::<Target>();
        }
    }
}
