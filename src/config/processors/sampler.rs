//! `probabilistic_sampler`.

use crate::config::section::{Section, shown};
use crate::config::setting::{Setting, text};
use crate::config::tree::Node;

/// `probabilistic_sampler`: lets a share of the traces or log records pass.
///
/// ```yaml
/// probabilistic_sampler:
///   sampling_percentage: 15.3
///   mode: hash_seed # proportional, equalizing
///   hash_seed: 22
///   fail_closed: true
///   sampling_precision: 4
///   attribute_source: traceID # record
///   from_attribute: ""
///   sampling_priority: ""
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct ProbabilisticSampler {
    /// Items that pass, in percent; 100 and more is all.
    pub sampling_percentage: f32,
    /// How it is decided.
    pub mode: SamplerMode,
    /// Mixed into the hash; the same at all gateways of one tier.
    pub hash_seed: u32,
    /// Whether items without a source of randomness, or with contradictory thresholds, are dropped.
    pub fail_closed: bool,
    /// Hexadecimal digits of a threshold.
    pub sampling_precision: u32,
    /// Of log records: where the randomness comes from.
    pub attribute_source: AttributeSource,
    /// Of log records: the attribute that is hashed; empty is none.
    pub from_attribute: String,
    /// Of log records: the attribute that holds a percentage of its own; empty is none.
    pub sampling_priority: String,
}

/// How the sampler decides.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SamplerMode {
    /// A hash of the trace id (or of an attribute), 14 bits of it.
    #[default]
    HashSeed,
    /// So many of those that arrive, however they were sampled before; by the W3C's random trace ids.
    Proportional,
    /// Down to this share of all, counting what was sampled before.
    Equalizing,
}

/// Where the randomness of a log record comes from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AttributeSource {
    /// Its trace id, and `from_attribute` where it has none.
    #[default]
    TraceId,
    /// `from_attribute`.
    Record,
}

impl Default for ProbabilisticSampler {
    fn default() -> Self {
        Self {
            sampling_percentage: 0.0,
            mode: SamplerMode::HashSeed,
            hash_seed: 0,
            fail_closed: true,
            sampling_precision: 4,
            attribute_source: AttributeSource::TraceId,
            from_attribute: String::new(),
            sampling_priority: String::new(),
        }
    }
}

impl Setting for SamplerMode {
    const EXPECTED: &'static str = "hash_seed, proportional or equalizing";

    fn read(node: &Node) -> Result<Self, String> {
        match text(node) {
            Some("hash_seed" | "") => Ok(Self::HashSeed),
            Some("proportional") => Ok(Self::Proportional),
            Some("equalizing") => Ok(Self::Equalizing),
            _ => Err(shown(node)),
        }
    }
}

impl Setting for AttributeSource {
    const EXPECTED: &'static str = "traceID or record";

    fn read(node: &Node) -> Result<Self, String> {
        match text(node) {
            Some("traceID" | "") => Ok(Self::TraceId),
            Some("record") => Ok(Self::Record),
            _ => Err(shown(node)),
        }
    }
}

/// A percentage as the Collector reads it: 32 bits.
struct Percent(f32);

impl Setting for Percent {
    const EXPECTED: &'static str = "a percentage such as 15.3, without a sign";

    fn read(node: &Node) -> Result<Self, String> {
        text(node)
            .and_then(|text| text.trim_end_matches('%').trim_end().parse().ok())
            .filter(|number: &f32| number.is_finite() && *number >= 0.0)
            .map(Self)
            .ok_or_else(|| shown(node))
    }
}

impl ProbabilisticSampler {
    pub(in crate::config) fn read(_id: &str, section: Section<'_>) -> Option<Self> {
        let mut it = Self::default();
        let percent: Option<Percent> =
            section.required("sampling_percentage", "write the share that passes, such as 10");
        it.sampling_percentage = percent.map_or(0.0, |percent| percent.0.min(100.0));
        section.field("mode", &mut it.mode);
        section.field("hash_seed", &mut it.hash_seed);
        section.field("fail_closed", &mut it.fail_closed);
        section.ranged("sampling_precision", &mut it.sampling_precision, 1..=14);
        section.field("attribute_source", &mut it.attribute_source);
        section.field("from_attribute", &mut it.from_attribute);
        section.field("sampling_priority", &mut it.sampling_priority);
        if it.attribute_source == AttributeSource::Record && it.from_attribute.is_empty() {
            let message = "required with `attribute_source: record`; write the attribute to hash";
            section.problem("from_attribute", message);
        }
        section.finish();
        Some(it)
    }
}
