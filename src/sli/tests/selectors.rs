//! Which spans are requests.

use crate::sli::Judgement::{self, Good, NotOurs};
use crate::sli::testing::{CLIENT, CONSUMER, INTERNAL, PRODUCER, SERVER, Sample, array, int, sample, text};
use opentelemetry_proto::tonic::common::v1::any_value::Value;

fn selected(sample: &Sample, matching: &str) -> bool {
    let judgement = sample.judged_by(&format!("{{ spans: {{ match: {{ {matching} }} }} }}"));
    judgement != NotOurs
}

#[test]
fn requests_are_counted_where_they_are_served() {
    let judged = |kind: i32, yaml: &str| sample().kind(kind).judged_by(yaml);
    for (kind, expected) in [
        (0, NotOurs),
        (INTERNAL, NotOurs),
        (SERVER, Good),
        (CLIENT, NotOurs),
        (PRODUCER, NotOurs),
        (CONSUMER, Good),
        (9, NotOurs),
    ] {
        assert_eq!(judged(kind, "{}"), expected, "kind {kind}");
        assert_eq!(judged(kind, "{ spans: { kind: any } }"), Good, "kind {kind}");
    }
    assert_eq!(judged(CLIENT, "{ spans: { kind: client } }"), Good);
    assert_eq!(
        judged(SERVER, "{ spans: { kind: [ client, SPAN_KIND_PRODUCER ] } }"),
        NotOurs
    );
    assert_eq!(judged(9, "{ spans: { kind: unspecified } }"), Good);
}

#[test]
fn name_and_scope_select() {
    let mut span = sample().named("GET /checkout");
    span.scope.name = "otelgrpc".to_owned();
    let judged = |yaml: &str| -> Judgement { span.judged_by(yaml) };
    assert_eq!(judged("{ spans: { name: GET /checkout } }"), Good);
    assert_eq!(judged("{ spans: { name: \"GET *\", scope: otelgrpc } }"), Good);
    assert_eq!(judged("{ spans: { name: [ a, /check/ ] } }"), Good);
    assert_eq!(judged("{ spans: { name: { not: \"GET *\" } } }"), NotOurs);
    assert_eq!(judged("{ spans: { scope: otelhttp } }"), NotOurs);
    assert_eq!(
        judged("{ spans: { match: { name: \"*checkout\", scope.name: [ otelgrpc ] } } }"),
        Good
    );
}

#[test]
fn every_form_of_match_value_works() {
    let span = sample()
        .attr("http.route", text("/pay/{id}"))
        .attr("size", int(1500))
        .attr("cached", Value::BoolValue(false))
        .attr("share", Value::DoubleValue(0.5));
    for (matching, expected) in [
        ("http.route: \"/pay/{id}\"", true),
        ("http.route: [ /checkout, \"/pay/{id}\" ]", true),
        ("http.route: [ /checkout, \"/pay/*\" ]", true),
        ("http.route: [ /checkout, /pay ]", false),
        ("http.route: \"/pay/*\"", true),
        ("http.route: /^.pay/", true),
        ("http.route: /^pay/", false),
        ("http.route: { regex: \"^/pay/[{]id[}]$\" }", true),
        ("http.route: { glob: \"*id?\" }", true),
        ("http.route: { equals: \"/pay/*\" }", false),
        ("http.route: { in: [ \"/pay/*\" ] }", false),
        ("http.route: { exists: true }", true),
        ("http.route: { exists: false }", false),
        ("http.route: { not: [ /health, \"/pay/*\" ] }", false),
        ("http.route: { not: [ /health, /ready ] }", true),
        ("size: 1500", true),
        ("size: \"1500\"", true),
        ("size: { ge: 1000, lt: 1500 }", false),
        ("size: { ge: 1500, le: 1500 }", true),
        ("size: { gt: 1499.5 }", true),
        ("size: { not: { gt: 1499.5 } }", false),
        ("cached: false", true),
        ("cached: true", false),
        ("share: 0.5", true),
        ("status: unset", true),
        ("status.code: { not: error }", true),
        ("size: 1500, cached: true", false),
    ] {
        assert_eq!(selected(&span, matching), expected, "{matching}");
    }
}

#[test]
fn not_takes_spans_without_the_attribute_too() {
    assert!(selected(&sample(), "http.route: { not: /health }"));
    assert!(!selected(&sample(), "http.route: { exists: true }"));
    assert!(selected(&sample(), "http.route: { exists: false }"));
    assert!(!selected(&sample(), "http.route: /health"));
}

#[test]
fn attributes_are_looked_for_on_span_then_scope_then_resource() {
    let resource = sample().resource_attr("region", text("resource"));
    let scope = resource.clone().scope_attr("region", text("scope"));
    let span = scope.clone().attr("region", text("span"));
    assert!(selected(&resource, "region: resource"));
    assert!(selected(&scope, "region: scope"));
    assert!(selected(&span, "region: span"));
    assert!(selected(
        &span,
        "span.region: span, scope.region: scope, resource.region: resource"
    ));
    assert!(!selected(&resource, "span.region: resource"));
    assert!(!selected(&resource, "scope.region: resource"));
}

#[test]
fn a_value_without_content_is_missing() {
    let mut empty = sample().resource_attr("region", text("eu"));
    empty
        .span
        .attributes
        .push(opentelemetry_proto::tonic::common::v1::KeyValue {
            key: "region".to_owned(),
            ..Default::default()
        });
    assert!(selected(&empty, "region: eu"), "the next place is asked");
    assert!(selected(&empty, "span.region: { exists: false }"));
    assert!(
        selected(
            &sample().attr("region", text("")),
            "span.region: { exists: true }"
        ),
        "an empty text is a value"
    );
}

#[test]
fn an_array_satisfies_what_one_of_its_elements_does() {
    let span = sample().attr("tags", array(vec![text("a"), int(7), array(vec![text("deep")])]));
    for (matching, expected) in [
        ("tags: a", true),
        ("tags: 7", true),
        ("tags: { gt: 6 }", true),
        ("tags: b", false),
        ("tags: deep", false),
        ("tags: { exists: true }", true),
    ] {
        assert_eq!(selected(&span, matching), expected, "{matching}");
    }
}

#[test]
fn renamed_attributes_are_found_by_either_name() {
    let old = sample()
        .attr("http.status_code", int(503))
        .resource_attr("deployment.environment", text("prod"));
    assert_eq!(
        old.judged_by("{ bad: http.response.status_code >= 500 }"),
        Judgement::Bad
    );
    assert!(selected(&old, "deployment.environment.name: prod"));
    let new = sample().attr("http.response.status_code", int(503));
    assert_eq!(new.judged_by("{ bad: http.status_code >= 500 }"), Judgement::Bad);
    let both = old.attr("http.response.status_code", int(200));
    assert_eq!(
        both.judged_by("{ bad: http.response.status_code >= 500 }"),
        Good,
        "the name that was asked for wins"
    );
}
