//! `exporters.flagd`: a file of flag definitions that flagd, or an OpenFeature provider in a process, reads.

use super::section::Section;
use std::path::PathBuf;

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlagdExporter {
    /// Name in the configuration, such as `flagd` or `flagd/eu`.
    pub id: String,
    /// The file, in JSON.
    pub path: PathBuf,
}

impl FlagdExporter {
    /// For the file at `path`.
    pub fn new(id: impl Into<String>, path: impl Into<PathBuf>) -> Self {
        Self {
            id: id.into(),
            path: path.into(),
        }
    }

    pub(super) fn read(id: &str, section: Section<'_>) -> Option<Self> {
        let path = section.required::<PathBuf>(
            "path",
            "write the path of the file, such as /etc/flagd/flags.json",
        );
        if path
            .as_ref()
            .is_some_and(|path| path.extension().is_none_or(|it| it != "json"))
        {
            section.problem("path", "expected a file whose name ends with .json");
        }
        section.finish();
        Some(Self::new(id, path?))
    }
}
