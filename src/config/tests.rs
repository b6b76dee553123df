//! The loader against whole files: defaults, mistakes, substitution.

use super::expand::tests::Fixed;
use super::report::Found;
use super::*;
use proptest::prelude::*;
use std::time::Duration;

pub(super) const VARIABLES: [(&str, &str); 6] = [
    ("FLAGS_TOKEN", "http-s3cret"),
    ("UNLEASH_TOKEN", "un-s3cret"),
    ("WEBHOOK_TOKEN", "wh-s3cret"),
    ("LAUNCHDARKLY_TOKEN", "ld-s3cret"),
    (
        "LAUNCHDARKLY_TRIGGER",
        "https://app.launchdarkly.com/webhook/triggers/s3cret",
    ),
    ("WEBHOOK_SIGNING_KEY", "k-s3cret"),
];

fn source() -> ConfigSource {
    ConfigSource::File(PathBuf::from("g.yaml"))
}

/// Reads `text` as the file `g.yaml`.
pub(super) fn from_text(
    text: &str,
    variables: Vec<(&'static str, &'static str)>,
) -> Result<(Config, Found), ConfigError> {
    let text: &'static str = text.to_owned().leak();
    let mut known = vec![("g.yaml", text)];
    known.extend(variables);
    load::read(&ConfigRequest::from(&source()), &Fixed(known))
}

fn load(text: &str) -> Result<Config, ConfigError> {
    from_text(text, VARIABLES.to_vec()).map(|(config, _)| config)
}

fn errors(text: &str) -> String {
    load(text).expect_err("must be refused").to_string()
}

/// What runs; the examples are named beside it.
const EXTENSIONS: &str = "extensions: [health_check, file_storage, api]";

/// The embedded file with its examples turned on.
pub(super) fn everything() -> String {
    EMBEDDED
        .lines()
        .map(|line| line.strip_prefix("#|").unwrap_or(line))
        .collect::<Vec<_>>()
        .join("\n")
        .replace(
            EXTENSIONS,
            "extensions: [health_check, file_storage, api, pprof, zpages, bearertokenauth, basicauth]",
        )
}

/// A small file that holds; tests change one thing in it.
const SMALL: &str = "\
receivers:
  otlp:
    protocols:
      grpc:
connectors:
  error_budget:
exporters:
  prometheus:
service:
  pipelines:
    traces: {receivers: [otlp], exporters: [error_budget]}
    metrics/budget: {receivers: [error_budget], exporters: [prometheus]}
";

fn small(from: &str, to: &str) -> String {
    assert!(SMALL.contains(from), "{from}");
    SMALL.replace(from, to)
}

#[test]
fn every_default_in_the_file_is_the_default_in_the_code() {
    let config = load(&everything()).unwrap();
    let grpc = config.receivers[0].config.grpc.clone().unwrap();
    let plain = GrpcReceiver {
        tls: None,
        auth: None,
        ..grpc.clone()
    };
    assert_eq!(plain, GrpcReceiver::default());
    let http = config.receivers[0].config.http.clone().unwrap();
    let plain = HttpReceiver {
        tls: None,
        auth: None,
        cors: None,
        ..http.clone()
    };
    assert_eq!(plain, HttpReceiver::default());
    for tls in [grpc.tls.unwrap(), http.tls.unwrap()] {
        let default = TlsServer {
            client_ca: tls.client_ca.clone(),
            ..TlsServer::new(tls.certificate.clone(), tls.key.clone())
        };
        assert_eq!(tls, default);
    }
    assert_eq!(config.receivers[0].config.limits, ReceiverLimits::default());
    assert_eq!(config.error_budget, ErrorBudget::default());
    assert_eq!(config.prometheus, Some(PrometheusExporter::default()));
    // The bodies have no default that could be written.
    let health = config.health.map(|it| HealthCheck {
        healthy_body: None,
        unhealthy_body: None,
        ..it
    });
    assert_eq!(health, Some(HealthCheck::default()));
    assert_eq!(config.api, Some(ApiExtension::default()));
    assert_eq!(config.storage, Some(FileStorage::default()));
    assert_eq!(load(EMBEDDED).unwrap().telemetry, TelemetryConfig::default());
    assert_eq!(
        config.signals,
        Signals {
            traces: true,
            metrics: true,
            logs: true
        }
    );
    for pushed in &config.otlp_metrics {
        let default = OtlpMetricsExporter::new(&pushed.id, pushed.protocol, &pushed.endpoint);
        assert_eq!(
            (pushed.interval, pushed.cardinality_limit),
            (default.interval, default.cardinality_limit)
        );
    }
    let decides: Vec<_> = config.decision_exporters.iter().collect();
    let Some(DecisionExporter::Unleash(unleash)) = decides.iter().find(|it| it.id() == "unleash") else {
        panic!("one unleash")
    };
    let default = UnleashExporter::new("unleash", "x", Secret::default());
    assert_eq!(
        (&unleash.project, unleash.timeout),
        (&default.project, default.timeout)
    );
    let Some(DecisionExporter::Webhook(webhook)) = decides.iter().find(|it| it.id() == "webhook") else {
        panic!("one webhook")
    };
    let default = WebhookExporter::new("webhook", "x");
    assert_eq!(
        (&webhook.method, webhook.timeout),
        (&default.method, default.timeout)
    );
    assert_eq!(config.warnings, Vec::<String>::new());
}

#[test]
fn the_embedded_file_needs_nothing() {
    let embedded = ConfigRequest::from(&ConfigSource::Embedded);
    let (config, _) = load::read(&embedded, &Fixed(Vec::new())).unwrap();
    assert!(config.decision_exporters.is_empty() && config.otlp_metrics.is_empty());
    assert!(config.warnings.is_empty(), "{:?}", config.warnings);
    assert_eq!(config.policy_base(), Path::new("."));
}

#[test]
fn null_means_every_default_and_absent_means_off() {
    let config = load(SMALL).unwrap();
    assert_eq!(config.receivers[0].config.grpc, Some(GrpcReceiver::default()));
    assert_eq!(config.receivers[0].config.http, None);
    assert_eq!(config.error_budget, ErrorBudget::default());
    assert_eq!(config.storage, None);
    assert_eq!(
        config.signals,
        Signals {
            traces: true,
            metrics: false,
            logs: false
        }
    );
}

#[test]
fn policies_start_from_the_folder_of_the_file() {
    let at = |path: &'static str| {
        let request = ConfigRequest::from(&ConfigSource::File(PathBuf::from(path)));
        load::read(&request, &Fixed(vec![(path, SMALL)])).unwrap().0
    };
    assert_eq!(
        at("/etc/burngate/g.yaml").policy_base(),
        Path::new("/etc/burngate")
    );
    assert_eq!(at("g.yaml").policy_base(), Path::new("."));
}

#[test]
fn values_are_read_in_their_units() {
    let text = small(
        "  error_budget:\n",
        "  error_budget:\n    default_slo: {target: 99.95%, window: 7d}\n    evaluation_interval: 250ms\n",
    );
    let budget = load(&text).unwrap().error_budget;
    assert_eq!(
        budget.default_slo,
        Some(DefaultSlo {
            budget_ppb: 500_000,
            window: Duration::from_hours(7 * 24)
        })
    );
    assert_eq!(budget.evaluation_interval, Duration::from_millis(250));
    let none = small("  error_budget:\n", "  error_budget: {default_slo: null}\n");
    assert_eq!(load(&none).unwrap().error_budget.default_slo, None);
    let keepalive = small(
        "      grpc:\n",
        "      grpc: {endpoint: 'localhost:0', keepalive: {server_parameters: {time: 1m}}}\n",
    );
    let grpc = load(&keepalive).unwrap().receivers.remove(0).config.grpc.unwrap();
    assert_eq!(
        (grpc.keepalive_interval_secs, grpc.endpoint.to_string()),
        (60, "127.0.0.1:0".to_owned())
    );
}

#[test]
fn aliases_and_urls_become_one_form() {
    let with = |exporter: &str| {
        let id = exporter.split(':').next().unwrap();
        let text =
            small("  prometheus:\n", &format!("  {exporter}\n")).replace("[prometheus]", &format!("[{id}]"));
        let pushed = load(&text).unwrap().otlp_metrics.remove(0);
        (pushed.protocol, pushed.endpoint)
    };
    let grpc = OtlpProtocol::Grpc;
    assert_eq!(
        with("otlp: {endpoint: 'a:4317'}"),
        (grpc, "https://a:4317".to_owned())
    );
    assert_eq!(
        with("otlp_grpc/x: {endpoint: 'a:4317', tls: {insecure: true}}"),
        (grpc, "http://a:4317".to_owned())
    );
    assert_eq!(
        with("otlp_grpc: {endpoint: 'http://a:4317'}"),
        (grpc, "http://a:4317".to_owned())
    );
    assert_eq!(
        with("otlphttp: {endpoint: 'http://a:1/x/'}"),
        (OtlpProtocol::Http, "http://a:1/x/v1/metrics".to_owned())
    );
    assert_eq!(
        with("otlp_http: {metrics_endpoint: 'http://a:1/m'}"),
        (OtlpProtocol::Http, "http://a:1/m".to_owned())
    );
}

/// One thing changed in [`SMALL`], and the whole error.
#[test]
#[allow(clippy::too_many_lines, reason = "a table")]
fn every_mistake_names_its_place_and_the_way_out() {
    let table = [
        (
            "      grpc:\n",
            "      grpc:\n        endpont: localhost:1\n",
            "g.yaml:5:9: receivers.otlp.protocols.grpc.endpont: unknown key; did you mean `endpoint`?",
        ),
        (
            "      grpc:\n",
            "      grcp:\n",
            "g.yaml:3:5: receivers.otlp.protocols: must turn on grpc, http or both (`grpc:` alone takes every default)\n\
             g.yaml:4:7: receivers.otlp.protocols.grcp: unknown key; did you mean `grpc`?",
        ),
        (
            "      grpc:\n",
            "      grpc: {endpoint: nowhere}\n",
            "g.yaml:4:24: receivers.otlp.protocols.grpc.endpoint: expected an address to listen on such as 0.0.0.0:4317, \
             localhost:4317, [::1]:4317 or :4317, found `nowhere`",
        ),
        (
            "      grpc:\n",
            "      grpc: {tls: {cert_file: a}}\n",
            "g.yaml:4:14: receivers.otlp.protocols.grpc.tls.key_file: required; the certificate's key as PEM (or `key_pem`)",
        ),
        (
            "      grpc:\n",
            "      grpc: {max_recv_msg_size_mib: 0}\n",
            "g.yaml:4:37: receivers.otlp.protocols.grpc.max_recv_msg_size_mib: must be from 1 to 1024, found `0`",
        ),
        (
            "      grpc:\n",
            "      grpc: {max_recv_msg_size_mib: 300}\n",
            "g.yaml:4:7: receivers.otlp.protocols.grpc: 300 is above limits.max_in_flight_mib (256): \
             such a request would never get in",
        ),
        (
            "      grpc:\n",
            "      grpc: [1]\n",
            "g.yaml:4:13: receivers.otlp.protocols.grpc: expected a mapping (keys with values), found a list",
        ),
        (
            "  error_budget:\n",
            "  error_budget: {evaluation_interval: 10ms}\n",
            "g.yaml:6:39: connectors.error_budget.evaluation_interval: must be from 100ms to 1m, found `10ms`",
        ),
        (
            "  error_budget:\n",
            "  error_budget: {evaluation_interval: 5}\n",
            "g.yaml:6:39: connectors.error_budget.evaluation_interval: expected a duration such as 200ms, 30s, 1h30m or 30d, \
             found `5`",
        ),
        (
            "  error_budget:\n",
            "  error_budget: {default_slo: {target: 100%}}\n",
            "g.yaml:6:40: connectors.error_budget.default_slo.target: expected a percentage between 0% and 100% such as 99.9%, \
             found `100%`",
        ),
        (
            "  error_budget:\n",
            "  error_budget: {policies: policies}\n",
            "g.yaml:6:28: connectors.error_budget.policies: expected a list of texts such as [a, b], found `policies`",
        ),
        (
            "  error_budget:\n",
            "  error_budget: {cohorts: {absent: maybe}}\n",
            "g.yaml:6:36: connectors.error_budget.cohorts.absent: expected off or ignore, found `maybe`",
        ),
        (
            "receivers:\n",
            "recievers: {}\nreceivers:\n",
            "g.yaml:1:1: recievers: unknown key; did you mean `receivers`?",
        ),
        (
            "receivers:\n",
            "receivers:\n  jaeger:\n",
            "g.yaml:2:3: receivers.jaeger: receiver `jaeger` does not run here; send OTLP: their SDKs and agents can, or a \
             Collector beside translates",
        ),
        (
            "receivers:\n",
            "processors:\n  btch:\nreceivers:\n",
            "g.yaml:2:3: processors.btch: there is no processor `btch` here; did you mean `batch`?",
        ),
        (
            "  prometheus:\n",
            "  prometheus:\n  otlp/: {}\n",
            "g.yaml:9:3: exporters.otlp/: not an id; write `type` or `type/name`, the name without spaces",
        ),
        (
            "receivers: [otlp]",
            "receivers: [otpl]",
            "g.yaml:11:26: service.pipelines.traces.receivers: `otpl` is not a receiver or connector of this file; \
             did you mean `otlp`?",
        ),
        (
            "exporters: [prometheus]",
            "exporters: [prometeus]",
            "g.yaml:12:61: service.pipelines.metrics/budget.exporters: `prometeus` is not an exporter or connector of this \
             file; did you mean `prometheus`?",
        ),
        (
            "exporters: [error_budget]",
            "exporters: [error_budget, prometheus]",
            "g.yaml:11:59: service.pipelines.traces.exporters: `prometheus` takes metrics, not traces",
        ),
        (
            "exporters: [error_budget]",
            "processors: [batch], exporters: [error_budget]",
            "g.yaml:11:46: service.pipelines.traces.processors: `batch` is not a processor of this file; nothing can stand here",
        ),
        (
            "    traces: ",
            "    decisions: {receivers: [error_budget], exporters: [prometheus]}\n    traces: ",
            "g.yaml:11:56: service.pipelines.decisions.exporters: `prometheus` cannot carry out decisions; \
             what can is unleash, launchdarkly, http, flagd, webhook",
        ),
        (
            "    traces: ",
            "    tracing: ",
            "g.yaml:6:3: connectors.error_budget: no pipeline names it among its exporters, so \
             nothing would be counted\n\
             g.yaml:11:5: service.pipelines.tracing: not a pipeline; expected one of traces, metrics, logs, decisions (or with a name: traces/eu)",
        ),
        (
            "service:\n",
            "service:\n  extensions: [health_check]\n",
            "g.yaml:10:16: service.extensions: `health_check` is not an extension of this file; nothing can stand here",
        ),
        (
            "service:\n",
            "extensions: {api: {endpoint: ':9464'}}\nservice:\n  extensions: [api]\n",
            "g.yaml: extensions.api.endpoint: 0.0.0.0:9464 is taken by exporters.prometheus",
        ),
        (
            "service:\n",
            "service:\n  telemetry: {logs: {level: loud}}\n",
            "g.yaml:10:29: service.telemetry.logs.level: expected debug, info, warn or error, found `loud`",
        ),
    ];
    let mut wrong = Vec::new();
    for (from, to, expected) in table {
        let mut lines: Vec<&str> = expected.lines().collect();
        let found = errors(&small(from, to));
        let mut found_lines: Vec<&str> = found.lines().collect();
        lines.sort_unstable();
        found_lines.sort_unstable();
        if found_lines != lines {
            wrong.push(format!("{to}expected {expected}\nfound    {found}\n"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn an_exporter_that_cannot_work_is_refused() {
    let with = |exporter: &str, variables: Vec<(&'static str, &'static str)>| {
        let text = small("  prometheus:\n", &format!("  prometheus:\n  {exporter}\n"));
        from_text(&text, variables).expect_err(exporter).to_string()
    };
    let cases = [
        (
            "unleash: {endpoint: 'http://u', token: '${env:UNLEASH_TOKEN}'}",
            vec![],
            "g.yaml:9:35: exporters.unleash.token: empty: the environment variable UNLEASH_TOKEN is not set; an admin or \
             personal token that may switch the project's flags",
        ),
        (
            "unleash: {endpoint: 'http://u', token: '${env:UNLEASH_TOKEN}'}",
            vec![("UNLEASH_TOKEN", "   ")],
            "g.yaml:9:42: exporters.unleash.token: empty or only white space",
        ),
        (
            "unleash: {endpoint: 'http://u'}",
            vec![],
            "g.yaml:9:3: exporters.unleash.token: required; an admin or personal token that may switch the project's flags",
        ),
        (
            "unleash: {endpoint: 'ftp://u', token: t}",
            vec![],
            "g.yaml:9:23: exporters.unleash.endpoint: expected a URL such as https://unleash.example.com, without user name \
             and password, found something else",
        ),
        (
            "webhook: {token: t}",
            vec![],
            "g.yaml:9:3: exporters.webhook.url: required; write the URL to call, such as https://flags.example.com/disable",
        ),
        (
            "webhook: {url: 'http://w', token: ' '}",
            vec![],
            "g.yaml:9:37: exporters.webhook.token: empty or only white space",
        ),
        (
            "webhook: {url: 'http://w', token: '${env:NOPE}'}",
            vec![],
            "g.yaml:9:30: exporters.webhook.token: empty: the environment variable NOPE is not set; remove the key where none \
             is wanted",
        ),
        (
            "otlp: {endpoint: 'http://o', headers: {x-key: '${env:NOPE}'}}",
            vec![],
            "g.yaml:9:42: exporters.otlp.headers.x-key: expected the value of a header: text in one line; the environment \
             variable NOPE is not set; read as empty",
        ),
        (
            "webhook: {url: 'http://w', method: GET}",
            vec![],
            "g.yaml:9:38: exporters.webhook.method: expected POST, PUT, PATCH or DELETE",
        ),
    ];
    for (exporter, variables, expected) in cases {
        assert_eq!(with(exporter, variables), expected, "{exporter}");
    }
    let fine = small(
        "  prometheus:\n",
        "  prometheus:\n  webhook: {url: 'http://w', token: null}\n",
    );
    let warnings = load(&fine).unwrap().warnings;
    assert_eq!(
        warnings,
        ["g.yaml:9: exporters.webhook: defined, but service.pipelines does not name it: it does nothing"]
    );
}

#[test]
fn no_secret_is_in_an_error_or_a_debug_print() {
    let broken = everything()
        .replace("timeout: 5s", "timeout: ${env:UNLEASH_TOKEN}")
        .replace("token: ${env:WEBHOOK_TOKEN}", "token: \"literal-s3cret\\n\"")
        + "\n  extensions: ${env:WEBHOOK_TOKEN}\n";
    let text = errors(&broken.replacen(
        "  extensions: [health_check, file_storage, api, pprof, zpages, bearertokenauth, basicauth]\n",
        "",
        1,
    ));
    assert!(!text.contains("s3cret"), "{text}");
    assert!(
        text.contains("found the value of `${env:UNLEASH_TOKEN}`"),
        "{text}"
    );
    let config = load(&everything()).unwrap();
    assert!(!format!("{config:?}").contains("s3cret"));
}

#[test]
fn several_mistakes_are_told_at_once_in_the_order_of_the_file() {
    let text = SMALL
        .replace("      grpc:\n", "      grpc: {endpoint: x, y: 1}\n")
        .replace("[prometheus]", "[]");
    let error = load(&text).unwrap_err();
    let lines: Vec<usize> = error
        .problems
        .iter()
        .map(|problem| problem.at.unwrap().line)
        .collect();
    assert_eq!(lines, [4, 4, 12]);
}

#[test]
fn an_unset_variable_is_a_warning_where_the_default_serves() {
    let text = small("      grpc:\n", "      grpc: {max_connections: '${env:NOPE}'}\n");
    let config = load(&text).unwrap();
    assert_eq!(config.receivers[0].config.grpc, Some(GrpcReceiver::default()));
    assert_eq!(
        config.warnings,
        [
            "g.yaml:4: receivers.otlp.protocols.grpc.max_connections: the environment variable NOPE is not set; read as empty"
        ]
    );
}

#[test]
fn files_that_cannot_be_read_say_so() {
    let missing = Config::load(&ConfigSource::File(PathBuf::from("/nope/g.yaml")))
        .unwrap_err()
        .to_string();
    assert!(
        missing.starts_with("/nope/g.yaml: cannot read it: No such file"),
        "{missing}"
    );
    assert!(errors("").contains("g.yaml: service: required"), "{}", errors(""));
    assert!(errors("a: [").contains("not valid YAML"), "{}", errors("a: ["));
    assert!(
        errors("just text").contains("expected a mapping"),
        "{}",
        errors("just text")
    );
}

proptest! {
    #[test]
    fn any_text_is_answered(text in "[ -~\\n]{0,200}") {
        let _ = load(&text);
    }

    /// One line of the full file replaced, or cut at any byte: an answer, and a place within the file.
    #[test]
    fn any_damage_is_answered(line in 0_usize..260, insert in "[ :\\[\\]{}$&*!#'\"a-z0-9-]{0,12}", cut in 0_usize..12_000) {
        let text = everything();
        let mut lines: Vec<&str> = text.lines().collect();
        let nth = line % lines.len();
        lines[nth] = &insert;
        let _ = load(&lines.join("\n"));
        if let Err(error) = load(&text[..cut.min(text.len())]) {
            for at in error.problems.iter().filter_map(|problem| problem.at) {
                prop_assert!(at.line <= text.lines().count() + 1);
            }
        }
    }
}
