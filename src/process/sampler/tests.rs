//! Who passes, and what it carries then.

use super::*;
use crate::process::testing::{attribute, batch_of_records, batch_of_spans, records, spans};
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use opentelemetry_proto::tonic::trace::v1::Span;

fn sampler(mode: SamplerMode, percent: f32) -> Sampler {
    Sampler::new(
        "probabilistic_sampler",
        &ProbabilisticSampler {
            sampling_percentage: percent,
            mode,
            ..ProbabilisticSampler::default()
        },
    )
}

/// Spans of evenly spread trace ids.
fn many() -> Vec<Span> {
    (0..4096u64)
        .map(|nth| {
            let random = nth << 44 | 0xab << 56;
            let mut trace_id = vec![7; 8];
            trace_id.extend(random.to_be_bytes());
            Span {
                trace_id,
                span_id: vec![1; 8],
                ..Span::default()
            }
        })
        .collect()
}

fn sampled(sampler: &Sampler, all: Vec<Span>) -> (u64, Vec<Span>) {
    let processed = sampler.process(batch_of_spans(all)).unwrap();
    (
        processed.dropped,
        processed.batch.map(|batch| spans(&batch)).unwrap_or_default(),
    )
}

#[test]
fn a_share_passes_in_every_mode_and_says_so() {
    for (mode, least, most) in [
        (SamplerMode::Proportional, 1024, 1024),
        (SamplerMode::Equalizing, 1024, 1024),
        (SamplerMode::HashSeed, 880, 1120),
    ] {
        let (dropped, left) = sampled(&sampler(mode, 25.0), many());
        assert!((least..=most).contains(&left.len()), "{mode:?}: {}", left.len());
        assert_eq!(dropped, 4096 - left.len() as u64);
        for span in &left {
            assert!(span.trace_state.starts_with("ot=th:c"), "{}", span.trace_state);
            assert_eq!(span.trace_state.contains(";rv:"), mode == SamplerMode::HashSeed);
        }
    }
}

#[test]
fn all_pass_untouched_at_100_and_none_at_0() {
    for mode in [
        SamplerMode::Proportional,
        SamplerMode::Equalizing,
        SamplerMode::HashSeed,
    ] {
        let batch = batch_of_spans(many());
        let processed = sampler(mode, 100.0).process(batch.clone()).unwrap();
        assert!(processed.batch.unwrap().same_bytes(&batch));
        let (dropped, left) = sampled(&sampler(mode, 0.0), many());
        assert_eq!((dropped, left.len()), (4096, 0));
    }
}

#[test]
fn proportional_multiplies_and_equalizing_only_lowers() {
    let mut before = many();
    before.retain(|span| span.trace_id[9] >= 0x80);
    for span in &mut before {
        "ot=th:8,x=y".clone_into(&mut span.trace_state);
    }
    let (_, left) = sampled(&sampler(SamplerMode::Proportional, 50.0), before.clone());
    assert_eq!(left.len(), 1024);
    assert!(left.iter().all(|span| span.trace_state == "ot=th:c,x=y"));
    let (_, left) = sampled(&sampler(SamplerMode::Equalizing, 50.0), before.clone());
    assert_eq!(left, before);
    let (_, left) = sampled(&sampler(SamplerMode::Equalizing, 25.0), before);
    assert_eq!(left.len(), 1024);
}

#[test]
fn a_span_that_lies_about_its_threshold_goes_unless_the_sampler_is_open() {
    let mut liar = many().remove(0);
    "ot=th:8".clone_into(&mut liar.trace_state);
    let mut open = sampler(SamplerMode::Proportional, 50.0);
    assert_eq!(sampled(&open, vec![liar.clone()]).0, 1);
    open.config.fail_closed = false;
    assert_eq!(sampled(&open, vec![liar]).1[0].trace_state, "");
}

#[test]
fn a_priority_overrides_the_share() {
    let with = |priority| Span {
        attributes: vec![attribute("sampling.priority", priority)],
        ..many().remove(0)
    };
    let (_, left) = sampled(&sampler(SamplerMode::Proportional, 1.0), vec![with(0), with(1)]);
    assert_eq!(left.len(), 1);
    let (dropped, _) = sampled(&sampler(SamplerMode::Proportional, 100.0), vec![with(0)]);
    assert_eq!(dropped, 1);
}

#[test]
fn spans_without_randomness_follow_fail_closed() {
    let mut sampler = sampler(SamplerMode::Proportional, 50.0);
    assert_eq!(sampled(&sampler, vec![Span::default()]).0, 1);
    sampler.config.fail_closed = false;
    assert_eq!(sampled(&sampler, vec![Span::default()]).1, [Span::default()]);
}

fn record(key: &str, value: i64) -> LogRecord {
    LogRecord {
        attributes: vec![attribute(key, value)],
        ..LogRecord::default()
    }
}

#[test]
fn records_may_be_hashed_by_an_attribute() {
    let mut sampler = sampler(SamplerMode::HashSeed, 50.0);
    sampler.config.attribute_source = AttributeSource::Record;
    "pod".clone_into(&mut sampler.config.from_attribute);
    let all: Vec<LogRecord> = (0..400)
        .flat_map(|nth| [record("pod", nth), record("pod", nth)])
        .collect();
    let processed = sampler.process(batch_of_records(all)).unwrap();
    let left = records(&processed.batch.unwrap());
    assert!(
        (300..500).contains(&left.len()) && left.len().is_multiple_of(2),
        "{}",
        left.len()
    );
    for pair in left.chunks(2) {
        assert_eq!(pair[0], pair[1]);
        assert_eq!(pair[0].attributes[1].key, "sampling.threshold");
        assert_eq!(pair[0].attributes[2].key, "sampling.randomness");
    }
    let without = sampler
        .process(batch_of_records(vec![record("other", 1)]))
        .unwrap();
    assert!(without.batch.is_none());
}

#[test]
fn a_record_may_bring_its_own_percentage() {
    let mut sampler = sampler(SamplerMode::Proportional, 1.0);
    "keep".clone_into(&mut sampler.config.sampling_priority);
    let with = |percent| LogRecord {
        trace_id: many().remove(5).trace_id,
        ..record("keep", percent)
    };
    let processed = sampler
        .process(batch_of_records(vec![with(0), with(100), with(1)]))
        .unwrap();
    let left = records(&processed.batch.unwrap());
    assert_eq!(left, [with(100)]);
}
