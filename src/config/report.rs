//! What was found wrong, or odd, while a configuration is read; and which keys and files it was read from.

use super::Unsupported;
use super::error::{Place, Problem};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

/// How the warning about a variable that is not set begins.
pub(super) const UNSET: &str = "the environment variable ";

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Report {
    unsupported: Unsupported,
    problems: RefCell<Vec<Problem>>,
    warnings: RefCell<Vec<Problem>>,
    /// What was left out because it is not supported, by path.
    dropped: RefCell<Vec<String>>,
    /// Keys that were asked for, and whether they were there.
    keys: RefCell<BTreeMap<String, bool>>,
    /// Keys that hold secrets.
    secrets: RefCell<BTreeSet<String>>,
    /// Files that values came from.
    files: RefCell<Vec<PathBuf>>,
}

impl Report {
    pub(super) fn new(unsupported: Unsupported) -> Self {
        Self {
            unsupported,
            ..Self::default()
        }
    }

    pub(super) fn problem(&self, at: Option<Place>, path: &str, message: impl Into<String>) {
        push(&self.problems, at, path, message.into());
    }

    pub(super) fn warn(&self, at: Place, path: &str, message: &str) {
        push(&self.warnings, Some(at), path, message.to_owned());
    }

    /// Something that runs in a Collector and not here: wrong, or left out with a warning, as the user wants
    /// it.
    pub(super) fn unsupported(&self, at: Place, path: &str, message: &str) {
        match self.unsupported {
            Unsupported::Error => self.problem(Some(at), path, message),
            Unsupported::Warn => self.drop_out(at, path, message),
        }
    }

    /// Leaves out what cannot be there without something else that was left out.
    pub(super) fn drop_out(&self, at: Place, path: &str, message: &str) {
        self.warn(at, path, &format!("left out: {message}"));
        self.dropped.borrow_mut().push(path.to_owned());
    }

    /// Whether what stands at `path` was left out.
    pub(super) fn is_dropped(&self, path: &str) -> bool {
        self.dropped.borrow().iter().any(|it| it == path)
    }

    /// A key was asked for.
    pub(super) fn key(&self, path: String, found: bool) {
        *self.keys.borrow_mut().entry(path).or_default() |= found;
    }

    /// A key holds a secret.
    pub(super) fn secret(&self, path: String) {
        self.secrets.borrow_mut().insert(path);
    }

    /// Whether the key at `path` was read as a secret.
    pub(super) fn is_secret(&self, path: &str) -> bool {
        self.secrets.borrow().contains(path)
    }

    /// A value came from a file.
    pub(super) fn file(&self, path: PathBuf) {
        let mut files = self.files.borrow_mut();
        if !files.contains(&path) {
            files.push(path);
        }
    }

    /// Everything, in the order of the files.
    pub(super) fn finish(self) -> Found {
        let mut problems = self.problems.into_inner();
        let mut warnings = self.warnings.into_inner();
        for all in [&mut problems, &mut warnings] {
            all.sort_by_key(|it| it.at.map_or((0, 0, 0), |at| (at.source, at.line, at.column)));
        }
        // A value that is wrong because it is empty, and empty because a variable is not set.
        for problem in &mut problems {
            let of_variable = |it: &&Problem| it.path == problem.path && it.message.starts_with(UNSET);
            let cause = warnings.iter().find(of_variable);
            if let Some(cause) = cause.filter(|_| !problem.message.contains(UNSET)) {
                problem.message = format!("{}; {}", problem.message, cause.message);
            }
        }
        Found {
            problems,
            warnings,
            dropped: self.dropped.into_inner(),
            #[cfg(test)]
            keys: self.keys.into_inner(),
            files: self.files.into_inner(),
        }
    }
}

/// What a report comes to.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) problems: Vec<Problem>,
    pub(super) warnings: Vec<Problem>,
    pub(super) dropped: Vec<String>,
    #[cfg(test)]
    pub(super) keys: BTreeMap<String, bool>,
    pub(super) files: Vec<PathBuf>,
}

fn push(all: &RefCell<Vec<Problem>>, at: Option<Place>, path: &str, message: String) {
    let problem = Problem {
        at,
        path: path.to_owned(),
        message,
    };
    let mut all = all.borrow_mut();
    if !all.contains(&problem) {
        all.push(problem);
    }
}
