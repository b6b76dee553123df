//! Cross-origin requests: what a browser asks before a page may send.
//!
//! As the Collector's: origins with one `*` each, in any case; credentials allowed for origins that are
//! named. For a bare `*` they are not, because then any page could use a visitor's.

use crate::config;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::request::Parts;
use http::{Method, Response, StatusCode};

/// Request headers that are allowed without being named.
const ALWAYS: [&str; 8] = [
    "accept",
    "accept-language",
    "content-language",
    "content-type",
    "content-encoding",
    "origin",
    "user-agent",
    "x-requested-with",
];

/// The policy, ready to be asked.
#[derive(Debug)]
pub(super) struct Cors {
    /// In lower case, cut at the `*`.
    origins: Vec<(String, Option<String>)>,
    headers: Vec<String>,
    exposed: Option<HeaderValue>,
    max_age: Option<HeaderValue>,
}

impl Cors {
    /// `None` where no origin is allowed: CORS is off.
    pub(super) fn new(settings: &config::Cors) -> Option<Self> {
        let lower = |names: &[String]| names.iter().map(|name| name.to_lowercase()).collect::<Vec<_>>();
        let origins =
            lower(&settings.allowed_origins)
                .into_iter()
                .map(|origin| match origin.split_once('*') {
                    Some((head, tail)) => (head.to_owned(), Some(tail.to_owned())),
                    None => (origin, None),
                });
        let origins: Vec<_> = origins.collect();
        (!origins.is_empty()).then(|| Self {
            origins,
            headers: lower(&settings.allowed_headers),
            exposed: Some(settings.exposed_headers.join(", "))
                .filter(|names| !names.is_empty())
                .and_then(|names| names.try_into().ok()),
            max_age: (settings.max_age_secs > 0).then(|| settings.max_age_secs.into()),
        })
    }

    /// The answer to a preflight; `None` when the request is not one.
    pub(super) fn preflight<B: Default>(&self, head: &Parts) -> Option<Response<B>> {
        let headers = &head.headers;
        let asked = headers.get(header::ACCESS_CONTROL_REQUEST_METHOD)?;
        if head.method != Method::OPTIONS || !headers.contains_key(header::ORIGIN) {
            return None;
        }
        let mut response = Response::new(B::default());
        *response.status_mut() = StatusCode::NO_CONTENT;
        let answer = response.headers_mut();
        answer.insert(
            header::VARY,
            HeaderValue::from_static("Origin, Access-Control-Request-Method, Access-Control-Request-Headers"),
        );
        let wanted = headers.get(header::ACCESS_CONTROL_REQUEST_HEADERS);
        let is_allowed = asked == "POST" && wanted.is_none_or(|wanted| self.takes_headers(wanted));
        if is_allowed && self.mark_origin(headers, answer) {
            answer.insert(
                header::ACCESS_CONTROL_ALLOW_METHODS,
                HeaderValue::from_static("POST"),
            );
            if let Some(wanted) = wanted {
                answer.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, wanted.clone());
            }
            if let Some(age) = &self.max_age {
                answer.insert(header::ACCESS_CONTROL_MAX_AGE, age.clone());
            }
        }
        Some(response)
    }

    /// Adds to the answer of any other request what its page needs to read it.
    pub(super) fn mark(&self, request: &HeaderMap, answer: &mut HeaderMap) {
        answer.append(header::VARY, HeaderValue::from_static("Origin"));
        if self.mark_origin(request, answer)
            && let Some(exposed) = &self.exposed
        {
            answer.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, exposed.clone());
        }
    }

    fn mark_origin(&self, request: &HeaderMap, answer: &mut HeaderMap) -> bool {
        const CREDENTIALS: HeaderName = header::ACCESS_CONTROL_ALLOW_CREDENTIALS;
        let Some(origin) = request.get(header::ORIGIN) else {
            return false;
        };
        let Ok(text) = origin.to_str() else { return false };
        let text = text.to_lowercase();
        let matches = |(head, tail): &&(String, Option<String>)| match tail {
            None => text == *head,
            Some(tail) => {
                text.len() >= head.len() + tail.len()
                    && text.starts_with(head)
                    && text.ends_with(tail.as_str())
            }
        };
        let Some((head, tail)) = self.origins.iter().find(matches) else {
            return false;
        };
        if head.is_empty() && tail.as_deref() == Some("") {
            answer.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
        } else {
            answer.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
            answer.insert(CREDENTIALS, HeaderValue::from_static("true"));
        }
        true
    }

    fn takes_headers(&self, wanted: &HeaderValue) -> bool {
        let Ok(wanted) = wanted.to_str() else { return false };
        let mut names = wanted.split(',').map(|name| name.trim().to_lowercase());
        names.all(|name| {
            name.is_empty()
                || ALWAYS.contains(&name.as_str())
                || self
                    .headers
                    .iter()
                    .any(|allowed| *allowed == name || allowed == "*")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Request;

    fn cors(origins: &[&str], headers: &[&str]) -> Cors {
        Cors::new(&config::Cors {
            allowed_origins: origins.iter().map(|o| (*o).to_owned()).collect(),
            allowed_headers: headers.iter().map(|h| (*h).to_owned()).collect(),
            exposed_headers: vec!["Retry-After".to_owned()],
            max_age_secs: 600,
        })
        .unwrap()
    }

    fn preflight(cors: &Cors, origin: &str, headers: &str) -> HeaderMap {
        let request = Request::options("/v1/traces")
            .header("origin", origin)
            .header("access-control-request-method", "POST")
            .header("access-control-request-headers", headers);
        let head = request.body(()).unwrap().into_parts().0;
        let response = cors.preflight::<String>(&head).unwrap();
        assert_eq!(response.status(), 204);
        response.headers().clone()
    }

    #[test]
    fn an_origin_matches_around_its_one_star() {
        let cors = cors(&["https://*.example.com", "http://localhost:3000"], &["x-key"]);
        for origin in [
            "https://a.example.com",
            "HTTPS://a.b.Example.com",
            "http://localhost:3000",
        ] {
            let answer = preflight(&cors, origin, "content-type, X-Key");
            assert_eq!(answer["access-control-allow-origin"], origin);
            assert_eq!(answer["access-control-allow-credentials"], "true");
            assert_eq!(answer["access-control-max-age"], "600");
            assert_eq!(answer["access-control-allow-headers"], "content-type, X-Key");
        }
        for origin in [
            "https://example.com",
            "https://.example.comm",
            "http://a.example.com",
            "null",
        ] {
            assert!(
                !preflight(&cors, origin, "").contains_key("access-control-allow-origin"),
                "{origin}"
            );
        }
        let other_header = preflight(&cors, "http://localhost:3000", "x-other");
        assert!(!other_header.contains_key("access-control-allow-origin"));
    }

    #[test]
    fn a_bare_star_takes_everybody_without_credentials() {
        let answer = preflight(&cors(&["*"], &["*"]), "https://anywhere", "x-anything");
        assert_eq!(answer["access-control-allow-origin"], "*");
        assert!(!answer.contains_key("access-control-allow-credentials"));
    }

    #[test]
    fn other_requests_are_marked_and_no_origins_are_no_cors() {
        let mut request = HeaderMap::new();
        request.insert("origin", "http://a".parse().unwrap());
        let mut answer = HeaderMap::new();
        cors(&["http://a"], &[]).mark(&request, &mut answer);
        assert_eq!(answer["access-control-allow-origin"], "http://a");
        assert_eq!(answer["access-control-expose-headers"], "Retry-After");
        assert_eq!(answer["vary"], "Origin");
        assert!(Cors::new(&config::Cors::default()).is_none());
    }
}
