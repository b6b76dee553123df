//! The outcome as one table, a line a fact, for spreadsheets and scripts.
//!
//! `kind` says what a line is: `window` (one window of a budget at one time; the longest is the period, with
//! what remains of its budget), `alert`, `gate`, `decision` or `held_back`.

use super::outcome::{EdgeState, Outcome, Subject, WindowSample};
use csv::Writer;
use std::io::{self, Write};

const HEADER: [&str; 16] = [
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
            window: None,
            remaining: None,
        };
        line.write(&mut csv, &edge.at.to_string(), &edge.subject)?;
    }
    for edge in &outcome.gates {
        let line = Line {
            kind: "gate",
            what: &edge.reasons.join(" "),
            state: edge.decision.as_str(),
            window: None,
            remaining: edge.remaining,
        };
        line.write(&mut csv, &edge.at.to_string(), &edge.subject)?;
    }
    for killed in &outcome.decisions {
        let line = Line {
            kind: "decision",
            what: &killed.exporter,
            state: killed.mode,
            window: Some(killed.window),
            remaining: None,
        };
        line.write(&mut csv, &killed.at.to_string(), &killed.subject)?;
    }
    for held in &outcome.held_back {
        let line = Line {
            kind: "held_back",
            what: &held.exporter,
            state: held.reason,
            window: Some(held.window),
            remaining: None,
        };
        line.write(&mut csv, &held.at.to_string(), &held.subject)?;
    }
    csv.flush()
}

struct Line<'a> {
    kind: &'a str,
    what: &'a str,
    state: &'a str,
    window: Option<WindowSample>,
    remaining: Option<f64>,
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
        ];
        csv.write_record(record)?;
        Ok(())
    }
}
