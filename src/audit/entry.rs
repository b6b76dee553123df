//! One entry: a line of JSON whose last member is the hash of all before it.
//!
//! `{"seq":7,...,"prev":"<hash of entry 6>","hash":"<hash>"}`. The hash is the SHA-256 of the line without
//! its member `hash`, byte by byte as it lies there: `{"seq":7,...,"prev":"..."}`.

use crate::time::UnixNanos;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

/// What stands where an entry before the first would have its hash.
pub const GENESIS: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// Kinds of entries that are no states of decisions.
pub mod kind {
    /// Something happened within a state: an answer, a failed call, a read.
    pub const ANSWER: &str = "answer";
    /// These policies are in use from here on.
    pub const POLICY_LOADED: &str = "policy_loaded";
    /// Somebody corrected a budget's past.
    pub const CORRECTION: &str = "correction";
    /// Somebody took a correction back.
    pub const CORRECTION_WITHDRAWN: &str = "correction_withdrawn";
    /// The oldest entries were dropped, by the configured limits.
    pub const PRUNED: &str = "pruned";
}

/// What a decision is about, in every entry of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[allow(missing_docs, reason = "the fields are the decision's own words")]
pub struct About {
    pub exporter: String,
    pub environment: String,
    pub action: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub flag: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub variant: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub service: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub slo: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub sha: String,
}

/// What happened, before it has its place in the chain.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Draft {
    /// When.
    pub at: UnixNanos,
    /// What: a state of a decision, or one of [`kind`].
    pub kind: String,
    /// The decision, if it is about one.
    pub decision: Option<String>,
    /// Who: `{"kind": "rule"}`, `{"kind": "person", ...}`, `{"kind": "gateway"}`.
    pub actor: Value,
    /// What the decision is about.
    pub about: Option<About>,
    /// The whole state.
    pub state: Option<Value>,
    /// What was said on the way, without secrets.
    pub said: Vec<String>,
    /// The figures that it rests on.
    pub evidence: Option<Value>,
    /// What else belongs to the kind.
    pub facts: Option<Value>,
}

/// An entry as it is read back.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "see Draft")]
pub struct Entry {
    pub seq: u64,
    /// For people; [`Entry::unix_nanos`] is exact.
    pub time: String,
    pub unix_nanos: u64,
    pub kind: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decision: Option<String>,
    pub actor: Value,
    /// SHA-256 of the text of the policies in use.
    pub policy: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub about: Option<About>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<Value>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub said: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evidence: Option<Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub facts: Option<Value>,
    /// The hash of the entry before.
    pub prev: String,
    /// The hash of this one; not among what it covers.
    #[serde(default, skip_serializing)]
    pub hash: String,
}

/// An entry in its place: its line, and its hash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sealed {
    /// The line, without a line break.
    pub line: Vec<u8>,
    /// Its hash, in hex.
    pub hash: String,
}

const HASH_OPENS: &str = ",\"hash\":\"";
const HASH_CLOSES: &str = "\"}";
const HEX_LEN: usize = 64;

impl Draft {
    /// A draft of `kind` by the gateway itself.
    pub fn by_gateway(at: UnixNanos, kind: &str, facts: Value) -> Self {
        Self {
            at,
            kind: kind.to_owned(),
            actor: serde_json::json!({ "kind": "gateway" }),
            facts: Some(facts),
            ..Self::default()
        }
    }

    /// The entry `seq` behind the one whose hash is `prev`.
    pub fn seal(self, seq: u64, policy: &str, prev: &str) -> Result<Sealed, serde_json::Error> {
        let entry = Entry {
            seq,
            time: self.at.to_string(),
            unix_nanos: self.at.0,
            kind: self.kind,
            decision: self.decision,
            actor: self.actor,
            policy: policy.to_owned(),
            about: self.about,
            state: self.state,
            said: self.said,
            evidence: self.evidence,
            facts: self.facts,
            prev: prev.to_owned(),
            hash: String::new(),
        };
        let body = serde_json::to_vec(&entry)?;
        let hash = hash_of(&body);
        let mut line = body;
        line.pop();
        for part in [HASH_OPENS, &hash, HASH_CLOSES] {
            line.extend_from_slice(part.as_bytes());
        }
        Ok(Sealed { line, hash })
    }
}

/// The hash of a line without its member `hash`.
pub(super) fn hash_of(body: &[u8]) -> String {
    hex::encode(Sha256::digest(body))
}

/// What a line's hash must cover, and the hash that it claims; `None` when the line does not end with one.
pub(super) fn split(line: &[u8]) -> Option<(Vec<u8>, &str)> {
    let tail = HASH_OPENS.len() + HEX_LEN + HASH_CLOSES.len();
    let (body, tail) = line.split_at(line.len().checked_sub(tail)?);
    let tail = tail.strip_prefix(HASH_OPENS.as_bytes())?;
    let hash = std::str::from_utf8(tail.strip_suffix(HASH_CLOSES.as_bytes())?).ok()?;
    let is_hex = hash.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    let mut body = body.to_vec();
    body.push(b'}');
    is_hex.then_some((body, hash))
}

impl Entry {
    /// Reads a line, whatever its hash says; see [`super::Verifier`] for that.
    pub fn read(line: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(line)
    }

    /// When it happened.
    pub const fn at(&self) -> UnixNanos {
        UnixNanos(self.unix_nanos)
    }
}
