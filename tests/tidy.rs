//! Style as a test, over `src/`: what a formatter and a linter do not hold.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use regex::Regex;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Columns of a line.
const COLUMNS_MAX: usize = 110;
/// Columns of a line whose text cannot be broken: a literal that a formatter leaves alone.
const LITERAL_COLUMNS_MAX: usize = 125;
/// Lines of code of a file: no tests, no comments, no blank lines.
const FILE_LINES_MAX: usize = 400;
/// Lines of a function.
const FUNCTION_LINES_MAX: usize = 70;

/// Longer files, each with the lines it may have. A file that has become short must leave the list.
const HALLS: [(&str, usize); 0] = [];

/// Longer functions, each with the lines it may have.
const LONG_FUNCTIONS: [(&str, &str, usize); 4] = [
    // One field after another of a large struct.
    ("src/config/assemble.rs", "assemble", 94),
    ("src/gateway/core.rs", "open", 104),
    // One `select!` over everything that can happen to a connection.
    ("src/receive/connections/life.rs", "converse", 88),
    // One line after another of a page.
    ("src/cli/validate.rs", "summary", 71),
];

/// The rooms, from the ground up: a room may import those before it.
const ROOMS: [&str; 28] = [
    "time",
    "config",
    "wire",
    "pipeline",
    "receive",
    "process",
    "forward",
    "connect",
    "sli",
    "cohort",
    "indicate",
    "ledger",
    "store",
    "budget",
    "evidence",
    "account",
    "policy",
    "decide",
    "audit",
    "act",
    "publish",
    "api",
    "telemetry",
    "extend",
    "gateway",
    "replay",
    "simulate",
    "cli",
];

struct Source {
    /// From the root, such as `src/wire/walk.rs`.
    path: String,
    text: String,
    /// Lines before the tests at its end.
    code_lines: usize,
    /// All of it is tests.
    is_test: bool,
}

impl Source {
    fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        let code_lines = if self.is_test { 0 } else { self.code_lines };
        (1..).zip(self.text.lines()).take(code_lines)
    }

    fn room(&self) -> &str {
        self.path.split('/').nth(1).unwrap().trim_end_matches(".rs")
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn sources() -> Vec<Source> {
    let (mut found, mut folders) = (Vec::new(), vec![root().join("src")]);
    let mut test_modules: BTreeSet<PathBuf> = BTreeSet::new();
    let declared = Regex::new(r"#\[cfg\(test\)\]\n(?:pub(?:\([a-z:() ]+\))? )?mod (\w+);").unwrap();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let text = fs::read_to_string(&path).unwrap();
            let is_root = matches!(
                path.file_name().unwrap().to_str(),
                Some("mod.rs" | "lib.rs" | "main.rs")
            );
            let below = if is_root {
                folder.clone()
            } else {
                path.with_extension("")
            };
            test_modules.extend(declared.captures_iter(&text).map(|c| below.join(&c[1])));
            found.push((path, text));
        }
    }
    let inline =
        Regex::new(r"(?m)^#\[cfg\(test\)\]\n(?:#\[.*\n)*(?:pub(?:\([a-z:() ]+\))? )?mod \w+ \{").unwrap();
    let source = |(path, text): (PathBuf, String)| {
        let end = inline.find(&text).map_or(text.len(), |m| m.start());
        let is_test = test_modules
            .iter()
            .any(|module| path == module.with_extension("rs") || path.starts_with(module));
        Source {
            path: path.strip_prefix(root()).unwrap().to_string_lossy().into_owned(),
            code_lines: text[..end].lines().count(),
            is_test,
            text,
        }
    };
    let mut sources: Vec<Source> = found.into_iter().map(source).collect();
    sources.sort_by(|a, b| a.path.cmp(&b.path));
    sources
}

/// Fails with every finding at once.
fn none(findings: &[String], what: &str) {
    assert!(
        findings.is_empty(),
        "{} {what}:\n{}",
        findings.len(),
        findings.join("\n")
    );
}

#[test]
fn there_is_something_to_look_at() {
    let sources = sources();
    assert!(sources.len() > 100);
    assert!(
        sources.iter().any(|s| s.is_test) && sources.iter().filter(|s| s.is_test).count() < sources.len() / 4
    );
    assert!(
        sources
            .iter()
            .any(|s| !s.is_test && s.code_lines < s.text.lines().count())
    );
}

#[test]
fn lines_fit_in_110_columns() {
    let mut findings = Vec::new();
    for source in sources() {
        for (at, line) in source.code() {
            let columns = line.chars().count();
            let is_comment = line.trim_start().starts_with("//");
            let max = if line.contains('"') && !is_comment {
                LITERAL_COLUMNS_MAX
            } else {
                COLUMNS_MAX
            };
            if columns > max {
                findings.push(format!("{}:{at}: {columns} columns", source.path));
            }
        }
    }
    none(&findings, "lines are too long");
}

#[test]
fn files_are_rooms_and_not_halls() {
    let mut findings = Vec::new();
    for source in sources() {
        let is_code = |line: &str| !line.trim().is_empty() && !line.trim_start().starts_with("//");
        let lines = source.code().filter(|(_, line)| is_code(line)).count();
        match HALLS.iter().find(|(path, _)| *path == source.path) {
            None if lines > FILE_LINES_MAX => findings.push(format!("{}: {lines} lines", source.path)),
            Some(_) if lines <= FILE_LINES_MAX => {
                findings.push(format!(
                    "{}: is short now; take it off the list in tests/tidy.rs",
                    source.path
                ));
            }
            Some((_, max)) if lines > *max => {
                findings.push(format!("{}: {lines} lines, more than agreed", source.path));
            }
            _ => {}
        }
    }
    none(&findings, "files are not as long as they may be");
}

#[test]
fn functions_fit_on_a_page() {
    let head = Regex::new(r"^( *)(?:pub(?:\([a-z:() ]+\))? )?(?:const )?(?:async )?fn (\w+)").unwrap();
    let mut findings = Vec::new();
    for source in sources() {
        let lines: Vec<_> = source.code().collect();
        for (i, (at, line)) in lines.iter().enumerate() {
            let Some(found) = head.captures(line) else {
                continue;
            };
            // The formatter puts the end of a function in the column of its beginning.
            let (end, alone) = (format!("{}}}", &found[1]), format!("{})", &found[1]));
            let is_end = |l: &str| l == end || (l.ends_with(';') && l.starts_with(&alone));
            let one_line = line.ends_with(';') || (line.ends_with('}') && line.contains('{'));
            let length = if one_line {
                1
            } else {
                1 + lines[i..].iter().take_while(|(_, l)| !is_end(l)).count()
            };
            let may_have = LONG_FUNCTIONS
                .iter()
                .find(|(path, name, _)| *path == source.path && *name == &found[2])
                .map_or(FUNCTION_LINES_MAX, |(_, _, lines)| *lines);
            if length > may_have {
                findings.push(format!("{}:{at}: {} has {length} lines", source.path, &found[2]));
            }
        }
    }
    none(&findings, "functions are longer than 70 lines");
}

#[test]
fn nothing_is_left_for_later() {
    let later = Regex::new(r"\b(TODO|FIXME|XXX|HACK)\b|\b(todo|unimplemented)!").unwrap();
    let mut findings = Vec::new();
    for source in sources() {
        for (at, line) in (1..)
            .zip(source.text.lines())
            .filter(|(_, line)| later.is_match(line))
        {
            findings.push(format!("{}:{at}: {}", source.path, line.trim()));
        }
    }
    none(&findings, "things are left for later");
}

#[test]
fn sources_are_ascii() {
    let mut findings = Vec::new();
    for source in sources() {
        for (at, line) in source.code().filter(|(_, line)| !line.is_ascii()) {
            findings.push(format!("{}:{at}: {}", source.path, line.trim()));
        }
    }
    none(&findings, "lines are not ASCII; write \\u{..}");
}

#[test]
fn every_room_is_on_the_map() {
    let map = fs::read_to_string(root().join("docs/architecture.md")).unwrap();
    let rooms: BTreeSet<String> = sources().iter().map(|s| s.room().to_owned()).collect();
    let rooms: Vec<_> = rooms
        .iter()
        .filter(|r| !["lib", "main"].contains(&r.as_str()))
        .collect();
    assert_eq!(rooms.len(), ROOMS.len(), "{rooms:?}");
    for room in rooms {
        assert!(
            ROOMS.contains(&room.as_str()),
            "tests/tidy.rs does not know the room {room}"
        );
        let named = map.contains(&format!("`src/{room}`")) || map.contains(&format!("`src/{room}.rs`"));
        assert!(named, "docs/architecture.md does not name src/{room}");
    }
}

#[test]
fn imports_never_run_upwards() {
    let import = Regex::new(r"\bcrate::(\w+)").unwrap();
    let height = |room: &str| ROOMS.iter().position(|r| *r == room);
    let mut findings = Vec::new();
    for source in sources() {
        let Some(own) = height(source.room()) else {
            continue;
        };
        for (at, line) in source
            .code()
            .filter(|(_, line)| !line.trim_start().starts_with("//"))
        {
            for found in import.captures_iter(line) {
                if height(&found[1]).is_some_and(|other| other > own) {
                    findings.push(format!(
                        "{}:{at}: {} imports {}",
                        source.path,
                        source.room(),
                        &found[1]
                    ));
                }
            }
        }
    }
    none(&findings, "imports run upwards");
}

#[test]
fn every_test_with_a_long_run_is_in_the_long_run() {
    let script = fs::read_to_string(root().join("tests/all.sh")).unwrap();
    let long = script.split("BURNGATE_LONG=1").skip(1).collect::<String>();
    let mut missing = Vec::new();
    for entry in fs::read_dir(root().join("tests")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        if path.extension().is_none_or(|e| e != "rs") || name == "tidy" {
            continue;
        }
        let text = fs::read_to_string(&path).unwrap();
        let asks = text.contains("var_os(\"BURNGATE_LONG\")") || text.contains(" long() ");
        if asks && !Regex::new(&format!(r"--test {name}\b")).unwrap().is_match(&long) {
            missing.push(name);
        }
    }
    none(
        &missing,
        "tests with a long run that tests/all.sh --long leaves out",
    );
    for source in sources().iter().filter(|s| s.text.contains("\"BURNGATE_LONG\"")) {
        let room = source.path.trim_start_matches("src/").replace('/', "::");
        let room = room.trim_end_matches(".rs").trim_end_matches("_tests");
        assert!(
            long.contains(&format!("--lib {room}")),
            "{} has a long run",
            source.path
        );
    }
}
