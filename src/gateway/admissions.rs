//! The budgets of bytes in flight, one a receiver; they outlive a reload that leaves their limits alone,
//! because requests under way are charged to them.

use crate::config::ReceiverLimits;
use crate::receive::Admission;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// By the name of the receiver.
#[derive(Clone, Debug, Default)]
pub(super) struct Admissions(Arc<Mutex<BTreeMap<String, Arc<Admission>>>>);

impl Admissions {
    /// The budget of receiver `id`; a new one if there is none with these limits.
    pub(super) fn of(&self, id: &str, limits: &ReceiverLimits) -> Arc<Admission> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match all.get(id) {
            Some(known) if known.limits() == limits => Arc::clone(known),
            _ => {
                let admission = Admission::new(limits);
                all.insert(id.to_owned(), Arc::clone(&admission));
                admission
            }
        }
    }

    /// Requests that all receivers have taken, and shed.
    pub(super) fn requests(&self) -> [u64; 2] {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.values().fold([0, 0], |[taken, shed], admission| {
            let [more, lost] = admission.requests();
            [taken + more, shed + lost]
        })
    }

    /// Bytes of all requests that receivers are working on.
    pub(super) fn in_flight_bytes(&self) -> u64 {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.values().map(|admission| admission.in_flight_bytes()).sum()
    }
}
