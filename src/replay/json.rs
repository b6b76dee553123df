//! The outcome as one JSON document.

use super::outcome::Outcome;

/// Writes it, indented, with a line feed at its end.
pub fn write(outcome: &Outcome, out: &mut dyn std::io::Write) -> std::io::Result<()> {
    serde_json::to_writer_pretty(&mut *out, outcome)?;
    out.write_all(b"\n")
}
