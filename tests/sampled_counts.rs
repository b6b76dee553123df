//! What sampled spans stand for, from the bytes of a request to the sums of windows, over restarts.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::cast_possible_truncation,
    clippy::float_cmp,
    missing_docs
)]

mod cohort_support;
mod ledger_support;

use burngate::budget::effective_events;
use burngate::cohort::{CohortId, Level, NamedFlags, Registry};
use burngate::config::{Cohorts, ReceiverLimits};
use burngate::ledger::{
    Compiled, Counts, EXCESS_BITS, EventWeight, Ledger, LedgerLimits, Sampled, Tap, TapOutcome, WEIGHT_MAX,
    Weights, WindowPlan,
};
use burngate::policy::from_text;
use burngate::store::{MemStore, Store};
use burngate::time::{NANOS_PER_SEC, UnixNanos};
use burngate::wire::{Sampling, sampling};
use cohort_support::{NOW, kv, request, s, tap};
use ledger_support::{House, OBJECTIVE, TOTALS, plan};
use opentelemetry_proto::tonic::trace::v1::{Span, Status};
use proptest::prelude::*;
use std::sync::Arc;

fn span(trace_state: &str, bad: bool) -> Span {
    Span {
        trace_id: vec![1; 16],
        span_id: vec![2; 8],
        trace_state: trace_state.into(),
        name: "GET /".into(),
        kind: 2,
        start_time_unix_nano: NOW.0 - 5_000_000,
        end_time_unix_nano: NOW.0,
        attributes: vec![kv("deployment.sha", s("abc"))],
        status: Some(Status {
            code: if bad { 2 } else { 0 },
            message: String::new(),
        }),
        ..Span::default()
    }
}

fn counted(tap: &Tap, spans: Vec<Span>) -> TapOutcome {
    let bytes = request(vec![kv("service.name", s("checkout"))], vec![], spans);
    tap.process(&bytes, None, NOW).unwrap()
}

/// The sum of a service's total, as a ledger shows it.
fn total(tap: &Tap, outcome: &TapOutcome) -> Sampled {
    let plan = WindowPlan::new(&[300], &[300]).unwrap();
    let registry = Arc::clone(tap.registry());
    let mut ledger = Ledger::new(LedgerLimits::default(), plan, registry);
    ledger.absorb(NOW, &outcome.series, &outcome.evidence);
    ledger.absorb_weights(NOW, &outcome.weights);
    // The bucket of an event at a multiple of ten seconds begins with it, and is full once time goes on.
    ledger.absorb(NOW.plus_secs(1), &[], &[]);
    let row = outcome
        .series
        .iter()
        .find(|row| {
            tap.registry()
                .key(row.cohort)
                .is_some_and(|key| key.level == Level::Total)
        })
        .unwrap();
    ledger.view(row.objective, row.cohort).unwrap().windows[0].estimate()
}

#[test]
fn unsampled_spans_have_no_weights_at_all() {
    let tap = tap(&Cohorts::default(), &[]);
    for state in ["", "vendor=1", "ot=rv:12345678901234", "ot=th:0"] {
        let outcome = counted(&tap, vec![span(state, false), span(state, true)]);
        assert!(outcome.weights.is_empty(), "{state}");
        let sum = total(&tap, &outcome);
        assert_eq!((sum.counts(), sum.seen), (Counts { good: 1, bad: 1 }, sum.seen));
    }
}

#[test]
fn a_span_counts_for_as_many_as_its_threshold_says() {
    let tap = tap(&Cohorts::default(), &[]);
    let quarter = span("ot=th:c;rv:f0000000000000,x=y", false);
    let spans = vec![quarter.clone(), quarter, span("ot=th:8", true), span("", true)];
    let outcome = counted(&tap, spans);
    let sum = total(&tap, &outcome);
    assert_eq!(sum.counts(), Counts { good: 8, bad: 3 });
    assert_eq!(sum.seen, Counts { good: 2, bad: 2 });
    assert_eq!(outcome.stats.sampled, 3);
    // A row for the total, one for the deployment, one for its evidence cell.
    assert_eq!(outcome.weights.len(), 3);
    assert_eq!(outcome.weights.iter().filter(|row| row.cell.is_some()).count(), 1);
}

#[test]
fn evidence_counts_what_was_seen_and_carries_what_it_stands_for() {
    let tap = tap(&Cohorts::default(), &[]);
    let outcome = counted(&tap, vec![span("ot=p:3;r:9", true), span("", true)]);
    let mut ledger = Ledger::new(
        LedgerLimits::default(),
        WindowPlan::new(&[300], &[300]).unwrap(),
        Arc::<Registry>::clone(tap.registry()),
    );
    ledger.absorb(NOW, &outcome.series, &outcome.evidence);
    ledger.absorb_weights(NOW, &outcome.weights);
    ledger.absorb(NOW.plus_secs(1), &[], &[]);
    let cell = outcome.evidence[0];
    let sums = ledger.evidence(cell.objective, cell.cohort, 300);
    assert_eq!(sums.len(), 1);
    assert_eq!(sums[0].counts, Counts { good: 0, bad: 2 });
    assert_eq!(
        sums[0].weights.excess,
        Counts {
            good: 0,
            bad: 7 << EXCESS_BITS
        }
    );
    assert_eq!(
        sums[0].weights.variance,
        Counts {
            good: 0,
            bad: 56 << 4
        }
    );
}

#[test]
fn claims_that_cannot_be_are_not_believed_and_counted() {
    let cohorts = Cohorts {
        max_weight: 100,
        ..Cohorts::default()
    };
    let tap = tap(&cohorts, &[]);
    let forged = counted(&tap, vec![span("ot=th:ffffffffffffff", true)]);
    assert_eq!(total(&tap, &forged).counts(), Counts { good: 0, bad: 100 });
    assert_eq!(forged.stats.capped_weights, 1);
    let lie = counted(&tap, vec![span("ot=th:8;rv:00000000000001", true)]);
    assert_eq!(total(&tap, &lie).counts(), Counts { good: 0, bad: 1 });
    assert_eq!((lie.stats.inconsistent_weights, lie.stats.sampled), (1, 0));
    let nobody = counted(&tap, vec![span("ot=p:63", true), span("", false)]);
    assert_eq!(total(&tap, &nobody).counts(), Counts { good: 1, bad: 0 });
    assert_eq!((nobody.stats.weightless, nobody.stats.judged), (1, 1));
}

#[test]
fn a_policy_speaks_for_spans_that_do_not() {
    let declared = |line: &str| {
        let policy =
            format!("service: checkout\n{line}\nslos: [ {{ name: availability, target: 99.9% }} ]\n");
        let set = from_text("p.yaml", &policy).unwrap();
        let cohorts = Cohorts::default();
        let limits = ReceiverLimits::default();
        let objectives = set.objectives();
        let compiled = Compiled::compile(&objectives, None, NamedFlags::new(), &cohorts, &limits).unwrap();
        let tap = Tap::new(compiled, Arc::new(Registry::new(&cohorts)));
        let outcome = counted(
            &tap,
            vec![span("", false), span("", true), span("ot=th:8", false)],
        );
        total(&tap, &outcome).counts()
    };
    assert_eq!(declared("sampling: 10%"), Counts { good: 12, bad: 10 });
    assert_eq!(
        declared("sampling: { good: 1%, bad: 100% }"),
        Counts { good: 102, bad: 1 }
    );
    assert_eq!(declared("sampling: unknown"), Counts { good: 3, bad: 1 });
    for wrong in [
        "sampling: 0%",
        "sampling: often",
        "sampling: { good: 1% }",
        "sampling: []",
    ] {
        let policy = format!("service: checkout\n{wrong}\nslos: [ {{ name: a, target: 99.9% }} ]\n");
        let problem = from_text("p.yaml", &policy).unwrap_err().to_string();
        assert!(problem.contains("p.yaml:2"), "{problem}");
    }
}

#[derive(Clone, Debug)]
enum Step {
    Absorb {
        cohort: u8,
        back_secs: u64,
        good: u64,
        bad: u64,
        weight: u32,
    },
    Advance(u64),
    Tick,
    Restart,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let weight = prop_oneof![2 => Just(1u32), 3 => 1u32..2_000, 1 => Just(WEIGHT_MAX)];
    let absorb =
        (0u8..3, 0u64..300, 0u64..40, 0u64..5, weight).prop_map(|(cohort, back_secs, good, bad, weight)| {
            Step::Absorb {
                cohort,
                back_secs,
                good,
                bad,
                weight,
            }
        });
    let advance = prop_oneof![6 => 0u64..60, 3 => 0u64..2_000, 2 => 0u64..20_000, 1 => 0u64..90_000];
    let step = prop_oneof![
        8 => absorb,
        6 => advance.prop_map(Step::Advance),
        4 => Just(Step::Tick),
        1 => Just(Step::Restart),
    ];
    proptest::collection::vec(step, 1..100)
}

const WINDOWS: [u64; 6] = [300, 3_600, 7_200, 21_600, 86_400, 2_592_000];

/// Everything that was absorbed: cohort, bucket, what was seen, what it stands for.
type Events = Vec<(u32, u64, Counts, Weights)>;

fn weights(good: u64, bad: u64, weight: u32) -> Weights {
    let third = burngate::wire::Weight {
        whole: u64::from(weight),
        part: 1 << 30,
    };
    let one = EventWeight::of(
        if weight == 1 {
            burngate::wire::Weight::ONE
        } else {
            third
        },
        WEIGHT_MAX,
    );
    Weights {
        excess: Counts {
            good: good * one.excess,
            bad: bad * one.excess,
        },
        variance: Counts {
            good: good * one.variance,
            bad: bad * one.variance,
        },
    }
}

fn check(house: &House, events: &Events, now: UnixNanos) {
    for cohort in [0, TOTALS + 1, TOTALS + 2] {
        let Some(view) = house.view(cohort) else { continue };
        for window in &view.windows {
            let mut want = Sampled::default();
            for (_, bucket, seen, weights) in events.iter().filter(|event| event.0 == cohort) {
                let start = UnixNanos::from_secs(bucket * 10);
                if start >= window.from && start < window.to {
                    want.add(Sampled {
                        seen: *seen,
                        weights: *weights,
                    });
                }
            }
            assert_eq!(window.estimate(), want, "{cohort} {window:?} at {}", now.0);
            assert_eq!(window.counts, want.counts());
            assert_eq!(window.sampled.is_some(), !want.weights.is_zero());
        }
    }
}

fn run(steps: &[Step]) {
    let mut now = UnixNanos::from_secs(1_800_000_123);
    let store: Arc<dyn Store> = Arc::new(MemStore::new());
    let windows = plan(&WINDOWS);
    let mut house = House::open(Arc::clone(&store), &windows, now);
    let mut events = Events::new();
    for step in steps {
        match *step {
            Step::Absorb {
                cohort,
                back_secs,
                good,
                bad,
                weight,
            } => {
                let cohort = [0, TOTALS + 1, TOTALS + 2][usize::from(cohort)];
                let bucket = (now.secs() - back_secs) / 10;
                let (seen, weights) = (Counts { good, bad }, weights(good, bad, weight));
                house.absorb_sampled(now, cohort, bucket, seen, weights);
                events.push((cohort, bucket, seen, weights));
            }
            Step::Advance(secs) => now = now.plus_secs(secs),
            Step::Tick => {
                house.tick(now);
                house.tick(now);
                house.changed(now);
                check(&house, &events, now);
            }
            Step::Restart => {
                house.tick(now);
                house = House::open(Arc::clone(&store), &windows, now);
                house.changed(now);
                check(&house, &events, now);
            }
        }
    }
    house.tick(now);
    house.tick(now);
    house.changed(now);
    check(&house, &events, now);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, ..ProptestConfig::default() })]

    #[test]
    fn sums_of_weights_are_those_of_the_list_over_windows_ticks_and_restarts(steps in steps()) {
        run(&steps);
    }

    #[test]
    fn splitting_and_reordering_change_no_figure(
        rows in proptest::collection::vec((0u64..300, 0u64..9, 0u64..3, 1u32..300), 1..40),
        seed in any::<u64>(),
    ) {
        let now = UnixNanos::from_secs(1_800_000_000);
        let open = || House::open(Arc::new(MemStore::new()), &plan(&WINDOWS), now);
        let (whole, split) = (open(), open());
        let mut pieces = Vec::new();
        for &(back, good, bad, weight) in &rows {
            let bucket = (now.secs() - back) / 10;
            whole.absorb_sampled(now, 0, bucket, Counts { good, bad }, weights(good, bad, weight));
            let one = |good, bad| (bucket, Counts { good, bad }, weights(good, bad, weight));
            pieces.extend((0..good).map(|_| one(1, 0)));
            pieces.extend((0..bad).map(|_| one(0, 1)));
        }
        let length = pieces.len() as u64;
        for n in 0..length {
            pieces.swap(n as usize, ((seed ^ n.wrapping_mul(0x9e37_79b9)) % length) as usize);
        }
        for (bucket, seen, weights) in pieces {
            split.absorb_sampled(now, 0, bucket, seen, weights);
        }
        let windows = |house: &House| house.view(0).map(|view| view.windows);
        let (a, b) = (windows(&whole), windows(&split));
        prop_assert!(a == b || (b.is_none() && a.unwrap().iter().all(|w| w.counts.total() == 0)));
    }
}

/// Numbers without a library, so that every run is the same everywhere.
struct Random(u64);

impl Random {
    fn unit(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ z >> 31) >> 11) as f64 / (1u64 << 53) as f64
    }

    /// The positions of a coin's heads among `n` throws.
    #[allow(clippy::cast_sign_loss)]
    fn heads(&mut self, n: u64, p: f64, mut each: impl FnMut(u64)) {
        if p >= 1.0 {
            return (0..n).for_each(each);
        }
        let mut at = 0u64;
        loop {
            at += ((1.0 - self.unit()).ln() / (1.0 - p).ln()).floor() as u64;
            if at >= n {
                return;
            }
            each(at);
            at += 1;
        }
    }
}

/// Requests of one hour, and the share of them that fails.
const HOUR_EVENTS: u64 = 180_000;
const BAD_SHARE: f64 = 0.02;
const RUNS: u32 = 2_000;

/// What 2,000 hours showed.
#[derive(Debug, Default)]
struct Shown {
    /// Sum of (estimate - truth) / truth, of all events and of bad ones.
    bias: [f64; 2],
    /// Hours in which the interval of a count held the truth: all, bad.
    counts_held: [u32; 2],
    /// Hours in which Wilson's interval on what the counts are worth held the share of bad events.
    share_held: u32,
}

/// Wilson's 95 % interval of the share of bad ones among `events`.
fn wilson(events: f64, share: f64) -> (f64, f64) {
    let z2 = 1.959_964f64.powi(2);
    let middle = (share + z2 / (2.0 * events)) / (1.0 + z2 / events);
    let spread = share * (1.0 - share) / events + z2 / (4.0 * events * events);
    let half = (z2 * spread).sqrt() / (1.0 + z2 / events);
    (middle - half, middle + half)
}

/// One hour: bad events of the hour, and its sum as the ledger shows it at its end.
fn hour(random: &mut Random, good: (&str, f64), bad: (&str, f64)) -> (u64, Sampled) {
    let weight = |state: &str| match sampling(state.as_bytes()) {
        Sampling::Kept(weight) => EventWeight::of(weight, WEIGHT_MAX),
        _ => EventWeight::ONE,
    };
    let mut buckets = [(Counts::default(), 0u64); 360];
    let bucket = |at: u64| usize::try_from(at * 360 / HOUR_EVENTS).unwrap();
    let mut bad_events = Vec::new();
    random.heads(HOUR_EVENTS, BAD_SHARE, |at| bad_events.push(at));
    random.heads(bad_events.len() as u64, bad.1, |nth| {
        buckets[bucket(bad_events[nth as usize])].0.bad += 1;
    });
    random.heads(HOUR_EVENTS - bad_events.len() as u64, good.1, |at| {
        buckets[bucket(at)].0.good += 1;
    });
    let start = 500_000 * 3_600;
    let house = House::open(
        Arc::new(MemStore::new()),
        &plan(&[3_600]),
        UnixNanos::from_secs(start),
    );
    let (good, bad) = (weight(good.0), weight(bad.0));
    for (nth, (seen, _)) in buckets.iter().enumerate() {
        let at = start / 10 + nth as u64;
        let now = UnixNanos((at + 1) * 10 * NANOS_PER_SEC - 1);
        let weights = Weights {
            excess: Counts {
                good: seen.good * good.excess,
                bad: seen.bad * bad.excess,
            },
            variance: Counts {
                good: seen.good * good.variance,
                bad: seen.bad * bad.variance,
            },
        };
        house.absorb_sampled(now, 0, at, *seen, weights);
    }
    let mut ledger = house.ledger.lock().unwrap();
    ledger.absorb(UnixNanos::from_secs(start + 3_600), &[], &[]);
    let view = ledger.view(OBJECTIVE, CohortId(0)).unwrap();
    (bad_events.len() as u64, view.windows[0].estimate())
}

fn hours(seed: u64, good: (&str, f64), bad: (&str, f64)) -> Shown {
    let mut random = Random(seed);
    let mut shown = Shown::default();
    for _ in 0..RUNS {
        let (truth_bad, sum) = hour(&mut random, good, bad);
        let (estimate, truth) = (sum.counts(), [HOUR_EVENTS as f64, truth_bad as f64]);
        let got = [estimate.total() as f64, estimate.bad as f64];
        let (good_error, bad_error) = burngate::budget::standard_errors(sum);
        let errors = [good_error.hypot(bad_error), bad_error];
        for i in 0..2 {
            shown.bias[i] += (got[i] - truth[i]) / truth[i];
            // Estimates are whole numbers.
            let held = (got[i] - truth[i]).abs() <= 1.959_964 * errors[i] + 0.5;
            shown.counts_held[i] += u32::from(held);
        }
        let (low, high) = wilson(effective_events(sum).unwrap(), got[1] / got[0]);
        shown.share_held += u32::from((low..=high).contains(&BAD_SHARE));
    }
    shown.bias = shown.bias.map(|bias| bias / f64::from(RUNS));
    eprintln!("good {good:?}, bad {bad:?}: {shown:?}");
    shown
}

/// 95 % +- 1.5 % of the runs.
const HELD: std::ops::RangeInclusive<u32> = 1_870..=1_930;

#[test]
fn estimates_of_sampled_hours_are_unbiased_and_their_intervals_hold_the_truth_as_often_as_they_say() {
    for (seed, state, share) in [(1, "ot=th:fd70a3d70a3d7", 0.01), (2, "ot=th:e6666666666668", 0.1)] {
        let shown = hours(seed, (state, share), (state, share));
        // Four standard errors of the mean of 2,000 estimates.
        let sure = |events: f64| 4.0 / (events * share * f64::from(RUNS)).sqrt();
        assert!(
            shown.bias[0].abs() < sure(HOUR_EVENTS as f64),
            "{share} {shown:?}"
        );
        assert!(
            shown.bias[1].abs() < sure(HOUR_EVENTS as f64 * BAD_SHARE),
            "{share} {shown:?}"
        );
        assert!(
            shown.counts_held.iter().all(|held| HELD.contains(held)),
            "{share} {shown:?}"
        );
        assert!(HELD.contains(&shown.share_held), "{share} {shown:?}");
    }
}

#[test]
fn unsampled_hours_are_exact_and_their_share_is_as_sure_as_their_events() {
    let shown = hours(3, ("", 1.0), ("", 1.0));
    assert_eq!((shown.bias, shown.counts_held), ([0.0; 2], [RUNS; 2]));
    assert!(HELD.contains(&shown.share_held), "{shown:?}");
}

#[test]
fn hours_of_a_tail_sampler_that_keeps_errors_are_as_sure_as_they_say() {
    let shown = hours(4, ("ot=th:fd70a3d70a3d7", 0.01), ("", 1.0));
    assert!(shown.bias[0].abs() < 0.002 && shown.bias[1] == 0.0, "{shown:?}");
    assert!(HELD.contains(&shown.share_held), "{shown:?}");
}
