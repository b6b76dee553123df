//! The record of decisions from outside: log events in order, a head that holds, a command that finds what was changed; and no
//! secret in anything that is said or written, whatever happens.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod kill_support;
mod support;

use base64::Engine as _;
use kill_support::double::{Answer, Double, unleash_like};
use kill_support::shop::{bad, good, send};
use kill_support::{CANARY, House, decided};
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::io::{Read as _, Write as _};
use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;
use support::{Gateway, Setup, block_on, client, eventually, get, post};

const SOON: Duration = Duration::from_secs(30);

/// The gateway's configuration, with decisions as logs to `sink`, and more exporters beside it.
fn yaml(exporters: &str, decisions: &[&str], sink: &Double, more: &str) -> String {
    let setup = Setup {
        error_budget:
            "{ policies: [ policies/*.yaml ], delivery: { initial_interval: 50ms, max_attempts: 3 }, \
             kill: { max_per_service: 100, max_per_hour: 100 } }"
                .into(),
        exporters: format!(
            "{exporters}  otlp_http/decisions: {{ logs_endpoint: \"{}\", encoding: json, compression: none{more} }}",
            sink.url("/v1/logs")
        ),
        decisions: decisions.iter().map(|it| (*it).to_owned()).collect(),
        ..Setup::default()
    };
    setup.yaml() + "    logs/decisions: { receivers: [ error_budget ], exporters: [ otlp_http/decisions ] }\n"
}

fn policy(switches: &[(&str, &str)]) -> String {
    let rule = "attribution: off, mode: auto, when: { burn_above: 7, window: 5m, for: 2s }";
    let switches: Vec<String> = switches
        .iter()
        .map(|(flag, exporter)| format!("  - {{ flag: {flag}, exporter: {exporter}, {rule} }}\n"))
        .collect();
    format!(
        "service: checkout\nenvironment: production\nslos: [{{ name: availability, target: 99.9% }}]\nkill_switches:\n{}",
        switches.concat()
    )
}

fn house(yaml: &str, policy: &str) -> House {
    let house = House::new(&Setup::default(), policy);
    std::fs::write(house.dir.path().join("gateway.yaml"), yaml).unwrap();
    house
}

fn burngate(folder: &Path, args: &[&str], env: &[(&str, &str)]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_burngate"))
        .args(args)
        .current_dir(folder)
        .envs(env.iter().copied())
        .output()
        .expect("the binary starts")
}

/// What it printed; it must have gone well.
fn printed(folder: &Path, args: &[&str]) -> String {
    let out = burngate(folder, args, &[]);
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8(out.stdout).unwrap()
}

/// All log records that came, as (attributes by name, the record).
fn records(sink: &Double) -> Vec<(Value, Value)> {
    let mut found = Vec::new();
    for call in sink.calls() {
        let request: Value = serde_json::from_str(&call.body).unwrap();
        for record in request["resourceLogs"][0]["scopeLogs"][0]["logRecords"]
            .as_array()
            .unwrap()
        {
            let mut attributes = serde_json::Map::new();
            for attribute in record["attributes"].as_array().unwrap() {
                let value = attribute["value"].as_object().unwrap().values().next().unwrap();
                attributes.insert(attribute["key"].as_str().unwrap().to_owned(), value.clone());
            }
            found.push((Value::Object(attributes), record.clone()));
        }
    }
    found
}

fn seqs(sink: &Double) -> Vec<u64> {
    let seq = |(attributes, _): &(Value, Value)| attributes["burngate.audit.seq"].as_str().unwrap().parse();
    records(sink).iter().map(|it| seq(it).unwrap()).collect()
}

fn kinds(sink: &Double) -> Vec<String> {
    let kind =
        |(attributes, _): &(Value, Value)| attributes["burngate.decision.kind"].as_str().unwrap().to_owned();
    records(sink).iter().map(kind).collect()
}

#[test]
fn a_decision_is_told_step_by_step_and_its_record_verifies() {
    let (flags, sink) = (Double::content(), Double::content());
    let webhook = format!("  webhook: {{ url: \"{}\" }}\n", flags.url("/flags/disable"));
    let house = house(
        &yaml(&webhook, &["webhook"], &sink, ""),
        &policy(&[("new-checkout", "webhook")]),
    );
    let folder = house.dir.path();
    let mut gateway = house.start(&[]);
    let on = ["new-checkout"];
    send(&gateway, &[good(300, &[]), good(75, &on), bad(25, &on)]);
    let decision = decided(&gateway, "new-checkout", "confirmed", SOON);
    // The last one comes a moment later, and then nothing for a minute.
    let wanted = [
        "policy_loaded",
        "decided",
        "sending",
        "verifying",
        "confirmed",
        "effect_check",
    ];
    eventually("all log events", SOON, || {
        (kinds(&sink).len() >= wanted.len()).then_some(())
    });
    assert_eq!(kinds(&sink), wanted);

    let records = records(&sink);
    let (attributes, record) = &records[1];
    assert_eq!(
        (&record["eventName"], &record["severityNumber"]),
        (&"burngate.decision".into(), &13.into())
    );
    for (key, value) in [
        ("burngate.decision.id", decision["id"].clone()),
        ("burngate.decision.action", "off".into()),
        ("burngate.decision.exporter", "webhook".into()),
        ("burngate.actor.kind", "rule".into()),
        ("feature_flag.key", "new-checkout".into()),
        ("feature_flag.result.variant", "on".into()),
        ("service.name", "checkout".into()),
        ("deployment.environment.name", "production".into()),
        ("deployment.sha", "9fceb02".into()),
        ("burngate.slo", "availability".into()),
        ("burngate.evidence.cohort.bad", "25".into()),
    ] {
        assert_eq!(attributes[key], value, "{key}");
    }
    assert_eq!(seqs(&sink), [1, 2, 3, 4, 5, 6]);

    let answer = gateway.api("/api/v1/audit?after=1&limit=2");
    let entries = answer["entries"].as_array().unwrap();
    assert_eq!(
        entries
            .iter()
            .map(|it| it["kind"].as_str().unwrap())
            .collect::<Vec<_>>(),
        ["decided", "sending"]
    );
    assert_eq!(answer["head"]["seq"], 6);
    let head = format!("6:{}", answer["head"]["hash"].as_str().unwrap());
    let api = gateway.url("api", "");
    let by_api = printed(folder, &["audit", "export", "--api", &api]);
    let in_use = burngate(folder, &["audit", "verify"], &[]);
    assert!(
        String::from_utf8_lossy(&in_use.stderr).contains("is in use"),
        "{in_use:?}"
    );
    assert!(gateway.stop().success());

    let said = printed(folder, &["audit", "verify", "--data", "data", "--head", &head]);
    assert!(
        said.contains("whole: 6 entries, from the first one on") && said.contains(&head),
        "{said}"
    );
    let exported = printed(folder, &["audit", "export", "--data", "data"]);
    assert_eq!(exported, by_api, "both ways byte by byte");
    a_stranger_verifies(&exported);
    it_shows_what_is_done_to_a_file(folder, &exported);

    let otlp = printed(
        folder,
        &["audit", "export", "--data", "data", "--format", "otlp-json"],
    );
    assert_eq!(
        otlp.matches("\"eventName\":\"burngate.decision\"").count(),
        6,
        "{otlp}"
    );

    // The next process tells what is new, and nothing twice.
    let mut gateway = house.start(&[]);
    eventually("the next event", SOON, || (kinds(&sink).len() >= 7).then_some(()));
    assert!(gateway.stop().success());
    // What comes of the decision may be told after that, if it was quick.
    assert_eq!(kinds(&sink)[6], "policy_loaded");
    let told: Vec<u64> = seqs(&sink);
    assert_eq!(told, (1..=told.len() as u64).collect::<Vec<_>>());
    let said = printed(folder, &["audit", "verify", "--head", &head]);
    let whole = format!("whole: {} entries", told.len());
    assert!(said.contains(&whole), "{said}: {whole}");
    let nowhere = burngate(folder, &["audit", "verify", "--data", "elsewhere"], &[]);
    assert_eq!(nowhere.status.code(), Some(64));
    assert!(!folder.join("elsewhere").exists(), "asking makes nothing");
}

/// As the documentation says, with nothing of ours: cut the last member off, and hash.
fn a_stranger_verifies(exported: &str) {
    let lines: Vec<&str> = exported.lines().collect();
    let mut before = "0".repeat(64);
    for line in &lines[1..lines.len() - 1] {
        let (body, hash) = line.rsplit_once(",\"hash\":\"").unwrap();
        let hash = hash.strip_suffix("\"}").unwrap();
        assert_eq!(hex::encode(Sha256::digest(format!("{body}}}"))), hash);
        assert!(body.ends_with(&format!("\"prev\":\"{before}\"")));
        hash.clone_into(&mut before);
    }
    assert!(lines.last().unwrap().contains(&before));
}

fn it_shows_what_is_done_to_a_file(folder: &Path, exported: &str) {
    let lines: Vec<&str> = exported.lines().collect();
    let without = |nth: usize| {
        let kept = lines.iter().enumerate().filter(|(at, _)| *at != nth);
        kept.flat_map(|(_, line)| [*line, "\n"]).collect::<String>()
    };
    for (file, text, words) in [
        ("whole", exported.to_owned(), ""),
        (
            "changed",
            exported.replace("\"bad\":25", "\"bad\":26"),
            "entry 2: was changed",
        ),
        ("left out", without(2), "entry 2: entry 3 stands in its place"),
        (
            "cut",
            without(lines.len() - 1),
            &format!("entry {}: is no entry: the file does not end", lines.len() - 1),
        ),
    ] {
        std::fs::write(folder.join(file), text).unwrap();
        let out = burngate(folder, &["audit", "verify", file], &[]);
        let said = String::from_utf8_lossy(&out.stderr).into_owned();
        assert_eq!(out.status.success(), words.is_empty(), "{file}: {said}");
        assert!(said.contains(words), "{file}: {said}");
    }
}

/// Every place of the configuration that takes a secret, each with one of its own.
const SECRETS: [(&str, &str); 17] = [
    ("S_WEBHOOK", "canary-5f2e9-webhook/+=?"),
    ("S_HEADER", "canary-5f2e9-header"),
    ("S_SIGNING", "canary-5f2e9-signing"),
    ("S_UNLEASH", "canary-5f2e9-unleash"),
    ("S_API", "canary-5f2e9-api"),
    ("S_OTLP", "canary-5f2e9-otlp"),
    ("S_BEARER", "canary-5f2e9-bearer"),
    ("S_ADMIN", "canary-5f2e9-admin"),
    ("S_CHANGES", "canary-5f2e9-changes"),
    ("S_CHANGES_KEY", "canary-5f2e9-changes-key"),
    ("S_RECEIVER", "canary-5f2e9-receiver"),
    ("S_PASSWORD", "canary-5f2e9-password"),
    ("S_LAUNCHDARKLY", "canary-5f2e9-launchdarkly"),
    ("S_TRIGGER", "/webhook/triggers/canary-5f2e9-trigger"),
    ("S_HTTP", "canary-5f2e9-http"),
    ("S_HTTP_HEADER", "canary-5f2e9-http-header"),
    ("S_HTTP_ENVIRONMENT", "canary-5f2e9-http-environment"),
];

/// What comes before the canary in its key's file; a key in PEM cannot hold one, so its own lines are looked for.
fn key_lines(pem: &str) -> Vec<&str> {
    pem.lines()
        .filter(|line| line.len() > 20 && !line.starts_with('-'))
        .collect()
}

/// A receiver behind TLS and passwords, whose files lie elsewhere.
fn closed(folder: &Path) -> (String, String) {
    let key = rcgen::KeyPair::generate().unwrap();
    let params = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let certificate = params.self_signed(&key).unwrap().pem();
    let (cert_file, key_file) = (folder.join("cert.pem"), folder.join("key.pem"));
    std::fs::write(&cert_file, certificate).unwrap();
    std::fs::write(&key_file, key.serialize_pem()).unwrap();
    let receiver = format!(
        "  otlp/closed:\n    protocols:\n      grpc: {{ endpoint: 127.0.0.1:0, auth: {{ authenticator: bearertokenauth/in }}, \
         tls: {{ cert_file: {}, key_file: {} }} }}\n      \
         http: {{ endpoint: 127.0.0.1:0, auth: {{ authenticator: basicauth/in }} }}\n",
        cert_file.display(),
        key_file.display()
    );
    (receiver, key.serialize_pem())
}

/// One POST with this header; the answer.
fn post_as(url: &str, authorization: &str, body: &str) -> (u16, String) {
    block_on(async {
        let request = client().post(url).header("authorization", authorization);
        let request = request
            .header("content-type", "application/json")
            .body(body.to_owned());
        let answer = request.send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    })
}

/// Every door with the right credential and with one that is nearly right; what they answer.
fn at_the_doors(gateway: &Gateway) -> Vec<(String, String)> {
    let basic = |password: &str| {
        let pair = format!("ann:{password}");
        format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(pair))
    };
    let bearer = |token: &str| format!("Bearer {token}");
    let secret = |name: &str| SECRETS.iter().find(|(it, _)| *it == name).unwrap().1;
    let (spans, api) = (gateway.url("otlp/closed/http", "/v1/traces"), |path: &str| {
        gateway.url("api", path)
    });
    let kill = r#"{"flag":"nobody","reason":"x"}"#;
    let change = r#"{"flag":"taken","environment":"production","at":"2026-01-01T00:00:00Z"}"#;
    let wrong = format!("{CANARY}-wrong");
    let rows = [
        (spans.clone(), basic(secret("S_PASSWORD")), "{}", 200),
        (spans, basic(&wrong), "{}", 401),
        (api("/api/v1/kill"), bearer(secret("S_ADMIN")), kill, 404),
        (api("/api/v1/kill"), bearer(&wrong), kill, 401),
        (api("/api/v1/kill"), bearer(secret("S_API")), kill, 403),
        (
            api("/api/v1/flags/changes"),
            bearer(secret("S_CHANGES")),
            change,
            202,
        ),
        (api("/api/v1/flags/changes"), bearer(&wrong), change, 401),
        (api("/api/v1/corrections"), bearer(secret("S_API")), "{}", 422),
        (api("/api/v1/corrections"), bearer(&wrong), "{}", 401),
    ];
    let mut said = Vec::new();
    for (url, authorization, body, status) in rows {
        let (got, answer) = post_as(&url, &authorization, body);
        assert!(
            got == status || (status == 422 && got == 400),
            "{url} {got}: {answer}"
        );
        said.push((format!("{url} {status}"), format!("{got} {answer}")));
    }
    // No TLS at all where it is spoken, with the token in the clear.
    let address = gateway.addrs["otlp/closed/grpc"];
    let mut plain = std::net::TcpStream::connect(address).unwrap();
    let request = format!(
        "GET / HTTP/1.1\r\nauthorization: Bearer {}\r\n\r\n",
        secret("S_RECEIVER")
    );
    plain.write_all(request.as_bytes()).unwrap();
    plain.set_read_timeout(Some(SOON)).unwrap();
    let mut answer = Vec::new();
    let _ = plain.read_to_end(&mut answer);
    said.push((
        "no TLS".to_owned(),
        format!("{} bytes: {}", answer.len(), String::from_utf8_lossy(&answer)),
    ));
    said
}

/// A configuration in which everything that can have a secret has one.
fn with_every_secret(echo: &Double, unleash: &Double, sink: &Double, receiver: &str) -> String {
    let exporters = format!(
        "  webhook: {{ url: \"{}\", token: \"${{env:S_WEBHOOK}}\", signing_key: \"${{env:S_SIGNING}}\", \
         headers: {{ x-key: \"${{env:S_HEADER}}\" }} }}\n  \
         unleash: {{ endpoint: \"{}\", token: \"${{env:S_UNLEASH}}\" }}\n  \
         launchdarkly: {{ endpoint: \"{}\", token: \"${{env:S_LAUNCHDARKLY}}\", \
         trigger_urls: {{ production/elsewhere: \"{}${{env:S_TRIGGER}}\" }} }}\n  \
         http: {{ preset: growthbook, endpoint: \"{}\", token: \"${{env:S_HTTP}}\", \
         headers: {{ x-more: \"${{env:S_HTTP_HEADER}}\" }}, \
         environments: {{ production: \"${{env:S_HTTP_ENVIRONMENT}}\" }} }}\n",
        echo.url("/off"),
        unleash.url(""),
        echo.url(""),
        echo.url(""),
        echo.url("")
    );
    let more = ", headers: { x-apm-key: \"${env:S_OTLP}\" }, auth: { authenticator: bearertokenauth }";
    let outlets = ["webhook", "unleash", "launchdarkly", "http"];
    yaml(&exporters, &outlets, sink, more)
        .replace(
            "  api: { endpoint: 127.0.0.1:0 }",
            "  api: { endpoint: 127.0.0.1:0, token: \"${env:S_API}\", admins: { ann: \"${env:S_ADMIN}\" }, \
                  flag_changes: { token: \"${env:S_CHANGES}\", signing_key: \"${env:S_CHANGES_KEY}\" } }\n  \
                  bearertokenauth: { token: \"${env:S_BEARER}\" }\n  \
                  bearertokenauth/in: { token: \"${env:S_RECEIVER}\" }\n  \
                  basicauth/in: { htpasswd: { inline: \"ann:${env:S_PASSWORD}\" } }",
        )
        .replace(
            "file_storage, api ]",
            "file_storage, api, bearertokenauth, bearertokenauth/in, basicauth/in ]",
        )
        .replace("connectors:\n", &format!("{receiver}connectors:\n"))
        .replace(
            "traces: { receivers: [ otlp ]",
            "traces: { receivers: [ otlp, otlp/closed ]",
        )
}

#[test]
fn no_secret_is_said_or_written_whatever_happens() {
    // One service refuses and says back all that it was sent; the other does what it is told.
    let echo = Double::start(|call| {
        let message = format!("no: {:?} {}", call.headers, call.body).replace(['"', '\\'], "'");
        Answer::Say(403, format!(r#"{{"message":"{message}"}}"#))
    });
    let (unleash, sink) = (Double::start(unleash_like(|_| None)), Double::content());
    let files = tempfile::tempdir().unwrap();
    let (receiver, key) = closed(files.path());
    let yaml = with_every_secret(&echo, &unleash, &sink, &receiver);
    let switches = [
        ("refused", "webhook"),
        ("taken", "unleash"),
        ("by-ld", "launchdarkly"),
        ("by-http", "http"),
    ];
    let house = house(&yaml, &policy(&switches));
    let mut env = SECRETS.to_vec();
    env.extend([("RUST_LOG", "trace"), ("RUST_BACKTRACE", "full")]);
    let gateway = house.start(&env);
    for flag in ["refused", "by-ld", "by-http"] {
        send(&gateway, &[good(300, &[]), good(75, &[flag]), bad(25, &[flag])]);
        decided(&gateway, flag, "failed", SOON);
    }
    send(
        &gateway,
        &[good(300, &[]), good(75, &["taken"]), bad(75, &["taken"])],
    );
    decided(&gateway, "taken", "confirmed", SOON);
    eventually("the events", SOON, || {
        kinds(&sink).contains(&"failed".to_owned()).then_some(())
    });
    let sent = |double: &Double, name: &str, value: &str| {
        assert!(
            double.calls().iter().any(|it| it.header(name).contains(value)),
            "{name} was sent"
        );
    };
    sent(&echo, "authorization", SECRETS[0].1);
    sent(&echo, "x-key", SECRETS[1].1);
    sent(&unleash, "authorization", SECRETS[3].1);
    sent(&sink, "x-apm-key", SECRETS[5].1);
    sent(&sink, "authorization", SECRETS[6].1);

    sent(&echo, "authorization", SECRETS[12].1);
    sent(&echo, "authorization", SECRETS[14].1);
    sent(&echo, "x-more", SECRETS[15].1);

    let mut said = what_it_answers(&gateway);
    said.extend(at_the_doors(&gateway));
    for (_, record) in records(&sink) {
        said.push(("log event".to_owned(), record.to_string()));
    }
    let folder = house.dir.path();
    for args in [
        &["print-config", "--config", "gateway.yaml"][..],
        &["validate", "--config", "gateway.yaml"],
        &["audit", "export", "--api", &gateway.url("api", "")],
    ] {
        let out = burngate(folder, args, &SECRETS);
        assert!(
            out.status.success(),
            "{args:?}: {}",
            String::from_utf8_lossy(&out.stderr)
        );
        let text = String::from_utf8([out.stdout, out.stderr].concat()).unwrap();
        said.push((args.join(" "), text));
    }
    said.push(("stdout".to_owned(), gateway.printed().join("\n")));
    said.push(("crash".to_owned(), crash(&gateway)));
    for args in [["audit", "verify"], ["audit", "export"]] {
        said.push((args.join(" "), printed(folder, &args)));
    }
    for (what, text) in &said {
        assert!(!text.is_empty(), "{what}");
        assert!(!text.contains(CANARY), "{what} says a secret: {text}");
        for line in key_lines(&key) {
            assert!(!text.contains(line), "{what} says the key of TLS");
        }
    }
    house.assert_holds_no(CANARY);
    assert!(key_lines(&key).len() >= 2);
    for line in key_lines(&key) {
        house.assert_holds_no(line);
    }
}

/// Every page of the gateway, and some answers to those who ask wrongly.
fn what_it_answers(gateway: &Gateway) -> Vec<(String, String)> {
    let api = |path: &str| get(&gateway.url("api", path)).1;
    let mut said: Vec<(String, String)> = [
        "budgets",
        "budgets/checkout",
        "cohorts",
        "routes?service=checkout&slo=availability",
        "decisions",
        "signatures",
        "shapes",
        "corrections",
        "indicators",
        "audit",
        "audit?after=x",
        "why?flag=refused",
        "events",
        "nothing",
    ]
    .iter()
    .map(|path| ((*path).to_owned(), api(&format!("/api/v1/{path}"))))
    .collect();
    said.push(("metrics".to_owned(), gateway.metrics()));
    said.push(("health".to_owned(), get(&gateway.url("health", "/")).1));
    let correction = post(
        &gateway.url("api", "/api/v1/corrections"),
        "application/json",
        b"{}".to_vec(),
    );
    said.push((
        "a correction without a token".to_owned(),
        String::from_utf8(correction.1).unwrap(),
    ));
    said
}

/// Ends it as a defect would, and gives what it said then. No core may lie about.
fn crash(gateway: &Gateway) -> String {
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", gateway.pid())).unwrap();
    let core = limits
        .lines()
        .find(|line| line.starts_with("Max core file size"))
        .unwrap();
    assert_eq!(core.split_whitespace().nth(4), Some("0"), "{core}");
    let pid = gateway.pid().to_string();
    assert!(
        Command::new("kill")
            .args(["-ABRT", &pid])
            .status()
            .unwrap()
            .success()
    );
    eventually("its end", SOON, || {
        let state = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        (state.is_empty() || state.contains(") Z ")).then_some(())
    });
    let cores = std::fs::read_dir(&gateway.dir).unwrap().flatten();
    let cores: Vec<_> = cores
        .filter(|it| it.file_name().to_string_lossy().starts_with("core"))
        .collect();
    assert!(cores.is_empty(), "{cores:?}");
    gateway.stderr()
}
