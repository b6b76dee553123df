//! `burngate components`: every type that runs here, and on request what does not.

use super::ComponentsArgs;
use crate::config::{ComponentInfo, UNSUPPORTED, components};
use std::fmt::Write as _;
use std::io::Write as _;
use std::process::ExitCode;

const KINDS: [&str; 5] = ["receivers", "processors", "exporters", "connectors", "extensions"];

/// Prints the list.
pub(super) fn list(args: &ComponentsArgs) -> ExitCode {
    let text = if args.plain {
        plain()
    } else {
        yaml(args.unsupported)
    };
    let _ = write!(std::io::stdout().lock(), "{text}");
    ExitCode::SUCCESS
}

/// As the Collector prints it, with what we know more.
fn yaml(with_unsupported: bool) -> String {
    let mut out = format!(
        "buildinfo:\n  command: burngate\n  version: {}\n",
        env!("CARGO_PKG_VERSION")
    );
    let all = components();
    for kind in KINDS {
        let _ = writeln!(out, "{kind}:");
        for it in all.iter().filter(|it| it.kind == kind) {
            let _ = writeln!(out, "  - name: {}", it.name);
            if !it.aliases.is_empty() {
                let _ = writeln!(out, "    aliases: [{}]", it.aliases.join(", "));
            }
            if !it.takes.is_empty() {
                let _ = writeln!(out, "    {}: [{}]", word(it), it.takes.join(", "));
            }
            if !it.gives.is_empty() {
                let _ = writeln!(out, "    to: [{}]", it.gives.join(", "));
            }
            let _ = writeln!(out, "    stability: {}", it.stability);
        }
    }
    if with_unsupported {
        out.push_str("unsupported:\n");
        for it in UNSUPPORTED {
            let _ = writeln!(out, "  - {}: [{}]", it.kind, it.types.join(", "));
            let _ = writeln!(out, "    instead: {:?}", it.instead);
        }
    }
    out
}

/// What the signals of a component mean.
fn word(it: &ComponentInfo) -> &'static str {
    if it.kind == "connectors" {
        "from"
    } else {
        "signals"
    }
}

/// A line a component, for `grep`.
fn plain() -> String {
    let mut out = String::new();
    for it in components() {
        let mut signals = it.takes.join(",");
        if !it.gives.is_empty() {
            let _ = write!(signals, " -> {}", it.gives.join(","));
        }
        let also = if it.aliases.is_empty() {
            String::new()
        } else {
            format!(" (also {})", it.aliases.join(", "))
        };
        let kind = it.kind.trim_end_matches('s');
        let name = format!("{}{also}", it.name);
        let _ = writeln!(out, "{kind:<10} {name:<52} {:<7} {signals}", it.stability);
    }
    let mut trimmed = String::with_capacity(out.len());
    for line in out.lines() {
        trimmed.push_str(line.trim_end());
        trimmed.push('\n');
    }
    trimmed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_names_every_component_with_its_aliases_and_signals() {
        let text = yaml(true);
        for expected in [
            "  - name: otlp_http\n    aliases: [otlphttp]\n    signals: [traces, metrics, logs]\n",
            "  - name: span_metrics\n    aliases: [spanmetrics]\n    from: [traces]\n    to: [metrics]\n",
            "  - name: health_check\n",
            "  - processors: [resource_detection]\n",
        ] {
            assert!(text.contains(expected), "{expected}\n{text}");
        }
        let parsed: serde_json::Value = serde_saphyr::from_str(&text).unwrap();
        assert_eq!(parsed["buildinfo"]["command"], "burngate");
        assert_eq!(parsed["receivers"][0]["name"], "otlp");
        assert_eq!(plain().lines().count(), components().len());
    }
}
