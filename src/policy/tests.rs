//! Claims about policy files: what they mean, and how mistakes are answered.

use super::*;
use crate::sli::ObjectiveName;
use proptest::prelude::*;
use std::sync::Arc;

const EXAMPLE: &str = include_str!("../../config/policies/checkout.yaml");

fn set(text: &str) -> PolicySet {
    from_text("p.yaml", text).unwrap()
}

/// The first problem, as printed.
fn refusal(text: &str) -> String {
    from_text("p.yaml", text).expect_err("should be refused").problems[0].to_string()
}

fn warnings(text: &str) -> Vec<String> {
    set(text).warnings().iter().map(ToString::to_string).collect()
}

fn name(service: &str, slo: &str) -> ObjectiveName {
    ObjectiveName {
        service: service.into(),
        slo: slo.into(),
    }
}

/// The target that holds, as text.
fn target(set: &PolicySet, service: &str, environment: Option<&str>) -> Option<String> {
    set.find(&name(service, "availability"), environment)
        .map(|(_, slo)| slo.target.to_string())
}

#[test]
fn the_example_says_what_its_comments_say() {
    let set = from_text("checkout.yaml", EXAMPLE).unwrap();
    assert_eq!(set.warnings(), []);
    let [checkout, payments] = set.policies() else {
        panic!("two policies")
    };
    assert_eq!(
        (checkout.service.as_str(), checkout.environment.as_deref()),
        ("checkout", Some("production"))
    );
    assert_eq!(checkout.owner["team"], "payments");
    assert_eq!(checkout.slos[0].target.budget_ppb(), 500_000);
    assert_eq!(checkout.slos[0].period_secs, 30 * 86_400);
    assert_eq!(checkout.slos[0].alerts.len(), 4);
    let kill = &checkout.kill_switches[0];
    assert_eq!(
        (kill.when, kill.mode, kill.slo.as_deref()),
        (KillRule::default(), KillMode::Observe, None)
    );
    assert_eq!(
        (&*kill.flag, &*kill.exporter, &*kill.environment),
        ("new-checkout", "unleash", "production")
    );
    assert_eq!(
        (payments.tier, payments.slos[0].period_secs),
        (Some(0), 28 * 86_400)
    );
    assert_eq!(payments.kill_switches[0].mode, KillMode::Auto);
    assert_eq!(payments.kill_switches[0].when.min_bad, 5);
    assert_eq!(payments.kill_switches[0].action, SafeState::Off);
    assert_eq!(payments.kill_switches[0].blame, Blame::default());
    assert_eq!(payments.kill_switches[0].guards, Guards::default());
    set.check_exporters(&["unleash"]).unwrap();
}

#[test]
fn actions_are_read_whatever_yaml_takes_their_words_for() {
    let serve = |variant: &str| SafeState::Serve {
        variant: variant.into(),
    };
    let rollout = |percent| SafeState::Rollout { percent };
    for (written, want) in [
        ("off", SafeState::Off),
        ("'off'", SafeState::Off),
        ("on", SafeState::On),
        ("{ serve: off }", serve("off")),
        ("{ serve: control }", serve("control")),
        ("{ serve: 2 }", serve("2")),
        ("{ rollout: 5% }", rollout(5)),
        ("{ rollout: 5 }", rollout(5)),
    ] {
        let yaml = format!(
            "service: a\nenvironment: production\nslos:\n  - {{ name: availability, target: 99.9% }}\n\
             kill_switches:\n  - {{ flag: f, exporter: e, action: {written} }}\n"
        );
        let policy = set(&yaml);
        assert_eq!(policy.kill_switches().next().unwrap().1.action, want, "{written}");
    }
}

#[test]
fn own_alerts_are_read_in_both_forms() {
    let set = from_text("checkout.yaml", EXAMPLE).unwrap();
    let alerts = &set
        .find(&name("payments", "availability"), Some("production"))
        .unwrap()
        .1
        .alerts;
    let shape = |a: &Alert| {
        a.windows
            .iter()
            .map(|w| (w.window_secs, w.burn_above.to_string()))
            .collect::<Vec<_>>()
    };
    assert_eq!(
        shape(&alerts[0]),
        [(300, "14".to_owned()), (3600, "7".to_owned())]
    );
    assert_eq!(
        shape(&alerts[1]),
        [(300, "8".to_owned()), (21_600, "2".to_owned())]
    );
    assert_eq!((alerts[0].for_secs, alerts[0].level), (300, AlertState::FastBurn));
    assert_eq!((alerts[1].for_secs, alerts[1].level), (900, AlertState::SlowBurn));
}

#[test]
fn single_windows_are_accepted_with_a_warning() {
    for window in ["5m", "60m", "1440m"] {
        let text = format!(
            "service: a\nslos:\n  - name: availability\n    target: 99.9%\n    \
             alerts:\n      - burn: \"{window} > 3\"\n"
        );
        let warnings = warnings(&text);
        assert_eq!(warnings.len(), 1, "{window}");
        assert!(
            warnings[0].starts_with("p.yaml:6:") && warnings[0].contains("only"),
            "{}",
            warnings[0]
        );
    }
}

#[test]
fn an_unknown_key_is_answered_with_its_line_and_the_nearest_known_key() {
    let typo = refusal("service: a\nenviroment: production\nslos: []\n");
    assert!(typo.starts_with("p.yaml:2:1:"), "{typo}");
    assert!(
        typo.contains("\"enviroment\"") && typo.contains("did you mean \"environment\"?"),
        "{typo}"
    );
    let deep = refusal("service: a\nslos:\n  - name: x\n    target: 99%\n    sli: { faster_then: 250ms }\n");
    assert!(
        deep.starts_with("p.yaml:5:") && deep.contains("did you mean \"faster_than\"?"),
        "{deep}"
    );
    let kill = refusal(
        "service: a\nenvironment: p\nslos: [{ name: x, target: 99% }]\n\
         kill_switches:\n  - flag: f\n    exporter: e\n    when: { burn_abov: 7 }\n",
    );
    assert!(
        kill.starts_with("p.yaml:7:") && kill.contains("did you mean \"burn_above\"?"),
        "{kill}"
    );
}

#[test]
#[allow(clippy::too_many_lines, reason = "a table of mistakes and answers")]
fn every_mistake_is_answered_with_its_line() {
    let slo = "slos: [{ name: availability, target: 99.9% }]\n";
    let kill = |rest: &str| format!("service: a\nenvironment: p\n{slo}kill_switches:\n  - {rest}\n");
    let cases: Vec<(String, &str, &str)> = vec![
        (
            "service: a\nslos:\n  - name: x\n    target: 100%\n".into(),
            "p.yaml:4:",
            "leaves no error budget",
        ),
        (
            "service: a\nslos:\n  - name: x\n    target: 0\n".into(),
            "p.yaml:4:",
            "promises nothing",
        ),
        (
            "service: a\nslos:\n  - name: x\n    target: high\n".into(),
            "p.yaml:4:",
            "plain decimal",
        ),
        (
            "service: a\nslos:\n  - name: x\n".into(),
            "p.yaml:3:",
            "\"target\" is missing",
        ),
        (format!("service: \"\"\n{slo}"), "p.yaml:1:", "service is empty"),
        (format!("service: \"a[\"\n{slo}"), "p.yaml:1:", "only * and ?"),
        (
            format!("service: a\n{slo}window: {{ calendar: month, timezone: Mars }}\n"),
            "p.yaml:3:",
            "there is no time zone",
        ),
        (
            format!("service: a\n{slo}window: 30\n"),
            "p.yaml:3:",
            "no duration",
        ),
        (
            format!("service: a\n{slo}window: 91d\n"),
            "p.yaml:3:",
            "from 1h to 90d",
        ),
        (
            format!("service: a\n{slo}window: 3605s\n"),
            "p.yaml:3:",
            "multiple of 10 s",
        ),
        ("service: a\nslos: []\n".into(), "p.yaml:2:", "at least one"),
        (
            "service: a\nslos:\n  - { name: x, target: 99% }\n  - { name: x, target: 98% }\n".into(),
            "p.yaml:4:",
            "twice",
        ),
        (
            format!("service: a\n{slo}alerts:\n  - burn: \"5m >= 3\"\n"),
            "p.yaml:4:",
            "> only",
        ),
        (
            format!("service: a\n{slo}alerts:\n  - burn: \"5m > 0\"\n"),
            "p.yaml:4:",
            "above 0",
        ),
        (
            format!("service: a\n{slo}alerts:\n  - burn: \"5m > 14 and\"\n"),
            "p.yaml:4:",
            "plain decimal",
        ),
        (
            format!("service: a\n{slo}alerts:\n  - burn: \"15s > 1\"\n"),
            "p.yaml:4:",
            "multiple of 10 s",
        ),
        (
            format!("service: a\n{slo}alerts:\n  - burn: \"5m > 2 and 5m > 1\"\n"),
            "p.yaml:4:",
            "named twice",
        ),
        (
            format!("service: a\n{slo}alerts:\n  - {{ name: n }}\n"),
            "p.yaml:4:",
            "needs windows",
        ),
        (
            format!("service: a\n{slo}alerts:\n  - {{ burn: \"5m > 2\", severity: pge }}\n"),
            "p.yaml:4:",
            "did you mean \"page\"?",
        ),
        (
            format!("service: a\n{slo}kill_switches:\n  - {{ flag: f, exporter: e }}\n"),
            "p.yaml:4:",
            "environment",
        ),
        (
            kill("{ flag: f, exporter: e, slo: availabilty }"),
            "p.yaml:5:",
            "did you mean \"availability\"?",
        ),
        (
            kill("{ flag: f, exporter: e, action: { rollout: 100% } }"),
            "p.yaml:5:",
            "unknown action",
        ),
        (
            kill("{ flag: f, exporter: e, action: { serve: [ a ] } }"),
            "p.yaml:5:",
            "unknown action",
        ),
        (
            kill("{ flag: f, exporter: e, mode: always }"),
            "p.yaml:5:",
            "off, observe, propose or auto",
        ),
        (
            kill("{ flag: f, exporter: e, variants: [ off ] }"),
            "p.yaml:5:",
            "never blamed",
        ),
        (
            kill("{ flag: f, exporter: e, variants: [ (error) ] }"),
            "p.yaml:5:",
            "fell back",
        ),
        (
            kill("{ flag: f, exporter: e, variants: [ false ] }"),
            "p.yaml:5:",
            "never blamed",
        ),
        (
            kill("{ flag: f, exporter: e, guards: { min_events: -1 } }"),
            "p.yaml:5:",
            "\"-1\" is no whole number of 0 or more",
        ),
        (
            kill("{ flag: f, exporter: e, action: on, variants: [ true ] }"),
            "p.yaml:5:",
            "the variant on is never blamed: the action, on, keeps it",
        ),
        (
            kill("{ flag: f, exporter: e, action: { serve: calm }, variants: [ calm ] }"),
            "p.yaml:5:",
            "never blamed",
        ),
        (
            kill("{ flag: f, exporter: e, when: { contrast: 0.5 } }"),
            "p.yaml:5:",
            "below 1",
        ),
        (
            kill("{ flag: f, exporter: e, when: { window: 4d } }"),
            "p.yaml:5:",
            "to 3d",
        ),
        (
            kill("{ flag: f, exporter: e, when: { burn_above: -7 } }"),
            "p.yaml:5:",
            "plain decimal",
        ),
        (
            kill("{ flag: f, exporter: e }\n  - { flag: f, exporter: e }"),
            "p.yaml:6:",
            "two kill switches",
        ),
        (kill("{ flag: f }"), "p.yaml:5:", "\"exporter\" is missing"),
        ("service: [\n".into(), "p.yaml:", ""),
    ];
    for (text, place, part) in cases {
        let got = refusal(&text);
        assert!(got.starts_with(place) && got.contains(part), "{text}\n-> {got}");
    }
}

#[test]
fn all_problems_of_a_file_are_told_at_once() {
    let text = "service: a\nwindow: 1y\nslos:\n  - { name: x, target: 100% }\n  - { name: y, target: 0% }\n";
    let lines: Vec<_> = from_text("p.yaml", text)
        .unwrap_err()
        .problems
        .iter()
        .map(|p| p.place.line)
        .collect();
    assert_eq!(lines, [2, 4, 5]);
}

#[test]
fn a_second_document_has_its_own_lines() {
    let text =
        "service: a\nslos: [{ name: x, target: 99% }]\n---\nservice: b\nslos: [{ name: x, target: 100% }]\n";
    assert!(refusal(text).starts_with("p.yaml:5:"), "{}", refusal(text));
}

#[test]
fn the_same_slo_of_the_same_service_and_environment_is_refused() {
    let policy = |environment: &str| format!("service: a\n{environment}slos: [{{ name: x, target: 99% }}]\n");
    let both = |a: &str, b: &str| from_text("p.yaml", &format!("{}---\n{}", policy(a), policy(b)));
    let problem = both("", "").unwrap_err().to_string();
    assert!(problem.contains("defined already at p.yaml:1"), "{problem}");
    assert!(both("environment: p\n", "environment: q\n").is_ok());
    assert!(
        both("environment: p\n", "").is_err(),
        "every environment is also p"
    );
}

#[test]
fn the_closest_policy_holds() {
    let policy = |service: &str, environment: &str, target: &str| {
        format!("service: \"{service}\"\n{environment}slos: [{{ name: availability, target: {target} }}]\n")
    };
    let set = set(&[
        policy("*", "", "90%"),
        policy("shop-*", "", "91%"),
        policy("shop-cart", "environment: production\n", "93%"),
        policy("shop-pay", "", "94%"),
    ]
    .join("---\n"));
    assert_eq!(target(&set, "other", None).as_deref(), Some("90%"));
    assert_eq!(
        target(&set, "shop-search", Some("production")).as_deref(),
        Some("91%")
    );
    assert_eq!(
        target(&set, "shop-cart", Some("staging")).as_deref(),
        Some("91%"),
        "not of the exact policy's environment"
    );
    assert_eq!(target(&set, "shop-pay", Some("staging")).as_deref(), Some("94%"));
    assert_eq!(
        target(&set, "shop-cart", Some("production")).as_deref(),
        Some("93%")
    );
}

#[test]
fn the_default_objective_is_for_services_that_no_policy_names() {
    let config = crate::config::DefaultSlo::default();
    let text = "service: a\nenvironment: production\nslos: [{ name: availability, target: 99% }]\n";
    let set = set(text).with_default(Some(&config));
    assert_eq!(target(&set, "a", Some("production")).as_deref(), Some("99%"));
    assert_eq!(target(&set, "a", Some("staging")), None);
    assert_eq!(
        target(&set, "a", None),
        None,
        "a policy with an environment needs telemetry that names it"
    );
    assert_eq!(target(&set, "b", None).as_deref(), Some("99.9%"));
    assert!(set.default_objective().is_some());
    assert_eq!(target(&set.with_default(None), "b", None), None);
}

#[test]
fn windows_of_alerts_kill_rules_and_the_period_are_kept() {
    let text = "service: a\nenvironment: p\nwindow: 28d\n\
                slos:\n  - name: availability\n    target: 99.9%\n    \
                alerts: [{ burn: \"10m > 3 and 7d > 1\" }]\n\
                kill_switches: [{ flag: f, exporter: e, when: { window: 40s } }]\n";
    let plan = set(text).plan(&name("a", "availability")).unwrap();
    let common = [300, 1800, 3600, 7200, 21_600, 86_400, 259_200];
    for window in common.into_iter().chain([40, 600]) {
        assert!(
            plan.totals().contains(&window) && plan.cohorts().contains(&window),
            "{window}"
        );
    }
    for window in [7 * 86_400, 28 * 86_400] {
        assert!(
            plan.totals().contains(&window) && !plan.cohorts().contains(&window),
            "{window}"
        );
    }
}

#[test]
fn too_many_windows_are_refused_at_load() {
    let windows: Vec<_> = (1..=40)
        .map(|i| format!("      - burn: \"{i}0s > 1 and 1h > 1\"\n"))
        .collect();
    let text = format!(
        "service: a\nslos:\n  - name: x\n    target: 99%\n    alerts:\n{}",
        windows.concat()
    );
    assert!(refusal(&text).contains("at most 32"), "{}", refusal(&text));
}

#[test]
fn v20_an_unreachable_threshold_is_warned_of() {
    let w = warnings(
        "service: a\nenvironment: p\nslos: [{ name: x, target: 80% }]\n\
         kill_switches: [{ flag: f, exporter: e }]\n",
    );
    assert!(
        w[0].contains("critical_burn") && w[0].contains("at most 5"),
        "{w:?}"
    );
    assert!(w.iter().any(|w| w.contains("can never act")), "{w:?}");
}

#[test]
fn named_flags_include_those_that_are_off() {
    let text = "service: a\nenvironment: p\nslos: [{ name: x, target: 99% }]\n\
                kill_switches: [{ flag: f, exporter: e, mode: off }]\n";
    let flags = set(text).named_flags();
    assert_eq!(
        flags,
        [NamedFlag {
            service: "a".into(),
            environment: Some("p".into()),
            flag: "f".into()
        }]
    );
}

#[test]
fn an_exporter_that_is_not_configured_is_refused_with_the_line_of_the_switch() {
    let set = set("service: a\nenvironment: p\nslos: [{ name: x, target: 99% }]\n\
         kill_switches:\n  - { flag: f, exporter: unlesh }\n");
    let problem = set
        .check_exporters(&["unleash", "webhook"])
        .unwrap_err()
        .to_string();
    assert!(
        problem.starts_with("p.yaml:5:") && problem.contains("did you mean \"unleash\"?"),
        "{problem}"
    );
    assert!(
        set.check_exporters(&[])
            .unwrap_err()
            .to_string()
            .contains("not configured")
    );
}

#[test]
fn objectives_carry_the_pattern_and_the_environment() {
    let specs = set("service: \"shop-*\"\nenvironment: p\nslos: [{ name: x, target: 99% }]\n").objectives();
    assert_eq!(specs.len(), 1);
    assert_eq!(
        (specs[0].name.clone(), specs[0].environment.as_deref()),
        (name("shop-*", "x"), Some("p"))
    );
}

#[test]
fn paths_and_globs_are_read_from_the_base_folder() {
    let dir = tempfile::tempdir().unwrap();
    let write = |path: &str, service: &str| {
        let path = dir.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(
            path,
            format!("service: {service}\nslos: [{{ name: x, target: 99% }}]\n"),
        )
        .unwrap();
    };
    write("policies/a.yaml", "a");
    write("policies/deep/b.yaml", "b");
    write("policies/c.txt", "c");
    let services = |patterns: &[&str]| {
        let patterns: Vec<String> = patterns.iter().map(|p| (*p).to_owned()).collect();
        let set = load(&patterns, dir.path()).unwrap();
        set.policies()
            .iter()
            .map(|p| p.service.as_str().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(services(&["policies/*.yaml"]), ["a"]);
    assert_eq!(services(&["policies/**/*.yaml"]), ["a", "b"]);
    assert_eq!(
        services(&["policies/c.txt", "policies/*"]),
        ["a", "c"],
        "each file once"
    );
}

#[test]
fn a_missing_file_is_an_error_and_a_glob_without_a_match_a_warning() {
    let dir = tempfile::tempdir().unwrap();
    let missing = load(&["nope.yaml".to_owned()], dir.path())
        .unwrap_err()
        .to_string();
    assert!(missing.starts_with("nope.yaml: no policy file"), "{missing}");
    let folder = load(&[".".to_owned()], dir.path()).unwrap_err().to_string();
    assert!(folder.contains("is a folder"), "{folder}");
    let none = load(&["policies/*.yaml".to_owned()], dir.path()).unwrap();
    assert_eq!(none.warnings().len(), 1);
}

#[test]
fn an_empty_file_is_a_warning() {
    for text in ["", "# nothing here\n"] {
        assert!(warnings(text)[0].contains("holds no policy"), "{text:?}");
    }
}

proptest! {
    #[test]
    fn no_text_panics(text in "\\PC{0,80}") {
        let _ = from_text("p.yaml", &text);
    }

    #[test]
    fn no_mangled_policy_panics(at in 0..EXAMPLE.len(), with in "[ -~\\n]{0,6}") {
        let mut text = EXAMPLE.to_owned();
        text.replace_range(at..(at + 1).min(text.len()), &with);
        let _ = from_text("p.yaml", &text);
    }
}

#[allow(
    dead_code,
    reason = "a claim for the compiler: readers on other threads may hold it"
)]
fn shared(set: Arc<PolicySet>) -> impl Send + Sync {
    set
}

#[test]
fn a_closer_policy_is_not_mixed_with_a_wider_one() {
    let text = "service: \"*\"\nslos: [{ name: latency, target: 99% }]\n---\n\
                service: cart\nslos: [{ name: availability, target: 99% }]\n";
    let set = set(text);
    assert!(set.find(&name("cart", "latency"), None).is_none());
    assert!(set.find(&name("other", "latency"), None).is_some());
}

#[test]
fn the_shop_of_the_compose_file_has_a_policy_without_a_doubt() {
    let set = set(include_str!("../../config/compose/policies/checkout.yaml"));
    assert_eq!(set.warnings(), []);
    set.check_exporters(&["unleash"]).unwrap();
}

#[test]
fn findings_in_shared_alerts_are_told_once() {
    let slos = "slos: [{ name: x, target: 99% }, { name: y, target: 99% }]";
    let told = warnings(&format!("service: a\n{slos}\nalerts: [{{ burn: \"1h > 2\" }}]\n"));
    assert_eq!(told.len(), 1, "{told:?}");
    let error = from_text(
        "p.yaml",
        &format!("service: a\n{slos}\nalerts: [{{ burn: \"1h\" }}]\n"),
    )
    .unwrap_err();
    assert_eq!(error.problems.len(), 1);
}

#[test]
fn sampling_is_refused_over_metrics_and_a_policy_beside_it_is_the_way() {
    let told = refusal(
        "service: a\nsampling: 10%\nslos:\n  - { name: spans, target: 99% }\n  - name: points\n    target: 99%\n    \
         sli: { metrics: http.server.request.duration }\n",
    );
    assert!(
        told.contains("p.yaml:2:11")
            && told.contains("\"points\" counts metrics")
            && told.contains("another policy"),
        "{told}"
    );
    let beside = "service: a\nsampling: 10%\nslos: [ { name: spans, target: 99% } ]\n---\nservice: a\nslos:\n  \
                  - { name: points, target: 99%, sli: { metrics: http.server.request.duration } }\n";
    let set = set(beside);
    let sampled: Vec<_> = set
        .policies()
        .iter()
        .map(|policy| policy.slos[0].sli.sampling.is_some())
        .collect();
    assert_eq!(sampled, [true, false]);
}

#[test]
fn quantiles_are_kept_of_spans_only() {
    let keeps = |slo: &str| {
        let text = format!("service: a\nslos: [ {{ name: it, target: 99%, {slo} }} ]\n");
        set(&text).policies()[0].slos[0].sli.detail.quantiles
    };
    assert!(keeps("sli: { faster_than: 250ms }"));
    assert!(!keeps(
        "sli: { metrics: http.server.request.duration, faster_than: 250ms }"
    ));
    let told = refusal(
        "service: a\nslos:\n  - name: it\n    target: 99%\n    quantiles: true\n    \
         sli: { metrics: http.server.request.duration }\n",
    );
    assert!(
        told.contains("p.yaml:3:11") && told.contains("only spans have"),
        "{told}"
    );
}
