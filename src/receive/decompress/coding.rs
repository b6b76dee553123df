//! Names of codings, and what they mean.

/// A content coding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::receive) enum Coding {
    /// As it is.
    Identity,
    /// RFC 1952.
    Gzip,
    /// RFC 1950, which HTTP calls `deflate` and the Collector `zlib` as well.
    Zlib,
    /// RFC 8878.
    Zstd,
    /// Snappy, one block or framed; the body tells which.
    Snappy,
    /// Snappy, framed.
    SnappyFramed,
    /// LZ4 frames.
    Lz4,
}

impl Coding {
    /// What `grpc-accept-encoding` says of us.
    pub(in crate::receive) const GRPC: &'static str = "identity,gzip,zstd,snappy";

    /// A coding by its name in `grpc-encoding`; `None` when it is not spoken there.
    pub(in crate::receive) fn of_grpc(name: &[u8]) -> Option<Self> {
        match Self::named(name) {
            Some(coding @ (Self::Identity | Self::Gzip | Self::Zstd | Self::Snappy)) => Some(coding),
            _ => None,
        }
    }

    /// A coding by its name in `Content-Encoding`, if it is among those `taken`; `None` also for stacked
    /// ones.
    pub(in crate::receive) fn of_http(name: &[u8], taken: &[String]) -> Option<Self> {
        let coding = Self::named(name)?;
        let is_taken = |it: &String| Self::named(it.as_bytes()) == Some(coding);
        (coding == Self::Identity || taken.iter().any(is_taken)).then_some(coding)
    }

    fn named(name: &[u8]) -> Option<Self> {
        const NAMES: [(&str, Coding); 10] = [
            ("", Coding::Identity),
            ("identity", Coding::Identity),
            ("gzip", Coding::Gzip),
            ("x-gzip", Coding::Gzip),
            ("zstd", Coding::Zstd),
            ("zlib", Coding::Zlib),
            ("deflate", Coding::Zlib),
            ("snappy", Coding::Snappy),
            ("x-snappy-framed", Coding::SnappyFramed),
            ("lz4", Coding::Lz4),
        ];
        let name = name.trim_ascii();
        NAMES
            .iter()
            .find(|(known, _)| name.eq_ignore_ascii_case(known.as_bytes()))
            .map(|(_, coding)| *coding)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::CODINGS;

    #[test]
    fn every_coding_of_the_configuration_has_a_meaning_and_can_be_left_out() {
        let all = CODINGS.map(str::to_owned);
        for name in CODINGS {
            assert!(
                Coding::of_http(name.to_uppercase().as_bytes(), &all).is_some(),
                "{name}"
            );
            assert_eq!(Coding::of_http(name.as_bytes(), &[]), None, "{name}");
        }
        assert_eq!(Coding::of_http(b"", &[]), Some(Coding::Identity));
        assert_eq!(Coding::of_http(b"gzip, gzip", &all), None);
        assert_eq!(Coding::of_http(b"br", &all), None);
    }

    #[test]
    fn grpc_announces_what_it_speaks() {
        for name in Coding::GRPC.split(',') {
            assert!(Coding::of_grpc(name.as_bytes()).is_some(), "{name}");
        }
        for name in ["lz4", "deflate", "br"] {
            assert_eq!(Coding::of_grpc(name.as_bytes()), None, "{name}");
        }
    }
}
