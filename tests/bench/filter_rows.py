"""The rows of the filters that encrypt, and of xz: beside the programs that write the same formats.

Each side reads the same file through `cat`, so that only the filter differs.
"""

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

from rows import MIB, Bench, Row

# xz takes 500 MB minutes: two of its blocks are what two threads can share.
XZ_BYTES = 48 * MIB
# What two threads of level 6 take, by docs/filters/xz.md, with room for the rest of the process.
XZ_RSS_LIMIT = 400 * MIB


def filter_rows(bench: Bench, has_wanted: Callable[[str], bool]) -> Iterator[Row]:
    """Keys are made for the groups that are wanted."""
    for name, group in [("age", age), ("openpgp", openpgp), ("xz", xz)]:
        if has_wanted(name):
            yield from group(bench)


def cat(path: Path) -> dict:
    return {"plugin": "command", "dump_command": ["cat", str(path)]}


def age(bench: Bench) -> list[Row]:
    path, public = bench.data / "shop.db", age_key(bench.out / "age.txt")
    filters = [{"plugin": "age", "recipients": [public]}]
    zstd = [{"plugin": "zstd", "level": 3}]
    program = bench.shell("age -r", "shop.age", [["cat", str(path)], ["age", "-r", public]], to_stdout=True)
    slower = bench.backup("cat-zstd", cat(path), zstd)
    slower.label = "windlass backup, zstd alone"
    return [
        Row("age", "500 MB → age → fs", bench.backup("age", cat(path), filters), program, 1.0),
        Row("zstd-age", "500 MB → zstd 3 → age → fs", bench.backup("zstd-age", cat(path), zstd + filters), slower, 1.05),
    ]


def openpgp(bench: Bench) -> list[Row]:
    path, home = bench.data / "shop.db", bench.out / "gnupg"
    key = gpg_key(home)
    filters = [{"plugin": "openpgp", "recipient_files": [str(key)]}]
    argv = ["gpg", "--batch", "--quiet", "--trust-model", "always", "--encrypt", "--compress-algo", "none", "-r", "bench@example.org"]
    program = bench.shell("gpg --encrypt --compress-algo none", "shop.gpg", [["cat", str(path)], argv], to_stdout=True)
    program.env = {"GNUPGHOME": str(home)}
    return [Row("openpgp", "500 MB → openpgp → fs", bench.backup("openpgp", cat(path), filters), program, 0.5)]


def xz(bench: Bench) -> list[Row]:
    path = bench.out / "part"
    with open(bench.data / "shop.db", "rb") as whole:
        path.write_bytes(whole.read(XZ_BYTES))
    ours = bench.backup("xz", cat(path), [{"plugin": "xz", "level": 6, "threads": 2}])
    program = bench.shell("xz -6 -T2", "part.xz", [["cat", str(path)], ["xz", "-6", "-T2", "-c"]], to_stdout=True)
    return [Row("xz", "50 MB → xz 6, two threads → fs", ours, program, 1.0, slow=2, rss_limit=XZ_RSS_LIMIT)]


def age_key(path: Path) -> str:
    """A new key; its public half."""
    told = subprocess.run(["age-keygen", "-o", path], check=True, capture_output=True, text=True).stderr
    return told.removeprefix("Public key: ").strip()


def gpg_key(home: Path) -> Path:
    """The file of a new public key, whose private half is in the folder `home`."""
    home.mkdir(mode=0o700)
    gpg = ["gpg", "--homedir", str(home), "--batch", "--quiet", "--pinentry-mode", "loopback", "--passphrase", ""]
    subprocess.run([*gpg, "--quick-generate-key", "bench@example.org", "default", "default", "never"], check=True)
    path = home / "bench.asc"
    path.write_bytes(subprocess.run([*gpg, "--armor", "--export"], check=True, capture_output=True).stdout)
    subprocess.run(["gpgconf", "--homedir", str(home), "--kill", "gpg-agent"], check=True)
    return path
