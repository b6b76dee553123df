//! The walk over logs and prost side by side.

use super::{KEYS, NO_CAPS, Owned, Wanted, owned, prost_owned, prost_wanted, table, wanted};
use burngate::wire::{Attributes, LogRecord, LogSink, Scope, WalkError, WalkSummary, walk_logs};
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use prost::Message;
use std::rc::Rc;

#[derive(Clone, Debug, PartialEq)]
pub struct RecordView {
    pub resource: Rc<Wanted>,
    pub scope: Rc<(Vec<u8>, Vec<u8>, Wanted)>,
    pub ids: [Vec<u8>; 2],
    pub flags: u32,
    pub event_name: Vec<u8>,
    pub times: (u64, u64),
    pub severity: (i32, Vec<u8>),
    /// `None` when no body was sent.
    pub body: Option<Owned>,
    pub attributes: Wanted,
}

#[derive(Default)]
struct Collect {
    resource: Rc<Wanted>,
    scope: Rc<(Vec<u8>, Vec<u8>, Wanted)>,
    records: Vec<RecordView>,
}

impl<'a> LogSink<'a> for Collect {
    fn forget(&mut self) {
        *self = Self::default();
    }

    fn resource(&mut self, attributes: &Attributes<'a>) {
        self.resource = Rc::new(wanted(attributes));
    }

    fn scope(&mut self, scope: &Scope<'a, '_>) {
        self.scope = Rc::new((
            scope.name.to_vec(),
            scope.version.to_vec(),
            wanted(scope.attributes),
        ));
    }

    fn record(&mut self, record: &LogRecord<'a>, attributes: &Attributes<'a>) {
        self.records.push(RecordView {
            resource: Rc::clone(&self.resource),
            scope: Rc::clone(&self.scope),
            ids: [record.trace_id.to_vec(), record.span_id.to_vec()],
            flags: record.flags,
            event_name: record.event_name.to_vec(),
            times: (record.time_unix_nano, record.observed_time_unix_nano),
            severity: (record.severity_number, record.severity_text.to_vec()),
            body: record.body.map(owned),
            attributes: wanted(attributes),
        });
    }
}

/// What the walk says of the request.
pub fn walked_logs(request: &[u8]) -> Result<(WalkSummary, Vec<RecordView>), WalkError> {
    let mut sink = Collect::default();
    let summary = walk_logs(request, &table(), &NO_CAPS, &mut sink)?;
    Ok((summary, sink.records))
}

/// What prost says of it, rejected records left out and counted.
fn from_prost(request: &ExportLogsServiceRequest) -> (u64, Vec<RecordView>) {
    let mut records = Vec::new();
    for resource_logs in &request.resource_logs {
        let resource = resource_logs
            .resource
            .as_ref()
            .map(|resource| prost_wanted(&resource.attributes));
        let resource = Rc::new(resource.unwrap_or_default());
        for scope_logs in &resource_logs.scope_logs {
            let scope = scope_logs.scope.clone().unwrap_or_default();
            let scope = Rc::new((
                scope.name.into_bytes(),
                scope.version.into_bytes(),
                prost_wanted(&scope.attributes),
            ));
            records.extend(scope_logs.log_records.iter().map(|record| RecordView {
                resource: Rc::clone(&resource),
                scope: Rc::clone(&scope),
                ids: [record.trace_id.clone(), record.span_id.clone()],
                flags: record.flags,
                event_name: record.event_name.clone().into_bytes(),
                times: (record.time_unix_nano, record.observed_time_unix_nano),
                severity: (record.severity_number, record.severity_text.clone().into_bytes()),
                body: record.body.as_ref().map(|body| prost_owned(Some(body))),
                attributes: prost_wanted(&record.attributes),
            }));
        }
    }
    let all = records.len();
    records.retain(|record| [0, 16].contains(&record.ids[0].len()) && [0, 8].contains(&record.ids[1].len()));
    (u64::try_from(all - records.len()).unwrap(), records)
}

/// Compares the two readings of `request`. Says whether prost accepted.
#[allow(clippy::disallowed_methods, reason = "prost is the oracle")]
pub fn same_logs_as_prost(request: &[u8]) -> Result<bool, String> {
    match (ExportLogsServiceRequest::decode(request), walked_logs(request)) {
        (Ok(message), Ok((summary, records))) => {
            let (rejected, expected) = from_prost(&message);
            let seen = rejected + u64::try_from(expected.len()).unwrap();
            if records != expected {
                return Err(format!("the walk reads {records:#?}\nprost reads {expected:#?}"));
            }
            if (summary.spans, summary.rejected, summary.excess) != (seen, rejected, 0) {
                return Err(format!(
                    "the walk counts {summary:?}, prost {rejected} rejected of {seen}"
                ));
            }
            Ok(true)
        }
        (Ok(_), Err(refusal)) => Err(format!("prost accepts, the walk refuses: {refusal}")),
        (Err(refusal), Ok(_)) if !may_be_let_through(&refusal) => {
            Err(format!("the walk accepts, prost refuses: {refusal}"))
        }
        (Err(_), _) => Ok(false),
    }
}

/// As for traces, and bodies are values too: what is inside them is not looked at until somebody reads it.
fn may_be_let_through(refusal: &prost::DecodeError) -> bool {
    super::may_be_let_through(refusal) || refusal.to_string().contains("LogRecord.body:")
}

/// How many of the keys with a slot the records carry: a comparison of nothing proves nothing.
pub fn wanted_in(records: &[RecordView]) -> usize {
    let slots = |wanted: &Wanted| wanted.slots.iter().flatten().count();
    assert!(!KEYS.is_empty());
    records
        .iter()
        .map(|record| slots(&record.attributes) + slots(&record.resource))
        .sum()
}
