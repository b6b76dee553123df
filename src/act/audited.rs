//! The journal with its record: a row and the entry that says what changed are one transaction.

use super::journal::{DecisionLog, JournalError, Loaded, StoreLog, decode, encode};
use crate::audit::{Trail, of_change};
use crate::decide::Decision;
use std::sync::Arc;

/// The journal in the gateway's store, every change of it recorded.
#[derive(Debug)]
pub struct AuditedLog(pub Arc<Trail>);

impl DecisionLog for AuditedLog {
    fn record(&self, decision: &Decision) -> Result<(), JournalError> {
        let row = encode(decision)?;
        let record = |former: Option<&[u8]>| {
            let former = former.and_then(|row| decode(&decision.id, row).ok());
            of_change(former.as_ref(), decision)
        };
        let written = self.0.record(&decision.id, row, record);
        written.map_err(|e| JournalError(e.to_string()))
    }

    fn load(&self) -> Result<Loaded, JournalError> {
        StoreLog(Arc::clone(self.0.store())).load()
    }
}
