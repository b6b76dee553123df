//! What one request adds, and how it is counted and told of.

use crate::ledger::join::{JoinStats, Joined};
use crate::ledger::points::PointStats;
use crate::ledger::signatures::SignatureDelta;
use crate::ledger::tally::TallyStats;
use crate::ledger::{EvidenceDelta, JointDelta, LatencyDelta, Ledger, SeriesDelta, WeightDelta};
use crate::pipeline::Signal;
use crate::time::UnixNanos;
use crate::wire::WalkSummary;
use std::collections::BTreeMap;

/// What one request adds, and what it had that could not be used.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TapOutcome {
    /// Budget series, a row for each (objective, cohort, bucket), in that order.
    pub series: Vec<SeriesDelta>,
    /// Evidence cells, each once.
    pub evidence: Vec<EvidenceDelta>,
    /// Rows of joint counts.
    pub joint: Vec<JointDelta>,
    /// What sampled events stand for beyond themselves: a row for each series and cell that saw any.
    pub weights: Vec<WeightDelta>,
    /// Durations, for the objectives that want quantiles.
    pub latencies: Vec<LatencyDelta>,
    /// What the walk saw.
    pub summary: WalkSummary,
    /// What the tally saw: spans judged, late, in the future, without a duration ...
    pub stats: TallyStats,
    /// Events of which a cohort lay beyond a cap, by cap.
    pub overflow: BTreeMap<&'static str, u64>,
    /// Pieces of cohort evidence that could not be used, by what was wrong.
    pub problems: BTreeMap<&'static str, u64>,
    /// What evidence that came apart from its request changes.
    pub joined: Joined,
    /// What became of such evidence.
    pub join: JoinStats,
    /// What bad events had in common.
    pub signatures: Vec<SignatureDelta>,
    /// What became of points of metrics.
    pub points: PointStats,
}

impl TapOutcome {
    /// Counts the batch, in the order that it needs: what enters must be there before anything leaves.
    pub fn absorb_into(&self, ledger: &mut Ledger, now: UnixNanos) {
        let Self {
            series,
            evidence,
            joint,
            weights,
            joined,
            ..
        } = self;
        if !series.is_empty() || !evidence.is_empty() {
            ledger.absorb(now, series, evidence);
        }
        if !joint.is_empty() {
            ledger.absorb_joint(now, joint);
        }
        if !joined.entered.is_empty() {
            ledger.absorb(now, &joined.entered, &joined.entered_cells);
        }
        for rows in [weights, &joined.entered_weights] {
            if !rows.is_empty() {
                ledger.absorb_weights(now, rows);
            }
        }
        if !joined.left.is_empty() {
            ledger.retract(now, &joined.left, &joined.left_cells);
        }
        if !joined.left_weights.is_empty() {
            ledger.retract_weights(now, &joined.left_weights);
        }
    }

    /// Whether it changes any count.
    pub(super) fn changes_counts(&self) -> bool {
        let Joined { entered, left, .. } = &self.joined;
        !(self.series.is_empty() && self.evidence.is_empty() && entered.is_empty() && left.is_empty())
    }

    /// Counts what is unusual in the gateway's own metrics.
    pub(in crate::ledger) fn publish(&self, signal: Signal) {
        self.publish_join();
        match signal {
            Signal::Traces => self.publish_spans(),
            Signal::Logs => self.publish_records(),
            Signal::Metrics => self.points.publish(),
        }
        count("burngate_spans_unknown_service_total", self.stats.unknown_service);
        count("burngate_walk_excess_total", self.summary.excess);
        for (cap, events) in &self.overflow {
            metrics::counter!("burngate_cohort_overflow_events_total", "cap" => *cap).increment(*events);
        }
        for (kind, times) in &self.problems {
            metrics::counter!("burngate_cohort_problems_total", "kind" => *kind).increment(*times);
        }
    }
}

/// Adds to a counter of the gateway's own; what never happens makes no series.
fn count(name: &'static str, n: u64) {
    if n > 0 {
        metrics::counter!(name).increment(n);
    }
}

impl TapOutcome {
    fn publish_spans(&self) {
        let stats = &self.stats;
        count("burngate_spans_judged_total", stats.judged);
        count("burngate_spans_late_total", stats.late);
        count("burngate_spans_future_total", stats.future);
        count("burngate_spans_flag_evaluation_total", stats.evaluation_spans);
        count("burngate_dedup_repeated_spans_total", stats.repeated_spans);
        count("burngate_spans_invalid_duration_total", stats.invalid_durations);
        count("burngate_spans_sampled_total", stats.sampled);
        for (kind, times) in [
            ("inconsistent", stats.inconsistent_weights),
            ("capped", stats.capped_weights),
            ("weightless", stats.weightless),
        ] {
            if times > 0 {
                metrics::counter!("burngate_spans_sampling_problems_total", "kind" => kind).increment(times);
            }
        }
    }

    fn publish_records(&self) {
        let stats = &self.stats;
        count("burngate_log_records_judged_total", stats.judged);
        count("burngate_log_records_late_total", stats.late);
        count("burngate_log_records_future_total", stats.future);
        count(
            "burngate_log_records_flag_evaluation_total",
            stats.evaluation_spans,
        );
    }

    fn publish_join(&self) {
        let JoinStats {
            joined,
            no_request,
            late,
            expired,
            before_start,
            refused,
            without_context,
            evicted,
            spans,
            waiting,
        } = self.join;
        for (outcome, pieces) in [
            ("joined", joined),
            ("no_request", no_request),
            ("late", late),
            ("expired", expired),
            ("before_start", before_start),
            ("refused", refused),
            ("without_context", without_context),
        ] {
            if pieces > 0 {
                metrics::counter!("burngate_join_evidence_total", "outcome" => outcome).increment(pieces);
            }
        }
        if evicted > 0 {
            metrics::counter!("burngate_join_evicted_requests_total").increment(evicted);
        }
        if self.join != JoinStats::default() {
            metrics::gauge!("burngate_join_spans").set(spans as f64);
            metrics::gauge!("burngate_join_waiting_flags").set(waiting as f64);
        }
    }
}
