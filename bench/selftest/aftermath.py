"""What a run that was killed left behind, and whether it has everything at its end."""

from __future__ import annotations

import contextlib
import csv
import json
import os
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from bench.clock import Stopwatch
from bench.journal import FILE
from bench.measurement import Row
from bench.table import ResultsError, read_results

GONE_WITHIN_S = 10.0  # a worker that is still starting ends when it has loaded NumPy
MARK = "ARRAYBENCH_SELFTEST"  # the variable by which the processes of a run are found again
NAMED = ["workload", "network", "implementation", "backend", "device"]
OUTCOME = ["status", "processes"]
TABLES = {"summary.csv", "samples.csv", "machine.json"}

Samples = dict[tuple[str, str, int], list[tuple[int, float]]]
"""The samples as (round, seconds) by case, backend and process."""
Outcome = tuple[Any, ...]


@dataclass
class Findings:
    """What a run left behind each time that it was killed, and at its end."""

    killed_after_s: list[float] = field(default_factory=list)
    moments: list[str] = field(default_factory=list)
    files: int = 0
    unread: list[str] = field(default_factory=list)
    finished: dict[str, Samples] = field(default_factory=dict)
    again: list[str] = field(default_factory=list)
    missing: int = 0
    workers: int = 0
    wrong: list[str] = field(default_factory=list)

    def row(self, number: int) -> Row:
        """Return the row of the table."""
        return {
            "run": number,
            "kills": len(self.killed_after_s),
            "killed_after_s": " ".join(f"{seconds:.3f}" for seconds in self.killed_after_s) or "-",
            "moment": "; ".join(self.moments),
            "files": self.files,
            "files_read": self.files - len(self.unread),
            "units_finished": len(self.finished),
            "units_measured_again": len(self.again),
            "cases_missing": self.missing,
            "workers_left": self.workers,
            "outcome": "; ".join(self.unread + self.wrong) or self._counted,
        }

    @property
    def _counted(self) -> str:
        return "lost" if self.again or self.missing or self.workers else "ok"


def moment(run: Path) -> str:
    """Return how far a run was when it was killed."""
    if is_finished(run):
        return "finished"
    if not (run / FILE).exists():
        return "starting"
    tables = len(list(run.iterdir())) - 1
    done = f"{len(finished_units(run))} units done" + (f", {tables} tables written" if tables else "")
    return done + (", a file half written" if _partial(run) else "")


def check_files(run: Path, found: Findings) -> None:
    """Read every file in a run's folder, as a person would."""
    for file in sorted(run.iterdir()) if run.exists() else []:
        found.files += 1
        try:
            _read(file)
        except (OSError, ValueError, ResultsError) as error:
            found.unread.append(f"{file.name} does not read: {error}")


def _read(file: Path) -> None:
    match file.name:
        case "summary.csv":
            pd.read_csv(file)
            read_results(file)
        case "samples.csv":
            pd.read_csv(file)
        case _:  # anything that does not belong here is no JSON either
            json.loads(file.read_text(encoding="utf-8"))


def finished_units(run: Path) -> dict[str, Samples]:
    """Return the samples of every unit that a run's journal holds; `check_files` tells of one that does not read."""
    try:
        units = json.loads((run / FILE).read_text(encoding="utf-8"))["units"]
    except (OSError, ValueError):
        return {}
    return {
        f"{unit['process']} {unit['group']}": {
            (entry["id"], entry["spec"], unit["process"]): [(number, seconds) for number, seconds in entry["samples"]]
            for entry in unit["entries"]
        }
        for unit in units
    }


def check_end(run: Path, expected: set[Outcome], found: Findings) -> None:
    """Compare a run at its end with what it held when it was killed, and with the rows of one that was left alone."""
    check_files(run, found)
    found.workers += workers_left(run)
    present = {file.name for file in run.iterdir()} if run.exists() else set()
    if odd := (present ^ TABLES) | _partial(run):
        found.wrong.append(f"missing or left over: {', '.join(sorted(odd))}")
    if not present >= TABLES:
        found.missing += len(expected)
        return
    rows, samples = outcomes(run), _samples(run)
    found.missing += len(expected - rows)
    found.wrong += [f"a row that is not there otherwise: {row}" for row in rows - expected]
    for unit, held in found.finished.items():
        if any(samples.get(key, []) != before for key, before in held.items()):
            found.again.append(unit)


def workers_left(run: Path) -> int:
    """Return how many processes of a run are still there some seconds later."""
    with Stopwatch() as watch:
        while (left := marked(run)) and watch.so_far() < GONE_WITHIN_S:
            time.sleep(0.05)
    return left


def marked(run: Path) -> int:
    """Return how many processes have this run's mark in their environment."""
    mark, count = "=".join(*marking(run).items()).encode() + b"\0", 0
    for environment in Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):  # it has ended meanwhile, or is another user's
            count += mark in environment.read_bytes()
    return count


def marking(run: Path) -> dict[str, str]:
    """Return the variable that all processes of a run have."""
    return {MARK: f"{os.getpid()} {run}"}


def outcomes(run: Path) -> set[Outcome]:
    """Return the names of a table's rows, each with what must be the same however often the run was killed."""
    return set(read_results(run)[NAMED + OUTCOME].itertuples(index=False, name=None))


def _samples(run: Path) -> Samples:
    """Return what samples.csv holds; a number is read back as exactly the one that was written."""
    found: Samples = {}
    with (run / "samples.csv").open(encoding="utf-8", newline="") as stream:
        for row in csv.DictReader(stream):
            case = f"{row['workload']}/{row['network']}/{row['implementation']}"
            key = case, f"{row['backend']}:{row['device']}", int(row["process"])
            found.setdefault(key, []).append((int(row["round"]), float(row["seconds"])))
    return found


def is_finished(run: Path) -> bool:
    """Tell whether a run has ended, so that there is nothing to resume."""
    return (run / "summary.csv").exists() and not (run / FILE).exists()


def _partial(run: Path) -> set[str]:
    return {file.name for file in run.parent.glob(f".{run.name}.*")}
