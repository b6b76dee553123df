//! What an expression or selector can look at.

use std::fmt;

/// Where an attribute is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Place {
    /// The span, then its scope, then the resource: the first that has it.
    Any,
    /// The span only.
    Span,
    /// The instrumentation scope only.
    Scope,
    /// The resource only.
    Resource,
}

/// What an expression or selector can look at.
///
/// Reserved names are `kind`, `name`, `status` (or `status.code`), `status.message` and `duration`, each also
/// with `span.` before it, and `scope.name` (or `scope`) and `scope.version`. Every other name is an
/// attribute key; `span.`, `scope.` and `resource.` before it say where. In backticks a key is taken as it
/// stands: `` span.`kind` `` is an attribute named "kind".
///
/// Empty names, versions and messages count as missing: the wire cannot tell them apart.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Field {
    /// The span's kind.
    Kind,
    /// The span's name.
    Name,
    /// The span's status code.
    Status,
    /// The span's status message.
    StatusMessage,
    /// End minus start; missing when the span ends before it starts or has no start.
    Duration,
    /// The instrumentation scope's name.
    ScopeName,
    /// The instrumentation scope's version.
    ScopeVersion,
    /// An attribute.
    Attribute {
        /// Where it is looked for.
        place: Place,
        /// Its key.
        key: String,
    },
}

impl Field {
    /// The field that a plain (not backticked) name means.
    pub fn from_name(name: &str) -> Self {
        match name.strip_prefix("span.").unwrap_or(name) {
            "kind" => return Self::Kind,
            "name" => return Self::Name,
            "status" | "status.code" => return Self::Status,
            "status.message" => return Self::StatusMessage,
            "duration" => return Self::Duration,
            _ => {}
        }
        match name {
            "scope" | "scope.name" => Self::ScopeName,
            "scope.version" => Self::ScopeVersion,
            _ => Self::attribute(name),
        }
    }

    /// The attribute `name`, whatever it is called; `span.`, `scope.` and `resource.` before it say where.
    pub fn attribute(name: &str) -> Self {
        let (place, key) = Place::split(name);
        Self::Attribute {
            place,
            key: key.to_owned(),
        }
    }

    /// The name that [`Field::from_name`] reads back, if it is no attribute.
    fn reserved(&self) -> Option<&'static str> {
        Some(match self {
            Self::Kind => "kind",
            Self::Name => "name",
            Self::Status => "status",
            Self::StatusMessage => "status.message",
            Self::Duration => "duration",
            Self::ScopeName => "scope.name",
            Self::ScopeVersion => "scope.version",
            Self::Attribute { .. } => return None,
        })
    }
}

impl Place {
    /// The prefix that says this place.
    pub(super) fn prefix(self) -> &'static str {
        match self {
            Self::Any => "",
            Self::Span => "span.",
            Self::Scope => "scope.",
            Self::Resource => "resource.",
        }
    }

    /// The place that the prefix of `name` says, and the rest of the name.
    fn split(name: &str) -> (Self, &str) {
        [Self::Span, Self::Scope, Self::Resource]
            .into_iter()
            .find_map(|place| {
                Some((
                    place,
                    name.strip_prefix(place.prefix())
                        .filter(|rest| !rest.is_empty())?,
                ))
            })
            .unwrap_or((Self::Any, name))
    }

    /// The place of a prefix that stands before a backtick.
    pub(super) fn of_prefix(prefix: &str) -> Option<Self> {
        [Self::Any, Self::Span, Self::Scope, Self::Resource]
            .into_iter()
            .find(|place| place.prefix() == prefix)
    }
}

impl Field {
    /// Its name as a label: without the quotes that tell an attribute `name` from a span's own name.
    pub fn bare_name(&self) -> String {
        match self {
            Self::Attribute { place, key } => format!("{}{key}", place.prefix()),
            other => other.to_string(),
        }
    }
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::Attribute { place, key } = self else {
            return f.write_str(self.reserved().unwrap_or_default());
        };
        let plain = format!("{}{key}", place.prefix());
        if super::lexer::is_plain_name(&plain) && Self::from_name(&plain) == *self {
            f.write_str(&plain)
        } else {
            write!(f, "{}`{}`", place.prefix(), key.replace('`', "``"))
        }
    }
}
