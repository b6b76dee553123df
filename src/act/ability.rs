//! What an exporter can do, so that a rule which asks for more is refused at start and not during an
//! incident.

use super::trouble::Trouble;
use crate::decide::{Action, FailureReason};
use crate::policy::SafeState;

/// One kind of action.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(missing_docs, reason = "the actions of policies, by their names")]
pub enum Ability {
    Off,
    On,
    Rollout,
    Serve,
    Probation,
    Rollback,
    Pause,
}

impl Ability {
    /// Every one.
    pub const ALL: [Self; 7] = [
        Self::Off,
        Self::On,
        Self::Rollout,
        Self::Serve,
        Self::Probation,
        Self::Rollback,
        Self::Pause,
    ];

    /// What `action` takes.
    pub const fn of(action: &Action) -> Self {
        match action {
            Action::Switch { to } => Self::of_state(to),
            Action::Expose { .. } => Self::Probation,
            Action::Rollback => Self::Rollback,
            Action::Pause => Self::Pause,
        }
    }

    const fn of_state(state: &SafeState) -> Self {
        match state {
            SafeState::Off => Self::Off,
            SafeState::On => Self::On,
            SafeState::Rollout { .. } => Self::Rollout,
            SafeState::Serve { .. } => Self::Serve,
        }
    }

    /// The name in policies.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::On => "on",
            Self::Rollout => "rollout",
            Self::Serve => "serve",
            Self::Probation => "probation",
            Self::Rollback => "rollback",
            Self::Pause => "pause",
        }
    }
}

/// What one exporter can do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Abilities {
    can: Vec<Ability>,
    /// How its configuration would have it do more; empty where nothing would.
    more: &'static str,
}

impl Abilities {
    /// These, and no way to more.
    pub fn of(can: impl IntoIterator<Item = Ability>) -> Self {
        Self {
            can: can.into_iter().collect(),
            more: "",
        }
    }

    /// The same, with what to write for more.
    #[must_use]
    pub fn or(mut self, more: &'static str) -> Self {
        self.more = more;
        self
    }

    /// Why `action` cannot be done: `cannot do ...; it can do ...`.
    pub fn refusal(&self, action: &Action) -> Option<String> {
        let needed = Ability::of(action);
        if self.can.contains(&needed) {
            return None;
        }
        let can: Vec<&str> = self.can.iter().map(|ability| ability.as_str()).collect();
        let can = if can.is_empty() {
            "nothing".to_owned()
        } else {
            can.join(", ")
        };
        let more = if self.more.is_empty() { "" } else { "; " };
        Some(format!(
            "cannot do `{}`; it can do {can}{more}{}",
            needed.as_str(),
            self.more
        ))
    }

    /// The same for a decision that was made all the same, for instance under another configuration.
    pub(crate) fn require(&self, action: &Action) -> Result<(), Trouble> {
        match self.refusal(action) {
            None => Ok(()),
            Some(words) => Err(Trouble::Permanent {
                reason: FailureReason::Rejected,
                detail: format!("the exporter {words}"),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_done_is_said_with_what_can() {
        let can = Abilities::of([Ability::Off, Ability::On]).or("add more");
        assert_eq!(can.refusal(&Action::default()), None);
        let serve = Action::Switch {
            to: SafeState::Serve {
                variant: "control".into(),
            },
        };
        assert_eq!(
            can.refusal(&serve).unwrap(),
            "cannot do `serve`; it can do off, on; add more"
        );
        assert!(can.require(&Action::Rollback).is_err());
        let none = Abilities::of([]).refusal(&Action::Pause).unwrap();
        assert_eq!(none, "cannot do `pause`; it can do nothing");
    }

    #[test]
    fn every_action_has_its_ability() {
        let states = [
            SafeState::Off,
            SafeState::On,
            SafeState::Rollout { percent: 5 },
            SafeState::Serve { variant: "a".into() },
        ];
        let switches = states.map(|to| Ability::of(&Action::Switch { to }));
        let expose = Ability::of(&Action::Expose { percent: 1, from: 0 });
        let all = [&switches[..], &[expose, Ability::Rollback, Ability::Pause]].concat();
        assert_eq!(all, Ability::ALL);
    }
}
