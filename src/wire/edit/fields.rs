//! The fields of items that rules may name, and where each kind of message has them.

use super::schema::Kind;

/// A field of a message that rules read or write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "the fields are those of OTLP")]
#[repr(u8)]
pub enum Field {
    Name,
    Version,
    Description,
    Unit,
    TraceId,
    SpanId,
    ParentSpanId,
    TraceState,
    SpanKind,
    StartTime,
    EndTime,
    Time,
    ObservedTime,
    StatusCode,
    StatusMessage,
    SeverityNumber,
    SeverityText,
    Body,
    EventName,
    Flags,
    DoubleValue,
    IntValue,
    Count,
    Sum,
    Temporality,
    IsMonotonic,
}

impl Field {
    pub(super) const COUNT: usize = 26;

    pub(super) const fn bit(self) -> u32 {
        1 << self as u8
    }
}

impl Kind {
    /// The field behind a number. Those of the messages inside (status, data) have their own kind.
    #[inline]
    pub(super) const fn field(self, number: u64) -> Option<Field> {
        Some(match (self, number) {
            (Self::Span | Self::Link, 1) | (Self::Record, 9) => Field::TraceId,
            (Self::Span | Self::Link, 2) | (Self::Record, 10) => Field::SpanId,
            (Self::Span | Self::Link, 3) => Field::TraceState,
            (Self::Span, 4) => Field::ParentSpanId,
            (Self::Span, 5) | (Self::Event, 2) | (Self::Scope | Self::Metric, 1) => Field::Name,
            (Self::Span, 6) => Field::SpanKind,
            (Self::Span, 7) => Field::StartTime,
            (Self::Span, 8) => Field::EndTime,
            (Self::Span, 16) | (Self::Link, 6) | (Self::Record, 8) => Field::Flags,
            (Self::Status, 2) => Field::StatusMessage,
            (Self::Status, 3) => Field::StatusCode,
            (Self::Event | Self::Record, 1) => Field::Time,
            (Self::Scope, 2) => Field::Version,
            (Self::Metric, 2) => Field::Description,
            (Self::Metric, 3) => Field::Unit,
            (Self::Record, 2) => Field::SeverityNumber,
            (Self::Record, 3) => Field::SeverityText,
            (Self::Record, 5) => Field::Body,
            (Self::Record, 11) => Field::ObservedTime,
            (Self::Record, 12) => Field::EventName,
            (Self::Sum | Self::Histogram, 2) => Field::Temporality,
            (Self::Sum, 3) => Field::IsMonotonic,
            _ => return self.field_of_point(number),
        })
    }

    const fn field_of_point(self, number: u64) -> Option<Field> {
        let number_point = matches!(self, Self::NumberPoint);
        let point = number_point
            || matches!(
                self,
                Self::HistogramPoint | Self::ExponentialPoint | Self::SummaryPoint
            );
        Some(match number {
            2 if point => Field::StartTime,
            3 if point => Field::Time,
            4 if number_point => Field::DoubleValue,
            6 if number_point => Field::IntValue,
            4 if point => Field::Count,
            5 if point && !number_point => Field::Sum,
            8 if matches!(self, Self::NumberPoint | Self::SummaryPoint) => Field::Flags,
            10 if matches!(self, Self::HistogramPoint | Self::ExponentialPoint) => Field::Flags,
            _ => return None,
        })
    }

    /// Number and wire type of a field; `None` where the message does not have it.
    pub(super) fn number(self, field: Field) -> Option<(u64, u64)> {
        (1..=16).find_map(|number| {
            let wires = self.shape().wires(number);
            (self.field(number) == Some(field)).then(|| (number, u64::from(wires.trailing_zeros())))
        })
    }

    /// Whether rules can read or write `field` of this message, in it or in the status or data inside.
    pub fn has(self, field: Field) -> bool {
        let inside: &[Self] = match self {
            Self::Span => &[Self::Status],
            Self::Metric => &[Self::Sum],
            _ => &[],
        };
        self.number(field).is_some() || inside.iter().any(|kind| kind.number(field).is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_have_one_wire_type_and_come_back_from_their_numbers() {
        let mut found = 0;
        for kind in [
            Kind::Scope,
            Kind::Span,
            Kind::Event,
            Kind::Link,
            Kind::Status,
            Kind::Metric,
            Kind::Sum,
            Kind::Histogram,
            Kind::NumberPoint,
            Kind::HistogramPoint,
            Kind::ExponentialPoint,
            Kind::SummaryPoint,
            Kind::Record,
        ] {
            for number in 1..24 {
                let Some(field) = kind.field(number) else { continue };
                let wires = kind.shape().wires(number);
                assert_eq!(wires.count_ones(), 1, "{kind:?} {field:?}");
                assert_eq!(
                    kind.number(field),
                    Some((number, u64::from(wires.trailing_zeros())))
                );
                assert!((field as usize) < Field::COUNT);
                found += 1;
            }
        }
        assert!(found > 50);
        assert!(Kind::Span.has(Field::StatusCode) && !Kind::Span.has(Field::Body));
    }
}
