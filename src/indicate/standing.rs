//! From streams to one series, whenever a slot closes.

use super::SLOT_NANOS;
use super::series::Level;
use super::stream::Stream;

/// What the streams of one series say when a slot closes.
#[derive(Debug, Default)]
pub(super) struct Standing {
    level: Level,
    /// The smallest time of a live stream, and the largest of the others.
    live: Option<u64>,
    gone: u64,
}

impl Standing {
    pub(super) fn add(&mut self, stream: &mut Stream, is_live: bool) {
        let time = stream.pulse().time;
        if is_live {
            self.live = Some(self.live.map_or(time, |known| known.min(time)));
        } else {
            self.gone = self.gone.max(time);
        }
        let Stream::Level {
            value,
            joined,
            is_fresh,
            ..
        } = stream
        else {
            return;
        };
        let level = &mut self.level;
        level.moved += joined.take().unwrap_or(0.0);
        if !is_live {
            level.moved -= *value;
            return;
        }
        let is_first = level.streams == 0;
        level.sum += *value;
        level.min = if is_first { *value } else { level.min.min(*value) };
        level.max = if is_first { *value } else { level.max.max(*value) };
        level.streams += 1;
        level.is_fresh |= std::mem::take(is_fresh);
    }

    pub(super) fn level(&self) -> Option<Level> {
        (self.level.streams > 0).then_some(self.level)
    }

    /// Slots before this one are complete.
    pub(super) fn complete(&self) -> u64 {
        self.live.unwrap_or(self.gone) / SLOT_NANOS
    }
}
