#!/usr/bin/env bash
# Measures Windlass against other tools: run.sh <folder with the release binary> [options of run.py].
# `make bench` calls it; tests/bench/run.sh target/release --help says what else it can do.
set -euo pipefail
binaries=$(cd "${1:?usage: run.sh <folder with the release binary> [options]}" && pwd)
shift
cd "$(dirname "$0")/../.."
cargo build --quiet --workspace --release --example plugin_load --example serve
exec python3 tests/bench/run.py "$binaries" "$@"
