"""The rows of a storage by network: S3 of a SeaweedFS on this machine, beside rclone with as many requests in flight.

The other rows stand in rows.py, filter_rows.py and server_rows.py.
"""

import hashlib
import http.client
import json
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta

from filter_rows import cat
from measure import Side, run
from rows import MIB, Bench, Row, both
from servers import Server, serve

RSS_LIMIT = 96 * MIB
BUCKET = "bench"
# What the plugin has by default, for both.
CONCURRENCY, PART_MIB = 4, 8
SNAPSHOTS = 10_000
# As many manifests are held at once, as text and as what they say.
LIST_RSS_LIMIT = 128 * MIB


def storage_rows(bench: Bench, has_wanted: Callable[[str], bool]) -> Iterator[Row]:
    if has_wanted("s3"):
        with serve(bench.windlass.parent / "examples", "s3") as server:
            yield from transfers(bench, server)
            yield from listings(bench, server)


def storage(server: Server, prefix: str) -> dict:
    return {
        "plugin": "s3",
        "bucket": BUCKET,
        "prefix": prefix,
        "preset": "seaweedfs",
        "endpoint": f"http://{server.host}:{server.port}",
        "access_key_id": server.user,
        "secret_access_key": server.password,
    }


def transfers(bench: Bench, server: Server) -> Iterator[Row]:
    path, copy = bench.data / "shop.db", bench.out / "copy.db"
    bench.pipeline("s3-upload", cat(path), storage=storage(server, "ours"))
    backup = Side("windlass backup", [[bench.argv("backup", "s3-upload")]], lambda: remove(server, "ours"))
    remote = f"bench:{BUCKET}/theirs/shop.db"
    rclone = [str(bench.tools / "venv-test/bin/rclone"), "copyto", "--config", "/dev/null", "--s3-no-check-bucket"]
    parallel = ["--s3-upload-concurrency", str(CONCURRENCY), "--s3-chunk-size", f"{PART_MIB}Mi", "--s3-upload-cutoff", f"{PART_MIB}Mi"]
    environment = {
        "RCLONE_CONFIG_BENCH_TYPE": "s3",
        "RCLONE_CONFIG_BENCH_PROVIDER": "SeaweedFS",
        "RCLONE_CONFIG_BENCH_ENDPOINT": f"http://{server.host}:{server.port}",
        "RCLONE_CONFIG_BENCH_ACCESS_KEY_ID": server.user,
        "RCLONE_CONFIG_BENCH_SECRET_ACCESS_KEY": server.password,
    }
    label = f"rclone copyto, {CONCURRENCY} at once"
    upload = Side(label, [[[*rclone, *parallel, str(path), remote]]], lambda: remove(server, "theirs"), env=environment)
    what = f"S3, 500 MB, {CONCURRENCY} parts of {PART_MIB} MiB at once"
    yield Row("s3-upload", f"{what}, upload", backup, upload, 1.0, rss_limit=RSS_LIMIT)

    def stored(side: Side, prefix: str) -> Callable[[], None]:
        def prepare() -> None:
            if not exists(server, prefix):
                run(side)

        return prepare

    decoded = bench.out / "decoded"
    argv = bench.argv("restore", "s3-upload", "--output", decoded)
    ours = Side("windlass restore --output", [[argv]], both(stored(backup, "ours"), bench.remove("decoded")), decoded)
    streams = ["--multi-thread-streams", str(CONCURRENCY), "--multi-thread-chunk-size", f"{PART_MIB}Mi", "--multi-thread-cutoff", f"{PART_MIB}Mi"]
    download = [[*rclone, *streams, remote, str(copy)]]
    # What we always do.
    to_disk = [["sync", str(copy)]]
    prepare = both(stored(upload, "theirs"), bench.remove("copy.db"))
    theirs = Side(label, [download], prepare, copy, env=environment)
    yield Row("s3-download", f"{what}, download", ours, theirs, 1.0, rss_limit=RSS_LIMIT)
    theirs = Side("rclone copyto; sync", [download, to_disk], prepare, copy, env=environment)
    yield Row("s3-download-synced", f"{what}, download to the disk", ours, theirs, rss_limit=RSS_LIMIT)


def listings(bench: Bench, server: Server) -> Iterator[Row]:
    bench.pipeline("s3-list", {"plugin": "command", "dump_command": ["echo", "row"]}, storage=storage(server, "listed"))
    run(Side("", [[bench.argv("backup", "s3-list")]]))
    print("bench: filling s3", flush=True)
    fill(server)
    argv = bench.argv("list", "s3-list")
    what = f"S3, `list` of {SNAPSHOTS:,} snapshots"
    yield Row("s3-list", f"{what}, listed before", Side("windlass list", [[argv]]), seconds=2.0, rss_limit=LIST_RSS_LIMIT)
    forget = lambda: shutil.rmtree(bench.out / "state/manifests")
    yield Row("s3-list-cold", f"{what}, never listed before", Side("windlass list", [[argv]], forget), rss_limit=LIST_RSS_LIMIT)


def fill(server: Server) -> None:
    """Puts the one snapshot that is there in place under as many ids, one for each hour."""
    place = f"/buckets/{BUCKET}/listed/bench/s3-list/"
    (first,) = names(server, place)
    objects = {name: ask(server, "GET", f"{place}{first}/{name}") for name in names(server, f"{place}{first}/")}
    manifest = json.loads(objects.pop("manifest.json"))["manifest"]
    begun = datetime(2026, 1, 1)

    def put(number: int) -> None:
        snapshot = f"{begun + timedelta(hours=number):%Y%m%dT%H%M%SZ}-aaaa"
        text = json.dumps(manifest | {"id": snapshot, "sequence": number + 2})
        digest = hashlib.sha256(text.encode()).hexdigest()
        envelope = f'{{"manifest": {text}, "sha256": "{digest}"}}'
        for name, body in (objects | {"manifest.json": envelope.encode()}).items():
            ask(server, "PUT", f"{place}{snapshot}/{name}", body)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(put, range(SNAPSHOTS - 1)))


def names(server: Server, folder: str) -> list[str]:
    listed = json.loads(ask(server, "GET", folder, accept="application/json"))
    return [entry["FullPath"].rsplit("/", 1)[1] for entry in listed["Entries"] or []]


def exists(server: Server, prefix: str) -> bool:
    return status(server, "GET", f"/buckets/{BUCKET}/{prefix}/") == 200


def remove(server: Server, prefix: str) -> None:
    status(server, "DELETE", f"/buckets/{BUCKET}/{prefix}/?recursive=true")


def ask(server: Server, method: str, path: str, body: bytes = b"", accept: str = "*/*") -> bytes:
    connection = http.client.HTTPConnection(server.host, int(server.facts["filer"]))
    connection.request(method, path, body, {"Accept": accept})
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    if answer.status >= 300:
        raise SystemExit(f"bench: {method} {path}: {answer.status}")
    return content


def status(server: Server, method: str, path: str) -> int:
    connection = http.client.HTTPConnection(server.host, int(server.facts["filer"]))
    connection.request(method, path, headers={"Accept": "application/json"})
    answer = connection.getresponse()
    answer.read()
    connection.close()
    return answer.status
