//! Power curves as text: which share of the runs has killed by when.

use super::summary::Row;
use std::io::{self, Write};

const COLUMNS: usize = 80;
const LINES: usize = 20;
/// From two minutes to a day, in equal steps of the logarithm.
const FROM_SECS: f64 = 120.0;
const TO_SECS: f64 = 86_400.0;
const MARKS: [(u64, &str); 8] = [
    (120, "2m"),
    (300, "5m"),
    (600, "10m"),
    (1800, "30m"),
    (3600, "1h"),
    (10_800, "3h"),
    (28_800, "8h"),
    (86_400, "24h"),
];

fn at(column: usize) -> f64 {
    FROM_SECS * (TO_SECS / FROM_SECS).powf(column as f64 / (COLUMNS - 1) as f64)
}

/// The curves of rows with a guilty flag, a letter each; nothing without such rows.
pub fn write_plot(rows: &[Row], out: &mut dyn Write) -> io::Result<()> {
    let guilty: Vec<&Row> = rows.iter().filter(|row| !row.cell.is_null()).take(26).collect();
    if guilty.is_empty() {
        return Ok(());
    }
    let mut canvas = vec![[b' '; COLUMNS]; LINES + 1];
    for (letter, row) in (b'a'..=b'z').zip(&guilty) {
        let runs = usize::try_from(row.runs.max(1)).unwrap_or(usize::MAX);
        for (column, secs) in (0..COLUMNS).map(|column| (column, at(column))) {
            let killed = row.delays_secs.partition_point(|&kill| kill as f64 <= secs);
            canvas[LINES - killed * LINES / runs][column] = letter;
        }
    }
    writeln!(out, "share of runs in which the guilty flag is off")?;
    for (line, drawn) in canvas.iter().enumerate() {
        let percent = 100 * (LINES - line) / LINES;
        writeln!(
            out,
            "{percent:>4}% |{}",
            String::from_utf8_lossy(drawn).trim_end()
        )?;
    }
    let mut axis = vec![b' '; COLUMNS + 4];
    for (secs, name) in MARKS {
        let column = (0..COLUMNS)
            .find(|&column| at(column) >= secs as f64 * 0.999)
            .unwrap_or(COLUMNS - 1);
        axis[column..column + name.len()].copy_from_slice(name.as_bytes());
    }
    writeln!(out, "       {}", String::from_utf8_lossy(&axis).trim_end())?;
    for (letter, row) in ('a'..='z').zip(&guilty) {
        let cell = &row.cell;
        writeln!(
            out,
            "  {letter}  {}: {} req/s, share {}, {} times {}, clusters of {}",
            cell.scenario.as_str(),
            cell.rate,
            cell.share,
            cell.ratio,
            cell.base_rate,
            cell.cluster
        )?;
    }
    Ok(())
}
