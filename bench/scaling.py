"""`arraybench scaling`: how the time of a call grows as its work grows, as an exponent for each axis and backend.

Along an axis the work grows by a known power of the size: with rows and batches by the first, with the width of hidden layers by
the second, with the rows of a square product by the third; along an axis of a user's own function by that of the flops that it
declares, without which there is no verdict. At the small end that power hides behind what a call costs whatever its size, so the
exponent is that of the last hundredfold of work (of the size, where the work is not known): the slope of log seconds over log
size by least squares, one for each fresh process, and Student's interval over them. A time that grows faster than its work is
told, and is the status.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import pandas as pd
from rich.console import Console
from rich.table import Table

import backends
from backends import ArraybenchError
from bench import functions, jsonable, statistics, terminal
from bench.arguments import add_help, at_least
from bench.cases import Case
from bench.driver import timed, usable_specs
from bench.experiments import add_folder_options, new_folder, save
from bench.networks import COFFEE, WIDE, WIDTHS, wide
from bench.processes import WorkerLostError, WorkerProcess
from bench.wording import scaled
from core.loops import LADDER

PROCESSES = 3
BLOCK_S = 0.05
BUDGET_S = 60.0
LAST = 100.0  # the exponent is that of so many times the work,
SLACK = 0.1  # and a time grows faster than its work where the whole interval is further above than this
BATCH = 128
OWN_SIZES = 5  # of an axis of a user's function, from its least to its greatest
IMPLEMENTATIONS = ("hand_written", *(rung.name for rung in LADDER), "compiled")
EXAMPLES = (
    ("arraybench scaling", "every axis on every backend"),
    ("arraybench scaling --axes square --backends numpy", "one axis on one backend"),
    ("arraybench scaling my_functions.py", "the axes of functions of your own"),
)
STATUSES = {
    0: "no time grows faster than its work",
    1: "a time grows faster than its work, beyond doubt, a size failed, or an axis has no exponent",
}
COLUMNS = [
    "axis",
    "backend",
    "from_size",
    "to_size",
    "from_s",
    "to_s",
    "work_exponent",
    "exponent",
    "exponent_ci_low",
    "exponent_ci_high",
    "too_steep",
]
"""Those of exponents.csv."""


@dataclass(frozen=True)
class Axis:
    """Sizes of one kind, and the power of the size by which the work grows."""

    name: str
    power: float
    """NaN where it is not known."""
    cases: dict[int, Case]
    """The case of each size, as it is without a compiler; where a backend compiles, the compiled one is taken."""
    any_size: Callable[[int], Case] | None = None
    """The case of a size that is not listed, where there is one for any."""
    implementations: tuple[str, ...] = IMPLEMENTATIONS
    """Those that its cases may have."""

    def implementation(self, compiles: bool) -> str:
        """Return what is measured on a backend that compiles, or does not, unless something else is asked for."""
        compiled = compiles and "compiled" in self.implementations
        return "compiled" if compiled else next(iter(self.cases.values())).implementation


def axes() -> list[Axis]:
    """Return all axes, sizes ascending."""
    return [
        Axis("rows", 1, {n: _rows(n) for n in (10**k for k in range(3, 8))}, _rows),
        Axis("batch", 1, {n: _batch(n) for n in (4**k for k in range(7))}, _batch),
        Axis("width", 2, {n: Case("step", wide(n).name, "matmul", BATCH) for n in WIDTHS}),
        Axis("square", 3, {n: _square(n) for n in (2**k for k in range(6, 13))}, _square),
    ]


def own_axis(name: str, at: Mapping[str, str]) -> Axis:
    """Return the axis of a user's own function that FILE:FUNCTION:AXIS names, one of positive whole numbers.

    The function's other axes have the values that `at` gives as text, or their first. Raise ArraybenchError for others.
    """
    file, function, axis = name.rsplit(":", 2)
    source = Path(file).resolve()
    declared = functions.load(source).get(function)
    if declared is None:
        raise ArraybenchError(f"{file} declares no {function}; it declares {', '.join(functions.load(source))}")
    if axis in at:
        raise ArraybenchError(f"{axis} is what grows; give other axes of {function} a value")
    if not functions.whole(declared.axes.get(axis, [None])):
        grow = [name for name, values in declared.axes.items() if functions.whole(values)]
        raise ArraybenchError(f"{axis} is no axis of {function} that can grow; there are {', '.join(grow) or 'none'}")

    def case(size: int) -> Case:
        return declared.case(str(source), {**at, axis: size})

    others = {name: at.get(name, values[0]) for name, values in declared.axes.items() if name != axis}
    where = ",".join(f"{name}={value}" for name, value in others.items())
    cases = {int(size): case(size) for size in sorted(declared.axes[axis])}
    name = f"{function}:{axis}" + (f" at {where}" if where else "")
    return Axis(name, math.nan, cases, case, declared.implementations)


def own_axes(file: Path) -> dict[str, Axis]:
    """Return the axes of positive whole numbers of all functions of a file, FUNCTION:AXIS, with a few sizes and their work.

    Raise ArraybenchError where there is none that has two.
    """
    found = {}
    for declared in functions.load(file.resolve()).values():
        for name in filter(lambda name: functions.whole(declared.axes[name]), declared.axes):
            axis = own_axis(f"{file}:{declared.name}:{name}", {})
            sizes = np.geomspace(min(axis.cases), max(axis.cases), OWN_SIZES).round().astype(int).tolist()
            cases = {size: declared.case(str(file.resolve()), {name: size}) for size in sorted({*axis.cases, *sizes})}
            work = [functions.work_at(case) for case in cases.values()]
            power = slope([*cases], work) if len(cases) > 1 and all(work) else math.nan
            found[f"{declared.name}:{name}"] = replace(axis, cases=cases, power=power)
    if not any(len(axis.cases) > 1 for axis in found.values()):
        raise ArraybenchError(f"{file} declares no function with an axis of two positive whole numbers")
    return {name: axis for name, axis in found.items() if len(axis.cases) > 1}


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
    parser.add_argument(
        "file", nargs="?", type=Path, metavar="FILE", help="a file of Python with functions of your own, by bench.case"
    )
    parser.add_argument(
        "--axes", metavar="A,B", help="of rows, batch, width and square, or of FILE as FUNCTION:AXIS (default: all)"
    )
    parser.add_argument(
        "--processes", type=at_least(1), default=PROCESSES, metavar="N", help="fresh processes (%(default)s)"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of the table")
    add_folder_options(parser)


def run(options: argparse.Namespace) -> int:
    """Measure, write scaling.csv and print the exponents; return the exit status, of which the help tells."""
    known = own_axes(options.file) if options.file else {axis.name: axis for axis in axes()}
    chosen = options.axes.split(",") if options.axes else list(known)
    if unknown := [name for name in chosen if name not in known]:
        raise ArraybenchError(f"--axes {','.join(unknown)}: no such axis; there are {', '.join(known)}")
    specs = [timed(name).spec for name in options.backends.split(",")] if options.backends else usable_specs()
    folder = new_folder(options, "scaling")
    rows: list[dict[str, Any]] = []
    with terminal.bars().status("starting") as status:
        for process in range(options.processes):
            for spec in specs:
                for row in measure([known[name] for name in chosen], spec):
                    rows.append({"process": process} | row)
                    status.update(f"process {process + 1} of {options.processes}: {spec} {row['axis']} {row['size']}")
                    save(folder / "scaling.csv", pd.DataFrame(rows))
    found = exponents(pd.DataFrame(rows))
    save(folder / "exponents.csv", found)
    lost = {(row["axis"], row["backend"], row["size"]): row for row in rows if row["status"] != "ok"}
    failed = any(row["status"] in ("failed", "mismatch") for row in lost.values())
    tried = dict.fromkeys((row["axis"], row["backend"]) for row in rows if row["status"] != "unavailable")
    without = [one for one in tried if one not in set(zip(found["axis"], found["backend"], strict=True))]
    exit_status = int(any(found["too_steep"]) or failed or bool(without))
    if options.json:
        told = {"folder": folder, "exponents": found, "times": pd.DataFrame(rows), "exit_status": exit_status}
        print(jsonable.dumps(told))
        return exit_status
    if len(found):
        show(found, terminal.printer())
    for (name, spec, size), row in lost.items():
        print(f"{name} {size:,} on {spec}: {row['status']}: {row['reason']}")
    for name, spec in without:
        print(f"{name} on {spec}: no two sizes within the last hundredfold could be measured, so it has no exponent")
    print(f"\n{folder / 'exponents.csv'}")
    return exit_status


def measure(chosen: list[Axis], spec: str) -> Iterator[dict[str, Any]]:
    """Yield what each size takes in one fresh process: seconds of a call, or the reason why there is none."""
    worker = WorkerProcess(spec)
    compiles = backends.get(spec).compiles
    try:
        for axis in chosen:
            for size, case in axis.cases.items():
                row = {"axis": axis.name, "power": axis.power, "backend": spec, "size": size}
                yield row | _time(worker, replace(case, implementation=axis.implementation(compiles)))
    finally:
        worker.stop()


def _time(worker: WorkerProcess, case: Case) -> dict[str, Any]:
    try:
        answer = worker.ask({"do": "prepare", "key": case.id, "case": asdict(case), "budget_s": BUDGET_S})
        if answer["status"] == "ok":
            answer |= worker.ask({"do": "block", "key": case.id, "seconds": BLOCK_S})
        worker.ask({"do": "forget"})
    except WorkerLostError as lost:
        return {"seconds": math.nan, "status": lost.status, "reason": lost.reason}
    seconds = statistics.midmean(answer["samples"]) if "samples" in answer else math.nan
    return {"seconds": seconds, "status": answer.get("status", "ok"), "reason": answer.get("reason", "")}


def exponents(rows: pd.DataFrame) -> pd.DataFrame:
    """Return, for each axis and backend, the sizes at both ends with their seconds, and the exponent with its interval.

    A process in which there are no two sizes has no exponent, and an axis none where no process has one.
    """
    found = []
    for (axis, backend), own in rows[rows["seconds"].notna()].groupby(["axis", "backend"], sort=False):
        power, largest = own["power"].iloc[0], own["size"].max()
        steep = own[own["size"] >= largest / LAST ** (1 if math.isnan(power) else 1 / power)]
        slopes = [slope(each["size"], each["seconds"]) for _, each in steep.groupby("process") if len(each) > 1]
        if not slopes:
            continue
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
    return pd.DataFrame(found, columns=COLUMNS)


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
        table.add_row(row["axis"], row["backend"], *sizes, grows, told + mark, _known(row["work_exponent"]))
    console.print(table)


def _known(exponent: float) -> str:
    return "-" if math.isnan(exponent) else f"{exponent:.3g}"
