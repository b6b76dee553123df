//! What a receiver shares with the gateway around it.

use super::admission::Admission;
use super::gate::Gate;
use super::reload::Reload;
use std::sync::Arc;

/// Beside its socket and its settings.
#[derive(Clone, Debug)]
pub struct Context {
    /// The component's name, such as `otlp` or `otlp/internal`: the `receiver` of its metrics.
    pub id: Arc<str>,
    /// The budget of bytes in flight.
    pub admission: Arc<Admission>,
    /// Who may come in.
    pub gate: Gate,
    /// When to read files again.
    pub reload: Reload,
}

impl Context {
    /// A receiver that lets everybody in.
    pub fn new(id: impl Into<Arc<str>>, admission: Arc<Admission>) -> Self {
        Self {
            id: id.into(),
            admission,
            gate: Gate::default(),
            reload: Reload::default(),
        }
    }

    /// With a gate.
    pub fn behind(self, gate: Gate) -> Self {
        Self { gate, ..self }
    }
}
