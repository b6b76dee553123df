//! The exporters that carry out decisions, of every kind.
//!
//! A new kind is its own file and one line below; what builds exporters matches on this enum, and does not
//! compile without the new one.

use super::{FlagdExporter, HttpApiExporter, LaunchDarklyExporter, UnleashExporter, WebhookExporter};

macro_rules! kinds {
    ($($(#[$doc:meta])* $kind:ident($config:ident),)+) => {
        /// The settings of one exporter of decisions.
        #[derive(Clone, Debug)]
        pub enum DecisionExporter {
            $($(#[$doc])* $kind($config),)+
        }

        impl DecisionExporter {
            /// Its name in the configuration, such as `unleash/eu`.
            pub fn id(&self) -> &str {
                match self {
                    $(Self::$kind(it) => &it.id,)+
                }
            }
        }

        $(impl From<$config> for DecisionExporter {
            fn from(config: $config) -> Self {
                Self::$kind(config)
            }
        })+
    };
}

kinds! {
    /// An Unleash server.
    Unleash(UnleashExporter),
    /// A project of LaunchDarkly.
    LaunchDarkly(LaunchDarklyExporter),
    /// Any HTTP API, as it is described.
    HttpApi(HttpApiExporter),
    /// A file of flagd's flag definitions.
    Flagd(FlagdExporter),
    /// Calls that their receiver understands.
    Webhook(WebhookExporter),
}

/// All of them that a decisions pipeline names.
#[derive(Clone, Debug, Default)]
pub struct DecisionExporters(Vec<DecisionExporter>);

impl DecisionExporters {
    /// One more.
    pub fn push(&mut self, exporter: DecisionExporter) {
        self.0.push(exporter);
    }

    /// In the order of the file.
    pub fn iter(&self) -> std::slice::Iter<'_, DecisionExporter> {
        self.0.iter()
    }

    /// Their names.
    pub fn ids(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(DecisionExporter::id)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<'a> IntoIterator for &'a DecisionExporters {
    type Item = &'a DecisionExporter;
    type IntoIter = std::slice::Iter<'a, DecisionExporter>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl<T: Into<DecisionExporter>, const N: usize> From<[T; N]> for DecisionExporters {
    fn from(all: [T; N]) -> Self {
        Self(all.into_iter().map(Into::into).collect())
    }
}
