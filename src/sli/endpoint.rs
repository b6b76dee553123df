//! The endpoint class of a span, one half of the stratum of the evidence cells.
//!
//! Two variants of a flag may be compared only on like requests, so a request's endpoint must be a class of
//! low cardinality: the route template, the RPC method, or the span's name, which the conventions keep low.
//! Never the path.

use super::SpanContext;
use crate::wire::{AnyValue, KeyTableBuilder, Slot, Value};

/// The slots that an endpoint class is read from.
#[derive(Clone, Copy, Debug)]
pub struct EndpointSlots {
    route: Slot,
    method: Slot,
}

impl EndpointSlots {
    /// Asks `keys` for the slots.
    pub fn compile(keys: &mut KeyTableBuilder) -> Self {
        Self {
            route: keys.key("http.route"),
            method: keys.key("rpc.method"),
        }
    }

    /// `http.route`, else `rpc.method`, else the span's name; empty values and values that are no strings are
    /// passed over.
    pub fn endpoint<'a>(&self, context: &SpanContext<'_, 'a>) -> &'a [u8] {
        text(context.attributes.get(self.route))
            .or_else(|| text(context.attributes.get(self.method)))
            .unwrap_or(context.span.name)
    }
}

fn text(value: Option<AnyValue<'_>>) -> Option<&[u8]> {
    match value?.value() {
        Ok(Value::Str(text)) if !text.is_empty() => Some(text),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sli::testing::{Sample, int, sample, text};

    fn endpoint(sample: &Sample) -> String {
        let mut keys = KeyTableBuilder::default();
        let slots = EndpointSlots::compile(&mut keys);
        let owned = |context: &SpanContext<'_, '_>| slots.endpoint(context).to_vec();
        String::from_utf8(sample.with_context(&keys.build(), owned)).unwrap()
    }

    #[test]
    fn the_route_comes_before_the_method_before_the_name() {
        let named = sample().named("GET /pay");
        assert_eq!(endpoint(&named), "GET /pay");
        let rpc = named.attr("rpc.method", text("Charge"));
        assert_eq!(endpoint(&rpc), "Charge");
        assert_eq!(endpoint(&rpc.attr("http.route", text("/pay/{id}"))), "/pay/{id}");
    }

    #[test]
    fn a_route_that_is_empty_or_no_text_is_passed_over() {
        assert_eq!(endpoint(&sample().named("a").attr("http.route", text(""))), "a");
        assert_eq!(endpoint(&sample().named("a").attr("http.route", int(1))), "a");
    }
}
