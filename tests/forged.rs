//! Forged telemetry and noise against the whole core, in simulated time: whoever can send spans must not be able to have anything
//! decided that no policy names, nor more of what one names than its rules allow.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use burngate::config::{Config, ConfigSource};
use burngate::decide::{Decision, DecisionState};
use burngate::gateway::Rehearsal;
use burngate::pipeline::{Batch, ClientMetadata, Signal};
use burngate::time::UnixNanos;
use fastrand::Rng;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, span::SpanKind};
use prost::Message as _;
use std::collections::BTreeMap;
use std::sync::Arc;

const T0: UnixNanos = UnixNanos::from_secs(1_795_000_200);
const STEP_SECS: u64 = 10;
const STEPS: u64 = 30;
/// Scenarios of one core, each behind the cooldown of the one before: opening one takes longer than a scenario.
const OF_ONE_CORE: u64 = 10;
const APART_SECS: u64 = 2 * 3600;

/// One that may act, one that only watches, one that is switched off; for `checkout` in `production`.
const POLICY: &str = "
service: checkout
environment: production
slos: [{ name: availability, target: 99.9% }]
kill_switches:
  - { flag: armed, exporter: webhook, mode: auto, when: { burn_above: 7, window: 5m, for: 30s } }
  - { flag: watched, exporter: webhook, mode: observe, when: { burn_above: 7, window: 5m, for: 30s } }
  - { flag: dark, exporter: webhook, mode: off, when: { burn_above: 7, window: 5m, for: 30s } }
";

const GATEWAY: &str = "
receivers: { otlp: { protocols: { grpc: } } }
connectors: { error_budget: { policies: [ policy.yaml ], evaluation_interval: 10s } }
exporters: { webhook: { url: \"http://127.0.0.1:1/\" } }
service:
  pipelines:
    traces: { receivers: [otlp], exporters: [error_budget] }
    decisions: { receivers: [error_budget], exporters: [webhook] }
";

/// What somebody sends in one scenario, all along.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Attack {
    /// Flags that no policy names fail without end.
    UnnamedFlags,
    /// The named flags fail, elsewhere: other environments, or nearly the same name.
    OtherEnvironment,
    /// The named flags fail, of services that are called nearly the same.
    OtherService,
    /// The named flags are hidden among thousands of names that nobody has seen.
    CardinalityBomb,
    /// Each span is of a deployment of its own.
    RandomShas,
    /// One instance claims everything.
    SingleSource,
    /// Variants that no rule may blame.
    ReservedVariants,
    /// Spans of other centuries.
    WrongTimes,
    /// The flag that is switched off fails.
    SwitchedOff,
    /// Bits fall over on the way.
    Noise,
}

const ATTACKS: [Attack; 10] = [
    Attack::UnnamedFlags,
    Attack::OtherEnvironment,
    Attack::OtherService,
    Attack::CardinalityBomb,
    Attack::RandomShas,
    Attack::SingleSource,
    Attack::ReservedVariants,
    Attack::WrongTimes,
    Attack::SwitchedOff,
    Attack::Noise,
];

impl Attack {
    /// Whether nothing at all may be decided, because nothing of it is what a policy names and may act on.
    const fn is_about_nothing(self) -> bool {
        matches!(
            self,
            Self::UnnamedFlags
                | Self::OtherEnvironment
                | Self::OtherService
                | Self::SingleSource
                | Self::ReservedVariants
                | Self::SwitchedOff
        )
    }
}

/// One request as somebody claims that it was.
#[derive(Clone, Debug)]
struct Claim {
    service: String,
    environment: Option<String>,
    sha: String,
    instance: String,
    flags: Vec<(String, String)>,
    failed: bool,
    ended: UnixNanos,
}

fn attribute(key: &str, value: Value) -> KeyValue {
    let value = Some(AnyValue { value: Some(value) });
    KeyValue {
        key: key.to_owned(),
        value,
        ..KeyValue::default()
    }
}

fn text(key: &str, value: &str) -> KeyValue {
    attribute(key, Value::StringValue(value.to_owned()))
}

fn request(claims: &[Claim], rng: &mut Rng) -> Vec<u8> {
    let resource_spans = claims.iter().map(|claim| {
        let mut attributes = vec![
            text("service.name", &claim.service),
            text("service.instance.id", &claim.instance),
            text("deployment.sha", &claim.sha),
        ];
        attributes.extend(
            claim
                .environment
                .as_ref()
                .map(|it| text("deployment.environment.name", it)),
        );
        let flags = claim.flags.iter().map(|(flag, variant)| AnyValue {
            value: Some(Value::StringValue(format!("{flag}={variant}"))),
        });
        let flags = ArrayValue {
            values: flags.collect(),
        };
        let span = Span {
            trace_id: rng.u128(1..).to_be_bytes().to_vec(),
            span_id: rng.u64(1..).to_be_bytes().to_vec(),
            name: "POST /pay".to_owned(),
            kind: SpanKind::Server.into(),
            start_time_unix_nano: claim.ended.0.saturating_sub(1_000_000),
            end_time_unix_nano: claim.ended.0,
            attributes: vec![
                text("http.request.method", "POST"),
                attribute(
                    "http.response.status_code",
                    Value::IntValue(if claim.failed { 500 } else { 200 }),
                ),
                attribute("feature.flags", Value::ArrayValue(flags)),
            ],
            ..Span::default()
        };
        ResourceSpans {
            resource: Some(Resource {
                attributes,
                ..Resource::default()
            }),
            scope_spans: vec![ScopeSpans {
                spans: vec![span],
                ..ScopeSpans::default()
            }],
            ..ResourceSpans::default()
        }
    });
    let request = ExportTraceServiceRequest {
        resource_spans: resource_spans.collect(),
    };
    request.encode_to_vec()
}

/// A request of the service as it really is: healthy, with the flags on for half of them.
fn honest(now: UnixNanos, rng: &mut Rng) -> Claim {
    let on = |rng: &mut Rng| if rng.bool() { "on" } else { "off" }.to_owned();
    Claim {
        service: "checkout".to_owned(),
        environment: Some("production".to_owned()),
        sha: "9fceb02".to_owned(),
        instance: format!("pod-{}", rng.u8(..5)),
        flags: ["armed", "watched", "dark"]
            .map(|flag| (flag.to_owned(), on(rng)))
            .to_vec(),
        failed: false,
        ended: now,
    }
}

fn pick<'a>(rng: &mut Rng, of: &[&'a str]) -> &'a str {
    of[rng.usize(..of.len())]
}

fn random_name(rng: &mut Rng) -> String {
    let length = rng.usize(1..40);
    std::iter::repeat_with(|| rng.char('!'..='~'))
        .take(length)
        .collect()
}

/// The same, forged.
fn forged(attack: Attack, now: UnixNanos, rng: &mut Rng) -> Claim {
    let mut claim = Claim {
        failed: true,
        ..honest(now, rng)
    };
    let named = |rng: &mut Rng| vec![(pick(rng, &["armed", "watched"]).to_owned(), "on".to_owned())];
    match attack {
        Attack::UnnamedFlags => {
            let near = [
                "Armed",
                "armed ",
                "armed2",
                "arm",
                "armed/on",
                "*",
                "payments",
                "sec-login",
            ];
            let flag = if rng.bool() {
                random_name(rng)
            } else {
                pick(rng, &near).to_owned()
            };
            // Its own name with the list's own marks in it could name another flag.
            let flag = flag.replace(['=', '!', ',', ':', ' '], "_");
            claim.flags = vec![(format!("x-{flag}"), "on".to_owned())];
        }
        Attack::OtherEnvironment => {
            claim.flags = named(rng);
            let near = ["staging", "Production2", "prod", "production-eu", ""];
            claim.environment = (!rng.bool()).then(|| pick(rng, &near).to_owned());
        }
        Attack::OtherService => {
            claim.flags = named(rng);
            let near = [
                "checkout2",
                "check-out",
                "checkout.evil",
                "evil/checkout",
                "*",
                "cart",
            ];
            pick(rng, &near).clone_into(&mut claim.service);
        }
        Attack::CardinalityBomb => {
            claim.flags = (0..20).map(|_| (random_name(rng), random_name(rng))).collect();
            claim.flags.extend(named(rng));
            claim.instance = random_name(rng);
        }
        Attack::RandomShas => {
            claim.flags = named(rng);
            claim.sha = format!("{:016x}", rng.u64(..));
        }
        Attack::SingleSource => {
            claim.flags = named(rng);
            "pod-evil".clone_into(&mut claim.instance);
        }
        Attack::ReservedVariants => {
            let variant = pick(rng, &["off", "(error)", "(default)", "(stale)"]);
            claim.flags = vec![("armed".to_owned(), variant.to_owned())];
        }
        Attack::WrongTimes => {
            claim.flags = named(rng);
            claim.ended = UnixNanos(rng.u64(..));
        }
        Attack::SwitchedOff => claim.flags = vec![("dark".to_owned(), "on".to_owned())],
        Attack::Noise => claim.failed = rng.bool(),
    }
    claim
}

/// Everything that is decided while these batches arrive from `start` on, one a step: the one place that drives the core.
fn decided(core: &mut Rehearsal, start: UnixNanos, batch: impl FnMut(UnixNanos) -> Vec<u8>) -> Vec<Decision> {
    decided_of(None, core, start, batch)
}

/// The same, sent by somebody whom the receiver knows under a name.
fn decided_of(
    identity: Option<&str>,
    core: &mut Rehearsal,
    start: UnixNanos,
    mut batch: impl FnMut(UnixNanos) -> Vec<u8>,
) -> Vec<Decision> {
    let metadata = identity.map(|name| {
        Arc::new(ClientMetadata {
            headers: Vec::new(),
            identity: Some(name.into()),
        })
    });
    for step in 0..STEPS {
        let now = start.plus_secs(step * STEP_SECS);
        // A request that is refused is a fine answer to most of these.
        let sent = Batch {
            metadata: metadata.clone(),
            ..Batch::new(Signal::Traces, batch(now).into())
        };
        let _ = core.take(now, &sent);
        core.tick(now);
    }
    let all = core.decisions().into_iter();
    all.filter(|it| it.decided_at >= start).collect()
}

fn open(config: &Config, at: UnixNanos) -> Rehearsal {
    Rehearsal::open(config.clone(), at).unwrap()
}

fn config() -> (tempfile::TempDir, Config) {
    config_of(GATEWAY)
}

fn config_of(gateway: &str) -> (tempfile::TempDir, Config) {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("policy.yaml"), POLICY).unwrap();
    std::fs::write(folder.path().join("gateway.yaml"), gateway).unwrap();
    let source = ConfigSource::File(folder.path().join("gateway.yaml"));
    (folder, Config::load(&source).unwrap())
}

/// Nothing beyond the policy, and of that no more than its rules allow.
fn assert_within_the_policy(decisions: &[Decision], what: &str) {
    let mut of_flag: BTreeMap<&str, u32> = BTreeMap::new();
    for decision in decisions {
        let told = format!("{what}: {decision:?}");
        let evidence = &decision.evidence;
        assert_eq!(
            (decision.exporter.as_str(), decision.environment.as_str()),
            ("webhook", "production"),
            "{told}"
        );
        assert_eq!(
            (evidence.service.as_str(), &decision.deployment),
            ("checkout", &None),
            "{told}"
        );
        assert_eq!(
            (evidence.environment.as_deref(), evidence.flag.as_str()),
            (Some("production"), decision.flag.as_str()),
            "{told}"
        );
        assert_eq!(decision.action.to_string(), "off", "{told}");
        assert_eq!(evidence.variant, "on", "{told}");
        let observed = decision.state == DecisionState::Observed;
        assert!(
            matches!(
                (decision.flag.as_str(), observed),
                ("armed", false) | ("watched", true)
            ),
            "{told}"
        );
        *of_flag.entry(&decision.flag).or_default() += 1;
    }
    // A cooldown is longer than a scenario.
    assert!(of_flag.values().all(|n| *n == 1), "{what}: {of_flag:?}");
}

#[test]
fn nothing_is_decided_beyond_the_policy_whatever_is_forged() {
    let (_folder, config) = config();
    let scenarios = if std::env::var_os("BURNGATE_LONG").is_some() {
        10_000
    } else {
        150
    };
    let mut decisions_made = 0;
    let mut core = open(&config, T0);
    for seed in 0..scenarios {
        let start = T0.plus_secs(seed % OF_ONE_CORE * APART_SECS);
        if start == T0 {
            core = open(&config, T0);
        }
        let mut rng = Rng::with_seed(seed);
        let attacks: Vec<Attack> = (0..rng.usize(1..=3))
            .map(|_| ATTACKS[rng.usize(..ATTACKS.len())])
            .collect();
        let (real, forgeries) = (rng.usize(0..12), rng.usize(1..24));
        let decisions = decided(&mut core, start, |now| {
            let mut claims: Vec<Claim> = (0..real).map(|_| honest(now, &mut rng)).collect();
            for _ in 0..forgeries {
                let attack = attacks[rng.usize(..attacks.len())];
                claims.push(forged(attack, now, &mut rng));
            }
            rng.shuffle(&mut claims);
            let mut bytes = request(&claims, &mut rng);
            if attacks.contains(&Attack::Noise) {
                for _ in 0..rng.usize(0..8) {
                    let at = rng.usize(..bytes.len());
                    bytes[at] ^= 1 << rng.u8(..8);
                }
            }
            bytes
        });
        let what = format!("seed {seed}, {attacks:?}");
        assert_within_the_policy(&decisions, &what);
        if attacks.iter().all(|it| it.is_about_nothing()) {
            assert_eq!(decisions, [], "{what}");
        }
        decisions_made += decisions.len();
    }
    assert!(decisions_made < usize::try_from(scenarios).unwrap() * 2);
}

/// A busy service in which every second request with `armed` fails.
fn failing(now: UnixNanos, rng: &mut Rng) -> Vec<u8> {
    let claim = |rng: &mut Rng| {
        let mut claim = honest(now, rng);
        claim.failed = claim.flags[0].1 == "on" && rng.bool();
        claim
    };
    let claims: Vec<Claim> = (0..200).map(|_| claim(rng)).collect();
    request(&claims, rng)
}

/// The same core does decide: what the scenarios show is not that it sleeps.
#[test]
fn a_flag_that_really_fails_is_decided_about() {
    let (_folder, config) = config();
    let mut rng = Rng::with_seed(7);
    let decisions = decided(&mut open(&config, T0), T0, |now| failing(now, &mut rng));
    assert_within_the_policy(&decisions, "a real failure");
    assert_eq!(
        decisions.iter().map(|it| it.flag.as_str()).collect::<Vec<_>>(),
        ["armed"]
    );
}

#[test]
fn only_who_may_speak_for_a_service_can_have_its_flags_switched() {
    let witnesses = "guards: { witnesses: [ \
                     { identity: shop, services: [ checkout ], environments: [ production ] }, \
                     { identity: cart, services: [ cart ] }, \
                     { identity: tests, services: [ checkout ], environments: [ staging ] } ] }";
    let gateway = GATEWAY.replace(
        "evaluation_interval: 10s",
        &format!("evaluation_interval: 10s, {witnesses}"),
    );
    assert_ne!(gateway, GATEWAY);
    let (_folder, config) = config_of(&gateway);
    for (identity, wanted) in [
        (Some("shop"), &["armed"][..]),
        (Some("cart"), &[]),
        (Some("tests"), &[]),
        (Some("stranger"), &[]),
        (None, &[]),
    ] {
        let mut rng = Rng::with_seed(7);
        let mut core = open(&config, T0);
        let decisions = decided_of(identity, &mut core, T0, |now| failing(now, &mut rng));
        let flags: Vec<_> = decisions.iter().map(|it| it.flag.as_str()).collect();
        assert_eq!(flags, wanted, "{identity:?}");
    }
}

/// Requests that fail for what users send fail with and without the flag.
#[test]
fn abuse_that_hits_both_variants_alike_blames_neither() {
    let (_folder, config) = config();
    for seed in 0..10 {
        let mut rng = Rng::with_seed(seed);
        let decisions = decided(&mut open(&config, T0), T0, |now| {
            let claim = |rng: &mut Rng| {
                let mut claim = honest(now, rng);
                claim.failed = rng.u8(..10) < 4;
                claim
            };
            let claims: Vec<Claim> = (0..200).map(|_| claim(&mut rng)).collect();
            request(&claims, &mut rng)
        });
        assert_eq!(decisions, [], "seed {seed}");
    }
}
