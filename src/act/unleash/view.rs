//! A flag in one environment as Unleash shows it, and how it stands to what a decision asks for.

use crate::policy::SafeState;
use serde::Deserialize;
use serde_json::Value;

/// The strategy whose share of users can be set.
const GRADUAL: &str = "flexibleRollout";

/// `GET .../environments/{environment}`.
#[derive(Debug, Deserialize)]
pub(super) struct EnvironmentView {
    pub(super) enabled: bool,
    #[serde(default)]
    strategies: Vec<Strategy>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Strategy {
    #[serde(default)]
    pub(super) id: String,
    #[serde(default)]
    name: String,
    #[serde(default)]
    disabled: bool,
    #[serde(default)]
    parameters: Value,
}

impl Strategy {
    /// Percent of users that it is on for; `None` where it has no such share.
    fn rollout(&self) -> Option<f64> {
        let rollout = self.parameters.get("rollout").filter(|_| self.name == GRADUAL)?;
        match rollout {
            Value::String(text) => text.trim().parse().ok(),
            other => other.as_f64(),
        }
    }

    fn is_above(&self, percent: u8) -> bool {
        self.rollout().is_none_or(|rollout| rollout > f64::from(percent))
    }
}

impl EnvironmentView {
    /// The strategies that are on.
    fn active(&self) -> impl Iterator<Item = &Strategy> {
        self.strategies.iter().filter(|it| !it.disabled)
    }

    /// The strategies that give it to more than `percent` of users; in words the first one that cannot be
    /// limited.
    pub(super) fn above(&self, percent: u8) -> Result<Vec<&Strategy>, String> {
        let above: Vec<&Strategy> = self.active().filter(|it| it.is_above(percent)).collect();
        match above.iter().find(|it| it.rollout().is_none()) {
            Some(it) => Err(format!(
                "its strategy `{}` has no share that could be set (only {GRADUAL} has)",
                it.name
            )),
            None => Ok(above),
        }
    }

    /// The id and the share of the one strategy that is on; in words why there is no such thing.
    pub(super) fn only(&self) -> Result<(&str, f64), String> {
        let mut active = self.active();
        let (Some(only), None) = (active.next(), active.next()) else {
            let count = self.active().count();
            return Err(format!(
                "on probation only a flag with one active strategy can be given back, and it has {count}"
            ));
        };
        let share = only.rollout().ok_or_else(|| {
            let name = &only.name;
            format!("its strategy `{name}` has no share that could be set (only {GRADUAL} has)")
        })?;
        Ok((&only.id, share))
    }

    /// Why it cannot be brought there, in words.
    pub(super) fn obstacle(&self, to: &SafeState) -> Option<String> {
        match to {
            SafeState::On if !self.enabled && self.active().next().is_none() => Some(
                "it has no active strategy in this environment, and Unleash would add one for everybody; add one \
                 first"
                    .to_owned(),
            ),
            SafeState::Rollout { percent } if self.enabled => self.above(*percent).err(),
            _ => None,
        }
    }

    /// Whether it stands as `to` says. Off is more than a rollout asks for; an environment that is on without
    /// a strategy is on for everybody.
    pub(super) fn is_safe(&self, to: &SafeState) -> bool {
        match to {
            SafeState::Off => !self.enabled,
            SafeState::On => self.enabled,
            SafeState::Rollout { percent } => {
                let limited = self.active().all(|it| !it.is_above(*percent));
                !self.enabled || (limited && !self.strategies.is_empty())
            }
            SafeState::Serve { .. } => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn view(enabled: bool, strategies: &Value) -> EnvironmentView {
        serde_json::from_value(json!({ "enabled": enabled, "strategies": strategies })).unwrap()
    }

    fn gradual(rollout: &str, disabled: bool) -> Value {
        json!({ "id": "s", "name": GRADUAL, "disabled": disabled, "parameters": { "rollout": rollout } })
    }

    #[test]
    fn a_rollout_is_safe_when_every_active_strategy_is_at_most_there() {
        let five = SafeState::Rollout { percent: 5 };
        let everybody = json!({ "id": "d", "name": "default" });
        for (enabled, strategies, safe) in [
            (true, json!([gradual("5", false)]), true),
            (true, json!([gradual("5.5", false)]), false),
            (true, json!([gradual("3", false), gradual("100", true)]), true),
            (true, json!([gradual("3", false), everybody]), false),
            (true, json!([]), false),
            (false, json!([everybody]), true),
        ] {
            assert_eq!(view(enabled, &strategies).is_safe(&five), safe, "{strategies}");
        }
        let mixed = view(true, &json!([gradual("50", false), everybody]));
        assert!(mixed.obstacle(&five).unwrap().contains("`default` has no share"));
    }

    #[test]
    fn on_without_a_strategy_would_be_on_for_everybody() {
        for (strategies, refused) in [
            (json!([]), true),
            (json!([gradual("5", true)]), true),
            (json!([gradual("5", false)]), false),
        ] {
            let obstacle = view(false, &strategies).obstacle(&SafeState::On);
            assert_eq!(obstacle.is_some(), refused, "{strategies}");
        }
    }
}
