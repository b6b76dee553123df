//! From paths and globs to policies.

use super::compile::{self, Document, Findings};
use super::error::{PolicyError, PolicyProblem};
use super::files;
use super::model::{Journey, Policy};
use super::place::{Place, Warning};
use super::raw;
use super::set::PolicySet;
use super::text_hash::TextHash;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

/// Reads every file that `patterns` (paths and globs, relative to `base`) name. A path must exist; a glob may
/// match nothing, with a warning.
pub fn load(patterns: &[String], base: &Path) -> Result<PolicySet, PolicyError> {
    let mut reader = Reader::default();
    for path in files::find(patterns, base, &mut reader.problems, &mut reader.warnings) {
        let name: Arc<str> = path.to_string_lossy().into();
        match files::read(&path) {
            Ok(text) => reader.read(&name, &text),
            Err(message) => reader.problems.push(PolicyProblem {
                place: whole(&name),
                message,
            }),
        }
    }
    reader.finish()
}

/// Reads policies from `text`; `name` stands for the file in errors.
pub fn from_text(name: &str, text: &str) -> Result<PolicySet, PolicyError> {
    let mut reader = Reader::default();
    reader.read(&name.into(), text);
    reader.finish()
}

fn whole(file: &Arc<str>) -> Place {
    Place {
        file: Arc::clone(file),
        line: 0,
        column: 0,
    }
}

/// Keeps the first of equal findings.
fn once<T>(findings: &mut Vec<T>, key: impl Fn(&T) -> (Place, String)) {
    let mut seen = BTreeSet::new();
    findings.retain(|finding| seen.insert(key(finding)));
}

/// The policies that have one service text and SLO name: their environments and places.
type Namesakes = Vec<(Option<Arc<str>>, Place)>;

#[derive(Default)]
struct Reader {
    policies: Vec<Arc<Policy>>,
    journeys: Vec<Arc<Journey>>,
    problems: Vec<PolicyProblem>,
    warnings: Vec<Warning>,
    text: TextHash,
}

impl Reader {
    fn read(&mut self, file: &Arc<str>, text: &str) {
        self.text.add(text);
        let documents = match raw::parse(file, text) {
            Ok(documents) => documents,
            Err(problem) => return self.problems.push(problem),
        };
        if documents.is_empty() {
            let message = "holds no policy".to_owned();
            self.warnings.push(Warning {
                place: whole(file),
                message,
            });
        }
        let mut findings = Findings::new(file);
        for document in &documents {
            match compile::document(document, &mut findings) {
                Some(Document::Service(policy)) => self.policies.push(Arc::new(policy)),
                Some(Document::Journey(journey)) => self.journeys.push(Arc::new(journey)),
                None => {}
            }
        }
        self.problems.append(&mut findings.problems);
        self.warnings.append(&mut findings.warnings);
    }

    fn finish(mut self) -> Result<PolicySet, PolicyError> {
        self.refuse_duplicates();
        // A policy's own alerts are compiled for each of its SLOs, so a finding there comes once for each.
        once(&mut self.problems, |p| (p.place.clone(), p.message.clone()));
        once(&mut self.warnings, |w| (w.place.clone(), w.message.clone()));
        if !self.problems.is_empty() {
            return Err(PolicyError {
                problems: self.problems,
            });
        }
        let set = PolicySet::new(self.policies, self.journeys, self.warnings).of_text(self.text);
        let problems = set.plan_problems();
        if problems.is_empty() {
            Ok(set.with_missing_parts())
        } else {
            Err(PolicyError { problems })
        }
    }

    /// Two policies may cover one service, but not with the same SLO in the same environment: an event would
    /// count twice.
    fn refuse_duplicates(&mut self) {
        let mut seen: BTreeMap<(String, Arc<str>), Namesakes> = BTreeMap::new();
        for policy in &self.policies {
            for slo in &policy.slos {
                let key = (policy.service.as_str().to_owned(), Arc::clone(&slo.name));
                let others = seen.entry(key).or_default();
                let overlaps = |e: &Option<Arc<str>>| {
                    e.is_none() || policy.environment.is_none() || *e == policy.environment
                };
                if let Some((_, first)) = others.iter().find(|(e, _)| overlaps(e)) {
                    let message = format!(
                        "the SLO \"{}\" of service \"{}\" is defined already at {first}, also for {}; \
                         rename it or give each policy its own environment",
                        slo.name,
                        policy.service.as_str(),
                        policy.environment.as_deref().unwrap_or("every environment"),
                    );
                    self.problems.push(PolicyProblem {
                        place: policy.place.clone(),
                        message,
                    });
                }
                others.push((policy.environment.clone(), policy.place.clone()));
            }
        }
    }
}
