//! `service.telemetry.traces`.

use super::otlp::SelfOtlp;
use crate::config::section::Section;
use crate::config::setting::{Millis, Setting, parsed};
use crate::config::tree::Node;
use std::time::Duration;

/// `service.telemetry.traces`: burngate's own spans. Without a processor there are none, and they cost
/// nothing.
#[derive(Clone, Debug, PartialEq)]
pub struct SelfTraces {
    /// Where finished spans go.
    pub processors: Vec<SpanBatching>,
    /// Share of requests that are traced, 0 to 1.
    pub sampling_ratio: f64,
}

impl Default for SelfTraces {
    fn default() -> Self {
        Self {
            processors: Vec::new(),
            sampling_ratio: 1.0,
        }
    }
}

/// `batch`: spans wait here until they are pushed together.
#[derive(Clone, Debug, PartialEq)]
pub struct SpanBatching {
    /// Time between two pushes.
    pub schedule_delay: Duration,
    /// Time that a push may take.
    pub export_timeout: Duration,
    /// Spans that may wait; what comes then is dropped.
    pub max_queue_size: usize,
    /// Spans of one push.
    pub max_export_batch_size: usize,
    /// Where to.
    pub exporter: SelfOtlp,
}

/// A share from 0 to 1.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
struct Ratio(f64);

impl Setting for Ratio {
    const EXPECTED: &'static str = "a share from 0 to 1 such as 0.1";

    fn read(node: &Node) -> Result<Self, String> {
        parsed(node, |text| {
            text.parse().ok().filter(|it| (0.0..=1.0).contains(it)).map(Self)
        })
    }
}

/// `level`: whether there are any.
struct Level(bool);

impl Setting for Level {
    const EXPECTED: &'static str = "none, basic, normal or detailed";

    fn read(node: &Node) -> Result<Self, String> {
        parsed(node, |text| match text.to_ascii_lowercase().as_str() {
            "none" => Some(Self(false)),
            "basic" | "normal" | "detailed" => Some(Self(true)),
            _ => None,
        })
    }
}

impl SelfTraces {
    pub(super) fn read(section: Section<'_>) -> Self {
        let mut it = Self::default();
        let mut level = Level(true);
        section.field("level", &mut level);
        for processor in section.sections_in("processors").into_iter().flatten() {
            processor.unsupported(&["simple"]);
            if let Some(batch) = processor.section("batch") {
                it.processors.extend(SpanBatching::read(batch));
            } else {
                let (report, at) = (processor.report, processor.at);
                report.problem(Some(at), &processor.path, "expected batch");
            }
            processor.finish();
        }
        if let Some(sampler) = section.section("sampler") {
            it.sampling_ratio = read_sampler(sampler);
        }
        section.without_effect(
            &["propagators"],
            "a request to the gateway begins a trace of its own",
        );
        section.unsupported_of_own(&["limits"]);
        section.finish();
        if !level.0 {
            it.processors.clear();
        }
        it
    }
}

/// `always_on`, `always_off`, `trace_id_ratio_based`, or one of these as the `root` of `parent_based`.
fn read_sampler(section: Section<'_>) -> f64 {
    let mut ratio = Ratio(1.0);
    if let Some(parent) = section.section("parent_based") {
        let root = parent.section_or_empty("root");
        ratio = Ratio(read_sampler(root));
        let why = "a request to the gateway begins a trace of its own: there is no parent";
        parent.without_effect(
            &[
                "remote_parent_sampled",
                "remote_parent_not_sampled",
                "local_parent_sampled",
                "local_parent_not_sampled",
            ],
            why,
        );
        parent.finish();
    }
    if let Some(on) = section.section("always_on") {
        on.finish();
    }
    if let Some(off) = section.section("always_off") {
        off.finish();
        ratio = Ratio(0.0);
    }
    if let Some(by_ratio) = section.section("trace_id_ratio_based") {
        by_ratio.field("ratio", &mut ratio);
        by_ratio.finish();
    }
    section.unsupported(&["jaeger_remote"]);
    section.finish();
    ratio.0
}

impl SpanBatching {
    fn read(section: Section<'_>) -> Option<Self> {
        let (mut delay, mut timeout) = (Millis(Duration::from_secs(5)), Millis(Duration::from_secs(30)));
        let (mut queue, mut batch) = (2048_usize, 512_usize);
        let range = || Millis(Duration::from_millis(1))..=Millis(Duration::from_mins(10));
        section.ranged("schedule_delay", &mut delay, range());
        section.ranged("export_timeout", &mut timeout, range());
        section.ranged("max_queue_size", &mut queue, 1..=1_000_000);
        section.ranged("max_export_batch_size", &mut batch, 1..=1_000_000);
        let exporter = section.section_or_empty("exporter");
        exporter.unsupported(&["console", "zipkin"]);
        let otlp = exporter.section("otlp");
        if otlp.is_none() {
            section.problem("exporter", "expected otlp");
        }
        let otlp = otlp.and_then(|otlp| SelfOtlp::read(otlp, "v1/traces"));
        exporter.finish();
        section.finish();
        Some(Self {
            schedule_delay: delay.0,
            export_timeout: timeout.0,
            max_queue_size: queue,
            max_export_batch_size: batch.min(queue),
            exporter: otlp?,
        })
    }
}
