//! What a batch tells of its client: the values of `from_context`.

use crate::pipeline::Batch;

/// A name of the client's context.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ClientField {
    /// `metadata.<header>`: the values of a header, joined by semicolons.
    Metadata(Box<str>),
    /// `client.address`: where it comes from, without the port.
    Address,
    /// `auth.subject`, `auth.username`: who the receiver's authenticator says that it is.
    Identity,
}

impl ClientField {
    /// The field that `name` means.
    pub(super) fn read(name: &str) -> Result<Self, String> {
        if let Some(header) = name.strip_prefix("metadata.").filter(|header| !header.is_empty()) {
            return Ok(Self::Metadata(header.into()));
        }
        match name {
            "client.address" => Ok(Self::Address),
            "auth.subject" | "auth.username" => Ok(Self::Identity),
            _ => Err(format!(
                "`{name}` is not known of a client; metadata.<header>, client.address, auth.subject and auth.username are"
            )),
        }
    }

    /// Its value, where the receiver keeps it (`include_metadata: true`).
    pub(super) fn of(&self, batch: &Batch) -> Option<String> {
        match self {
            Self::Address => Some(batch.peer?.ip().to_canonical().to_string()),
            Self::Identity => Some(batch.metadata.as_ref()?.identity.as_ref()?.to_string()),
            Self::Metadata(header) => {
                let values: Vec<&str> = batch.metadata.as_ref()?.values(header).collect();
                (!values.is_empty()).then(|| values.join(";"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::{ClientMetadata, Signal};
    use std::sync::Arc;

    #[test]
    fn a_client_is_known_by_what_the_receiver_keeps() {
        let of = |name: &str, batch: &Batch| ClientField::read(name).unwrap().of(batch);
        let mut batch = Batch::new(Signal::Logs, bytes::Bytes::new());
        for name in ["client.address", "auth.subject", "metadata.x-tenant"] {
            assert_eq!(of(name, &batch), None);
        }
        batch.peer = Some("[::ffff:10.0.0.7]:5".parse().unwrap());
        let headers = [("x-tenant", "a"), ("x-tenant", "b")];
        batch.metadata = Some(Arc::new(ClientMetadata {
            headers: headers.map(|(name, value)| (name.into(), value.into())).into(),
            identity: Some("team-a".into()),
        }));
        assert_eq!(of("client.address", &batch).unwrap(), "10.0.0.7");
        assert_eq!(of("auth.username", &batch).unwrap(), "team-a");
        assert_eq!(of("metadata.X-Tenant", &batch).unwrap(), "a;b");
        assert_eq!(of("metadata.other", &batch), None);
        assert!(ClientField::read("auth.tenant").is_err() && ClientField::read("metadata.").is_err());
    }
}
