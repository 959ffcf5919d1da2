"""The one place that reads the clock."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from backends import Backend, Tree
from bench import gate, workloads
from bench.cases import Case
from bench.networks import ZERO_OR_ONE as PROBE
from bench.workloads import Problem

SHORTEST_SAMPLE_S = 2e-4  # shorter calls are timed several at once, so that reading the clock does not show
LONGEST_LOOP_CALL_S = 0.05  # a call whose Python loops would take longer gets fewer examples
CHEAP_CALL_S = 0.01
TRANSFERS = 3


class UnmeasuredError(Exception):
    """A case that has no figure: `status` as the table has it, and the reason in words."""

    def __init__(self, status: str, reason: str) -> None:
        super().__init__(reason)
        self.status, self.reason = status, reason


@dataclass(frozen=True)
class Subject:
    """A case that has passed the gate and is warm."""

    call: Callable[[], Tree]
    backend: Backend
    calls_per_sample: int
    facts: dict[str, Any]
    """The row's columns that are known before any sample is taken."""

    def sample(self) -> float:
        """Return the seconds that one call takes until its results are there, the mean of `calls_per_sample`."""
        return seconds(self.call, self.backend, self.calls_per_sample)


def seconds(call: Callable[[], Tree], backend: Backend, calls: int = 1) -> float:
    """Return the mean seconds of so many calls, each waited for."""
    synchronize = backend.synchronize
    collecting = gc.isenabled()
    gc.disable()  # a collection in the middle of a sample belongs to none
    try:
        start = time.perf_counter()
        for _ in range(calls):
            synchronize(call())
        return (time.perf_counter() - start) / calls
    finally:
        if collecting:
            gc.enable()


def prepare(case: Case, backend: Backend, budget_s: float) -> Subject:
    """Place the case's inputs, call it for the first time, pass the gate and warm it, timing each on the way.

    Raises UnmeasuredError where the case cannot be had on this backend, would take longer than `budget_s` for a single
    example, or fails the gate.
    """
    _require(case, backend)
    _refuse_endless_loops(case, backend, budget_s)
    reducible = _may_take_fewer_examples(case)
    started = _start(case, backend, 1 if reducible else case.batch_size)
    if reducible and (affordable := min(case.batch_size, int(LONGEST_LOOP_CALL_S / started.once_s))) > 1:
        started = _start(case, backend, affordable)
    problem = started.problem
    start = time.perf_counter()
    outputs = problem.outputs(started.result, backend.to_numpy)
    device_to_host_s = time.perf_counter() - start
    try:
        error = gate.check(outputs, problem.oracle(), gate.tolerance(case.workload, case.dtype))
    except gate.MismatchError as mismatch:
        raise UnmeasuredError("mismatch", str(mismatch)) from mismatch
    facts = {
        "batch_size": started.examples,
        "parameters": problem.parameters,
        "first_call_s": started.first_call_s,
        "host_to_device_s": started.host_to_device_s,
        "device_to_host_s": device_to_host_s,
        "flops": problem.flops,
        "bytes": problem.bytes,
        "oracle_error": error,
        "checked": True,
    }
    return Subject(started.call, backend, max(1, round(SHORTEST_SAMPLE_S / started.once_s)), facts)


@dataclass(frozen=True)
class _Started:
    """A problem that has been called a few times: what the first call and a later one took, and a result."""

    problem: Problem
    call: Callable[[], Tree]
    examples: int
    host_to_device_s: float
    first_call_s: float
    once_s: float
    result: Tree


def _start(case: Case, backend: Backend, examples: int) -> _Started:
    problem = workloads.build(case, backend, examples)
    arguments, host_to_device_s = _place(problem, backend)

    def call() -> Tree:
        return problem.function(*arguments)

    first_call_s = seconds(call, backend)
    start = time.perf_counter()
    result = backend.synchronize(call())
    once_s = time.perf_counter() - start
    if once_s < CHEAP_CALL_S:
        once_s = min(seconds(call, backend) for _ in range(5))
    return _Started(problem, call, examples, host_to_device_s, first_call_s, once_s, result)


def _require(case: Case, backend: Backend) -> None:
    if case.implementation == "hand_written" and backend.name != "numpy":
        raise UnmeasuredError("unavailable", "written by hand for NumPy alone")
    if case.implementation == "compiled" and not backend.compiles:
        raise UnmeasuredError("unavailable", f"{backend.name} has no compiler")


def _may_take_fewer_examples(case: Case) -> bool:
    """Tell whether a figure for each example holds for any number of them: where a Python loop goes over the examples.

    Not so for a whole step with one product an example: its update is made once a batch, and weighs there.
    """
    if case.implementation in ("multiplication", "unit"):
        return True
    return case.implementation in ("hand_written", "example") and case.workload in ("forward", "backward")


def _refuse_endless_loops(case: Case, backend: Backend, budget_s: float) -> None:
    """Raise where one example would take longer than the budget, told from what it takes on a network that is small."""
    products, probe = workloads.loop_products(case), replace(case, network=PROBE.name)
    if products <= workloads.loop_products(probe):
        return
    guess_s = _start(probe, backend, 1).once_s * products / workloads.loop_products(probe)
    if guess_s > budget_s:
        reason = f"one example would take about {guess_s:.0f} s; the budget of a case is {budget_s:g} s"
        raise UnmeasuredError("timed_out", reason)


def _place(problem: Problem, backend: Backend) -> tuple[tuple[Tree, ...], float]:
    """Return the call's arguments on the device, and the median seconds that placing the inputs took."""
    times = []
    for _ in range(TRANSFERS):
        start = time.perf_counter()
        placed = backend.synchronize(_tree_map(backend.asarray, problem.inputs))
        times.append(time.perf_counter() - start)
    return backend.synchronize(problem.arrange(*placed)), statistics.median(times)


def _tree_map(function: Callable[[Any], Any], tree: Tree) -> Tree:
    if isinstance(tree, tuple):
        return tuple(_tree_map(function, branch) for branch in tree)
    return function(tree)
