"""`arraybench crossover`: the size along an axis from which on one backend or implementation is faster than another.

`bisection` says which size to try next, and what all of them say; `pairs` measures the two there. Each variant (in steady state,
with transfer, with the first call, with both) is searched for itself, and finds the sizes there that were measured for another.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pandas as pd
from rich.console import Console
from rich.table import Table

from backends import ArraybenchError
from bench import bisection, jsonable, statistics, terminal
from bench.arguments import add_help, at_least
from bench.bisection import FIRST, MOST, SECOND, START, UNTOLD, WITHIN, Answer, spread
from bench.experiments import add_folder_options, new_folder, save
from bench.measurement import Row
from bench.pairs import MOST_PROCESSES, PROCESSES, VARIANTS, Experiment, Subject
from bench.scaling import Axis, axes, own_axis
from bench.statistics import CONFIDENCE, LEAST_EFFECT, Estimate
from bench.wording import LEGEND, MARKS, times, with_interval

LEAST_PROCESSES = 3
EXAMPLES = (
    ("arraybench crossover my_functions.py:softmax:n numpy jax", "along an axis of a function of your own"),
    ("arraybench crossover square numpy jax", "from which size on is jax faster at a matrix product?"),
    ("arraybench crossover batch numpy jax --variants steady --to 1024", "in steady state, of batches up to 1024"),
    ("arraybench crossover rows jax:cpu/matmul jax:cpu/compiled", "does compiling pay, from how many rows on?"),
)
STATUSES = {
    0: "found, or told that there is none or that it cannot be told",
    1: "a size failed or mismatched, or a sweep disagrees",
}
STEPS = 32  # sizes are multiples of the power of two that leaves as many at least between n and 2n: libraries are tuned to such


def sizes(axis: Axis, low: int | None, high: int | None) -> list[int]:
    """Return the sizes from `low` to `high` that may be tried; without these, those that the axis reaches to.

    Raise ArraybenchError where there are not two.
    """
    low, high = (min(axis.cases) if low is None else low), (max(axis.cases) if high is None else high)
    found = {size for size in axis.cases if low <= size <= high}
    if axis.any_size and 0 < low < high:
        found |= {low, high}
        for octave in range(low.bit_length() - 1, high.bit_length()):
            step = max(1, 2**octave // STEPS)
            found |= {size for size in range(2**octave, 2 ** (octave + 1), step) if low < size < high}
    if len(found) < 2:
        raise ArraybenchError(
            f"{axis.name} has no two sizes from {low} to {high}; it has {min(axis.cases)} to {max(axis.cases)}"
        )
    return sorted(found)


def outcome(found: Answer) -> str:
    """Return CROSSES, NEVER (one is faster at every size that was tried) or UNRESOLVED."""
    if found.crossovers:
        return "CROSSES"
    return "NEVER" if len(found.regions) == 1 and found.regions[0].faster != UNTOLD else "UNRESOLVED"


def sentences(found: Answer, first: object, second: object) -> Iterator[str]:
    """Yield what an answer says: each crossover, or that there is none, and where it cannot be told."""
    names = {FIRST: str(first), SECOND: str(second)}
    if not found.points:
        yield "nothing could be measured"
        return
    least, greatest = found.points[0].size, found.points[-1].size
    through = f"from {_told(least)} to {_told(greatest)}"
    if len(found.crossovers) > 1:
        yield f"crosses {len(found.crossovers)} times {through}"
    for own in found.crossovers:
        yield f"{names[own.faster]} overtakes {names[-own.faster]} at {_interval(own.size)}"
    if outcome(found) == "NEVER":
        faster, ratios = found.regions[0].faster, [abs(point.y) for point in found.points]
        factors = f"{times(math.exp(min(ratios)))} to {times(math.exp(max(ratios)))}"
        yield f"never {through}: {names[faster]} is faster throughout, {factors}"
    elif not found.crossovers and all(region.faster == UNTOLD for region in found.regions):
        same = all(statistics.verdict(point.ratio) == "SAME" for point in found.points)
        yield f"the same within 5 % {through}" if same else f"cannot be told anywhere {through}"
    else:
        if not found.crossovers:
            faster = next(region.faster for region in found.regions if region.faster != UNTOLD)
            yield f"no crossover beyond doubt {through}: where it can be told, {names[faster]} is faster"
        if untold := [_reach(region.sizes) for region in _untold(found)]:
            yield f"cannot be told {', '.join(untold)}; more --processes tell more"


def _untold(found: Answer) -> Iterator[bisection.Region]:
    """Yield the regions that cannot be told, but those that are a crossover's own."""
    around = [own.around for own in found.crossovers]
    for region in found.regions:
        if region.faster == UNTOLD and not any(region.points[0] in points for points in around):
            yield region


def _told(size: float) -> str:
    return f"{size:,.0f}" if size >= 100 else f"{size:.3g}"


def _interval(size: Estimate) -> str:
    return f"{_told(size.value)} ({CONFIDENCE:.0%}: {_told(size.low)} to {_told(size.high)})"


def _reach(ends: tuple[int, int]) -> str:
    return f"at {_told(ends[0])}" if ends[0] == ends[1] else f"from {_told(ends[0])} to {_told(ends[1])}"


def crossover_rows(experiment: Experiment, answers: dict[str, Answer]) -> list[Row]:
    """Return the rows of crossover.csv: one for each crossover of each variant, or one that says that there is none."""
    names = {FIRST: str(experiment.first), SECOND: str(experiment.second), UNTOLD: "-"}
    rows = []
    for variant, found in answers.items():
        decided = outcome(found)
        common = {
            "axis": experiment.axis.name,
            "first": names[FIRST],
            "second": names[SECOND],
            "method": experiment.method,
            "variant": variant,
            "calls": experiment.calls,
            "outcome": decided,
            "from_size": found.points[0].size if found.points else None,
            "to_size": found.points[-1].size if found.points else None,
            "sizes": len(found.points),
            "processes": experiment.processes,
        }
        never = names[found.regions[0].faster] if decided == "NEVER" else "-"
        nothing: Row = {"crossover": None, "crossover_ci_low": None, "crossover_ci_high": None}
        crossed: list[Row] = [
            {"crossover": own.size.value, "crossover_ci_low": own.size.low, "crossover_ci_high": own.size.high}
            | {"faster_before": names[-own.faster], "faster_after": names[own.faster]}
            for own in found.crossovers
        ]
        rows += [common | row for row in crossed or [nothing | {"faster_before": never, "faster_after": never}]]
    return rows


def size_rows(experiment: Experiment) -> list[Row]:
    """Return the rows of sizes.csv: what each variant took at each size, and how many times faster the second is."""
    first, second, calls = experiment.first, experiment.second, experiment.calls
    rows = []
    for size, pair in sorted(experiment.pairs.items()):
        for variant in VARIANTS:
            row: Row = {"method": experiment.method, "size": size, "variant": variant, "processes": pair.processes}
            row |= dict.fromkeys(("first_s", "second_s", "speedup", "speedup_ci_low", "speedup_ci_high"))
            row |= {"verdict": "-", "status": pair.status, "reason": pair.reason or "-"}
            if logs := pair.logs(first, second, variant, calls):
                ratio = statistics.over_processes(logs)
                row["first_s"], row["second_s"] = (
                    statistics.time(pair.seconds(subject, variant, calls)).value for subject in (first, second)
                )
                row |= {"speedup": ratio.value, "speedup_ci_low": ratio.low, "speedup_ci_high": ratio.high}
                row |= {"verdict": statistics.verdict(ratio)}
            rows.append(row)
    return rows


def sample_rows(experiment: Experiment) -> list[Row]:
    """Return the rows of samples.csv: every sample."""
    return [
        {"method": experiment.method, "size": size, "subject": str(subject)}
        | {"process": process, "round": number, "seconds": seconds}
        for size, pair in sorted(experiment.pairs.items())
        for subject, samples in pair.samples.items()
        for process, number, seconds in samples
    ]


def cost_rows(experiment: Experiment) -> list[Row]:
    """Return the rows of costs.csv: what the first call and the transfers took in each process."""
    return [
        {"method": experiment.method, "size": size, "subject": str(subject), "process": process} | costs
        for size, pair in sorted(experiment.pairs.items())
        for subject, processes in pair.costs.items()
        for process, costs in processes.items()
    ]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of the command."""
    add_help(parser, EXAMPLES, STATUSES)
    parser.set_defaults(command=run)
    listed = ", ".join(axis.name for axis in axes())
    parser.add_argument(
        "axis", metavar="AXIS", help=f"what grows: {listed}; or FILE:FUNCTION:AXIS, an axis of a function of your own"
    )
    for name in ("first", "second"):
        parser.add_argument(
            name, metavar=name.upper(), help="a backend, if need be with an implementation: jax, or jax:cpu/matmul"
        )
    parser.add_argument("--from", type=int, dest="low", metavar="N", help="the least size (default: the axis's)")
    parser.add_argument("--to", type=int, dest="high", metavar="N", help="the greatest size (default: the axis's)")
    parser.add_argument(
        "--at", metavar="AXIS=VALUE,...", help="your function's other axes there (default: the first value of each)"
    )
    parser.add_argument("--variants", metavar="A,B", help=f"of {', '.join(VARIANTS)} (default: all)")
    parser.add_argument(
        "--within",
        type=at_least(LEAST_EFFECT, float),
        default=WITHIN,
        metavar="X",
        help="reach of the interval (%(default)s)",
    )
    numbers = (
        ("calls", 1, 1, "calls that share the cost of the first"),
        ("processes", LEAST_PROCESSES, PROCESSES, "fresh processes of each at a size"),
        (
            "most-processes",
            LEAST_PROCESSES,
            MOST_PROCESSES,
            "of each at a size by a crossover that is not known well enough, at most",
        ),
        ("sizes", START, MOST, "sizes to try for a variant at most"),
    )
    for name, least, default, purpose in numbers:
        parser.add_argument(
            f"--{name}", type=at_least(least), default=default, metavar="N", help=f"{purpose} (%(default)s)"
        )
    parser.add_argument(
        "--sweep", type=at_least(START), metavar="N", help="measure N sizes anew after it: do the two agree?"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of the tables")
    add_folder_options(parser)


def run(options: argparse.Namespace) -> int:
    """Search, write the tables and print; return 1 when a size failed or mismatched, or a sweep disagrees."""
    axis, first, second, variants = _asked(options)
    possible = sizes(axis, options.low, options.high)
    folder = new_folder(options, "crossover")
    told: list[tuple[Experiment, dict[str, Answer]]] = []
    with terminal.bars().status("starting") as status:

        def report(running: Experiment) -> None:
            status.update(f"{running.method}: {len(running.pairs)} sizes, the last {[*running.pairs][-1]:,}")
            _save(folder, [*(experiment for experiment, _ in told), running])

        searched = Experiment(axis, first, second, options.processes, options.calls, report=report)
        for own in variants:
            searched.search(own, possible, options.within, options.sizes, options.most_processes)
        told.append((searched, searched.answers(variants, list(searched.pairs))))  # a size tells of every variant
        if options.sweep:
            swept = replace(searched, method="sweep", pairs={})
            told.append((swept, swept.answers(variants, spread(possible, options.sweep))))
    save(folder / "crossover.csv", pd.DataFrame([row for one in told for row in crossover_rows(*one)]))
    swept_too = variants if options.sweep else []
    agreements = {own: agreement(*(answers[own] for _, answers in told)) for own in swept_too}
    failed = [pair for experiment, _ in told for pair in experiment.pairs.values() if pair.reason]
    exit_status = int(
        "DISAGREE" in agreements.values() or any(pair.status in ("failed", "mismatch") for pair in failed)
    )
    if options.json:
        print(_as_json(folder, told, agreements, exit_status))
    else:
        show(told, agreements, terminal.printer())
        print(f"\n{folder / 'crossover.csv'}")
    return exit_status


def agreement(one: Answer, other: Answer) -> str:
    """Return AGREE where both cross in the same order at sizes whose intervals overlap, or neither does; or else DISAGREE.

    UNRESOLVED where one of the two is.
    """
    outcomes = {outcome(one), outcome(other)}
    if "UNRESOLVED" in outcomes:
        return "UNRESOLVED"
    if outcomes == {"NEVER"}:
        same = one.regions[0].faster == other.regions[0].faster
    else:
        same = len(one.crossovers) == len(other.crossovers) and all(
            a.faster == b.faster and a.size.low <= b.size.high and b.size.low <= a.size.high
            for a, b in zip(one.crossovers, other.crossovers, strict=True)
        )
    return "AGREE" if same else "DISAGREE"


def _asked(options: argparse.Namespace) -> tuple[Axis, Subject, Subject, list[str]]:
    """Return the axis, the two and the variants that the options name; raise ArraybenchError for what cannot be."""
    axis = _axis(options.axis, options.at)
    first, second = Subject.of(options.first, axis), Subject.of(options.second, axis)
    if first == second:
        raise ArraybenchError(f"{options.first} and {options.second} are both {first}: give two that differ")
    variants = options.variants.split(",") if options.variants else list(VARIANTS)
    if unknown := [name for name in variants if name not in VARIANTS]:
        raise ArraybenchError(f"--variants {','.join(unknown)}: no such variant; there are {', '.join(VARIANTS)}")
    return axis, first, second, variants


def _axis(name: str, at: str | None) -> Axis:
    """Return the axis of that name, or of a function of the user's own, at these values of its other axes."""
    if name.count(":") >= 2:
        pairs = [part.partition("=") for part in at.split(",")] if at else []
        return own_axis(name, {other: value for other, _, value in pairs})
    known = {axis.name: axis for axis in axes()}
    if name not in known:
        raise ArraybenchError(
            f"{name}: no such axis; there are {', '.join(known)}, and FILE:FUNCTION:AXIS of a function of your own"
        )
    if at:
        raise ArraybenchError(f"--at {at}: {name} has no other axes")
    return known[name]


def _save(folder: Path, experiments: list[Experiment]) -> None:
    for name, rows in (("sizes", size_rows), ("samples", sample_rows), ("costs", cost_rows)):
        save(folder / f"{name}.csv", pd.DataFrame([row for experiment in experiments for row in rows(experiment)]))


def _as_json(
    folder: Path, told: list[tuple[Experiment, dict[str, Answer]]], agreements: dict[str, str], exit_status: int
) -> str:
    """Return all that was found as one JSON object; what is not there is null."""
    searched, _ = told[0]
    return jsonable.dumps(
        {
            "folder": folder,
            "axis": searched.axis.name,
            "first": str(searched.first),
            "second": str(searched.second),
            "confidence": CONFIDENCE,
            "answers": [
                {"method": experiment.method, "variant": variant, "outcome": outcome(found)}
                | {"in_words": list(sentences(found, experiment.first, experiment.second))}
                for experiment, answers in told
                for variant, found in answers.items()
            ],
            "crossovers": [row for one in told for row in crossover_rows(*one)],
            "sizes": [row for experiment, _ in told for row in size_rows(experiment)],
            "bisection_and_sweep": agreements or None,
            "exit_status": exit_status,
        }
    )


def show(told: list[tuple[Experiment, dict[str, Answer]]], agreements: dict[str, str], console: Console) -> None:
    """Print what each size says, then the answers in words."""
    for experiment, answers in told:
        question = f"how many times faster is {experiment.second} than {experiment.first}?"
        console.print(f"{experiment.axis.name}, by {experiment.method}: {question}", style="bold", highlight=False)
        console.print(_table(experiment, answers), "")
    console.print(
        f"{LEGEND} ▲▲ and ▼▼: beyond doubt among all sizes, and only that makes a crossover.",
        style="dim",
        highlight=False,
    )
    for experiment, answers in told:
        for variant, found in answers.items():
            for sentence in sentences(found, experiment.first, experiment.second):
                of_sweep = ", by sweep" if experiment.method == "sweep" else ""
                console.print(f"{_named(variant, experiment.calls)}{of_sweep}: {sentence}", highlight=False)
        for size, pair in sorted(experiment.pairs.items()):
            if pair.reason:
                console.print(f"{size:,}: {pair.status}: {pair.reason}", markup=False, highlight=False)
    for variant, word in agreements.items():
        words = {
            "AGREE": "agree",
            "DISAGREE": "disagree",
            "UNRESOLVED": "cannot be compared, as one of them is unresolved",
        }
        console.print(f"{_named(variant, told[0][0].calls)}: bisection and sweep {words[word]}", highlight=False)


def _named(variant: str, calls: int) -> str:
    words = VARIANTS[variant]
    return f"{words} of {calls:,}" if calls > 1 and variant in ("compile", "both") else words


def _table(experiment: Experiment, answers: dict[str, Answer]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
    for title in ("size", *answers):
        table.add_column(title, justify="right", no_wrap=True)
    for size, pair in sorted(experiment.pairs.items()):
        cells = (_cell(found, size) or pair.status.replace("_", " ") for found in answers.values())
        table.add_row(f"{size:,}", *cells)
    return table


def _cell(found: Answer, size: int) -> str:
    """Return how many times faster the second is at a size; nothing where that was not measured."""
    for region in found.regions:
        for point in region.points:
            if point.size == size:
                mark = MARKS[statistics.verdict(point.ratio)] * (1 if region.faster == UNTOLD else 2)
                return f"{with_interval(point.ratio, False)} {mark}"
    return ""
