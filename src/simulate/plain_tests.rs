//! The plain rule of the simulator kills when the live decider does.

use super::cell::{Cell, DiscountSource, Scenario, Settings};
use super::plain::PlainRule;
use super::scene::Scene;
use super::traffic::Random;
use crate::cohort::{CohortId, CohortKey, Level, ObjectiveId};
use crate::decide::KillDecider;
use crate::evidence::JointCounts;
use crate::ledger::{Counts, SeriesView, WindowSum};
use crate::policy::{Board, Evaluator, Names, PolicySet, from_text};
use crate::sli::ObjectiveName;
use crate::time::UnixNanos;
use rand::SeedableRng;
use std::sync::Arc;

const POLICY: &str = "
service: checkout
environment: production
slos: [{ name: availability, target: 99.95% }]
kill_switches: [{ flag: new-checkout, exporter: unleash, attribution: off, mode: auto }]
";

struct Variants;

impl Names for Variants {
    fn objective(&self, _: ObjectiveId) -> Option<Arc<ObjectiveName>> {
        Some(Arc::new(ObjectiveName {
            service: "checkout".into(),
            slo: "availability".into(),
        }))
    }

    fn cohort(&self, id: CohortId) -> Option<Arc<CohortKey>> {
        let variant = ["on", "off"][id.0 as usize];
        Some(Arc::new(CohortKey {
            service: "checkout".into(),
            environment: Some("production".into()),
            level: Level::Flag {
                sha: Some("v2".into()),
                flag: "new-checkout".into(),
                variant: variant.into(),
            },
        }))
    }
}

struct Live {
    policies: PolicySet,
    evaluator: Evaluator,
    decider: KillDecider,
}

impl Live {
    fn new() -> Self {
        Self {
            policies: from_text("p.yaml", POLICY).unwrap(),
            evaluator: Evaluator::new(Arc::new(Board::new())),
            decider: KillDecider::new(),
        }
    }

    fn kills(&mut self, now: UnixNanos, arms: [Counts; 2]) -> bool {
        let view = |(id, counts): (u32, Counts)| SeriesView {
            objective: ObjectiveId(0),
            cohort: CohortId(id),
            windows: vec![WindowSum {
                window_secs: 300,
                from: now.minus_secs(300),
                to: now,
                counts,
                sampled: None,
            }],
            lifetime: Counts::default(),
            last_event: now,
        };
        let views: Vec<_> = (0..).zip(arms).map(view).collect();
        self.evaluator.apply(now, &views, &Variants, &self.policies);
        let decided = self.decider.evaluate(now, self.evaluator.board(), &self.policies);
        !decided.is_empty()
    }
}

#[test]
fn it_kills_at_the_evaluation_at_which_the_live_decider_does() {
    let settings = Settings::of("99.95%".parse().unwrap());
    let mut kills = 0;
    for (seed, ratio) in [(1, 1.0), (2, 1.0), (3, 5.0), (4, 25.0), (5, 100.0), (6, 100.0)] {
        let cell = Cell {
            scenario: Scenario::Incident,
            rate: 10.0,
            share: 0.1,
            ratio,
            base_rate: 0.0002,
            cluster: 1.0,
            discount: DiscountSource::Default,
        };
        let mut random = Random::seed_from_u64(seed);
        let mut scene = Scene::new(&cell, &settings, &mut random);
        let (mut live, mut plain) = (Live::new(), PlainRule::default());
        let mut blocks: Vec<[Counts; 2]> = Vec::new();
        let mut strata = [JointCounts::default()];
        for n in 0..2000 {
            scene.step(n, &mut random, &mut strata);
            let block = strata[0].margin(0);
            blocks.push([block.treated, block.control]);
            let window = blocks.iter().rev().take(30);
            let arms = window.fold([Counts::default(); 2], |sum, block| {
                [0, 1].map(|arm| Counts {
                    good: sum[arm].good + block[arm].good,
                    bad: sum[arm].bad + block[arm].bad,
                })
            });
            let now = UnixNanos::from_secs(1_795_000_000 + n as u64 * 10);
            let killed = plain.note(now, arms[0], arms[1], &settings);
            assert_eq!(killed, live.kills(now, arms), "seed {seed}, block {n}");
            if killed {
                kills += 1;
                break;
            }
        }
    }
    assert!(kills >= 3, "only {kills} kills to compare");
}
