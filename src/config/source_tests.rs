//! Several sources on top of each other, and what their mistakes look like.

use super::expand::tests::Fixed;
use super::load::{print, read};
use super::*;
use proptest::prelude::*;
use std::time::Duration;

const BASE: &str = "\
receivers: {otlp: {protocols: {grpc: }}}
processors:
  batch: {timeout: 1s, send_batch_size: 10}
exporters: {debug: }
service:
  pipelines:
    traces: {receivers: [otlp], processors: [batch], exporters: [debug]}
";

fn request(configs: &[&str], set: &[&str]) -> ConfigRequest {
    ConfigRequest {
        sources: configs
            .iter()
            .map(|it| ConfigSource::parse(it).unwrap())
            .collect(),
        set: set.iter().map(|&it| it.to_owned()).collect(),
        unsupported: Unsupported::Error,
    }
}

fn load(request: &ConfigRequest, known: &[(&'static str, &'static str)]) -> Result<Config, ConfigError> {
    let mut all = vec![("base.yaml", BASE)];
    all.extend(known);
    read(request, &Fixed(all)).map(|(config, _)| config)
}

fn batch(config: &Config) -> (Duration, u64) {
    match &config.graph.processors[..] {
        [
            Named {
                config: Processor::Batch(it),
                ..
            },
        ] => (it.timeout, it.send_batch_size),
        other => panic!("{other:?}"),
    }
}

#[test]
fn schemes_are_those_of_the_collector() {
    for (written, source) in [
        ("a.yaml", ConfigSource::File("a.yaml".into())),
        ("/etc/a.yaml", ConfigSource::File("/etc/a.yaml".into())),
        ("file:/etc/a.yaml", ConfigSource::File("/etc/a.yaml".into())),
        ("env:CONFIG", ConfigSource::Env("CONFIG".to_owned())),
        ("yaml:a: b", ConfigSource::Text("a: b".to_owned())),
    ] {
        assert_eq!(ConfigSource::parse(written), Ok(source), "{written}");
    }
    for (written, why) in [
        ("http://example.com/a.yaml", "not fetched over the network"),
        ("https://example.com/a.yaml", "not fetched over the network"),
        ("file:", "nothing is behind the colon"),
        ("", "empty"),
    ] {
        assert!(
            ConfigSource::parse(written).unwrap_err().starts_with(why),
            "{written}"
        );
    }
}

#[test]
fn a_later_source_wins_and_set_wins_over_all() {
    let second = Duration::from_secs(1);
    let base = request(&["base.yaml"], &[]);
    assert_eq!(batch(&load(&base, &[]).unwrap()), (second, 10));
    let more = request(&["base.yaml", "file:more.yaml"], &[]);
    let known = [("more.yaml", "processors: {batch: {timeout: 2s}}")];
    assert_eq!(batch(&load(&more, &known).unwrap()), (2 * second, 10));
    for uri in [
        "yaml:processors::batch::timeout: 2s",
        "yaml:{processors: {batch: {timeout: 2s}}}",
        "env:MORE",
    ] {
        let more = request(&["base.yaml", uri], &[]);
        let known = [("MORE", "processors:\n  batch:\n    timeout: 2s\n")];
        assert_eq!(batch(&load(&more, &known).unwrap()), (2 * second, 10), "{uri}");
    }
    for set in ["processors.batch.timeout=3s", "processors::batch::timeout=3s"] {
        let more = request(&["base.yaml", "more.yaml"], &[set]);
        assert_eq!(batch(&load(&more, &known).unwrap()), (3 * second, 10), "{set}");
    }
}

#[test]
fn a_later_list_replaces_and_a_later_null_deletes() {
    let lists = request(&["base.yaml", "more.yaml"], &[]);
    let known = [("more.yaml", "service: {pipelines: {traces: {processors: []}}}")];
    let config = load(&lists, &known).unwrap();
    assert!(config.graph.pipelines[0].processors.is_empty());
    assert_eq!(
        config.warnings,
        ["base.yaml:3: processors.batch: defined, but service.pipelines does not name it: it does nothing"]
    );
    let error = load(&lists, &[("more.yaml", "processors:\n")])
        .unwrap_err()
        .to_string();
    assert_eq!(
        error,
        "base.yaml:7:46: service.pipelines.traces.processors: `batch` is not a processor of this file; nothing can stand here"
    );
}

#[test]
fn a_mistake_names_the_source_that_it_stands_in() {
    let both = request(
        &["base.yaml", "more.yaml"],
        &["processors.batch.send_batch_size=many"],
    );
    let known = [("more.yaml", "processors:\n  batch:\n    timeut: 2s\n")];
    let error = load(&both, &known).unwrap_err();
    assert_eq!(
        error.to_string(),
        "more.yaml:3:5: processors.batch.timeut: unknown key; did you mean `timeout`?\n\
         --set processors.batch.send_batch_size: processors.batch.send_batch_size: expected a whole number, found `many`"
    );
    assert_eq!(
        error.sources,
        ["base.yaml", "more.yaml", "--set processors.batch.send_batch_size"]
    );
    for (configs, set, expected) in [
        (
            &["base.yaml", "nope.yaml"][..],
            "",
            "nope.yaml: cannot read it: no such file",
        ),
        (
            &["base.yaml", "env:NOPE"],
            "",
            "env:NOPE: the environment variable is not set",
        ),
        (&["base.yaml", "yaml:a: ["], "", "yaml::1:"),
        (
            &["base.yaml"],
            "nothing",
            "--set : `nothing` sets nothing; write key=value",
        ),
        (&["base.yaml"], "a..b=c", "--set a..b: an empty key in it"),
    ] {
        let set: &[&str] = if set.is_empty() { &[] } else { &[set] };
        let error = load(&request(configs, set), &[]).unwrap_err().to_string();
        assert!(error.starts_with(expected), "{expected}\n{error}");
    }
    // The value of a --set may be a secret.
    let secret = request(&["base.yaml"], &["exporters.debug.token=s3cret"]);
    let error = load(&secret, &[]).unwrap_err().to_string();
    assert!(!error.contains("s3cret"), "{error}");
}

#[test]
fn policies_start_from_the_file_that_names_them() {
    let budget = "connectors: {error_budget: {policies: [p/*.yaml]}}\nservice:\n  pipelines:\n    traces: {exporters: \
                  [error_budget]}\n    metrics: {receivers: [error_budget], exporters: [debug]}\n";
    let known = [
        ("/a/base.yaml", BASE),
        ("/b/more.yaml", budget),
        ("/c/last.yaml", "processors: {batch: }"),
    ];
    let folder = |configs: &[&str]| {
        let config = load(&request(configs, &[]), &known).unwrap();
        config.policy_base().to_path_buf()
    };
    assert_eq!(
        folder(&["/a/base.yaml", "/b/more.yaml", "/c/last.yaml"]),
        Path::new("/b")
    );
    assert_eq!(folder(&["/a/base.yaml", "/c/last.yaml"]), Path::new("/a"));
    let set = request(
        &["/a/base.yaml", "/b/more.yaml"],
        &["connectors.error_budget.policies=[/x.yaml]"],
    );
    let config = load(&set, &known).unwrap();
    assert_eq!(config.policy_base(), Path::new("."));
    assert_eq!(config.error_budget.policies, ["/x.yaml"]);
    assert_eq!(
        config.files,
        [PathBuf::from("/a/base.yaml"), PathBuf::from("/b/more.yaml")]
    );
}

#[test]
fn what_is_printed_is_what_runs_without_secrets() {
    let base = request(&["base.yaml", "more.yaml"], &["processors.batch.timeout=5s"]);
    let more = "exporters:\n  otlp_http:\n    endpoint: http://user:s3cret@h\n    headers: {authorization: '${env:KEY}'}\n  \
                webhook: {url: 'http://localhost/x', token: '${file:/t}', signing_key: s3cret}\n";
    let known = vec![
        ("base.yaml", BASE),
        ("more.yaml", more),
        ("KEY", "s3cret"),
        ("/t", "s3cret\n"),
    ];
    let (text, _) = print(&base, &Fixed(known)).unwrap();
    assert!(!text.contains("s3cret"), "{text}");
    assert_eq!(text.matches("[REDACTED]").count(), 4, "{text}");
    assert!(text.contains("timeout: 5s"), "{text}");
}

proptest! {
    /// Whatever is put on top, there is an answer, and every place in it is in a source that there is.
    #[test]
    fn any_second_source_is_answered(text in "[a-z{}\\[\\]:, \\n$-]{0,80}", set in "[a-z.:=\\[{ ]{0,30}") {
        let both = ConfigRequest {
            sources: vec![ConfigSource::File("base.yaml".into()), ConfigSource::Text(text)],
            set: vec![set],
            unsupported: Unsupported::Warn,
        };
        if let Err(error) = load(&both, &[]) {
            for at in error.problems.iter().filter_map(|it| it.at) {
                prop_assert!(at.source < error.sources.len());
            }
        }
    }
}
