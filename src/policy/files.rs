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
        match walk(base, pattern) {
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

/// The files that `patterns` (paths and globs, relative to `base`) name now; what cannot be read is left out.
pub fn files_of(patterns: &[String], base: &Path) -> Vec<PathBuf> {
    find(patterns, base, &mut Vec::new(), &mut Vec::new())
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

/// The pattern alone is a glob: the folder that it starts from may be written in any way and hold any
/// character.
fn walk(base: &Path, pattern: &str) -> Result<BTreeSet<PathBuf>, String> {
    let literal = |c: &Component<'_>| !is_glob(&c.as_os_str().to_string_lossy());
    let components = || Path::new(pattern).components();
    let root = base.join(components().take_while(literal).collect::<PathBuf>());
    let rest: PathBuf = components().skip_while(literal).collect();
    let glob = GlobBuilder::new(&rest.to_string_lossy())
        .literal_separator(true)
        .build();
    let glob = glob
        .map_err(|e| format!("is no glob: {}", e.kind()))?
        .compile_matcher();
    let mut walk = Walk {
        glob,
        root: root.clone(),
        files: BTreeSet::new(),
        entries: 0,
    };
    walk.folder(&root, 0)?;
    Ok(walk.files)
}

struct Walk {
    glob: GlobMatcher,
    root: PathBuf,
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
            } else if self.matches(&path) && path.is_file() {
                self.files.insert(path);
            }
        }
        Ok(())
    }

    fn matches(&self, path: &Path) -> bool {
        path.strip_prefix(&self.root)
            .is_ok_and(|below| self.glob.is_match(below))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(base: &Path, pattern: &str) -> Vec<PathBuf> {
        let (mut problems, mut warnings) = (Vec::new(), Vec::new());
        let found = find(&[pattern.to_owned()], base, &mut problems, &mut warnings);
        assert!(problems.is_empty(), "{problems:?}");
        assert_eq!(warnings.is_empty(), !found.is_empty(), "{warnings:?}");
        found
    }

    #[test]
    fn a_glob_finds_its_files_however_the_folder_is_written() {
        let dir = tempfile::tempdir().unwrap();
        let base = dir.path().join("team [a] {x}");
        std::fs::create_dir_all(base.join("policies/deep")).unwrap();
        for name in ["policies/a.yaml", "policies/deep/b.yaml", "policies/c.txt"] {
            std::fs::write(base.join(name), "").unwrap();
        }
        let plain = base.to_str().unwrap();
        let folders = [
            plain.to_owned(),
            plain.replace("/team", "/./team"),
            plain.replace("/team", "//team"),
            format!("{plain}/policies/.."),
            format!("{plain}/"),
        ];
        for folder in folders {
            let base = Path::new(&folder);
            for (pattern, files) in [
                ("policies/*.yaml", 1),
                ("./policies/*.yaml", 1),
                ("policies//*.yaml", 1),
                ("policies/./*.yaml", 1),
                ("policies/**/*.yaml", 2),
                ("{policies,others}/*.yaml", 1),
                ("**/[ab].yaml", 2),
                ("*.yaml", 0),
            ] {
                assert_eq!(found(base, pattern).len(), files, "{folder} {pattern}");
            }
        }
    }
}
