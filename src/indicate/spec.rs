//! An indicator as it is declared, and which services have which.

use super::formula::Formula;
use super::rule::Rule;
use crate::sli::expr::Field;
use std::sync::Arc;

/// Attributes that one indicator may be told apart by.
pub const BY_MAX: usize = 3;
/// Longest name of an indicator, in bytes.
const NAME_BYTES_MAX: usize = 64;

/// One indicator.
#[derive(Clone, Debug, PartialEq)]
pub struct IndicatorSpec {
    /// Its name: lower-case letters, digits and `_`.
    pub name: Arc<str>,
    /// What it says, in a sentence; may be empty.
    pub description: Arc<str>,
    /// The unit of its value; may be empty.
    pub unit: Arc<str>,
    /// How its value is worked out.
    pub value: Formula,
    /// Each combination of these attributes is looked at by itself; the worst speaks for the service.
    pub by: Vec<Field>,
    /// When it is active.
    pub rule: Rule,
}

/// What one policy says of the indicators of its services.
#[derive(Clone, Debug, PartialEq)]
pub struct Layer {
    /// The policy's service: a name, or a glob with `*` and `?`.
    pub service: Arc<str>,
    /// Its environment; None is any.
    pub environment: Option<Arc<str>>,
    /// What it declares; a built-in of the same name gives way.
    pub indicators: Vec<Arc<IndicatorSpec>>,
    /// Built-ins that it turns off.
    pub off: Vec<Arc<str>>,
}

/// Whether `name` can name an indicator; the error says what can.
pub fn check_name(name: &str) -> Result<(), String> {
    let is_word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    if name.is_empty() || name.len() > NAME_BYTES_MAX {
        Err(format!("an indicator's name has 1 to {NAME_BYTES_MAX} bytes"))
    } else if !name.chars().all(is_word) || name.starts_with(|c: char| c.is_ascii_digit()) {
        Err(format!(
            "\"{name}\" cannot name an indicator; a name is lower-case letters, digits and _, such as pool_use"
        ))
    } else {
        Ok(())
    }
}
