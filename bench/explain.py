"""`arraybench explain`: a speed-up as the product of its steps: loop, matrix product, compiler, GPU, lower precision.

A process counts with the logarithm of its time, as in `statistics.time`: the median over its rounds. What a step brings is the
difference of two such logarithms, in the processes that all steps of a case have in common, with Student's interval over them. As
differences of one row of numbers they add up: the product of the factors is the whole speed-up, exactly. The speed-ups of the
table pair two rows round by round instead; theirs may differ a little.
"""

from __future__ import annotations

import argparse
import fnmatch
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from rich.console import Console
from rich.table import Table
from rich.text import Text

from backends import ArraybenchError
from bench import jsonable, peers, statistics
from bench.arguments import add_help
from bench.cases import CONTROL, PRECISIONS
from bench.compare.changes import Tables
from bench.comparison import EAGER, LOOPS, OURS, Rivals
from bench.measurement import Measurement, Row
from bench.report import LEGEND, MARKS, ONE_EXAMPLE, TITLES, scaled, times, with_interval
from bench.statistics import CONFIDENCE, Estimate
from bench.table import ResultsError

if TYPE_CHECKING:
    import altair

STEPS = {"loop": "loop", "matmul": "matmul", "compiled": "compiled", "gpu": "GPU", "precision": "lower precision"}
"""From a step to what it is called, in their order."""
OTHERWISE = {"loop": "by hand", "matmul": "NumPy"}
"""What the first two are called where there is no loop over units: of an epoch, of a prediction."""
ABSENT = {
    "loop": "the run has no loop over it",
    "matmul": "the run has no NumPy",
    "compiled": "the run has no compiler for the CPU",
    "gpu": "the run has no GPU",
    "precision": "the run has one precision",
}
LIBRARIES = {"jax": "JAX", "torch": "PyTorch", "cupy": "CuPy", "numpy": "NumPy"}
EXAMPLES = (
    ("arraybench explain results/old", "every workload on every network of a run"),
    ("arraybench explain results/old --workload forward --network 'digits*'", "some of them"),
    ("arraybench explain results/old --picture waterfall.svg", "and draw it"),
)
PICTURES = (".svg", ".png", ".html")
COLOURS = {"FASTER": "#2a9d5c", "SLOWER": "#d1495b", "SAME": "#4f7cac", "UNRESOLVED": "#c8962e", "whole": "#98a2b3"}
LINES = "#565d6b"  # to be seen on the bars, and on a light and a dark page


class Step(NamedTuple):
    """A step: what ran, its time (of an example; of a call, where calls have no examples), and what it brought.

    `factor` is how many times faster it is than the step before, `so_far` than the first; both are 1 for the first. `unlike` says
    in what it differs from the step before beside that, as the table's column does from the baseline.
    """

    name: str
    measurement: Measurement
    seconds: Estimate
    factor: Estimate
    so_far: Estimate
    unlike: str

    @property
    def ran(self) -> str:
        """The backend and the implementation."""
        return f"{self.measurement.spec}/{self.measurement.case.implementation}"

    @property
    def verdict(self) -> str:
        """The rule's word for the factor."""
        return statistics.verdict(self.factor)


@dataclass(frozen=True)
class Explanation:
    """A workload on a network, and its kind of work: its steps, two at least, and why the others are missing."""

    kind: str
    workload: str
    network: str
    steps: tuple[Step, ...]
    missing: dict[str, str]
    processes: int

    @property
    def title(self) -> str:
        """What is explained."""
        return f"{TITLES.get(self.kind, self.workload)} {self.network}".removesuffix(" -")

    def ran(self, step: Step) -> str:
        """Return what ran in a step of it, with the precision where that is another than float32, or changes."""
        own = {own.measurement.case.precision for own in self.steps}
        return step.ran if own == {"float32"} else f"{step.ran} in {step.measurement.case.precision}"

    @property
    def whole(self) -> Estimate:
        """How many times faster the last step is than the first: the product of all factors."""
        return self.steps[-1].so_far


class Explained(NamedTuple):
    """The explanations of a run, and the cases of which it has a single step only."""

    told: list[Explanation]
    left_out: list[str]


def explain(tables: Tables, network: str = "*", workload: str = "*", backend: str | None = None) -> Explained:
    """Return the steps of every workload on a network whose names match these patterns.

    Of several libraries the fastest is taken for a step, or `backend` for all after NumPy. Raise ResultsError where the run has
    nothing of that name, or no two steps of it.
    """
    groups = _groups(tables)
    known_backends = dict.fromkeys(own.identity["backend"] for group in groups.values() for own in group)
    if backend is not None and backend not in known_backends:
        raise ResultsError(f"{tables.folder} has no backend {backend}; it has {', '.join(known_backends)}")
    chosen = {
        key: group
        for key, group in groups.items()
        if fnmatch.fnmatchcase(key[0], workload) and fnmatch.fnmatchcase(key[1], network)
    }
    if not chosen:
        known = (", ".join(dict.fromkeys(key[i] for key in groups)) for i in (0, 1))
        raise ResultsError(
            f"{tables.folder} has no workload {workload} on a network {network}; it has {' and '.join(known)}"
        )
    found = _explained(tables, chosen, backend)
    if not found.told:
        raise ResultsError(
            f"{tables.folder} has no two steps of {', '.join(found.left_out)} in two processes: nothing to explain"
        )
    return found


def explain_all(tables: Tables) -> Explained:
    """Return the steps of whatever the run has two of; none where it has no two of anything."""
    return _explained(tables, _groups(tables), None)


Groups = dict[tuple[str, str], list[Measurement]]
"""The measurements of each workload on a network."""


def _groups(tables: Tables) -> Groups:
    groups: Groups = {}
    for own in tables.measurements.values():
        if not peers.is_peer(own.spec) and own.case.implementation != CONTROL:
            groups.setdefault((own.case.workload, own.case.network), []).append(own)
    return groups


def _explained(tables: Tables, groups: Groups, backend: str | None) -> Explained:
    rivals = Rivals(tables.measurements.values(), tables.machine.get("backends", {}))
    told, left_out = [], []
    for (workload, network), group in groups.items():
        if found := _explanation(workload, network, group, rivals, backend):
            told.append(found)
        else:
            left_out.append(f"{workload} {network}")
    return Explained(told, left_out)


def _explanation(
    workload: str, network: str, group: list[Measurement], rivals: Rivals, backend: str | None
) -> Explanation | None:
    """Return the steps of a group, or None where there are no two, or no two processes have them all."""
    kind = group[0].case.kind
    chain, missing = _chain(kind, group, backend)
    own_logs = [dict(zip(m.blocks, statistics.process_logs(m.blocks), strict=True)) for m in chain.values()]
    shared = sorted(set.intersection(*map(set, own_logs))) if own_logs else []
    if len(chain) < 2 or len(shared) < 2:
        return None
    logs = [[own[process] for process in shared] for own in own_logs]
    steps, before = [], None
    for number, (name, own) in enumerate(chain.items()):
        steps.append(
            Step(
                name,
                own,
                statistics.over_processes(logs[number]).scaled(
                    1 if kind in ONE_EXAMPLE else own.case.examples(own.examples)
                ),
                _ratio(logs[max(0, number - 1)], logs[number]),
                _ratio(logs[0], logs[number]),
                rivals.unlike(before, own) if before else "",
            )
        )
        before = own
    return Explanation(kind, workload, network, tuple(steps), missing, len(shared))


def _ratio(before: list[float], after: list[float]) -> Estimate:
    return statistics.over_processes([a - b for a, b in zip(before, after, strict=True)])


def _chain(kind: str, group: list[Measurement], backend: str | None) -> tuple[dict[str, Measurement], dict[str, str]]:
    """Return the measurement of each step that a group has, and of the others why it has none."""
    widest = next(precision for precision in PRECISIONS if any(own.case.precision == precision for own in group))
    full = [own for own in group if own.case.precision == widest]
    ours = (OURS[kind],) if kind in OURS else EAGER
    # A library that compiles runs an epoch and a prediction compiled; they have no other implementation.
    compiled = ours if kind in OURS else ("compiled",)
    numpy = [own for own in full if own.spec.startswith("numpy:")]
    others = [own for own in full if own not in numpy and backend in (None, own.identity["backend"])]
    candidates = {
        "loop": [own for own in numpy if own.case.implementation in LOOPS],
        "matmul": [own for own in numpy if own.case.implementation in ours],
        "compiled": [own for own in others if _on_cpu(own) and own.case.implementation in compiled],
        "gpu": [own for own in others if not _on_cpu(own) and own.case.implementation in ("compiled", *ours)],
    }
    chain: dict[str, Measurement] = {}
    missing: dict[str, str] = {}
    for name in STEPS:
        if name == "precision":
            last = list(chain.values())[-1:]
            narrower = [own for own in group if own not in full and any(own.spec == m.spec for m in last)]
            candidates[name] = [own for own in narrower if own.case.implementation == last[0].case.implementation]
        measured = [own for own in candidates[name] if own.measured]
        if measured:
            chain[name] = min(measured, key=lambda own: own.call.value / own.examples)
        else:
            reasons = [
                f"{own.spec}: {own.status}: {own.reason}" for own in candidates[name] if own.status != "unavailable"
            ]
            missing[name] = reasons[0] if reasons else ABSENT[name]
    return chain, missing


def called(step: str, kind: str) -> str:
    """Return what a step of a kind of work is called."""
    return STEPS[step] if kind in ONE_EXAMPLE else OTHERWISE.get(step, STEPS[step])


def _on_cpu(own: Measurement) -> bool:
    return own.identity["device"] == "cpu"


def sentences(own: Explanation) -> Iterator[str]:
    """Yield what each step means, a sentence each, then the whole, and what was not measured."""
    first = own.steps[0]
    yield f"It starts from {_what(first, own)}: {scaled(first.seconds.value)} {_unit(own)}."
    for step in own.steps[1:]:
        unlike = f" Not like for like: {step.unlike}." if step.unlike and step.name != "precision" else ""
        yield f"{_what(step, own)[0].upper()}{_what(step, own)[1:]}: {_change(step.factor)}.{unlike}"
    yield f"All together: {_change(own.whole)}. That is the product of the {_factors(own)}, exactly."
    for name, reason in own.missing.items():
        yield f"Not measured: {called(name, own.kind)} ({reason})."


def _what(step: Step, own: Explanation) -> str:
    """Return in words what a step does."""
    spec, implementation = step.measurement.spec, step.measurement.case.implementation
    library = LIBRARIES.get(spec.partition(":")[0], spec.partition(":")[0])
    if step.name == "loop":
        by_hand = "the course's loop over units" if own.kind in ONE_EXAMPLE else "plain NumPy, written by hand"
        return by_hand if implementation == "hand_written" else "a Python loop over units"
    if step.name == "matmul":
        if own.kind in OURS:
            return f"the same network in core, on NumPy ({implementation})"
        return "matrix products in NumPy" if implementation == "matmul" else f"{own.workload} in NumPy"
    if step.name == "compiled":
        return f"compiled by {library}, on the CPU"
    if step.name == "gpu":
        return f"on the GPU, with {library} ({implementation})"
    return f"in {step.measurement.case.precision}"


def _change(factor: Estimate) -> str:
    """Return a factor in words, with its interval."""
    verdict = statistics.verdict(factor)
    if verdict == "SLOWER":
        factor = Estimate(1 / factor.value, 1 / factor.high, 1 / factor.low)
    interval = f"{CONFIDENCE:.0%}: {times(factor.low)} to {times(factor.high)}"
    words = {
        "FASTER": f"{times(factor.value)} as fast ({interval})",
        "SLOWER": f"{times(factor.value)} as slow ({interval})",
        "SAME": f"the same within 5 % ({interval})",
        "UNRESOLVED": f"what it changes cannot be told, {times(factor.value)} ({interval})",
    }
    return words[verdict]


def _factors(own: Explanation) -> str:
    count = len(own.steps) - 1
    return "factor" if count == 1 else f"{count} factors"


def _unit(own: Explanation) -> str:
    return "an example" if own.kind in ONE_EXAMPLE else "an epoch" if own.kind == "epoch" else "a call"


def rows(explained: Explained) -> list[Row]:
    """Return the explanations as plain data, a row for each step and one for the whole: what the picture and JSON are made of.

    `start` and `end` are how many times faster than the first step it was before and is after the row's own step.
    """
    found = []
    for own in explained.told:
        for number, step in enumerate(own.steps):
            start = own.steps[number - 1].so_far.value if number else 1.0
            found.append(
                _row(own, step.name, number, start, step.factor)
                | {"ran": own.ran(step), "seconds": step.seconds.value, "unlike": step.unlike or None}
                | {"verdict": step.verdict if number else "BASELINE"}
            )
        whole = _row(own, "whole", len(own.steps), 1.0, own.whole)
        found.append(whole | {"ran": None, "seconds": None, "unlike": None, "verdict": statistics.verdict(own.whole)})
    return found


def _row(own: Explanation, step: str, order: int, start: float, factor: Estimate) -> Row:
    return {
        "workload": own.workload,
        "network": own.network,
        "step": step,
        "order": order,
        "start": start,
        "end": start * factor.value,
        "factor": factor.value,
        "factor_ci_low": factor.low,
        "factor_ci_high": factor.high,
        "processes": own.processes,
    }


def as_json(explained: Explained) -> str:
    """Return all explanations as one JSON object."""
    every = rows(explained)
    told = [
        {
            "workload": own.workload,
            "network": own.network,
            "steps": [row for row in every if (row["workload"], row["network"]) == (own.workload, own.network)],
            "not_measured": own.missing,
            "in_words": list(sentences(own)),
        }
        for own in explained.told
    ]
    return jsonable.dumps({"confidence": CONFIDENCE, "explanations": told, "single_steps": explained.left_out})


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


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of the command."""
    add_help(parser, EXAMPLES, {0: "explained"})
    parser.set_defaults(command=run)
    parser.add_argument("run", type=Path, metavar="RUN", help="folder of a run, or its summary.csv")
    parser.add_argument(
        "--network", default="*", metavar="N", help="a network, or a pattern like 'digits*' (default: all)"
    )
    parser.add_argument("--workload", default="*", metavar="W", help="a workload, as in forward (default: all)")
    parser.add_argument("--backend", metavar="B", help="the library after NumPy, as in jax (default: the fastest)")
    parser.add_argument("--picture", type=Path, metavar="FILE", help="draw a waterfall: .svg, .png or .html")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of the tables")


def run(options: argparse.Namespace) -> int:
    """Explain, draw and print."""
    explained = explain(Tables.read(options.run), options.network, options.workload, options.backend)
    if options.picture:
        save_picture(explained, options.picture)
    if options.json:
        print(as_json(explained))
    else:
        show(explained, Console())
    return 0


def show(explained: Explained, console: Console) -> None:
    """Print a table and sentences for each explanation, and of what there is a single step."""
    for own in explained.told:
        title = f"{own.title}: from step to step, in {own.processes} processes"
        console.print(title, style="bold", markup=False, highlight=False)
        console.print(_table(own))
        for sentence in sentences(own):
            console.print(f"  {sentence}", markup=False, highlight=False)
        console.print()
    if explained.left_out:
        console.print(
            f"A single step, and so no factor: {', '.join(explained.left_out)}.", markup=False, highlight=False
        )
    console.print(LEGEND, style="dim", highlight=False)


def _table(own: Explanation) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
    for title, right in (("step", False), ("", False), ("time", True), ("factor", True), ("so far", True)):
        table.add_column(title, justify="right" if right else "left", no_wrap=True)
    for number, step in enumerate(own.steps):
        unlike = "≠" if step.unlike else ""
        factor = f"{with_interval(step.factor, False)} {MARKS[step.verdict]}{unlike}" if number else ""
        table.add_row(
            called(step.name, own.kind), own.ran(step), scaled(step.seconds.value), factor, times(step.so_far.value)
        )
    for name in own.missing:
        table.add_row(called(name, own.kind), "not measured")
    whole = f"{with_interval(own.whole, False)} {MARKS[statistics.verdict(own.whole)]}"
    table.add_row("whole", "", "", whole, times(own.whole.value), style="bold")
    return table
