//! Components that name an extension: authenticators, and the storage of queues.

use super::section::{Report, suggestion};
use super::tree::Node;
use super::{Config, Extension, Forwarder};

/// Every extension that something names is on, and can do what it is named for.
pub(super) fn check(config: &Config, root: &Node, report: &Report) {
    let check = |keys: &[&str], id: &str, use_: Use| {
        let known: Vec<&str> = config
            .extensions
            .iter()
            .filter(|it| use_.fits(&it.config))
            .map(|it| it.id.as_str())
            .collect();
        if known.contains(&id) {
            return;
        }
        let hint = match known.as_slice() {
            [] => format!("add {} to extensions and service.extensions", use_.example()),
            known => suggestion(id, known),
        };
        let message = format!("`{id}` is no {} of service.extensions; {hint}", use_.what());
        report.problem(root.place(keys), &keys.join("."), message);
    };
    for it in &config.receivers {
        let grpc = it.config.grpc.iter().map(|grpc| ("grpc", &grpc.auth));
        let http = it.config.http.iter().map(|http| ("http", &http.auth));
        for (protocol, auth) in grpc.chain(http) {
            if let Some(auth) = auth {
                let keys = [
                    "receivers",
                    &it.id,
                    "protocols",
                    protocol,
                    "auth",
                    "authenticator",
                ];
                check(&keys, &auth.authenticator, Use::Authenticator);
            }
        }
    }
    for it in &config.graph.forwarders {
        let Forwarder::Otlp(otlp) = &it.config else {
            continue;
        };
        if let Some(id) = &otlp.authenticator {
            check(
                &["exporters", &it.id, "auth", "authenticator"],
                id,
                Use::Authenticator,
            );
        }
        if let Some(id) = otlp.queue.as_ref().and_then(|queue| queue.storage.as_ref()) {
            check(
                &["exporters", &it.id, "sending_queue", "storage"],
                id,
                Use::Storage,
            );
        }
    }
}

/// What an extension is named for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Use {
    Authenticator,
    Storage,
}

impl Use {
    const fn fits(self, extension: &Extension) -> bool {
        match self {
            Self::Authenticator => {
                matches!(extension, Extension::BearerTokenAuth(_) | Extension::BasicAuth(_))
            }
            Self::Storage => matches!(extension, Extension::FileStorage(_)),
        }
    }

    const fn what(self) -> &'static str {
        match self {
            Self::Authenticator => "authenticator",
            Self::Storage => "storage",
        }
    }

    const fn example(self) -> &'static str {
        match self {
            Self::Authenticator => "bearertokenauth or basicauth",
            Self::Storage => "file_storage",
        }
    }
}
