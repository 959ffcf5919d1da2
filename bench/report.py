"""The table that a person reads: times for one example in units that fit, and speed-ups over the loop and over NumPy."""

from __future__ import annotations

from typing import Any

import pandas as pd
from rich.console import Console
from rich.table import Table

ONE_EXAMPLE = ("forward", "backward", "step")
TITLES = {"forward": "forward", "backward": "backward", "step": "training step"}


def show(summary: pd.DataFrame, console: Console) -> None:
    """Print the networks' tables, the epoch, the products and the three answers."""
    frame = summary.assign(spec=summary["backend"] + ":" + summary["device"])
    for network, rows in frame[frame["workload"].isin(ONE_EXAMPLE)].groupby("network", sort=False):
        title = f"{network}: time for one example, in batches of {rows['batch_size'].max()}"
        console.print(_table(rows, title), "")
    for workload, title in (("epoch", "coffee script: time for one epoch"), ("matmul", "square matrix product")):
        rows = frame[frame["workload"] == workload]
        if len(rows):
            console.print(_table(rows, title), "")
    for answer in _answers(frame):
        console.print(answer)
    left_out = frame[~frame["status"].isin(["ok", "unavailable"])]
    for row in left_out.itertuples():
        console.print(f"{row.workload} {row.network} {row.implementation} on {row.spec}: {row.status}: {row.reason}")


def scaled(seconds: float) -> str:
    """Return a time with three digits and the unit that fits."""
    for factor, unit in ((1.0, "s"), (1e3, "ms"), (1e6, "µs")):
        if seconds * factor >= 1:
            return f"{seconds * factor:.3g} {unit}"
    return f"{seconds * 1e9:.3g} ns"


def times(ratio: float) -> str:
    """Return a speed-up as `12.3x`."""
    return f"{ratio:,.0f}x" if ratio >= 100 else f"{ratio:.2g}x" if ratio < 10 else f"{ratio:.0f}x"


def _table(rows: pd.DataFrame, title: str) -> Table:
    specs = list(rows["spec"].unique())
    looped = bool(rows["baseline"].str.contains("unit|hand_written").any())
    table = Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False)
    table.add_column("")
    for spec in specs:
        table.add_column(spec, justify="right", style="bold")
        if looped:
            table.add_column("over loop", justify="right")
        if spec != "numpy:cpu":
            table.add_column("over NumPy", justify="right")
    heading = None
    for case, measured in rows.groupby(["workload", "network", "implementation"], sort=False):
        workload, network, implementation = map(str, case)
        if workload in ONE_EXAMPLE and workload != heading:
            heading = workload
            table.add_row(f"[italic]{TITLES[workload]}[/]")
        by_spec = {row.spec: row for row in measured.itertuples()}
        cells = [cell for spec in specs for cell in _cells(by_spec[spec], spec, looped)]
        table.add_row(network if workload == "matmul" else f"  {implementation}", *cells)
    return table


def _cells(row: Any, spec: str, looped: bool) -> list[str]:
    ok = row.status == "ok"
    if ok:
        seconds = 1 / row.examples_per_s if row.workload in ONE_EXAMPLE else row.median_s
        time = scaled(seconds) if row.workload != "matmul" else f"{scaled(seconds)} {row.gflop_per_s:.3g} GFLOP/s"
    else:
        time = "-" if row.status == "unavailable" else row.status.replace("_", " ")
    cells = [time]
    if looped:
        cells.append(times(row.speedup) if ok and row.speedup == row.speedup else "")
    if spec != "numpy:cpu":
        cells.append(times(row.speedup_over_numpy) if ok and row.speedup_over_numpy == row.speedup_over_numpy else "")
    return cells


def _answers(frame: pd.DataFrame) -> list[str]:
    """Return one line for each of the three questions, as the range over networks and workloads."""
    ok = frame[(frame["status"] == "ok") & frame["workload"].isin(ONE_EXAMPLE)]
    each = (1 / ok["examples_per_s"]).groupby([ok["spec"], ok["implementation"], ok["workload"], ok["network"]]).first()

    def faster(own: tuple[str, str], than: tuple[str, str]) -> str | None:
        if own not in each.index or than not in each.index:
            return None
        ratios = (each[than] / each[own]).dropna()
        return f"{times(ratios.min())} to {times(ratios.max())}" if len(ratios) else None

    numpy = "numpy:cpu"
    questions = [("A matrix product over the loop, NumPy", (numpy, "matmul"), (numpy, "unit"))]
    for spec in frame["spec"].unique():
        questions.append((f"Compiled over eager, {spec}", (spec, "compiled"), (spec, "matmul")))
        best = "compiled" if (spec, "compiled") in each.index else "matmul"
        if spec != numpy:
            kind = "the GPU" if "gpu" in spec else "the CPU"
            questions.append(
                (f"{spec} ({best}, on {kind}) over NumPy's matrix product", (spec, best), (numpy, "matmul"))
            )
    answers = [(text, faster(own, than)) for text, own, than in questions]
    return [f"{text}: {answer}" for text, answer in answers if answer]
