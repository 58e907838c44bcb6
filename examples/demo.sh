#!/bin/sh
# Backs up a live database and a folder, destroys both, restores them and proves that they are equal.
#   examples/demo.sh FOLDER-OF-THE-BINARY        (`make demo` builds first)
# Needs a shell and the usual small tools, no database program. Everything lies in a fresh folder below .scratch.
set -eu
export LC_ALL=C

bin=$(cd "${1:?usage: $0 FOLDER-OF-THE-BINARY}" && pwd)
repo=$(cd "$(dirname "$0")/.." && pwd)
mkdir -p "$repo/.scratch"
place=$(mktemp -d "$repo/.scratch/demo-XXXXXX")
cd "$place"

# Nothing of the user's is read or written: no config, no plugins, no state folder.
unset WINDLASS_CONFIG WINDLASS_CONFIG_TOML WINDLASS_PLUGIN_PATH
export WINDLASS_HOST=demo XDG_DATA_HOME="$place/.data" XDG_STATE_HOME="$place/.state"
PATH=$bin:$PATH
writer=$bin/examples/demo-writer

seller=
finish() {
    status=$?
    stop_selling
    [ "$status" -eq 0 ] || echo "demo: failed; what there is lies in $place" >&2
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

main() {
    step "A database and a folder"
    make_database
    make_media
    write_config

    step "Another program begins to write to the database; is all fit for a backup?"
    "$writer" sell shop.db &
    seller=$!
    until [ "$("$writer" count shop.db)" -gt "$seeded" ]; do sleep 0.1; done
    run windlass check

    step "Both are backed up, while the other program goes on"
    before=$("$writer" count shop.db)
    run windlass backup --all
    after=$("$writer" count shop.db)
    stop_selling
    [ "$after" -gt "$before" ] || fail "the other program wrote nothing meanwhile"
    echo "(orders 1 to $before were there before it began, $((after - before)) came in meanwhile)"
    run windlass list

    step "What is stored can be read back, every byte"
    run windlass verify --full

    step "Disaster"
    orders=$("$writer" audit shop.db "$before")
    media=$(describe media)
    run rm -rf shop.db shop.db-wal shop.db-shm media

    step "Everything comes back"
    run windlass restore shop
    run windlass restore media

    step "Is it the same?"
    [ "$("$writer" audit shop.db "$before")" = "$orders" ] || fail "the orders differ"
    echo "shop.db: sound, its tables agree, and orders 1 to $before are equal ($("$writer" count shop.db) came back)"
    [ "$(describe media)" = "$media" ] || fail "the folder differs"
    echo "media:   $(describe media | wc -l) facts about names, bytes, modes, times and links are equal"

    try_next
}

# The seed is loaded by Windlass itself: SQL text is one of the formats that it restores from.
seeded=20000
make_database() {
    cat >shop.sql <<SQL
BEGIN;
CREATE TABLE orders(id INTEGER PRIMARY KEY, item TEXT NOT NULL, body BLOB);
CREATE TABLE takings(orders INTEGER NOT NULL);
WITH RECURSIVE n(i) AS (VALUES(1) UNION ALL SELECT i + 1 FROM n WHERE i < $seeded)
    INSERT INTO orders SELECT i, 'item ' || i % 100, randomblob(200) || zeroblob(200) FROM n;
INSERT INTO takings SELECT count(*) FROM orders;
COMMIT;
SQL
    run windlass restore --input shop.sql --to sqlite:shop.db --format sqlite-sql/1
}

make_media() {
    mkdir -p media/2024 media/2025 media/empty
    number=1
    while [ $number -le 60 ]; do
        head -c $((number * 700)) /dev/urandom >"media/2024/picture-$number.jpg"
        head -c 3000 /dev/zero >"media/2025/scan $number.tif"
        number=$((number + 1))
    done
    echo "Grüße" >"media/2025/grüße.txt"
    ln -s ../2024/picture-1.jpg media/2025/best.jpg
    ln media/2024/picture-2.jpg media/2025/twin.jpg
    chmod 600 media/2024/picture-3.jpg
    chmod 750 media/2024
    touch -d '2019-03-01 12:00:00.123456789' media/2024/picture-4.jpg media/empty
    echo "Made a folder media with $(set -- media/*/*.*; echo $#) files"
}

write_config() {
    cat >windlass.toml <<'TOML'
[source.shop]
plugin = "sqlite"
path   = "shop.db"

[source.media]
plugin = "files"
roots  = ["media"]

[storage.local]
plugin      = "fs"
root        = "backups"
create_root = true

[pipeline.shop]
source  = "shop"
filters = ["zstd"]
storage = ["local"]

[pipeline.media]
source  = "media"
filters = ["gzip"]
storage = ["local"]
TOML
    run cat windlass.toml
}

# Names, kinds, modes, owners, links, times to the nanosecond; and what is in the files.
describe() {
    stat -c '%N %A %h %u:%g %y' "$1" "$1"/* "$1"/*/*
    sha256sum "$1"/*/*.*
}

stop_selling() {
    [ -n "$seller" ] || return 0
    kill "$seller" 2>/dev/null || true
    wait "$seller" 2>/dev/null || true
    seller=
}

step() { printf '\n── %s\n' "$1"; }

run() {
    echo "\$ $*"
    "$@"
}

fail() {
    echo "demo: $1" >&2
    exit 1
}

try_next() {
    step "All proofs hold. What to try next"
    cat <<TEXT
cd $place
export PATH=$bin:\$PATH WINDLASS_HOST=demo XDG_STATE_HOME=$place/.state

windlass show shop                                  # one snapshot in full
cat backups/demo/shop/*/RESTORE.txt                 # how to restore without Windlass
windlass restore shop --to sqlite:copy.db           # into another database
windlass restore media --set target=elsewhere       # into another folder
windlass restore media --mode replace --dry-run     # what would be overwritten
windlass backup files:/etc/ssl --storage fs:backups # without a config
windlass plugins list
windlass --help

Remove it all with: rm -r $place
TEXT
}

main
