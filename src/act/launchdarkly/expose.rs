//! A flag given back on probation: so many percent of the variation that burned for everybody who gets no
//! rule's answer, and on, in one change.
//!
//! Rules that serve the variation would serve it in full the moment that the flag is on, so a flag with one
//! is refused; people who are targeted one by one are left out of the picture here as everywhere.

use super::change;
use super::flag::{Environment, Flag, WHOLE};
use crate::act::exporter::Exposure;
use serde_json::{Value, json};

impl Environment {
    /// Who has the variation `blamed`.
    pub(super) fn exposure(&self, blamed: Option<usize>) -> Exposure {
        Exposure {
            is_on: self.on,
            percent: self.share(blamed),
        }
    }

    /// The share, in percent, that has it when the flag is on; in words why there is none that could be set.
    fn share(&self, blamed: Option<usize>) -> Result<f64, String> {
        let blamed = blamed.ok_or("the variant to give back is none of the flag's variations")?;
        let mut rules = self.parts().filter(|(rule, _)| rule.is_some());
        if rules.any(|(_, served)| served.weight(blamed) > 0) {
            let words = "a rule of the flag serves the variation to everybody that it fits; only a flag \
                         whose default rule alone serves it can be given back on probation";
            return Err(words.to_owned());
        }
        if self.off_variation == Some(blamed) {
            return Err("the variation is the one that off serves".to_owned());
        }
        Ok(self.fallthrough.weight(blamed) as f64 * 100.0 / WHOLE as f64)
    }

    /// Whether a flag that may be blamed for these could be given back at all.
    pub(super) fn could_expose(&self, blamed: &[usize], first_percent: u8) -> bool {
        blamed.iter().all(|nth| {
            let share = self.share(Some(*nth));
            share.is_ok_and(|share| share >= f64::from(first_percent))
        })
    }
}

/// What gives it to `percent`.
pub(super) fn instructions(
    flag: &Flag,
    environment: &Environment,
    blamed: Option<usize>,
    percent: u8,
) -> Result<Vec<Value>, String> {
    environment.share(blamed)?;
    let share = change::share(flag, environment, blamed, percent)?;
    let mut made = vec![share];
    if !environment.on {
        made.push(json!({ "kind": "turnFlagOn" }));
    }
    Ok(made)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flag(environment: &Value) -> Flag {
        serde_json::from_value(json!({
            "variations": [ { "_id": "v-a", "value": true }, { "_id": "v-b", "value": false } ],
            "environments": { "production": environment },
        }))
        .unwrap()
    }

    fn environment(on: bool, weight: u64, rule: usize) -> Flag {
        flag(&json!({
            "on": on, "version": 7, "offVariation": 1,
            "fallthrough": { "rollout": { "variations": [
                { "variation": 0, "weight": weight }, { "variation": 1, "weight": WHOLE - weight } ] } },
            "rules": [ { "_id": "r1", "variation": rule } ],
        }))
    }

    #[test]
    fn a_step_sets_the_share_and_the_first_one_switches_on() {
        let share = |a: u64| {
            json!({ "kind": "updateFallthroughVariationOrRollout",
                "rolloutWeights": { "v-a": a, "v-b": WHOLE - a } })
        };
        for (on, weight, percent, want) in [
            (
                false,
                WHOLE,
                1,
                vec![share(1_000), json!({ "kind": "turnFlagOn" })],
            ),
            (true, 1_000, 5, vec![share(5_000)]),
        ] {
            let flag = environment(on, weight, 1);
            let production = &flag.environments["production"];
            assert_eq!(instructions(&flag, production, Some(0), percent).unwrap(), want);
        }
    }

    #[test]
    fn what_a_rule_would_give_to_more_is_refused() {
        let ruled = environment(false, WHOLE, 0);
        let production = &ruled.environments["production"];
        let words = instructions(&ruled, production, Some(0), 1).unwrap_err();
        assert!(words.contains("a rule of the flag"), "{words}");
        assert!(
            instructions(&ruled, production, Some(1), 1).is_err(),
            "off serves it"
        );
        assert!(instructions(&ruled, production, None, 1).is_err());
        let plain = environment(true, 5_000, 1);
        let exposure = plain.environments["production"].exposure(Some(0));
        assert!(
            exposure.is_at(5) && !exposure.is_at(0) && !exposure.is_at(4),
            "{exposure:?}"
        );
    }
}
