#!/usr/bin/env bash
# Installs what the tests (`test`) or the benchmarks (`bench`) need beside the Rust toolchain. Does nothing when all is there.
set -euo pipefail
cd "$(dirname "$0")/.."

# Program, and the Debian package that has it. The tests prove with these that Windlass isn't needed to read what it stored.
test_tools=(sqlite3:sqlite3 zstd:zstd gzip:gzip tar:tar sha256sum:coreutils)
bench_tools=(pigz:pigz python3:python3)
venv=.tools/venv

main() {
    command -v cargo >/dev/null || fail "no cargo: install Rust by https://rustup.rs"
    command -v cc >/dev/null || fail "no C compiler: install one (Debian: apt-get install gcc libc6-dev)"
    case ${1:-test} in
        test) programs "${test_tools[@]}" ;;
        bench)
            programs "${bench_tools[@]}"
            python_tools
            ;;
        *) fail "usage: $0 test|bench" ;;
    esac
}

programs() {
    local entry missing=()
    for entry in "$@"; do
        command -v "${entry%%:*}" >/dev/null || missing+=("${entry##*:}")
    done
    if [[ " $* " == *" python3:"* ]] && ! python3 -c 'import ensurepip, venv' 2>/dev/null; then
        missing+=(python3-venv)
    fi
    [[ ${#missing[@]} -eq 0 ]] && return
    if ! command -v apt-get >/dev/null; then
        fail "not installed: ${missing[*]} (these are Debian's names); install them with your system's package manager"
    fi
    if [[ $(id -u) -ne 0 ]]; then
        fail "not installed: ${missing[*]}; run: sudo apt-get install ${missing[*]}"
    fi
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq </dev/null
    apt-get install -y -qq --no-install-recommends "${missing[@]}" </dev/null
}

# Kept inside the checkout, in an ignored folder.
python_tools() {
    cmp -s .ci/bench-requirements.txt "$venv/requirements.txt" && return
    rm -rf "$venv"
    python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet --disable-pip-version-check -r .ci/bench-requirements.txt </dev/null
    cp .ci/bench-requirements.txt "$venv/requirements.txt"
}

fail() {
    echo "setup: $*" >&2
    exit 1
}

main "$@"
