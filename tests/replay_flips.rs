//! The flags of a shop with little traffic (PetShop) are 100 % rollouts: every flip is tried against its own
//! past, beside the services that do not have the flag.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod replay_support;
mod support;

use replay_support::{clock, documented, replay, seconds};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io::Read as _;
use std::path::Path;
use support::shared;

/// Services by the name in the recording, and how policies call them.
const SERVICES: [(&str, &str); 5] = [
    ("PetSite", "PetSite"),
    ("PetSearch_AWS::ECS::Fargate", "PetSearch"),
    ("payforadoption_AWS::ECS::Container", "payforadoption"),
    ("petlistadoptions_AWS::ECS::Fargate", "petlistadoptions"),
    ("lambdastatusupdater_AWS::Lambda::Function", "lambdastatusupdater"),
];
/// Flags, and the service that reads each. PetSite, which asks it, has it as well.
const FLAGS: [(&str, &str); 5] = [
    ("searcherrorpercent", "PetSearch"),
    ("searchdelay", "PetSearch"),
    ("errormode1", "payforadoption"),
    ("delaymode1", "payforadoption"),
    ("petlisterrorpercent", "petlistadoptions"),
];
/// SLOs, and the burn that is harm.
const SLOS: [(&str, u32); 2] = [("availability", 7), ("latency", 2)];
/// Slower is bad, in seconds.
const SLOW: f64 = 0.4;
/// Points speak of the five minutes before.
const POINT: u64 = 300;

fn policies() -> String {
    let mut text = String::new();
    for (_, service) in SERVICES {
        write!(
            text,
            "---\nservice: {service}\nenvironment: production\nslos:\n\
             - {{ name: availability, target: 99.9% }}\n\
             - {{ name: latency, target: 95%, sli: {{ faster_than: 400ms }} }}\n"
        )
        .unwrap();
        if service == "PetSite" {
            text.push_str("kill_switches:\n");
            let rules = FLAGS.iter().flat_map(|(flag, _)| SLOS.map(|slo| (flag, slo)));
            for (flag, (slo, burn_above)) in rules {
                writeln!(
                    text,
                    "- {{ flag: {flag}, slo: {slo}, exporter: webhook, mode: auto, \
                     when: {{ burn_above: {burn_above} }}, guards: {{ max_data_age: 10m }} }}"
                )
                .unwrap();
            }
        }
    }
    text.trim_start_matches("---\n").to_owned()
}

/// Share above [`SLOW`], on straight lines between the quantiles; above the last one nothing is known.
fn slow_share(quantiles: &[(f64, f64)]) -> f64 {
    let mut below = (0.0, 0.0);
    for &(share, secs) in quantiles {
        if secs > SLOW {
            let part = (SLOW - below.1) / (secs - below.1);
            return 1.0 - (below.0 + part * (share - below.0));
        }
        below = (share, secs);
    }
    0.0
}

/// The recording as counts, a row a service, SLO and point; the flag of a point is that of its label.
fn counts(folder: &Path) -> String {
    let file = std::fs::File::open(folder.join("windows.csv.gz")).unwrap();
    let mut text = String::new();
    flate2::read::GzDecoder::new(file)
        .read_to_string(&mut text)
        .unwrap();
    let mut lines = text.lines();
    let header: Vec<&str> = lines.next().unwrap().split(',').collect();
    let column = |name: &str| header.iter().position(|h| *h == name).unwrap();
    let mut out = String::from("timestamp,total,errors,service,slo,environment,sha,flags\n");
    for line in lines {
        let cells: Vec<&str> = line.split(',').collect();
        let cell = |name: &str| cells[column(name)];
        let Some((_, service)) = SERVICES.iter().find(|(name, _)| *name == cell("service")) else {
            continue;
        };
        if cell("incident").ends_with("noissue") {
            continue;
        }
        let number = |name: &str| cell(name).parse::<f64>().unwrap();
        let (all, bad) = (number("requests"), number("errors"));
        let quantiles = [(0.5, "p50_s"), (0.9, "p90_s"), (0.95, "p95_s"), (0.99, "p99_s")];
        let slow = all * slow_share(&quantiles.map(|(share, name)| (share, number(name))));
        let variant = |flag: &str| if cell("flag").ends_with(flag) { "" } else { "!" };
        let has = |owner: &str| *service == "PetSite" || *service == owner;
        let flags: Vec<String> = FLAGS
            .iter()
            .filter(|(_, owner)| has(owner))
            .map(|(flag, _)| format!("{}{flag}", variant(flag)))
            .collect();
        let at = cell("timestamp").parse::<u64>().unwrap() + POINT - 60;
        for (slo, bad) in [("availability", bad), ("latency", slow.round())] {
            writeln!(
                out,
                "{at},{all},{bad},{service},{slo},production,{},\"{}\"",
                &cell("deploy")[..7],
                flags.join(",")
            )
            .unwrap();
        }
    }
    out
}

#[derive(Debug)]
struct Flip {
    at: u64,
    name: String,
    flag: String,
    value: String,
    symptom: String,
}

fn incidents(folder: &Path) -> (Vec<Flip>, BTreeSet<u64>) {
    let text = std::fs::read_to_string(folder.join("truth.jsonl")).unwrap();
    let (mut flips, mut others) = (Vec::new(), BTreeSet::new());
    for line in text.lines() {
        let row: Value = serde_json::from_str(line).unwrap();
        let word = |key: &str| row[key].as_str().unwrap_or_default().to_owned();
        let at = row["inject_unix"].as_u64().unwrap();
        if row["flag"].is_null() {
            others.insert(at);
            continue;
        }
        flips.push(Flip {
            at,
            name: word("id")
                .trim_start_matches("low_traffic/")
                .replace("/issue_", " "),
            flag: word("flag").trim_start_matches("petstore.").to_owned(),
            value: word("value"),
            symptom: word("symptom_metric"),
        });
    }
    flips.sort_by_key(|flip| flip.at);
    (flips, others)
}

/// The trial that began with this flip.
fn trial<'a>(answer: &'a Value, flip: &Flip, slo: &str) -> &'a Value {
    let tried = answer["evidence"].as_array().unwrap().iter();
    let mut ours = tried.filter(|tried| {
        let changed = &tried["proof"]["temporal"]["changed_at"];
        // In the ten seconds that end with the first point in which the flag is on.
        tried["flag"] == *flip.flag
            && tried["slo"] == *slo
            && !changed.is_null()
            && (flip.at - 10..flip.at + POINT).contains(&seconds(changed))
    });
    let found = ours
        .next()
        .unwrap_or_else(|| panic!("{flip:?} is not tried by {slo}"));
    assert!(ours.next().is_none(), "{flip:?} is tried once");
    found
}

fn figure(value: &Value) -> f64 {
    value.as_f64().unwrap()
}

fn row(flip: &Flip, slo: &str, proof: &Value, said: &str) -> String {
    let past = &proof["temporal"];
    let of = |side: &str| {
        let count = |what: &str| past[format!("{side}_{what}")].as_u64().unwrap();
        format!("{} of {}", count("bad"), count("bad") + count("good"))
    };
    format!(
        "| {} | {} | `{}` = {} | {slo} | {} | {} | {} | {:.1} | {:.1} | {:.1} | {said} |",
        clock(flip.at),
        flip.name,
        flip.flag,
        flip.value,
        of("after"),
        of("before"),
        of("aside"),
        figure(&past["log_risen"]),
        figure(&past["log_apart"]),
        figure(&proof["kill_bound"]),
    )
}

/// Which condition was not met, from the figures at the end of the trial.
fn miss(tried: &Value) -> String {
    let (best, last) = (&tried["proof"], &tried["at_last"]);
    let bound = figure(&best["kill_bound"]);
    assert!(
        figure(&best["log_e"]) < bound,
        "enough evidence, and not proposed: {tried}"
    );
    let past = &last["temporal"];
    let (risen, apart) = (figure(&past["log_risen"]), figure(&past["log_apart"]));
    let which = if risen <= apart { "risen" } else { "apart" };
    assert!(risen.min(apart) < bound, "{tried}");
    which.to_owned()
}

#[test]
fn every_flip_is_tried_against_its_past_and_what_reaches_the_bound_is_proposed() {
    let Some(shared) = shared() else { return };
    let folder = shared.join("data/incidents/petshop-low-traffic");
    let work = tempfile::tempdir().unwrap();
    let csv = work.path().join("points.csv");
    std::fs::write(&csv, counts(&folder)).unwrap();
    // Points come every five minutes; an evaluation every ten seconds finds all that one a second would.
    let config =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/config/gateway.yaml")).unwrap();
    let slow = config.replace("evaluation_interval: 1s", "evaluation_interval: 10s");
    assert_ne!(slow, config);
    std::fs::write(work.path().join("config.yaml"), slow).unwrap();
    let more = ["--tail", "10m", "--config", "config.yaml"];
    let answer = replay(work.path(), &[csv], &policies(), &more);
    assert_eq!(answer["input"]["left_out"], 0, "{}", answer["input"]);

    let (flips, others) = incidents(&folder);
    assert_eq!((flips.len(), others.len()), (18, 8));
    let decisions: BTreeMap<u64, &Value> = answer["decisions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|decision| (seconds(&decision["at"]), decision))
        .collect();
    for decision in decisions.values() {
        assert_eq!(
            decision["mode"], "propose",
            "the mode is auto, the class is not enough: {decision}"
        );
        assert_eq!(decision["proof"]["class"], "temporal", "{decision}");
    }
    let (mut rows, mut proposed) = (Vec::new(), 0);
    for flip in &flips {
        for (slo, _) in SLOS {
            let tried = trial(&answer, flip, slo);
            let mut during = decisions.range(flip.at..flip.at + 1_800).map(|(_, found)| *found);
            let ours = |d: &&Value| d["flag"] == *flip.flag && d["slo"] == *slo;
            rows.push(match during.find(ours) {
                Some(decision) => {
                    proposed += 1;
                    assert_eq!(*slo, *flip.symptom, "{decision}");
                    let said = format!("proposed at {}", clock(seconds(&decision["at"])));
                    row(flip, slo, &decision["proof"], &said)
                }
                None => row(flip, slo, &tried["at_last"], &miss(tried)),
            });
        }
    }
    assert_eq!(
        proposed,
        decisions.len(),
        "nothing else is proposed: {decisions:?}"
    );
    for at in others {
        let during = decisions.range(at..at + 1_800).next();
        assert!(during.is_none(), "a deploy or a load is no flag: {during:?}");
    }
    rows.push(format!("{proposed} of 18 flips are proposed"));
    documented(&rows);
}
