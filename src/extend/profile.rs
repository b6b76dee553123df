//! A CPU profile as counts of stacks, whatever it is written as later.
//!
//! Bounded: a profile of a whole life sees new stacks without end, and must not become the leak that somebody
//! looks for. What is beyond is counted in one stack of its own, so that shares stay right.

use pprof::{Frames, Report};
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::time::Duration;

/// Different stacks kept.
const STACKS_MAX: usize = 20_000;
/// Different places in the source kept.
const PLACES_MAX: usize = 50_000;

/// One place in the source.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Place {
    /// The function, readable.
    pub(super) function: String,
    /// As the linker knows it.
    pub(super) system_name: String,
    pub(super) file: String,
    pub(super) line: u32,
}

/// One stack: the thread's name, and places from the innermost out.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Stack {
    pub(super) thread: String,
    pub(super) places: Vec<usize>,
}

/// Samples of a while.
#[derive(Clone, Debug, Default)]
pub(super) struct Profile {
    pub(super) places: Vec<Place>,
    pub(super) stacks: HashMap<Stack, u64>,
    /// Samples of stacks beyond the bounds.
    pub(super) beyond: u64,
    pub(super) took: Duration,
    /// When it began, in nanoseconds since 1970.
    pub(super) began_ns: i64,
    index: HashMap<Place, usize>,
}

impl Profile {
    /// Adds what a profiler has seen.
    pub(super) fn add(&mut self, report: &Report) {
        let since_epoch = report.timing.start_time.duration_since(std::time::UNIX_EPOCH);
        if self.began_ns == 0 {
            self.began_ns = i64::try_from(since_epoch.unwrap_or_default().as_nanos()).unwrap_or(0);
        }
        self.took += report.timing.duration;
        for (frames, count) in &report.data {
            let count = u64::try_from(*count).unwrap_or(0);
            self.add_stack(frames.thread_name_or_id(), &places(frames), count);
        }
    }

    fn add_stack(&mut self, thread: String, places: &[Place], count: u64) {
        let Some(places) = places.iter().map(|place| self.place(place)).collect() else {
            self.beyond += count;
            return;
        };
        let room = self.stacks.len() < STACKS_MAX;
        match self.stacks.entry(Stack { thread, places }) {
            Entry::Occupied(mut known) => *known.get_mut() += count,
            Entry::Vacant(new) if room => drop(new.insert(count)),
            Entry::Vacant(_) => self.beyond += count,
        }
    }

    fn place(&mut self, place: &Place) -> Option<usize> {
        if let Some(known) = self.index.get(place) {
            return Some(*known);
        }
        let next = self.places.len();
        (next < PLACES_MAX).then(|| {
            self.index.insert(place.clone(), next);
            self.places.push(place.clone());
            next
        })
    }

    /// Samples in all.
    pub(super) fn samples(&self) -> u64 {
        self.stacks.values().sum::<u64>() + self.beyond
    }

    /// Stacks from the outermost in, the thread first, as text; the same every time.
    pub(super) fn folded(&self) -> Vec<(Vec<&str>, u64)> {
        let name = |place: &usize| self.places.get(*place).map_or("?", |it| it.function.as_str());
        let mut lines: Vec<(Vec<&str>, u64)> = self
            .stacks
            .iter()
            .map(|(stack, count)| {
                let inner = stack.places.iter().rev().map(name);
                (
                    std::iter::once(stack.thread.as_str()).chain(inner).collect(),
                    *count,
                )
            })
            .collect();
        if self.beyond > 0 {
            lines.push((vec![BEYOND], self.beyond));
        }
        lines.sort_unstable();
        lines
    }
}

/// The name of what is beyond the bounds.
pub(super) const BEYOND: &str = "[more stacks than are kept]";

/// The places of a stack, innermost first, inlined functions among them.
fn places(frames: &Frames) -> Vec<Place> {
    let symbols = frames.frames.iter().flatten();
    symbols
        .map(|symbol| Place {
            function: symbol.name(),
            system_name: symbol.sys_name().into_owned(),
            file: symbol.filename().into_owned(),
            line: symbol.lineno(),
        })
        .collect()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    fn place(function: &str) -> Place {
        Place {
            function: function.to_owned(),
            system_name: format!("_{function}"),
            file: "a.rs".to_owned(),
            line: 7,
        }
    }

    /// main -> work (3) and main -> work -> walk (1), on one thread.
    pub(in crate::extend) fn small() -> Profile {
        let mut profile = Profile {
            took: Duration::from_secs(2),
            began_ns: 1_000,
            ..Profile::default()
        };
        profile.add_stack("data".to_owned(), &[place("work"), place("main")], 3);
        profile.add_stack(
            "data".to_owned(),
            &[place("walk<T>"), place("work"), place("main")],
            1,
        );
        profile
    }

    #[test]
    fn stacks_are_counted_from_the_outside_in() {
        let profile = small();
        assert_eq!(
            profile.folded(),
            [
                (vec!["data", "main", "work"], 3),
                (vec!["data", "main", "work", "walk<T>"], 1)
            ]
        );
        assert_eq!((profile.samples(), profile.places.len()), (4, 3));
    }

    #[test]
    fn what_is_beyond_the_bounds_still_counts() {
        let mut profile = Profile::default();
        for nth in 0..STACKS_MAX + 5 {
            profile.add_stack(nth.to_string(), &[place("main")], 2);
        }
        assert_eq!((profile.stacks.len(), profile.beyond), (STACKS_MAX, 10));
        assert_eq!(profile.samples(), 2 * (STACKS_MAX as u64 + 5));
        for nth in 0..=PLACES_MAX {
            profile.add_stack("0".to_owned(), &[place(&nth.to_string())], 1);
        }
        assert_eq!(profile.places.len(), PLACES_MAX);
        assert!(profile.folded().iter().any(|(stack, _)| stack == &[BEYOND]));
    }
}
