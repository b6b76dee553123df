#!/usr/bin/env bash
# Builds the Go Collector that benches/collector.rs measures beside burngate. Needs Go.
set -euo pipefail
cd "$(dirname "$0")/../.."
mkdir -p target/tools
go install go.opentelemetry.io/collector/cmd/builder@v0.162.0
"$(go env GOPATH)/bin/builder" --config benches/collector/builder.yaml
