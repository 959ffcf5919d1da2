"""The driver of a run.

A pass is one fresh process for each backend; in every pass each group of cases is measured once, all its cases on all backends in
rounds of random order. Passes follow each other until every case is known well enough, or the time is spent. Only one worker
computes at a time.
"""

from __future__ import annotations

import contextlib
import itertools
import random
from collections.abc import Callable
from dataclasses import asdict
from typing import Any, NamedTuple

import backends
from bench import peers
from bench.cases import CONTROL
from bench.clock import Stopwatch
from bench.comparison import LEAST_PROCESSES, Rivals
from bench.journal import Journal, Plan, Unit
from bench.measurement import Measurement, Row
from bench.processes import WorkerLostError, WorkerProcess


class Sampling(NamedTuple):
    """In how many rounds of a pass a case is sampled, and for how long in each."""

    rounds: int
    block_s: float


CHEAP, DEAR = Sampling(rounds=3, block_s=0.01), Sampling(rounds=1, block_s=0.03)
DEAR_S = 0.04  # what a block costs at least, from which on one longer block is better than three

Report = Callable[[int, str, float], None]
"""Called before a unit with the number of its pass, its group and the seconds measured so far."""


def measure(journal: Journal, report: Report = lambda process, group, seconds: None) -> list[Measurement]:
    """Measure what the journal's plan asks and it does not hold yet, and return all measurements."""
    groups = list(dict.fromkeys(case.group for case in journal.plan.cases))
    for process in itertools.count():
        todo = [group for group in groups if not journal.has(process, group) and _open(journal, process, group)]
        if not todo and not any(unit.process >= process for unit in journal.units):
            return _stopped(journal)
        workers = Workers(journal.plan)
        try:
            for group in todo:
                if chosen := _open(journal, process, group):
                    report(process, group, journal.seconds)
                    journal.record(_measure_unit(process, group, chosen, workers, journal))
        finally:
            workers.stop()
    raise AssertionError("passes do not end by themselves")


def _open(journal: Journal, process: int, group: str) -> list[Measurement]:
    """Return the measurements of a group that this pass must still add to; none when there is no time left for it."""
    if process >= LEAST_PROCESSES:
        before = [unit.seconds for unit in journal.units if unit.group == group]
        if journal.seconds + max(before, default=0.0) > journal.plan.time_s:
            return []
    measurements = journal.measurements()
    rivals = Rivals(measurements, journal.backends)
    own = [m for m in measurements if m.case.group == group and m.status == "ok"]
    wanting = [m for m in own if not rivals.narrow(m)]
    # What they are compared with runs beside them: a pair is of one round.
    needed = [other for m in wanting for other in (m, *rivals.others(m))]
    return [m for m in own if any(m is other for other in needed)]


def _stopped(journal: Journal) -> list[Measurement]:
    """Return the journal's measurements, each with the reason why no more was measured."""
    measurements = journal.measurements()
    rivals = Rivals(measurements, journal.backends)
    for own in measurements:
        if own.measured:
            own.stopped = "narrow" if rivals.narrow(own) else "budget"
    return measurements


class Workers:
    """The processes of a pass: one for each backend, and another NumPy for the control."""

    def __init__(self, plan: Plan) -> None:
        self._own = {spec: WorkerProcess(spec) for spec in plan.specs}
        self._control = {spec: WorkerProcess(spec) for spec in plan.specs}

    def of(self, measurement: Measurement) -> WorkerProcess:
        """Return the worker that measures it."""
        return (self._control if measurement.case.implementation == CONTROL else self._own)[measurement.spec]

    def stop(self) -> None:
        """End them all."""
        for worker in (*self._own.values(), *self._control.values()):
            worker.stop()


class _CaseLostError(Exception):
    """A worker was lost over a measurement."""

    def __init__(self, measurement: Measurement, outcome: Row) -> None:
        self.measurement, self.outcome = measurement, outcome


def _measure_unit(process: int, group: str, chosen: list[Measurement], workers: Workers, journal: Journal) -> Unit:
    """Measure a group once in this pass. A case that costs a worker its life is left out, and the others begin anew."""
    lost: dict[int, Row] = {}
    with Stopwatch() as watch:
        while True:
            left = [m for m in chosen if id(m) not in lost]
            try:
                entries = _attempt(process, left, workers, journal)
                break
            except _CaseLostError as error:
                lost[id(error.measurement)] = error.outcome
    found = dict(zip(map(id, left), entries, strict=True)) | lost
    named = [{"id": m.case.id, "spec": m.spec} | found[id(m)] for m in chosen]
    return Unit(process, group, watch.seconds, named)


def _attempt(process: int, chosen: list[Measurement], workers: Workers, journal: Journal) -> list[Row]:
    """Prepare every case, then sample all that are ready in rounds of random order."""
    order = random.Random(f"{journal.plan.seed} {process} {chosen[0].case.group if chosen else ''}")
    for worker in {id(workers.of(m)): (workers.of(m), m) for m in chosen}.values():
        _ask(*worker, {"do": "forget"})
        _introduce(worker[0], journal)
    entries = {id(m): _prepare(m, workers.of(m), journal.plan) for m in chosen}
    for number in range(CHEAP.rounds):
        ready = [m for m in chosen if entries[id(m)]["status"] == "ok" and number < sampling(entries[id(m)]).rounds]
        order.shuffle(ready)
        for m in ready:
            _sample(m, workers.of(m), number, entries[id(m)])
    return [{name: value for name, value in entries[id(m)].items() if name != "costs_s"} for m in chosen]


def sampling(answer: Row) -> Sampling:
    """Return how a case is sampled whose blocks cost what `prepare` answered."""
    return DEAR if answer["costs_s"] > DEAR_S else CHEAP


def _introduce(worker: WorkerProcess, journal: Journal) -> None:
    """Take down what a backend says of itself, and the rates that it reaches, when it is first met."""
    if worker.spec not in journal.backends:
        journal.backends[worker.spec] = worker.greeting["describe"]
        with contextlib.suppress(WorkerLostError):  # the rates are no case: without them a run lacks two columns
            rates = {} if peers.is_peer(worker.spec) else worker.ask({"do": "roof"})
            journal.roofs |= {worker.spec: rates} if rates and "status" not in rates else {}
        journal.save()


def _prepare(measurement: Measurement, worker: WorkerProcess, plan: Plan) -> Row:
    """Return the entry of a measurement that is ready, or of one that cannot be had."""
    examples = measurement.examples if measurement.facts else None
    request = {"case": asdict(measurement.case), "budget_s": plan.budget_s, "examples": examples}
    answer = _ask(worker, measurement, {"do": "prepare", "key": measurement.case.id, **request})
    facts = answer.get("facts", {})
    if facts:
        facts |= {name: worker.greeting[name] for name in ("process_start_s", "import_s")}
    return {"reason": "", "samples": [], "costs_s": 0.0} | answer | {"facts": facts}


def _sample(measurement: Measurement, worker: WorkerProcess, number: int, entry: Row) -> None:
    """Add a block of samples to an entry, or the reason why there is none."""
    answer = _ask(worker, measurement, {"do": "block", "key": measurement.case.id, "seconds": sampling(entry).block_s})
    if "samples" in answer:
        entry["samples"] += [[number, float(f"{seconds:.6g}")] for seconds in answer.pop("samples")]
        entry["facts"] |= answer
    else:
        entry |= answer


def _ask(worker: WorkerProcess, measurement: Measurement, request: dict[str, Any]) -> Row:
    try:
        return worker.ask(request)
    except WorkerLostError as lost:
        outcome = {"status": lost.status, "reason": lost.reason, "facts": {}, "samples": []}
        raise _CaseLostError(measurement, outcome) from lost


def timed(name: str | None) -> backends.Backend:
    """Return the backend of a name; raise ArraybenchError for one whose times mean nothing."""
    backend = backends.get(name)
    if not backend.timed:
        raise backends.ArraybenchError(f"{backend.name} is for tests only: its times mean nothing")
    return backend


def usable_specs() -> list[str]:
    """Return every backend on every device that can be timed here, NumPy first."""
    return [f"{found.name}:{device}" for found in backends.status() if found.timed for device in found.devices]
