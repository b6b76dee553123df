//! What a request says about its sender: headers for the authenticator, metadata for processors and
//! exporters.

use super::auth::Claims;
use super::failure::Failure;
use super::gate::Gate;
use crate::pipeline::ClientMetadata;
use http::request::Parts;
use http::{HeaderMap, Uri};
use std::borrow::Cow;
use std::net::SocketAddr;
use std::sync::Arc;

/// Headers that are kept of one request.
const MAX_HEADERS: usize = 64;
/// Bytes of their names and values.
const MAX_BYTES: usize = 16 << 10;

/// The headers, and parameters of the query that count as such.
struct Sent<'a> {
    headers: &'a HeaderMap,
    uri: &'a Uri,
    params: &'a [String],
}

impl Claims for Sent<'_> {
    fn claim(&self, name: &str) -> Option<Cow<'_, str>> {
        let header = self.headers.get(name).and_then(|value| value.to_str().ok());
        if let Some(value) = header.filter(|value| !value.is_empty()) {
            return Some(value.into());
        }
        let is_param = self.params.iter().any(|param| param.eq_ignore_ascii_case(name));
        let query = self.uri.query().filter(|_| is_param)?;
        query.split('&').find_map(|pair| {
            let (key, value) = pair.split_once('=')?;
            key.eq_ignore_ascii_case(name).then(|| decoded(value))
        })
    }
}

/// Percent-encoding undone; what is no UTF-8 after that matches nothing.
fn decoded(value: &str) -> Cow<'_, str> {
    if !value.contains(['%', '+']) {
        return value.into();
    }
    let mut bytes = Vec::with_capacity(value.len());
    let mut rest = value.as_bytes();
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        match (byte, after) {
            (b'%', [high, low, more @ ..]) => {
                let digit = |b: &u8| char::from(*b).to_digit(16);
                let Some((high, low)) = digit(high).zip(digit(low)) else {
                    return Cow::Borrowed("");
                };
                bytes.push(u8::try_from(high << 4 | low).unwrap_or_default());
                rest = more;
            }
            (b'%', _) => return Cow::Borrowed(""),
            (b'+', _) => bytes.push(b' '),
            _ => bytes.push(*byte),
        }
    }
    String::from_utf8(bytes).unwrap_or_default().into()
}

/// Lets a request in, and names its sender where the authenticator does.
pub(super) async fn admit(
    gate: &Gate,
    head: &Parts,
    peer: Option<SocketAddr>,
) -> Result<Option<Box<str>>, Failure> {
    let Some(auth) = &gate.auth else { return Ok(None) };
    let sent = Sent {
        headers: &head.headers,
        uri: &head.uri,
        params: &auth.request_params,
    };
    auth.verifier.verify(&sent, peer.map(|peer| peer.ip())).await
}

/// What batches keep of a request; `None` where nothing is to be kept.
pub(super) fn metadata(
    head: &Parts,
    include: bool,
    identity: Option<Box<str>>,
) -> Option<Arc<ClientMetadata>> {
    if !include && identity.is_none() {
        return None;
    }
    let mut headers = Vec::new();
    if include {
        let mut bytes = 0;
        for (name, value) in head.headers.iter().take(MAX_HEADERS) {
            // Binary metadata is not text, and nothing that reads metadata here could use it.
            let Ok(value) = value.to_str() else { continue };
            bytes += name.as_str().len() + value.len();
            if bytes > MAX_BYTES {
                break;
            }
            headers.push((name.as_str().into(), value.into()));
        }
        let host = head
            .uri
            .authority()
            .filter(|_| !head.headers.contains_key("host"));
        headers.extend(host.map(|host| ("host".into(), host.as_str().into())));
    }
    Some(Arc::new(ClientMetadata { headers, identity }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Request;

    fn head(uri: &str, headers: &[(&str, &str)]) -> Parts {
        let mut request = Request::get(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap().into_parts().0
    }

    #[test]
    fn only_named_parameters_count_as_headers_and_a_header_wins() {
        let head = head("/v1/traces?Token=a%20b%2Bc&other=x", &[]);
        let sent = |headers, params| Sent {
            headers,
            uri: &head.uri,
            params,
        };
        let params = ["token".to_owned()];
        assert_eq!(sent(&head.headers, &params).claim("token").unwrap(), "a b+c");
        assert_eq!(sent(&head.headers, &params).claim("other"), None);
        assert_eq!(sent(&head.headers, &[]).claim("token"), None);
        let mut with = HeaderMap::new();
        with.insert("token", "h".parse().unwrap());
        assert_eq!(sent(&with, &params).claim("Token").unwrap(), "h");
        for broken in ["%", "%4", "%zz", "%ff"] {
            assert_eq!(decoded(broken), "", "{broken}");
        }
    }

    #[test]
    fn metadata_is_kept_only_where_asked_for_and_within_its_bounds() {
        let one = head(
            "http://gateway:4318/v1/logs",
            &[("X-Tenant", "acme"), ("x-tenant", "b")],
        );
        assert_eq!(metadata(&one, false, None), None);
        let kept = metadata(&one, true, None).unwrap();
        assert_eq!(kept.values("x-tenant").collect::<Vec<_>>(), ["acme", "b"]);
        assert_eq!(kept.values("host").collect::<Vec<_>>(), ["gateway:4318"]);
        let named = metadata(&one, false, Some("ann".into())).unwrap();
        assert!(named.headers.is_empty() && named.identity.as_deref() == Some("ann"));

        let long = "x".repeat(1000);
        let names: Vec<String> = (0..100).map(|i| format!("h-{i}")).collect();
        let many: Vec<(&str, &str)> = names.iter().map(|n| (n.as_str(), long.as_str())).collect();
        let kept = metadata(&head("/", &many), true, None).unwrap();
        assert!(kept.headers.len() < 17, "{}", kept.headers.len());
    }
}
