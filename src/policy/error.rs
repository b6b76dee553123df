//! What is wrong with policy files: every problem found, each with its place and the way out.

use super::place::Place;
use std::fmt;

/// One problem.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyProblem {
    /// Where.
    pub place: Place,
    /// What is wrong, and what to do.
    pub message: String,
}

impl fmt::Display for PolicyProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.message)
    }
}

/// The policies cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct PolicyError {
    /// At least one, in the order of files and lines.
    pub problems: Vec<PolicyProblem>,
}

impl fmt::Display for PolicyError {
    /// One line a problem.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, problem) in self.problems.iter().enumerate() {
            if i > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{problem}")?;
        }
        Ok(())
    }
}

/// The candidate nearest to a misspelt `word`, if one is near enough to be meant.
pub(super) fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word = word.to_lowercase();
    let distance = |c: &str| strsim::damerau_levenshtein(&word, &c.to_lowercase());
    let near = candidates
        .into_iter()
        .map(|c| (distance(c), c))
        .min_by_key(|n| n.0);
    near.filter(|(d, c)| *d <= (c.len() / 3).max(1)).map(|(_, c)| c)
}

/// A list for people: `a, b or c`.
pub(super) fn one_of(words: &[&str]) -> String {
    match words {
        [] => String::new(),
        [only] => (*only).to_owned(),
        [head @ .., last] => format!("{} or {last}", head.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_finds_the_key_that_was_meant_and_nonsense_finds_none() {
        let keys = ["service", "environment", "slos", "kill_switches"];
        assert_eq!(nearest("enviroment", keys), Some("environment"));
        assert_eq!(nearest("killswitches", keys), Some("kill_switches"));
        assert_eq!(nearest("slo", keys), Some("slos"));
        assert_eq!(nearest("budgeting", keys), None);
    }

    #[test]
    fn lists_read_like_speech() {
        assert_eq!(one_of(&["a", "b", "c"]), "a, b or c");
        assert_eq!(one_of(&["a"]), "a");
    }
}
