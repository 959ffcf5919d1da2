"""The table that a person reads: times for one example in units that fit, speed-ups with their intervals and verdicts."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple, TypeVar

import pandas as pd
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from bench import peers
from bench.cases import CONTROL, FUNCTION
from bench.comparison import EAGER, OURS
from bench.statistics import CONFIDENCE, Estimate
from bench.table import EMPTY

T = TypeVar("T")

Summary = pd.DataFrame
Row = dict[Any, Any]

ONE_EXAMPLE = ("forward", "backward", "step")
TITLES = {"forward": "forward", "backward": "backward", "step": "training step"}
EPOCH, PRODUCT = "time for one epoch", "square matrix product"
WHOLE = ("epoch", "matmul")
PEER_TITLES = {
    "epoch": EPOCH,
    "predict": "time to predict all rows, from host to host",
    "row": "time to predict one row, from host to host",
}
MARKS = {"FASTER": "[green]▲[/]", "SLOWER": "[red]▼[/]", "SAME": "[blue]=[/]", "UNRESOLVED": "[yellow]?[/]"}
LEGEND = (
    f"±, ×÷ and […] are {CONFIDENCE:.0%} intervals over processes. ▲ faster, ▼ slower, = the same within 5 %, "
    "? cannot be told, ≠ not like for like."
)
DISTURBED = "The run was too disturbed: close other programs, or give it more --time (under pytest --array-passes)."
VAGUE, HOPELESS = 10, 1000
"""An interval in doubt whose ends lie so many times apart says nothing alone; and would only hide what others say beside it."""
ROOMY = 120  # columns of a terminal from which on intervals are spelled out


class Comparison(NamedTuple):
    """Columns of the table that hold a speed-up: the column's name, and its verdict's."""

    title: str
    name: str
    verdict: str


class Answer(NamedTuple):
    """What a run says of one backend to one of the three questions: the rows that answer it, by one of their speed-ups."""

    title: str
    spec: str
    rows: Summary
    comparison: Comparison

    @property
    def counts(self) -> dict[str, int]:
        """How many rows have which verdict, in the order of `MARKS`."""
        found = self.rows[self.comparison.verdict].value_counts()
        return {verdict: int(found[verdict]) for verdict in MARKS if verdict in found}

    @property
    def reach(self) -> str:
        """The speed-ups from the least to the greatest, and how far their intervals reach together, but for `hidden` ones.

        That nothing can be said where the rows say nothing.
        """
        if self.says_nothing:
            return "nothing can be said"
        name, told = self.comparison.name, self.rows[~self.hidden(beyond=HOPELESS)]
        reached = _span(told[f"{name}_ci_low"], told[f"{name}_ci_high"])
        return f"{_span(told[name], told[name])} ({CONFIDENCE:.0%}: {reached})"

    @property
    def says_nothing(self) -> bool:
        """Whether noise hides every row: a single one that tells something is an answer."""
        return bool(self.hidden(beyond=VAGUE).all())

    def hidden(self, beyond: float) -> pd.Series[bool]:
        """Tell of each row whether it is in doubt and the ends of its interval lie further apart than by that factor."""
        low, high = (self.rows[f"{self.comparison.name}_ci_{end}"] for end in ("low", "high"))
        return (self.rows[self.comparison.verdict] == "UNRESOLVED") & (high > beyond * low)

    @property
    def counted(self) -> str:
        """How many rows are clearly faster or slower, in words."""
        words = [f"{verdict.lower()} in {count}" for verdict, count in self.counts.items()]
        return f"{', '.join(words)} of {len(self.rows)}"

    @property
    def remarks(self) -> str:
        """What else is to be known, in words: what noise took, and errors where another precision is the question."""
        hopeless = int(self.hidden(beyond=HOPELESS).sum())
        errors = self.rows["oracle_error"].max() if self.comparison is OVER_FLOAT32 else None
        return "; ".join(
            [
                *([f"{hopeless} too disturbed for a range"] if hopeless and not self.says_nothing else []),
                *([f"errors up to {errors:.1e}"] if errors else []),
            ]
        )

    def __str__(self) -> str:
        return f"{self.title}: {self.reach}, {self.counted}" + (f"; {self.remarks}" if self.remarks else "")


OVER_LOOP = Comparison("over loop", "speedup", "verdict")
OVER_HAND_WRITTEN = OVER_LOOP._replace(title="over hand-written")
OVER_NUMPY = Comparison("over NumPy", "speedup_over_numpy", "verdict_over_numpy")
OVER_EAGER = Comparison("over eager", "speedup_over_eager", "verdict_over_eager")
OVER_FLOAT32 = Comparison("over float32", "speedup_over_float32", "verdict_over_float32")
OF_OURS = {
    "numpy": Comparison("ours on NumPy", "speedup_of_numpy", "verdict_of_numpy"),
    "numba": Comparison("ours on Numba", "speedup_of_numba", "verdict_of_numba"),
    "jax": Comparison("ours on JAX", "speedup_of_jax", "verdict_of_jax"),
}


def show(summary: Summary, console: Console) -> None:
    """Print the tables of networks, epoch and products, of peers or of precisions; the answers, and how far to believe them."""
    frame = marked(summary)
    told = frame[frame["implementation"] != CONTROL]
    for title, tables in _titled_tables(told, console):
        console.print(title, style="bold", highlight=False)
        for table in tables:
            console.print(table, "")
    console.print(LEGEND, style="dim", highlight=False)
    console.print()
    for line in (*map(str, answers(told)), *not_had(told), *controls(frame)):
        console.print(line, highlight=False)
    for peer, rows in frame[frame["backend"].map(peers.is_peer)].groupby("backend", sort=False):
        if (rows["status"] == "unavailable").all() and (rows["backend_version"] == "-").all():
            console.print(f"{peer}: {rows['reason'].iloc[0]}", markup=False, highlight=False)
    lost = frame[~frame["status"].isin(["ok", "unavailable"])]
    for row in lost[lost["status"] != "timed_out"].itertuples():
        precision = "" if row.precision == "float32" else f" in {row.precision}"
        case = f"{row.workload} {row.network} {row.implementation}{precision} on {row.spec}"
        console.print(f"{case}: {row.status}: {row.reason}")
    for _, rows in lost[lost["status"] == "timed_out"].groupby(["implementation", "spec"], sort=False):
        first = rows.iloc[0]
        cases = f"{len(rows)} cases, as in {first['workload']}" if len(rows) > 1 else first["workload"]
        loops = f"{first['implementation']} on {first['spec']}"
        console.print(f"{loops}: timed_out in {cases} {first['network']}: {first['reason']}")


def marked(summary: Summary) -> Summary:
    """Return the rows with `spec` (`jax:gpu:0`) and `kind`: a case's kind of work, whatever its name is."""
    ours = summary["source"] == EMPTY["str"]
    spec = summary["backend"] + ":" + summary["device"]
    return summary.assign(spec=spec, kind=summary["workload"].where(ours, FUNCTION))


def scaled(seconds: float) -> str:
    """Return a time with three digits and the unit that fits."""
    for factor, unit in ((1.0, "s"), (1e3, "ms"), (1e6, "µs")):
        if seconds * factor >= 1:
            return f"{seconds * factor:.3g} {unit}"
    return f"{seconds * 1e9:.3g} ns"


def times(ratio: float) -> str:
    """Return a speed-up as `12.3x`, with three digits at most."""
    return f"{ratio:,.0f}x" if ratio >= 100 else f"{ratio:.3g}x" if ratio >= 1 else f"{ratio:.2g}x"


def _span(low: pd.Series[float], high: pd.Series[float]) -> str:
    """Return the least and the greatest speed-up, or the one that both are."""
    return " to ".join(dict.fromkeys([times(low.min()), times(high.max())]))


def with_interval(speedup: Estimate, roomy: bool) -> str:
    """Return a speed-up with its interval: `12.3x ±4%`, or `12.3x [11.8, 12.8]` where there is room."""
    if roomy:
        return f"{times(speedup.value)} \\[{times(speedup.low)[:-1]}, {times(speedup.high)[:-1]}]"
    reach = speedup.half_width
    return f"{times(speedup.value)} " + (f"±{reach:.0%}" if reach < 0.995 else f"×÷{1 + reach:.2g}")


def _titled_tables(told: Summary, console: Console) -> Iterator[tuple[str, Iterable[Table]]]:
    """Yield every title with what stands under it, in the form for peers, for precisions, or for the ladder."""
    roomy = console.width >= ROOMY
    if told["backend"].map(peers.is_peer).any():
        yield from ((title, _peers_tables(rows, console)) for title, rows in _parts_with_peers(told))
    elif _in_precisions(told):
        yield from ((title, [_precisions_table(rows, roomy)]) for title, rows in _parts_in_precisions(told))
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


def _in_precisions(frame: Summary) -> bool:
    """Tell whether a suite's cases are compared in several precisions."""
    return bool((frame[frame["kind"] != FUNCTION]["precision"] != "float32").any())


def _parts_with_peers(frame: Summary) -> Iterator[tuple[str, Summary]]:
    """Yield what gets a table of its own beside peers, with its title."""
    for (workload, network), rows in frame.groupby(["workload", "network"], sort=False):
        yield f"{network}: {PEER_TITLES[str(workload)]}; how many times faster is ours ({OURS[str(workload)]})?", rows


def _parts_in_precisions(frame: Summary) -> Iterator[tuple[str, Summary]]:
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
    over_loop = OVER_HAND_WRITTEN if (rows["kind"] == "epoch").all() else OVER_LOOP
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
    unlike = "≠" if comparison.name == "speedup" and row["unlike"] != "-" else ""
    return f"{with_interval(speedup, roomy)} {MARKS[verdict]}{unlike}"


def estimate(row: Row, name: str) -> Estimate:
    """Return a speed-up of a row with its interval, given its column."""
    return Estimate(row[name], row[f"{name}_ci_low"], row[f"{name}_ci_high"])


def answers(frame: Summary) -> Iterator[Answer]:
    """Yield the answers to the three questions over all networks, or all functions, and what narrower numbers bring."""
    every = (
        [*_precision_answers(frame)] if _in_precisions(frame) else [*_three_answers(frame), *_precision_answers(frame)]
    )
    for answer in every:
        if len(rows := answer.rows[answer.rows[f"{answer.comparison.name}_ci_low"].notna()]):
            yield answer._replace(rows=rows)


def _three_answers(frame: Summary) -> Iterator[Answer]:
    ok = frame[(frame["status"] == "ok") & frame["kind"].isin([*ONE_EXAMPLE, FUNCTION])]
    compiled = list(ok[ok["implementation"] == "compiled"]["spec"].unique())
    numpy = ok[ok["spec"].str.startswith("numpy:") & (ok["implementation"] == "matmul")]
    yield Answer("A matrix product over the loop, NumPy", "numpy:cpu", numpy, OVER_LOOP)
    for spec in ok["spec"].unique():
        best = ok[(ok["spec"] == spec) & ok["implementation"].isin(["compiled"] if spec in compiled else EAGER)]
        if spec in compiled:
            yield Answer(f"Compiled over eager, {spec}", spec, best, OVER_EAGER)
        if not spec.startswith("numpy:"):
            kind = "the GPU" if "gpu" in spec else "the CPU"
            yield Answer(f"{spec}, on {kind}, over NumPy", spec, best, OVER_NUMPY)


def _precision_answers(frame: Summary) -> Iterator[Answer]:
    for case, rows in frame[frame["precision"] != "float32"].groupby(["spec", "precision"], sort=False):
        spec, precision = map(str, case)
        yield Answer(f"{precision} over float32, {spec}", spec, rows, OVER_FLOAT32)


def not_had(frame: Summary) -> Iterator[str]:
    """Yield for each backend why some precisions cannot be had, where they are what the run is about."""
    if _in_precisions(frame):
        for own, rows in frame[frame["status"] == "unavailable"].groupby("spec", sort=False):
            yield f"{own!s}: {'; '.join(rows['reason'].unique())}"


def controls(frame: Summary) -> Iterator[str]:
    """Yield what the run knows of its own error: what two equal cases differed by, and the least that it could have seen.

    Where noise hides one of them, or all that answers a question, what to do about it comes last.
    """
    disturbed = any(answer.says_nothing for answer in answers(frame))
    equals = frame[(frame["implementation"] == CONTROL) & frame["speedup_ci_low"].notna()]
    for row in equals.to_dict("records"):
        equal, pair = estimate(row, "speedup"), f"Two equal cases, {row['workload']} {row['network']}"
        if row["verdict"] == "UNRESOLVED" and equal.high > VAGUE * equal.low:
            disturbed = True
            yield f"{pair}: nothing can be said."
            continue
        yield (
            f"{pair}, differed by {equal.value - 1:+.1%} "
            f"({equal.low - 1:+.1%} to {equal.high - 1:+.1%}): {row['verdict']}. "
            f"Here {row['smallest_effect']:.1%} could be seen; false alarms {row['false_alarm_rate']:.1%}."
        )
    if disturbed:
        yield DISTURBED
