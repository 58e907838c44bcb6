"""What is measured: each row is our way, another way to the same end, and the target.

How it is measured stands in measure.py.
"""

import json
import shutil
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from measure import Side, run

MIB = 1 << 20
RSS_LIMIT = 64 * MIB


@dataclass
class Row:
    """One line of the table."""

    name: str
    what: str
    ours: Side
    theirs: Side | None = None
    # Ours may take at most so much of their wall time; or, where there is nothing to compare with, so many seconds.
    ratio: float | None = None
    seconds: float | None = None
    # Ours may take at most so much of their memory; and never more than rss_limit.
    memory_ratio: float | None = None
    # How many times less than the other rows it is run.
    slow: int = 1
    rss_limit: int = RSS_LIMIT


class Bench:
    """The folders and the config that all rows share."""

    def __init__(self, binaries: Path, data: Path, scratch: Path, tools: Path):
        self.windlass, self.data, self.tools = binaries / "windlass", data, tools
        self.out = scratch / "out"
        shutil.rmtree(self.out, ignore_errors=True)
        self.out.mkdir(parents=True)
        self.config = self.out / "windlass.toml"
        self.pipelines: dict[str, str] = {}
        self.environment = {"BENCH_STORAGE": str(self.out / "django"), "PYTHONPATH": str(Path(__file__).parent)}

    def pipeline(self, name: str, source: dict, filters: list | None = None, storage: dict | None = None) -> None:
        """Adds a pipeline with a source and a storage of its own: a folder, unless `storage` says something else."""
        options = lambda values: "".join(f"{key} = {json.dumps(value)}\n" for key, value in values.items())
        storage = storage or {"plugin": "fs", "root": str(self.out / name)}
        text = f"[source.{name}]\n{options(source)}[storage.{name}]\n{options(storage)}"
        inline = ", ".join(
            "{ " + ", ".join(f"{key} = {json.dumps(value)}" for key, value in one.items()) + " }" for one in filters or []
        )
        text += f"[pipeline.{name}]\nsource = {json.dumps(name)}\nfilters = [{inline}]\nstorage = [{json.dumps(name)}]\n"
        self.pipelines[name] = text
        self.config.touch(mode=0o600)
        self.config.write_text('host = "bench"\n' + "\n".join(self.pipelines.values()))

    def argv(self, *arguments: str | Path) -> list[str]:
        state = self.out / "state"
        return [str(self.windlass), "-q", "-c", str(self.config), "--state-dir", str(state), *map(str, arguments)]

    def backup(self, name: str, source: dict, filters: list | None = None) -> Side:
        self.pipeline(name, source, filters)
        return Side("windlass backup", [[self.argv("backup", name)]], self.emptied(name), self.out / name)

    def restore(self, name: str, target: Path, *arguments: str) -> Side:
        """Restores the newest snapshot of a pipeline, which is made first if it isn't there."""
        argv = self.argv("restore", name, "--set", f"path={target}", "--yes", *arguments)
        return Side("windlass restore", [[argv]], self.having(name), target)

    def having(self, name: str) -> Callable[[], None]:
        def prepare() -> None:
            if not (self.out / name).exists():
                (self.out / name).mkdir()
                run(Side("", [[self.argv("backup", name)]]))

        return prepare

    def emptied(self, name: str) -> Callable[[], None]:
        def prepare() -> None:
            self.remove(name)()
            (self.out / name).mkdir()

        return prepare

    def remove(self, *names: str) -> Callable[[], None]:
        def prepare() -> None:
            for name in names:
                path = self.out / name
                shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)

        return prepare

    def shell(self, label: str, output: str, *work: list[list[str]], to_stdout: bool = False) -> Side:
        path = self.out / output
        return Side(label, list(work), self.remove(output), path, path if to_stdout else None)

    def django(self, command: str, *arguments: str) -> Side:
        argv = [str(self.tools / "venv/bin/python"), "-m", "django", command, "--noinput", "-v", "0", *arguments]
        environment = self.environment | {
            "DJANGO_SETTINGS_MODULE": "django_settings",
            "BENCH_DATABASE": str(self.data / "rollback.db"),
            "BENCH_MEDIA": str(self.data / "files"),
        }
        label = " ".join(["django-dbbackup", command, *arguments])

        return Side(label, [[argv]], self.emptied("django"), self.out / "django", env=environment)


def rows(bench: Bench) -> list[Row]:
    """Those that need no server, in the order of the table."""
    return [
        *sqlite_backups(bench),
        *sqlite_restores(bench),
        *files(bench),
        *streams(bench),
        *small(bench),
        *django(bench),
    ]


def sqlite_backups(bench: Bench) -> list[Row]:
    wal, rollback = str(bench.data / "shop.db"), str(bench.data / "rollback.db")
    of = lambda path: {"plugin": "sqlite", "path": path}
    copy = lambda path: bench.shell(
        'sqlite3 db ".backup f"', "copy.db", [["sqlite3", path, f".backup {bench.out / 'copy.db'}"]]
    )
    zstd = lambda: bench.shell(
        "zstd -3 -T0", "copy.zst", [["zstd", "-3", "-T0", "-q", wal, "-o", str(bench.out / "copy.zst")]]
    )
    pigz = lambda: bench.shell("pigz -6 -c", "copy.gz", [["pigz", "-6", "-c", wal]], to_stdout=True)
    plain = "SQLite, 500 MB"
    return [
        Row("sqlite", f"{plain}, WAL mode → fs", bench.backup("sqlite", of(wal)), copy(wal), 0.6),
        Row(
            "sqlite-rollback",
            f"{plain}, rollback-journal mode → fs",
            bench.backup("sqlite-rollback", of(rollback)),
            copy(rollback),
            0.6,
        ),
        Row(
            "sqlite-zstd",
            f"{plain} → zstd 3 → fs",
            bench.backup("sqlite-zstd", of(wal), [{"plugin": "zstd", "level": 3}]),
            zstd(),
            0.95,
        ),
        Row(
            "sqlite-zstd-16",
            f"{plain} → zstd 3, `threads = 16` → fs",
            bench.backup("sqlite-zstd-16", of(wal), [{"plugin": "zstd", "level": 3, "threads": 16}]),
            zstd(),
        ),
        Row(
            "sqlite-gzip",
            f"{plain} → gzip 6 → fs",
            bench.backup("sqlite-gzip", of(wal), [{"plugin": "gzip", "level": 6}]),
            pigz(),
            1.0,
            slow=2,
        ),
        Row(
            "sqlite-gzip-16",
            f"{plain} → gzip 6, `threads = 16` → fs",
            bench.backup("sqlite-gzip-16", of(wal), [{"plugin": "gzip", "level": 6, "threads": 16}]),
            slow=2,
        ),
    ]


def sqlite_restores(bench: Bench) -> list[Row]:
    wal = str(bench.data / "shop.db")
    stored, work, copy = bench.out / "stored.zst", bench.out / "work.db", bench.out / "by-hand.db"
    missing = bench.restore("sqlite-zstd", bench.out / "missing.db")
    to_nothing = Side(missing.label, missing.work, both(missing.prepare, bench.remove("missing.db")), missing.stored)

    def compressed() -> None:
        if not stored.exists():
            run(Side("", [[["zstd", "-3", "-T0", "-q", wal, "-o", str(stored)]]]))

    by_hand = Side(
        "zstd -d; cp; sqlite3 'pragma quick_check'",
        [
            [["zstd", "-d", "-q", str(stored), "-o", str(work)]],
            [["cp", str(work), str(copy)]],
            [["sqlite3", str(copy), "pragma quick_check"]],
        ],
        both(compressed, bench.remove("work.db", "by-hand.db")),
        copy,
    )
    live = bench.restore("sqlite-zstd", bench.out / "live.db", "--mode", "replace")
    holder = Holder(bench.data / "other.db", bench.out / "live.db")
    over = Side(live.label + " --mode replace", live.work, both(live.prepare, holder.prepare), live.stored)
    plain = "SQLite, 500 MB, stored with zstd 3"
    return [
        Row("sqlite-restore", f"{plain} → a missing target", to_nothing, by_hand, 0.95),
        Row("sqlite-restore-live", f"{plain} → over a live database of 250 MB", over, slow=2),
    ]


def both(*steps: Callable[[], None]) -> Callable[[], None]:
    def prepare() -> None:
        for step in steps:
            step()

    return prepare


class Holder:
    """Another program that has the target open."""

    def __init__(self, original: Path, target: Path):
        self.original, self.target = original, target
        self.connection: sqlite3.Connection | None = None

    def prepare(self) -> None:
        if self.connection:
            self.connection.close()
        for suffix in ["", "-wal", "-shm"]:
            self.target.with_name(self.target.name + suffix).unlink(missing_ok=True)
        shutil.copy(self.original, self.target)
        self.connection = sqlite3.connect(self.target)
        self.connection.execute("select count(*) from customers").fetchone()


def files(bench: Bench) -> list[Row]:
    def tar(name: str) -> Side:
        output = f"{name}.tar.zst"
        work = [["tar", "-C", str(bench.data), "-cf", "-", name], ["zstd", "-3", "-T0", "-q"]]
        return bench.shell("tar | zstd -3 -T0", output, work, to_stdout=True)

    zstd = [{"plugin": "zstd", "level": 3}]
    of = lambda name: {"plugin": "files", "roots": str(bench.data / name)}
    few, many = "20,000 files, 500 MB", "100,000 files, 200 MB"
    return [
        Row("files-zstd", f"{few} → zstd 3 → fs", bench.backup("files-zstd", of("files"), zstd), tar("files"), 1.0),
        Row(
            "files-zstd-16",
            f"{few} → zstd 3, `threads = 16` → fs",
            bench.backup("files-zstd-16", of("files"), [zstd[0] | {"threads": 16}]),
            tar("files"),
        ),
        Row("many-zstd", f"{many} → zstd 3 → fs", bench.backup("many-zstd", of("many"), zstd), tar("many")),
    ]


def streams(bench: Bench) -> list[Row]:
    noise = [str(bench.data / "noise")] * 64
    source = {
        "plugin": "command",
        "dump_command": ["cat", *noise],
        "restore_command": ["sh", "-c", "cat > /dev/null"],
    }
    what = "a stream of 4 GiB"
    backup = bench.backup("stream", source, [{"plugin": "zstd", "level": 3}])
    restore = Side("windlass restore", [[bench.argv("restore", "stream", "--mode", "replace", "--yes")]], bench.having("stream"))
    verify = Side("windlass verify --full", [[bench.argv("verify", "--full", "stream")]], bench.having("stream"))
    output = "stream.zst"
    by_hand = bench.shell("cat | zstd -3 -T0", output, [["cat", *noise], ["zstd", "-3", "-T0", "-q"]], to_stdout=True)
    return [
        Row("stream", f"{what} → zstd 3 → fs", backup, by_hand, slow=5),
        Row("stream-restore", f"{what}, stored with zstd 3 → a command", restore, slow=5),
        Row("stream-verify", f"{what}, stored with zstd 3, `verify --full`", verify, slow=5),
    ]


def small(bench: Bench) -> list[Row]:
    bench.pipeline("empty", {"plugin": "files", "roots": str(bench.data / "empty")})
    root = bench.out / "empty"
    listing = Side("windlass list", [[bench.argv("list", "--storage", "empty")]], lambda: root.mkdir(exist_ok=True), repeat=20)
    by_url = [str(bench.windlass), "list", "--storage", f"fs:{root}", "--host", "bench"]
    bare = Side("windlass list", [[by_url]], lambda: root.mkdir(exist_ok=True), repeat=20)
    return [
        Row("list", "`list` of an empty storage", listing, seconds=0.015),
        Row("list-url", "`list --storage fs:DIR`, empty, without a config", bare, seconds=0.015),
    ]


def django(bench: Bench) -> list[Row]:
    database = {"plugin": "sqlite", "path": str(bench.data / "rollback.db")}
    media = {"plugin": "files", "roots": str(bench.data / "files")}
    gzip, zstd = [{"plugin": "gzip"}], [{"plugin": "zstd"}]
    plain = lambda name, source: bench.backup(name, source)
    return [
        Row(
            "django-sqlite",
            "SQLite, 500 MB, plain",
            plain("django-sqlite", database),
            bench.django("dbbackup"),
            memory_ratio=0.1,
            slow=2,
        ),
        Row(
            "django-sqlite-z",
            "SQLite, 500 MB, compressed (zstd 3 against `-z`)",
            bench.backup("django-sqlite-z", database, zstd),
            bench.django("dbbackup", "-z"),
            0.1,
            memory_ratio=0.1,
            slow=5,
        ),
        Row(
            "django-sqlite-gzip",
            "SQLite, 500 MB, compressed (gzip 6 against `-z`)",
            bench.backup("django-sqlite-gzip", database, gzip),
            bench.django("dbbackup", "-z"),
            slow=5,
        ),
        Row(
            "django-media",
            "media: 20,000 files, 500 MB, plain",
            plain("django-media", media),
            bench.django("mediabackup"),
            memory_ratio=0.1,
            slow=2,
        ),
        Row(
            "django-media-z",
            "media: 20,000 files, 500 MB, compressed (zstd 3 against `-z`)",
            bench.backup("django-media-z", media, zstd),
            bench.django("mediabackup", "-z"),
            0.1,
            memory_ratio=0.1,
            slow=5,
        ),
    ]
