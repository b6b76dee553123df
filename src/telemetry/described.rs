//! What the gateway's own counters and gauges mean: the help of every line on its page.

pub(super) const COUNTERS: &[(&str, &str)] = &[
    (
        "burngate_account_errors_total",
        "Updates of budgets by calendar or by slices that the store refused; they are tried again.",
    ),
    (
        "burngate_audit_events_total",
        "Entries of the audit record that went to their pipelines as log events, by outcome.",
    ),
    (
        "burngate_audit_failures_total",
        "Entries of the audit record that could not be written; those of decisions keep the decision back.",
    ),
    (
        "burngate_audit_pruned_total",
        "Entries that left the audit record by its limits.",
    ),
    (
        "burngate_cohort_overflow_events_total",
        "Events of which a cohort lay beyond a cap, by cap; the totals have them.",
    ),
    (
        "burngate_cohort_problems_total",
        "Names of deployments and flags that could not be used as they were, by what was wrong.",
    ),
    (
        "burngate_config_reloads_total",
        "Reloads of the configuration, by outcome.",
    ),
    (
        "burngate_connector_refused_points_total",
        "Points that a connector made and its pipelines refused; totals are told again, deltas too while they fit.",
    ),
    (
        "burngate_debug_omitted_total",
        "Batches that a debug exporter did not show, because its writer was behind.",
    ),
    (
        "burngate_decisions_total",
        "States that decisions came to (decided, sending, confirmed ...), by exporter.",
    ),
    (
        "burngate_dedup_bodies_forgotten_early_total",
        "Request bodies that were forgotten before their time, for want of room.",
    ),
    (
        "burngate_dedup_repeated_requests_total",
        "Requests whose body came before from the same peer: answered and forwarded, not counted.",
    ),
    (
        "burngate_dedup_repeated_spans_total",
        "Spans that came before, where dedup.spans is on: not counted.",
    ),
    (
        "burngate_dedup_spans_forgotten_early_total",
        "Spans that were forgotten before their time, for want of room.",
    ),
    (
        "burngate_driver_panics_total",
        "Deliveries that ended in a defect of ours; they were tried again.",
    ),
    (
        "burngate_flag_changes_total",
        "Changes of flags that somebody told, by whose words they were and what became of them.",
    ),
    (
        "burngate_flag_watch_reads_total",
        "Reads of flags that were switched, to see whether somebody switched them back, by exporter.",
    ),
    (
        "burngate_hand_requests_total",
        "What people asked for by hand (kill, release, vote), by outcome.",
    ),
    (
        "burngate_indicator_refused_samples_total",
        "Samples for leading indicators that were not taken, by the limit that refused them.",
    ),
    (
        "burngate_join_evicted_requests_total",
        "Requests that left the join before their time, for want of room.",
    ),
    (
        "burngate_join_evidence_total",
        "Flag evaluations that came apart from their request, by what became of them.",
    ),
    (
        "burngate_journal_failures_total",
        "Writes of the decision journal that failed; nothing leaves before one holds.",
    ),
    (
        "burngate_journal_forgotten_total",
        "Decisions that left the store because it holds as many as it may.",
    ),
    (
        "burngate_journal_unreadable_total",
        "Rows of the decision journal that could not be read.",
    ),
    (
        "burngate_kill_phases_total",
        "Phases that decisions came to after their end (effect_check, cooldown, escalated, human_hold, closed).",
    ),
    (
        "burngate_kill_verdicts_total",
        "Decisions that kill rules came to, by mode; burngate_decisions_total has what became of them.",
    ),
    (
        "burngate_latency_refused_events_total",
        "Requests whose duration was not kept, for want of room; they count in everything else.",
    ),
    (
        "burngate_ledger_clock_steps_back_total",
        "Times the system's clock went back; counting waited for it.",
    ),
    (
        "burngate_ledger_refused_evidence_events_total",
        "Events beyond the cap of evidence cells.",
    ),
    (
        "burngate_ledger_refused_series_events_total",
        "Events beyond the cap of series.",
    ),
    (
        "burngate_ledger_unretracted_events_total",
        "Events that should have left an assumed flag variant, and could not.",
    ),
    (
        "burngate_log_records_flag_evaluation_total",
        "Log records that are flag evaluations, not events of an SLO.",
    ),
    (
        "burngate_log_records_future_total",
        "Judged log records of more than a minute from now; counted at arrival.",
    ),
    (
        "burngate_log_records_judged_total",
        "Log records that some SLO counted.",
    ),
    (
        "burngate_log_records_late_total",
        "Judged log records of more than five minutes ago; counted at arrival.",
    ),
    (
        "burngate_metric_points_total",
        "Points of metrics that a policy names, by what became of them.",
    ),
    (
        "burngate_metric_points_unusable_total",
        "Points of metrics that a policy names and of which nothing can be made, by reason.",
    ),
    (
        "burngate_own_metrics_pushes_total",
        "Pushes of the own metrics, by outcome.",
    ),
    (
        "burngate_own_spans_total",
        "Own spans, by outcome: sent, failed, or dropped because the queue was full.",
    ),
    (
        "burngate_publish_otlp_pushes_total",
        "Pushes of budget metrics, by exporter and outcome.",
    ),
    (
        "burngate_received_points_left_out_total",
        "Received points that cannot be shown to (or sent to) Prometheus, by reason.",
    ),
    (
        "burngate_record_requests_total",
        "Requests that record events, by outcome.",
    ),
    (
        "burngate_recorded_events_total",
        "Events recorded by hand, good and bad.",
    ),
    (
        "burngate_shapes_refused_rows_total",
        "Shapes of flag evidence beyond their limit: not in the API.",
    ),
    (
        "burngate_signatures_refused_total",
        "Bad events of series beyond signatures.max_series: not told apart.",
    ),
    (
        "burngate_span_metrics_overflow_total",
        "Spans and events that span_metrics counted in an overflow series.",
    ),
    (
        "burngate_spans_flag_evaluation_total",
        "Spans that are flag evaluations, not requests.",
    ),
    (
        "burngate_spans_future_total",
        "Judged spans that end more than a minute from now; counted at arrival.",
    ),
    (
        "burngate_spans_invalid_duration_total",
        "Judged spans that end before they start; never fast.",
    ),
    ("burngate_spans_judged_total", "Spans that some SLO counted."),
    (
        "burngate_spans_late_total",
        "Judged spans that ended more than five minutes ago; counted at arrival.",
    ),
    (
        "burngate_spans_sampled_total",
        "Judged spans that a sampler kept, and that count for more than themselves.",
    ),
    (
        "burngate_spans_sampling_problems_total",
        "Judged spans that tell of their sampling what cannot be, or more than is believed.",
    ),
    (
        "burngate_spans_unknown_service_total",
        "Judged spans whose resource names no service.",
    ),
    (
        "burngate_store_errors_total",
        "Ticks that could not be written; the next one writes the same again.",
    ),
    (
        "burngate_store_quarantined_total",
        "Damaged stores that were set aside.",
    ),
    (
        "burngate_tag_failures_total",
        "Flags that could not be tagged in their service; they were switched all the same.",
    ),
    (
        "burngate_walk_excess_total",
        "Attributes, events and flags beyond an item's cap: not read, the item counts.",
    ),
];

pub(super) const GAUGES: &[(&str, &str)] = &[
    (
        "burngate_accounts_open",
        "Budgets by calendar, by slices or with something left out.",
    ),
    (
        "burngate_accounts_refused",
        "Budgets that show nothing because max_accounts is reached.",
    ),
    (
        "burngate_audit_bytes",
        "Bytes of the entries of the audit record.",
    ),
    ("burngate_audit_entries", "Entries of the audit record."),
    (
        "burngate_audit_events_waiting",
        "Entries of the audit record that their pipelines have not taken as log events yet.",
    ),
    (
        "burngate_audit_last_seq",
        "Number of the last entry of the audit record.",
    ),
    ("burngate_build_info", "Always 1; the version is a label."),
    (
        "burngate_cohorts_live",
        "Deployment and flag cohorts that have series.",
    ),
    (
        "burngate_coverage_ratio",
        "Share of the requests of the last five minutes that was taken; the rest was shed.",
    ),
    (
        "burngate_config_last_reload_successful",
        "1 when the last reload took effect.",
    ),
    (
        "burngate_config_last_reload_timestamp_seconds",
        "When a configuration last took effect, as Unix time.",
    ),
    ("burngate_decisions_known", "Decisions in memory, live and past."),
    (
        "burngate_decisions_live",
        "Decisions that are not carried out yet.",
    ),
    (
        "burngate_decisions_withheld",
        "Kill rules that burn and do not act; /api/v1/decisions says why.",
    ),
    (
        "burngate_evaluation_changed_series",
        "Series worked out at the last evaluation.",
    ),
    (
        "burngate_evaluation_last_timestamp_seconds",
        "When budgets were last evaluated, as Unix time.",
    ),
    (
        "burngate_exporter_breaker_open",
        "1 while an exporter's service fails so often that it is left alone.",
    ),
    (
        "burngate_exporter_ready",
        "1 when the exporter's service answered the probe and would act.",
    ),
    (
        "burngate_flag_ready",
        "1 when the flag of a kill switch is there and can be switched.",
    ),
    (
        "burngate_flag_warning",
        "1 while the flag of a kill switch has this trouble.",
    ),
    (
        "burngate_indicator_series",
        "Rings of samples of leading indicators.",
    ),
    (
        "burngate_indicator_state",
        "-1 no data, 0 calm, 1 entering, 2 leaving, 3 active; from 2 on it is active.",
    ),
    (
        "burngate_indicator_streams",
        "Streams of metrics that leading indicators remember.",
    ),
    (
        "burngate_indicator_value",
        "The value of a leading indicator; of several groups the worst.",
    ),
    (
        "burngate_indicators",
        "Leading indicators that are shown, over all services.",
    ),
    (
        "burngate_journal_rows",
        "Decisions in the store, after the last write.",
    ),
    (
        "burngate_kill_cases",
        "Variants and versions, by SLO, that rules by evidence watch.",
    ),
    (
        "burngate_kill_cases_refused_total",
        "Cases that were not opened because there was no room.",
    ),
    (
        "burngate_kill_overdispersion",
        "How much bad events cluster; NaN before it is known.",
    ),
    (
        "burngate_kill_pairs",
        "Pairs of variants whose evidence is kept given the other.",
    ),
    (
        "burngate_kill_rollouts",
        "Flags that everybody has and that are tried against their own past.",
    ),
    ("burngate_ledger_evidence_cells", "Cells of evidence in memory."),
    (
        "burngate_ledger_joint_rows",
        "Rows of joint counts of flags that wait to be read.",
    ),
    (
        "burngate_ledger_refused_joint_events_total",
        "Events of joint counts that were not kept because there was no room.",
    ),
    ("burngate_ledger_series", "Budget series in memory."),
    (
        "burngate_metric_streams",
        "Streams of metrics that policies name, in memory.",
    ),
    (
        "burngate_received_series",
        "Series of received metrics that a prometheus exporter remembers.",
    ),
    (
        "burngate_sampling_suspected_services",
        "Services whose spans look as if a tail sampler had chosen them, and whose policy does not say so.",
    ),
    (
        "burngate_span_metrics_bytes",
        "Memory of a span_metrics connector's series, about.",
    ),
    (
        "burngate_span_metrics_series",
        "Series of a span_metrics connector.",
    ),
    (
        "slo_sli_quality",
        "How an SLI from metrics is known: 0 exact, 1 interpolated, 2 estimated, 3 degraded; worst of ten minutes.",
    ),
    ("burngate_dedup_bodies", "Request bodies that are remembered."),
    ("burngate_flag_changes_kept", "Changes of flags on disk."),
    ("burngate_join_spans", "Spans that the join remembers."),
    ("burngate_join_waiting_flags", "Flags that wait for their span."),
    (
        "burngate_latency_series",
        "Series that keep quantiles of durations.",
    ),
    (
        "burngate_record_keys",
        "Idempotency keys of recorded events that are remembered.",
    ),
    (
        "burngate_signatures_series",
        "Series whose bad events are told apart.",
    ),
];
