"""What is backed up: made once, the same bytes on every machine, kept in .scratch/bench/data.

It makes data and nothing else; what is done with them stands in rows.py.
"""

import os
import random
import shutil
import sqlite3
from pathlib import Path

MB = 1_000_000
MIB = 1 << 20

# Raised when the data change: the folder of another version is made anew.
VERSION = "1"


def ready(folder: Path) -> Path:
    """Makes what is missing and returns the folder."""
    mark = folder / "version"
    if not mark.exists() or mark.read_text() != VERSION:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        # In a process of its own: the memory that this takes would stand in the figures of every child.
        child = os.fork()
        if child == 0:
            make(folder)
            os._exit(0)
        if os.waitpid(child, 0)[1] != 0:
            raise SystemExit("bench: the data couldn't be made")
        mark.write_text(VERSION)
    return folder


def make(folder: Path) -> None:
    print("bench: making the data (once)", flush=True)
    database(folder / "shop.db", "wal")
    shutil.copy(folder / "shop.db", folder / "rollback.db")
    sqlite3.connect(folder / "rollback.db").execute("pragma journal_mode = delete")
    database(folder / "other.db", "wal", seed=3, scale=0.5)
    tree(folder / "files", files=20_000, total=500 * MB)
    tree(folder / "many", files=100_000, total=200 * MB)
    (folder / "noise").write_bytes(random.Random(5).randbytes(64 * MIB))
    (folder / "empty").mkdir()


class Text:
    """Words as they come in addresses and mails: a few often, many seldom."""

    def __init__(self, rng: random.Random):
        self.rng = rng
        letters = "etaoinshrdlucmfwypvbgk"
        self.words = ["".join(rng.choices(letters, k=rng.randint(2, 10))) for _ in range(4000)]
        self.weights = [1 / (rank + 10) for rank in range(len(self.words))]
        self.pool: list[str] = []
        self.next = 0

    def take(self, words: int) -> str:
        if self.next + words > len(self.pool):
            self.pool, self.next = self.rng.choices(self.words, self.weights, k=max(words, 100_000)), 0
        self.next += words
        return " ".join(self.pool[self.next - words : self.next])


def database(path: Path, journal: str, seed: int = 1, scale: float = 1.0) -> None:
    """500 MB of rows: text and numbers, and attachments that no codec makes smaller (60 % of the bytes)."""
    rng = random.Random(seed)
    text = Text(rng)
    conn = sqlite3.connect(path)
    conn.execute(f"pragma journal_mode = {journal}")
    conn.execute("pragma synchronous = off")
    conn.executescript(
        """
        create table customers (id integer primary key, name text, email text unique, born integer, balance real);
        create table orders (id integer primary key, customer integer, at integer, total real, note text);
        create index orders_by_customer on orders (customer, at);
        create table attachments (id integer primary key, name text, type text, bytes blob);
        """
    )
    customers = int(200_000 * scale)
    orders = int(830_000 * scale)
    attachments = int(300 * MB * scale) // 40_000
    conn.executemany(
        "insert into customers values (?, ?, ?, ?, ?)",
        (
            (i, text.take(2), f"{text.take(1)}.{i}@example.org", rng.randrange(10**9), rng.random() * 1e4)
            for i in range(customers)
        ),
    )
    conn.executemany(
        "insert into orders values (?, ?, ?, ?, ?)",
        (
            (i, rng.randrange(customers), 1_500_000_000 + i * 97, round(rng.random() * 500, 2), text.take(rng.randint(8, 40)))
            for i in range(orders)
        ),
    )
    conn.executemany(
        "insert into attachments values (?, ?, ?, ?)",
        (
            (i, text.take(3) + ".jpg", "image/jpeg", rng.randbytes(rng.randint(1_000, 79_000)))
            for i in range(attachments)
        ),
    )
    conn.commit()
    conn.execute("pragma wal_checkpoint(truncate)")
    conn.close()


def tree(root: Path, files: int, total: int) -> None:
    """Small files of very different sizes in folders of 200: half of the bytes text, half noise."""
    rng = random.Random(2)
    text = Text(rng)
    prose = (text.take(300_000)).encode()
    sizes = [rng.lognormvariate(0, 1.3) for _ in range(files)]
    factor = total / sum(sizes)
    for number, size in enumerate(sizes):
        folder = root / f"{number // 4000:02}" / f"{number // 200:04}"
        if number % 200 == 0:
            folder.mkdir(parents=True)
        length = int(size * factor)
        if number % 2:
            begin = rng.randrange(len(prose))
            content = (prose[begin:] + prose * (1 + length // len(prose)))[:length]
            name = f"{number:06}.txt"
        else:
            content = rng.randbytes(length)
            name = f"{number:06}.jpg"
        (folder / name).write_bytes(content)
