"""What the charts of a page share: what a chart is, its style and axes, and what lines and labels are called."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import altair as alt
import vl_convert

from bench.answers import Row
from bench.page.palette import SERIES, colour, resolved
from bench.page.runs import in_precision, without_blanks
from bench.page.tables import Table
from core.loops import LADDER

RUNGS = {rung.name for rung in LADDER} - {"matmul"}
"""What charts of single cases leave out, as it is slow for a known reason: the tables have it."""
VEGA_LITE = ".".join(alt.SCHEMA_VERSION.lstrip("v").split(".")[:2])
SHAPES = ("circle", "square", "triangle-up", "diamond", "cross", "triangle-down", "triangle-right")
DASHES = ([1, 0], [6, 3], [2, 2], [8, 3, 2, 3], [12, 4])
ROW, TALL_ROW, PLOT = 17, 36, 320  # pixels: of a line with its label beside and above, and of a chart without labels
LETTER = 6.4  # pixels that a letter of a label takes
PICTURE_WIDTH = 760
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
    """A picture: the name of its file, its title, what one must know to read it, what it shows in words, and its figures.

    `told` is what is said of its parts, each under its heading.
    """

    name: str
    title: str
    caption: str
    description: str
    spec: Row
    table: Table
    told: tuple[tuple[str, tuple[str, ...]], ...] = ()

    def picture(self, kind: str) -> str | bytes:
        """Return it as `svg` (text) or `png`, in light."""
        spec = json.loads(resolved(json.dumps(self.spec))) | {"width": PICTURE_WIDTH, "background": "white"}
        if kind == "svg":
            return vl_convert.vegalite_to_svg(spec, vl_version=VEGA_LITE)
        return vl_convert.vegalite_to_png(spec, vl_version=VEGA_LITE, scale=2)


def declaration(chart: Any, height: int | None, rows: list[Row] | None = None) -> Row:
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


def rows_axis(rows: list[Row]) -> alt.Y:
    """Return the axis of labelled rows, each with its id as `row`."""
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


def row_id(group: str, label: str) -> str:
    """Return what a labelled row is called on its axis: its label may stand under several headings."""
    return f"{group}\x1f{label}"


def group(row: Row) -> str:
    """Return the heading that a row stands under."""
    return "square products" if row["kind"] == "matmul" else without_blanks(row["workload"], row["network"])


def row_label(row: Row, several: bool) -> str:
    """Return what a row is called under its group's heading."""
    what = row["network" if row["kind"] == "matmul" else "implementation"]
    return (f"{row['run']}  " if several else "") + in_precision(f"{row['spec']} {what}", row)


def in_order(rows: Any, several: bool) -> list[Row]:
    """Return rows such that those of one case on one backend are neighbours, whichever run they are of."""
    if not several:
        return list(rows.to_dict("records"))
    places: dict[Any, int] = {}
    keys = [
        tuple(key)
        for key in rows[["workload", "network", "implementation", "spec", "precision"]].itertuples(index=False)
    ]
    order = [(places.setdefault(key[:2], len(places)), places.setdefault(key, len(places))) for key in keys]
    return [row for _, row in sorted(zip(order, rows.to_dict("records"), strict=True), key=lambda pair: pair[0])]


def colours(field: str, names: Sequence[str]) -> alt.Color:
    """Return a colour for each name of a series."""
    return alt.Color(f"{field}:N", title=None).scale(
        domain=list(names), range=[colour(f"series-{number % len(SERIES)}") for number in range(len(names))]
    )


def shapes(field: str, names: Sequence[str]) -> alt.Shape:
    """Return a shape for each name of a series, as no colour tells anything alone."""
    return alt.Shape(f"{field}:N", title=None).scale(domain=list(names), range=cycled(SHAPES, len(names)))


def cycled(values: Sequence[Any], count: int) -> list[Any]:
    """Return so many of the values, from the first again after the last."""
    return [values[number % len(values)] for number in range(count)]


def dashes(field: str, names: Sequence[str]) -> alt.StrokeDash:
    """Return a way to break a line for each name, long enough in the legend to be told apart."""
    scale = alt.Scale(domain=list(names), range=cycled(DASHES, len(names)))
    return alt.StrokeDash(f"{field}:N", title=None, scale=scale, legend=alt.Legend(symbolSize=900))


def log_domain(values: Iterable[float], beyond: float) -> list[float]:
    """Return the ends of a logarithmic axis: so many times beyond the values."""
    known = [value for value in values if value > 0]
    return [float(min(known) / beyond), float(max(known) * beyond)]


def log_ticks(ends: Sequence[float]) -> list[float]:
    """Return where a logarithmic axis has labels: at powers of ten, at 2 and 5 as well where there are few."""
    first, last = (math.floor(math.log10(end)) for end in ends)
    digits = (1, 2, 5) if last - first < 3 else (1,)
    step = 1 + (last - first) // 8
    ticks = (float(f"{digit}e{power}") for power in range(first, last + 1) for digit in digits if power % step == 0)
    return [tick for tick in ticks if ends[0] <= tick <= ends[1]]


def has_time(row: Row) -> bool:
    """Tell whether a row was measured."""
    return row["status"] == "ok" and row["median_s"] > 0


def charted(row: Row) -> bool:
    """Tell whether a row is one that lines are drawn through: no slow rung of the ladder, and nothing that is written by hand."""
    return has_time(row) and row["implementation"] not in RUNGS | {"hand_written"}


def percent(share: float) -> str:
    """Return a share in percent, nothing for NaN."""
    return "" if math.isnan(share) else f"{share:.2%}" if share < 0.1 else f"{share:.0%}"


def zero(value: float) -> float:
    """Return a value, 0 for NaN."""
    return 0.0 if math.isnan(value) else value


def or_none(value: float) -> float | None:
    """Return a value as JSON can have it: None for NaN."""
    return None if math.isnan(value) else value


def file_name(*parts: str) -> str:
    """Return the name of a chart's file, given what it is of: a case's own names may hold what no file's name can."""
    return "-".join(re.sub(r"[^\w.=-]+", "_", part) for part in parts)
