//! In which shapes flag evidence came, and what of it was refused: for whoever wonders why a flag has no
//! cohort.

/// Where evidence stood.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Place {
    /// An event of the request's span.
    Event,
    /// The request's span itself, or the record that is counted.
    Item,
    /// Its scope.
    Scope,
    /// Its resource.
    Resource,
    /// Another span of the same request, or an event of it.
    Child,
    /// A span that is itself an evaluation.
    EvaluationSpan,
    /// A log record about a span.
    Log,
}

/// What it looked like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Form {
    /// A key and its result.
    Evaluation,
    /// One attribute a flag.
    Flag,
    /// A list: array of texts or objects.
    Array,
    /// A list: map.
    Map,
    /// A list: text.
    Text,
    /// A list: text that begins like JSON.
    Json,
    /// Something else under a list's name: a bool, a number, bytes.
    Scalar,
}

/// Under which name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Name {
    /// `feature_flag.key` and its kin.
    Key,
    /// A prefix of the configuration, by its place there.
    Prefix(u8),
    /// A list's attribute of the configuration, by its place there.
    List(u16),
}

/// Why something was not used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Refused {
    /// A bool, a number or bytes under a list's name.
    NotAList,
    /// A list that is not UTF-8, or begins like JSON and is none.
    Unreadable,
    /// A list longer than is read.
    Truncated,
    /// An item, evaluation or attribute whose flag or variant cannot be used.
    InvalidItem,
    /// An evaluation that names a flag and gives no result.
    WithoutResult,
}

/// One shape, and how often something of it was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Shape {
    /// Where it stood.
    pub place: Place,
    /// What it looked like.
    pub form: Form,
    /// Under which name.
    pub name: Name,
    /// What was refused of it, if anything.
    pub refused: Option<Refused>,
}

impl Place {
    /// The name in answers.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Event => "span_event",
            Self::Item => "item",
            Self::Scope => "scope",
            Self::Resource => "resource",
            Self::Child => "child_span",
            Self::EvaluationSpan => "evaluation_span",
            Self::Log => "log_record",
        }
    }
}

impl Form {
    /// The name in answers.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Evaluation => "evaluation",
            Self::Flag => "flag",
            Self::Array => "list_array",
            Self::Map => "list_map",
            Self::Text => "list_text",
            Self::Json => "list_json",
            Self::Scalar => "scalar",
        }
    }
}

impl Refused {
    /// The name in answers.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotAList => "not_a_list",
            Self::Unreadable => "unreadable",
            Self::Truncated => "truncated",
            Self::InvalidItem => "invalid_item",
            Self::WithoutResult => "without_result",
        }
    }
}
