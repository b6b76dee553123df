//! What the system knows of this process, under the Collector's names: worked out when somebody looks.
//!
//! Read from `/proc`, whose times count from the boot: so no clock is read here. Not there (another system, a
//! hardened container) means that these metrics are not there, not that they are zero. Of the Collector's
//! `otelcol_process_runtime_*`, which describe Go's heap, those are here that have a meaning without one;
//! bytes allocated since the start are not: nobody counts them.

use super::exposition::{Family, Kind};
use std::fs;

/// Ticks of `/proc/self/stat` a second: fixed by Linux for user space, whatever the kernel's own rate is.
const TICKS_PER_SEC: f64 = 100.0;

/// The process families, as far as they can be read.
pub(super) fn families() -> Vec<Family> {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let (stat, uptime, status) = (
        read("/proc/self/stat"),
        read("/proc/uptime"),
        read("/proc/self/status"),
    );
    let gauge = |name, help, value| Family::single(name, help, Kind::Gauge, value);
    let counter = |name, help, value| Family::single(name, help, Kind::Counter, value);
    let mut families = Vec::new();
    if let Some(times) = Times::parse(&stat, &uptime) {
        families.push(counter(
            "otelcol_process_uptime",
            "Seconds since the start.",
            times.uptime_secs,
        ));
        families.push(counter(
            "otelcol_process_cpu_seconds",
            "CPU seconds of user and system, all threads.",
            times.cpu_secs,
        ));
    }
    let bytes = |key: &str| kib(&status, key).map(|kib| kib as f64 * 1024.0);
    if let Some(rss) = bytes("VmRSS:") {
        families.push(gauge(
            "otelcol_process_memory_rss",
            "Physical memory, in bytes.",
            rss,
        ));
        families.push(gauge(
            "otelcol_process_runtime_total_sys_memory_bytes",
            "Memory that the system has given: physical and swapped.",
            rss + bytes("VmSwap:").unwrap_or(0.0),
        ));
    }
    if let Some(anonymous) = bytes("RssAnon:") {
        families.push(gauge(
            "otelcol_process_runtime_heap_alloc_bytes",
            "Memory that holds no file: heap and stacks.",
            anonymous,
        ));
    }
    families
}

/// The same for people: name and value, as far as they can be read.
pub fn process_facts() -> Vec<(&'static str, String)> {
    let value = |family: &Family| family.samples.first().map_or(0.0, |sample| sample.value.as_f64());
    let shown = |family: &Family| match family.name.as_str() {
        "otelcol_process_uptime" => Some(("uptime", format!("{:.0} s", value(family)))),
        "otelcol_process_cpu_seconds" => Some(("CPU time", format!("{:.2} s", value(family)))),
        "otelcol_process_memory_rss" => {
            let mib = value(family) / f64::from(1 << 20);
            Some(("physical memory", format!("{mib:.1} MiB")))
        }
        _ => None,
    };
    families().iter().filter_map(shown).collect()
}

/// Times of the process, in seconds.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Times {
    uptime_secs: f64,
    cpu_secs: f64,
}

impl Times {
    /// Fields 14, 15 and 22 of `stat`, counted behind the name, which may hold anything.
    fn parse(stat: &str, uptime: &str) -> Option<Self> {
        let (_, fields) = stat.rsplit_once(')')?;
        let field = |nth: usize| fields.split_ascii_whitespace().nth(nth - 3)?.parse::<f64>().ok();
        let since_boot: f64 = uptime.split_ascii_whitespace().next()?.parse().ok()?;
        Some(Self {
            uptime_secs: (since_boot - field(22)? / TICKS_PER_SEC).max(0.0),
            cpu_secs: (field(14)? + field(15)?) / TICKS_PER_SEC,
        })
    }
}

/// `key: 1234 kB` of `/proc/self/status`.
fn kib(status: &str, key: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(key))?;
    line.split_ascii_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_behind_whatever_name_the_process_has() {
        let stat = "42 (a) b (c) S 1 1 1 0 -1 4194560 1 0 0 0 250 50 0 0 20 0 8 0 1000 1 1 1";
        let times = Times::parse(stat, "110.50 200.00\n").unwrap();
        assert_eq!(
            times,
            Times {
                uptime_secs: 100.5,
                cpu_secs: 3.0
            }
        );
        assert_eq!(Times::parse("", "1"), None);
        assert_eq!(Times::parse("1 (x) S 1", "1"), None);
    }

    #[test]
    fn this_process_has_memory_and_time() {
        let families = families();
        let value = |name: &str| {
            families
                .iter()
                .find(|it| it.name == name)
                .map(|it| it.samples[0].value.as_f64())
        };
        assert!(value("otelcol_process_memory_rss").is_some_and(|bytes| bytes > 1e6));
        assert!(value("otelcol_process_uptime").is_some_and(|secs| (0.0..1e6).contains(&secs)));
        assert!(value("otelcol_process_runtime_heap_alloc_bytes") <= value("otelcol_process_memory_rss"));
    }
}
