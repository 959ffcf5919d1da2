"""Of which steps each speed-up is the product: `bench.explain` as waterfalls, one for each kind of work."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import altair as alt

from bench.answers import Row
from bench.compare.changes import Tables
from bench.explain.picture import bar
from bench.explain.report import called, sentences
from bench.explain.steps import Explained, Explanation, explain_all
from bench.explain.steps import rows as rows_of
from bench.page.drawing import Chart, declaration, file_name, log_domain, log_ticks, row_id, rows_axis
from bench.page.palette import VERDICTS, colour
from bench.page.runs import Run
from bench.page.tables import Cell, Table, factor_cell, seconds_cell, words
from bench.statistics import CONFIDENCE, Estimate, verdict
from bench.wording import TITLES, scaled, times

WHOLE = "all together"
COLOURS = {word: word.lower() for word in VERDICTS} | {WHOLE: "soft"}
"""The names in the palette."""


def waterfalls(runs: Sequence[Run]) -> Iterator[Chart]:
    """Yield the steps of each kind of work that was measured in two steps at least, in two processes at least."""
    explained = [(run, own) for run in runs for own in _explanations(run)]
    for work in dict.fromkeys((own.kind, own.workload) for _, own in explained):
        found = [(run, own) for run, own in explained if (own.kind, own.workload) == work]
        networks = list(dict.fromkeys(own.network for _, own in found))
        yield _chart(*work, sorted(found, key=lambda pair: networks.index(pair[1].network)), len(runs) > 1)


def _explanations(run: Run) -> list[Explanation]:
    """Return what a run explains: nothing where it has one process, as that gives no interval."""
    return explain_all(Tables.read(run.folder)).told if run.rows["processes"].max() > 1 else []


def _chart(kind: str, workload: str, explained: list[tuple[Run, Explanation]], several: bool) -> Chart:
    headings = [_heading(run, own, several) for run, own in explained]
    bars = [
        _bar(heading, own, row)
        for heading, (_, own) in zip(headings, explained, strict=True)
        for row in rows_of(Explained([own], []))
    ]
    title = f"What each step brings: {TITLES.get(kind, workload)}"
    wholes = [f"{heading} {times(own.whole.value)}" for heading, (_, own) in zip(headings, explained, strict=True)]
    return Chart(
        file_name("waterfall", workload),
        title,
        "A speed-up as the product of its steps. A diamond is where it starts. Each bar goes from what was reached before a step "
        "to what was reached with it, on a logarithmic axis, so that equal factors are equally long; the last is all together. "
        f"Lines are {CONFIDENCE:.0%} intervals of the bar's own factor; one that leaves the picture goes on.",
        f"{title}. All together: {'; '.join(wholes)}.",
        _declared(bars),
        Table(
            title,
            [*(["Run"] if several else []), "Of", "Step", "Ran", "Time", "Factor, interval and verdict", "So far"],
            [cells for run, own in explained for cells in _cells(run, own, several)],
        ),
        tuple((heading, tuple(sentences(own))) for heading, (_, own) in zip(headings, explained, strict=True)),
    )


def _heading(run: Run, own: Explanation, several: bool) -> str:
    return f"{run.letter}  {own.title}" if several else own.title


def _bar(heading: str, own: Explanation, row: Row) -> Row:
    """Return what the chart shows of a step: a line with its label, and where its bar and its interval begin and end."""
    shown = bar(own, row)
    whole = row["step"] == "whole"
    name = WHOLE if whole else _name(own, row["order"])
    told = (
        scaled(row["seconds"]) if row["verdict"] == "BASELINE" else shown["text"] + _unlike(row["step"], row["unlike"])
    )
    return {
        "row": row_id(heading, f"{name}: {told}"),
        "step": f"{heading}, {name}",
        "factor": told,
        "verdict": WHOLE if whole else row["verdict"],
        **{end: shown[end] for end in ("start", "end", "low", "high")},
    }


def _name(own: Explanation, number: int) -> str:
    """Return what a step is called, short enough for a phone: the precision where it begins, and where it changes."""
    step = own.steps[number]
    ran = step.measurement.case.precision if step.name == "precision" else step.ran if number else own.ran(step)
    return f"{called(step.name, own.kind)}, {ran}"


def _unlike(step: str, unlike: str | None) -> str:
    return " ≠" if unlike and step != "precision" else ""


def _declared(bars: list[Row]) -> Row:
    y = rows_axis(bars)
    limits = log_domain([row[end] for row in bars for end in ("start", "end")], 2)
    x = alt.X("start:Q", title="times as fast as where it starts").scale(type="log", domain=limits, nice=False)
    x = x.axis(labelExpr="format(datum.value, ',') + 'x'", orient="top", values=log_ticks(limits), labelBound=True)
    present = [word for word in COLOURS if word in {row["verdict"] for row in bars}]
    scale = alt.Scale(domain=present, range=[colour(COLOURS[word]) for word in present])
    tips = [alt.Tooltip("step:N"), alt.Tooltip("factor:N")]
    first = alt.Chart(alt.Data(values=[row for row in bars if row["verdict"] == "BASELINE"]))
    steps = alt.Chart(alt.Data(values=[row for row in bars if row["verdict"] != "BASELINE"])).encode(y=y, tooltip=tips)
    one = alt.Chart(alt.Data(values=[{"start": 1}])).mark_rule(strokeWidth=1.5).encode(x)
    return declaration(
        alt.layer(
            one,
            steps.mark_bar(height=9, fillOpacity=0.4, strokeWidth=1).encode(
                x,
                alt.X2("end:Q"),
                alt.Color("verdict:N", title=None, scale=scale),
                alt.Stroke("verdict:N", title=None, scale=scale),
            ),
            steps.mark_rule(clip=True, strokeWidth=1.5, color=colour("ink")).encode(alt.X("low:Q"), alt.X2("high:Q")),
            first.mark_point(shape="diamond", filled=True, size=70, opacity=1, color=colour("ink")).encode(
                x, y, tooltip=tips
            ),
        ),
        None,
        bars,
    )


def _cells(run: Run, own: Explanation, several: bool) -> Iterator[list[Cell]]:
    """Yield the lines of a table: a step's each, and that of all together."""
    of = [*([words(run.letter)] if several else []), words(own.title)]
    for number, step in enumerate(own.steps):
        factor = factor_cell(step.factor, step.verdict if number else "BASELINE", bool(_unlike(step.name, step.unlike)))
        yield [
            *of,
            words(called(step.name, own.kind)),
            words(own.ran(step)),
            seconds_cell(step.seconds),
            factor,
            _so_far(step.so_far),
        ]
    yield [*of, words(WHOLE), words(""), words(""), factor_cell(own.whole, verdict(own.whole)), _so_far(own.whole)]


def _so_far(factor: Estimate) -> Cell:
    return Cell(times(factor.value), factor.value, True)
