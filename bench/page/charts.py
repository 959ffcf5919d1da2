"""The charts of a page, each as a declaration for Vega-Lite with what a reader without eyes for it gets: its text and its data.

A kind of chart is a function from the runs to its charts, none where the runs have nothing for it; `KINDS` is the list.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import chain, count

import altair as alt
import vl_convert

from bench import roof
from bench.answers import OF_OURS, OVER_EAGER, OVER_FLOAT32, OVER_LOOP, OVER_NUMPY, Comparison, Row, estimate, is_unlike
from bench.cases import CONTROL
from bench.comparison import LOOPS
from bench.page.drawing import (
    PLOT,
    ROW,
    RUNGS,
    VEGA_LITE,
    Chart,
    colours,
    dashes,
    declaration,
    group,
    has_time,
    in_order,
    log_domain,
    log_ticks,
    percent,
    row_id,
    row_label,
    rows_axis,
    shapes,
    zero,
)
from bench.page.palette import PARTS, VERDICTS, colour
from bench.page.runs import Run, case_name, in_precision, overlaid
from bench.page.sizes import sizes
from bench.page.tables import Table, error_cell, figure, speedup_cell, words
from bench.page.waterfalls import waterfalls
from bench.roof import Roofs
from bench.statistics import CONFIDENCE
from bench.wording import scaled

VERDICT_SHAPES = {"FASTER": "triangle-up", "SLOWER": "triangle-down", "SAME": "square", "UNRESOLVED": "circle"}
PLAIN = "datum.value < 0.001 ? format(datum.value, '.0e') : format(datum.value, ',')"
ONE_OFF = ("process start", "import", "compiling", "rest of first call")
ROUND_TRIP = ("host to device", "dispatch", "device", "device to host")
COLUMNS_OF_TRIP = ("host_to_device_s", "dispatch_s", "device_s", "device_to_host_s")


def charts(runs: Sequence[Run]) -> list[Chart]:
    """Return every chart that the runs have figures for."""
    found: dict[str, Chart] = {}
    for chart in (chart for kind in KINDS for chart in kind(runs)):
        # What two functions or axes are called may be the same as a file's name.
        names = chain([chart.name], (f"{chart.name}-{number}" for number in count(2)))
        name = next(name for name in names if name not in found)
        found[name] = replace(chart, name=name)
    return list(found.values())


def script() -> str:
    """Return the JavaScript that draws charts in a page: the library as a whole, with nothing to load."""
    return vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;", vl_version=VEGA_LITE)


# Speed-ups

SPEEDUPS = (
    (OVER_LOOP, "loop", "How many times faster than a loop in Python"),
    (OVER_NUMPY, "numpy", "How many times faster than the same on NumPy"),
    (OVER_EAGER, "eager", "How many times faster compiled than call by call"),
    (OVER_FLOAT32, "float32", "How many times faster than the same in float32"),
    (OF_OURS["numpy"], "of-numpy", "How many times faster this project on NumPy is than each of these"),
    (OF_OURS["numba"], "of-numba", "How many times faster this project on Numba is than each of these"),
    (OF_OURS["jax"], "of-jax", "How many times faster this project on JAX is than each of these"),
)


NOTES = {
    OVER_LOOP: " ≠ marks what is not like for like.",
    OVER_FLOAT32: " Beside each stands the error of its worst number; those of float32 are in the table of all rows.",
}


def speedups(runs: Sequence[Run]) -> Iterator[Chart]:
    """Yield a chart of each kind of speed-up, with intervals and verdicts."""
    for comparison, name, title in SPEEDUPS:
        compared = [
            row
            for row in in_order(overlaid(runs), len(runs) > 1)
            if row[comparison.verdict] in VERDICTS
            and not math.isnan(row[f"{comparison.name}_ci_low"])
            and row["implementation"] != CONTROL
            and not (comparison is OVER_LOOP and row["baseline"].rpartition("/")[2] not in LOOPS)
        ]
        rows = [row for row in compared if row["implementation"] not in RUNGS]
        note = NOTES.get(comparison, "")
        if len(rows) < len(compared):
            note += " Slower rungs of the ladder are in the table of all rows."
        if rows:
            yield _speedup_chart(comparison, f"speedups-{name}", title, note, rows, len(runs) > 1)


def _speedup_chart(comparison: Comparison, name: str, title: str, note: str, rows: list[Row], several: bool) -> Chart:
    """Return a chart of one kind of speed-up; over float32 the error stands beside each."""
    errors = comparison is OVER_FLOAT32
    points: list[Row] = []
    for row in rows:
        speedup, verdict = estimate(row, comparison.name), row[comparison.verdict]
        points.append(
            {"row": row_id(group(row), _told(row, comparison, several)), "speedup": speedup.value}
            | {"low": speedup.low, "high": speedup.high, "verdict": verdict}
            | {"case": _case(row), "interval": str(speedup_cell(row, comparison))}
        )
    y = rows_axis(points)
    limits = log_domain([1.0, *(point["speedup"] for point in points)], 3)
    x = alt.X("speedup:Q", title="times faster").scale(type="log", domain=limits, nice=False)
    x = x.axis(labelExpr="format(datum.value, ',') + 'x'", orient="top", values=log_ticks(limits), labelBound=True)
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
        [
            *(["Run"] if several else []),
            "Case",
            "Backend",
            "Times faster, interval and verdict",
            *(["Error"] if errors else []),
        ],
        [
            [
                *([words(row["run"])] if several else []),
                words(case_name(row)),
                words(row["spec"]),
                speedup_cell(row, comparison),
                *([error_cell(row["oracle_error"])] if errors else []),
            ]
            for row in rows
        ],
    )
    return Chart(
        name,
        title,
        f"Lines are {CONFIDENCE:.0%} intervals over processes, on a logarithmic axis; right of 1 is faster. A line that leaves "
        f"the picture goes on.{note}",
        f"{title}: {', '.join(counts)} of {len(rows)} cases.",
        declaration(alt.layer(*layers), None, points),
        table,
    )


# Roofline


def roofline(runs: Sequence[Run]) -> Iterator[Chart]:
    """Yield the rates of all rows against what they compute for each byte, under the measured roofs."""
    measured = [
        row for row in overlaid(runs).to_dict("records") if has_time(row) and row["flops"] > 0 and row["bytes"] > 0
    ]
    if not measured:
        return
    span = log_domain([_intensity(row) for row in measured], 2)
    found = [
        found
        for run in runs
        for found in _roofs(run, [row for row in measured if row["run"] == run.letter], span, runs)
    ]
    told = " ".join(sentence for sentence, _ in found) or "No roof was measured in these runs."
    bounds = overlaid(runs)["bound"].value_counts()
    figures = [
        [
            *(words(text) for text in (row["run"], case_name(row), row["spec"])),
            figure(_intensity(row), ".3g"),
            figure(row["gflop_per_s"], ".3g"),
            words(percent(row["fraction_of_roof"]), row["fraction_of_roof"]),
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
        declaration(alt.layer(*_under_roofs(measured, [point for _, line in found for point in line], span)), PLOT),
        Table(title, headings, figures),
    )


def _intensity(row: Row) -> float:
    return float(row["flops"] / row["bytes"])


def _under_roofs(measured: list[Row], roofs: list[Row], span: list[float]) -> list[alt.Chart]:
    """Return the layers of the picture: a point for each row, and the lines of the roofs where there are any."""
    points = [
        {
            "intensity": _intensity(row), "rate": row["gflop_per_s"], "backend": in_precision(row["spec"], row),
            "case": _case(row), "run": f"run {row['run']}", "bound": row["bound"],
            "of the roof": percent(row["fraction_of_roof"]),
        }
        for row in measured
    ]  # fmt: skip
    limits = log_domain([point["rate"] for point in [*points, *roofs]], 2)
    x = alt.X("intensity:Q", title="floating-point operations for each byte").scale(type="log", domain=span, nice=False)
    y = alt.Y("rate:Q", title="GFLOP/s").scale(type="log", domain=limits, nice=False)
    x, y = x.axis(labelExpr=PLAIN, values=log_ticks(span)), y.axis(labelExpr=PLAIN, values=log_ticks(limits))
    specs = list(dict.fromkeys(point["backend"] for point in points))
    tips = [alt.Tooltip(f"{name}:N") for name in ("case", "run", "bound", "of the roof")]
    layers = [
        alt.Chart(alt.Data(values=points)).mark_point(filled=True, size=55, opacity=0.85).encode(
            x, y, colours("backend", specs), shapes("backend", specs), tooltip=tips
        )
    ]  # fmt: skip
    if names := list(dict.fromkeys(point["roof"] for point in roofs)):
        dash = [dashes("roof", names)] if len(names) > 1 else []
        line = alt.Chart(alt.Data(values=roofs)).mark_line(strokeWidth=2, color=colour("ink"), clip=True)
        layers.insert(0, line.encode(x, y, alt.Detail("roof:N"), *dash))
    return layers


def _roofs(run: Run, rows: list[Row], span: list[float], runs: Sequence[Run]) -> Iterator[tuple[str, list[Row]]]:
    """Yield each roof of a run in words and as a line over the span; products that beat it raise it, as in the table."""
    roofs = Roofs.of((spec.partition(":")[2], rates) for spec, rates in run.machine.get("roofs", {}).items())
    for row in rows:
        if row["kind"] == "matmul" and roofs.bytes_per_s:
            roofs.raise_to(row["device"], row["precision"], row["gflop_per_s"] * 1e9)
    for kind, precision in dict.fromkeys((roof.kind(row["device"]), row["precision"]) for row in rows):
        peak, copied = roofs.flops_per_s.get((kind, precision)), roofs.bytes_per_s.get(kind)
        if peak and copied:
            ridge = min(max(peak / copied, span[0]), span[1])
            name = (f"run {run.letter}: " if len(runs) > 1 else "") + f"roof of the {kind.upper()} in {precision}"
            line = [
                {"intensity": x, "rate": min(peak, x * copied) / 1e9, "roof": name} for x in (span[0], ridge, span[1])
            ]
            named = f"Run {run.letter}, {kind.upper()}" if len(runs) > 1 else f"On the {kind.upper()}"
            yield f"{named}: {peak / 1e9:,.3g} GFLOP/s in {precision}, {copied / 1e9:,.3g} GB/s.", line


# Where the time goes


def budget(runs: Sequence[Run]) -> Iterator[Chart]:
    """Yield what a process costs before its first warm call, and what parts a warm round trip has."""
    rows = [
        row
        for row in in_order(overlaid(runs), len(runs) > 1)
        if has_time(row) and row["implementation"] not in RUNGS | {CONTROL}
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
            ROUND_TRIP, [(row, [zero(row[name]) for name in COLUMNS_OF_TRIP]) for row in trips], several, shares=True,
        )  # fmt: skip


def _one_off(row: Row) -> list[float]:
    start, imported, first, compiling = (
        zero(row[name]) for name in ("process_start_s", "import_s", "first_call_s", "compile_s")
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
        label = row_id(group(row), f"{row_label(row, several)}, {scaled(whole)}")
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
            x, rows_axis(bars), alt.Color("part:N", title=None).scale(ranged), alt.Order("order:Q"),
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
        [*([words(row["run"])] if several else []), words(case_name(row)), words(row["spec"])]
        + [words(scaled(cost) if cost else "0", cost) for cost in (*costs, sum(costs))]
        for row, costs in rows
    ]
    described = f"{title}, as stacked bars. The largest part is {told} of {len(rows)} cases."
    return Chart(name, title, caption, described, declaration(chart, None, bars), Table(title, headings, figures))


KINDS: tuple[Callable[[Sequence[Run]], Iterator[Chart]], ...] = (sizes, waterfalls, speedups, roofline, budget)
"""Every kind of chart, in the order of the page."""


def _case(row: Row) -> str:
    return f"{case_name(row)} on {row['spec']}"


def _told(row: Row, comparison: Comparison, several: bool) -> str:
    """Return the label of a speed-up: what it is of, and what one must know of it."""
    label = row_label(row, several)
    if is_unlike(row, comparison):
        return f"{label} ≠"
    return f"{label}, error {error_cell(row['oracle_error'])}" if comparison is OVER_FLOAT32 else label
