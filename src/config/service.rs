//! `service`: which of the components run; how burngate speaks about itself is in [`super::telemetry`].

/// The signals that have a pipeline. A receiver refuses the others as its protocol says (UNIMPLEMENTED, 404).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Signals {
    /// A `traces` pipeline reads from the receiver.
    pub traces: bool,
    /// A `metrics` pipeline reads from the receiver.
    pub metrics: bool,
    /// A `logs` pipeline reads from the receiver.
    pub logs: bool,
}
