//! When something is planned: once, or on certain days of the week.
//!
//! Maintenance windows and peaks are agreed on in local time ("Sundays from two to four"), and are applied to
//! buckets of UTC. A window that ends at or before its start ends on the next day. On the day of a clock
//! change it begins and ends when the clock on the wall says so.

use super::calendar::{date_at, start_of, zone_name};
use jiff::civil::{Date, Time, Weekday};
use jiff::tz::TimeZone;
use std::fmt;

const DAY: u64 = 86_400;

/// An interval of seconds since the epoch, [from, to).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Span {
    /// First second.
    pub from: u64,
    /// First second after it.
    pub to: u64,
}

impl Span {
    /// How many seconds it has in common with [from, to).
    pub fn overlap(self, from: u64, to: u64) -> u64 {
        self.to.min(to).saturating_sub(self.from.max(from))
    }
}

/// A set of days of the week.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Days(u8);

impl Days {
    /// The days behind a word: `day`, `weekday`, `weekend`, `monday` and so on.
    pub fn of_name(name: &str) -> Option<Self> {
        const NAMES: [&str; 7] = [
            "monday",
            "tuesday",
            "wednesday",
            "thursday",
            "friday",
            "saturday",
            "sunday",
        ];
        match name {
            "day" => Some(Self(0x7f)),
            "weekday" => Some(Self(0x1f)),
            "weekend" => Some(Self(0x60)),
            _ => NAMES.iter().position(|n| *n == name).map(|bit| Self(1 << bit)),
        }
    }

    /// Both sets.
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    fn holds(self, day: Weekday) -> bool {
        let bit = u8::try_from(day.to_monday_zero_offset()).unwrap_or(0);
        self.0 >> bit & 1 == 1
    }
}

/// See the module.
#[derive(Clone, PartialEq, Eq)]
pub enum Schedule {
    /// Once.
    Once(Span),
    /// On these days, by the clock on the wall.
    Weekly {
        /// The days on which it begins.
        days: Days,
        /// When it begins.
        from: Time,
        /// When it ends; at or before `from` on the next day.
        to: Time,
        /// Whose clock.
        zone: TimeZone,
    },
}

impl fmt::Debug for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Once(span) => write!(f, "{span:?}"),
            Self::Weekly { days, from, to, zone } => {
                write!(f, "{days:?} {from}-{to} {}", zone_name(zone))
            }
        }
    }
}

impl Schedule {
    /// Its occurrences that touch [from, to), oldest first.
    pub fn spans(&self, from: u64, to: u64) -> Vec<Span> {
        match self {
            Self::Once(span) => Some(*span)
                .filter(|s| s.overlap(from, to) > 0)
                .into_iter()
                .collect(),
            Self::Weekly {
                days,
                from: begins,
                to: ends,
                zone,
            } => {
                let (mut found, last) = (Vec::new(), date_at(to, zone));
                // One that began two days ago may reach into the interval: a day has up to 25 hours.
                let mut day = date_at(from.saturating_sub(2 * DAY), zone);
                while let (Some(date), Some(last)) = (day, last) {
                    if date > last {
                        break;
                    }
                    day = date.tomorrow().ok();
                    let span = days
                        .holds(date.weekday())
                        .then(|| occurrence(date, *begins, *ends, zone));
                    found.extend(span.flatten().filter(|s| s.overlap(from, to) > 0));
                }
                found
            }
        }
    }

    /// The occurrence that holds the second `at`.
    pub fn at(&self, at: u64) -> Option<Span> {
        self.spans(at, at + 1).into_iter().next()
    }
}

fn occurrence(date: Date, from: Time, to: Time, zone: &TimeZone) -> Option<Span> {
    let end_date = if to > from { date } else { date.tomorrow().ok()? };
    let at = |date: Date, time: Time| {
        if time == Time::midnight() {
            return start_of(date, zone);
        }
        let instant = date.to_datetime(time).to_zoned(zone.clone()).ok()?;
        u64::try_from(instant.timestamp().as_second()).ok()
    };
    let span = Span {
        from: at(date, from)?,
        to: at(end_date, to)?,
    };
    (span.from < span.to).then_some(span)
}

/// The union of `spans`, in order, widened to whole multiples of `grain` seconds.
pub fn union(mut spans: Vec<Span>, grain: u64) -> Vec<Span> {
    for span in &mut spans {
        span.from -= span.from % grain;
        span.to = span.to.div_ceil(grain) * grain;
    }
    spans.retain(|s| s.from < s.to);
    spans.sort_unstable();
    let mut merged: Vec<Span> = Vec::with_capacity(spans.len());
    for span in spans {
        match merged.last_mut() {
            Some(last) if span.from <= last.to => last.to = last.to.max(span.to),
            _ => merged.push(span),
        }
    }
    merged
}

/// Whether `at` lies in one of `spans`, which are in order and apart.
pub fn covers(spans: &[Span], at: u64) -> bool {
    let next = spans.partition_point(|s| s.from <= at);
    next.checked_sub(1).is_some_and(|i| at < spans[i].to)
}

#[cfg(test)]
mod tests {
    use super::super::calendar::zone;
    use super::*;
    use proptest::prelude::*;

    fn secs(text: &str) -> u64 {
        u64::try_from(text.parse::<jiff::Timestamp>().unwrap().as_second()).unwrap()
    }

    fn weekly(days: &str, from: &str, to: &str, name: &str) -> Schedule {
        Schedule::Weekly {
            days: Days::of_name(days).unwrap(),
            from: from.parse().unwrap(),
            to: to.parse().unwrap(),
            zone: zone(name).unwrap(),
        }
    }

    #[test]
    fn sundays_from_two_to_four_are_those_of_the_wall_clock() {
        let it = weekly("sunday", "02:00:00", "04:00:00", "Europe/Berlin");
        let spans = it.spans(secs("2026-03-20T00:00:00Z"), secs("2026-04-06T00:00:00Z"));
        let want = [
            ("2026-03-22T01:00:00Z", "2026-03-22T03:00:00Z"),
            // Clocks jump from two to three: an hour is left.
            ("2026-03-29T01:00:00Z", "2026-03-29T02:00:00Z"),
            ("2026-04-05T00:00:00Z", "2026-04-05T02:00:00Z"),
        ];
        assert_eq!(
            spans,
            want.map(|(from, to)| Span {
                from: secs(from),
                to: secs(to)
            })
        );
    }

    #[test]
    fn a_night_ends_on_the_next_day_and_is_found_there() {
        let it = weekly("friday", "22:00:00", "02:00:00", "UTC");
        let span = it.at(secs("2026-11-28T01:59:59Z")).unwrap();
        assert_eq!(
            span,
            Span {
                from: secs("2026-11-27T22:00:00Z"),
                to: secs("2026-11-28T02:00:00Z")
            }
        );
        assert_eq!(it.at(secs("2026-11-28T02:00:00Z")), None);
        let whole = weekly("day", "00:00:00", "00:00:00", "Europe/Berlin");
        assert_eq!(
            whole.at(secs("2026-10-25T12:00:00Z")).map(|s| s.to - s.from),
            Some(25 * 3600)
        );
    }

    #[test]
    fn spans_that_touch_are_one_and_are_widened_to_the_grain() {
        let of = |from, to| Span { from, to };
        let parts = vec![of(301, 599), of(900, 1000), of(550, 650), of(9000, 9000)];
        assert_eq!(union(parts, 300), [of(300, 1200)]);
        assert_eq!(
            union(vec![of(0, 10), of(5000, 5001)], 300),
            [of(0, 300), of(4800, 5100)]
        );
    }

    proptest! {
        #[test]
        fn a_union_covers_exactly_what_its_parts_do(
            parts in proptest::collection::vec((0..100_u64, 0..30_u64), 0..12),
            at in 0..140_u64,
        ) {
            let spans: Vec<_> = parts.iter().map(|&(from, len)| Span { from, to: from + len }).collect();
            let merged = union(spans.clone(), 1);
            prop_assert!(merged.windows(2).all(|w| w[0].to < w[1].from));
            prop_assert_eq!(covers(&merged, at), spans.iter().any(|s| s.from <= at && at < s.to));
        }
    }
}
