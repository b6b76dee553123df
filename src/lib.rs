//! burngate: an OpenTelemetry gateway that stops what is burning the error budget.
//!
//! The way of the data, one line each:
//!
//! ```text
//! receive -> Batch(bytes) -> edit (resource, attributes, filter: splices of the bytes)
//!                         -> tap: wire walk -> sli.judge -> ledger::Tally (borrowed, no lock,
//!                                                                            no allocation per span)
//!                                                        -> ledger.absorb (one short lock a batch)
//!                         -> sampling -> forward (the same bytes, queued) and connect -> answer OK
//! every tick: ledger.changed(now) -> budget -> policy -> decide -> { act, publish, store }
//! ```
//!
//! Two planes, one seam. The **data plane** ([`receive`], [`wire`], [`pipeline`], [`process`], [`sli`],
//! [`cohort`], [`ledger`]) is synchronous between bytes and ledger, allocates nothing per span, and has a
//! limit on everything. The
//! **control plane** ([`budget`], [`policy`], [`decide`], [`act`], [`publish`], [`store`], [`api`]) runs on
//! the tick and may allocate freely. The seam is the list of series that changed.
//!
//! A module stands below whatever imports it; imports never run upwards. From the ground up:
//!
//! * [`time`]: instants as arguments; nothing but the gateway reads a clock.
//! * [`config`]: the YAML file, as types that cannot be wrong.
//! * [`wire`]: what we know of protobuf: a cursor, and borrowed views of OTLP.
//! * [`pipeline`]: receivers -> processors -> exporters as a graph: its edges.
//! * [`receive`]: gRPC and HTTP in, admission, decompression, the answers that OTLP owes its clients.
//! * [`process`]: processors: guards, edits of the raw bytes, samplers.
//! * [`forward`]: telemetry exporters: queue, retry, OTLP, files, Prometheus.
//! * [`connect`]: connectors that make metrics of other signals: `count`, `span_metrics`.
//! * [`sli`]: objectives compiled from policy; judges a span good, bad or not ours.
//! * [`cohort`]: which deployment and which flag variants an event belongs to.
//! * [`indicate`]: leading indicators: samples of metrics and spans, formulas, hysteresis.
//! * [`ledger`]: counts: one batch's tally, the 10 s ring and the running window sums.
//! * [`store`]: what survives a restart.
//! * [`budget`]: pure arithmetic: burn rates, budget left, time to exhaustion.
//! * [`evidence`]: pure statistics: is this variant worse than its control, given that we look all the time?
//! * [`account`]: calendar periods, time slices and exclusions, kept up to date tick by tick.
//! * [`policy`]: the team's sentence as code: objectives, alerts, kill switches.
//! * [`decide`]: state machines that turn verdicts over time into decisions.
//! * [`audit`]: the record of decisions: append-only, hash-chained.
//! * [`act`]: exporters of decisions: journal, delivery, Unleash, webhook.
//! * [`publish`]: exporters of budget metrics: Prometheus, OTLP.
//! * [`api`]: budgets, cohorts and decisions over HTTP and gRPC; health.
//! * [`telemetry`]: the gateway's own logs, metrics and traces.
//! * [`extend`]: extensions about the process itself: CPU profiles, zpages.
//! * [`gateway`]: wires everything; owns the clock, the tick and the order of shutdown.
//! * [`replay`]: recorded telemetry through the same core, in event time.
//! * [`simulate`]: made-up services in which it is known who is to blame: the proof of [`evidence`].
//! * [`cli`]: one file a subcommand.

pub mod account;
pub mod act;
pub mod api;
pub mod audit;
pub mod budget;
pub mod cli;
pub mod cohort;
pub mod config;
pub mod connect;
pub mod decide;
pub mod evidence;
pub mod extend;
pub mod forward;
pub mod gateway;
pub mod indicate;
pub mod ledger;
pub mod pipeline;
pub mod policy;
pub mod process;
pub mod publish;
pub mod receive;
pub mod replay;
pub mod simulate;
pub mod sli;
pub mod store;
pub mod telemetry;
pub mod time;
pub mod wire;
