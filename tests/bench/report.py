"""The table, out of the samples: what docs/benchmarks.md holds, and whether each target is met."""

import os
import platform
import statistics
from datetime import date
from pathlib import Path

from measure import Result, middle
from rows import MIB, Row

HEAD = (
    "| work | against | seconds | theirs | ratio | target | |\n|---|---|---|---|---|---|---|",
    "| work | peak MiB | theirs | CPU s | theirs | stored MB | theirs | memory target | |\n|---|---|---|---|---|---|---|---|---|",
)


def median(values: list[float]) -> float:
    return statistics.median(values) if values else 0.0


def verdict(good: bool) -> str:
    return "met" if good else "**missed**"


def time_line(row: Row, result: Result) -> str:
    ours = [sample.wall for sample in result.ours]
    if row.seconds is not None:
        milli = middle([wall * 1000 for wall in ours])
        target = f"≤ {row.seconds * 1000:.0f} ms"
        return f"| {row.what} | – | {milli} ms | – | – | {target} | {verdict(median(ours) <= row.seconds)} |"
    if row.theirs is None:
        return f"| {row.what} | – | {middle(ours)} | – | – | – | |"
    ratios = result.ratios()
    target, told = "–", ""
    if row.ratio is not None:
        target, told = f"≤ {row.ratio}", verdict(median(ratios) <= row.ratio)
    theirs = middle([sample.wall for sample in result.theirs])
    return f"| {row.what} | `{row.theirs.label}` | {middle(ours)} | {theirs} | {middle(ratios)} | {target} | {told} |"


def memory_line(row: Row, result: Result) -> str:
    peak = max(sample.rss for sample in result.ours)
    good, target = peak <= row.rss_limit, f"≤ {row.rss_limit // MIB} MiB"
    cells = [f"{peak / MIB:.0f}", "–", f"{median([s.cpu for s in result.ours]):.2f}", "–"]
    cells += [f"{result.ours[-1].stored / 1e6:.0f}" if result.ours[-1].stored else "–", "–"]
    if result.theirs:
        theirs = max(sample.rss_sum for sample in result.theirs)
        cells[1] = f"{theirs / MIB:.0f}"
        cells[3] = f"{median([s.cpu for s in result.theirs]):.2f}"
        cells[5] = f"{result.theirs[-1].stored / 1e6:.0f}"
        if row.memory_ratio is not None:
            target += f", ≤ {row.memory_ratio} of theirs"
            good = good and peak <= row.memory_ratio * theirs
    return f"| {row.what} | {' | '.join(cells)} | {target} | {verdict(good)} |"


def machine() -> str:
    model = next(
        (line.split(":", 1)[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")), "?"
    )
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // MIB
    return f"{os.cpu_count()} × {model}, {memory} MiB of memory, Linux {platform.release()}"


def table(results: list[tuple[Row, Result]], loading: str) -> str:
    lines = [f"Measured on {date.today()}: {machine()}.", "", "### Time", "", HEAD[0]]
    lines += [time_line(row, result) for row, result in results]
    lines += [loading] if loading else []
    lines += ["", "### Memory, processor, size", "", HEAD[1]]
    lines += [memory_line(row, result) for row, result in results]
    return "\n".join(lines) + "\n"


def write(path: Path, text: str) -> None:
    """Replaces what stands between the two marks of the document."""
    begin, end = "<!-- the table: written by `make bench` -->\n", "<!-- the end of the table -->\n"
    before, rest = path.read_text().split(begin)
    after = rest.split(end)[1]
    path.write_text(f"{before}{begin}\n{text}\n{end}{after}")
