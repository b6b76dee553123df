//! `success_codes:`, the allow-list of status codes.
//!
//! A number from 100 to 599 or a class such as `2xx` is an HTTP status; a name such as `NOT_FOUND` or a
//! number from 0 to 16 is a gRPC status. The list decides for the protocols that it names: a gRPC request is
//! judged by conventions when the list holds only HTTP statuses, and so is a request without any status. So a
//! list written for a service's HTTP side does not make every message that the service consumes an error.

use super::defaults::RpcCode;
use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer};
use std::fmt;
use std::ops::RangeInclusive;

/// The status codes that are good.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SuccessCodes {
    http: Vec<RangeInclusive<u16>>,
    rpc: Vec<RpcCode>,
}

impl SuccessCodes {
    /// Whether an HTTP status is good; `None` when the list names no HTTP status.
    pub fn http(&self, status: u16) -> Option<bool> {
        (!self.http.is_empty()).then(|| self.http.iter().any(|range| range.contains(&status)))
    }

    /// Whether a gRPC status is good; `None` when the list names no gRPC status.
    pub fn rpc(&self, code: RpcCode) -> Option<bool> {
        (!self.rpc.is_empty()).then(|| self.rpc.contains(&code))
    }
}

impl<'de> Deserialize<'de> for SuccessCodes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let codes = Vec::<Code>::deserialize(deserializer)?;
        if codes.is_empty() {
            return Err(Error::custom(
                "success_codes is empty, so that no request could ever be good",
            ));
        }
        let mut this = Self::default();
        for code in codes {
            match code {
                Code::Http(range) => this.http.push(range),
                Code::Rpc(code) => this.rpc.push(code),
            }
        }
        Ok(this)
    }
}

/// One entry of the list.
enum Code {
    Http(RangeInclusive<u16>),
    Rpc(RpcCode),
}

impl Code {
    fn from_number(number: i64) -> Option<Self> {
        match u16::try_from(number).ok()? {
            status @ 100..=599 => Some(Self::Http(status..=status)),
            code => RpcCode::from_number(i64::from(code)).map(Self::Rpc),
        }
    }

    fn from_text(text: &str) -> Option<Self> {
        if let [class @ b'1'..=b'5', b'x' | b'X', b'x' | b'X'] = text.as_bytes() {
            let first = u16::from(class - b'0') * 100;
            return Some(Self::Http(first..=first + 99));
        }
        text.parse()
            .ok()
            .and_then(Self::from_number)
            .or_else(|| RpcCode::from_name(text.as_bytes()).map(Self::Rpc))
    }
}

impl<'de> Deserialize<'de> for Code {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct CodeVisitor;
        impl Visitor<'_> for CodeVisitor {
            type Value = Code;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(
                    "an HTTP status (200), a class (\"2xx\"), or a gRPC status (OK, NOT_FOUND, 0 to 16)",
                )
            }

            fn visit_i64<E: Error>(self, number: i64) -> Result<Code, E> {
                Code::from_number(number)
                    .ok_or_else(|| E::invalid_value(serde::de::Unexpected::Signed(number), &self))
            }

            fn visit_u64<E: Error>(self, number: u64) -> Result<Code, E> {
                self.visit_i64(i64::try_from(number).unwrap_or(i64::MAX))
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Code, E> {
                Code::from_text(text).ok_or_else(|| E::invalid_value(serde::de::Unexpected::Str(text), &self))
            }
        }
        deserializer.deserialize_any(CodeVisitor)
    }
}
