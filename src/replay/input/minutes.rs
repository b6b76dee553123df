//! `.csv`: counts by the minute, such as an export of a monitoring system.
//!
//! A row says when its minute began, how many events there were and how many of them were bad. It counts
//! when the minute is over, stamped with its end, so that a window (t-w, t] holds exactly the minutes that
//! ended in it: what Prometheus says of the same samples. Other columns say whom the row belongs to; a
//! column with no meaning here is added up over, and named once.

use super::super::error::ReplayError;
use super::Loading;
use crate::ledger::HandCount;
use crate::replay::spool::Content;
use crate::time::{NANOS_PER_SEC, UnixNanos};
use csv::{ReaderBuilder, StringRecord, Trim};
use std::io::BufRead;

/// Seconds of a row.
const MINUTE: u64 = 60;

/// What the columns mean. A fixed name holds for rows whose own column is missing or empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Columns {
    /// When the minute began: Unix seconds or RFC 3339.
    pub timestamp: String,
    /// Events.
    pub total: String,
    /// Bad events.
    pub errors: String,
    /// Columns that are left out without a word.
    pub ignore: Vec<String>,
    /// The service.
    pub service: Option<String>,
    /// The SLO.
    pub slo: Option<String>,
    /// The environment.
    pub environment: Option<String>,
}

impl Default for Columns {
    fn default() -> Self {
        Self {
            timestamp: "timestamp".to_owned(),
            total: "total".to_owned(),
            errors: "errors".to_owned(),
            ignore: Vec::new(),
            service: None,
            slo: None,
            environment: None,
        }
    }
}

/// Where in a row what stands.
#[derive(Debug, Default)]
struct Places {
    timestamp: usize,
    total: usize,
    errors: usize,
    service: Option<usize>,
    slo: Option<usize>,
    environment: Option<usize>,
    sha: Option<usize>,
    flag: Option<usize>,
    variant: Option<usize>,
    flags: Option<usize>,
}

/// Reads a file to its end, or to where it cannot be unpacked.
pub(super) fn read(
    reader: &mut dyn BufRead,
    columns: &Columns,
    loading: &mut Loading,
) -> Result<(), ReplayError> {
    let mut rows = ReaderBuilder::new()
        .trim(Trim::All)
        .flexible(true)
        .from_reader(reader);
    let header = match rows.headers() {
        Ok(header) => header.clone(),
        Err(error) => {
            loading.problem(1, error.to_string());
            return Ok(());
        }
    };
    let places = match Places::find(&header, columns, &mut loading.unused_columns) {
        Ok(places) => places,
        Err(reason) => {
            loading.problem(1, reason);
            return Ok(());
        }
    };
    let mut row = StringRecord::new();
    loop {
        let line = rows.position().line();
        match rows.read_record(&mut row) {
            Ok(false) => return Ok(()),
            Ok(true) => {}
            Err(error) if error.is_io_error() => {
                loading.problem(line, format!("{error}; the rest of the file is not read"));
                return Ok(());
            }
            Err(error) => {
                loading.problem(line, error.to_string());
                continue;
            }
        }
        let line = row.position().map_or(line, csv::Position::line);
        match places.count(&row, header.len(), columns) {
            Ok((_, count)) if count.good + count.bad == 0 => loading.empty += 1,
            Ok((over, count)) => {
                let bytes = serde_json::to_vec(&count).unwrap_or_default();
                loading.push(over, line, Content::Counts, &bytes)?;
            }
            Err(reason) => loading.problem(line, reason),
        }
    }
}

impl Places {
    fn find(header: &StringRecord, columns: &Columns, unused: &mut Vec<String>) -> Result<Self, String> {
        let place = |name: &str| header.iter().position(|column| column == name);
        let must = |name: &str, option: &str| {
            place(name).ok_or_else(|| {
                let have = header.iter().collect::<Vec<_>>().join(", ");
                format!("no column {name:?} among {have}; {option} says another")
            })
        };
        let either = |a: &str, b: &str| place(a).or_else(|| place(b));
        let found = Self {
            timestamp: must(&columns.timestamp, "--ts-col")?,
            total: must(&columns.total, "--total-col")?,
            errors: must(&columns.errors, "--errors-col")?,
            service: either("service", "service.name"),
            slo: place("slo"),
            environment: either("environment", "deployment.environment.name"),
            sha: either("sha", "deployment.sha"),
            flag: place("flag"),
            variant: place("variant"),
            flags: either("flags", "feature.flags"),
        };
        let used = found.used();
        for (at, column) in header.iter().enumerate() {
            let known = used.contains(&Some(at)) || columns.ignore.iter().any(|it| it == column);
            if !known && !unused.iter().any(|it| it == column) {
                unused.push(column.to_owned());
            }
        }
        Ok(found)
    }

    fn used(&self) -> [Option<usize>; 10] {
        [
            Some(self.timestamp),
            Some(self.total),
            Some(self.errors),
            self.service,
            self.slo,
            self.environment,
            self.sha,
            self.flag,
            self.variant,
            self.flags,
        ]
    }

    /// When the minute of a row is over, and its counts.
    fn count(
        &self,
        row: &StringRecord,
        width: usize,
        columns: &Columns,
    ) -> Result<(UnixNanos, HandCount), String> {
        if row.len() != width {
            return Err(format!("{} cells, the header has {width}", row.len()));
        }
        let cell = |at: usize| row.get(at).unwrap_or_default();
        let text = |at: Option<usize>| {
            at.map(cell)
                .filter(|cell| !cell.is_empty())
                .map(ToOwned::to_owned)
        };
        let began = seconds(cell(self.timestamp))?;
        let total = whole(&columns.total, cell(self.total))?;
        let bad = whole(&columns.errors, cell(self.errors))?;
        let Some(good) = total.checked_sub(bad) else {
            return Err(format!(
                "{} {bad} are more than {} {total}",
                columns.errors, columns.total
            ));
        };
        let mut flags: Vec<String> = text(self.flags)
            .iter()
            .flat_map(|list| list.split([',', ';', '|']))
            .map(str::trim)
            .filter(|item| !item.is_empty())
            .map(ToOwned::to_owned)
            .collect();
        flags.extend(text(self.flag).map(|flag| match text(self.variant) {
            Some(variant) => format!("{flag}={variant}"),
            None => flag,
        }));
        let over = UnixNanos::from_secs(began - began % MINUTE + MINUTE);
        let count = HandCount {
            service: text(self.service)
                .or_else(|| columns.service.clone())
                .unwrap_or_default(),
            slo: text(self.slo).or_else(|| columns.slo.clone()).unwrap_or_default(),
            environment: text(self.environment).or_else(|| columns.environment.clone()),
            sha: text(self.sha),
            flags,
            good,
            bad,
            // The last instant of the minute: the bucket that ends with it.
            at: Some(UnixNanos(over.0 - 1)),
        };
        Ok((over, count))
    }
}

/// Unix seconds, or a date and time (in UTC unless it says otherwise).
fn seconds(cell: &str) -> Result<u64, String> {
    let bad = || format!("{cell:?} is no time; expected Unix seconds or RFC 3339");
    if let Ok(number) = cell.parse::<f64>() {
        let last = (u64::MAX / NANOS_PER_SEC) as f64 - 120.0;
        if !(0.0..last).contains(&number) {
            return Err(bad());
        }
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "in range")]
        return Ok(number as u64);
    }
    let stamp = cell.parse::<jiff::Timestamp>().or_else(|_| {
        let civil: jiff::civil::DateTime = cell.parse()?;
        civil
            .to_zoned(jiff::tz::TimeZone::UTC)
            .map(|zoned| zoned.timestamp())
    });
    let second = stamp.map_err(|_| bad())?.as_second();
    u64::try_from(second).map_err(|_| bad())
}

/// A whole number, also as `126.0`; nothing is 0.
fn whole(column: &str, cell: &str) -> Result<u64, String> {
    if cell.is_empty() {
        return Ok(0);
    }
    if let Ok(number) = cell.parse::<u64>() {
        return Ok(number);
    }
    let exact = 9_007_199_254_740_992.0;
    match cell.parse::<f64>() {
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "whole, and in range"
        )]
        Ok(number) if number.fract() == 0.0 && (0.0..=exact).contains(&number) => Ok(number as u64),
        _ => Err(format!("{column} {cell:?} is no whole number of events")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_seconds_or_dates() {
        for (cell, want) in [
            ("1661140260", Some(1_661_140_260)),
            ("1661140260.0", Some(1_661_140_260)),
            ("2022-08-22T03:51:00Z", Some(1_661_140_260)),
            ("2022-08-22T05:51:00+02:00", Some(1_661_140_260)),
            ("2022-08-22 03:51:00", Some(1_661_140_260)),
            ("-5", None),
            ("1e30", None),
            ("NaN", None),
            ("yesterday", None),
            ("", None),
        ] {
            assert_eq!(seconds(cell).ok(), want, "{cell}");
        }
    }

    #[test]
    fn counts_are_whole() {
        for (cell, want) in [
            ("126", Some(126)),
            ("126.0", Some(126)),
            ("", Some(0)),
            ("1e3", Some(1000)),
            ("1.5", None),
            ("-1", None),
            ("inf", None),
            ("many", None),
        ] {
            assert_eq!(whole("total", cell).ok(), want, "{cell}");
        }
    }
}
