//! Switches a flag in a file of flagd's flag definitions.
//!
//! flagd has no API that writes: it, and the OpenFeature providers that evaluate in the process, watch a
//! file. So the file is read, one value of one flag is set ([`document`]), and a new file takes its place
//! by a rename: whoever reads sees the one or the other, never half of it. The version of a flag is that of
//! the whole file: when somebody has written between our read and our write, nothing is written and it is
//! read again. The last comparison stands right before the rename, after the new file is on disk; no file
//! system has a rename that compares, so a writer in those microseconds is overwritten.
//!
//! A disabled flag gives callers the default in their own code, which may be the new path: where it is,
//! `serve` the safe variant. Rejected: writing into the file in place, because readers would see it empty
//! for a moment; and replacing a link by a file, because a `ConfigMap`'s mount is made of links that its
//! next update needs.

mod document;
mod file;

use super::ability::{Abilities, Ability};
use super::exporter::{Actuator, FlagState, FlagWarning, Outcome, ReadBack, Reading, Warnings};
use super::scrub::Scrubber;
use super::trouble::Trouble;
use super::{ActError, RuleTarget};
use crate::config::FlagdExporter;
use crate::decide::{Action, Decision, FailureReason};
use crate::policy::SafeState;
use crate::time::UnixNanos;
use document::Flag;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// One configured file.
#[derive(Debug)]
pub struct Flagd {
    path: PathBuf,
    /// Two decisions about one file, one after the other.
    turn: tokio::sync::Mutex<()>,
}

impl Flagd {
    /// Checks a configuration; the file is not opened.
    pub fn new(config: &FlagdExporter) -> Result<Self, ActError> {
        if config.path.as_os_str().is_empty() {
            return Err(ActError::Invalid {
                exporter: config.id.clone(),
                key: "path".to_owned(),
                problem: "is empty; it is the file that flagd reads".to_owned(),
            });
        }
        Ok(Self {
            path: config.path.clone(),
            turn: tokio::sync::Mutex::new(()),
        })
    }

    /// Work with files, beside the runtime.
    async fn beside<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Path) -> Result<T, Trouble> + Send + 'static,
    ) -> Result<T, Trouble> {
        let path = self.path.clone();
        let done = tokio::task::spawn_blocking(move || work(&path)).await;
        done.unwrap_or_else(|e| Err(Trouble::down(format!("the file's work did not end: {e}"))))
    }
}

impl Actuator for Flagd {
    fn abilities(&self) -> Abilities {
        Abilities::of([Ability::Off, Ability::On, Ability::Serve])
    }

    /// Reads the flag, tries what would be done with it, and makes a file beside it that it takes away again.
    async fn preflight(&self, target: &RuleTarget, _: UnixNanos) -> Warnings {
        let target = target.clone();
        self.beside(move |path| {
            let text = file::read(path)?;
            let flag = Flag::find(&text, &target.flag)?;
            flag.with(&target.action)?;
            file::probe(path)?;
            Ok(warnings(&flag, &target))
        })
        .await
    }

    async fn carry_out(&self, decision: &Decision, version: Option<&str>, _: UnixNanos) -> Outcome {
        let Action::Switch { to } = decision.action.clone() else {
            return Err(rejected("it is not about a flag"));
        };
        let (name, version) = (decision.flag.clone(), version.map(ToOwned::to_owned));
        let _turn = self.turn.lock().await;
        self.beside(move |path| {
            let text = file::read(path)?;
            if version.is_some_and(|seen| seen != file::version(&text)) {
                return Err(changed());
            }
            match Flag::find(&text, &name)?.with(&to)? {
                Some(new) => file::replace(path, &text, &new),
                None => Ok(()),
            }
        })
        .await
    }

    async fn read_back(&self, decision: &Decision, _: UnixNanos) -> ReadBack {
        let Action::Switch { to } = decision.action.clone() else {
            return Ok(None);
        };
        let name = decision.flag.clone();
        self.beside(move |path| {
            let text = file::read(path)?;
            let flag = Flag::find(&text, &name)?;
            let is_safe = match &to {
                SafeState::Off => flag.is_disabled(),
                SafeState::On => !flag.is_disabled(),
                // Nobody gets a variant of a flag that is off.
                SafeState::Serve { variant } => flag.serves(variant),
                SafeState::Rollout { .. } => false,
            };
            let state = if is_safe {
                FlagState::Safe
            } else {
                FlagState::Exposed
            };
            let version = Some(file::version(&text));
            Ok(Some(Reading {
                state,
                version,
                exposure: None,
            }))
        })
        .await
    }
}

/// Code that reads a flag has `false` as its own default nearly always, and that is what a disabled flag
/// gives it; and to serve a variant that may be blamed helps nobody.
fn warnings(flag: &Flag<'_>, target: &RuleTarget) -> Vec<FlagWarning> {
    let on: Arc<str> = "on".into();
    let blamed = target.variants.as_deref().unwrap_or(std::slice::from_ref(&on));
    let is_in_vain = match &target.action {
        SafeState::Off => blamed
            .iter()
            .any(|it| flag.value_of(it) == Some(Value::Bool(false))),
        // Unless it is named, what is served is never blamed.
        SafeState::Serve { variant } => target.variants.iter().flatten().any(|it| **it == **variant),
        SafeState::On | SafeState::Rollout { .. } => false,
    };
    is_in_vain
        .then_some(FlagWarning::OffServesBlamed)
        .into_iter()
        .collect()
}

fn changed() -> Trouble {
    Trouble::Retry {
        after: None,
        down: false,
        detail: "the file has changed since it was read".to_owned(),
    }
}

fn clean(text: &str) -> String {
    Scrubber::default().clean(text)
}

fn rejected(words: &str) -> Trouble {
    Trouble::Permanent {
        reason: FailureReason::Rejected,
        detail: words.to_owned(),
    }
}

#[cfg(test)]
mod tests;
