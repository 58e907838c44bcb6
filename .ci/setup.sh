#!/usr/bin/env bash
# Installs what the tests (`test`) or the benchmarks (`bench`) need beside the Rust toolchain. Does nothing when all is there.
# `packages` is the part that needs root.
set -euo pipefail
cd "$(dirname "$0")/.."

# Program or file, and the Debian package that has it. The tests prove with these that Windlass isn't needed to read what it stored.
test_tools=(sqlite3:sqlite3 zstd:zstd gzip:gzip xz:xz-utils bzip2:bzip2 lz4:lz4 brotli:brotli tar:tar age:age gpg:gnupg ssh-keygen:openssh-client curl:curl sha256sum:coreutils python3:python3 openssl:openssl)
# The servers that tests start for themselves (tests/servers). None needs to run, and none is left running or enabled.
test_servers=(
    /usr/lib/postgresql/15/bin/postgres:postgresql-15
    /usr/share/postgresql/15/extension/postgis.control:postgresql-15-postgis-3
    /usr/sbin/mariadbd:mariadb-server
    redis-server:redis-server
    etcd:etcd-server
    etcdctl:etcd-client
    /usr/sbin/sshd:openssh-server
    /usr/sbin/vsftpd:vsftpd
    /usr/lib/python3/dist-packages/pyftpdlib:python3-pyftpdlib
    /usr/lib/python3/dist-packages/OpenSSL:python3-openssl
    node:nodejs
    npm:npm
)
services=(postgresql mariadb redis-server etcd ssh vsftpd)
bench_tools=(pigz:pigz age:age gpg:gnupg xz:xz-utils python3:python3 openssl:openssl)

main() {
    case ${1:-test} in
        test)
            toolchain
            programs "${test_tools[@]}" "${test_servers[@]}"
            python_tools .tools/venv-test .ci/test-requirements.txt
            node_tool azurite 3.37.0
            ;;
        bench)
            toolchain
            programs "${bench_tools[@]}"
            python_tools .tools/venv .ci/bench-requirements.txt
            ;;
        packages) programs "${test_tools[@]}" "${test_servers[@]}" "${bench_tools[@]}" ;;
        *) fail "usage: $0 test|bench|packages" ;;
    esac
}

toolchain() {
    command -v cargo >/dev/null || fail "no cargo: install Rust by https://rustup.rs"
    command -v cc >/dev/null || fail "no C compiler: install one (Debian: apt-get install gcc libc6-dev)"
}

programs() {
    local entry missing=()
    for entry in "$@"; do
        command -v "${entry%%:*}" >/dev/null || [[ -e ${entry%%:*} ]] || missing+=("${entry##*:}")
    done
    if [[ " $* " == *" python3:"* ]] && ! python3 -c 'import ensurepip, venv' 2>/dev/null; then
        missing+=(python3-venv)
    fi
    [[ ${#missing[@]} -eq 0 ]] && return
    if ! command -v apt-get >/dev/null; then
        fail "not installed: ${missing[*]} (these are Debian's names); install them with your system's package manager"
    fi
    if [[ $(id -u) -ne 0 ]]; then
        fail "not installed: ${missing[*]}; run: sudo .ci/setup.sh packages"
    fi
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq </dev/null
    without_services apt-get install -y -qq --no-install-recommends "${missing[@]}" </dev/null
}

# Runs a command that installs packages; services that come with them are neither started nor enabled. Those that were
# there before stay as they are.
without_services() {
    local policy=/usr/sbin/policy-rc.d service new=() status=0
    for service in "${services[@]}"; do
        [[ -e /etc/init.d/$service ]] || new+=("$service")
    done
    if [[ ! -e $policy ]]; then
        trap 'rm -f /usr/sbin/policy-rc.d' EXIT
        printf '#!/bin/sh\nexit 101\n' >"$policy"
        chmod 755 "$policy"
    fi
    "$@" || status=$?
    for service in "${new[@]}"; do
        [[ -e /etc/init.d/$service ]] || continue
        update-rc.d "$service" disable || status=$?
    done
    return "$status"
}

# Installs Python packages into a virtual environment $1 by the list $2. It is kept inside the checkout, in an ignored folder.
python_tools() {
    cmp -s "$2" "$1/requirements.txt" && return
    rm -rf "$1"
    python3 -m venv "$1"
    "$1/bin/pip" install --quiet --disable-pip-version-check -r "$2" </dev/null
    cp "$2" "$1/requirements.txt"
}

# Installs the npm package $1 in version $2, with what it needs, into a folder of its own inside the checkout.
node_tool() {
    local folder=.tools/$1
    [[ -f $folder/version && $(<"$folder/version") == "$2" ]] && return
    rm -rf "$folder"
    mkdir -p "$folder"
    npm install --silent --no-audit --no-fund --ignore-scripts --prefix "$folder" "$1@$2" </dev/null
    echo "$2" >"$folder/version"
}

fail() {
    echo "setup: $*" >&2
    exit 1
}

main "$@"
