//! Who may send: `extensions.bearertokenauth` and `extensions.basicauth`, and a receiver's `auth`.

use super::Secret;
use super::section::Section;
use super::setting::Setting;
use super::tree::{Node, Value};
use std::path::PathBuf;

/// An extension that tells who a client is, or says who we are to a backend.
#[derive(Clone, Debug, PartialEq)]
pub enum Authenticator {
    /// `bearertokenauth`.
    Bearer(BearerTokenAuth),
    /// `basicauth`.
    Basic(BasicAuth),
}

/// `extensions.bearertokenauth`: a token in a header.
#[derive(Clone, Debug, PartialEq)]
pub struct BearerTokenAuth {
    /// The header.
    pub header: String,
    /// The word before the token; empty for none.
    pub scheme: String,
    /// Tokens that are taken; the first is the one that exporters send.
    pub tokens: Vec<Secret>,
    /// A file with a token a line, instead of `tokens`; read again when it changes.
    pub filename: Option<PathBuf>,
}

/// `extensions.basicauth`: user name and password.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct BasicAuth {
    /// The users that receivers let in.
    pub htpasswd: Option<Htpasswd>,
    /// What exporters send.
    pub client_auth: Option<ClientAuth>,
}

/// `htpasswd`: lines of `user:hash`. Where both name a user, `inline` counts.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Htpasswd {
    /// A file, read again when it changes.
    pub file: Option<PathBuf>,
    /// Lines in the configuration.
    pub inline: Option<Secret>,
}

/// `client_auth`: the credentials of an exporter.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ClientAuth {
    /// The user's name.
    pub username: String,
    /// The password.
    pub password: Secret,
}

/// `auth` of a receiver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReceiverAuth {
    /// The extension that decides, such as `bearertokenauth/ingest`.
    pub authenticator: String,
    /// Parameters of the URL's query that count as headers for it; HTTP only.
    pub request_params: Vec<String>,
}

impl Default for BearerTokenAuth {
    fn default() -> Self {
        Self {
            header: "Authorization".to_owned(),
            scheme: "Bearer".to_owned(),
            tokens: Vec::new(),
            filename: None,
        }
    }
}

impl Setting for Vec<Secret> {
    const EXPECTED: &'static str = "a list of texts (secrets, not shown)";
    const SECRET: bool = true;

    fn read(node: &Node) -> Result<Self, String> {
        let Value::List(items) = &node.value else {
            return Err("something else".to_owned());
        };
        items.iter().map(Secret::read).collect()
    }
}

impl BearerTokenAuth {
    #[expect(clippy::unnecessary_wraps, reason = "all components are read alike")]
    pub(super) fn read(_id: &str, section: Section<'_>) -> Option<Self> {
        let mut it = Self::default();
        section.field("header", &mut it.header);
        if http::HeaderName::try_from(it.header.as_str()).is_err() {
            section.problem("header", "expected the name of a header");
        }
        section.field("scheme", &mut it.scheme);
        let mut token = None::<Secret>;
        section.field("token", &mut token);
        section.field("tokens", &mut it.tokens);
        section.field("filename", &mut it.filename);
        if token.is_some() && !it.tokens.is_empty() {
            section.problem("tokens", "`token` says it as well; leave one of them out");
        }
        it.tokens.extend(token);
        if it.tokens.iter().any(Secret::is_blank) {
            section.problem("token", "a token must not be empty");
        }
        match (&it.filename, it.tokens.is_empty()) {
            (Some(_), false) => {
                section.problem("filename", "the tokens stand in `token` as well; leave one out");
            }
            (None, true) => section.problem(
                "token",
                "required; a token, `tokens`, or a `filename` with a token a line",
            ),
            _ => {}
        }
        section.finish();
        Some(it)
    }
}

impl BasicAuth {
    #[expect(clippy::unnecessary_wraps, reason = "all components are read alike")]
    pub(super) fn read(_id: &str, section: Section<'_>) -> Option<Self> {
        let htpasswd = section.section("htpasswd").map(|inside| {
            let mut it = Htpasswd::default();
            inside.field("file", &mut it.file);
            inside.field("inline", &mut it.inline);
            if it == Htpasswd::default() {
                inside.problem(
                    "file",
                    "required; a `file` of users, or lines of them in `inline`",
                );
            }
            inside.finish();
            it
        });
        let client_auth = section.section("client_auth").map(|inside| {
            let hint = "what exporters log in with";
            let username = inside.required("username", hint).unwrap_or_default();
            let password = inside.required("password", hint).unwrap_or_default();
            inside.unsupported(&["username_file", "password_file"]);
            inside.finish();
            ClientAuth { username, password }
        });
        if htpasswd.is_none() && client_auth.is_none() {
            section.problem("htpasswd", "required for receivers; `client_auth` for exporters");
        }
        section.finish();
        Some(Self {
            htpasswd,
            client_auth,
        })
    }
}

impl ReceiverAuth {
    /// Reads `auth` of a receiver; `None` beside a reported problem.
    pub(super) fn read(section: Section<'_>, over_http: bool) -> Option<Self> {
        let hint = "the extension that knows the clients, such as bearertokenauth";
        let authenticator = section.required("authenticator", hint);
        let mut request_params = Vec::new();
        if over_http {
            section.field("request_params", &mut request_params);
        }
        section.finish();
        Some(Self {
            authenticator: authenticator?,
            request_params,
        })
    }
}
