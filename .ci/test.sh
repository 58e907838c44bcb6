#!/usr/bin/env bash
# Runs phases of the tests, by name, or all of them, and tells how long each took. Stops at the first that fails.
set -euo pipefail
cd "$(dirname "$0")/.."

# Scratch files stay inside the checkout, in an ignored folder, and go when the run ends.
mkdir -p .scratch
TMPDIR=$(mktemp -d "$PWD/.scratch/test-XXXXXX")
export TMPDIR
trap finish EXIT

all=(format clippy dependencies unit conformance end-to-end demo docs)

phase_format() { cargo fmt --all --check; }

phase_clippy() { cargo clippy --workspace --all-targets -- -D warnings; }

# Not in `setup`: it takes longer to build than all of Windlass.
phase_dependencies() {
    if cargo deny --version >/dev/null 2>&1; then
        cargo deny --log-level error check bans licenses sources
    else
        echo "cargo-deny is not installed: licences and sources of dependencies are not checked"
    fi
}

# Every phase selects the whole workspace, so that Cargo chooses the same features and builds nothing twice.
phase_unit() {
    if nextest; then
        cargo nextest run --workspace --lib --bins --no-fail-fast
    else
        cargo test --workspace --lib --bins --no-fail-fast
    fi
    cargo test --workspace --doc --no-fail-fast
}

# The suites that every plugin runs, and the other tests beside the crates.
phase_conformance() {
    if nextest; then
        cargo nextest run --workspace --no-fail-fast -E 'kind(test) and not package(windlass)'
    else
        tests_named plugins/*/tests/*.rs tests/servers/tests/*.rs plugin-api/tests/*.rs plugin-api/*/tests/*.rs plugin-api/*/tests/*/main.rs tests/plugins/*/tests/*.rs
    fi
}

# Through the real binary and real shared libraries.
phase_end-to-end() {
    if nextest; then
        cargo nextest run --workspace --no-fail-fast -E 'kind(test) and package(windlass)'
    else
        tests_named tests/*.rs
    fi
}

phase_sqlite() {
    if nextest; then
        cargo nextest run --workspace --no-fail-fast \
            -E 'package(windlass-source-sqlite) or (kind(test) and package(windlass) and (test(sqlite) or binary(/sqlite/)))'
    else
        cargo test --package windlass-source-sqlite --no-fail-fast
        cargo test --package windlass --no-fail-fast --test '*' -- sqlite
    fi
}

phase_demo() { make --no-print-directory demo </dev/null; }

phase_docs() {
    RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps
    cargo test --workspace --test docs --test contributing --test changelog
}

nextest() { cargo nextest --version >/dev/null 2>&1; }

tests_named() {
    local file targets=()
    for file in "$@"; do
        # A test is a file, or a folder with a main.rs.
        [[ -e $file ]] && targets+=(--test "$(basename "${file%/main.rs}" .rs)")
    done
    cargo test --workspace --no-fail-fast "${targets[@]}"
}

finish() {
    local status=$?
    chmod -R u+rwX "$TMPDIR" 2>/dev/null || true
    rm -rf "$TMPDIR"
    printf '\n%s' "$summary"
    if [[ $status -eq 0 ]]; then
        echo "all passed in $(minutes $SECONDS)"
    else
        echo "failed: ${phase:-nothing was run}" >&2
    fi
}

minutes() { printf '%d min %02d s' $(($1 / 60)) $(($1 % 60)); }

summary=""
phases=("$@")
[[ $# -gt 0 ]] || phases=("${all[@]}")
for phase in "${phases[@]}"; do
    echo "── $phase"
    started=$SECONDS
    "phase_$phase"
    summary+=$(printf '%-14s %s' "$phase" "$(minutes $((SECONDS - started)))")$'\n'
done
