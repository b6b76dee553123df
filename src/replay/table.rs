//! The outcome for people.

use super::evidence::Tried;
use super::gates::GateEdge;
use super::outcome::{AlertEdge, BudgetSample, EdgeState, HeldBack, Killed, Outcome, WindowSample};
use super::subject::Subject;
use crate::config::format_duration;
use crate::decide::Proof;
use crate::time::UnixNanos;
use std::io::{self, Write};
use std::time::Duration;

/// Windows that the budgets' table shows beside the period.
const SHOWN_WINDOWS: [u64; 3] = [300, 3_600, 21_600];

/// Writes it.
pub fn write(outcome: &Outcome, out: &mut dyn Write) -> io::Result<()> {
    let input = &outcome.input;
    writeln!(
        out,
        "{} to {}: {} requests with {} items, {} minutes of counts, {} records left out",
        second(outcome.from),
        second(outcome.to),
        input.requests,
        input.items,
        input.minutes,
        input.left_out
    )?;
    section(
        out,
        "Budgets",
        &budgets(outcome),
        "nothing was counted: no policy covers what was read",
    )?;
    section(out, "Alerts", &alerts(outcome), "none would have fired")?;
    section(out, "Release gates", &gates(outcome), "there is no budget")?;
    let none = "no kill switch would have spoken";
    section(out, "Kill switches (nothing was sent)", &decisions(outcome), none)?;
    if !outcome.held_back.is_empty() {
        section(out, "Held back", &held_back(outcome), "")?;
    }
    if !outcome.evidence.is_empty() {
        section(out, "Evidence at its strongest", &evidence(outcome), "")?;
    }
    Ok(())
}

type Rows = Vec<Vec<String>>;

fn section(out: &mut dyn Write, title: &str, rows: &Rows, none: &str) -> io::Result<()> {
    writeln!(out, "\n{title}")?;
    if rows.len() < 2 {
        return writeln!(out, "  {none}");
    }
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    for row in rows {
        let mut line = String::from(" ");
        for (cell, width) in row.iter().zip(&widths) {
            line.push(' ');
            line.push_str(cell);
            line.extend(std::iter::repeat_n(' ', width + 1 - cell.chars().count()));
        }
        writeln!(out, "{}", line.trim_end())?;
    }
    Ok(())
}

fn header(names: &[&str]) -> Vec<String> {
    names.iter().map(|&name| name.to_owned()).collect()
}

fn budgets(outcome: &Outcome) -> Rows {
    let shown: Vec<String> = SHOWN_WINDOWS
        .iter()
        .map(|w| format!("burn {}", duration(*w)))
        .collect();
    let mut names = vec!["at", "whose", "good", "bad", "left"];
    names.extend(shown.iter().map(String::as_str));
    names.push("state");
    let row = |it: &BudgetSample| {
        let left = it
            .remaining
            .map_or("-".to_owned(), |r| format!("{:.2}%", r * 100.0));
        let mut row = vec![
            second(it.at),
            whose(&it.subject),
            it.good.to_string(),
            it.bad.to_string(),
            left,
        ];
        row.extend(SHOWN_WINDOWS.iter().map(|w| burn(&it.windows, *w)));
        row.push(it.state.to_owned());
        row
    };
    std::iter::once(header(&names))
        .chain(outcome.budgets.iter().map(row))
        .collect()
}

fn alerts(outcome: &Outcome) -> Rows {
    let names = [
        "at", "whose", "alert", "severity", "", "burn 5m", "burn 30m", "burn 1h", "burn 6h",
    ];
    let row = |it: &AlertEdge| {
        let state = match (it.state, it.fired_secs) {
            (EdgeState::Firing, _) => "fires".to_owned(),
            (EdgeState::Resolved, secs) => format!("ends after {}", duration(secs.unwrap_or(0))),
        };
        let mut row = vec![
            second(it.at),
            whose(&it.subject),
            it.alert.clone(),
            it.severity.to_owned(),
            state,
        ];
        row.extend([300, 1_800, 3_600, 21_600].iter().map(|w| burn(&it.windows, *w)));
        row
    };
    std::iter::once(header(&names))
        .chain(outcome.alerts.iter().map(row))
        .collect()
}

fn gates(outcome: &Outcome) -> Rows {
    let row = |it: &GateEdge| {
        let left = it
            .remaining
            .map_or("-".to_owned(), |r| format!("{:.2}%", r * 100.0));
        let decision = it.decision.as_str().to_owned();
        vec![
            second(it.at),
            whose(&it.subject),
            decision,
            left,
            it.told.join("; "),
        ]
    };
    std::iter::once(header(&["at", "whose", "says", "left", "because"]))
        .chain(outcome.gates.iter().map(row))
        .collect()
}

fn decisions(outcome: &Outcome) -> Rows {
    let names = [
        "at",
        "mode",
        "exporter",
        "action",
        "whose",
        "burn",
        "bad of all",
        "evidence",
    ];
    let row = |it: &Killed| {
        vec![
            second(it.at),
            it.mode.to_owned(),
            it.exporter.clone(),
            it.action.clone(),
            whose(&it.subject),
            it.window
                .burn_rate
                .map_or("-".to_owned(), |burn| format!("{burn:.2}")),
            format!("{} of {}", it.window.bad, it.window.good + it.window.bad),
            it.proof.as_ref().map_or("-".to_owned(), figures),
        ]
    };
    std::iter::once(header(&names))
        .chain(outcome.decisions.iter().map(row))
        .collect()
}

fn held_back(outcome: &Outcome) -> Rows {
    let names = ["at", "whose", "burn", "held by"];
    let row = |it: &HeldBack| {
        vec![
            second(it.at),
            whose(&it.subject),
            it.window
                .burn_rate
                .map_or("-".to_owned(), |burn| format!("{burn:.2}")),
            it.told.clone(),
        ]
    };
    std::iter::once(header(&names))
        .chain(outcome.held_back.iter().map(row))
        .collect()
}

fn evidence(outcome: &Outcome) -> Rows {
    let names = [
        "at",
        "whose",
        "mode",
        "evidence",
        "bad of all",
        "control",
        "says",
        "because",
    ];
    let row = |it: &Tried| {
        let share = |counts: crate::ledger::Counts| format!("{} of {}", counts.bad, counts.total());
        vec![
            second(it.at),
            whose(&it.subject),
            it.mode.to_owned(),
            figures(&it.proof),
            share(it.proof.treated),
            share(it.proof.control),
            it.verdict.to_owned(),
            it.told.join("; "),
        ]
    };
    std::iter::once(header(&names))
        .chain(outcome.evidence.iter().map(row))
        .collect()
}

/// `concurrent 12.1 of 5.3`, by the nearer of both bounds.
fn figures(proof: &Proof) -> String {
    let (class, e, d) = (proof.class, proof.log_e, proof.log_d);
    if d / proof.change_bound > e / proof.kill_bound {
        format!("{class} ln D {d:.1} of {:.1}", proof.change_bound)
    } else {
        format!("{class} ln E {e:.1} of {:.1}", proof.kill_bound)
    }
}

/// `checkout/availability production sha=4f2c1e new-checkout=on`.
fn whose(subject: &Subject) -> String {
    let mut out = format!("{}/{}", subject.service, subject.slo);
    if let Some(environment) = &subject.environment {
        out = format!("{out} {environment}");
    }
    if let Some(sha) = &subject.sha {
        out = format!("{out} sha={sha}");
    }
    if let (Some(flag), Some(variant)) = (&subject.flag, &subject.variant) {
        out = format!("{out} {flag}={variant}");
    }
    if let Some(route) = &subject.route {
        out = format!("{out} {route}");
    }
    if subject.overflow {
        out.push_str(" (beyond caps)");
    }
    out
}

fn burn(windows: &[WindowSample], window_secs: u64) -> String {
    let found = windows.iter().find(|w| w.window_secs == window_secs);
    found
        .and_then(|w| w.burn_rate)
        .map_or("-".to_owned(), |burn| format!("{burn:.2}"))
}

fn duration(secs: u64) -> String {
    format_duration(Duration::from_secs(secs))
}

/// To the second: ticks stand there, and fractions are noise for people.
fn second(at: UnixNanos) -> String {
    let text = UnixNanos::from_secs(at.secs()).to_string();
    text.replacen(".000Z", "Z", 1)
}
