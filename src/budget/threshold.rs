//! A burn-rate threshold (or any other factor that is compared exactly), in integer millionths.

use super::decimal::{self, DecimalError};
use super::target::NumberText;
use serde::de::{Deserialize, Deserializer};
use std::fmt;
use std::marker::PhantomData;
use std::str::FromStr;

/// A factor such as 14.4, exact to a millionth.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Threshold {
    millionths: u64,
}

/// Why a threshold was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ThresholdError {
    /// Not a number.
    #[error("a factor {0}; write it like 14.4")]
    Decimal(#[from] DecimalError),
}

impl Threshold {
    /// The factor one.
    pub const ONE: Self = Self::from_millionths(1_000_000);

    /// A threshold of so many millionths.
    pub const fn from_millionths(millionths: u64) -> Self {
        Self { millionths }
    }

    /// The threshold in millionths.
    pub const fn millionths(self) -> u64 {
        self.millionths
    }

    /// The threshold as a number for people.
    pub fn value(self) -> f64 {
        self.millionths as f64 / 1e6
    }
}

impl FromStr for Threshold {
    type Err = ThresholdError;

    fn from_str(text: &str) -> Result<Self, ThresholdError> {
        Ok(Self::from_millionths(decimal::parse(text.trim(), 6)?))
    }
}

impl fmt::Display for Threshold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        decimal::write(f, self.millionths, 6)
    }
}

impl serde::Serialize for Threshold {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(self.value())
    }
}

impl<'de> Deserialize<'de> for Threshold {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        number_text(deserializer, "a number such as 14.4")
    }
}

/// See [`NumberText`].
pub(super) fn number_text<'de, T, D>(deserializer: D, expecting: &'static str) -> Result<T, D::Error>
where
    T: FromStr<Err: fmt::Display>,
    D: Deserializer<'de>,
{
    deserializer.deserialize_any(NumberText(expecting, PhantomData))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thresholds_are_exact_to_a_millionth() {
        assert_eq!("14.4".parse(), Ok(Threshold::from_millionths(14_400_000)));
        assert_eq!("0.933333".parse(), Ok(Threshold::from_millionths(933_333)));
        assert!("0.9333333".parse::<Threshold>().is_err());
        assert!("-7".parse::<Threshold>().is_err());
        assert_eq!(Threshold::from_millionths(14_400_000).to_string(), "14.4");
    }

    #[test]
    fn yaml_numbers_and_texts_are_read_alike() {
        for yaml in ["14.4", "\"14.4\"", "14.400"] {
            assert_eq!(
                serde_saphyr::from_str::<Threshold>(yaml).unwrap().millionths(),
                14_400_000,
                "{yaml}"
            );
        }
        assert_eq!(
            serde_saphyr::from_str::<Threshold>("7").unwrap().millionths(),
            7_000_000
        );
    }
}
