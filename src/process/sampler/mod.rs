//! `probabilistic_sampler`: lets a share of spans or log records pass.
//!
//! It stands behind the tap, whatever the order in the file, so that SLIs count what was sent. An item's fate
//! is settled by randomness that comes with it (its trace id), so that all gateways decide alike. What passes
//! is told by which threshold it did (`ot=th` of a span's tracestate, `sampling.threshold` of a record), so
//! that whoever counts behind can weigh it; at 100 % nothing is at stake, and nothing is written.

mod threshold;
mod tracestate;

use super::edits::{Halt, processed, visit};
use super::meters::Meters;
use crate::config::{AttributeSource, ProbabilisticSampler, SamplerMode};
use crate::pipeline::{Batch, Process, Processed, Refusal, Signal, Stage};
use crate::process::text::as_text;
use crate::wire::edit::{Field, Held, Keep, Kind, Level, Levels, Map, Message, Visit, Wants};
use crate::wire::{AnyValue, Value};
use std::borrow::Cow;
use threshold::{Threshold, parse_randomness, randomness_of_hash, randomness_of_trace, randomness_text};
use tracestate::TraceState;

/// The processor.
#[derive(Debug)]
pub(super) struct Sampler {
    id: String,
    config: ProbabilisticSampler,
    /// That of `sampling_percentage`, alone.
    threshold: Threshold,
    meters: Meters,
}

impl Sampler {
    pub(super) fn new(id: &str, config: &ProbabilisticSampler) -> Self {
        Self {
            id: id.to_owned(),
            config: config.clone(),
            threshold: threshold(config, config.sampling_percentage),
            meters: Meters::new(id),
        }
    }
}

/// The threshold of a percentage. The hash has 14 bits, and its rate is worked out as the Collector does, in
/// 32 bits and rounded down, so that both keep the same items.
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a percentage from 0 to 100"
)]
fn threshold(config: &ProbabilisticSampler, percent: f32) -> Threshold {
    const BUCKETS: u64 = 1 << 14;
    let percent = percent.clamp(0.0, 100.0);
    if config.mode != SamplerMode::HashSeed {
        return Threshold::of_share(f64::from(percent) / 100.0, config.sampling_precision);
    }
    match (percent * (BUCKETS as f32 / 100.0)) as u64 {
        0 => Threshold::NEVER,
        rate => Threshold::of_14_bits(BUCKETS - rate.min(BUCKETS)),
    }
}

impl Process for Sampler {
    fn stage(&self) -> Stage {
        Stage::Sample
    }

    fn process(&self, batch: Batch) -> Result<Processed, Refusal> {
        if batch.signal == Signal::Metrics {
            // The configuration refuses it; a sum that lacks points would be a lie.
            return Ok(Processed::whole(batch));
        }
        let bytes = batch.bytes.clone();
        let edited = visit(&bytes, batch.signal, &mut Sieve(self))
            .map_err(|halt| halt.refusal(&self.id, batch.signal))?;
        Ok(processed(batch, edited, &self.meters))
    }
}

struct Sieve<'s>(&'s Sampler);

impl<'a> Visit<'a> for Sieve<'_> {
    type Error = Halt;

    fn wants(&self, kind: Kind) -> Wants {
        match kind {
            Kind::Span | Kind::Record => Wants::Attributes,
            _ => Wants::Nothing,
        }
    }

    fn visit(&mut self, _: Level, at: &mut Levels<'a>) -> Result<Keep, Halt> {
        let passes = match at.item.kind() {
            Kind::Span => self.0.span(&mut at.item)?,
            _ => self.0.record(&mut at.item)?,
        };
        Ok(if passes { Keep::Stay } else { Keep::Drop })
    }
}

/// What an item brings along.
#[derive(Clone, Copy, Debug, Default)]
struct Known {
    /// By which threshold it came this far.
    threshold: Option<Threshold>,
    /// Randomness that is written in it.
    written: Option<u64>,
    /// Its randomness in this mode.
    randomness: Option<u64>,
}

/// What becomes of an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Drop,
    /// It passes as it is.
    Pass,
    /// It passes, and carries this threshold from now on; `None` takes away the one it has.
    Mark(Option<Threshold>),
}

impl Sampler {
    fn span(&self, span: &mut Message<'_>) -> Result<bool, Halt> {
        let priority = match span.attributes().get(b"sampling.priority") {
            Some(value) => number(value)?,
            None => None,
        };
        if priority == Some(0.0) {
            return Ok(false);
        }
        let must = priority.is_some_and(|priority| priority > 0.0);
        let own = if must { Threshold::ALWAYS } else { self.threshold };
        let trace_state = span.bytes(Field::TraceState).to_vec();
        let id = span.bytes(Field::TraceId);
        let Some(mut state) = TraceState::read(&trace_state) else {
            return Ok(own == Threshold::ALWAYS || !self.config.fail_closed);
        };
        let randomness = match self.config.mode {
            SamplerMode::HashSeed => {
                let mut whole = [0; 16];
                whole.iter_mut().zip(id).for_each(|(to, from)| *to = *from);
                Some(randomness_of_hash(&whole, self.config.hash_seed))
            }
            _ => state.randomness.or_else(|| randomness_of_trace(id)),
        };
        let known = Known {
            threshold: state.threshold,
            written: state.randomness,
            randomness,
        };
        let verdict = self.verdict(known, own);
        if let Verdict::Mark(threshold) = verdict {
            state.threshold = threshold;
            if self.config.mode == SamplerMode::HashSeed {
                state.randomness = randomness;
            }
            if let Some(text) = state.text() {
                span.set_bytes(Field::TraceState, Cow::Owned(text.into_bytes()));
            }
        }
        Ok(verdict != Verdict::Drop)
    }

    fn record(&self, record: &mut Message<'_>) -> Result<bool, Halt> {
        let mut own = self.threshold;
        if !self.config.sampling_priority.is_empty()
            && let Some(value) = record.attributes().get(self.config.sampling_priority.as_bytes())
            && let Some(percent) = number_of(value)?
        {
            #[allow(clippy::cast_possible_truncation, reason = "percentages have 32 bits")]
            let percent = percent as f32;
            own = threshold(&self.config, percent);
        }
        let Ok(known) = self.known_of_record(record)? else {
            return Ok(own == Threshold::ALWAYS || !self.config.fail_closed);
        };
        let verdict = self.verdict(known, own);
        if let Verdict::Mark(threshold) = verdict {
            let map = record.attributes_mut();
            match threshold {
                Some(threshold) => {
                    map.set(
                        &b"sampling.threshold"[..],
                        Held::text(threshold.text().as_bytes()),
                    );
                }
                None => drop(map.remove(b"sampling.threshold")),
            }
            if let (SamplerMode::HashSeed, Some(randomness)) = (self.config.mode, known.randomness) {
                let text = Held::text(randomness_text(randomness).as_bytes());
                map.set(&b"sampling.randomness"[..], text);
            }
        }
        Ok(verdict != Verdict::Drop)
    }

    /// `Err` is a record whose own figures cannot be read.
    fn known_of_record(&self, record: &Message<'_>) -> Result<Result<Known, ()>, Halt> {
        let map = record.attributes();
        let mut known = Known::default();
        if let Some(text) = text_of(map, b"sampling.threshold")? {
            let Some(threshold) = Threshold::parse(text) else {
                return Ok(Err(()));
            };
            known.threshold = Some(threshold);
        }
        if let Some(text) = text_of(map, b"sampling.randomness")? {
            let Some(randomness) = parse_randomness(text) else {
                return Ok(Err(()));
            };
            known.written = Some(randomness);
        }
        known.randomness = self.randomness_of_record(record, known.written)?;
        Ok(Ok(known))
    }

    fn randomness_of_record(&self, record: &Message<'_>, written: Option<u64>) -> Result<Option<u64>, Halt> {
        let hashed = self.config.mode == SamplerMode::HashSeed;
        if let (false, Some(written)) = (hashed, written) {
            return Ok(Some(written));
        }
        let id = record.bytes(Field::TraceId);
        let from_trace = self.config.attribute_source == AttributeSource::TraceId || !hashed;
        if let (true, Some(randomness)) = (from_trace, randomness_of_trace(id)) {
            let own = if hashed {
                randomness_of_hash(id, self.config.hash_seed)
            } else {
                randomness
            };
            return Ok(Some(own));
        }
        if self.config.from_attribute.is_empty() {
            return Ok(None);
        }
        let Some(value) = record.attributes().get(self.config.from_attribute.as_bytes()) else {
            return Ok(None);
        };
        let bytes = match value.value()? {
            Value::Bytes(bytes) => Cow::Borrowed(bytes),
            _ => as_text(value)?,
        };
        Ok((!bytes.is_empty()).then(|| randomness_of_hash(&bytes, self.config.hash_seed)))
    }

    /// Whether an item passes by `own`, and what it carries then.
    fn verdict(&self, known: Known, own: Threshold) -> Verdict {
        if own == Threshold::ALWAYS {
            return Verdict::Pass;
        }
        let Some(randomness) = known.randomness else {
            return if self.config.fail_closed {
                Verdict::Drop
            } else {
                Verdict::Pass
            };
        };
        if self.config.mode == SamplerMode::HashSeed {
            return match own {
                own if !own.lets_pass(randomness) => Verdict::Drop,
                // Figures of another sampler are not ours to change.
                _ if known.threshold.is_some() || known.written.is_some() => Verdict::Pass,
                own => Verdict::Mark(Some(own)),
            };
        }
        // An item that its own threshold would have dropped tells a lie.
        if known
            .threshold
            .is_some_and(|threshold| !threshold.lets_pass(randomness))
        {
            return if self.config.fail_closed {
                Verdict::Drop
            } else {
                Verdict::Mark(None)
            };
        }
        let before = known.threshold.unwrap_or(Threshold::ALWAYS);
        let after = match self.config.mode {
            SamplerMode::Proportional if own != Threshold::ALWAYS && own != Threshold::NEVER => {
                Threshold::of_share(before.share() * own.share(), self.config.sampling_precision).max(before)
            }
            _ => before.max(own),
        };
        if !after.lets_pass(randomness) {
            Verdict::Drop
        } else if after == before {
            Verdict::Pass
        } else {
            Verdict::Mark(Some(after))
        }
    }
}

/// A text that is there and not empty.
fn text_of<'m>(map: &'m Map<'_>, key: &[u8]) -> Result<Option<&'m str>, Halt> {
    let Some(value) = map.get(key) else {
        return Ok(None);
    };
    Ok(match value.value()? {
        Value::Str(text) if !text.is_empty() => Some(std::str::from_utf8(text).unwrap_or("?")),
        _ => None,
    })
}

/// A number, or a text that is one.
fn number(value: AnyValue<'_>) -> Result<Option<f64>, Halt> {
    Ok(match value.value()? {
        Value::Str(text) => std::str::from_utf8(text).ok().and_then(|text| text.parse().ok()),
        read => read.as_f64(),
    })
}

fn number_of(value: AnyValue<'_>) -> Result<Option<f64>, Halt> {
    Ok(value.value()?.as_f64())
}

#[cfg(test)]
mod tests;
