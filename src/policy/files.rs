//! Which files paths and globs name.
//!
//! A glob is walked from its longest literal folder down; `*` stays within a folder, `**` crosses them. Links
//! to folders are not followed, so a loop cannot trap the start; depth, files and the size of a file are
//! bounded.

use super::error::PolicyProblem;
use super::place::{Place, Warning};
use globset::{GlobBuilder, GlobMatcher};
use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};

/// Folders below the literal part of a glob.
const DEPTH_MAX: usize = 16;
/// Entries looked at for one glob.
const ENTRIES_MAX: usize = 100_000;
/// Largest policy file, in bytes.
const FILE_MAX: u64 = 4 << 20;

/// The files of `patterns`, each once, sorted within a pattern.
pub(super) fn find(
    patterns: &[String],
    base: &Path,
    problems: &mut Vec<PolicyProblem>,
    warnings: &mut Vec<Warning>,
) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = Vec::new();
    for pattern in patterns {
        let place = || Place {
            file: pattern.as_str().into(),
            line: 0,
            column: 0,
        };
        let path = base.join(pattern);
        if !is_glob(pattern) {
            let message = match path.metadata() {
                Ok(meta) if meta.is_dir() => {
                    Some("is a folder; name its files, such as with /*.yaml at the end".to_owned())
                }
                Ok(_) => None,
                Err(e) => Some(format!("no policy file at {}: {e}", path.display())),
            };
            match message {
                Some(message) => problems.push(PolicyProblem {
                    place: place(),
                    message,
                }),
                None => found.push(path),
            }
            continue;
        }
        match walk(&path) {
            Ok(files) if files.is_empty() => {
                let message = format!("no policy file matches in {}", base.display());
                warnings.push(Warning {
                    place: place(),
                    message,
                });
            }
            Ok(files) => found.extend(files),
            Err(message) => problems.push(PolicyProblem {
                place: place(),
                message,
            }),
        }
    }
    let mut seen = BTreeSet::new();
    found.retain(|path| seen.insert(path.clone()));
    found
}

/// The text of a policy file.
pub(super) fn read(path: &Path) -> Result<String, String> {
    let size = path.metadata().map_err(|e| format!("cannot be read: {e}"))?.len();
    if size > FILE_MAX {
        return Err(format!("has {size} bytes; a policy file has at most {FILE_MAX}"));
    }
    std::fs::read_to_string(path).map_err(|e| format!("cannot be read: {e}"))
}

fn is_glob(text: &str) -> bool {
    text.contains(['*', '?', '[', '{'])
}

fn walk(pattern: &Path) -> Result<BTreeSet<PathBuf>, String> {
    let text = pattern.to_string_lossy();
    let glob = GlobBuilder::new(&text).literal_separator(true).build();
    let glob = glob
        .map_err(|e| format!("is no glob: {}", e.kind()))?
        .compile_matcher();
    let literal = |c: &Component<'_>| !is_glob(&c.as_os_str().to_string_lossy());
    let root: PathBuf = pattern.components().take_while(literal).collect();
    let mut walk = Walk {
        glob,
        files: BTreeSet::new(),
        entries: 0,
    };
    walk.folder(&root, 0)?;
    Ok(walk.files)
}

struct Walk {
    glob: GlobMatcher,
    files: BTreeSet<PathBuf>,
    entries: usize,
}

impl Walk {
    fn folder(&mut self, folder: &Path, depth: usize) -> Result<(), String> {
        let entries = match std::fs::read_dir(folder) {
            Ok(entries) => entries,
            // A folder that is not there holds no policy; the caller says so.
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            Err(e) => return Err(format!("{} cannot be read: {e}", folder.display())),
        };
        for entry in entries {
            let entry = entry.map_err(|e| format!("{} cannot be read: {e}", folder.display()))?;
            self.entries += 1;
            if self.entries > ENTRIES_MAX {
                return Err(format!(
                    "looks at more than {ENTRIES_MAX} files; name a smaller folder"
                ));
            }
            let path = entry.path();
            let kind = entry
                .file_type()
                .map_err(|e| format!("{} cannot be read: {e}", path.display()))?;
            if kind.is_dir() {
                if depth < DEPTH_MAX {
                    self.folder(&path, depth + 1)?;
                }
            } else if self.glob.is_match(&path) && path.is_file() {
                self.files.insert(path);
            }
        }
        Ok(())
    }
}
