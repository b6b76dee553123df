//! Rows as a table, CSV and JSON.

use super::acceptance::{Claim, Proof};
use super::cell::{Cell, Settings};
use super::summary::{Delay, Row};
use serde_json::json;
use std::io::{self, Write};

/// For people.
pub fn write_table(rows: &[Row], out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "{HEAD}")?;
    for row in rows {
        writeln!(out, "{}", line(row))?;
    }
    Ok(())
}

const HEAD: &str = "scenario          req/s share  ratio   base clust disc |  runs  right wrong   evid  median     \
                    95%  spent | plain: right wrong  median";

fn line(row: &Row) -> String {
    let Cell {
        scenario,
        rate,
        share,
        ratio,
        base_rate,
        cluster,
        discount,
    } = row.cell;
    let discount = match discount {
        super::DiscountSource::Default => "dflt",
        super::DiscountSource::Measured => "meas",
    };
    format!(
        "{:<16} {rate:>6} {share:>5} {ratio:>6} {base_rate:>6} {cluster:>5} {discount} | {:>5} {:>6} {:>5} {:>6} {:>7} \
         {:>7} {:>5.1}% | {:>12} {:>5} {:>7}",
        scenario.as_str(),
        row.runs,
        row.killed,
        row.wrong,
        row.crossed,
        time(row.delay.median_secs),
        time(row.delay.p95_secs),
        100.0 * row.spent,
        row.plain_killed,
        row.plain_wrong,
        time(row.plain_delay.median_secs),
    )
}

/// Seconds as people read them; `-` for never.
fn time(secs: Option<u64>) -> String {
    match secs {
        None => "-".to_owned(),
        Some(secs) if secs < 3600 => format!("{}:{:02}", secs / 60, secs % 60),
        Some(secs) => format!("{}h{:02}", secs / 3600, secs % 3600 / 60),
    }
}

/// Claims and whether they hold.
pub fn write_proofs(proofs: &[Proof], out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "{:<34} | {HEAD}", "claim")?;
    for proof in proofs {
        let verdict = if proof.holds { "holds " } else { "MISSED" };
        let claim = format!("{verdict} {}", words(proof.claim));
        writeln!(out, "{claim:<34} | {}", line(&proof.row))?;
    }
    let holding = proofs.iter().filter(|proof| proof.holds).count();
    writeln!(out, "{holding} of {} claims hold", proofs.len())
}

fn words(claim: Claim) -> String {
    match claim {
        Claim::NoKill => "no false kill".to_owned(),
        Claim::InTime {
            median_secs,
            p95_secs,
        } => format!(
            "half by {}, 95% by {}",
            time(Some(median_secs)),
            time(Some(p95_secs))
        ),
        Claim::Right { per_mille } => {
            format!("the guilty one in {} %", per_mille as f64 / 10.0)
        }
    }
}

/// A line a cell; empty where there is no figure.
pub fn write_csv(rows: &[Row], out: &mut dyn Write) -> io::Result<()> {
    writeln!(
        out,
        "scenario,rate,share,ratio,base_rate,cluster,discount,runs,killed,wrong,crossed,median_secs,p95_secs,spent,\
         plain_killed,plain_wrong,plain_median_secs,plain_p95_secs"
    )?;
    let text = |secs: Option<u64>| secs.map(|secs| secs.to_string()).unwrap_or_default();
    let delay = |delay: Delay| format!("{},{}", text(delay.median_secs), text(delay.p95_secs));
    for row in rows {
        let cell = &row.cell;
        let discount = match cell.discount {
            super::DiscountSource::Default => "default",
            super::DiscountSource::Measured => "measured",
        };
        writeln!(
            out,
            "{},{},{},{},{},{},{discount},{},{},{},{},{},{},{},{},{}",
            cell.scenario.as_str(),
            cell.rate,
            cell.share,
            cell.ratio,
            cell.base_rate,
            cell.cluster,
            row.runs,
            row.killed,
            row.wrong,
            row.crossed,
            delay(row.delay),
            row.spent,
            row.plain_killed,
            row.plain_wrong,
            delay(row.plain_delay),
        )?;
    }
    Ok(())
}

/// One document: the settings and the rows, or proofs.
pub fn write_json<T: serde::Serialize>(
    settings: &Settings,
    rows: &[T],
    out: &mut dyn Write,
) -> io::Result<()> {
    serde_json::to_writer_pretty(&mut *out, &json!({ "settings": settings, "rows": rows }))?;
    writeln!(out)
}
