"""Runs work and measures it: wall time, CPU time and peak memory, ours and theirs in turn.

What is run stands in rows.py; what is made of the figures, in report.py.
"""

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

Pipeline = list[list[str]]


@dataclass
class Sample:
    """One run."""

    wall: float
    cpu: float
    # Of the largest process, and of all together (the most that they can have had at one moment), in bytes.
    rss: int
    rss_sum: int
    stored: int = 0


@dataclass
class Side:
    """One way to do the work: pipelines of programs, one after another."""

    label: str
    work: list[Pipeline]
    # Puts things back as they were; not measured.
    prepare: Callable[[], None] = lambda: None
    # Where the result lies, to tell its size.
    stored: Path | None = None
    stdout: Path | None = None
    env: dict[str, str] = field(default_factory=dict)
    cwd: Path | None = None
    # How often the same is done within one sample, where once is too short to measure.
    repeat: int = 1


def run(side: Side) -> Sample:
    side.prepare()
    os.sync()
    touch_memory()
    wall, cpu, rss, rss_sum = 0.0, 0.0, 0, 0
    for _ in range(side.repeat):
        for pipeline in side.work:
            sample = run_pipeline(pipeline, side)
            wall += sample.wall
            cpu += sample.cpu
            rss = max(rss, sample.rss)
            rss_sum = max(rss_sum, sample.rss_sum)
    return Sample(wall / side.repeat, cpu / side.repeat, rss, rss_sum, size(side.stored))


def touch_memory() -> None:
    """A virtual machine gives free memory back to its host, and whoever takes it again first waits for it: up to a second
    for 400 MB. So that both sides find it in the same state, memory is taken once before either. In a process of its own,
    for a child's peak begins with that of its parent."""
    subprocess.run([sys.executable, "-c", "b'1' * (2 << 30)"], check=True)


def run_pipeline(pipeline: Pipeline, side: Side) -> Sample:
    output = open(side.stdout or os.devnull, "wb")
    children, before = [], None
    begun = time.perf_counter()
    for number, argv in enumerate(pipeline):
        is_last = number == len(pipeline) - 1
        child = subprocess.Popen(
            argv,
            stdin=before or subprocess.DEVNULL,
            stdout=output if is_last else subprocess.PIPE,
            env=os.environ | side.env,
            cwd=side.cwd,
        )
        if before:
            before.close()
        before = child.stdout
        children.append(child)
    cpu, peaks = 0.0, []
    for child in children:
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        cpu += usage.ru_utime + usage.ru_stime
        peaks.append(usage.ru_maxrss * 1024)
    wall = time.perf_counter() - begun
    output.close()
    for argv, child in zip(pipeline, children):
        if child.returncode != 0:
            raise SystemExit(f"bench: `{' '.join(argv)[:300]}` ended with {child.returncode}")
    return Sample(wall, cpu, max(peaks), sum(peaks))


def size(path: Path | None) -> int:
    if path is None:
        return 0
    if path.is_file():
        return path.stat().st_size
    return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())


@dataclass
class Result:
    """The samples of a row, in pairs."""

    ours: list[Sample]
    theirs: list[Sample]

    def ratios(self) -> list[float]:
        return [one.wall / other.wall for one, other in zip(self.ours, self.theirs)]


def in_turn(ours: Side, theirs: Side | None, times: int, quiet: bool) -> Result:
    """A B A B …, after one run of each that isn't counted and warms the caches."""
    result = Result([], [])
    run(ours)
    if theirs:
        run(theirs)
    for _ in range(times):
        if quiet:
            wait_for_quiet()
        result.ours.append(run(ours))
        if theirs:
            result.theirs.append(run(theirs))
    return result


def wait_for_quiet() -> None:
    """Not by the load average, which is our own for a minute."""
    os.sync()
    give_up = time.monotonic() + 60
    while time.monotonic() < give_up:
        idle, total = processors()
        time.sleep(1)
        idle_then, total_then = processors()
        if idle_then - idle > 0.9 * (total_then - total):
            return


def processors() -> tuple[int, int]:
    """Their idle time and all of it, in ticks."""
    with open("/proc/stat") as stat:
        ticks = [int(value) for value in stat.readline().split()[1:9]]
    return ticks[3] + ticks[4], sum(ticks)


def middle(values: list[float]) -> str:
    """The median, with the least and the most."""
    return f"{statistics.median(values):.2f} ({min(values):.2f}–{max(values):.2f})"
