"""Time against size: of products, of networks, and of a user's functions along each axis of numbers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import altair as alt

from bench.answers import Row
from bench.cases import FUNCTION
from bench.functions import axis_values
from bench.page.crossings import Crossing, crossings
from bench.page.drawing import (
    PLOT,
    Chart,
    charted,
    colours,
    dashes,
    declaration,
    file_name,
    log_domain,
    log_ticks,
    or_none,
    shapes,
)
from bench.page.palette import colour
from bench.page.runs import Run, in_precision, time
from bench.page.tables import Table, figure, seconds_cell, words
from bench.statistics import CONFIDENCE, Estimate
from bench.wording import scaled, unit

NOT_DRAWN = " A size of zero or less has no place there: its times are in the table of all rows."
SECONDS = "format(datum.value, '~s') + 's'"


@dataclass(frozen=True)
class Sweep:
    """Rows of one kind of work, each beside its size; `what` says what that is.

    Where they differ in nothing else (`alone`), a line between two sizes means something, and a crossing too.
    """

    name: str
    title: str
    what: str
    rows: list[tuple[float, Row]]
    alone: bool = True

    @property
    def drawn(self) -> list[tuple[float, Row]]:
        """The rows that have a place on a logarithmic axis."""
        return [(size, row) for size, row in self.rows if size > 0]


KINDS = {
    "forward": "Time of a forward pass against the network's size",
    "backward": "Time of all gradients against the network's size",
    "step": "Time of a training step against the network's size",
}


def sizes(runs: Sequence[Run]) -> Iterator[Chart]:
    """Yield time against size for each kind of work that was measured at two sizes at least."""
    rows = [row for run in runs for row in run.told.to_dict("records") if charted(row)]
    for sweep in (*_of_suites(rows), *_of_functions(rows)):
        if len({size for size, _ in sweep.drawn}) > 1:
            yield _size_chart(sweep, runs)


def _of_suites(rows: list[Row]) -> Iterator[Sweep]:
    products = [(row["batch_size"], row) for row in rows if row["kind"] == "matmul"]
    yield Sweep("products", "Time of a square product against its size", "rows and columns, n", products)
    for kind, title in KINDS.items():
        own = [(row["parameters"], row) for row in rows if row["kind"] == kind]
        yield Sweep(kind, title, "weights of the network", own, alone=False)


def _of_functions(rows: list[Row]) -> Iterator[Sweep]:
    """Yield, for each axis of numbers of each function, what differs in it alone: a sweep for each combination of the others."""
    valued = [(row["workload"], axis_values(row["network"]), row) for row in rows if row["kind"] == FUNCTION]
    for function, axis in dict.fromkeys((function, axis) for function, values, _ in valued for axis in values):
        found: dict[str, list[tuple[Any, Row]]] = {}
        for values, row in ((values, row) for name, values, row in valued if name == function and axis in values):
            others = ", ".join(f"{name}={value}" for name, value in values.items() if name != axis)
            found.setdefault(others, []).append((values[axis], row))
        if any(isinstance(size, str) for sized in found.values() for size, _ in sized):
            continue
        for others, sized in found.items():
            title = f"Time of {function} against {axis}" + (f", {others}" if others else "")
            yield Sweep(file_name(function, axis, *([others] if others else [])), title, axis, sized)


def _size_chart(sweep: Sweep, runs: Sequence[Run]) -> Chart:
    sized, several = sweep.drawn, len(runs) > 1
    points = [_point(size, row) for size, row in sized]
    found = [
        (run, crossing)
        for run in runs
        for crossing in _crossings([(size, row) for size, row in sized if row["run"] == run.letter])
        if sweep.alone
    ]
    one = unit(sized[0][1]["kind"])
    caption = (
        f"Both axes are logarithmic. Bars are {CONFIDENCE:.0%} intervals over processes; one that leaves the picture goes on. "
        + _on_crossings(sweep, [_crossing_words(run, crossing, several) for run, crossing in found])
        + (NOT_DRAWN if len(sized) < len(sweep.rows) else "")
    )
    ends = "; ".join(_ends(name, points) for name in dict.fromkeys(point["backend"] for point in points))
    headings = ["Run", "Backend", "Network", sweep.what, f"Time of one {one}, {CONFIDENCE:.0%} interval"]
    figures = [
        [
            *(words(text) for text in (row["run"], _line(row), row["network"])),
            figure(size, ","),
            seconds_cell(time(row)),
        ]
        for size, row in sized
    ]
    layers = _lines(points, sweep.what, one, [f"run {run.letter}" for run in runs])
    marks = _crossing_marks([crossing for _, crossing in found]) if found else []
    return Chart(
        f"time-{sweep.name}",
        sweep.title,
        caption,
        f"{sweep.title}: {ends}.",
        declaration(alt.layer(*layers, *marks), PLOT),
        Table(sweep.title, headings, figures),
    )


def _point(size: float, row: Row) -> Row:
    took = time(row)
    return {
        "size": size, "seconds": took.value, "low": or_none(took.low), "high": or_none(took.high),
        "backend": _line(row), "run": f"run {row['run']}", "time": str(seconds_cell(took)), "network": row["network"],
    }  # fmt: skip


def _lines(points: list[Row], what: str, one: str, runs: list[str]) -> list[alt.Chart]:
    """Return a line through the points of each backend in each run, the points, and their intervals."""
    lines = list(dict.fromkeys(point["backend"] for point in points))
    x = alt.X("size:Q", title=what).scale(type="log", base=2, nice=False, padding=12)
    x = x.axis(values=sorted({point["size"] for point in points}), labelOverlap="greedy", labelSeparation=5)
    limits = log_domain([point["seconds"] for point in points], 2)
    y = alt.Y("seconds:Q", title=f"seconds of one {one}")
    y = y.scale(type="log", domain=limits, nice=False).axis(labelExpr=SECONDS, values=log_ticks(limits))
    base = alt.Chart(alt.Data(values=points)).encode(x=x, color=colours("backend", lines))
    dash = [dashes("run", runs)] if len(runs) > 1 else []
    tips = [alt.Tooltip(f"{name}:N") for name in ("backend", "run", "network", "size", "time")]
    return [
        base.mark_rule(clip=True, strokeWidth=1.2, opacity=0.7).encode(alt.Y("low:Q"), alt.Y2("high:Q"), tooltip=tips),
        base.mark_line(strokeWidth=1.8).encode(y, alt.Detail("run:N"), *dash),
        base.mark_point(filled=True, size=55, opacity=1).encode(y, shapes("backend", lines), tooltip=tips),
    ]


def _on_crossings(sweep: Sweep, sentences: list[str]) -> str:
    if not sweep.alone:
        return "The networks differ in more than their size, so that no crossing is drawn between them."
    if not sentences:
        return "No lines of two backends cross."
    return " ".join(("◇ marks where two lines cross, interpolated between two measured sizes.", *sentences))


def _line(row: Row) -> str:
    return in_precision(row["spec"] if row["kind"] == "matmul" else f"{row['spec']} {row['implementation']}", row)


def _ends(name: str, points: list[Row]) -> str:
    """Return in words from where to where a line goes."""
    own = sorted((point for point in points if point["backend"] == name), key=lambda point: point["size"])
    first, last = own[0], own[-1]
    return (
        f"{name} from {scaled(first['seconds'])} at {first['size']:,} to {scaled(last['seconds'])} at {last['size']:,}"
    )


def _crossings(sized: list[tuple[float, Row]]) -> list[Crossing]:
    """Return where lines of different backends in one precision cross in one run."""
    lines: dict[str, dict[float, Estimate]] = {}
    for size, row in sized:
        lines.setdefault(_line(row), {})[size] = time(row)
    kinds = {_line(row): (row["spec"], row["precision"]) for _, row in sized}
    pairs = [(found, kinds[found.before], kinds[found.after]) for found in crossings(lines)]
    return [found for found, (spec, precision), other in pairs if spec != other[0] and precision == other[1]]


def _crossing_marks(found: list[Crossing]) -> list[alt.Chart]:
    values = [
        {"size": c.size, "seconds": c.seconds, "label": f"≈ {_size(c.size)}", "crossing": _short(c)} for c in found
    ]
    base = alt.Chart(alt.Data(values=values)).encode(alt.X("size:Q"), alt.Y("seconds:Q"))
    point = base.mark_point(shape="diamond", size=190, strokeWidth=2, color=colour("ink"), filled=False)
    return [
        point.encode(tooltip=[alt.Tooltip("crossing:N")]),
        base.mark_text(dy=-16, align="center", fontWeight="bold").encode(text="label:N"),
    ]


def _short(crossing: Crossing) -> str:
    return f"up to ≈ {_size(crossing.size)} {crossing.before} is faster, from there on {crossing.after} (interpolated)"


def _crossing_words(run: Run, crossing: Crossing, named: bool) -> str:
    where = f"between {crossing.from_size:,} and {crossing.to_size:,}"
    doubt = (
        "" if crossing.told_apart else ", but their intervals overlap on one side at least, so that it may be chance"
    )
    told = f"{crossing.before} and {crossing.after} cross at ≈ {_size(crossing.size)}, {where}{doubt}."
    return f"In run {run.letter} {told}" if named else told


def _size(size: float) -> str:
    return f"{size:,.0f}" if size >= 10 else f"{size:.2g}"
