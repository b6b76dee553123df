//! Flags in a file of flagd: through the whole gateway, and as OpenFeature's own evaluator sees them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stderr, missing_docs)]

mod kill_support;
mod support;

use kill_support::{House, decided, decisions};
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use support::{Gateway, Setup, eventually, sample};

const SOON: Duration = Duration::from_secs(30);
const ENV: [(&str, &str); 1] = [("ANN_TOKEN", "canary-5f2e9-ann")];
const FILE: &str = r#"{
  "flags": {
    "new-checkout": { "state": "ENABLED", "variants": { "on": true, "off": false }, "defaultVariant": "on" },
    "inverted": { "state": "ENABLED", "variants": { "on": true, "off": false }, "defaultVariant": "on" },
    "innocent": { "state": "ENABLED", "variants": { "a": 2.50 }, "defaultVariant": "a" }
  }
}
"#;

fn house(actions: [&str; 2]) -> House {
    let setup = Setup {
        error_budget: "{ policies: [ policies/*.yaml ], kill: { watch_interval: 1s } }".into(),
        exporters: "  flagd: { path: flags.json }".into(),
        decisions: vec!["flagd".into()],
        ..Setup::default()
    };
    let rule =
        |flag: &str, action: &str| format!("  - {{ flag: {flag}, exporter: flagd, action: {action} }}\n");
    let rules = rule("new-checkout", actions[0]) + &rule("inverted", actions[1]);
    let policy = format!(
        "service: checkout\nenvironment: production\nslos:\n  - {{ name: availability, target: 99.9% }}\n\
         kill_switches:\n{rules}"
    );
    let house = House::new(&setup, &policy);
    let file = house.dir.path().join("gateway.yaml");
    let yaml = std::fs::read_to_string(&file).unwrap();
    let api = "api: { endpoint: 127.0.0.1:0, admins: { ann: \"${env:ANN_TOKEN}\" } }";
    std::fs::write(file, yaml.replace("api: { endpoint: 127.0.0.1:0 }", api)).unwrap();
    std::fs::write(house.dir.path().join("flags.json"), FILE).unwrap();
    house
}

fn burngate(args: &[&str], folder: &Path) -> (i32, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_burngate"));
    let out = command.args(args).current_dir(folder).envs(ENV).output().unwrap();
    let told = String::from_utf8_lossy(&out.stdout).into_owned() + &String::from_utf8_lossy(&out.stderr);
    (out.status.code().unwrap(), told)
}

fn kill(gateway: &Gateway, flag: &str) -> (i32, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_burngate"));
    command.args([
        "kill",
        "--flag",
        flag,
        "--reason",
        "it hurts",
        "--api",
        &gateway.url("api", ""),
    ]);
    let out = command.env("BURNGATE_ADMIN_TOKEN", ENV[0].1).output().unwrap();
    let told = String::from_utf8_lossy(&out.stdout).into_owned() + &String::from_utf8_lossy(&out.stderr);
    (out.status.code().unwrap(), told)
}

/// OpenFeature's own evaluator on a flag of a file, or a word about its absence.
struct Evaluator {
    child: Child,
    said: Arc<Mutex<Vec<String>>>,
}

impl Evaluator {
    fn start(file: &Path, flag: &str) -> Option<Self> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let tools = std::env::var_os("BURNGATE_TOOLS").map(PathBuf::from);
        let python = tools
            .unwrap_or_else(|| root.join("target/tools"))
            .join("flagd/bin/python");
        if !python.exists() {
            let must = std::env::var_os("BURNGATE_NO_SKIP").is_some();
            assert!(
                !must,
                "cannot skip here: OpenFeature's flagd provider is not installed"
            );
            eprintln!(
                "no evaluator: OpenFeature's flagd provider is not installed (tests/all.sh installs it)"
            );
            return None;
        }
        let mut command = Command::new(python);
        command
            .arg(root.join("tests/flagd/official.py"))
            .arg(file)
            .arg(flag);
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let said = Arc::new(Mutex::new(Vec::new()));
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let heard = Arc::clone(&said);
        std::thread::spawn(move || {
            lines
                .map_while(Result::ok)
                .for_each(|it| heard.lock().unwrap().push(it));
        });
        Some(Self { child, said })
    }

    fn sees(&self, want: &[&str]) {
        let what = format!("the evaluator seeing {want:?}");
        eventually(&what, SOON, || (*self.said.lock().unwrap() == want).then_some(()));
    }
}

impl Drop for Evaluator {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_flag_in_a_file_goes_off_and_its_official_evaluator_sees_it() {
    let house = house(["off", "{ serve: off }"]);
    let file = house.dir.path().join("flags.json");
    let [off, served] = ["new-checkout", "inverted"].map(|flag| Evaluator::start(&file, flag));
    let gateway = house.start(&ENV);
    let labels = |flag| {
        [
            ("exporter", "flagd"),
            ("flag", flag),
            ("environment", "production"),
        ]
    };
    for flag in ["new-checkout", "inverted"] {
        eventually("a dry run that went well", SOON, || {
            (sample(&gateway.metrics(), "burngate_flag_ready", &labels(flag)) == Some(1.0)).then_some(())
        });
    }
    assert_eq!(
        std::fs::read_to_string(&file).unwrap(),
        FILE,
        "dry runs write nothing"
    );
    // Callers with a default of their own of false, and those with true.
    let before = "True on STATIC, True on STATIC";
    for it in [&off, &served].into_iter().flatten() {
        it.sees(&[before]);
    }

    let (code, told) = kill(&gateway, "new-checkout");
    assert_eq!(code, 0, "{told}");
    let decision = decided(&gateway, "new-checkout", "confirmed", SOON);
    assert_eq!(
        (&decision["verified"], &decision["already_off"]),
        (&true.into(), &false.into())
    );
    let (code, told) = kill(&gateway, "inverted");
    assert_eq!(code, 0, "{told}");
    let want = FILE
        .replacen("ENABLED", "DISABLED", 1)
        .replace("\"inverted\": { \"state\": \"ENABLED\", \"variants\": { \"on\": true, \"off\": false }, \"defaultVariant\": \"on\"",
            "\"inverted\": { \"state\": \"ENABLED\", \"variants\": { \"on\": true, \"off\": false }, \"defaultVariant\": \"off\"");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), want);
    if let (Some(off), Some(served)) = (&off, &served) {
        off.sees(&[before, "False - DISABLED, True - DISABLED"]);
        served.sees(&[before, "False off STATIC, False off STATIC"]);
    }

    // Somebody switches it back, in the file: their word holds.
    std::fs::write(&file, FILE).unwrap();
    eventually("the hold", SOON, || {
        let decision = decisions(&gateway, "new-checkout").remove(0);
        (decision["phase"] == "human_hold").then_some(())
    });
    assert_eq!(std::fs::read_to_string(&file).unwrap(), FILE);
}

#[test]
fn what_a_file_cannot_do_is_refused_before_the_start() {
    let house = house(["off", "{ rollout: 5 }"]);
    let (code, told) = burngate(&["validate", "--config", "gateway.yaml"], house.dir.path());
    assert_ne!(code, 0, "{told}");
    assert!(
        told.contains("exporter `flagd` cannot do `rollout`; it can do off, on, serve"),
        "{told}"
    );
    let refused = house.try_start(&ENV).err().unwrap();
    assert!(refused.contains("cannot do `rollout`"), "{refused}");
    let policy = house.dir.path().join("policies/checkout.yaml");
    let yaml = std::fs::read_to_string(&policy)
        .unwrap()
        .replace("{ rollout: 5 }", "off");
    std::fs::write(
        &policy,
        yaml + "deployments:\n  - { exporter: flagd, action: pause }\n",
    )
    .unwrap();
    let (code, told) = burngate(&["validate", "--config", "gateway.yaml"], house.dir.path());
    let want =
        "deployments of service `checkout`: exporter `flagd` cannot do `pause`; it can do off, on, serve";
    assert!(code != 0 && told.contains(want), "{told}");
    assert!(house.try_start(&ENV).err().unwrap().contains(want));
}
