"""The experiment behind `--resume`: real runs are killed at random moments, and nothing may be lost or measured twice.

Each run is `arraybench run` in a process of its own, ended by SIGKILL at a moment drawn uniformly over the time that the same run
takes when it is left alone. Three in ten are killed again, over the rest of that time, while they are resumed. Then each is
resumed to its end, and what the journal held whenever it was killed is compared with the tables, sample by sample.
"""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import subprocess
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from backends import ArraybenchError
from bench.clock import Stopwatch
from bench.journal import FILE
from bench.processes import python
from bench.selftest.aftermath import (
    Findings,
    Outcome,
    check_end,
    check_files,
    finished_units,
    is_finished,
    marking,
    moment,
    outcomes,
    workers_left,
)
from bench.table import ResultsError, write_whole

RUNS = 100
AGAIN = 0.3  # of the runs are killed a second time


@dataclass(frozen=True)
class Undisturbed:
    """A run that was left alone: its options, how long it took, and the rows of its table."""

    options: tuple[str, ...]
    seconds: float
    rows: set[Outcome]


def require_proc() -> None:
    """Raise ArraybenchError on a system that does not tell which processes there are."""
    if not Path("/proc/self/environ").exists():
        raise ArraybenchError("selftest kills looks for left workers in /proc, which this system does not have")


def plans(specs: Iterable[str]) -> list[tuple[str, ...]]:
    """Return the options of the runs that are killed: quick cases on NumPy alone, and on NumPy and each other backend."""
    beside = [f"numpy,{spec}" for spec in specs if not spec.startswith("numpy")]
    return [
        ("--only", "matmul/square-[12356][12456]*", "--time", "0", "--backends", "numpy"),
        ("--only", "forward/coffee-2-3-1/[cm]*", "--time", "0", "--backends", "numpy"),
        *(("--only", "matmul/square-[36][24]*", "--time", "0", "--backends", names) for names in beside),
    ]


def experiment(
    folder: Path,
    runs: int,
    seed: int,
    chosen: list[tuple[str, ...]],
    tell: Callable[[str], None] = lambda sentence: None,
) -> pd.DataFrame:
    """Kill so many runs, in turns of the chosen options, and return the table, which `folder` holds after each run.

    `tell` is called with what became of each.

    A run that lost something is left in the folder `runs`.
    """
    generator, rows = random.Random(seed), []
    alone = [undisturbed(options, folder / "runs", f"alone-{i}") for i, options in enumerate(chosen[:runs])]
    for number in range(runs):
        run = folder / "runs" / f"run-{number}"
        rows.append(killed(run, alone[number % len(alone)], generator).row(number))
        tell(f"run {number + 1} of {runs}: {rows[-1]['moment']}: {rows[-1]['outcome']}")
        write_whole(folder / "kills.csv", pd.DataFrame(rows).to_csv(index=False))
        if rows[-1]["outcome"] == "ok":
            shutil.rmtree(run)
            _log(run).unlink()
    with contextlib.suppress(OSError):  # where something is left
        (folder / "runs" / ".lock").unlink()
        (folder / "runs").rmdir()
    return pd.DataFrame(rows)


def sentence(table: pd.DataFrame) -> str:
    """Return what the table comes to."""
    total = table.sum(numeric_only=True)
    return (
        f"{len(table)} runs, killed {total['kills']} times in all: {total['files_read']} of {total['files']} files read; "
        f"of {total['units_finished']} finished units {total['units_measured_again']} were measured again; "
        f"{total['cases_missing']} cases are missing; {total['workers_left']} workers were left; "
        f"{(table['outcome'] == 'ok').sum()} runs ended well"
    )


def undisturbed(options: tuple[str, ...], results: Path, name: str) -> Undisturbed:
    """Make a run and let it end; return what it is like."""
    with Stopwatch() as watch:
        status = _start(results / name, (*options, "--name", name)).wait()
    if status:
        raise ResultsError(f"a run that nobody killed ended with status {status}: {_log(results / name).read_text()}")
    rows = outcomes(results / name)
    shutil.rmtree(results / name)
    _log(results / name).unlink()
    return Undisturbed(options, watch.seconds, rows)


def killed(run: Path, alone: Undisturbed, generator: random.Random) -> Findings:
    """Begin a run, kill it once or twice, resume it to its end, and return what was found on the way."""
    found = Findings()
    for _ in range(2 if generator.random() < AGAIN else 1):
        after_s = generator.uniform(0, alone.seconds - sum(found.killed_after_s))
        process = _start(run, _continue(run, alone))
        try:
            process.wait(after_s)
            found.moments.append("ended before")
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            found.killed_after_s.append(after_s)
            found.moments.append(moment(run))
        found.workers += workers_left(run)
        check_files(run, found)
        found.finished = finished_units(run) | found.finished  # as each was when it was first seen
        if is_finished(run):
            break
    if not is_finished(run) and (status := _start(run, _continue(run, alone)).wait()):
        found.wrong.append(f"the resumed run ended with status {status}: {_log(run).read_text().strip()}")
    check_end(run, alone.rows, found)
    return found


def _start(run: Path, arguments: tuple[str, ...]) -> subprocess.Popen[bytes]:
    run.parent.mkdir(parents=True, exist_ok=True)
    command = python("bench", "run", *arguments, "--results", str(run.parent))
    with _log(run).open("wb") as log:
        return subprocess.Popen(
            command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, env=os.environ | marking(run)
        )


def _continue(run: Path, alone: Undisturbed) -> tuple[str, ...]:
    """Return the arguments that a person would give now: begin it while there is nothing, else resume it."""
    return ("--resume", run.name) if (run / FILE).exists() else (*alone.options, "--name", run.name)


def _log(run: Path) -> Path:
    return run.with_name(f"{run.name}.log")
