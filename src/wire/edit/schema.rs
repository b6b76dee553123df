//! OTLP's messages as tables: which fields they know, and in which wire types.
//!
//! prost refuses a field that it knows when its wire type is another one; so must whoever claims to have read
//! a message. Fields of no table are hopped over and kept.

/// What a request carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Request {
    /// An ExportTraceServiceRequest.
    Traces,
    /// An ExportMetricsServiceRequest.
    Metrics,
    /// An ExportLogsServiceRequest.
    Logs,
}

impl Request {
    /// All three.
    pub const ALL: [Self; 3] = [Self::Traces, Self::Metrics, Self::Logs];

    /// What its items are: spans, metrics, records.
    pub const fn item(self) -> Kind {
        match self {
            Self::Traces => Kind::Span,
            Self::Metrics => Kind::Metric,
            Self::Logs => Kind::Record,
        }
    }
}

/// A message of OTLP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Export*ServiceRequest.
    Request,
    /// ResourceSpans, ResourceMetrics, ResourceLogs: alike.
    ResourceItems,
    /// ScopeSpans, ScopeMetrics, ScopeLogs: alike.
    ScopeItems,
    /// Resource.
    Resource,
    /// InstrumentationScope.
    Scope,
    /// Span.
    Span,
    /// Span.Event.
    Event,
    /// Span.Link.
    Link,
    /// Status of a span.
    Status,
    /// Metric.
    Metric,
    /// Gauge and Summary.
    Gauge,
    /// Sum.
    Sum,
    /// Histogram and ExponentialHistogram.
    Histogram,
    /// NumberDataPoint.
    NumberPoint,
    /// HistogramDataPoint.
    HistogramPoint,
    /// ExponentialHistogramDataPoint.
    ExponentialPoint,
    /// SummaryDataPoint.
    SummaryPoint,
    /// LogRecord.
    Record,
}

/// Highest field number of any table, and one.
const FIELDS: usize = 24;

/// Wire types as bits.
const VARINT: u8 = 1;
const FIXED64: u8 = 1 << 1;
const LEN: u8 = 1 << 2;
const FIXED32: u8 = 1 << 5;
/// A repeated number: in one piece or one by one.
const PACKED_FIXED64: u8 = LEN | FIXED64;

/// Wire types by field number; 0 is a field that the message does not know.
#[derive(Debug)]
pub(super) struct Shape([u8; FIELDS]);

impl Shape {
    const fn new(fields: &[(usize, u8)]) -> Self {
        let mut wires = [0; FIELDS];
        let mut nth = 0;
        while nth < fields.len() {
            wires[fields[nth].0] = fields[nth].1;
            nth += 1;
        }
        Self(wires)
    }

    /// The wire types of field `number`, as bits; 0 where it is unknown.
    #[inline]
    pub(super) fn wires(&self, number: u64) -> u8 {
        let index = usize::try_from(number).unwrap_or(FIELDS);
        self.0.get(index).copied().unwrap_or(0)
    }
}

static REQUEST: Shape = Shape::new(&[(1, LEN)]);
/// Of ResourceX and ScopeX both: what they are about, what they hold, the schema's URL.
static ENVELOPE: Shape = Shape::new(&[(1, LEN), (2, LEN), (3, LEN)]);
static RESOURCE: Shape = Shape::new(&[(1, LEN), (2, VARINT), (3, LEN)]);
static SCOPE: Shape = Shape::new(&[(1, LEN), (2, LEN), (3, LEN), (4, VARINT)]);
static SPAN: Shape = Shape::new(&[
    (1, LEN),
    (2, LEN),
    (3, LEN),
    (4, LEN),
    (5, LEN),
    (6, VARINT),
    (7, FIXED64),
    (8, FIXED64),
    (9, LEN),
    (10, VARINT),
    (11, LEN),
    (12, VARINT),
    (13, LEN),
    (14, VARINT),
    (15, LEN),
    (16, FIXED32),
]);
static EVENT: Shape = Shape::new(&[(1, FIXED64), (2, LEN), (3, LEN), (4, VARINT)]);
static LINK: Shape = Shape::new(&[(1, LEN), (2, LEN), (3, LEN), (4, LEN), (5, VARINT), (6, FIXED32)]);
static STATUS: Shape = Shape::new(&[(2, LEN), (3, VARINT)]);
static METRIC: Shape = Shape::new(&[
    (1, LEN),
    (2, LEN),
    (3, LEN),
    (5, LEN),
    (7, LEN),
    (9, LEN),
    (10, LEN),
    (11, LEN),
    (12, LEN),
]);
static GAUGE: Shape = Shape::new(&[(1, LEN)]);
static SUM: Shape = Shape::new(&[(1, LEN), (2, VARINT), (3, VARINT)]);
static HISTOGRAM: Shape = Shape::new(&[(1, LEN), (2, VARINT)]);
static NUMBER_POINT: Shape = Shape::new(&[
    (2, FIXED64),
    (3, FIXED64),
    (4, FIXED64),
    (5, LEN),
    (6, FIXED64),
    (7, LEN),
    (8, VARINT),
]);
static HISTOGRAM_POINT: Shape = Shape::new(&[
    (2, FIXED64),
    (3, FIXED64),
    (4, FIXED64),
    (5, FIXED64),
    (6, PACKED_FIXED64),
    (7, PACKED_FIXED64),
    (8, LEN),
    (9, LEN),
    (10, VARINT),
    (11, FIXED64),
    (12, FIXED64),
]);
static EXPONENTIAL_POINT: Shape = Shape::new(&[
    (1, LEN),
    (2, FIXED64),
    (3, FIXED64),
    (4, FIXED64),
    (5, FIXED64),
    (6, VARINT),
    (7, FIXED64),
    (8, LEN),
    (9, LEN),
    (10, VARINT),
    (11, LEN),
    (12, FIXED64),
    (13, FIXED64),
    (14, FIXED64),
]);
static SUMMARY_POINT: Shape = Shape::new(&[
    (2, FIXED64),
    (3, FIXED64),
    (4, FIXED64),
    (5, FIXED64),
    (6, LEN),
    (7, LEN),
    (8, VARINT),
]);
static RECORD: Shape = Shape::new(&[
    (1, FIXED64),
    (2, VARINT),
    (3, LEN),
    (5, LEN),
    (6, LEN),
    (7, VARINT),
    (8, FIXED32),
    (9, LEN),
    (10, LEN),
    (11, FIXED64),
    (12, LEN),
]);

impl Kind {
    pub(super) fn shape(self) -> &'static Shape {
        match self {
            Self::Request => &REQUEST,
            Self::ResourceItems | Self::ScopeItems => &ENVELOPE,
            Self::Resource => &RESOURCE,
            Self::Scope => &SCOPE,
            Self::Span => &SPAN,
            Self::Event => &EVENT,
            Self::Link => &LINK,
            Self::Status => &STATUS,
            Self::Metric => &METRIC,
            Self::Gauge => &GAUGE,
            Self::Sum => &SUM,
            Self::Histogram => &HISTOGRAM,
            Self::NumberPoint => &NUMBER_POINT,
            Self::HistogramPoint => &HISTOGRAM_POINT,
            Self::ExponentialPoint => &EXPONENTIAL_POINT,
            Self::SummaryPoint => &SUMMARY_POINT,
            Self::Record => &RECORD,
        }
    }

    /// The field that holds its attributes; 0 where it has none.
    pub(super) const fn attributes(self) -> u64 {
        match self {
            Self::Resource | Self::ExponentialPoint => 1,
            Self::Scope | Self::Event => 3,
            Self::Link => 4,
            Self::Record => 6,
            Self::NumberPoint | Self::SummaryPoint => 7,
            Self::Span | Self::HistogramPoint => 9,
            _ => 0,
        }
    }

    /// The message of a metric's data field, and that of its points.
    pub(super) const fn of_data(number: u64) -> Option<(Self, Self)> {
        match number {
            5 => Some((Self::Gauge, Self::NumberPoint)),
            7 => Some((Self::Sum, Self::NumberPoint)),
            9 => Some((Self::Histogram, Self::HistogramPoint)),
            10 => Some((Self::Histogram, Self::ExponentialPoint)),
            11 => Some((Self::Gauge, Self::SummaryPoint)),
            _ => None,
        }
    }
}
