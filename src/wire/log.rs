//! The walk over an ExportLogsServiceRequest: borrowed views of its records.
//!
//! As for spans, the views borrow from the request's bytes, and the scratch (the wanted attributes of a
//! resource, a scope and a record) lives for one request: nothing is allocated a record. Bodies are handed
//! out unread.

use super::envelope::{self, Items};
use super::reader::{Reader, fixed32, fixed64, len, varint};
use super::{
    AnyValue, Attributes, KeyTable, Malformed, Scope, Slot, Value, WalkError, WalkLimits, WalkSummary,
};

mod record {
    use super::{fixed32, fixed64, len, varint};
    pub(super) const TIME: u64 = fixed64(1);
    pub(super) const SEVERITY: u64 = varint(2);
    pub(super) const SEVERITY_TEXT: u64 = len(3);
    pub(super) const BODY: u64 = len(5);
    pub(super) const ATTRIBUTES: u64 = len(6);
    pub(super) const DROPPED: u64 = varint(7);
    pub(super) const FLAGS: u64 = fixed32(8);
    pub(super) const TRACE_ID: u64 = len(9);
    pub(super) const SPAN_ID: u64 = len(10);
    pub(super) const OBSERVED: u64 = fixed64(11);
    pub(super) const EVENT_NAME: u64 = len(12);
    pub(super) const KNOWN: u32 = 0b1_1111_1110_1110;
}

/// The key under which a record's severity number stands among its wanted attributes, when it is wanted. No
/// SDK sends a key that begins with NUL, and what anybody sends under it is replaced.
pub const SEVERITY_KEY: &str = "\0severity";
/// The same of its body.
pub const BODY_KEY: &str = "\0body";
/// The same of a member of a body that is a map: this, and the member's key.
pub const BODY_MEMBER_PREFIX: &str = "\0body.";
/// Longest key of a member, in bytes.
const MEMBER_MAX: usize = 128;

/// One log record: scalars by value, the rest borrowed.
#[derive(Clone, Copy, Debug, PartialEq)]
#[allow(
    missing_docs,
    reason = "the fields are those of opentelemetry.proto.logs.v1.LogRecord"
)]
pub struct LogRecord<'a> {
    pub time_unix_nano: u64,
    pub observed_time_unix_nano: u64,
    pub severity_number: i32,
    pub severity_text: &'a [u8],
    /// `None` when no body was sent.
    pub body: Option<AnyValue<'a>>,
    pub event_name: &'a [u8],
    pub trace_id: &'a [u8],
    pub span_id: &'a [u8],
    pub flags: u32,
}

/// What the walk over logs hands over, in the order resource, its scopes, their records. The rules are those
/// of [`super::SpanSink`].
pub trait LogSink<'a> {
    /// See [`super::SpanSink::forget`].
    fn forget(&mut self);
    /// See [`super::SpanSink::resource`].
    fn resource(&mut self, attributes: &Attributes<'a>);
    /// See [`super::SpanSink::scope`].
    fn scope(&mut self, scope: &Scope<'a, '_>);
    /// A record of the current scope. Not called for records that are rejected (a trace id that is not 16
    /// bytes ...).
    fn record(&mut self, record: &LogRecord<'a>, attributes: &Attributes<'a>);
}

/// Walks the request and hands every record to `sink`. In the summary `spans` are records.
pub fn walk_logs<'a>(
    request: &'a [u8],
    keys: &KeyTable,
    limits: &WalkLimits,
    sink: &mut impl LogSink<'a>,
) -> Result<WalkSummary, WalkError> {
    let mut records = Records {
        severity: keys.find(SEVERITY_KEY.as_bytes()),
        body: keys.find(BODY_KEY.as_bytes()),
        members: keys.wants_members(BODY_MEMBER_PREFIX.as_bytes()),
        sink,
        attributes: Attributes::new(keys),
        summary: WalkSummary::default(),
    };
    let excess = envelope::walk(request, keys, limits, &mut records)?;
    let mut summary = records.summary;
    summary.excess += excess;
    Ok(summary)
}

struct Records<'w, 'a, S> {
    sink: &'w mut S,
    attributes: Attributes<'a>,
    summary: WalkSummary,
    severity: Option<Slot>,
    body: Option<Slot>,
    /// Whether members of bodies are wanted.
    members: bool,
}

impl<'a, S> Records<'_, 'a, S> {
    /// Puts what stands beside the attributes among them, where somebody wants it.
    fn put_own(&mut self, record: &LogRecord<'a>, keys: &KeyTable, limits: &WalkLimits) {
        if let Some(slot) = self.severity
            && let Some(encoded) = usize::try_from(record.severity_number)
                .ok()
                .filter(|number| *number > 0)
                .or_else(|| severity_of(record.severity_text))
                .and_then(|number| SEVERITIES.get(number))
        {
            self.attributes.put(slot, AnyValue::new(encoded), limits);
        }
        let Some(body) = record.body else { return };
        if let Some(slot) = self.body {
            self.attributes.put(slot, body, limits);
        }
        if self.members
            && let Ok(Value::KvList(pairs)) = body.value()
        {
            for (key, value) in AnyValue::kvlist_items(pairs).take(MEMBER_MAX).flatten() {
                let mut name = [0u8; BODY_MEMBER_PREFIX.len() + MEMBER_MAX];
                let length = BODY_MEMBER_PREFIX.len() + key.len();
                let Some(room) = name.get_mut(..length) else {
                    continue;
                };
                let (prefix, rest) = room.split_at_mut(BODY_MEMBER_PREFIX.len());
                prefix.copy_from_slice(BODY_MEMBER_PREFIX.as_bytes());
                rest.copy_from_slice(key);
                if let Some(slot) = keys.find(room) {
                    self.attributes.put(slot, value, limits);
                }
            }
        }
    }
}

/// The number of a severity's text, for a record that has no number: `ERROR`, `warning`, `Info2`.
fn severity_of(text: &[u8]) -> Option<usize> {
    const NAMES: [(&[u8], usize); 7] = [
        (b"trace", 1),
        (b"debug", 5),
        (b"info", 9),
        (b"warning", 13),
        (b"warn", 13),
        (b"error", 17),
        (b"fatal", 21),
    ];
    NAMES.iter().find_map(|(name, first)| {
        let (head, rest) = text.split_at_checked(name.len())?;
        let step = match rest {
            _ if !head.eq_ignore_ascii_case(name) => return None,
            [] => 0,
            [digit @ b'1'..=b'4'] => usize::from(digit - b'1'),
            _ => return None,
        };
        Some(first + step)
    })
}

/// The severities of the data model as encoded AnyValues: `int_value: n`.
static SEVERITIES: [[u8; 2]; 25] = {
    let mut all = [[0x18, 0]; 25];
    let mut number = 0u8;
    while (number as usize) < all.len() {
        all[number as usize][1] = number;
        number += 1;
    }
    all
};

impl<'a, S: LogSink<'a>> Items<'a> for Records<'_, 'a, S> {
    type Item = LogRecord<'a>;

    fn forget(&mut self) {
        self.summary = WalkSummary::default();
        self.sink.forget();
    }

    fn resource(&mut self, attributes: &Attributes<'a>) {
        self.sink.resource(attributes);
    }

    fn scope(&mut self, scope: &Scope<'a, '_>) {
        self.sink.scope(scope);
    }

    fn read(
        &mut self,
        message: &'a [u8],
        keys: &KeyTable,
        limits: &WalkLimits,
    ) -> Result<Option<LogRecord<'a>>, WalkError> {
        self.summary.spans += 1;
        if self.summary.spans > u64::from(limits.spans_max) {
            let limit = limits.spans_max;
            return Err(WalkError::TooManyItems { limit });
        }
        self.attributes.clear();
        let record = read(message, &mut self.attributes, keys, limits)?;
        self.put_own(&record, keys, limits);
        self.summary.excess += u64::from(self.attributes.excess());
        if matches!(record.trace_id.len(), 0 | 16) && matches!(record.span_id.len(), 0 | 8) {
            return Ok(Some(record));
        }
        self.summary.rejected += 1;
        Ok(None)
    }

    fn tell(&mut self, record: &LogRecord<'a>, _: &KeyTable, _: &WalkLimits) -> Result<(), WalkError> {
        self.sink.record(record, &self.attributes);
        Ok(())
    }
}

fn read<'a>(
    message: &'a [u8],
    attributes: &mut Attributes<'a>,
    keys: &KeyTable,
    limits: &WalkLimits,
) -> Result<LogRecord<'a>, Malformed> {
    let mut record = LogRecord {
        time_unix_nano: 0,
        observed_time_unix_nano: 0,
        severity_number: 0,
        severity_text: &[],
        body: None,
        event_name: &[],
        trace_id: &[],
        span_id: &[],
        flags: 0,
    };
    let mut fields = Reader::new(message);
    while let Some(tag) = fields.tag()? {
        match tag {
            record::ATTRIBUTES => attributes.take_row(&mut fields, tag, keys, limits)?,
            record::TIME => record.time_unix_nano = fields.fixed64()?,
            record::OBSERVED => record.observed_time_unix_nano = fields.fixed64()?,
            record::SEVERITY => record.severity_number = fields.int32()?,
            record::SEVERITY_TEXT => record.severity_text = fields.bytes()?,
            record::BODY => {
                let body = fields.bytes()?;
                record.body = Some(match record.body {
                    None => AnyValue::new(body),
                    Some(_) => AnyValue::bodies(message),
                });
            }
            record::EVENT_NAME => record.event_name = fields.bytes()?,
            record::TRACE_ID => record.trace_id = fields.bytes()?,
            record::SPAN_ID => record.span_id = fields.bytes()?,
            record::FLAGS => record.flags = fields.fixed32()?,
            record::DROPPED => fields.skip(tag)?,
            _ => fields.skip_unless_known(tag, record::KNOWN)?,
        }
    }
    Ok(record)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_severity_that_is_only_a_text_has_the_number_of_its_name() {
        for (text, number) in [
            ("ERROR", Some(17)),
            ("warning", Some(13)),
            ("Warn", Some(13)),
            ("INFO2", Some(10)),
            ("fatal4", Some(24)),
            ("trace", Some(1)),
            ("", None),
            ("notice", None),
            ("errors", None),
            ("error5", None),
        ] {
            assert_eq!(severity_of(text.as_bytes()), number, "{text}");
        }
    }
}
