"""The waterfall of an explanation: a bar for each step, from the speed-up before it to that after it."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.text import Text

from backends import ArraybenchError
from bench.explain.report import called
from bench.explain.steps import Explained, Explanation, rows
from bench.measurement import Row
from bench.statistics import Estimate
from bench.wording import MARKS, with_interval

if TYPE_CHECKING:
    import altair

PICTURES = (".svg", ".png", ".html")
COLOURS = {"FASTER": "#2a9d5c", "SLOWER": "#d1495b", "SAME": "#4f7cac", "UNRESOLVED": "#c8962e", "whole": "#98a2b3"}
LINES = "#565d6b"  # to be seen on the bars, and on a light and a dark page


def waterfall(explained: Explained) -> altair.ConcatChart:
    """Return the picture: for each explanation a bar for each step, from the speed-up before it to that after it, and the whole.

    The scale is logarithmic, so that equal factors are equally long. Raise ArraybenchError where Altair is not installed.
    """
    try:
        import altair as alt
    except ImportError as error:
        raise ArraybenchError("a picture needs Altair: pip install 'arraybench[report]'") from error
    every = rows(explained)
    charts = [
        _bars(own, [row for row in every if (row["workload"], row["network"]) == (own.workload, own.network)])
        for own in explained.told
    ]
    return alt.concat(*charts, columns=min(2, len(charts)))


def _bars(own: Explanation, steps: list[Row]) -> Any:
    import altair as alt

    values = [bar(own, row) for row in steps]
    missing = ", ".join(called(name, own.kind) for name in own.missing)
    title = alt.TitleParams(own.title, subtitle=f"not measured: {missing}" if missing else "", anchor="start")
    y = alt.Y("label:N", sort=[value["label"] for value in values], title=None, axis=alt.Axis(labelLimit=240))
    ends = [value[name] for value in values for name in ("start", "end", "low", "high")]
    low, high = min(ends), max(ends)
    scale = alt.Scale(type="log", domain=[low * (low / high) ** 0.02, high * (high / low) ** 0.4], nice=False)
    ticks = alt.Axis(values=_ticks(low, high), labelExpr="format(datum.value, ',~r') + 'x'")
    x = alt.X("start:Q", title="times as fast as the first step; the lines are intervals", scale=scale, axis=ticks)
    colour = alt.Color("kind:N", scale=alt.Scale(domain=list(COLOURS), range=list(COLOURS.values())), legend=None)
    tooltip = [alt.Tooltip("label:N"), alt.Tooltip("text:N", title="factor")]
    first = alt.Chart(alt.Data(values=values[:1])).mark_point(shape="diamond", filled=True, size=70, color=LINES)
    base = alt.Chart(alt.Data(values=values[1:])).encode(y=y)
    return alt.layer(
        first.encode(y=y, x=x),
        base.mark_bar(height=18).encode(x=x, x2="end:Q", color=colour, tooltip=tooltip),
        base.mark_rule(strokeWidth=1.5, color=LINES).encode(x="low:Q", x2="high:Q"),
        *(base.mark_tick(thickness=1.5, size=8, color=LINES).encode(x=f"{end}:Q") for end in ("low", "high")),
        base.mark_text(align="left", dx=6).encode(x="right:Q", text="text:N"),
    ).properties(title=title, width=340, height=alt.Step(34))


def bar(own: Explanation, row: Row) -> Row:
    """Return what the picture shows of a step: where its bar and its interval begin and end, and what stands beside."""
    factor = Estimate(row["factor"], row["factor_ci_low"], row["factor_ci_high"])
    low, high = row["start"] * factor.low, row["start"] * factor.high
    return {
        "label": f"{called(row['step'], own.kind)}, {row['ran']}" if row["ran"] else row["step"],
        "kind": "whole" if row["step"] == "whole" else row["verdict"],
        "text": f"{with_interval(factor, False)} {Text.from_markup(MARKS.get(row['verdict'], '')).plain}",
        "start": row["start"],
        "end": row["end"],
        "low": low,
        "high": high,
        "right": max(row["start"], row["end"], high),
    }


def _ticks(low: float, high: float) -> list[float]:
    """Return round numbers from the one to the other: powers of ten, and where these are few, what lies between."""
    steps = (1.0,) if high / low > 1000 else (1.0, 3.0) if high / low > 30 else (1.0, 2.0, 5.0)
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    return [step * 10.0**power for power in powers for step in steps]


def save_picture(explained: Explained, file: Path) -> None:
    """Draw the waterfall into a file; raise ArraybenchError where its kind is not known, or it cannot be written."""
    if file.suffix not in PICTURES:
        raise ArraybenchError(f"--picture {file}: no such kind of picture; there are {', '.join(PICTURES)}")
    chart = waterfall(explained)
    try:
        import vl_convert  # noqa: F401  # what draws without a browser, and embeds what a page needs offline

        chart.save(str(file), **({"inline": True} if file.suffix == ".html" else {"scale_factor": 2}))
    except ImportError as error:
        raise ArraybenchError("a picture needs vl-convert: pip install 'arraybench[report]'") from error
    except OSError as error:
        raise ArraybenchError(f"cannot write {file}: {error.strerror}") from error
