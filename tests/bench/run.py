"""Measures Windlass against other tools and prints the table; `run.sh` builds first and calls this.

Both sides of a row are run in turn, so that a machine that slows down slows both.
"""

import argparse
import itertools
import json
import subprocess
from pathlib import Path

import data
import report
from filter_rows import filter_rows
from measure import in_turn, middle
from rows import Bench, rows
from server_rows import server_rows
from storage_rows import storage_rows

ROOT = Path(__file__).resolve().parents[2]


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="run.sh FOLDER", description=__doc__)
    parser.add_argument("binaries", type=Path, metavar="FOLDER", help="where the release binary and the plugins are")
    parser.add_argument("--times", type=int, default=5, help="pairs of runs a row; slow rows take fewer (default: 5)")
    parser.add_argument("--rows", default="", help="only rows whose name contains one of these, separated by commas")
    parser.add_argument("--quiet", action="store_true", help="before each pair, wait up to a minute until other programs take less than a tenth of the processors")
    parser.add_argument("--write", action="store_true", help="put the table into docs/benchmarks.md")
    return parser.parse_args()


def loading(binaries: Path) -> str:
    """How long each plugin takes to load once its file is in the page cache."""
    output = subprocess.run([binaries / "examples/plugin_load", binaries], check=True, capture_output=True, text=True)
    loads = json.loads(output.stdout)
    lines = []
    for name, millis in loads.items():
        good = report.verdict(report.median(millis) < 1.0)
        lines.append(f"| loading the plugin `{name}`, warm | – | {middle(millis)} ms | – | – | < 1 ms | {good} |")
    return "\n".join(lines)


def main() -> None:
    options = arguments()
    scratch = ROOT / ".scratch/bench"
    bench = Bench(options.binaries, data.ready(scratch / "data"), scratch, ROOT / ".tools")
    wanted = [part for part in options.rows.split(",") if part]
    # A group of rows is wanted by a part of its name or by that of one of its rows.
    is_wanted = lambda name: not wanted or any(part in name for part in wanted)
    has_wanted = lambda group: not wanted or any(part in group or group in part for part in wanted)
    results = []
    groups = [rows(bench), filter_rows(bench, has_wanted), server_rows(bench, has_wanted), storage_rows(bench, has_wanted)]
    for row in itertools.chain.from_iterable(groups):
        if not is_wanted(row.name):
            continue
        result = in_turn(row.ours, row.theirs, max(1, options.times // row.slow), options.quiet)
        results.append((row, result))
        print(report.time_line(row, result), report.memory_line(row, result), sep="\n", flush=True)
    text = report.table(results, "" if wanted else loading(options.binaries))
    print("\n" + text)
    if options.write:
        report.write(ROOT / "docs/benchmarks.md", text)


if __name__ == "__main__":
    main()
