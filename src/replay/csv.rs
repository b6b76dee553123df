//! The outcome as one table, a line a fact, for spreadsheets and scripts.
//!
//! `kind` says what a line is: `window` (one window of a budget at one time; the longest is the period, with
//! what remains of its budget), `alert`, `gate`, `decision`, `held_back` or `evidence` (the strongest moment
//! of each variant and version). The last columns are of rules by evidence.

use super::outcome::{EdgeState, Outcome, WindowSample};
use super::subject::Subject;
use crate::decide::Proof;
use csv::Writer;
use std::io::{self, Write};

const HEADER: [&str; 21] = [
    "at",
    "kind",
    "service",
    "slo",
    "environment",
    "sha",
    "flag",
    "variant",
    "what",
    "state",
    "window_secs",
    "good",
    "bad",
    "burn_rate",
    "remaining",
    "route",
    "class",
    "log_e",
    "kill_bound",
    "log_d",
    "change_bound",
];

/// Writes it.
pub fn write(outcome: &Outcome, out: &mut dyn Write) -> io::Result<()> {
    let mut csv = Writer::from_writer(out);
    csv.write_record(HEADER)?;
    for budget in &outcome.budgets {
        for window in &budget.windows {
            let remaining = budget
                .remaining
                .filter(|_| window.window_secs == budget.period_secs);
            let line = Line {
                kind: "window",
                what: "",
                state: budget.state,
                window: Some(*window),
                remaining,
                ..Line::default()
            };
            line.write(&mut csv, &budget.at.to_string(), &budget.subject)?;
        }
    }
    for edge in &outcome.alerts {
        let line = Line {
            kind: "alert",
            what: &edge.alert,
            state: match edge.state {
                EdgeState::Firing => "firing",
                EdgeState::Resolved => "resolved",
            },
            ..Line::default()
        };
        line.write(&mut csv, &edge.at.to_string(), &edge.subject)?;
    }
    for edge in &outcome.gates {
        let line = Line {
            kind: "gate",
            what: &edge.reasons.join(" "),
            state: edge.decision.as_str(),
            remaining: edge.remaining,
            ..Line::default()
        };
        line.write(&mut csv, &edge.at.to_string(), &edge.subject)?;
    }
    write_kills(outcome, &mut csv)?;
    csv.flush()
}

fn write_kills<W: Write>(outcome: &Outcome, csv: &mut Writer<W>) -> io::Result<()> {
    for killed in &outcome.decisions {
        let line = Line {
            kind: "decision",
            what: &killed.exporter,
            state: killed.mode,
            window: Some(killed.window),
            proof: killed.proof.as_ref(),
            ..Line::default()
        };
        line.write(csv, &killed.at.to_string(), &killed.subject)?;
    }
    for held in &outcome.held_back {
        let line = Line {
            kind: "held_back",
            what: &held.exporter,
            state: held.reason,
            window: Some(held.window),
            ..Line::default()
        };
        line.write(csv, &held.at.to_string(), &held.subject)?;
    }
    for tried in &outcome.evidence {
        let line = Line {
            kind: "evidence",
            what: &tried.reasons.join(" "),
            state: tried.verdict,
            proof: Some(&tried.proof),
            ..Line::default()
        };
        line.write(csv, &tried.at.to_string(), &tried.subject)?;
    }
    Ok(())
}

#[derive(Default)]
struct Line<'a> {
    kind: &'a str,
    what: &'a str,
    state: &'a str,
    window: Option<WindowSample>,
    remaining: Option<f64>,
    proof: Option<&'a Proof>,
}

impl Line<'_> {
    fn write<W: Write>(&self, csv: &mut Writer<W>, at: &str, subject: &Subject) -> io::Result<()> {
        let text = |value: &Option<String>| value.clone().unwrap_or_default();
        let number = |value: Option<u64>| value.map(|n| n.to_string()).unwrap_or_default();
        let float = |value: Option<f64>| value.map(|n| n.to_string()).unwrap_or_default();
        let record = [
            at.to_owned(),
            self.kind.to_owned(),
            subject.service.clone(),
            subject.slo.clone(),
            text(&subject.environment),
            text(&subject.sha),
            text(&subject.flag),
            text(&subject.variant),
            self.what.to_owned(),
            self.state.to_owned(),
            number(self.window.map(|w| w.window_secs)),
            number(self.window.map(|w| w.good)),
            number(self.window.map(|w| w.bad)),
            float(self.window.and_then(|w| w.burn_rate)),
            float(self.remaining),
            text(&subject.route),
            self.proof.map_or("", |proof| proof.class.as_str()).to_owned(),
            float(self.proof.map(|proof| proof.log_e)),
            float(self.proof.map(|proof| proof.kill_bound)),
            float(self.proof.map(|proof| proof.log_d)),
            float(self.proof.map(|proof| proof.change_bound)),
        ];
        csv.write_record(record)?;
        Ok(())
    }
}
