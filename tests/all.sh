#!/usr/bin/env bash
# tests/all.sh - every check of this repository, on a fresh Debian machine with only Rust.
#
#   tests/all.sh          install what is missing (apt, pip, npm, go, maven), then: fmt, clippy, docs, cargo test with
#                         every black-box suite (official SDKs, telemetrygen, a real Prometheus, a real Unleash)
#   tests/all.sh --long   the same, and the long proofs in release: a million walker cases, 130 kills with -9, a backend
#                         that is away for a minute, hostile input over and over, benches once
#   tests/all.sh --fast   no installs, no black-box suites: what plain `cargo test` can do on this machine
#
# The black-box suites use the clients, data and servers in ../shared. Where that folder is missing they are skipped, out
# loud. Everything they start listens on 127.0.0.1 and is stopped again; tools are cached under target/tools.
set -euo pipefail
cd "$(dirname "$0")/.."

LONG=0 FAST=0
for arg in "$@"; do
  case $arg in
    --long) LONG=1 ;;
    --fast) FAST=1 ;;
    -h | --help) sed -n '2,14p' "$0" | sed 's/^# \{0,1\}//'; exit 0 ;;
    *) echo "all.sh: unknown option $arg (try --help)" >&2; exit 64 ;;
  esac
done

TOOLS=${CARGO_TARGET_DIR:-$PWD/target}/tools
SHARED=$PWD/../shared
STARTED=$SECONDS

step() { printf '\n==> %s (%ds)\n' "$*" $((SECONDS - STARTED)); }

as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi; }

# Debian packages by the command that each one brings; only missing ones are installed.
install_debian() {
  local missing=() pair
  for pair in cc:build-essential python3:python3 node:nodejs npm:npm prometheus:prometheus promtool:prometheus \
    curl:curl go:golang-go java:default-jdk-headless mvn:maven; do
    command -v "${pair%%:*}" >/dev/null || missing+=("${pair##*:}")
  done
  python3 -c 'import venv, ensurepip' 2>/dev/null || missing+=(python3-venv)
  compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null || missing+=(postgresql)
  [ ${#missing[@]} = 0 ] && return
  step "installing Debian packages: ${missing[*]}"
  export DEBIAN_FRONTEND=noninteractive
  as_root apt-get update -qq
  as_root apt-get install -y -qq --no-install-recommends "${missing[@]}"
}

# The official SDK clients: a Python environment and node_modules, remade only when their lock files change.
install_clients() {
  [ -d "$SHARED/tools/clients" ] || { echo "skipped: ../shared is not here, so no SDK clients"; return; }
  mkdir -p "$TOOLS"
  local req=$SHARED/tools/clients/requirements.txt lock=$SHARED/tools/clients/js/package-lock.json
  if ! cmp -s "$req" "$TOOLS/requirements.txt"; then
    step "Python SDK clients"
    rm -rf "$TOOLS/venv"
    python3 -m venv "$TOOLS/venv"
    "$TOOLS/venv/bin/pip" install -q --disable-pip-version-check -r "$req" 'UnleashClient>=6,<7'
    cp "$req" "$TOOLS/requirements.txt"
  fi
  if ! cmp -s "$lock" "$TOOLS/js/package-lock.json"; then
    step "JavaScript SDK clients"
    rm -rf "$TOOLS/js"
    mkdir -p "$TOOLS/js"
    cp "$SHARED"/tools/clients/js/*.mjs "$SHARED"/tools/clients/js/package.json "$TOOLS/js/"
    (cd "$TOOLS/js" && cp "$lock" . && npm ci --silent --no-audit --no-fund --ignore-scripts)
  fi
}

# The official clients of tests/act_launchdarkly.rs.
install_launchdarkly() {
  mkdir -p "$TOOLS"
  if [ ! -x "$TOOLS/launchdarkly/bin/python" ]; then
    step "LaunchDarkly's Python clients"
    python3 -m venv "$TOOLS/launchdarkly"
    "$TOOLS/launchdarkly/bin/pip" install -q --disable-pip-version-check 'launchdarkly-api>=25,<26' \
      'launchdarkly-server-sdk>=9,<10'
  fi
  if [ ! -d "$TOOLS/launchdarkly-js/node_modules" ]; then
    step "LaunchDarkly's Node SDK"
    mkdir -p "$TOOLS/launchdarkly-js"
    (cd "$TOOLS/launchdarkly-js" && npm install --silent --no-audit --no-fund --ignore-scripts \
      @launchdarkly/node-server-sdk@9)
  fi
}

# The evaluator of tests/act_flagd.rs.
install_flagd() {
  if [ ! -x "$TOOLS/flagd/bin/python" ]; then
    step "OpenFeature's flagd provider"
    mkdir -p "$TOOLS"
    python3 -m venv "$TOOLS/flagd"
    "$TOOLS/flagd/bin/pip" install -q --disable-pip-version-check 'openfeature-provider-flagd>=0.6,<0.7'
  fi
}

# The clients of tests/interop.rs: what the shared ones lack. Each is remade only when what it comes from changes.
TELEMETRYGEN=v0.161.0
TOXIPROXY=v2.5.0
install_interop() {
  mkdir -p "$TOOLS/bin"
  local logs=exporter-logs-otlp from=tests/interop
  if [ -d "$TOOLS/js" ] && [ ! -d "$TOOLS/js/node_modules/@opentelemetry/$logs-proto" ]; then
    step "JavaScript log exporters"
    (cd "$TOOLS/js" && npm install --silent --no-save --no-audit --no-fund --ignore-scripts \
      @opentelemetry/sdk-logs@0.223.0 "@opentelemetry/$logs-"{grpc,http,proto}@0.223.1)
  fi
  if [ "$(cat "$TOOLS/bin/telemetrygen.version" 2>/dev/null)" != $TELEMETRYGEN ]; then
    step "telemetrygen $TELEMETRYGEN"
    GOBIN=$TOOLS/bin go install \
      github.com/open-telemetry/opentelemetry-collector-contrib/cmd/telemetrygen@$TELEMETRYGEN
    echo $TELEMETRYGEN >"$TOOLS/bin/telemetrygen.version"
  fi
  if [ "$(cat "$TOOLS/bin/toxiproxy.version" 2>/dev/null)" != $TOXIPROXY ]; then
    step "toxiproxy $TOXIPROXY"
    GOBIN=$TOOLS/bin go install github.com/Shopify/toxiproxy/v2/cmd/server@$TOXIPROXY
    mv "$TOOLS/bin/server" "$TOOLS/bin/toxiproxy-server"
    echo $TOXIPROXY >"$TOOLS/bin/toxiproxy.version"
  fi
  # Go knows by itself whether there is something to do.
  step "Go SDK client"
  (cd $from/go && go build -o "$TOOLS/bin/emit_go" .)
  if ! cmp -s $from/java/pom.xml "$TOOLS/java.pom.xml"; then
    step "Java SDK"
    rm -rf "$TOOLS/java"
    mvn -q -B -f $from/java/pom.xml -DoutputDirectory="$TOOLS/java" \
      org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies
    cp $from/java/pom.xml "$TOOLS/java.pom.xml"
  fi
}

# rustfmt and clippy come with Rust's default profile; a minimal one is completed here.
install_rust_parts() {
  local part
  for part in fmt:rustfmt clippy:clippy; do
    cargo "${part%%:*}" --version >/dev/null 2>&1 || rustup component add "${part##*:}"
  done
}

install_rust_parts
if [ $FAST = 0 ]; then
  install_debian
  install_clients
  install_launchdarkly
  install_flagd
  install_interop
  if [ -d "$SHARED/tools" ]; then export BURNGATE_NO_SKIP=1; fi
fi
export BURNGATE_TOOLS=$TOOLS

# Everything is built once and from nothing: what would make a second build faster only costs time and gigabytes.
export CARGO_INCREMENTAL=${CARGO_INCREMENTAL:-0}

step "format"
cargo fmt --check
step "clippy"
cargo clippy --locked --all-targets -- -D warnings
step "docs"
RUSTDOCFLAGS='-D warnings' cargo doc --locked --no-deps --quiet
step "shell scripts parse"
for script in tests/*.sh .ci/run; do bash -n "$script"; done
step "tests"
cargo test --locked --no-fail-fast

if [ $LONG = 1 ]; then
  # Every test that has a long run, as tests/tidy.rs checks; ledger_month for its figure.
  step "long proofs, in release: a million walker cases, the ledger against its model, 30 days of minutes, the kill rule's error rates, kill -9, chaos"
  BURNGATE_LONG=1 cargo test --locked --release --test wire_fuzz --test forged --test simulate --test ledger_property --test ledger_month \
    --test cohort_counts --test process_edit --test store_crash --test crash --test chaos --test hostile -- --nocapture
  step "a flood of ten million cohorts"
  BURNGATE_LONG=1 cargo test --locked --release --lib cohort::registry
  step "two million states of a kill's life"
  BURNGATE_LONG=1 cargo test --locked --release --lib decide::life
  step "probations in every order of a handful of events"
  BURNGATE_LONG=1 cargo test --locked --release --lib decide::probation
  step "a thousand bad canaries"
  BURNGATE_LONG=1 cargo test --locked --release --lib decide::canary
  step "benches, one quick round each"
  cargo bench --locked --bench walk --bench tally --bench ledger --bench edit --bench gateway --bench collector -- --test
  step "the demo, in release"
  cargo run --locked --release -- demo --plain
fi
step "all passed"
