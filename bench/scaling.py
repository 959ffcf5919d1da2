"""`arraybench scaling`: how the time of a call grows as its work grows, as an exponent for each axis and backend.

Along an axis the work grows by a known power of the size: with rows and batches by the first, with the width of hidden layers by
the second, with the rows of a square product by the third. At the small end that power hides behind what a call costs whatever
its size, so the exponent is that of the last hundredfold of work: the slope of log seconds over log size by least squares, one
for each fresh process, and Student's interval over them. A time that grows faster than its work is told, and is the status.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from statistics import fmean
from typing import Any

import numpy as np
import pandas as pd
from rich.console import Console
from rich.table import Table

import backends
from backends import ArraybenchError
from bench import jsonable, progress, statistics
from bench.arguments import add_help, at_least
from bench.cases import Case
from bench.driver import usable_specs
from bench.experiments import add_folder_options, new_folder, save
from bench.networks import COFFEE, WIDE, WIDTHS, wide
from bench.processes import WorkerLostError, WorkerProcess
from bench.report import scaled

PROCESSES = 3
BLOCK_S = 0.05
BUDGET_S = 60.0
LAST = 100.0  # the exponent is that of so many times the work,
SLACK = 0.1  # and a time grows faster than its work where the whole interval is further above than this
BATCH = 128
EXAMPLES = (
    ("arraybench scaling", "every axis on every backend"),
    ("arraybench scaling --axes square --backends numpy", "one axis on one backend"),
)
STATUSES = {0: "no time grows faster than its work", 1: "a time grows faster than its work, beyond doubt"}


@dataclass(frozen=True)
class Axis:
    """Sizes of one kind, and the power of the size by which the work grows."""

    name: str
    power: int
    cases: dict[int, Case]
    """The case of each size, by NumPy's `matmul`; where a backend compiles, the compiled one is taken."""
    any_size: Callable[[int], Case] | None = None
    """The case of a size that is not listed, where there is one for any."""


def axes() -> list[Axis]:
    """Return all axes, sizes ascending."""
    return [
        Axis("rows", 1, {n: _rows(n) for n in (10**k for k in range(3, 8))}, _rows),
        Axis("batch", 1, {n: _batch(n) for n in (4**k for k in range(7))}, _batch),
        Axis("width", 2, {n: Case("step", wide(n).name, "matmul", BATCH) for n in WIDTHS}),
        Axis("square", 3, {n: _square(n) for n in (2**k for k in range(6, 13))}, _square),
    ]


def _rows(n: int) -> Case:
    return Case("forward", COFFEE.name, "matmul", n)


def _batch(n: int) -> Case:
    return Case("step", WIDE.name, "matmul", n)


def _square(n: int) -> Case:
    return Case("matmul", f"square-{n}", "matmul", n)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of the command."""
    add_help(parser, EXAMPLES, STATUSES)
    parser.set_defaults(command=run)
    parser.add_argument("--backends", metavar="A,B", help="backends, as ARRAY_BACKEND takes them (default: all)")
    parser.add_argument("--axes", metavar="A,B", help="of rows, batch, width and square (default: all)")
    parser.add_argument(
        "--processes", type=at_least(1), default=PROCESSES, metavar="N", help="fresh processes (%(default)s)"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of the table")
    add_folder_options(parser)


def run(options: argparse.Namespace) -> int:
    """Measure, write scaling.csv and print the exponents; return 1 when a time grows faster than its work."""
    known = {axis.name: axis for axis in axes()}
    chosen = options.axes.split(",") if options.axes else list(known)
    if unknown := [name for name in chosen if name not in known]:
        raise ArraybenchError(f"--axes {','.join(unknown)}: no such axis; there are {', '.join(known)}")
    specs = [backends.get(name).spec for name in options.backends.split(",")] if options.backends else usable_specs()
    folder = new_folder(options, "scaling")
    rows: list[dict[str, Any]] = []
    with progress.console().status("starting") as status:
        for process in range(options.processes):
            for spec in specs:
                for row in measure([known[name] for name in chosen], spec):
                    rows.append({"process": process} | row)
                    status.update(f"process {process + 1} of {options.processes}: {spec} {row['axis']} {row['size']}")
                    save(folder / "scaling.csv", pd.DataFrame(rows))
    found = exponents(pd.DataFrame(rows))
    save(folder / "exponents.csv", found)
    exit_status = int(found["too_steep"].any())
    if options.json:
        told = {"folder": folder, "exponents": found, "times": pd.DataFrame(rows), "exit_status": exit_status}
        print(jsonable.dumps(told))
    else:
        show(found, Console())
        print(f"\n{folder / 'exponents.csv'}")
    return exit_status


def measure(chosen: list[Axis], spec: str) -> Iterator[dict[str, Any]]:
    """Yield what each size takes in one fresh process: seconds of a call, or the reason why there is none."""
    worker = WorkerProcess(spec)
    implementation = "compiled" if backends.get(spec).compiles else "matmul"
    try:
        for axis in chosen:
            for size, case in axis.cases.items():
                row = {"axis": axis.name, "power": axis.power, "backend": spec, "size": size}
                yield row | _time(worker, replace(case, implementation=implementation))
                worker.ask({"do": "forget"})
    finally:
        worker.stop()


def _time(worker: WorkerProcess, case: Case) -> dict[str, Any]:
    try:
        answer = worker.ask({"do": "prepare", "key": case.id, "case": asdict(case), "budget_s": BUDGET_S})
        if answer["status"] == "ok":
            answer |= worker.ask({"do": "block", "key": case.id, "seconds": BLOCK_S})
    except WorkerLostError as lost:
        return {"seconds": math.nan, "status": lost.status, "reason": lost.reason}
    seconds = statistics.midmean(answer["samples"]) if "samples" in answer else math.nan
    return {"seconds": seconds, "status": answer.get("status", "ok"), "reason": answer.get("reason", "")}


def exponents(rows: pd.DataFrame) -> pd.DataFrame:
    """Return, for each axis and backend, the sizes at both ends with their seconds, and the exponent with its interval."""
    found = []
    for (axis, backend), own in rows[rows["seconds"].notna()].groupby(["axis", "backend"], sort=False):
        power, largest = own["power"].iloc[0], own["size"].max()
        steep = own[own["size"] >= largest / LAST ** (1 / power)]
        slopes = [slope(each["size"], each["seconds"]) for _, each in steep.groupby("process")]
        middle, reach = fmean(slopes), statistics.reach(slopes)
        ends = own.groupby("size")["seconds"].median()
        found.append(
            {
                "axis": axis,
                "backend": backend,
                "from_size": steep["size"].min(),
                "to_size": largest,
                "from_s": ends[steep["size"].min()],
                "to_s": ends[largest],
                "work_exponent": power,
                "exponent": middle,
                "exponent_ci_low": middle - reach,
                "exponent_ci_high": middle + reach,
                "too_steep": middle - reach > power + SLACK,
            }
        )
    return pd.DataFrame(found)


def slope(sizes: Any, seconds: Any) -> float:
    """Return the power of the size by which the seconds grow, by least squares on logarithms."""
    return float(np.polyfit(np.log(np.asarray(sizes, float)), np.log(np.asarray(seconds, float)), 1)[0])


def show(found: pd.DataFrame, console: Console) -> None:
    """Print the exponents."""
    table = Table(box=None, pad_edge=False)
    for title, justify in (
        ("axis", "left"),
        ("backend", "left"),
        ("from", "right"),
        ("to", "right"),
        ("time grows", "right"),
    ):
        table.add_column(title, justify=justify)  # type: ignore[arg-type]
    table.add_column("exponent", justify="right")
    table.add_column("work's", justify="right")
    for row in found.to_dict("records"):
        reach = row["exponent"] - row["exponent_ci_low"]
        told = f"{row['exponent']:.2f}" + ("" if math.isnan(reach) else f" ±{reach:.2f}")
        sizes = f"{row['from_size']:,}", f"{row['to_size']:,}"
        grows = f"{scaled(row['from_s'])} → {scaled(row['to_s'])}"
        mark = " [red]▲[/]" if row["too_steep"] else ""
        table.add_row(row["axis"], row["backend"], *sizes, grows, told + mark, str(row["work_exponent"]))
    console.print(table)
