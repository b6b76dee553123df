//! Which objectives a service has.

use crate::pipeline::Signal;
use crate::sli::testing::sample;
use crate::sli::{
    DefaultObjective, Judgement, ObjectiveIndex, ObjectiveName, ObjectiveSet, ObjectiveSpec, SliError,
    SliSpec,
};
use crate::wire::KeyTableBuilder;
use std::sync::Arc;

fn spec(service: &str, environment: Option<&str>, slo: &str) -> ObjectiveSpec {
    let name = ObjectiveName {
        service: Arc::from(service),
        slo: Arc::from(slo),
    };
    ObjectiveSpec {
        name,
        environment: environment.map(Arc::from),
        sli: SliSpec::default(),
    }
}

fn fallback() -> DefaultObjective {
    DefaultObjective {
        slo: Arc::from("availability"),
        sli: SliSpec::default(),
    }
}

fn compile(specs: &[ObjectiveSpec], default: Option<&DefaultObjective>) -> Result<ObjectiveSet, SliError> {
    ObjectiveSet::compile(specs, default, &mut KeyTableBuilder::default())
}

fn candidates(set: &ObjectiveSet, service: &str, environment: Option<&str>) -> Vec<u16> {
    let found = set.candidates(Signal::Traces, service.as_bytes(), environment.map(str::as_bytes));
    found.iter().map(|index| index.0).collect()
}

#[test]
fn objectives_are_found_by_service_and_environment() {
    let specs = [
        spec("cart", Some("production"), "a"),
        spec("cart", Some("staging"), "a"),
        spec("cart", None, "b"),
        spec("pay", Some("production"), "a"),
    ];
    let set = compile(&specs, None).unwrap();
    for (service, environment, expected) in [
        ("cart", Some("production"), vec![0, 2]),
        ("cart", Some("staging"), vec![1, 2]),
        ("cart", Some("test"), vec![2]),
        ("cart", None, vec![2]),
        ("pay", Some("production"), vec![3]),
        ("pay", None, vec![]),
        ("other", None, vec![]),
    ] {
        assert_eq!(
            candidates(&set, service, environment),
            expected,
            "{service} {environment:?}"
        );
    }
}

#[test]
fn the_default_is_for_services_that_no_policy_names() {
    let specs = [
        spec("cart", Some("production"), "a"),
        spec("edge-*", Some("production"), "a"),
    ];
    let set = compile(&specs, Some(&fallback())).unwrap();
    assert_eq!(set.len(), 3);
    for (service, environment, expected) in [
        ("pay", None, vec![2]),
        ("pay", Some("production"), vec![2]),
        ("cart", Some("production"), vec![0]),
        ("cart", Some("staging"), vec![]),
        ("edge-eu", Some("staging"), vec![]),
    ] {
        assert_eq!(
            candidates(&set, service, environment),
            expected,
            "{service} {environment:?}"
        );
    }
    assert_eq!(
        candidates(&compile(&[], Some(&fallback())).unwrap(), "any", None),
        [0]
    );
}

#[test]
fn the_most_specific_policy_that_covers_the_environment_decides() {
    let specs = [
        spec("*", None, "a"),
        spec("checkout-*", None, "a"),
        spec("checkout-eu-*", Some("production"), "a"),
        spec("checkout-eu-1", Some("canary"), "a"),
    ];
    let set = compile(&specs, Some(&fallback())).unwrap();
    for (service, environment, expected) in [
        ("cart", None, vec![0]),
        ("checkout-us", None, vec![1]),
        ("checkout-eu-2", Some("production"), vec![2]),
        ("checkout-eu-2", Some("canary"), vec![1]),
        ("checkout-eu-1", Some("canary"), vec![3]),
        ("checkout-eu-1", Some("production"), vec![2]),
    ] {
        assert_eq!(
            candidates(&set, service, environment),
            expected,
            "{service} {environment:?}"
        );
    }
}

#[test]
fn patterns_and_the_default_carry_the_actual_service() {
    let set = compile(
        &[spec("cart", None, "a"), spec("edge-*", None, "b")],
        Some(&fallback()),
    )
    .unwrap();
    let name = |index, service: &str| {
        set.objective_name(ObjectiveIndex(index), &Arc::from(service))
            .to_string()
    };
    assert_eq!(name(0, "cart"), "SLO \"a\" of service \"cart\"");
    assert_eq!(name(1, "edge-eu"), "SLO \"b\" of service \"edge-eu\"");
    assert_eq!(name(2, "pay"), "SLO \"availability\" of service \"pay\"");
}

#[test]
fn one_name_cannot_count_a_span_twice() {
    let twice = |a, b| compile(&[spec("cart", a, "x"), spec("cart", b, "x")], None).unwrap_err();
    for (a, b) in [(None, None), (Some("p"), Some("p")), (Some("p"), None)] {
        assert!(matches!(twice(a, b), SliError::Duplicate { .. }), "{a:?} {b:?}");
    }
    assert!(
        compile(
            &[spec("cart", Some("p"), "x"), spec("cart", Some("q"), "x")],
            None
        )
        .is_ok()
    );
}

#[test]
fn a_service_has_at_most_64_objectives_in_one_environment() {
    let specs: Vec<_> = (0..65).map(|i| spec("cart", None, &format!("slo-{i}"))).collect();
    let error = compile(&specs, None).unwrap_err();
    assert_eq!(
        error.to_string(),
        "service \"cart\" has 65 SLOs in one environment, at most 64 can be"
    );
    assert_eq!(
        candidates(&compile(&specs[..64], None).unwrap(), "cart", None).len(),
        64
    );
}

#[test]
fn empty_names_are_refused() {
    for empty in [
        spec("", None, "a"),
        spec("cart", None, ""),
        spec("cart", Some(""), "a"),
    ] {
        assert!(matches!(compile(&[empty], None), Err(SliError::Names { .. })));
    }
}

#[test]
fn an_index_of_another_set_is_not_ours() {
    let mut keys = KeyTableBuilder::default();
    let set = ObjectiveSet::compile(&[], None, &mut keys).unwrap();
    let judged = sample().with_context(&keys.build(), |context| set.judge(ObjectiveIndex(0), context));
    assert_eq!(judged, Judgement::NotOurs);
    assert!(set.is_empty());
}

#[test]
fn what_is_counted_by_hand_alone_is_no_candidate_of_telemetry() {
    let by_hand = ObjectiveSpec {
        sli: serde_saphyr::from_str("{ events: {} }").unwrap(),
        ..spec("cart", None, "jobs")
    };
    let set = compile(&[by_hand, spec("cart", None, "availability")], Some(&fallback())).unwrap();
    for signal in Signal::ALL {
        let found = set.candidates(signal, b"cart", None);
        assert_eq!(found.len(), usize::from(signal == Signal::Traces), "{signal:?}");
    }
    let all = |service: &str| {
        set.candidates_by_hand(service.as_bytes(), None)
            .iter()
            .map(|i| i.0)
            .collect::<Vec<_>>()
    };
    assert_eq!(
        (all("cart"), all("other")),
        (vec![1, 0], vec![2]),
        "and the default takes them, too"
    );
}
