"""Two subjects at one size after the other: measured side by side, and what each variant of the question makes of it.

As in a run, they are prepared and gated in fresh processes of each, one after the other, and sampled in the same rounds in random
order. One measurement answers for all variants: what a call takes in steady state; with its inputs placed and its outputs fetched
(`transfer`); with its share of what the first call in a process took longer (`compile`), which is all of it for a single call;
and both.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace

from backends import ArraybenchError
from bench import bisection, statistics
from bench.bisection import Answer
from bench.cases import Case
from bench.driver import sampling, timed
from bench.measurement import Row
from bench.processes import WorkerLostError, WorkerProcess
from bench.scaling import Axis
from bench.statistics import Blocks

PROCESSES, MOST_PROCESSES = 5, 20
BUDGET_S = 60.0
SEED = 20240218
COSTS = ("first_call_s", "compile_s", "host_to_device_s", "device_to_host_s")
VARIANTS = {
    "steady": "in steady state",
    "transfer": "with transfer",
    "compile": "with the first call",
    "both": "with transfer and the first call",
}


@dataclass(frozen=True)
class Subject:
    """One of the two: an implementation on a backend."""

    spec: str
    implementation: str

    def __str__(self) -> str:
        return f"{self.spec}/{self.implementation}"

    @classmethod
    def of(cls, name: str, axis: Axis) -> Subject:
        """Return the subject of a name: a backend as ARRAY_BACKEND takes it, and behind a slash an implementation of the axis.

        Without one it is what the backend is best at: compiled where it compiles, or else `matmul`, or `eager` of a user's own.
        """
        spec, _, implementation = name.partition("/")
        backend = timed(spec)
        if implementation and implementation not in axis.implementations:
            raise ArraybenchError(f"{name}: no such implementation; there are {', '.join(axis.implementations)}")
        return cls(backend.spec, implementation or axis.implementation(backend.compiles))


@dataclass
class Pair:
    """What both subjects took at a size: samples as (process, round, seconds), and the costs of each process, by subject.

    With a `status` other than `ok` there is nothing to compare. The `reason` says why there is nothing, or nothing more.
    """

    samples: dict[Subject, list[tuple[int, int, float]]] = field(default_factory=dict)
    costs: dict[Subject, dict[int, Row]] = field(default_factory=dict)
    status: str = "ok"
    reason: str = ""

    def with_more(self, other: Pair) -> Pair:
        """Return this pair with the processes of another one at the same size."""
        return replace(
            self,
            samples={subject: own + other.samples[subject] for subject, own in self.samples.items()},
            costs={subject: own | other.costs[subject] for subject, own in self.costs.items()},
        )

    def seconds(self, subject: Subject, variant: str = "steady", calls: int = 1) -> Blocks:
        """Return the seconds of a call in a variant; of `calls` calls in a process, the first is the only slow one."""
        costs = self.costs[subject]
        return {
            process: {number: _with(variant, seconds, costs[process], calls) for number, seconds in rounds.items()}
            for process, rounds in statistics.blocks(self.samples[subject]).items()
        }

    @property
    def processes(self) -> int:
        """How many fresh processes of each there were."""
        return min(map(len, self.costs.values()), default=0)

    def logs(self, first: Subject, second: Subject, variant: str, calls: int) -> list[float]:
        """Return the paired logarithms of first over second, one for each process; none where something failed."""
        if self.status != "ok":
            return []
        return statistics.paired_logs(self.seconds(first, variant, calls), self.seconds(second, variant, calls))


def _with(variant: str, seconds: float, costs: Row, calls: int) -> float:
    call = costs["first_call_s"] / calls + seconds * (calls - 1) / calls if variant in ("compile", "both") else seconds
    moved = costs["host_to_device_s"] + costs["device_to_host_s"] if variant in ("transfer", "both") else 0.0
    return call + moved


def measure(axis: Axis, size: int, first: Subject, second: Subject, processes: range) -> Pair:
    """Return what both take at a size, each in these fresh processes; what one of them cannot do is the pair's reason."""
    case = axis.any_size(size) if axis.any_size else axis.cases[size]
    pair = Pair({first: [], second: []}, {first: {}, second: {}})
    for process in processes:
        order = random.Random(f"{SEED} {case.id} {process}")
        workers = {subject: WorkerProcess(subject.spec) for subject in (first, second)}
        try:
            _one_process(workers, case, process, order, pair)
        except WorkerLostError as lost:
            pair.status, pair.reason = lost.status, str(lost)
        finally:
            for worker in workers.values():
                worker.stop()
        if pair.reason:
            break
    return pair


def _one_process(
    workers: dict[Subject, WorkerProcess], case: Case, process: int, order: random.Random, pair: Pair
) -> None:
    """Add the samples and the costs of one fresh process of each."""
    asked: list[Row] = []
    for subject in order.sample(list(workers), len(workers)):
        own = replace(case, implementation=subject.implementation)
        # A size is asked for: loops get it whole, as what has fewer examples is another point of the axis.
        request = {"key": case.id, "case": asdict(own), "budget_s": BUDGET_S, "examples": case.batch_size}
        asked.append(_ask(workers[subject], subject, {"do": "prepare"} | request))
        pair.costs[subject][process] = {name: asked[-1]["facts"][name] for name in COSTS}
    rounds, block_s = sampling(max(asked, key=lambda answer: answer["costs_s"]))
    for number in range(rounds):
        for subject in order.sample(list(workers), len(workers)):
            answer = _ask(workers[subject], subject, {"do": "block", "key": case.id, "seconds": block_s})
            pair.samples[subject] += [(process, number, seconds) for seconds in answer["samples"]]


def _ask(worker: WorkerProcess, subject: Subject, request: Row) -> Row:
    """Return the answer; raise WorkerLostError for one that tells of a failure, too."""
    try:
        answer = worker.ask(request)
    except WorkerLostError as lost:
        raise WorkerLostError(lost.status, f"{subject}: {lost}") from lost
    if answer.get("status", "ok") != "ok":
        raise WorkerLostError(answer["status"], f"{subject}: {answer['reason']}")
    return answer


@dataclass
class Experiment:
    """Two subjects along an axis: what was measured so far, and what is asked of it."""

    axis: Axis
    first: Subject
    second: Subject
    processes: int = PROCESSES
    """How many of each a size gets, and how many more at a time where these do not suffice."""
    calls: int = 1
    method: str = "bisection"
    """How sizes are chosen; a `sweep` takes all."""
    report: Callable[[Experiment], None] = lambda experiment: None
    """Called after each size that was measured."""
    pairs: dict[int, Pair] = field(default_factory=dict)

    def logs(self, variant: str, size: int) -> list[float]:
        """Return the paired logarithms of a variant at a size, which is measured when it is first asked for."""
        if size not in self.pairs:
            self.pairs[size] = self._measure(size, range(self.processes))
            self.report(self)
        return self.pairs[size].logs(self.first, self.second, variant, self.calls)

    def more_logs(self, variant: str, size: int, most: int) -> list[float]:
        """Return the paired logarithms of further processes at a size, which then has `most` at most.

        There are none where these fail: it keeps those that it has, and the reason is told.
        """
        before = self.pairs[size]
        further = self._measure(size, range(before.processes, min(before.processes + self.processes, most)))
        told = f"no further processes: {further.status}: {further.reason}"
        self.pairs[size] = replace(before, reason=told) if further.reason else before.with_more(further)
        self.report(self)
        return further.logs(self.first, self.second, variant, self.calls)

    def _measure(self, size: int, processes: range) -> Pair:
        return measure(self.axis, size, self.first, self.second, processes)

    def search(self, variant: str, sizes: Sequence[int], within: float, most: int, most_processes: int) -> Answer:
        """Return where one overtakes the other, by bisection; what was measured for other variants is used."""
        return bisection.search(
            lambda size: self.logs(variant, size),
            sizes,
            known=list(self.pairs),
            within=within,
            most=most,
            more=lambda size: self.more_logs(variant, size, most_processes),
            most_processes=most_processes,
        )

    def answers(self, variants: Sequence[str], sizes: Sequence[int]) -> dict[str, Answer]:
        """Return what these sizes say of each variant."""
        return {own: bisection.answer({size: self.logs(own, size) for size in sizes}) for own in variants}
