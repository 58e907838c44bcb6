"""Starts a server for the benchmarks and fills a database server it with the rows of the SQLite database.

Where a server comes from stands in serve.rs; what is done with it, in server_rows.py.
"""

import os
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# As many attachments' tables as there are in the partitioned one.
PARTS = 4
POSTGRES = f"""
create table customers (id int, name text, email text, born int, balance double precision);
create table orders (id int, customer int, at bigint, total double precision, note text);
create table attachments (id int, name text, type text, bytes bytea) partition by hash (id);
""" + "".join(
    f"create table attachments_{part} partition of attachments for values with (modulus {PARTS}, remainder {part});\n"
    for part in range(PARTS)
)
POSTGRES_KEYS = """
alter table customers add primary key (id), add unique (email);
alter table orders add primary key (id);
create index orders_by_customer on orders (customer, at);
alter table attachments add primary key (id);
vacuum analyze;
"""
MARIADB = """
create table customers (id int primary key, name text, email varchar(100) unique, born int, balance double);
create table orders (id int primary key, customer int, at bigint, total double, note text, key orders_by_customer (customer, at));
create table attachments (id int primary key, name text, type text, bytes mediumblob);
"""
TABLES = ["customers", "orders", "attachments"]


class Server:
    """Where a server is, and how its own programs are told so."""

    def __init__(self, facts: dict[str, str]):
        self.host, self.port = facts["host"], facts["port"]
        self.user, self.password = facts.get("user", ""), facts.get("password", "")
        self.bin = facts.get("bin", "")
        self.facts = facts

    def postgres_program(self, name: str) -> list[str]:
        return [f"{self.bin}/{name}", "-h", self.host, "-p", self.port, "-U", self.user, "-w"]

    def mariadb_program(self, name: str) -> list[str]:
        return [name, "--no-defaults", f"--host={self.host}", f"--port={self.port}", f"--user={self.user}"]

    def redis_program(self) -> list[str]:
        return ["redis-cli", "-h", self.host, "-p", self.port]

    def environment(self) -> dict[str, str]:
        return {"PGPASSWORD": self.password, "MYSQL_PWD": self.password}

    def feed(self, argv: list[str], lines: Iterator[bytes]) -> None:
        child = subprocess.Popen(
            argv, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, env=os.environ | self.environment()
        )
        child.stdin.writelines(lines)
        child.stdin.close()
        if child.wait() != 0:
            raise SystemExit(f"bench: `{argv[0]}` couldn't fill its server")

    def run(self, argv: list[str], text: str = "") -> None:
        self.feed(argv, iter([text.encode()]))


@contextmanager
def serve(examples: Path, kind: str) -> Iterator[Server]:
    child = subprocess.Popen([examples / "serve", kind], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    facts = {}
    while line := child.stdout.readline().strip():
        name, _, value = line.partition("=")
        facts[name] = value
    if not facts:
        raise SystemExit(f"bench: no server `{kind}`")
    try:
        yield Server(facts)
    finally:
        child.stdin.close()
        child.wait()


def fill_postgres(server: Server, data: Path) -> None:
    psql = [*server.postgres_program("psql"), "-X", "-q", "-v", "ON_ERROR_STOP=1"]
    server.run([*psql, "-d", "postgres", "-c", "create database shop"])
    server.run([*psql, "-d", "shop"], POSTGRES)
    for table in TABLES:
        server.feed([*psql, "-d", "shop", "-c", f"copy {table} from stdin"], lines(data, table, "\\\\x"))
    server.run([*psql, "-d", "shop"], POSTGRES_KEYS)


def fill_mariadb(server: Server, data: Path) -> None:
    client = [*server.mariadb_program("mariadb"), "--local-infile=1", "--max-allowed-packet=64M"]
    server.run([*client, "-e", "create database shop"])
    server.run([*client, "shop"], MARIADB)
    for table in TABLES:
        # Bytes come as hex digits.
        columns = " (id, name, type, @hex) set bytes = unhex(@hex)" if table == "attachments" else ""
        statement = f"load data local infile '/dev/stdin' into table {table}{columns}"
        server.feed([*client, "shop", "-e", statement], lines(data, table, ""))


def fill_redis(server: Server, data: Path) -> None:
    server.feed([*server.redis_program(), "--pipe"], commands(data))


def lines(data: Path, table: str, before_hex: str) -> Iterator[bytes]:
    """Rows as `COPY` and `LOAD DATA` read them. No text of ours holds a tab, a line's end or a backslash."""
    for row in rows(data, table):
        cells = (before_hex + cell.hex() if isinstance(cell, bytes) else str(cell) for cell in row)
        yield ("\t".join(cells) + "\n").encode()


def commands(data: Path) -> Iterator[bytes]:
    """Customers as hashes, orders and attachments as strings."""
    for number, *fields in rows(data, "customers"):
        names = ["name", "email", "born", "balance"]
        pairs = [part for name, value in zip(names, fields) for part in (name, str(value))]
        yield command("HSET", f"customer:{number}", *pairs)
    for number, *fields in rows(data, "orders"):
        yield command("SET", f"order:{number}", "|".join(map(str, fields)))
    for number, _, _, content in rows(data, "attachments"):
        yield command("SET", f"attachment:{number}", content)


def command(*words: str | bytes) -> bytes:
    parts = [word if isinstance(word, bytes) else word.encode() for word in words]
    return b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%s\r\n" % (len(part), part) for part in parts)


def rows(data: Path, table: str) -> Iterator[tuple]:
    connection = sqlite3.connect(data / "shop.db")
    try:
        yield from connection.execute(f"select * from {table} order by id")
    finally:
        connection.close()
