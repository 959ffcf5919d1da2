"""Which steps a run has of a speed-up: loop, matrix product, compiler, GPU, lower precision; and what each of them brings.

A process counts with the logarithm of its time, as in `statistics.time`: the median over its rounds. What a step brings is the
difference of two such logarithms, in the processes that all steps of a case have in common, with Student's interval over them. As
differences of one row of numbers they add up: the product of the factors is the whole speed-up, exactly. The speed-ups of the
table pair two rows round by round instead; theirs may differ a little.
"""

from __future__ import annotations

import fnmatch
from dataclasses import dataclass
from typing import NamedTuple

from bench import peers, statistics
from bench.cases import CONTROL, PRECISIONS
from bench.compare.changes import Tables
from bench.comparison import EAGER, LOOPS, OURS, Rivals
from bench.measurement import Measurement, Row
from bench.statistics import Estimate
from bench.table import ResultsError
from bench.wording import ONE_EXAMPLE, TITLES

STEPS = {"loop": "loop", "matmul": "matmul", "compiled": "compiled", "gpu": "GPU", "precision": "lower precision"}
"""From a step to what it is called, in their order."""
ABSENT = {
    "loop": "the run has no loop over it",
    "matmul": "the run has no NumPy",
    "compiled": "the run has no compiler for the CPU",
    "gpu": "the run has no GPU",
    "precision": "the run has one precision",
}


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


def _on_cpu(own: Measurement) -> bool:
    return own.identity["device"] == "cpu"


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
