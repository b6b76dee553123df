//! Where a configuration comes from: files, the environment, the command line, several of them on top of each
//! other.
//!
//! The schemes are the Collector's: a path, `file:path`, `env:NAME` (the text of a variable) and `yaml:text`.
//! `http:` and `https:` are refused: a gateway that starts must not depend on a server that may be down, nor
//! run what an unauthenticated page says.

use super::error::{ConfigError, Place, Problem};
use super::expand::Lookup;
use super::tree::{self, Entry, Node, Value};
use super::{Config, Unsupported};
use std::fmt;
use std::path::{Path, PathBuf};

/// The file that describes every key and default, and the configuration of a bare `burngate`.
pub const EMBEDDED: &str = include_str!("../../config/gateway.yaml");

/// One source of a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConfigSource {
    /// The copy of `config/gateway.yaml` in the binary.
    Embedded,
    /// A file.
    File(PathBuf),
    /// The text of an environment variable.
    Env(String),
    /// Text of the command line.
    Text(String),
    /// One value of the command line: `--set key=value`.
    Set(String),
}

impl ConfigSource {
    /// What stands behind `--config`.
    pub fn parse(written: &str) -> Result<Self, String> {
        match written.split_once(':') {
            Some(("file", path)) if !path.is_empty() => Ok(Self::File(path.into())),
            Some(("env", name)) if !name.is_empty() => Ok(Self::Env(name.to_owned())),
            Some(("yaml", text)) => Ok(Self::Text(text.to_owned())),
            Some(("file" | "env", _)) => Err("nothing is behind the colon".to_owned()),
            Some(("http" | "https", _)) => Err(
                "not fetched over the network: a start must not depend on a server; fetch it first and name the file"
                    .to_owned(),
            ),
            _ if written.is_empty() => Err("empty; name a file".to_owned()),
            _ => Ok(Self::File(written.into())),
        }
    }

    /// The folder of a file.
    fn folder(&self) -> Option<&Path> {
        match self {
            Self::File(file) => file.parent().filter(|it| !it.as_os_str().is_empty()),
            _ => None,
        }
    }

    /// Its tree, as the source with the number `nth`.
    fn tree(&self, nth: usize, lookup: &dyn Lookup) -> Result<Node, (Option<Place>, String)> {
        let parsed =
            |text: &str| tree::parse_source(text, nth).map_err(|error| (Some(error.at), error.message));
        match self {
            Self::Embedded => parsed(EMBEDDED),
            Self::File(path) => {
                let text = lookup.file(&path.to_string_lossy());
                parsed(&text.map_err(|why| (None, format!("cannot read it: {why}")))?)
            }
            Self::Env(name) => match lookup.env(name) {
                Some(text) => parsed(&text),
                None => Err((None, "the environment variable is not set".to_owned())),
            },
            Self::Text(text) => parsed(text).map(unfolded),
            Self::Set(written) => set(written, nth).map_err(|message| (None, message)),
        }
    }
}

impl fmt::Display for ConfigSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Embedded => f.write_str("built-in gateway.yaml"),
            Self::File(path) => path.display().fmt(f),
            Self::Env(name) => write!(f, "env:{name}"),
            // What is behind it may be a secret.
            Self::Text(_) => f.write_str("yaml:"),
            Self::Set(written) => {
                write!(f, "--set {}", written.split_once('=').map_or("", |(key, _)| key))
            }
        }
    }
}

/// Everything that a start was asked to run, so that a reload can ask for it again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConfigRequest {
    /// In order; a later one wins. Empty is the embedded one.
    pub sources: Vec<ConfigSource>,
    /// `key=value`, on top of all sources.
    pub set: Vec<String>,
    /// What to do about components that run in a Collector and not here.
    pub unsupported: Unsupported,
}

impl From<&ConfigSource> for ConfigRequest {
    fn from(source: &ConfigSource) -> Self {
        Self {
            sources: vec![source.clone()],
            ..Self::default()
        }
    }
}

impl Config {
    /// Loads and checks a configuration of one source; every mistake that can be seen without binding a port
    /// is in the error.
    pub fn load(source: &ConfigSource) -> Result<Self, ConfigError> {
        ConfigRequest::from(source).load()
    }
}

/// The sources of a request, merged; not expanded.
#[derive(Debug)]
pub(super) struct Merged {
    pub(super) root: Node,
    pub(super) sources: Vec<ConfigSource>,
}

impl ConfigRequest {
    /// Every source, in order.
    fn all(&self) -> Vec<ConfigSource> {
        let mut all = self.sources.clone();
        if all.is_empty() {
            all.push(ConfigSource::Embedded);
        }
        all.extend(self.set.iter().cloned().map(ConfigSource::Set));
        all
    }

    /// The sources by name, as places count them.
    pub(super) fn names(&self) -> Vec<String> {
        self.all().iter().map(ToString::to_string).collect()
    }

    /// Problems that were found elsewhere, at places in these sources.
    pub fn error(&self, problems: Vec<Problem>) -> ConfigError {
        ConfigError {
            sources: self.names(),
            problems,
        }
    }

    /// Reads the sources and merges them.
    pub(super) fn merge(&self, lookup: &dyn Lookup) -> Result<Merged, ConfigError> {
        let sources = self.all();
        let mut root = None::<Node>;
        for (nth, source) in sources.iter().enumerate() {
            let tree = source.tree(nth, lookup).map_err(|(at, message)| {
                let mut error = ConfigError::whole(source.to_string(), message);
                for problem in &mut error.problems {
                    problem.at = at.map(|at| Place { source: 0, ..at });
                }
                error
            })?;
            match &mut root {
                Some(root) => root.merge(tree),
                None => root = Some(tree),
            }
        }
        Ok(Merged {
            root: root.unwrap_or_else(|| Node::plain(String::new(), Place::default())),
            sources,
        })
    }
}

impl Merged {
    /// The sources by name.
    pub(super) fn names(&self) -> Vec<String> {
        self.sources.iter().map(ToString::to_string).collect()
    }

    /// The files among them.
    pub(super) fn files(&self) -> Vec<PathBuf> {
        let files = self.sources.iter().filter_map(|it| match it {
            ConfigSource::File(file) => Some(file.clone()),
            _ => None,
        });
        files.collect()
    }

    /// The folder that relative policy paths start from: that of the file which names them, so that both can
    /// move together; without one the first file's.
    pub(super) fn policy_folder(&self) -> PathBuf {
        let naming = self.root.entry("connectors").into_iter().flat_map(|connectors| {
            let budgets = connectors.node.entries().iter();
            budgets
                .filter(|it| it.key.split('/').next() == Some("error_budget"))
                .filter_map(|it| it.node.entry("policies"))
                .map(|entry| &self.sources[entry.at.source.min(self.sources.len() - 1)])
        });
        let named: Vec<&ConfigSource> = naming.collect();
        let source = named.first().copied().or_else(|| {
            let mut all = self.sources.iter();
            all.find(|it| matches!(it, ConfigSource::File(_)))
        });
        source
            .and_then(ConfigSource::folder)
            .unwrap_or(Path::new("."))
            .to_path_buf()
    }
}

/// The tree of one `--set`: `a.b=c`, or `a::b=c` where a name has a dot in it.
fn set(written: &str, nth: usize) -> Result<Node, String> {
    let Some((key, value)) = written.split_once('=') else {
        return Err(format!("`{written:.60}` sets nothing; write key=value"));
    };
    let separator = if key.contains("::") { "::" } else { "." };
    let parts: Vec<&str> = key.trim().split(separator).collect();
    if parts.iter().any(|part| part.is_empty()) {
        return Err("an empty key in it; write processors.batch.timeout=2s".to_owned());
    }
    // What is no YAML, such as `a: b: c`, is text.
    let mut node =
        tree::parse_source(value, nth).unwrap_or_else(|_| Node::plain(value.to_owned(), Place::default()));
    node.replant(Place {
        source: nth,
        ..Place::default()
    });
    Ok(nested(&parts, node))
}

/// `node` inside of a mapping for each key.
fn nested(keys: &[&str], node: Node) -> Node {
    keys.iter().rev().fold(node, |inner, key| {
        let at = inner.at;
        let entry = Entry {
            key: (*key).to_owned(),
            at,
            node: inner,
        };
        Node::new(Value::Map(vec![entry]), at)
    })
}

/// `processors::batch::timeout: 2s` as the mappings that it means.
fn unfolded(mut node: Node) -> Node {
    let Value::Map(entries) = &mut node.value else {
        return node;
    };
    let mut out = Node::new(Value::Map(Vec::new()), node.at);
    for entry in std::mem::take(entries) {
        let keys: Vec<&str> = entry.key.split("::").collect();
        out.merge(nested(&keys, unfolded(entry.node)));
    }
    out
}
