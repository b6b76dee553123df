//! Flag evidence that comes apart from its request counts for it, once, in whatever order the parts come.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod cohort_support;

use burngate::cohort::Level;
use burngate::config::{Cohorts, Join, JoinMode};
use burngate::ledger::{Counts, JoinStats, Tap, TapOutcome};
use burngate::time::{NANOS_PER_SEC, UnixNanos};
use cohort_support::{NOW, array, kv, logs, map, request, s, tap};
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use opentelemetry_proto::tonic::trace::v1::span::Event;
use opentelemetry_proto::tonic::trace::v1::{Span, Status};
use proptest::prelude::*;
use proptest::sample::Index;
use std::collections::BTreeMap;

const SERVER: i32 = 2;
const INTERNAL: i32 = 1;

fn resource(service: &str) -> Vec<KeyValue> {
    vec![kv("service.name", s(service)), kv("deployment.sha", s("abc"))]
}

fn span(trace: u8, id: u8, parent: u8, kind: i32) -> Span {
    Span {
        trace_id: vec![trace; 16],
        span_id: vec![id; 8],
        parent_span_id: if parent == 0 { vec![] } else { vec![parent; 8] },
        name: "GET /pay".into(),
        kind,
        start_time_unix_nano: NOW.0 - 5_000_000,
        end_time_unix_nano: NOW.0,
        ..Span::default()
    }
}

fn bad(span: Span) -> Span {
    Span {
        status: Some(Status {
            code: 2,
            message: String::new(),
        }),
        ..span
    }
}

fn with(span: Span, attributes: Vec<KeyValue>) -> Span {
    Span { attributes, ..span }
}

fn evaluation(flag: &str, variant: &str) -> Vec<KeyValue> {
    vec![
        kv("feature_flag.key", s(flag)),
        kv("feature_flag.result.variant", s(variant)),
    ]
}

fn event(flag: &str, variant: &str) -> Event {
    Event {
        name: "feature_flag.evaluation".into(),
        attributes: evaluation(flag, variant),
        ..Event::default()
    }
}

fn telling(span: Span, flag: &str, variant: &str) -> Span {
    Span {
        events: vec![event(flag, variant)],
        ..span
    }
}

fn record(trace: u8, id: u8, flag: &str, variant: &str) -> LogRecord {
    LogRecord {
        time_unix_nano: NOW.0,
        trace_id: vec![trace; 16],
        span_id: vec![id; 8],
        event_name: "feature_flag.evaluation".into(),
        attributes: evaluation(flag, variant),
        ..LogRecord::default()
    }
}

/// Net counts of the variants of a flag over many outcomes, as (sha, variant).
#[derive(Default)]
struct Sums {
    flags: BTreeMap<(String, String), (i64, i64)>,
    total: (i64, i64),
    stats: JoinStats,
}

impl Sums {
    fn add(&mut self, tap: &Tap, outcome: &TapOutcome) {
        let own = outcome.series.iter().map(|row| (row, 1));
        let entered = outcome.joined.entered.iter().map(|row| (row, 1));
        let left = outcome.joined.left.iter().map(|row| (row, -1));
        for (row, sign) in own.chain(entered).chain(left) {
            let key = tap.registry().key(row.cohort).unwrap();
            let Counts { good, bad } = row.counts;
            let (good, bad) = (
                sign * i64::try_from(good).unwrap(),
                sign * i64::try_from(bad).unwrap(),
            );
            let sum = match &key.level {
                Level::Total => &mut self.total,
                Level::Flag { flag, variant, sha } => {
                    assert_eq!(sha.as_deref(), Some("abc"));
                    let cell = (flag.to_string(), variant.to_string());
                    self.flags.entry(cell).or_default()
                }
                _ => continue,
            };
            sum.0 += good;
            sum.1 += bad;
        }
        let stats = outcome.join;
        self.stats.joined += stats.joined;
        self.stats.no_request += stats.no_request;
        self.stats.late += stats.late;
        self.stats.expired += stats.expired;
        self.stats.before_start += stats.before_start;
        self.stats.refused += stats.refused;
        self.stats.without_context += stats.without_context;
        self.stats.evicted += stats.evicted;
    }

    fn of(&self, flag: &str, variant: &str) -> (i64, i64) {
        let cell = (flag.to_owned(), variant.to_owned());
        self.flags.get(&cell).copied().unwrap_or_default()
    }
}

/// What the requests, in this order, add up to.
struct World {
    tap: Tap,
    sums: Sums,
    now: UnixNanos,
}

impl World {
    fn new(cohorts: &Cohorts) -> Self {
        Self {
            tap: tap(cohorts, &["named"]),
            sums: Sums::default(),
            now: NOW,
        }
    }

    fn spans(&mut self, service: &str, spans: Vec<Span>) -> &mut Self {
        let bytes = request(resource(service), vec![], spans);
        let outcome = self.tap.process(&bytes, None, self.now).unwrap();
        self.sums.add(&self.tap, &outcome);
        self
    }

    fn logs(&mut self, service: &str, records: Vec<LogRecord>) -> &mut Self {
        let bytes = logs(resource(service), records);
        let outcome = self.tap.process_logs(&bytes, None, self.now).unwrap();
        self.sums.add(&self.tap, &outcome);
        self
    }
}

fn world() -> World {
    World::new(&Cohorts::default())
}

#[test]
fn a_flag_of_a_child_span_counts_for_its_local_root_before_or_after_it() {
    for child_first in [true, false] {
        let mut world = world();
        let child = telling(span(1, 2, 1, INTERNAL), "named", "on");
        let root = bad(span(1, 1, 9, SERVER));
        let order = if child_first { [child, root] } else { [root, child] };
        for span in order {
            world.spans("checkout", vec![span]);
        }
        assert_eq!(world.sums.of("named", "on"), (0, 1));
        assert_eq!(world.sums.total, (0, 1), "totals are never touched");
        assert_eq!(world.sums.stats.joined, 1);
    }
}

#[test]
fn evaluation_spans_and_log_records_count_for_the_root_through_every_level() {
    let mut world = world();
    let evaluation_span = Span {
        name: "feature_flag.evaluation".into(),
        ..with(span(1, 4, 3, INTERNAL), evaluation("named", "b"))
    };
    world
        .spans("checkout", vec![evaluation_span, span(1, 3, 2, INTERNAL)])
        .logs("checkout", vec![record(1, 3, "other", "x")])
        .spans("checkout", vec![span(1, 2, 1, INTERNAL)])
        .spans("checkout", vec![span(1, 1, 0, SERVER)])
        .logs("checkout", vec![record(1, 1, "late", "y")]);
    for (flag, variant) in [("named", "b"), ("other", "x"), ("late", "y")] {
        assert_eq!(world.sums.of(flag, variant), (1, 0), "{flag}");
    }
    assert_eq!(world.sums.total, (1, 0), "an evaluation span is no request");
}

#[test]
fn an_off_that_a_list_implied_is_left_when_the_flag_turns_out_to_be_on() {
    let list = vec![kv("feature.flags", array([s("something")]))];
    let mut world = world();
    world.spans("checkout", vec![bad(with(span(1, 1, 0, SERVER), list.clone()))]);
    assert_eq!(world.sums.of("named", "off"), (0, 1));
    world.logs("checkout", vec![record(1, 1, "named", "on")]);
    assert_eq!(world.sums.of("named", "off"), (0, 0));
    assert_eq!(world.sums.of("named", "on"), (0, 1));
    assert_eq!(world.sums.of("something", "on"), (0, 1));
    // The same record again changes nothing.
    world.logs("checkout", vec![record(1, 1, "named", "on")]);
    assert_eq!(world.sums.of("named", "on"), (0, 1));
}

#[test]
fn the_later_evaluation_of_a_flag_wins_in_either_order() {
    let at = |variant, secs: u64| LogRecord {
        time_unix_nano: NOW.0 + secs * NANOS_PER_SEC,
        ..record(1, 1, "named", variant)
    };
    for records in [[at("a", 1), at("b", 2)], [at("b", 2), at("a", 1)]] {
        let mut world = world();
        world.spans("checkout", vec![span(1, 1, 0, SERVER)]);
        for record in records {
            world.logs("checkout", vec![record]);
        }
        assert_eq!(
            (world.sums.of("named", "a"), world.sums.of("named", "b")),
            ((0, 0), (1, 0))
        );
    }
}

#[test]
fn what_the_request_says_itself_in_an_event_stands_above_what_others_say() {
    let mut world = world();
    world
        .spans("checkout", vec![telling(span(1, 1, 0, SERVER), "named", "own")])
        .logs("checkout", vec![record(1, 1, "named", "other")]);
    assert_eq!(world.sums.of("named", "own"), (1, 0));
    assert_eq!(world.sums.of("named", "other"), (0, 0));
}

#[test]
fn two_requests_of_one_service_in_one_trace_keep_their_flags() {
    let mut world = world();
    world
        .spans(
            "checkout",
            vec![telling(span(1, 12, 11, INTERNAL), "named", "on")],
        )
        .spans(
            "checkout",
            vec![telling(span(1, 22, 21, INTERNAL), "named", "off")],
        )
        .spans(
            "checkout",
            vec![bad(span(1, 11, 5, SERVER)), span(1, 21, 5, SERVER)],
        );
    assert_eq!(world.sums.of("named", "on"), (0, 1));
    assert_eq!(world.sums.of("named", "off"), (1, 0));
}

#[test]
fn evidence_ends_at_the_local_root_and_at_another_service() {
    let mut world = world();
    // cart's client span 5 calls checkout's server span 6.
    world
        .spans("cart", vec![span(1, 1, 0, SERVER)])
        .spans(
            "checkout",
            vec![
                telling(span(1, 7, 6, INTERNAL), "named", "on"),
                span(1, 6, 1, SERVER),
            ],
        )
        .logs("cart", vec![record(1, 6, "stray", "x")]);
    assert_eq!(world.sums.of("named", "on"), (1, 0));
    assert_eq!(world.sums.of("stray", "x"), (0, 0));
    assert_eq!(world.sums.stats.no_request, 1);
    assert_eq!(world.sums.total, (2, 0));
}

#[test]
fn a_service_without_named_flags_is_watched_once_it_sends_evidence_apart() {
    let mut world = world();
    world
        .spans("cart", vec![telling(span(1, 2, 1, INTERNAL), "dark-mode", "on")])
        .spans("cart", vec![span(1, 1, 0, SERVER)])
        .spans("cart", vec![span(2, 1, 0, SERVER)])
        .logs("cart", vec![record(2, 1, "dark-mode", "off")]);
    assert_eq!(world.sums.of("dark-mode", "on"), (1, 0));
    assert_eq!(world.sums.of("dark-mode", "off"), (1, 0));
}

#[test]
fn a_service_with_a_named_flag_is_watched_until_ten_minutes_show_that_it_sends_nothing_apart() {
    let mut world = world();
    let sent = |world: &mut World, trace: u8, secs: u64| {
        world.now = NOW.plus_secs(secs);
        let end = world.now.0;
        world.spans(
            "checkout",
            vec![Span {
                end_time_unix_nano: end,
                start_time_unix_nano: end,
                ..span(trace, 1, 0, SERVER)
            }],
        );
        let record = LogRecord {
            time_unix_nano: end,
            ..record(trace, 1, "named", "on")
        };
        world.now = NOW.plus_secs(secs + 1);
        record
    };
    let _ = sent(&mut world, 1, 0);
    let forgotten = sent(&mut world, 2, 601);
    world.logs("checkout", vec![forgotten]);
    assert_eq!(world.sums.of("named", "on"), (0, 0), "nobody watched any more");
    let joined = sent(&mut world, 3, 700);
    world.logs("checkout", vec![joined]);
    assert_eq!(
        world.sums.of("named", "on"),
        (1, 0),
        "now that something came, somebody does"
    );
}

#[test]
fn failed_and_fallen_back_evaluations_have_their_own_variants_and_values_may_stand_in_bodies() {
    let mut world = world();
    let with_reason = |id: u8, reason: &str| {
        let mut record = record(id, 1, "named", "on");
        record
            .attributes
            .push(kv("feature_flag.result.reason", s(reason)));
        record
    };
    let in_body = |id: u8, body: AnyValue| LogRecord {
        attributes: vec![kv("feature_flag.key", s("named"))],
        body: Some(body),
        ..record(id, 1, "named", "")
    };
    let any = |value| AnyValue { value: Some(value) };
    world
        .spans("checkout", (1..=6).map(|id| span(id, 1, 0, SERVER)).collect())
        .logs(
            "checkout",
            vec![
                with_reason(1, "ERROR"),
                with_reason(2, "default"),
                with_reason(3, "Stale"),
                in_body(4, any(s("red"))),
                in_body(5, any(map([("value", s("blue")), ("more", s("x"))]))),
                with_reason(6, "targeting_match"),
            ],
        );
    for variant in ["(error)", "(default)", "(stale)", "red", "blue", "on"] {
        assert_eq!(world.sums.of("named", variant), (1, 0), "{variant}");
    }
}

#[test]
fn evidence_that_finds_no_request_is_counted_by_what_became_of_it() {
    let mut world = world();
    let nameless = LogRecord {
        span_id: vec![],
        ..record(1, 1, "named", "on")
    };
    world.logs("checkout", vec![nameless, record(9, 1, "named", "on")]);
    assert_eq!(world.sums.stats.without_context, 1);
    // Five minutes later whoever waited is let go; one of them is from before the process started.
    let before = LogRecord {
        time_unix_nano: 0,
        observed_time_unix_nano: 0,
        ..record(8, 1, "named", "on")
    };
    world.logs("checkout", vec![before]);
    world.now = NOW.plus_secs(301);
    world.spans("checkout", vec![span(7, 1, 0, SERVER)]);
    assert_eq!(world.sums.stats.expired, 2);
    // The request of this one is remembered, but its bucket is closed.
    let mut world = self::world();
    world.spans(
        "checkout",
        vec![Span {
            end_time_unix_nano: NOW.minus_secs(200).0,
            ..span(1, 1, 0, SERVER)
        }],
    );
    world.now = NOW.plus_secs(150);
    world.logs("checkout", vec![record(1, 1, "named", "on")]);
    assert_eq!((world.sums.stats.late, world.sums.of("named", "on")), (1, (0, 0)));
}

#[test]
fn what_a_restart_took_is_told_apart() {
    let cohorts = Cohorts::default();
    let world = world();
    let restarted = Tap::started_at(
        NOW.plus_secs(10),
        cohort_support::compiled(&cohorts, &["named"]),
        world.tap.registry().clone(),
    );
    let telling = logs(resource("checkout"), vec![record(1, 1, "named", "on")]);
    restarted.process_logs(&telling, None, NOW.plus_secs(20)).unwrap();
    let later = restarted
        .process_logs(
            &logs(resource("checkout"), vec![record(2, 1, "named", "on")]),
            None,
            NOW.plus_secs(400),
        )
        .unwrap();
    assert_eq!((later.join.before_start, later.join.expired), (1, 0));
}

#[test]
fn same_span_mode_joins_nothing() {
    let cohorts = Cohorts {
        join: Join {
            mode: JoinMode::SameSpan,
            ..Join::default()
        },
        ..Cohorts::default()
    };
    let mut world = World::new(&cohorts);
    world
        .spans("checkout", vec![telling(span(1, 2, 1, INTERNAL), "named", "on")])
        .spans("checkout", vec![telling(span(1, 1, 0, SERVER), "own", "on")])
        .logs("checkout", vec![record(1, 1, "named", "on")]);
    assert_eq!(world.sums.of("named", "on"), (0, 0));
    assert_eq!(world.sums.of("own", "on"), (1, 0));
    assert_eq!(world.sums.stats, JoinStats::default());
}

#[test]
fn ring_and_waiting_room_are_bounded() {
    let cohorts = Cohorts {
        join: Join {
            max_spans: 1_000,
            max_waiting: 100,
            ..Join::default()
        },
        ..Cohorts::default()
    };
    let mut world = World::new(&cohorts);
    let many = |n: u32| {
        let id = [&n.to_be_bytes()[..], &[0; 4]].concat();
        Span {
            span_id: id,
            ..span(1, 1, 0, SERVER)
        }
    };
    world.spans("checkout", (0..3_000).map(many).collect());
    assert_eq!(world.sums.stats.evicted, 2_000);
    let stray = |n: u8| record(100, n, "named", "on");
    world.logs("checkout", (0..200).map(stray).collect());
    assert_eq!(world.sums.stats.refused, 100);
    assert_eq!(world.sums.total, (3_000, 0));
}

/// A part of a request: its spans and what is told of its flags.
#[derive(Clone, Debug)]
enum Part {
    Spans(Vec<Span>),
    Logs(Vec<LogRecord>),
}

/// One request: depth of its chain of spans, whether a list lacks the named flag, and what is told: on which
/// level, by what (0 child event, 1 evaluation span, 2 record), which variant, when.
type Shape = (u8, bool, bool, Vec<(u8, u8, u8, u8)>);

fn shapes() -> impl Strategy<Value = Vec<Shape>> {
    let told = proptest::collection::vec((0u8..4, 0u8..3, 0u8..3, 0u8..3), 0..4);
    proptest::collection::vec((0u8..4, any::<bool>(), any::<bool>(), told), 1..8)
}

const VARIANTS: [&str; 3] = ["on", "off", "b"];

/// (flag, variant) -> (good, bad).
type Wanted = BTreeMap<(String, String), (i64, i64)>;

/// The parts of the requests, and the variant of the named flag that each request must have.
fn parts(shapes: &[Shape]) -> (Vec<Part>, Wanted) {
    let (mut parts, mut wanted) = (Vec::new(), BTreeMap::new());
    for (trace, (depth, has_list, is_bad, told)) in (1u8..).zip(shapes) {
        let mut best: Option<(u64, &str)> = None;
        let list = if *has_list {
            vec![kv("feature.flags", array([s("unrelated")]))]
        } else {
            vec![]
        };
        let mut chain = vec![with(span(trace, 1, 0, SERVER), list)];
        chain.extend((0..*depth).map(|level| span(trace, level + 2, level + 1, INTERNAL)));
        if *is_bad {
            chain[0] = bad(chain[0].clone());
        }
        let mut extra = Vec::new();
        for (n, (level, by, variant, secs)) in (0u8..).zip(told) {
            let id = level.min(depth) + 1;
            let at = NOW.0 - 4_000_000 + u64::from(*secs);
            let variant = VARIANTS[usize::from(*variant)];
            match by {
                0 => extra.push(Part::Spans(vec![Span {
                    end_time_unix_nano: at,
                    ..telling(span(trace, 100 + n, id, INTERNAL), "named", variant)
                }])),
                1 => extra.push(Part::Spans(vec![Span {
                    name: "feature_flag.evaluation".into(),
                    end_time_unix_nano: at,
                    ..with(span(trace, 100 + n, id, INTERNAL), evaluation("named", variant))
                }])),
                _ => extra.push(Part::Logs(vec![LogRecord {
                    time_unix_nano: at,
                    ..record(trace, id, "named", variant)
                }])),
            }
            best = best.max(Some((at, variant)));
        }
        parts.extend(chain.into_iter().map(|span| Part::Spans(vec![span])));
        parts.extend(extra);
        let one = if *is_bad { (0, 1) } else { (1, 0) };
        let mut add = |flag: &str, variant: &str| {
            let sum: &mut (i64, i64) = wanted.entry((flag.to_owned(), variant.to_owned())).or_default();
            sum.0 += one.0;
            sum.1 += one.1;
        };
        match best {
            Some((_, variant)) => add("named", variant),
            None if *has_list => add("named", "off"),
            None => {}
        }
        if *has_list {
            add("unrelated", "on");
        }
    }
    (parts, wanted)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 400, ..ProptestConfig::default() })]

    /// Whatever the order of the parts, and however they are put together into requests.
    #[test]
    fn any_order_and_any_split_of_the_parts_gives_the_same_counts(
        shapes in shapes(), order in proptest::collection::vec(any::<Index>(), 60), joins in any::<u64>(),
    ) {
        let (mut rest, wanted) = parts(&shapes);
        let requests = i64::try_from(shapes.len()).unwrap();
        let mut world = world();
        let mut shuffled = Vec::new();
        let mut order = order.iter().cycle();
        while !rest.is_empty() {
            let at = order.next().unwrap().index(rest.len());
            shuffled.push(rest.swap_remove(at));
        }
        let mut bits = joins;
        let mut open: Option<Part> = None;
        for part in shuffled {
            bits = bits.rotate_left(1);
            open = Some(match (open.take(), part) {
                (Some(Part::Spans(mut all)), Part::Spans(more)) if bits & 1 == 1 => {
                    all.extend(more);
                    Part::Spans(all)
                }
                (Some(Part::Logs(mut all)), Part::Logs(more)) if bits & 1 == 1 => {
                    all.extend(more);
                    Part::Logs(all)
                }
                (former, part) => {
                    send(&mut world, former);
                    part
                }
            });
        }
        send(&mut world, open);
        world.sums.flags.retain(|_, sum| *sum != (0, 0));
        prop_assert_eq!(&world.sums.flags, &wanted);
        prop_assert_eq!(world.sums.total.0 + world.sums.total.1, requests);
    }
}

fn send(world: &mut World, part: Option<Part>) {
    match part {
        Some(Part::Spans(spans)) => {
            world.spans("checkout", spans);
        }
        Some(Part::Logs(records)) => {
            world.logs("checkout", records);
        }
        None => {}
    }
}
