//! Compiles our own API with protox (no protoc needed) and keeps the descriptors for server reflection.
//!
//! The same structs are written as JSON over HTTP, so that the two answers cannot drift apart: every message derives
//! `serde::Serialize`, timestamps become RFC 3339, alert states their lower-case names.

use prost::Message as _;
use std::path::PathBuf;

const PROTOS: [&str; 2] = ["burngate/v1/budget.proto", "burngate/v1/events.proto"];
const TIMESTAMPS: [&str; 35] = [
    "Event.time",
    "Budget.evaluated_at",
    "Window.from",
    "Window.to",
    "Latency.from",
    "Latency.to",
    "Comparison.from",
    "Comparison.to",
    "Alert.since",
    "Decision.decided_at",
    "Decision.updated_at",
    "Decision.phase_until",
    "Decision.expires_at",
    "Step.at",
    "Withheld.since",
    "Evidence.signatures_from",
    "Signatures.from",
    "Shape.first_seen",
    "Shape.last_seen",
    "Evaluations.first_seen",
    "Evaluations.last_seen",
    "Accounting.period_ends",
    "PlanOn.until",
    "Correction.from",
    "CreateCorrectionRequest.from",
    "CreateCorrectionRequest.to",
    "Correction.to",
    "Correction.created_at",
    "Withdrawal.at",
    "Indicator.since",
    "Indicator.evaluated_at",
    "IndicatorGroup.since",
    "Proof.epoch_since",
    "TemporalProof.changed_at",
    "Ruling.at",
];
const STATES: [&str; 2] = ["Budget.state", "Alert.state"];
const INDICATOR_STATES: [&str; 2] = ["Indicator.state", "IndicatorGroup.state"];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    for proto in PROTOS {
        println!("cargo:rerun-if-changed=proto/{proto}");
    }
    println!("cargo:rerun-if-changed=proto/build.rs");
    let descriptors = protox::compile(PROTOS, ["proto"])?;
    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    std::fs::write(out.join("burngate.v1.bin"), descriptors.encode_to_vec())?;
    let mut config = tonic_prost_build::configure()
        .build_client(true)
        .build_server(true)
        // Sorted, so that the same answer reads the same each time.
        .btree_map(".burngate.v1")
        .message_attribute(".burngate.v1", "#[derive(serde::Serialize)]");
    for field in TIMESTAMPS {
        config = config.field_attribute(
            format!(".burngate.v1.{field}"),
            "#[serde(serialize_with = \"crate::api::json::timestamp\")]",
        );
    }
    for field in STATES {
        config = config.field_attribute(
            format!(".burngate.v1.{field}"),
            "#[serde(serialize_with = \"crate::api::json::state\")]",
        );
    }
    for field in INDICATOR_STATES {
        config = config.field_attribute(
            format!(".burngate.v1.{field}"),
            "#[serde(serialize_with = \"crate::api::json::indicator_state\")]",
        );
    }
    config.compile_fds(descriptors)?;
    Ok(())
}
