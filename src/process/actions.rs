//! The actions of `resource` and `attributes`, compiled, and carried out on one map.

use super::ProcessError;
use super::client::ClientField;
use super::edits::{Halt, held};
use super::error::problem;
use super::text::as_text;
use crate::config::{Action, ActionKind, ConvertTo, Origin};
use crate::pipeline::Batch;
use crate::wire::edit::{Held, Map};
use crate::wire::{AnyValue, Value};
use regex::bytes::Regex;
use sha2::{Digest, Sha256};

/// All actions of a processor.
#[derive(Debug)]
pub(super) struct Actions {
    list: Vec<Compiled>,
    /// What `from_context` names; resolved once a batch.
    client: Vec<ClientField>,
}

#[derive(Debug)]
enum Compiled {
    Set {
        key: Box<[u8]>,
        from: From,
        only: Only,
    },
    Delete(Keys),
    Hash(Keys),
    Extract {
        key: Box<[u8]>,
        regex: Regex,
        groups: Vec<(usize, Box<[u8]>)>,
    },
    Convert {
        key: Box<[u8]>,
        to: ConvertTo,
    },
}

/// When a value is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Only {
    Always,
    Absent,
    Present,
}

#[derive(Debug)]
enum From {
    Value(Held<'static>),
    Attribute(Box<[u8]>),
    /// Index into what the client's context gave.
    Client(usize),
}

/// Keys by name, by pattern, or both.
#[derive(Debug)]
struct Keys {
    key: Option<Box<[u8]>>,
    pattern: Option<Regex>,
}

impl Keys {
    fn has(&self, key: &[u8]) -> bool {
        self.key.as_deref() == Some(key) || self.pattern.as_ref().is_some_and(|regex| regex.is_match(key))
    }
}

/// What is known of one batch's client, in the order of [`Actions::client`].
pub(super) type Client = Vec<Option<Held<'static>>>;

impl Actions {
    pub(super) fn new(id: &str, actions: &[Action]) -> Result<Self, ProcessError> {
        let mut it = Self {
            list: Vec::new(),
            client: Vec::new(),
        };
        let mut problems = Vec::new();
        for (nth, action) in actions.iter().enumerate() {
            match it.compile(&action.kind) {
                Ok(compiled) => it.list.push(compiled),
                Err(message) => {
                    let path = format!("processors.{id}: action {}", nth + 1);
                    problems.push(problem(Some(action.at), path, message));
                }
            }
        }
        if problems.is_empty() {
            Ok(it)
        } else {
            Err(ProcessError { problems })
        }
    }

    fn compile(&mut self, kind: &ActionKind) -> Result<Compiled, String> {
        let mut set = |key: &str, from: &Origin, only| {
            Ok(Compiled::Set {
                key: key.as_bytes().into(),
                from: self.origin(from)?,
                only,
            })
        };
        match kind {
            ActionKind::Insert { key, from } => set(key, from, Only::Absent),
            ActionKind::Update { key, from } => set(key, from, Only::Present),
            ActionKind::Upsert { key, from } => set(key, from, Only::Always),
            ActionKind::Delete { key, pattern } => {
                Ok(Compiled::Delete(keys(key.as_deref(), pattern.as_deref())?))
            }
            ActionKind::Hash { key, pattern } => {
                Ok(Compiled::Hash(keys(key.as_deref(), pattern.as_deref())?))
            }
            ActionKind::Extract { key, pattern } => {
                let regex = compiled(pattern)?;
                let groups = regex.capture_names().enumerate();
                let groups = groups
                    .filter_map(|(nth, name)| Some((nth, name?.as_bytes().into())))
                    .collect();
                Ok(Compiled::Extract {
                    key: key.as_bytes().into(),
                    regex,
                    groups,
                })
            }
            ActionKind::Convert { key, to } => Ok(Compiled::Convert {
                key: key.as_bytes().into(),
                to: *to,
            }),
        }
    }

    fn origin(&mut self, from: &Origin) -> Result<From, String> {
        Ok(match from {
            Origin::Value(value) => From::Value(held(value)),
            Origin::Attribute(key) => From::Attribute(key.as_bytes().into()),
            Origin::Context(name) => {
                self.client.push(ClientField::read(name)?);
                From::Client(self.client.len() - 1)
            }
        })
    }

    /// What the client's context gives for this batch.
    pub(super) fn client(&self, batch: &Batch) -> Client {
        let text = |field: &ClientField| field.of(batch).map(|text| Held::text(text.as_bytes()));
        self.client.iter().map(text).collect()
    }

    /// Carries all of them out, in order.
    pub(super) fn apply<'a>(&'a self, map: &mut Map<'a>, client: &'a Client) -> Result<(), Halt> {
        for action in &self.list {
            action.apply(map, client)?;
        }
        Ok(())
    }
}

impl Compiled {
    fn apply<'a>(&'a self, map: &mut Map<'a>, client: &'a Client) -> Result<(), Halt> {
        match self {
            Self::Set { key, from, only } => {
                let wanted = match only {
                    Only::Always => true,
                    Only::Absent => map.get(key).is_none(),
                    Only::Present => map.get(key).is_some(),
                };
                if !wanted {
                    return Ok(());
                }
                let value = match from {
                    From::Value(value) => Some(Held::Wire(value.any())),
                    From::Attribute(other) => map.held(other),
                    From::Client(index) => client
                        .get(*index)
                        .and_then(Option::as_ref)
                        .map(|value| Held::Wire(value.any())),
                };
                if let Some(value) = value {
                    map.set(&key[..], value);
                }
            }
            Self::Delete(keys) => map.retain(|key| !keys.has(key)),
            Self::Hash(keys) => {
                let mut broken = false;
                map.change_each(|key, value| {
                    keys.has(key).then(|| hash(value)).and_then(|hashed| {
                        broken |= hashed.is_none();
                        hashed
                    })
                });
                if broken {
                    return Err(Halt::Malformed);
                }
            }
            Self::Extract { key, regex, groups } => {
                let found = extract(map, key, regex, groups)?;
                for (name, value) in found {
                    map.set(name, value);
                }
            }
            Self::Convert { key, to } => {
                if let Some(value) = map.get(key)
                    && let Some(value) = convert(value, *to)?
                {
                    map.set(&key[..], value);
                }
            }
        }
        Ok(())
    }
}

fn compiled(pattern: &str) -> Result<Regex, String> {
    Regex::new(pattern).map_err(|error| format!("not a regular expression: {error}"))
}

fn keys(key: Option<&str>, pattern: Option<&str>) -> Result<Keys, String> {
    Ok(Keys {
        key: key.map(|key| key.as_bytes().into()),
        pattern: pattern.map(compiled).transpose()?,
    })
}

/// The SHA-256 of a value, as text in hexadecimal: of a text its bytes, of a number its eight bytes (little
/// endian), of a truth one byte, of lists and maps their encoding. Nothing hashes to nothing.
fn hash(value: AnyValue<'_>) -> Option<Held<'static>> {
    let digest = |bytes: &[u8]| {
        let text = if bytes.is_empty() {
            String::new()
        } else {
            hex::encode(Sha256::digest(bytes))
        };
        Held::text(text.as_bytes())
    };
    Some(match value.value().ok()? {
        Value::Empty => digest(&[]),
        Value::Str(bytes) | Value::Bytes(bytes) => digest(bytes),
        Value::Bool(yes) => digest(&[u8::from(yes)]),
        Value::Int(number) => digest(&number.to_le_bytes()),
        Value::Double(number) => digest(&number.to_le_bytes()),
        Value::Array(_) | Value::KvList(_) => digest(&value.encoded()),
    })
}

type Extracted<'a> = Vec<(&'a [u8], Held<'a>)>;

/// The named groups of `regex` in the text of `key`.
fn extract<'a>(
    map: &Map<'a>,
    key: &[u8],
    regex: &Regex,
    groups: &'a [(usize, Box<[u8]>)],
) -> Result<Extracted<'a>, Halt> {
    let Some(value) = map.get(key) else {
        return Ok(Vec::new());
    };
    let Value::Str(text) = value.value()? else {
        return Ok(Vec::new());
    };
    let Some(captures) = regex.captures(text) else {
        return Ok(Vec::new());
    };
    let group = |(nth, name): &'a (usize, Box<[u8]>)| {
        let text = captures.get(*nth).map_or(&[][..], |found| found.as_bytes());
        (&name[..], Held::text(text))
    };
    Ok(groups.iter().map(group).collect())
}

/// The value in another type; `None` when it has that type, or cannot have it.
#[allow(
    clippy::cast_possible_truncation,
    reason = "a double is cut to a whole number, as the Collector does"
)]
fn convert(value: AnyValue<'_>, to: ConvertTo) -> Result<Option<Held<'static>>, Halt> {
    let read = value.value()?;
    let text = |bytes| std::str::from_utf8(bytes).ok();
    Ok(match (to, read) {
        (ConvertTo::Int, Value::Str(bytes)) => text(bytes).and_then(|text| text.parse().ok()).map(Held::int),
        (ConvertTo::Int, Value::Double(number)) => Some(Held::int(number as i64)),
        (ConvertTo::Int, Value::Bool(yes)) => Some(Held::int(i64::from(yes))),
        (ConvertTo::Double, Value::Str(bytes)) => {
            text(bytes).and_then(|text| text.parse().ok()).map(Held::double)
        }
        (ConvertTo::Double, Value::Int(number)) => Some(Held::double(number as f64)),
        (ConvertTo::Double, Value::Bool(yes)) => Some(Held::double(f64::from(u8::from(yes)))),
        (ConvertTo::Text, Value::Str(_)) => None,
        (ConvertTo::Text, _) => Some(Held::text(&as_text(value)?)),
        _ => None,
    })
}
