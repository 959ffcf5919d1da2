"""The table that a person reads: times for one example in units that fit, speed-ups with their intervals and verdicts."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

import pandas as pd
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from bench import peers, terminal
from bench.answers import (
    OF_OURS,
    OVER_BASELINE,
    OVER_FLOAT32,
    OVER_LOOP,
    OVER_NUMPY,
    Comparison,
    Row,
    Summary,
    by_question,
    controls,
    estimate,
    in_precisions,
    is_unlike,
    marked,
    not_had,
)
from bench.cases import CONTROL, FUNCTION
from bench.comparison import OURS
from bench.wording import EPOCH, LEGEND, MARKS, ONE_EXAMPLE, PEER_TITLES, PRODUCT, ROOMY, TITLES, scaled, with_interval

WHOLE = ("epoch", "matmul")

T = TypeVar("T")


def show(summary: Summary, console: Console) -> None:
    """Print the tables of networks, epoch and products, of peers or of precisions; what has no figure; the answers last."""
    frame = marked(summary)
    told = frame[frame["implementation"] != CONTROL]
    for title, tables in _titled_tables(told, console):
        console.print(title, style="bold", markup=False, highlight=False)
        for table in tables:
            console.print(table, "")
    console.print(LEGEND, style="dim", highlight=False)
    if lost := list(_lost(frame)):
        console.print("", *lost, sep="\n", markup=False, highlight=False)
    console.print()
    answered = by_question(told)
    for question, found in answered.items():
        console.print(question, style="bold", highlight=False)
        for line in [f"{answer.word}. {answer}" for answer in found] or ["Not measured."]:
            console.print(terminal.indented(line, console.width, "  "), markup=False, highlight=False)
    for line in (*not_had(told), *controls(frame, answered)):
        console.print(line, markup=False, highlight=False)


def _lost(frame: Summary) -> Iterator[str]:
    """Yield which peers are not there, what failed and what took too long, each with the reason."""
    for peer, rows in frame[frame["backend"].map(peers.is_peer)].groupby("backend", sort=False):
        if (rows["status"] == "unavailable").all() and (rows["backend_version"] == "-").all():
            yield f"{peer}: {rows['reason'].iloc[0]}"
    lost = frame[~frame["status"].isin(["ok", "unavailable"])]
    for row in lost[lost["status"] != "timed_out"].itertuples():
        precision = "" if row.precision == "float32" else f" in {row.precision}"
        case = f"{row.workload} {row.network} {row.implementation}{precision} on {row.spec}"
        yield f"{case}: {row.status}: {row.reason}"
    for _, rows in lost[lost["status"] == "timed_out"].groupby(["implementation", "spec"], sort=False):
        first = rows.iloc[0]
        cases = f"{len(rows)} cases, as in {first['workload']}" if len(rows) > 1 else first["workload"]
        loops = f"{first['implementation']} on {first['spec']}"
        yield f"{loops}: timed_out in {cases} {first['network']}: {first['reason']}"


def _titled_tables(told: Summary, console: Console) -> Iterator[tuple[str, Iterable[Table]]]:
    """Yield every title with what stands under it, in the form for peers, for precisions, or for the ladder."""
    roomy = console.width >= ROOMY
    if told["backend"].map(peers.is_peer).any():
        yield from ((title, _peers_tables(rows, console)) for title, rows in _parts_with_peers(told))
    elif in_precisions(told):
        yield from ((title, [_precisions_table(rows, roomy)]) for title, rows in _partsin_precisions(told))
    else:
        yield from ((title, _tables(rows, console)) for title, rows in _parts(told))


def _parts(frame: Summary) -> Iterator[tuple[str, Summary]]:
    """Yield what gets a table of its own, with its title."""
    for network, rows in frame[frame["kind"].isin(ONE_EXAMPLE)].groupby("network", sort=False):
        yield f"{network}: time for one example, in batches of {rows['batch_size'].max()}", rows
    for network, rows in frame[frame["kind"] == "epoch"].groupby("network", sort=False):
        yield f"{network}: {EPOCH}", rows
    if len(rows := frame[frame["kind"] == "matmul"]):
        yield PRODUCT, rows
    for (function, precision), rows in frame[frame["kind"] == FUNCTION].groupby(["workload", "precision"], sort=False):
        yield f"{function}{'' if precision == 'float32' else f' in {precision}'}: time of one call", rows


def _parts_with_peers(frame: Summary) -> Iterator[tuple[str, Summary]]:
    """Yield what gets a table of its own beside peers, with its title."""
    for (workload, network), rows in frame.groupby(["workload", "network"], sort=False):
        yield f"{network}: {PEER_TITLES[str(workload)]}; how many times faster is ours ({OURS[str(workload)]})?", rows


def _partsin_precisions(frame: Summary) -> Iterator[tuple[str, Summary]]:
    """Yield what gets a table of its own in several precisions, with its title."""
    for (workload, network), rows in frame.groupby(["workload", "network"], sort=False):
        if workload in ONE_EXAMPLE:
            title = f"{TITLES[str(workload)]}: time for one example, in batches of {rows['batch_size'].max()}"
        else:
            title = "time for one product"
        yield f"{network}, {title}", rows


def _precisions_table(rows: Summary, roomy: bool) -> Table:
    """Return a table with a line for each precision that was measured or went wrong: its error beside its speed."""
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 1 if roomy else 0))
    for name in ("", "", "", "time", "error", OVER_FLOAT32.title):
        table.add_column(name, justify="right" if name else "left", no_wrap=True)
    told = rows[rows["status"] != "unavailable"]
    told = pd.concat([own for _, own in told.groupby("spec", sort=False)]) if len(told) else told
    for (spec, implementation), own in told.groupby(["spec", "implementation"], sort=False):
        names = [f"  {spec!s}", str(implementation)]
        for row in own.to_dict("records"):
            time, speedup = _cells(row, [OVER_FLOAT32], roomy)
            error = f"{row['oracle_error']:.1e}" if row["status"] == "ok" else ""
            baseline = error and row["precision"] == "float32"
            table.add_row(*names, row["precision"], time, error, "1x  " if baseline else speedup)
            names = ["", ""]
    return table


def _peers_tables(rows: Summary, console: Console) -> Iterator[Table]:
    """Yield tables with a line for each row that was measured or went wrong, ours first."""
    told = rows[rows["status"] != "unavailable"].to_dict("records")
    roomy = console.width >= ROOMY

    def table(compared: list[Comparison]) -> Table:
        made = Table(box=None, pad_edge=False, padding=(0, 1, 0, 1 if roomy else 0))
        for name in ("", "", "time", *(comparison.title for comparison in compared)):
            made.add_column(name, justify="right" if name else "left", no_wrap=True)
        for row in told:
            made.add_row(f"  {row['spec']}", row["implementation"], *_cells(row, compared, roomy))
        return made

    compared = [comparison for comparison in OF_OURS.values() if rows[comparison.name].notna().any()]
    yield from _fitting(compared, table, console)


def _tables(rows: Summary, console: Console) -> Iterator[Table]:
    """Yield the table of some rows, or several, each of the backends that the terminal is wide enough for."""
    looped = bool(rows["baseline"].str.contains("unit|hand_written").any())
    over_loop = OVER_BASELINE if (rows["kind"] == "epoch").all() else OVER_LOOP
    comparisons = {
        spec: [over_loop] * looped + [OVER_NUMPY] * (not spec.startswith("numpy:")) for spec in rows["spec"].unique()
    }
    roomy = console.width >= ROOMY
    yield from _fitting(list(comparisons.items()), lambda piece: _table(rows, dict(piece), roomy), console)


def _fitting(parts: list[T], table: Callable[[list[T]], Table], console: Console) -> Iterator[Table]:
    """Yield tables of all parts in their order, each of as many as the terminal is wide enough for."""
    piece: list[T] = []
    for part in parts:
        if piece and _width(table([*piece, part]), console) > console.width:
            yield table(piece)
            piece = []
        piece = [*piece, part]
    yield table(piece)


def _width(table: Table, console: Console) -> int:
    return console.measure(table, options=console.options.update(max_width=10 * console.width)).maximum


def _table(rows: Summary, comparisons: dict[str, list[Comparison]], roomy: bool) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 1 if roomy else 0))
    table.add_column("", no_wrap=True)
    for spec, own in comparisons.items():
        table.add_column(spec, justify="right", style="bold", no_wrap=True)
        for comparison in own:
            table.add_column(comparison.title, justify="right", no_wrap=True)
    heading = None
    for case, measured in rows.groupby(["kind", "workload", "network", "implementation"], sort=False):
        kind, _, network, implementation = map(str, case)
        above = TITLES.get(kind, "" if kind in WHOLE or network == "-" else network)
        if above and above != heading:
            heading = above
            table.add_row(f"[italic]{escape(above)}[/]")
        by_spec = {row["spec"]: row for row in measured.to_dict("records")}
        cells = [cell for spec, own in comparisons.items() for cell in _cells(by_spec.get(spec), own, roomy)]
        table.add_row(network if kind == "matmul" else f"  {implementation}", *cells)
    return table


def _cells(row: Row | None, comparisons: list[Comparison], roomy: bool) -> list[str]:
    if row is None:
        return ["", *("" for _ in comparisons)]
    if row["status"] != "ok":
        time = "-" if row["status"] == "unavailable" else row["status"].replace("_", " ")
        return [time, *("" for _ in comparisons)]
    return [scaled(_seconds(row)), *(_speedup(row, comparison, roomy) for comparison in comparisons)]


def _seconds(row: Row) -> float:
    return 1 / row["examples_per_s"] if row["kind"] in ONE_EXAMPLE else row["median_s"]


def _speedup(row: Row, comparison: Comparison, roomy: bool) -> str:
    speedup, verdict = estimate(row, comparison.name), row[comparison.verdict]
    if verdict == "BASELINE":
        return "1x  "
    if math.isnan(speedup.low):
        return ""
    unlike = "≠" if is_unlike(row, comparison) else ""
    return f"{with_interval(speedup, roomy)} {MARKS[verdict]}{unlike}"
