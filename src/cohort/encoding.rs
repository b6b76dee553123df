//! Cohort keys and objective names as bytes.
//!
//! The registry looks cohorts up by these bytes and the store keeps them as its dictionary, so the encoding
//! must be injective: it is positional and every part carries its length, so that no value, whatever it
//! contains, can imitate another key. A missing part has a length of its own and differs from an empty part.
//! Rejected: joining with a separator, which any sender can put into a name; serde formats, which pin the
//! store to the names of our fields.
//!
//! Layout: version, tag, then the parts of the tag; a part is a little-endian u32 length (`u32::MAX`:
//! missing) and its bytes.

use super::{CohortKey, Level, Stratum};
use crate::sli::ObjectiveName;
use std::sync::Arc;

/// First byte of every encoding.
pub const ENCODING_VERSION: u8 = 1;

const MISSING: u32 = u32::MAX;

const TAG_TOTAL: u8 = 0;
const TAG_DEPLOYMENT: u8 = 1;
const TAG_FLAG: u8 = 2;
const TAG_OVERFLOW: u8 = 3;
const TAG_ROUTE: u8 = 4;
const TAG_OBJECTIVE: u8 = 16;
const TAG_STRATUM: u8 = 17;

/// Why bytes are not an encoded key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The encoding is of another version.
    #[error("encoding version {0} is not known; this build reads version {ENCODING_VERSION}")]
    Version(u8),
    /// The tag is not one of the type that was asked for.
    #[error("tag {0} is not one of the expected type")]
    Tag(u8),
    /// The bytes end early or go on after the last part.
    #[error("the length does not fit the parts")]
    Length,
    /// A part is not UTF-8, or is missing where it must be there.
    #[error("a part is missing or not UTF-8")]
    Part,
}

/// A cohort by reference, so that a lookup builds no key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CohortRef<'a> {
    /// `service.name`.
    pub service: &'a str,
    /// The environment, if any.
    pub environment: Option<&'a str>,
    /// The cut.
    pub level: LevelRef<'a>,
}

/// [`Level`] by reference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LevelRef<'a> {
    /// See [`Level::Total`].
    Total,
    /// See [`Level::Deployment`].
    Deployment(&'a str),
    /// See [`Level::Flag`].
    Flag {
        /// The deployment, if the events name one.
        sha: Option<&'a str>,
        /// The flag's key.
        flag: &'a str,
        /// The normalised variant.
        variant: &'a str,
    },
    /// See [`Level::Route`].
    Route(&'a str),
    /// See [`Level::Overflow`].
    Overflow,
}

impl CohortKey {
    /// This key by reference.
    pub fn as_ref(&self) -> CohortRef<'_> {
        let level = match &self.level {
            Level::Total => LevelRef::Total,
            Level::Deployment { sha } => LevelRef::Deployment(sha),
            Level::Flag { sha, flag, variant } => LevelRef::Flag {
                sha: sha.as_deref(),
                flag,
                variant,
            },
            Level::Route { route } => LevelRef::Route(route),
            Level::Overflow => LevelRef::Overflow,
        };
        CohortRef {
            service: &self.service,
            environment: self.environment.as_deref(),
            level,
        }
    }

    /// Appends the versioned bytes of this key.
    pub fn encode(&self, out: &mut Vec<u8>) {
        self.as_ref().encode(out);
    }

    /// Reads what [`Self::encode`] wrote.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let (tag, mut parts) = Parts::open(bytes)?;
        let service = parts.required()?;
        let environment = parts.optional()?;
        let level = match tag {
            TAG_TOTAL => Level::Total,
            TAG_DEPLOYMENT => Level::Deployment {
                sha: parts.required()?,
            },
            TAG_FLAG => Level::Flag {
                sha: parts.optional()?,
                flag: parts.required()?,
                variant: parts.required()?,
            },
            TAG_ROUTE => Level::Route {
                route: parts.required()?,
            },
            TAG_OVERFLOW => Level::Overflow,
            other => return Err(DecodeError::Tag(other)),
        };
        parts.close()?;
        Ok(Self {
            service,
            environment,
            level,
        })
    }
}

impl CohortRef<'_> {
    /// Appends the versioned bytes of this key; equal to those of the [`CohortKey`] it refers to.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let tag = match self.level {
            LevelRef::Total => TAG_TOTAL,
            LevelRef::Deployment(_) => TAG_DEPLOYMENT,
            LevelRef::Flag { .. } => TAG_FLAG,
            LevelRef::Route(_) => TAG_ROUTE,
            LevelRef::Overflow => TAG_OVERFLOW,
        };
        out.extend_from_slice(&[ENCODING_VERSION, tag]);
        put(out, Some(self.service));
        put(out, self.environment);
        match self.level {
            LevelRef::Total | LevelRef::Overflow => {}
            LevelRef::Deployment(part) | LevelRef::Route(part) => put(out, Some(part)),
            LevelRef::Flag { sha, flag, variant } => {
                put(out, sha);
                put(out, Some(flag));
                put(out, Some(variant));
            }
        }
    }

    /// An owned copy.
    pub fn to_key(&self) -> CohortKey {
        let level = match self.level {
            LevelRef::Total => Level::Total,
            LevelRef::Deployment(sha) => Level::Deployment { sha: sha.into() },
            LevelRef::Flag { sha, flag, variant } => Level::Flag {
                sha: sha.map(Arc::from),
                flag: flag.into(),
                variant: variant.into(),
            },
            LevelRef::Route(route) => Level::Route { route: route.into() },
            LevelRef::Overflow => Level::Overflow,
        };
        CohortKey {
            service: self.service.into(),
            environment: self.environment.map(Arc::from),
            level,
        }
    }
}

/// Appends the versioned bytes of an objective's name.
pub fn encode_objective(service: &str, slo: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(&[ENCODING_VERSION, TAG_OBJECTIVE]);
    put(out, Some(service));
    put(out, Some(slo));
}

/// Reads what [`encode_objective`] wrote.
pub fn decode_objective(bytes: &[u8]) -> Result<ObjectiveName, DecodeError> {
    let (tag, mut parts) = Parts::open(bytes)?;
    if tag != TAG_OBJECTIVE {
        return Err(DecodeError::Tag(tag));
    }
    let name = ObjectiveName {
        service: parts.required()?,
        slo: parts.required()?,
    };
    parts.close()?;
    Ok(name)
}

/// Appends the versioned bytes of a stratum.
pub fn encode_stratum(endpoint: &str, region: Option<&str>, out: &mut Vec<u8>) {
    out.extend_from_slice(&[ENCODING_VERSION, TAG_STRATUM]);
    put(out, Some(endpoint));
    put(out, region);
}

/// Reads what [`encode_stratum`] wrote.
pub fn decode_stratum(bytes: &[u8]) -> Result<Stratum, DecodeError> {
    let (tag, mut parts) = Parts::open(bytes)?;
    if tag != TAG_STRATUM {
        return Err(DecodeError::Tag(tag));
    }
    let stratum = Stratum {
        endpoint: parts.required()?,
        region: parts.optional()?,
    };
    parts.close()?;
    Ok(stratum)
}

/// Writes one part. Parts come from requests of a few MiB; one that did not fit the length would be written
/// as the longest prefix on a character boundary, so the bytes always decode.
fn put(out: &mut Vec<u8>, part: Option<&str>) {
    let Some(part) = part else {
        out.extend_from_slice(&MISSING.to_le_bytes());
        return;
    };
    let most = usize::try_from(MISSING - 1).unwrap_or(usize::MAX);
    let part = &part[..part.floor_char_boundary(most)];
    let len = u32::try_from(part.len()).unwrap_or(MISSING - 1);
    out.extend_from_slice(&len.to_le_bytes());
    out.extend_from_slice(part.as_bytes());
}

/// The parts behind version and tag.
struct Parts<'a>(&'a [u8]);

impl<'a> Parts<'a> {
    fn open(bytes: &'a [u8]) -> Result<(u8, Self), DecodeError> {
        match bytes {
            [ENCODING_VERSION, tag, rest @ ..] => Ok((*tag, Self(rest))),
            [ENCODING_VERSION] | [] => Err(DecodeError::Length),
            [version, ..] => Err(DecodeError::Version(*version)),
        }
    }

    fn optional(&mut self) -> Result<Option<Arc<str>>, DecodeError> {
        let (len, rest) = self.0.split_first_chunk::<4>().ok_or(DecodeError::Length)?;
        self.0 = rest;
        let len = u32::from_le_bytes(*len);
        if len == MISSING {
            return Ok(None);
        }
        let len = usize::try_from(len).map_err(|_| DecodeError::Length)?;
        let (part, rest) = self.0.split_at_checked(len).ok_or(DecodeError::Length)?;
        self.0 = rest;
        let part = std::str::from_utf8(part).map_err(|_| DecodeError::Part)?;
        Ok(Some(part.into()))
    }

    fn required(&mut self) -> Result<Arc<str>, DecodeError> {
        self.optional()?.ok_or(DecodeError::Part)
    }

    fn close(&self) -> Result<(), DecodeError> {
        if self.0.is_empty() {
            Ok(())
        } else {
            Err(DecodeError::Length)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn part() -> impl Strategy<Value = String> {
        prop_oneof![Just(String::new()), "[a-c\u{0}\u{1}=,/]{0,4}", any::<String>()]
    }

    fn key() -> impl Strategy<Value = CohortKey> {
        let level = prop_oneof![
            Just(Level::Total),
            Just(Level::Overflow),
            part().prop_map(|sha| Level::Deployment { sha: sha.into() }),
            part().prop_map(|route| Level::Route { route: route.into() }),
            (proptest::option::of(part()), part(), part()).prop_map(|(sha, flag, variant)| Level::Flag {
                sha: sha.map(Arc::from),
                flag: flag.into(),
                variant: variant.into()
            }),
        ];
        (part(), proptest::option::of(part()), level).prop_map(|(service, environment, level)| CohortKey {
            service: service.into(),
            environment: environment.map(Arc::from),
            level,
        })
    }

    fn bytes(key: &CohortKey) -> Vec<u8> {
        let mut out = Vec::new();
        key.encode(&mut out);
        out
    }

    proptest! {
        #[test]
        fn a_key_survives_its_bytes(key in key()) {
            prop_assert_eq!(CohortKey::decode(&bytes(&key)), Ok(key));
        }

        #[test]
        fn different_keys_have_different_bytes(a in key(), b in key()) {
            prop_assert_eq!(a == b, bytes(&a) == bytes(&b));
        }

        #[test]
        fn any_bytes_decode_or_are_refused(raw in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = (CohortKey::decode(&raw), decode_objective(&raw), decode_stratum(&raw));
        }

        #[test]
        fn a_cut_encoding_is_refused(key in key(), cut in 1usize..8) {
            let whole = bytes(&key);
            prop_assert!(CohortKey::decode(&whole[..whole.len().saturating_sub(cut)]).is_err());
        }
    }

    #[test]
    fn a_missing_part_is_not_an_empty_part() {
        let with = |environment: Option<&str>| {
            let mut out = Vec::new();
            CohortRef {
                service: "s",
                environment,
                level: LevelRef::Total,
            }
            .encode(&mut out);
            out
        };
        assert_ne!(with(None), with(Some("")));
    }

    #[test]
    fn the_bytes_are_pinned_since_stores_keep_them() {
        let mut out = Vec::new();
        CohortRef {
            service: "ab",
            environment: None,
            level: LevelRef::Deployment("c"),
        }
        .encode(&mut out);
        assert_eq!(
            out,
            [1, 1, 2, 0, 0, 0, b'a', b'b', 255, 255, 255, 255, 1, 0, 0, 0, b'c']
        );
    }

    #[test]
    fn objectives_and_strata_survive_their_bytes() {
        let mut out = Vec::new();
        encode_objective("checkout", "availability", &mut out);
        let name = ObjectiveName {
            service: "checkout".into(),
            slo: "availability".into(),
        };
        assert_eq!(decode_objective(&out), Ok(name));
        assert_eq!(CohortKey::decode(&out), Err(DecodeError::Tag(TAG_OBJECTIVE)));
        out.clear();
        encode_stratum("GET /", None, &mut out);
        assert_eq!(
            decode_stratum(&out),
            Ok(Stratum {
                endpoint: "GET /".into(),
                region: None
            })
        );
        out[0] = 9;
        assert_eq!(decode_stratum(&out), Err(DecodeError::Version(9)));
    }
}
