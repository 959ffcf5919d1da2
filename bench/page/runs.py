"""The runs of a page, as they were read back, and all their rows in one table."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from string import ascii_uppercase

import pandas as pd

from bench.answers import Row, Summary, marked
from bench.cases import CONTROL
from bench.compare.changes import expect_finished
from bench.statistics import Estimate
from bench.table import ResultsError, read_machine, read_results
from bench.wording import unit, without_blanks


@dataclass(frozen=True)
class Run:
    """A finished run: the letter that its rows are marked with, its label, what is known of its machine, and its rows.

    `rows` has all columns of the summary, `run` (the letter), and what `answers.marked` adds.
    """

    letter: str
    label: str
    folder: Path
    machine: Row
    rows: Summary

    @property
    def told(self) -> Summary:
        """The rows without the control: what is asked about."""
        return self.rows[self.rows["implementation"] != CONTROL]


def read(paths: Sequence[Path]) -> list[Run]:
    """Return the runs, given their folders or their summary.csv; raise ResultsError with the reason where one is none."""
    folders = [path.parent if path.is_file() else path for path in paths]
    if len({folder.resolve() for folder in folders}) < len(folders):
        raise ResultsError("one run is given twice: give each folder once")
    if len(folders) > len(ascii_uppercase):
        raise ResultsError(f"{len(folders)} runs are too many for one page; {len(ascii_uppercase)} have room")
    names = [folder.resolve().name for folder in folders]
    labels = [str(folder) if names.count(name) > 1 else name for folder, name in zip(folders, names, strict=True)]
    return [_run(*found) for found in zip(ascii_uppercase, labels, folders, strict=False)]


def _run(letter: str, label: str, folder: Path) -> Run:
    expect_finished(folder)
    rows = read_results(folder)
    if rows.empty:
        raise ResultsError(f"{folder} holds no case: its summary.csv has no row; measure again")
    return Run(letter, label, folder, read_machine(folder), marked(rows).assign(run=letter))


def overlaid(runs: Sequence[Run]) -> Summary:
    """Return the rows of all runs in one table."""
    return pd.concat([run.rows for run in runs], ignore_index=True)


def in_precision(name: str, row: Row) -> str:
    """Return a name with the precision where that is another than float32."""
    return name if row["precision"] == "float32" else f"{name} in {row['precision']}"


def case_name(row: Row) -> str:
    """Return what the case of a row is called, whatever backend it is on."""
    return in_precision(without_blanks(row["workload"], row["network"], row["implementation"]), row)


def time(row: Row) -> Estimate:
    """Return the seconds of one `unit` with their interval; NaN where nothing was measured."""
    call = Estimate(row["median_s"], row["ci_low_s"], row["ci_high_s"])
    return call.scaled(1 / row["batch_size"]) if unit(row["kind"]) == "example" and not math.isnan(call.value) else call
