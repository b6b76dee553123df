//! Counting what is not judged yet: data points of metrics and records of logs.
//!
//! An answer to an exporter says how many items were taken, so the items are counted, and found to be framed
//! as the message they claim to be. Their insides are hopped over.

use super::reader::{Reader, fixed32, fixed64, len, varint};
use super::{Malformed, WalkError, WalkLimits};

/// What a request of metrics or logs holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ItemSummary {
    /// Data points or log records in the request, rejected ones included.
    pub items: u64,
    /// Log records with an id of a wrong length.
    pub rejected: u64,
}

impl ItemSummary {
    fn add(&mut self, items: u64, limits: &WalkLimits) -> Result<(), WalkError> {
        self.items = self.items.saturating_add(items);
        if self.items > u64::from(limits.spans_max) {
            return Err(WalkError::TooManyItems {
                limit: limits.spans_max,
            });
        }
        Ok(())
    }
}

mod metric {
    use super::len;
    pub(super) const NAME: u64 = len(1);
    pub(super) const DESCRIPTION: u64 = len(2);
    pub(super) const UNIT: u64 = len(3);
    pub(super) const GAUGE: u64 = len(5);
    pub(super) const SUM: u64 = len(7);
    pub(super) const HISTOGRAM: u64 = len(9);
    pub(super) const EXPONENTIAL_HISTOGRAM: u64 = len(10);
    pub(super) const SUMMARY: u64 = len(11);
    pub(super) const METADATA: u64 = len(12);
    pub(super) const KNOWN: u32 = 0b1_1110_1010_1110;
}
mod data {
    use super::{len, varint};
    pub(super) const POINTS: u64 = len(1);
    pub(super) const TEMPORALITY: u64 = varint(2);
    pub(super) const IS_MONOTONIC: u64 = varint(3);
    pub(super) const GAUGE_KNOWN: u32 = 0b10;
    pub(super) const SUM_KNOWN: u32 = 0b1110;
    pub(super) const HISTOGRAM_KNOWN: u32 = 0b110;
}
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

/// Counts the data points of an ExportMetricsServiceRequest.
pub fn count_metric_points(request: &[u8], limits: &WalkLimits) -> Result<ItemSummary, WalkError> {
    let mut summary = ItemSummary::default();
    for_each_item(request, |metric| summary.add(points_of_metric(metric)?, limits))?;
    Ok(summary)
}

/// Counts the records of an ExportLogsServiceRequest, and rejects those with a trace or span id of a wrong
/// length.
pub fn count_log_records(request: &[u8], limits: &WalkLimits) -> Result<ItemSummary, WalkError> {
    let mut summary = ItemSummary::default();
    for_each_item(request, |record| {
        summary.add(1, limits)?;
        summary.rejected += u64::from(!ids_of_record_are_valid(record)?);
        Ok(())
    })?;
    Ok(summary)
}

/// The innermost messages of `request { resource_x = 1 { scope_x = 2 { item = 2 } } }`, which all signals
/// share.
fn for_each_item<'a>(
    request: &'a [u8],
    mut item: impl FnMut(&'a [u8]) -> Result<(), WalkError>,
) -> Result<(), WalkError> {
    for_each(request, len(1), 0b10, |resource| {
        for_each(resource, len(2), 0b1110, |scope| {
            for_each(scope, len(2), 0b1110, &mut item)
        })
    })
}

/// Calls `inner` for each field with the whole tag `wanted`. Other known fields of these messages are
/// length-delimited.
fn for_each<'a>(
    message: &'a [u8],
    wanted: u64,
    known: u32,
    mut inner: impl FnMut(&'a [u8]) -> Result<(), WalkError>,
) -> Result<(), WalkError> {
    let mut fields = Reader::new(message);
    while let Some(tag) = fields.tag()? {
        if tag == wanted {
            inner(fields.bytes()?)?;
        } else if tag & 7 == 2 {
            fields.skip(tag)?;
        } else {
            fields.skip_unless_known(tag, known)?;
        }
    }
    Ok(())
}

/// The points of a metric. Its data is a oneof: the same kind again merges, another kind replaces.
fn points_of_metric(message: &[u8]) -> Result<u64, Malformed> {
    let mut kind = 0;
    let mut points = 0u64;
    let mut fields = Reader::new(message);
    while let Some(tag) = fields.tag()? {
        let known = match tag {
            metric::GAUGE | metric::SUMMARY => data::GAUGE_KNOWN,
            metric::SUM => data::SUM_KNOWN,
            metric::HISTOGRAM | metric::EXPONENTIAL_HISTOGRAM => data::HISTOGRAM_KNOWN,
            metric::NAME | metric::DESCRIPTION | metric::UNIT | metric::METADATA => {
                fields.skip(tag)?;
                continue;
            }
            _ => {
                fields.skip_unless_known(tag, metric::KNOWN)?;
                continue;
            }
        };
        if kind != tag {
            kind = tag;
            points = 0;
        }
        points = points.saturating_add(points_of_data(fields.bytes()?, known)?);
    }
    Ok(points)
}

fn points_of_data(message: &[u8], known: u32) -> Result<u64, Malformed> {
    let mut points = 0u64;
    let mut fields = Reader::new(message);
    while let Some(tag) = fields.tag()? {
        match tag {
            data::POINTS => {
                fields.bytes()?;
                points += 1;
            }
            data::TEMPORALITY | data::IS_MONOTONIC => fields.skip(tag)?,
            _ => fields.skip_unless_known(tag, known)?,
        }
    }
    Ok(points)
}

fn ids_of_record_are_valid(message: &[u8]) -> Result<bool, Malformed> {
    let mut trace_id: &[u8] = &[];
    let mut span_id: &[u8] = &[];
    let mut fields = Reader::new(message);
    while let Some(tag) = fields.tag()? {
        match tag {
            record::TRACE_ID => trace_id = fields.bytes()?,
            record::SPAN_ID => span_id = fields.bytes()?,
            record::TIME
            | record::SEVERITY
            | record::SEVERITY_TEXT
            | record::BODY
            | record::ATTRIBUTES
            | record::DROPPED
            | record::FLAGS
            | record::OBSERVED
            | record::EVENT_NAME => fields.skip(tag)?,
            _ => fields.skip_unless_known(tag, record::KNOWN)?,
        }
    }
    Ok(matches!(trace_id.len(), 0 | 16) && matches!(span_id.len(), 0 | 8))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: WalkLimits = WalkLimits {
        spans_max: 3,
        attributes_max: 4,
        events_max: 2,
        nesting_max: 2,
    };

    /// A length-delimited field.
    fn field(number: u8, content: &[u8]) -> Vec<u8> {
        let length = u8::try_from(content.len()).unwrap();
        [&[number << 3 | 2, length][..], content].concat()
    }

    fn around(item: &[u8]) -> Vec<u8> {
        field(1, &field(2, &field(2, item)))
    }

    fn points(metric: &[u8]) -> Result<u64, WalkError> {
        count_metric_points(&around(metric), &LIMITS).map(|summary| summary.items)
    }

    #[test]
    fn points_of_all_five_kinds_count() {
        for kind in [5, 7, 9, 10, 11] {
            assert_eq!(points(&field(kind, &[0x0a, 0, 0x0a, 0])), Ok(2), "kind {kind}");
        }
    }

    #[test]
    fn same_kind_again_merges_and_another_replaces() {
        let (gauge, sum) = (field(5, &[0x0a, 0]), field(7, &[0x0a, 0]));
        assert_eq!(points(&[&gauge[..], &gauge].concat()), Ok(2));
        assert_eq!(points(&[&gauge[..], &gauge, &sum].concat()), Ok(1));
        assert_eq!(points(&[&gauge[..], &sum, &gauge].concat()), Ok(1));
    }

    #[test]
    fn too_many_points_refuse_the_request() {
        assert_eq!(points(&field(5, &[0x0a, 0].repeat(3))), Ok(3));
        assert_eq!(
            points(&field(5, &[0x0a, 0].repeat(4))),
            Err(WalkError::TooManyItems { limit: 3 })
        );
    }

    #[test]
    fn too_many_records_refuse_the_request() {
        let records = |count| field(1, &field(2, &field(2, &[]).repeat(count)));
        let three = ItemSummary {
            items: 3,
            rejected: 0,
        };
        assert_eq!(count_log_records(&records(3), &LIMITS), Ok(three));
        assert_eq!(
            count_log_records(&records(4), &LIMITS),
            Err(WalkError::TooManyItems { limit: 3 })
        );
    }

    #[test]
    fn record_with_a_broken_id_is_rejected_on_its_own() {
        let rejected = |record: &[u8]| count_log_records(&around(record), &LIMITS).unwrap().rejected;
        assert_eq!(rejected(&field(9, &[1; 15])), 1);
        assert_eq!(rejected(&field(10, &[1; 7])), 1);
        assert_eq!(rejected(&[field(9, &[1; 16]), field(10, &[1; 8])].concat()), 0);
        assert_eq!(rejected(&[field(9, &[1; 15]), field(9, &[1; 16])].concat()), 0);
    }

    #[test]
    fn insides_of_points_are_hopped_over() {
        assert_eq!(points(&field(5, &field(1, &[0xff]))), Ok(1));
    }

    #[test]
    fn wrong_wire_types_are_refused() {
        for metric in [
            &[0x08, 1][..],
            &[0x28, 1],
            &field(5, &[0x08, 1]),
            &field(7, &[0x12, 0]),
        ] {
            assert_eq!(points(metric), Err(Malformed.into()), "{metric:02x?}");
        }
        assert_eq!(
            count_log_records(&around(&[0x48, 1]), &LIMITS),
            Err(Malformed.into())
        );
    }
}
