//! Files that were set aside: their names, how many, and for how long.

use crate::config::Rotation;
use crate::time::UnixNanos;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use std::io;
use std::path::{Path, PathBuf};

/// Time in a name, to the millisecond, without what file systems dislike.
const FORMAT: &str = "%Y-%m-%dT%H-%M-%S";
const SECS_PER_DAY: u64 = 86_400;

/// How files are called that were set aside: `telemetry-2026-01-02T03-04-05.678.jsonl`.
#[derive(Debug)]
pub(super) struct Rotated {
    path: PathBuf,
    stem: String,
    extension: String,
    zone: TimeZone,
}

impl Rotated {
    pub(super) fn new(path: &Path, localtime: bool) -> Self {
        let text = |part: Option<&std::ffi::OsStr>| {
            part.map_or_else(String::new, |part| part.to_string_lossy().into_owned())
        };
        let extension = text(path.extension());
        Self {
            path: path.to_owned(),
            stem: text(path.file_stem()),
            extension: if extension.is_empty() {
                extension
            } else {
                format!(".{extension}")
            },
            zone: if localtime {
                TimeZone::system()
            } else {
                TimeZone::UTC
            },
        }
    }

    fn name(&self, at: UnixNanos) -> String {
        let time = Timestamp::from_nanosecond(i128::from(at.0)).unwrap_or_default();
        let millis = time.subsec_millisecond();
        let text = time.to_zoned(self.zone.clone()).strftime(FORMAT).to_string();
        format!("{}-{text}.{millis:03}{}", self.stem, self.extension)
    }

    fn folder(&self) -> &Path {
        match self.path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        }
    }

    /// When the file called `name` was set aside, if it is one of ours.
    fn time_of(&self, name: &str) -> Option<UnixNanos> {
        let text = name
            .strip_prefix(&self.stem)?
            .strip_prefix('-')?
            .strip_suffix(&self.extension)?;
        let (secs, millis) = text.split_once('.')?;
        let time = jiff::civil::DateTime::strptime(FORMAT, secs).ok()?;
        let nanos = time.to_zoned(self.zone.clone()).ok()?.timestamp().as_nanosecond();
        let millis = millis.parse::<u64>().ok().filter(|_| millis.len() == 3)?;
        Some(UnixNanos(u64::try_from(nanos).ok()? + millis * 1_000_000))
    }

    /// The files that were set aside, newest first.
    fn found(&self) -> io::Result<Vec<(UnixNanos, PathBuf)>> {
        let mut found = Vec::new();
        for entry in std::fs::read_dir(self.folder())? {
            let entry = entry?;
            if let Some(at) = entry.file_name().to_str().and_then(|name| self.time_of(name)) {
                found.push((at, entry.path()));
            }
        }
        found.sort_by_key(|(at, _)| std::cmp::Reverse(*at));
        Ok(found)
    }
}

/// Renames the file, and removes those that are too many or too old.
pub(super) fn set_aside(names: &Rotated, rotation: &Rotation, now: UnixNanos) -> io::Result<()> {
    let mut at = now;
    let mut aside = names.folder().join(names.name(at));
    // Two within a millisecond: the later one is called later.
    while aside.exists() {
        at = UnixNanos(at.0 + 1_000_000);
        aside = names.folder().join(names.name(at));
    }
    std::fs::rename(&names.path, &aside)?;
    let oldest = match rotation.max_days {
        0 => UnixNanos(0),
        days => now.minus_secs(days.saturating_mul(SECS_PER_DAY)),
    };
    let kept = match rotation.max_backups {
        0 => usize::MAX,
        most => usize::try_from(most).unwrap_or(usize::MAX),
    };
    for (number, (at, path)) in names.found()?.into_iter().enumerate() {
        if number >= kept || at < oldest {
            std::fs::remove_file(path)?;
        }
    }
    Ok(())
}
