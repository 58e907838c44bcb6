"""The rows that need a database server: each group starts its own, fills it, and ends it after its last row.

How a server is started and filled stands in servers.py; the other rows, in rows.py.
"""

from collections.abc import Callable, Iterator

from measure import Side, run
from rows import MIB, Bench, Row, both
from servers import Server, fill_mariadb, fill_postgres, fill_redis, serve

# Of host and plugins; the database's own programs aren't in it unless they take more.
RSS_LIMIT = 96 * MIB
ZSTD = [{"plugin": "zstd", "level": 3}]
COMPRESS = ["zstd", "-3", "-T0", "-q"]
MARIADB_DUMP = ["--single-transaction", "--quick", "--routines", "--triggers", "--events", "--hex-blob"]


def server_rows(bench: Bench, is_wanted: Callable[[str], bool]) -> Iterator[Row]:
    """The wanted ones, in the order of the table."""
    groups = {"postgres": (fill_postgres, postgres), "mariadb": (fill_mariadb, mariadb), "redis": (fill_redis, redis)}
    for kind, (fill, rows) in groups.items():
        if not is_wanted(kind):
            continue
        with serve(bench.windlass.parent / "examples", kind) as server:
            print(f"bench: filling {kind}", flush=True)
            fill(server, bench.data)
            yield from rows(bench, server)


def postgres(bench: Bench, server: Server) -> Iterator[Row]:
    what = "PostgreSQL, 500 MB"
    source = url(server, "postgres", "shop")
    parallel = source | {"format": "parallel", "jobs": 2}
    dump = [*server.postgres_program("pg_dump"), "-Fc", "-Z0", "shop"]
    folder = bench.out / "by-hand.d"
    to_folder = [*server.postgres_program("pg_dump"), "-Fd", "-j2", "-Z0", "-f", str(folder), "shop"]
    by_hand = piped(bench, server, "pg_dump -Fc -Z0 | zstd -3 -T0", "by-hand.pg.zst", [dump, COMPRESS])
    in_jobs = Side("pg_dump -Fd -j2 -Z0", [[to_folder]], bench.remove(folder.name), folder, env=server.environment())
    serial = bench.backup("postgres", source)
    with_zstd = bench.backup("postgres-zstd", source, ZSTD)
    yield row("postgres", f"{what} → fs", serial, piped(bench, server, "pg_dump -Fc -Z0", "by-hand.pg", [dump]))
    yield row("postgres-zstd", f"{what} → zstd 3 → fs", with_zstd, by_hand, 0.95)
    in_parallel = bench.backup("postgres-parallel", parallel)
    yield row("postgres-parallel", f'{what}, `format = "parallel"` → fs', in_parallel, in_jobs, 1.0)
    against_serial = Side('windlass backup, format = "custom"', serial.work, serial.prepare, serial.stored)
    yield row("postgres-parallel-serial", f'{what}, `format = "parallel"` → fs', in_parallel, against_serial, 0.75)
    yield row(
        "postgres-parallel-zstd",
        f'{what}, `format = "parallel"` → zstd 3 → fs',
        bench.backup("postgres-parallel-zstd", parallel, ZSTD),
        with_zstd,
    )
    yield from postgres_restores(bench, server, by_hand, in_jobs)
    yield row(
        "postgres-django-z",
        f"{what}, compressed (zstd 3 against `-z`)",
        with_zstd,
        django(bench, server),
        slow=5,
    )


def postgres_restores(bench: Bench, server: Server, by_hand: Side, folder: Side) -> Iterator[Row]:
    psql = [*server.postgres_program("psql"), "-X", "-q", "-d", "postgres"]

    def empty() -> None:
        server.run([*psql, "-c", "drop database if exists copy"])
        server.run([*psql, "-c", "create database copy"])

    load = [*server.postgres_program("pg_restore"), "--exit-on-error", "-d", "copy"]
    piped = [["zstd", "-dcq", str(by_hand.stored)], load]
    in_jobs = [[*load, "-j2", str(folder.stored)]]
    what, target = "PostgreSQL, 500 MB", "stored with zstd 3 → an empty database"
    yield row(
        "postgres-restore",
        f"{what}, {target}",
        restored(bench, "postgres-zstd", empty),
        Side("zstd -d | pg_restore", [piped], both(made(by_hand), empty), env=server.environment()),
        1.0,
        slow=2,
    )
    yield row(
        "postgres-parallel-restore",
        f'{what}, `format = "parallel"`, {target}',
        restored(bench, "postgres-parallel-zstd", empty),
        Side("pg_restore -j2 of a folder", [in_jobs], both(made(folder), empty), env=server.environment()),
        slow=2,
    )


def mariadb(bench: Bench, server: Server) -> Iterator[Row]:
    what = "MariaDB, 500 MB"
    dump = [*server.mariadb_program("mariadb-dump"), *MARIADB_DUMP, "shop"]
    by_hand = piped(bench, server, "mariadb-dump | zstd -3 -T0", "by-hand.sql.zst", [dump, COMPRESS])
    source = url(server, "mysql", "shop")
    yield row("mariadb-zstd", f"{what} → zstd 3 → fs", bench.backup("mariadb-zstd", source, ZSTD), by_hand, 0.95)
    client = server.mariadb_program("mariadb")

    def empty() -> None:
        server.run([*client, "-e", "drop database if exists copy; create database copy"])

    decode = ["zstd", "-dcq", str(by_hand.stored)]
    prepare = both(made(by_hand), empty)
    load = Side("zstd -d | mariadb", [[decode, [*client, "copy"]]], prepare, env=server.environment())
    yield row(
        "mariadb-restore",
        f"{what}, stored with zstd 3 → an empty database",
        restored(bench, "mariadb-zstd", empty),
        load,
        1.0,
        slow=2,
    )


def redis(bench: Bench, server: Server) -> Iterator[Row]:
    dump = [*server.redis_program(), "--rdb", "-"]
    by_hand = piped(bench, server, "redis-cli --rdb - | zstd -3 -T0", "by-hand.rdb.zst", [dump, COMPRESS])
    source = {"plugin": "redis", "url": f"redis://{server.host}:{server.port}"}
    yield row("redis-zstd", "Redis, 500 MB → zstd 3 → fs", bench.backup("redis-zstd", source, ZSTD), by_hand, 1.0)


def row(name: str, what: str, ours: Side, theirs: Side, ratio: float | None = None, slow: int = 1) -> Row:
    return Row(name, what, ours, theirs, ratio, slow=slow, rss_limit=RSS_LIMIT)


def url(server: Server, plugin: str, database: str) -> dict[str, str]:
    address = f"{plugin}://{server.user}@{server.host}:{server.port}/{database}"
    return {"plugin": plugin, "url": address, "password": server.password}


def piped(bench: Bench, server: Server, label: str, output: str, work: list[list[str]]) -> Side:
    path = bench.out / output
    return Side(label, [work], bench.remove(output), path, path, env=server.environment())


def restored(bench: Bench, name: str, empty: Callable[[], None]) -> Side:
    work = [[bench.argv("restore", name, "--set", "database=copy", "--yes")]]
    return Side("windlass restore", work, both(bench.having(name), empty))


def made(side: Side) -> Callable[[], None]:
    """Sees to it that what the side makes is there."""

    def prepare() -> None:
        if not side.stored.exists():
            run(side)

    return prepare


def django(bench: Bench, server: Server) -> Side:
    side = bench.django("dbbackup", "-z")
    address = {"BENCH_PG_HOST": server.host, "BENCH_PG_PORT": server.port, "BENCH_PG_USER": server.user}
    path = {"PATH": f"{server.bin}:/usr/local/bin:/usr/bin:/bin"}
    side.env |= address | path | {"BENCH_PG_PASSWORD": server.password}
    return side
