"""An explanation in words, as a table, and as JSON."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Console
from rich.table import Table

from bench import jsonable, statistics
from bench.comparison import OURS
from bench.explain.steps import STEPS, Explained, Explanation, Step, rows
from bench.statistics import CONFIDENCE, Estimate
from bench.wording import LEGEND, MARKS, ONE_EXAMPLE, scaled, times, unit, with_interval

OTHERWISE = {"loop": "by hand", "matmul": "NumPy"}
"""What the first two are called where there is no loop over units: of an epoch, of a prediction."""
LIBRARIES = {"jax": "JAX", "torch": "PyTorch", "cupy": "CuPy", "numba": "Numba", "numpy": "NumPy"}


def called(step: str, kind: str) -> str:
    """Return what a step of a kind of work is called."""
    return STEPS[step] if kind in ONE_EXAMPLE else OTHERWISE.get(step, STEPS[step])


def sentences(own: Explanation) -> Iterator[str]:
    """Yield what each step means, a sentence each, then the whole, and what was not measured."""
    first = own.steps[0]
    yield f"It starts from {_what(first, own)}: {scaled(first.seconds.value)} for each {unit(own.kind)}."
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
