//! A profile in the format of `go tool pprof`: gzip over protobuf (`perftools.profiles.Profile`).

use super::profile::{BEYOND, Profile};
use flate2::Compression;
use flate2::write::GzEncoder;
use prost::Message as _;
use std::collections::HashMap;
use std::io::{self, Write as _};

mod proto {
    #![allow(missing_docs, reason = "the names are the format's")]

    #[derive(Clone, PartialEq, prost::Message)]
    pub(in crate::extend) struct Profile {
        #[prost(message, repeated, tag = "1")]
        pub(in crate::extend) sample_type: Vec<ValueType>,
        #[prost(message, repeated, tag = "2")]
        pub(in crate::extend) sample: Vec<Sample>,
        #[prost(message, repeated, tag = "4")]
        pub(in crate::extend) location: Vec<Location>,
        #[prost(message, repeated, tag = "5")]
        pub(in crate::extend) function: Vec<Function>,
        #[prost(string, repeated, tag = "6")]
        pub(in crate::extend) string_table: Vec<String>,
        #[prost(int64, tag = "9")]
        pub(in crate::extend) time_nanos: i64,
        #[prost(int64, tag = "10")]
        pub(in crate::extend) duration_nanos: i64,
        #[prost(message, optional, tag = "11")]
        pub(in crate::extend) period_type: Option<ValueType>,
        #[prost(int64, tag = "12")]
        pub(in crate::extend) period: i64,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub(in crate::extend) struct ValueType {
        #[prost(int64, tag = "1")]
        pub(in crate::extend) kind: i64,
        #[prost(int64, tag = "2")]
        pub(in crate::extend) unit: i64,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub(in crate::extend) struct Sample {
        #[prost(uint64, repeated, tag = "1")]
        pub(in crate::extend) location_id: Vec<u64>,
        #[prost(int64, repeated, tag = "2")]
        pub(in crate::extend) value: Vec<i64>,
        #[prost(message, repeated, tag = "3")]
        pub(in crate::extend) label: Vec<Label>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub(in crate::extend) struct Label {
        #[prost(int64, tag = "1")]
        pub(in crate::extend) key: i64,
        #[prost(int64, tag = "2")]
        pub(in crate::extend) text: i64,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub(in crate::extend) struct Location {
        #[prost(uint64, tag = "1")]
        pub(in crate::extend) id: u64,
        #[prost(message, repeated, tag = "4")]
        pub(in crate::extend) line: Vec<Line>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub(in crate::extend) struct Line {
        #[prost(uint64, tag = "1")]
        pub(in crate::extend) function_id: u64,
        #[prost(int64, tag = "2")]
        pub(in crate::extend) line: i64,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub(in crate::extend) struct Function {
        #[prost(uint64, tag = "1")]
        pub(in crate::extend) id: u64,
        #[prost(int64, tag = "2")]
        pub(in crate::extend) name: i64,
        #[prost(int64, tag = "3")]
        pub(in crate::extend) system_name: i64,
        #[prost(int64, tag = "4")]
        pub(in crate::extend) filename: i64,
    }
}

/// The string table; its first entry is empty, as the format wants it.
struct Strings {
    table: Vec<String>,
    index: HashMap<String, i64>,
}

impl Strings {
    fn new() -> Self {
        let mut strings = Self {
            table: Vec::new(),
            index: HashMap::new(),
        };
        strings.at("");
        strings
    }

    fn at(&mut self, text: &str) -> i64 {
        if let Some(at) = self.index.get(text) {
            return *at;
        }
        let at = i64::try_from(self.table.len()).unwrap_or(0);
        self.table.push(text.to_owned());
        self.index.insert(text.to_owned(), at);
        at
    }
}

/// Ids start at one.
fn id(index: usize) -> u64 {
    index as u64 + 1
}

fn signed(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// The whole file.
pub(super) fn encode(profile: &Profile, period_ns: u64) -> io::Result<Vec<u8>> {
    let mut out = GzEncoder::new(Vec::new(), Compression::default());
    out.write_all(&message(profile, period_ns).encode_to_vec())?;
    out.finish()
}

fn message(profile: &Profile, period_ns: u64) -> proto::Profile {
    let mut strings = Strings::new();
    let mut kind = |kind: &str, unit: &str| proto::ValueType {
        kind: strings.at(kind),
        unit: strings.at(unit),
    };
    let (samples, cpu) = (kind("samples", "count"), kind("cpu", "nanoseconds"));
    let mut message = proto::Profile {
        sample_type: vec![samples, cpu.clone()],
        period_type: Some(cpu),
        period: signed(period_ns),
        time_nanos: profile.began_ns,
        duration_nanos: i64::try_from(profile.took.as_nanos()).unwrap_or(i64::MAX),
        ..proto::Profile::default()
    };
    let mut place = |nth: usize, function: &str, system_name: &str, file: &str, line: u32| {
        message.function.push(proto::Function {
            id: id(nth),
            name: strings.at(function),
            system_name: strings.at(system_name),
            filename: strings.at(file),
        });
        message.location.push(proto::Location {
            id: id(nth),
            line: vec![proto::Line {
                function_id: id(nth),
                line: i64::from(line),
            }],
        });
    };
    for (nth, it) in profile.places.iter().enumerate() {
        place(nth, &it.function, &it.system_name, &it.file, it.line);
    }
    if profile.beyond > 0 {
        place(profile.places.len(), BEYOND, BEYOND, "", 0);
        message.sample.push(proto::Sample {
            location_id: vec![id(profile.places.len())],
            value: values(profile.beyond, period_ns),
            label: Vec::new(),
        });
    }
    let thread = strings.at("thread");
    for (stack, count) in &profile.stacks {
        message.sample.push(proto::Sample {
            location_id: stack.places.iter().map(|place| id(*place)).collect(),
            value: values(*count, period_ns),
            label: vec![proto::Label {
                key: thread,
                text: strings.at(&stack.thread),
            }],
        });
    }
    message.string_table = strings.table;
    message
}

/// Samples, and the CPU time that they stand for.
fn values(count: u64, period_ns: u64) -> Vec<i64> {
    vec![signed(count), signed(count.saturating_mul(period_ns))]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::extend::profile::tests::small;
    use std::io::Read as _;

    #[test]
    #[allow(clippy::disallowed_methods, reason = "our own format's oracle")]
    fn what_is_written_can_be_read_again() {
        let mut profile = small();
        profile.beyond = 2;
        let file = encode(&profile, 10_000_000).unwrap();
        let mut bytes = Vec::new();
        flate2::read::GzDecoder::new(&file[..])
            .read_to_end(&mut bytes)
            .unwrap();
        let read = proto::Profile::decode(&bytes[..]).unwrap();
        let text = |at: i64| read.string_table[usize::try_from(at).unwrap()].as_str();
        assert_eq!(text(0), "");
        let types: Vec<_> = read
            .sample_type
            .iter()
            .map(|it| (text(it.kind), text(it.unit)))
            .collect();
        assert_eq!(types, [("samples", "count"), ("cpu", "nanoseconds")]);
        let function = |location: u64| {
            let location = read.location.iter().find(|it| it.id == location).unwrap();
            let function = read
                .function
                .iter()
                .find(|it| it.id == location.line[0].function_id)
                .unwrap();
            text(function.name)
        };
        let mut samples: Vec<_> = read
            .sample
            .iter()
            .map(|it| {
                (
                    it.location_id.iter().map(|id| function(*id)).collect::<Vec<_>>(),
                    it.value.clone(),
                )
            })
            .collect();
        samples.sort();
        assert_eq!(
            samples,
            [
                (vec![BEYOND], vec![2, 20_000_000]),
                (vec!["walk<T>", "work", "main"], vec![1, 10_000_000]),
                (vec!["work", "main"], vec![3, 30_000_000]),
            ]
        );
        assert_eq!(
            (read.period, read.duration_nanos, read.time_nanos),
            (10_000_000, 2_000_000_000, 1_000)
        );
    }
}
