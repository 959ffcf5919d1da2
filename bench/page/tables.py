"""Tables as data: cells with what is shown and what is sorted by. Here are those of all rows and of the machines."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from rich.text import Text

from bench.answers import OF_OURS, OVER_EAGER, OVER_FLOAT32, OVER_LOOP, OVER_NUMPY, Comparison, Row, estimate, is_unlike
from bench.comparison import KEYS
from bench.page.runs import Run, case_name, overlaid, time
from bench.statistics import CONFIDENCE, Estimate
from bench.wording import MARKS, scaled, with_interval


class Cell(NamedTuple):
    """What is shown, and what is sorted by where it is a number; a cell without a value is last in every order.

    `more` is shown under it in small: an interval.
    """

    text: str
    key: float | None = None
    number: bool = False
    more: str = ""

    def __str__(self) -> str:
        return f"{self.text} {self.more}".rstrip()


@dataclass(frozen=True)
class Table:
    """A table: its caption, its headings, and for each row a cell for each heading."""

    caption: str
    headings: list[str]
    rows: list[list[Cell]]

    @property
    def numeric(self) -> list[bool]:
        """Which columns hold numbers."""
        return [any(row[index].number for row in self.rows) for index in range(len(self.headings))]


def words(text: Any, key: float | None = None) -> Cell:
    """Return a cell of words, or of a number that is written in words; `-` and nothing are no value."""
    shown = "" if text in (None, "-") else str(text)
    return Cell(shown, None if key is None or math.isnan(key) else key, key is not None)


def figure(value: float, form: str) -> Cell:
    """Return a cell of a number."""
    return Cell("", None, True) if math.isnan(value) else Cell(format(value, form), float(value), True)


def seconds_cell(seconds: Estimate) -> Cell:
    """Return a cell of a time with its interval."""
    value, low, high = seconds
    if math.isnan(value):
        return Cell("", None, True)
    return Cell(scaled(value), value, True, "" if math.isnan(low) else f"[{scaled(low)}, {scaled(high)}]")


def speedup_cell(row: Row, comparison: Comparison) -> Cell:
    """Return a cell of a speed-up with its interval, its mark and its verdict; none without an interval."""
    speedup, verdict = estimate(row, comparison.name), row[comparison.verdict]
    if verdict != "BASELINE" and (row["status"] != "ok" or math.isnan(speedup.low)):
        return Cell("" if verdict == "-" else verdict, None, True)
    return factor_cell(speedup, verdict, is_unlike(row, comparison))


def factor_cell(factor: Estimate, verdict: str, unlike: bool = False) -> Cell:
    """Return a cell of how many times faster something is, with its interval, its mark and its verdict."""
    if verdict == "BASELINE":
        return Cell("1x BASELINE", 1.0, True)
    value, _, interval = Text.from_markup(with_interval(factor, roomy=True)).plain.partition(" ")
    return Cell(f"{value} {mark(verdict)} {verdict}{' ≠' if unlike else ''}", factor.value, True, interval)


def error_cell(error: float) -> Cell:
    """Return a cell of an error against the oracle."""
    return figure(error, ".1e" if error else "g")


def mark(verdict: str) -> str:
    """Return a verdict's mark."""
    return Text.from_markup(MARKS[verdict]).plain


Made = Callable[[Row], Cell]
CASE: dict[str, Made] = {
    "Workload": lambda row: words(row["workload"]),
    "Network": lambda row: words(row["network"]),
    "Implementation": lambda row: words(row["implementation"]),
    "Backend": lambda row: words(row["spec"]),
}


def _seconds(column: str) -> Made:
    return lambda row: seconds_cell(Estimate(row[column], math.nan, math.nan))


def _figure(column: str, form: str) -> Made:
    return lambda row: figure(row[column], form)


def _counted(column: str, form: str = ",") -> Made:
    """Return the cell of a whole number, of which 0 stands for none."""
    return lambda row: figure(row[column] or math.nan, form)


def _words(column: str) -> Made:
    return lambda row: words(row[column])


def _told(column: str) -> Made:
    return lambda row: words(("yes" if row[column] else "no") if row["status"] == "ok" else "")


def _speedup(comparison: Comparison) -> Made:
    return lambda row: speedup_cell(row, comparison)


def _error(row: Row) -> Cell:
    return error_cell(row["oracle_error"])


def _time(row: Row) -> Cell:
    """Return the cell of a row's time, or of why there is none."""
    return seconds_cell(time(row)) if row["status"] == "ok" else words(row["status"].replace("_", " "))


TABLES: dict[str, dict[str, Made]] = {
    "Times and speed-ups": {
        **CASE,
        f"Time, {CONFIDENCE:.0%} interval": _time,
        "Over float32": _speedup(OVER_FLOAT32),
        "Over the baseline": _speedup(OVER_LOOP),
        "Over NumPy": _speedup(OVER_NUMPY),
        "Over eager": _speedup(OVER_EAGER),
        "Ours on NumPy over it": _speedup(OF_OURS["numpy"]),
        "Ours on Numba over it": _speedup(OF_OURS["numba"]),
        "Ours on JAX over it": _speedup(OF_OURS["jax"]),
        "Examples per second": _figure("examples_per_s", ",.4g"),
        "Reason": _words("reason"),
    },
    "Costs outside the clock": {
        **CASE,
        "Process start": _seconds("process_start_s"),
        "Import": _seconds("import_s"),
        "First call": _seconds("first_call_s"),
        "of it compiling": _seconds("compile_s"),
        "Host to device": _seconds("host_to_device_s"),
        "Dispatch": _seconds("dispatch_s"),
        "Device": _seconds("device_s"),
        "Device to host": _seconds("device_to_host_s"),
        "End to end": _seconds("end_to_end_s"),
        "Parts add up": _told("budget_agrees"),
        "Calls to break even": _figure("break_even_calls", ",.0f"),
    },
    "Work, and the roof": {
        **CASE,
        "Batch size": _counted("batch_size"),
        "Weights": _counted("parameters"),
        "Operations": _counted("flops"),
        "Bytes": _counted("bytes"),
        "GFLOP/s": _figure("gflop_per_s", ",.3g"),
        "Of the peak": _figure("fraction_of_peak", ".2%"),
        "Bound by": _words("bound"),
        "Of the roof": _figure("fraction_of_roof", ".2%"),
        "Launches": _figure("launches", ",.0f"),
        "Peak memory, MB": lambda row: figure(row["peak_memory_bytes"] / 1e6 or math.nan, ",.0f"),
    },
    "Checks, and what is like for like": {
        **CASE,
        "Checked": _told("checked"),
        "Error": _error,
        "dtype": _words("dtype"),
        "Results' dtype": _words("result_dtype"),
        "Precision of products": _words("matmul_precision"),
        "Threads": _figure("threads", ",.0f"),
        "Threads in effect": _figure("threads_in_effect", ".2f"),
        "Subnormal numbers": lambda row: figure(row["subnormals"] if row["status"] == "ok" else math.nan, ","),
        "Baseline": _words("baseline"),
        "Unlike it in": _words("unlike"),
        "Could be seen": _figure("smallest_effect", ".1%"),
        "Processes": _counted("processes"),
        "Samples": _counted("samples"),
        "Stopped": _words("stopped"),
        "Source": _words("source"),
        "BLAS": _words("blas"),
        "Version": _words("backend_version"),
    },
}
"""Of every row, by the caption; a column without a value in any row is left out."""


def of_all_rows(runs: Sequence[Run]) -> list[Table]:
    """Return the tables of all rows of all runs."""
    rows = overlaid(runs).to_dict("records")
    return [_table(caption, _marked(columns, runs, rows), rows) for caption, columns in TABLES.items()]


def _marked(columns: dict[str, Made], runs: Sequence[Run], rows: list[Row]) -> dict[str, Made]:
    """Return the columns after those that tell the rows apart: the run where there are several, the precision, and its error."""
    if len(runs) > 1:
        columns = {"Run": _words("run"), **columns}
    if all(row["precision"] == "float32" for row in rows):
        return columns
    marked: dict[str, Made] = {}
    for heading, made in columns.items():
        marked[heading] = made
        if heading == "Backend":
            marked["Precision"] = _words("precision")
        if heading == "Over float32":
            marked["Error"] = _error
    return marked


def _table(caption: str, columns: dict[str, Made], rows: list[Row]) -> Table:
    made = {heading: [cell(row) for row in rows] for heading, cell in columns.items()}
    filled = {heading: cells for heading, cells in made.items() if any(cell.text for cell in cells)}
    return Table(caption, list(filled), [list(row) for row in zip(*filled.values(), strict=True)])


def wrong(runs: Sequence[Run]) -> list[tuple[str, str, str]]:
    """Return the case, status and reason of each row that was tried and has no figures."""
    several = len(runs) > 1
    return [
        (
            (f"{row['run']}: " if several else "") + f"{case_name(row)} on {row['spec']}",
            row["status"].replace("_", " "),
            row["reason"],
        )
        for row in overlaid(runs).to_dict("records")
        if row["status"] not in ("ok", "unavailable")
    ]


# The machine

MACHINE: dict[str, Callable[[Row], str]] = {
    "Machine": lambda facts: _shown(facts.get("machine_id")),
    "Processor": lambda facts: _shown(facts.get("cpu")),
    "Cores": lambda facts: _shown(facts.get("cores")),
    "Memory": lambda facts: f"{facts['memory_bytes'] / 2**30:.1f} GiB" if facts.get("memory_bytes") else "unknown",
    "GPUs": lambda facts: _shown(facts.get("gpus")) if facts.get("gpus") else "none",
    "Instruction sets": lambda facts: _shown(facts.get("instruction_sets")),
    "Virtual machine": lambda facts: _shown(facts.get("virtual_machine")),
    "Container": lambda facts: _shown(facts.get("container")),
    "CPU quota": lambda facts: "none" if facts.get("cpu_quota") is None else f"{facts['cpu_quota']:g} CPUs",
    "Governor": lambda facts: _shown(facts.get("governor")),
    "Load at the begin": lambda facts: (
        ", ".join(f"{load:.2f}" for load in facts.get("load_average") or []) or "unknown"
    ),
    "System": lambda facts: _shown(facts.get("system")),
    "Python": lambda facts: _shown(facts.get("python")),
    "Libraries": lambda facts: _pairs(facts.get("libraries")),
    "Variables": lambda facts: _pairs(facts.get("variables")) or "none that matter",
}


def of_machines(runs: Sequence[Run]) -> Table:
    """Return what is known of each run's machine, a column for each run."""
    rows = [[words(fact), *(words(told(run.machine)) for run in runs)] for fact, told in MACHINE.items()]
    return Table("The machine, as the program found it", ["Fact", *(_heading(run, runs) for run in runs)], rows)


def of_backends(runs: Sequence[Run]) -> Table:
    """Return what each backend said of itself, and its roof."""
    rows = [
        list(_backend(run, spec, told, len(runs) > 1))
        for run in runs
        for spec, told in run.machine.get("backends", {}).items()
    ]
    headings = [
        "Backend",
        "Version",
        "Device",
        "BLAS",
        "Threads",
        "Precision of products",
        "GFLOP/s in float32",
        "in float64",
        "Copy, GB/s",
    ]
    return Table(
        "The backends, and the highest rates that each reached", [*(["Run"] if len(runs) > 1 else []), *headings], rows
    )


def _backend(run: Run, spec: str, told: Row, several: bool) -> Iterator[Cell]:
    if several:
        yield words(run.letter)
    yield words(spec)
    yield words(told.get("version"))
    yield words(told.get("device_name") or told.get("device"))
    yield words(told.get("blas"))
    yield words(told.get("threads"))
    yield words(told.get("matmul_precision"))
    rates = run.machine.get("roofs", {}).get(spec, {})
    for value in (
        *(rates.get("gflop_per_s", {}).get(dtype) for dtype in ("float32", "float64")),
        rates.get("gb_per_s"),
    ):
        yield figure(math.nan if value is None else value, ",.3g")


def of_keys(runs: Sequence[Run]) -> Table:
    """Return, for each key that two rows must share to be compared like for like, its values and how many rows have which."""
    rows = [[words(key.replace("_", " ")), *(words(_values(run, key)) for run in runs)] for key in KEYS]
    rows.append([words("rows unlike their baseline, ≠"), *(words(_unlike(run)) for run in runs)])
    return Table(
        "What rows must share to be compared like for like", ["Key", *(_heading(run, runs) for run in runs)], rows
    )


def _values(run: Run, key: str) -> str:
    ok = run.rows[run.rows["status"] == "ok"]
    found = ok[key].map(lambda count: "present" if count else "absent") if key == "subnormals" else ok[key]
    counts = found[found != "-"].value_counts()
    return ", ".join(f"{_shown(value)} in {count}" for value, count in counts.items()) or "unknown"


def _unlike(run: Run) -> str:
    counts = run.rows["unlike"][run.rows["unlike"] != "-"].value_counts()
    return "; ".join(f"{count}: {unlike}" for unlike, count in counts.items()) or "none"


def _heading(run: Run, runs: Sequence[Run]) -> str:
    return f"{run.letter}: {run.label}" if len(runs) > 1 else run.label


def _pairs(facts: Row | None) -> str:
    return ", ".join(f"{name} {value}" for name, value in (facts or {}).items())


def _shown(value: Any) -> str:
    if value is None:
        return "unknown"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return f"{value:g}" if isinstance(value, float) else str(value)
