//! Periods of a budget: rolling, or by the calendar of a time zone.
//!
//! A month is not 30 days, a day is 23 or 25 hours twice a year, and "the first of the month" begins at
//! different instants in Berlin and in Tokyo. jiff knows the rules; here they become an interval of instants.
//! The zone's rules come with the program, so that a container without them answers alike.

use crate::time::UnixNanos;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp};
use std::fmt;

const DAY: u64 = 86_400;

/// A unit of the calendar.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum CalendarUnit {
    /// From midnight to midnight.
    Day,
    /// From Monday to Monday.
    Week,
    /// From the first to the first.
    Month,
    /// From January, April, July, October.
    Quarter,
    /// From the first of January.
    Year,
}

impl CalendarUnit {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Day, Self::Week, Self::Month, Self::Quarter, Self::Year];

    /// The name in policies and answers.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Day => "day",
            Self::Week => "week",
            Self::Month => "month",
            Self::Quarter => "quarter",
            Self::Year => "year",
        }
    }

    /// The length that thresholds of alerts are worked out for, in seconds: months differ, and an alert that
    /// changed its threshold with the month would surprise.
    pub const fn nominal_secs(self) -> u64 {
        match self {
            Self::Day => DAY,
            Self::Week => 7 * DAY,
            Self::Month => 30 * DAY,
            Self::Quarter => 90 * DAY,
            Self::Year => 365 * DAY,
        }
    }
}

/// Periods that follow each other in one time zone.
#[derive(Clone, PartialEq, Eq)]
pub struct Calendar {
    unit: CalendarUnit,
    zone: TimeZone,
}

impl fmt::Debug for Calendar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} in {}", self.unit.as_str(), self.zone_name())
    }
}

/// The zone behind an IANA name.
pub fn zone(name: &str) -> Option<TimeZone> {
    TimeZone::get(name.trim()).ok()
}

/// The name of a zone.
pub fn zone_name(zone: &TimeZone) -> &str {
    zone.iana_name().unwrap_or("UTC")
}

/// Seconds since the epoch at which `day` begins in `zone`: the first instant that bears its date.
pub(super) fn start_of(day: Date, zone: &TimeZone) -> Option<u64> {
    let start = day.to_zoned(zone.clone()).ok()?.timestamp().as_second();
    u64::try_from(start).ok()
}

/// The date at an instant.
pub(super) fn date_at(secs: u64, zone: &TimeZone) -> Option<Date> {
    let at = Timestamp::from_second(i64::try_from(secs).ok()?).ok()?;
    Some(at.to_zoned(zone.clone()).date())
}

impl Calendar {
    /// Periods of `unit` in `zone`.
    pub const fn new(unit: CalendarUnit, zone: TimeZone) -> Self {
        Self { unit, zone }
    }

    /// The unit.
    pub const fn unit(&self) -> CalendarUnit {
        self.unit
    }

    /// The IANA name of the zone.
    pub fn zone_name(&self) -> &str {
        zone_name(&self.zone)
    }

    /// The period that holds `t`: its first second, and that of the next one. `None` only beyond the years
    /// that a calendar knows.
    pub fn around(&self, t: UnixNanos) -> Option<(u64, u64)> {
        let today = date_at(t.secs(), &self.zone)?;
        let (first, length) = match self.unit {
            CalendarUnit::Day => (today, Span::new().days(1)),
            CalendarUnit::Week => {
                let back = i64::from(today.weekday().to_monday_zero_offset());
                (
                    today.checked_sub(Span::new().days(back)).ok()?,
                    Span::new().weeks(1),
                )
            }
            CalendarUnit::Month => (today.first_of_month(), Span::new().months(1)),
            CalendarUnit::Quarter => {
                let month = (today.month() - 1) / 3 * 3 + 1;
                (Date::new(today.year(), month, 1).ok()?, Span::new().months(3))
            }
            CalendarUnit::Year => (today.first_of_year(), Span::new().years(1)),
        };
        let next = first.checked_add(length).ok()?;
        Some((start_of(first, &self.zone)?, start_of(next, &self.zone)?))
    }
}

/// The period of a budget.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Period {
    /// The last so many seconds, at every instant.
    Rolling {
        /// How many.
        secs: u64,
    },
    /// From one date to another; the budget is whole again at its end.
    Calendar(Calendar),
}

impl Period {
    /// The length that thresholds are worked out for, in seconds.
    pub const fn nominal_secs(&self) -> u64 {
        match self {
            Self::Rolling { secs } => *secs,
            Self::Calendar(calendar) => calendar.unit().nominal_secs(),
        }
    }

    /// The calendar, of a period that follows one.
    pub const fn calendar(&self) -> Option<&Calendar> {
        match self {
            Self::Rolling { .. } => None,
            Self::Calendar(calendar) => Some(calendar),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn secs(text: &str) -> u64 {
        u64::try_from(text.parse::<Timestamp>().unwrap().as_second()).unwrap()
    }

    #[track_caller]
    fn holds(unit: CalendarUnit, name: &str, at: &str, want: (&str, &str)) {
        let calendar = Calendar::new(unit, zone(name).unwrap());
        let got = calendar.around(UnixNanos::from_secs(secs(at))).unwrap();
        assert_eq!(got, (secs(want.0), secs(want.1)), "{calendar:?} at {at}");
    }

    #[test]
    fn months_have_their_own_lengths_and_leap_years_their_day() {
        use CalendarUnit::{Month, Quarter, Week, Year};
        holds(
            Month,
            "UTC",
            "2024-02-29T23:59:59Z",
            ("2024-02-01T00:00:00Z", "2024-03-01T00:00:00Z"),
        );
        holds(
            Month,
            "UTC",
            "2026-02-28T23:59:59Z",
            ("2026-02-01T00:00:00Z", "2026-03-01T00:00:00Z"),
        );
        holds(
            Month,
            "UTC",
            "2026-12-31T00:00:00Z",
            ("2026-12-01T00:00:00Z", "2027-01-01T00:00:00Z"),
        );
        holds(
            Quarter,
            "UTC",
            "2026-11-29T12:00:00Z",
            ("2026-10-01T00:00:00Z", "2027-01-01T00:00:00Z"),
        );
        holds(
            Year,
            "UTC",
            "2024-12-31T23:00:00Z",
            ("2024-01-01T00:00:00Z", "2025-01-01T00:00:00Z"),
        );
        holds(
            Week,
            "UTC",
            "2026-11-29T12:00:00Z",
            ("2026-11-23T00:00:00Z", "2026-11-30T00:00:00Z"),
        );
    }

    #[test]
    fn a_zone_moves_the_edges_and_daylight_saving_the_length() {
        use CalendarUnit::{Day, Month};
        // Berlin: winter UTC+1, summer UTC+2.
        holds(
            Month,
            "Europe/Berlin",
            "2026-03-31T21:59:59Z",
            ("2026-02-28T23:00:00Z", "2026-03-31T22:00:00Z"),
        );
        holds(
            Month,
            "Europe/Berlin",
            "2026-03-31T22:00:00Z",
            ("2026-03-31T22:00:00Z", "2026-04-30T22:00:00Z"),
        );
        // 23 and 25 hours.
        holds(
            Day,
            "Europe/Berlin",
            "2026-03-29T12:00:00Z",
            ("2026-03-28T23:00:00Z", "2026-03-29T22:00:00Z"),
        );
        holds(
            Day,
            "Europe/Berlin",
            "2026-10-25T12:00:00Z",
            ("2026-10-24T22:00:00Z", "2026-10-25T23:00:00Z"),
        );
        holds(
            Day,
            "Asia/Kathmandu",
            "2026-06-01T00:00:00Z",
            ("2026-05-31T18:15:00Z", "2026-06-01T18:15:00Z"),
        );
        // Where clocks jump over midnight, the day begins at one; where midnight comes twice, at the first.
        holds(
            Day,
            "America/Sao_Paulo",
            "2018-11-04T12:00:00Z",
            ("2018-11-04T03:00:00Z", "2018-11-05T02:00:00Z"),
        );
        holds(
            Day,
            "America/Havana",
            "2026-11-01T12:00:00Z",
            ("2026-11-01T04:00:00Z", "2026-11-02T05:00:00Z"),
        );
    }

    #[test]
    fn names_that_are_no_zone_are_none() {
        assert!(zone("Europe/Berlin").is_some() && zone("UTC").is_some());
        assert!(zone("Europe/Atlantis").is_none() && zone("").is_none());
    }

    proptest! {
        #[test]
        fn every_instant_lies_in_one_period_and_they_leave_no_gap(
            at in 946_684_800..4_102_444_800_u64,
            unit in prop::sample::select(CalendarUnit::ALL.to_vec()),
            name in prop::sample::select(vec![
                "UTC", "Europe/Berlin", "America/New_York", "Asia/Kathmandu", "Australia/Lord_Howe",
                "America/Havana", "Pacific/Apia", "Asia/Tokyo",
            ]),
        ) {
            let calendar = Calendar::new(unit, zone(name).unwrap());
            let around = |secs| calendar.around(UnixNanos::from_secs(secs)).unwrap();
            let (from, to) = around(at);
            prop_assert!(from <= at && at < to);
            prop_assert_eq!(from % 300, 0, "edges lie on the five minutes that are kept");
            prop_assert_eq!(around(from), (from, to));
            prop_assert_eq!(around(to - 1), (from, to));
            prop_assert_eq!(around(to).0, to);
        }
    }
}
