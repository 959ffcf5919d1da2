"""The charts of a page, each as a declaration for Vega-Lite with what a reader without eyes for it gets: its text and its data.

A kind of chart is a function from the runs to its charts, none where the runs have nothing for it; `KINDS` is the list.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import altair as alt
import vl_convert

from bench import roof
from bench.cases import CONTROL
from bench.comparison import LOOPS
from bench.page.crossings import Crossing, crossings
from bench.page.palette import PARTS, SERIES, VERDICTS, colour, resolved
from bench.page.runs import Run, overlaid, time, unit
from bench.page.tables import Table, figure, seconds_cell, speedup_cell, words
from bench.report import OF_OURS, OVER_EAGER, OVER_LOOP, OVER_NUMPY, Comparison, Row, estimate, scaled
from bench.roof import Roofs
from bench.statistics import CONFIDENCE
from core.loops import LADDER

RUNGS = {rung.name for rung in LADDER} - {"matmul"}
"""What charts of single cases leave out, as it is slow for a known reason: the tables have it."""
VEGA_LITE = ".".join(alt.SCHEMA_VERSION.lstrip("v").split(".")[:2])
SHAPES = ("circle", "square", "triangle-up", "diamond", "cross", "triangle-down", "triangle-right")
VERDICT_SHAPES = {"FASTER": "triangle-up", "SLOWER": "triangle-down", "SAME": "square", "UNRESOLVED": "circle"}
DASHES = ([1, 0], [6, 3], [2, 2], [8, 3, 2, 3], [12, 4])
ROW, TALL_ROW, PLOT = 17, 36, 320  # pixels: of a line with its label beside and above, and of a chart without labels
LETTER = 6.4  # pixels that a letter of a label takes
PICTURE_WIDTH = 760
PLAIN = "datum.value < 0.001 ? format(datum.value, '.0e') : format(datum.value, ',')"
SECONDS = "format(datum.value, '~s') + 's'"
ONE_OFF = ("process start", "import", "compiling", "rest of first call")
ROUND_TRIP = ("host to device", "dispatch", "device", "device to host")
COLUMNS_OF_TRIP = ("host_to_device_s", "dispatch_s", "device_s", "device_to_host_s")
CONFIG: dict[str, Any] = {
    "background": "transparent",
    "font": "system-ui, 'Segoe UI', Roboto, 'Open Sans', Arial, sans-serif",
    "view": {"stroke": colour("line")},
    "axis": {
        "labelColor": colour("ink"), "titleColor": colour("ink"), "gridColor": colour("line"),
        "domainColor": colour("soft"), "tickColor": colour("soft"), "labelFontSize": 11, "titleFontSize": 12,
        "titleFontWeight": "normal",
    },
    "legend": {
        "orient": "top", "direction": "vertical", "labelColor": colour("ink"), "titleColor": colour("soft"),
        "labelFontSize": 12, "titleFontSize": 12, "titleFontWeight": "normal", "labelLimit": 250, "symbolLimit": 40,
        # One below the other from the left edge on, labels of the axis included: so they fit a phone.
        "layout": {"top": {"anchor": "start", "bounds": "full", "direction": "vertical"}},
    },
    "rule": {"color": colour("soft")},
    "text": {"color": colour("ink"), "fontSize": 12},
    "aria": False,  # the page's own text and table say it in fewer words than a mark for each figure would
}  # fmt: skip


@dataclass(frozen=True)
class Chart:
    """A picture: the name of its file, its title, what one must know to read it, what it shows in words, and its figures."""

    name: str
    title: str
    caption: str
    description: str
    spec: Row
    table: Table

    def picture(self, kind: str) -> str | bytes:
        """Return it as `svg` (text) or `png`, in light."""
        spec = json.loads(resolved(json.dumps(self.spec))) | {"width": PICTURE_WIDTH, "background": "white"}
        if kind == "svg":
            return vl_convert.vegalite_to_svg(spec, vl_version=VEGA_LITE)
        return vl_convert.vegalite_to_png(spec, vl_version=VEGA_LITE, scale=2)


def charts(runs: Sequence[Run]) -> list[Chart]:
    """Return every chart that the runs have figures for."""
    return [chart for kind in KINDS for chart in kind(runs)]


def script() -> str:
    """Return the JavaScript that draws charts in a page: the library as a whole, with nothing to load."""
    return vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;", vl_version=VEGA_LITE)


# Time against size


@dataclass(frozen=True)
class Sweep:
    """Rows of one kind of work that differ in size: `column` holds the size, `what` says what it is.

    Where they differ in nothing else (`alone`), a line between two sizes means something, and a crossing too.
    """

    name: str
    title: str
    workload: str
    column: str
    what: str
    alone: bool = False


SWEEPS = (
    Sweep("products", "Time of a square product against its size", "matmul", "batch_size", "rows and columns, n", True),
    Sweep(
        "forward",
        "Time of a forward pass against the network's size",
        "forward",
        "parameters",
        "weights of the network",
    ),
    Sweep(
        "backward",
        "Time of all gradients against the network's size",
        "backward",
        "parameters",
        "weights of the network",
    ),
    Sweep("step", "Time of a training step against the network's size", "step", "parameters", "weights of the network"),
)


def sizes(runs: Sequence[Run]) -> Iterator[Chart]:
    """Yield time against size for each kind of work that was measured at two sizes at least."""
    for sweep in SWEEPS:
        rows = [
            row
            for run in runs
            for row in run.told.to_dict("records")
            if row["workload"] == sweep.workload and _charted(row) and row[sweep.column] > 0
        ]
        if len({row[sweep.column] for row in rows}) > 1:
            yield _size_chart(sweep, rows, runs)


def _size_chart(sweep: Sweep, rows: list[Row], runs: Sequence[Run]) -> Chart:
    found = [
        (run, crossing)
        for run in runs
        for crossing in _crossings([row for row in rows if row["run"] == run.letter], sweep.column)
        if sweep.alone
    ]
    points: list[Row] = []
    for row in rows:
        took = time(row)
        points.append(
            {"size": row[sweep.column], "seconds": took.value, "low": _or_none(took.low), "high": _or_none(took.high)}
            | {
                "backend": _line(row),
                "run": f"run {row['run']}",
                "time": str(seconds_cell(took)),
                "network": row["network"],
            }
        )
    lines = list(dict.fromkeys(point["backend"] for point in points))
    x = alt.X("size:Q", title=sweep.what).scale(type="log", base=2, nice=False, padding=12)
    x = x.axis(values=sorted({point["size"] for point in points}), labelOverlap="greedy", labelSeparation=5)
    limits = _domain([point["seconds"] for point in points], 2)
    y = alt.Y("seconds:Q", title=f"seconds of one {unit(rows[0])}")
    y = y.scale(type="log", domain=limits, nice=False).axis(labelExpr=SECONDS, values=_ticks(limits))
    base = alt.Chart(alt.Data(values=points)).encode(x=x, color=_colours("backend", lines))
    dash = [alt.StrokeDash("run:N", title=None).scale(domain=_runs(runs), range=_cycled(DASHES, len(runs)))]
    dash = dash if len(runs) > 1 else []
    tips = [alt.Tooltip(f"{name}:N") for name in ("backend", "run", "network", "size", "time")]
    layers = [
        base.mark_rule(clip=True, strokeWidth=1.2, opacity=0.7).encode(alt.Y("low:Q"), alt.Y2("high:Q"), tooltip=tips),
        base.mark_line(strokeWidth=1.8).encode(y, alt.Detail("run:N"), *dash),
        base.mark_point(filled=True, size=55, opacity=1).encode(y, _shapes("backend", lines), tooltip=tips),
    ]
    if found:
        layers += _crossing_marks([crossing for _, crossing in found])
    sentences = [_crossing_words(run, crossing, sweep, len(runs) > 1) for run, crossing in found]
    caption = (
        f"Both axes are logarithmic. Bars are {CONFIDENCE:.0%} intervals over processes; one that leaves the picture goes on. "
        + _on_crossings(sweep, sentences)
    )
    headings = [
        "Run",
        "Backend",
        "Network",
        sweep.what.capitalize(),
        f"Time of one {unit(rows[0])}, {CONFIDENCE:.0%} interval",
    ]
    figures = [
        [
            words(row["run"]),
            words(_line(row)),
            words(row["network"]),
            figure(row[sweep.column], ","),
            seconds_cell(time(row)),
        ]
        for row in rows
    ]
    return Chart(
        f"time-{sweep.name}",
        sweep.title,
        caption,
        f"{sweep.title}: {'; '.join(_ends(name, points) for name in lines)}.",
        _spec(alt.layer(*layers), PLOT),
        Table(sweep.title, headings, figures),
    )


def _on_crossings(sweep: Sweep, sentences: list[str]) -> str:
    if not sweep.alone:
        return "The networks differ in more than their size, so that no crossing is drawn between them."
    if not sentences:
        return "No lines of two backends cross."
    return " ".join(("◇ marks where two lines cross, interpolated between two measured sizes.", *sentences))


def _line(row: Row) -> str:
    return row["spec"] if row["workload"] == "matmul" else f"{row['spec']} {row['implementation']}"


def _ends(name: str, points: list[Row]) -> str:
    """Return in words from where to where a line goes."""
    own = sorted((point for point in points if point["backend"] == name), key=lambda point: point["size"])
    first, last = own[0], own[-1]
    return (
        f"{name} from {scaled(first['seconds'])} at {first['size']:,} to {scaled(last['seconds'])} at {last['size']:,}"
    )


def _crossings(rows: list[Row], column: str) -> list[Crossing]:
    """Return where lines of different backends cross in one run."""
    lines: dict[str, dict[int, Any]] = {}
    for row in rows:
        lines.setdefault(_line(row), {})[row[column]] = time(row)
    specs = {_line(row): row["spec"] for row in rows}
    return [found for found in crossings(lines) if specs[found.before] != specs[found.after]]


def _crossing_marks(found: list[Crossing]) -> list[alt.Chart]:
    values = [{"size": c.size, "seconds": c.seconds, "label": f"≈ {c.size:,.0f}", "crossing": _short(c)} for c in found]
    base = alt.Chart(alt.Data(values=values)).encode(alt.X("size:Q"), alt.Y("seconds:Q"))
    point = base.mark_point(shape="diamond", size=190, strokeWidth=2, color=colour("ink"), filled=False)
    return [
        point.encode(tooltip=[alt.Tooltip("crossing:N")]),
        base.mark_text(dy=-16, align="center", fontWeight="bold").encode(text="label:N"),
    ]


def _short(crossing: Crossing) -> str:
    return f"up to ≈ {crossing.size:,.0f} {crossing.before} is faster, from there on {crossing.after} (interpolated)"


def _crossing_words(run: Run, crossing: Crossing, sweep: Sweep, named: bool) -> str:
    where = f"between {crossing.from_size:,} and {crossing.to_size:,} {sweep.what}"
    doubt = (
        "" if crossing.told_apart else ", but their intervals overlap on one side at least, so that it may be chance"
    )
    told = f"{crossing.before} and {crossing.after} cross at ≈ {crossing.size:,.0f}, {where}{doubt}."
    return f"In run {run.letter} {told}" if named else told


# Speed-ups

SPEEDUPS = (
    (OVER_LOOP, "loop", "How many times faster than a loop in Python"),
    (OVER_NUMPY, "numpy", "How many times faster than the same on NumPy"),
    (OVER_EAGER, "eager", "How many times faster compiled than call by call"),
    (OF_OURS["numpy"], "of-numpy", "How many times faster this project on NumPy is than each of these"),
    (OF_OURS["jax"], "of-jax", "How many times faster this project on JAX is than each of these"),
)


def speedups(runs: Sequence[Run]) -> Iterator[Chart]:
    """Yield a chart of each kind of speed-up, with intervals and verdicts."""
    for comparison, name, title in SPEEDUPS:
        rows = [
            row
            for row in _in_order(overlaid(runs), len(runs) > 1)
            if row[comparison.verdict] in VERDICTS
            and not math.isnan(row[f"{comparison.name}_ci_low"])
            and row["implementation"] not in RUNGS | {CONTROL}
            and not (comparison is OVER_LOOP and row["baseline"].rpartition("/")[2] not in LOOPS)
        ]
        if rows:
            yield _speedup_chart(comparison, f"speedups-{name}", title, rows, len(runs) > 1)


def _speedup_chart(comparison: Comparison, name: str, title: str, rows: list[Row], several: bool) -> Chart:
    points: list[Row] = []
    for row in rows:
        speedup, verdict = estimate(row, comparison.name), row[comparison.verdict]
        points.append(
            {"row": _row_id(row, _label(row, several) + _unlike(row, comparison)), "speedup": speedup.value}
            | {"low": speedup.low, "high": speedup.high, "verdict": verdict}
            | {"case": _case(row), "interval": str(speedup_cell(row, comparison))}
        )
    y = _rows_axis(points)
    limits = _domain([1.0, *(point["speedup"] for point in points)], 3)
    x = alt.X("speedup:Q", title="times faster").scale(type="log", domain=limits, nice=False)
    x = x.axis(labelExpr="format(datum.value, ',') + 'x'", orient="top", values=_ticks(limits), labelBound=True)
    present = [verdict for verdict in VERDICTS if verdict in {point["verdict"] for point in points}]
    colours = alt.Color("verdict:N", title=None).scale(domain=present, range=[colour(v.lower()) for v in present])
    shapes = alt.Shape("verdict:N", title=None).scale(domain=present, range=[VERDICT_SHAPES[v] for v in present])
    tips = [alt.Tooltip("case:N"), alt.Tooltip("interval:N", title="times faster")]
    base = alt.Chart(alt.Data(values=points)).encode(y=y, color=colours, tooltip=tips)
    one = alt.Chart(alt.Data(values=[{"speedup": 1}])).mark_rule(strokeWidth=1.5).encode(x)
    layers = [
        one,
        base.mark_rule(clip=True, strokeWidth=2).encode(alt.X("low:Q"), alt.X2("high:Q")),
        base.mark_point(filled=True, size=70, opacity=1).encode(x, shapes),
    ]
    counts = [f"{verdict.lower()} {sum(row[comparison.verdict] == verdict for row in rows)}" for verdict in present]
    table = Table(
        title,
        [*(["Run"] if several else []), "Case", "Backend", "Times faster, interval and verdict"],
        [
            [
                *([words(row["run"])] if several else []),
                words(_case_name(row)),
                words(row["spec"]),
                speedup_cell(row, comparison),
            ]
            for row in rows
        ],
    )
    unlike = " ≠ marks what is not like for like." if comparison is OVER_LOOP else ""
    return Chart(
        name,
        title,
        f"Lines are {CONFIDENCE:.0%} intervals over processes, on a logarithmic axis; right of 1 is faster. A line that leaves "
        f"the picture goes on.{unlike} Slower rungs of the ladder are in the table of all rows.",
        f"{title}: {', '.join(counts)} of {len(rows)} cases.",
        _spec(alt.layer(*layers), None, points),
        table,
    )


# Roofline


def roofline(runs: Sequence[Run]) -> Iterator[Chart]:
    """Yield the rates of all rows against what they compute for each byte, under the measured roofs."""
    measured = [row for row in overlaid(runs).to_dict("records") if _ok(row) and row["flops"] > 0 and row["bytes"] > 0]
    if not measured:
        return
    points = [
        {
            "intensity": row["flops"] / row["bytes"], "rate": row["gflop_per_s"], "backend": row["spec"], "case": _case(row),
            "run": f"run {row['run']}", "bound": row["bound"], "of the roof": _percent(row["fraction_of_peak"]),
        }
        for row in measured
    ]  # fmt: skip
    specs = list(dict.fromkeys(point["backend"] for point in points))
    span = _domain([point["intensity"] for point in points], 2)
    found = [
        found
        for run in runs
        for found in _roofs(run, [row for row in measured if row["run"] == run.letter], span, runs)
    ]
    lines = [point for _, line in found for point in line]
    limits = _domain([point["rate"] for point in [*points, *lines]], 2)
    x = alt.X("intensity:Q", title="floating-point operations for each byte").scale(type="log", domain=span, nice=False)
    y = alt.Y("rate:Q", title="GFLOP/s").scale(type="log", domain=limits, nice=False)
    x, y = x.axis(labelExpr=PLAIN, values=_ticks(span)), y.axis(labelExpr=PLAIN, values=_ticks(limits))
    dash = [alt.StrokeDash("run:N", title=None).scale(domain=_runs(runs), range=_cycled(DASHES, len(runs)))]
    tips = [alt.Tooltip(f"{name}:N") for name in ("case", "run", "bound", "of the roof")]
    layers = [
        alt.Chart(alt.Data(values=points)).mark_point(filled=True, size=55, opacity=0.85).encode(
            x, y, _colours("backend", specs), _shapes("backend", specs), tooltip=tips
        )
    ]  # fmt: skip
    if lines:
        roofs = alt.Chart(alt.Data(values=lines)).mark_line(strokeWidth=2, color=colour("ink"), clip=True)
        layers.insert(0, roofs.encode(x, y, alt.Detail("roof:N"), *(dash if len(runs) > 1 else [])))
    told = " ".join(sentence for sentence, _ in found) or "No roof was measured in these runs."
    bounds = overlaid(runs)["bound"].value_counts()
    figures = [
        [
            *(words(text) for text in (row["run"], _case_name(row), row["spec"])),
            figure(row["flops"] / row["bytes"], ".3g"),
            figure(row["gflop_per_s"], ".3g"),
            words(_percent(row["fraction_of_peak"]), row["fraction_of_peak"]),
            words(row["bound"]),
        ]
        for row in measured
    ]
    title = "Roofline: how near each case comes to what this machine can do"
    headings = ["Run", "Case", "Backend", "Operations for each byte", "GFLOP/s", "Of the roof", "Bound by"]
    yield Chart(
        "roofline",
        title,
        "The line is the roof: the slope what memory allows, the level what the processor does. Far under it, a call's own cost "
        f"is what takes the time. {told}",
        f"{title}. {told} " + ", ".join(f"{bounds[b]} rows bound by {b}" for b in bounds.index if b != "-") + ".",
        _spec(alt.layer(*layers), PLOT),
        Table(title, headings, figures),
    )


def _roofs(run: Run, rows: list[Row], span: list[float], runs: Sequence[Run]) -> Iterator[tuple[str, list[Row]]]:
    """Yield each roof of a run in words and as a line over the span; products that beat it raise it, as in the table."""
    roofs = Roofs.of((spec.partition(":")[2], rates) for spec, rates in run.machine.get("roofs", {}).items())
    for row in rows:
        if row["workload"] == "matmul" and roofs.bytes_per_s:
            roofs.raise_to(row["device"], row["dtype"], row["gflop_per_s"] * 1e9)
    for kind, dtype in dict.fromkeys((roof.kind(row["device"]), row["dtype"]) for row in rows):
        peak, copied = roofs.flops_per_s.get((kind, dtype)), roofs.bytes_per_s.get(kind)
        if peak and copied:
            ridge = min(max(peak / copied, span[0]), span[1])
            line = [
                {"intensity": x, "rate": min(peak, x * copied) / 1e9, "roof": f"{run.letter} {kind} {dtype}"}
                | {"run": f"run {run.letter}"}
                for x in (span[0], ridge, span[1])
            ]
            named = f"Run {run.letter}, {kind.upper()}" if len(runs) > 1 else f"On the {kind.upper()}"
            yield f"{named}: {peak / 1e9:,.3g} GFLOP/s in {dtype}, {copied / 1e9:,.3g} GB/s.", line


# Where the time goes


def budget(runs: Sequence[Run]) -> Iterator[Chart]:
    """Yield what a process costs before its first warm call, and what parts a warm round trip has."""
    rows = [
        row
        for row in _in_order(overlaid(runs), len(runs) > 1)
        if _ok(row) and row["implementation"] not in RUNGS | {CONTROL}
    ]
    several = len(runs) > 1
    if started := [row for row in rows if not math.isnan(row["first_call_s"])]:
        yield _bars(
            "budget-once", "Once in every process: from its start to its first result",
            "Paid once, and in no time above. Compiling is a part of the first call, as the compiler itself tells it.",
            ONE_OFF, [(row, _one_off(row)) for row in started], several, shares=False,
        )  # fmt: skip
    if trips := [row for row in rows if not math.isnan(row["host_to_device_s"])]:
        yield _bars(
            "budget-trip", "A warm round trip: from arrays on the host to results on the host",
            "Each bar is one whole trip. Only dispatch and device are in the times above.",
            ROUND_TRIP, [(row, [_zero(row[name]) for name in COLUMNS_OF_TRIP]) for row in trips], several, shares=True,
        )  # fmt: skip


def _one_off(row: Row) -> list[float]:
    start, imported, first, compiling = (
        _zero(row[name]) for name in ("process_start_s", "import_s", "first_call_s", "compile_s")
    )
    compiling = min(compiling, first)  # medians over processes, each its own
    return [start, imported, compiling, first - compiling]


def _bars(
    name: str,
    title: str,
    caption: str,
    parts: Sequence[str],
    rows: list[tuple[Row, list[float]]],
    several: bool,
    shares: bool,
) -> Chart:
    """Return a chart of stacked bars: of seconds, or of shares of the whole."""
    bars = []
    for row, costs in rows:
        whole = sum(costs)
        label = _row_id(row, f"{_label(row, several)}, {scaled(whole)}")
        bars += [
            {"row": label, "case": _case(row), "part": part, "order": order, "seconds": cost, "time": scaled(cost)}
            | {"share": f"{cost / whole:.0%}"}
            for order, (part, cost) in enumerate(zip(parts, costs, strict=True))
        ]
    ranged = alt.Scale(domain=list(parts), range=[colour(f"part-{number}") for number in range(len(PARTS))])
    x = alt.X("seconds:Q", title="share of the trip" if shares else "seconds").stack("normalize" if shares else "zero")
    x = x.axis(format="%", orient="top", tickCount=5) if shares else x.axis(orient="top", tickCount=5)
    chart = (
        alt.Chart(alt.Data(values=bars))
        .mark_bar(stroke=colour("paper"), strokeWidth=0.7, height=ROW - 5)
        .encode(
            x, _rows_axis(bars), alt.Color("part:N", title=None).scale(ranged), alt.Order("order:Q"),
            tooltip=[alt.Tooltip(f"{field}:N") for field in ("case", "part", "time", "share")],
        )
    )  # fmt: skip
    largest = [max(zip(costs, parts, strict=True))[1] for _, costs in rows]
    told = ", ".join(f"{part} in {largest.count(part)}" for part in parts if part in largest)
    headings = [
        *(["Run"] if several else []),
        "Case",
        "Backend",
        *(part.capitalize() for part in parts),
        "All together",
    ]
    figures = [
        [*([words(row["run"])] if several else []), words(_case_name(row)), words(row["spec"])]
        + [words(scaled(cost) if cost else "0", cost) for cost in (*costs, sum(costs))]
        for row, costs in rows
    ]
    described = f"{title}, as stacked bars. The largest part is {told} of {len(rows)} cases."
    return Chart(name, title, caption, described, _spec(chart, None, bars), Table(title, headings, figures))


KINDS: tuple[Callable[[Sequence[Run]], Iterator[Chart]], ...] = (sizes, speedups, roofline, budget)
"""Every kind of chart, in the order of the page."""


# What charts share


def _spec(chart: Any, height: int | None, rows: list[Row] | None = None) -> Row:
    """Return the declaration of a chart that is as wide as its place, and as high as is said or as its labelled rows need."""
    lines = len(_row_domain(rows)) if rows else 0
    chart = chart.properties(width="container", height=height or lines * ROW)
    declared = chart.to_dict() | {"config": CONFIG, "autosize": {"type": "fit-x", "contains": "padding"}}
    if lines:
        # On a phone labels would leave little room beside them: there the page puts each above its mark.
        declared["usermeta"] = {
            "narrow": {"height": lines * TALL_ROW, "axis": {"labelPadding": -2, "labelOffset": -11}}
        }
    return declared


def _row_domain(rows: Iterable[Row]) -> list[str]:
    """Return the lines of a chart: a heading for each group, under it the group's rows. An id is heading, separator, label."""
    ids = list(dict.fromkeys(row["row"] for row in rows))
    groups = list(dict.fromkeys(one.partition("\x1f")[0] for one in ids))
    return [line for g in groups for line in (f"{g}\x1f", *(one for one in ids if one.partition("\x1f")[0] == g))]


def _rows_axis(rows: list[Row]) -> alt.Y:
    domain = _row_domain(rows)
    room = LETTER * max(len(line.partition("\x1f")[2]) for line in domain) + 8
    axis = alt.Axis(
        title=None, domain=False, ticks=False, labelAlign="left", labelPadding=room, labelLimit=0, labelOverlap=False,
        labelExpr="split(datum.label, '\\u001f')[1] || split(datum.label, '\\u001f')[0]",
        labelFontWeight={
            "condition": {"test": "split(datum.value, '\\u001f')[1] === ''", "value": "bold"}, "value": "normal"
        },
    )  # fmt: skip
    return alt.Y("row:N").scale(domain=domain).axis(axis)


def _row_id(row: Row, label: str) -> str:
    return f"{_group(row)}\x1f{label}"


def _group(row: Row) -> str:
    return "square products" if row["workload"] == "matmul" else f"{row['workload']} {row['network']}"


def _label(row: Row, several: bool) -> str:
    return (
        f"{row['run']}  " if several else ""
    ) + f"{row['spec']} {row['network' if row['workload'] == 'matmul' else 'implementation']}"


def _unlike(row: Row, comparison: Comparison) -> str:
    return " ≠" if comparison is OVER_LOOP and row["unlike"] != "-" else ""


def _in_order(rows: Any, several: bool) -> list[Row]:
    """Return rows such that those of one case on one backend are neighbours, whichever run they are of."""
    if not several:
        return list(rows.to_dict("records"))
    places: dict[Any, int] = {}
    keys = [tuple(key) for key in rows[["workload", "network", "implementation", "spec"]].itertuples(index=False)]
    order = [(places.setdefault(key[:2], len(places)), places.setdefault(key, len(places))) for key in keys]
    return [row for _, row in sorted(zip(order, rows.to_dict("records"), strict=True), key=lambda pair: pair[0])]


def _colours(field: str, names: Sequence[str]) -> alt.Color:
    return alt.Color(f"{field}:N", title=None).scale(
        domain=list(names), range=[colour(f"series-{number % len(SERIES)}") for number in range(len(names))]
    )


def _shapes(field: str, names: Sequence[str]) -> alt.Shape:
    return alt.Shape(f"{field}:N", title=None).scale(domain=list(names), range=_cycled(SHAPES, len(names)))


def _cycled(values: Sequence[Any], count: int) -> list[Any]:
    return [values[number % len(values)] for number in range(count)]


def _runs(runs: Sequence[Run]) -> list[str]:
    return [f"run {run.letter}" for run in runs]


def _domain(values: Iterable[float], beyond: float) -> list[float]:
    """Return the ends of a logarithmic axis: so many times beyond the values."""
    known = [value for value in values if value > 0]
    return [float(min(known) / beyond), float(max(known) * beyond)]


def _ticks(ends: Sequence[float]) -> list[float]:
    """Return where a logarithmic axis has labels: at powers of ten, at 2 and 5 as well where there are few."""
    first, last = (math.floor(math.log10(end)) for end in ends)
    digits = (1, 2, 5) if last - first < 3 else (1,)
    step = 1 + (last - first) // 8
    ticks = (float(f"{digit}e{power}") for power in range(first, last + 1) for digit in digits if power % step == 0)
    return [tick for tick in ticks if ends[0] <= tick <= ends[1]]


def _ok(row: Row) -> bool:
    return row["status"] == "ok" and row["median_s"] > 0


def _charted(row: Row) -> bool:
    return _ok(row) and row["implementation"] not in RUNGS | {"hand_written"}


def _case_name(row: Row) -> str:
    return f"{row['workload']} {row['network']} {row['implementation']}"


def _case(row: Row) -> str:
    return f"{_case_name(row)} on {row['spec']}"


def _percent(share: float) -> str:
    return "" if math.isnan(share) else f"{share:.2%}" if share < 0.1 else f"{share:.0%}"


def _zero(value: float) -> float:
    return 0.0 if math.isnan(value) else value


def _or_none(value: float) -> float | None:
    return None if math.isnan(value) else value
