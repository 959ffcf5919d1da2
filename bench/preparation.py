"""A case before its samples: refused, or called for the first time, checked by the gate, and a round trip timed in its parts."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable
from dataclasses import dataclass, replace
from statistics import median
from typing import Any

import numpy as np

from backends import Backend, BackendError
from backends.base import leaves
from bench import functions, gate, workloads
from bench.cases import CONTROL, Case
from bench.clock import Stopwatch, seconds, settle
from bench.measure import CHEAP_CALL_S, Call, Subject, place
from bench.networks import ZERO_OR_ONE as PROBE
from bench.workloads import Problem

LONGEST_LOOP_CALL_S = 0.01  # a call whose Python loops would take longer gets fewer examples,
MOST_LOOP_EXAMPLES = 32  # and none gets more: what it costs for one holds for any number, and compiling grows with it
REPEATS, TRIPS_S = 5, 0.02  # a part of the time budget is the median of so many round trips, or of as many as fit
WATCHED_S, TELLING_S, HELPED_SHARE = 0.01, 0.1, 0.3  # other threads help where they work so much of the time
BUDGET_TOLERANCE = 0.25  # the parts of a trip may differ from the whole by so much of it,
BUDGET_SLACK_S = 1e-4  # or by the few calls of Python between them
LONG_CALL_S = 2.0  # its threads have long been spread out when it ends, and it is not called for warmth alone


class UnmeasuredError(Exception):
    """A case that has no figure: `status` as the table has it, and the reason in words."""

    def __init__(self, status: str, reason: str) -> None:
        super().__init__(reason)
        self.status, self.reason = status, reason


def prepare(
    case: Case,
    backend: Backend,
    budget_s: float,
    examples: int | None = None,
    slow_down: float = 0.0,
    problem: Problem | None = None,
) -> Subject:
    """Place the case's inputs, call it for the first time, pass the gate and warm it, timing each on the way.

    A call gets `examples`, or as many as its Python loops can afford. The case's problem is built, unless it is given. Raises
    UnmeasuredError where the case cannot be had on this backend, would take longer than `budget_s` for a single example, or fails
    the gate.
    """
    require(case, backend)
    within = allowing(case, backend)
    with within():
        return replace(_prepared(case, backend, budget_s, examples, problem), slow_down=slow_down, within=within)


def _prepared(case: Case, backend: Backend, budget_s: float, examples: int | None, problem: Problem | None) -> Subject:
    if examples is None:
        _refuse_endless_loops(case, backend, budget_s)
    if problem is not None:
        started = _first_call(problem, backend, case.batch_size)
    elif examples is None and _may_take_fewer_examples(case):
        started, example_s = _one_example(case, backend)
        affordable = min(_most_examples(case), int(LONGEST_LOOP_CALL_S / example_s))
        started = _start(case, backend, affordable) if affordable > 1 else started
    else:
        started = _start(case, backend, examples or _most_examples(case))
    expected = started.problem.oracle()
    settle()
    helped = started.warm_call_s < LONG_CALL_S and _is_helped(started, backend)
    try:
        budget, once_s, outputs = _round_trips(started, backend)
        error = gate.judge(case, outputs, expected, started.problem.tolerance)
        if case.source:
            _require_unchanged(started, backend)
    except gate.MismatchError as mismatch:
        raise UnmeasuredError("mismatch", str(mismatch)) from mismatch
    facts = {
        "batch_size": started.examples,
        "parameters": started.problem.parameters,
        "oracle_error": error,
        "checked": True,
        "first_call_s": started.first_call_s,
        "compile_s": started.compile_s,
        **budget,
        "flops": started.problem.flops,
        "bytes": started.problem.bytes,
        "launches": started.call.launches(),
        "result_dtype": "+".join(sorted({str(array.dtype) for array in outputs})),
        "subnormals": sum(_subnormals(array) for array in outputs),
    }
    if case.tf32:
        facts["matmul_precision"] = "tf32"
    return Subject(started.call, backend, once_s, facts, helped)


@dataclass(frozen=True)
class _Started:
    """A problem that has been called once, and what that took."""

    problem: Problem
    call: Call
    examples: int
    first_call_s: float
    compile_s: float
    helpers_s: float
    """The processor seconds of other threads in the first call."""

    @property
    def warm_call_s(self) -> float:
        """What a warm call takes at most."""
        return self.first_call_s - self.compile_s


def _start(case: Case, backend: Backend, examples: int) -> _Started:
    try:
        problem = functions.problem(case, backend) if case.source else workloads.build(case, backend, examples)
    except BackendError as error:
        raise UnmeasuredError("unavailable", str(error)) from error
    return _first_call(problem, backend, examples)


def _first_call(problem: Problem, backend: Backend, examples: int) -> _Started:
    """Make the first call on other numbers, so that a function that kept its result would fail the gate.

    Where these make the function fail, it is called on its own.
    """
    compiled_s = backend.compile_seconds()
    try:
        first_call_s, helpers_s = _timed(Call(problem.on_other_numbers(), backend), backend)
    except Exception:  # it may not be defined there, and what else fails does so again
        first_call_s, helpers_s = _timed(Call(problem, backend), backend)
    compile_s = backend.compile_seconds() - compiled_s
    return _Started(problem, Call(problem, backend), examples, first_call_s, compile_s, helpers_s)


def _timed(call: Call, backend: Backend) -> tuple[float, float]:
    """Return the seconds that a call takes, and the processor seconds of other threads in it."""
    with Stopwatch() as watch:
        call_s = seconds(call, backend)
    return call_s, watch.helpers_cpu_seconds


def _is_helped(started: _Started, backend: Backend) -> bool:
    """Tell whether other threads than the caller's work on a call, those of a BLAS or of XLA; a long first call tells already."""
    if started.warm_call_s > TELLING_S:
        return started.helpers_s - started.compile_s > HELPED_SHARE * started.warm_call_s
    with Stopwatch() as watch:
        while watch.so_far() < WATCHED_S:
            seconds(started.call, backend)
    return watch.helpers_cpu_seconds > HELPED_SHARE * watch.seconds


def _once_s(started: _Started, backend: Backend) -> float:
    """Return what a warm call takes, roughly."""
    return min(seconds(started.call, backend) for _ in range(REPEATS if started.first_call_s < CHEAP_CALL_S else 1))


def _round_trips(started: _Started, backend: Backend) -> tuple[dict[str, float], float, list[Any]]:
    """Return where the time of a warm round trip goes, the shortest time of a call, and what the trips bring home.

    Host to device, the return of the call (`dispatch_s`), its results being there (`device_s`), device to host; `end_to_end_s`
    is one clock over all four, and `budget_agrees` tells whether the parts add up to it: each and the whole timed on its own,
    medians of a few trips. The call is on the arguments of every call, so that the last trip brings home what earlier ones did
    to them.
    """
    problem = started.problem
    trips: list[list[float]] = []
    while len(trips) < REPEATS and sum(trip[-1] for trip in trips) < TRIPS_S:
        with Stopwatch() as whole:
            with Stopwatch() as to_device:
                place(problem, backend)
            with Stopwatch() as dispatch:
                result = started.call()
            with Stopwatch() as device:
                backend.synchronize(result)
            gate.require_ready(result, backend)
            with Stopwatch() as to_host:
                outputs = problem.outputs(result, backend.to_numpy)
        trips.append([watch.seconds for watch in (to_device, dispatch, device, to_host, whole)])
    names = ("host_to_device_s", "dispatch_s", "device_s", "device_to_host_s", "end_to_end_s")
    once_s = min(dispatch_s + device_s for _, dispatch_s, device_s, _, _ in trips)
    return dict(zip(names, map(median, zip(*trips, strict=True)), strict=True)), once_s, outputs


def _require_unchanged(started: _Started, backend: Backend) -> None:
    """Raise MismatchError where a user's function has changed what it was called with, which is all that it gets."""
    for before, after in zip(leaves(started.problem.inputs), leaves(started.call.arguments), strict=True):
        if backend.to_numpy(after).tobytes() != np.ascontiguousarray(before).tobytes():
            raise gate.MismatchError("it changes its arguments, so that each call would get what the last one left")


def budget_agrees(facts: dict[str, Any], median_s: float) -> bool:
    """Tell whether a warm trip is the sum of its parts, the call taken as it is in steady state.

    Within a quarter, or a tenth of a millisecond: between the parts stand a few calls of Python.
    """
    parts = facts["host_to_device_s"] + median_s + facts["device_to_host_s"]
    gap = abs(parts - facts["end_to_end_s"])
    return gap <= max(BUDGET_TOLERANCE * facts["end_to_end_s"], BUDGET_SLACK_S)


def _subnormals(array: Any) -> int:
    """Return how many numbers of an array are too small for full precision: a processor works many times longer on them."""
    if array.dtype.name == "bfloat16":
        array = array.astype("float32")  # which has the same exponents
    if array.dtype.kind != "f":
        return 0
    return int(((array != 0) & (np.abs(array) < np.finfo(array.dtype).tiny)).sum())


def allowing(case: Case, backend: Backend) -> Callable[[], contextlib.AbstractContextManager[Any]]:
    """Return within what a case's calls must be made: what lets products of float32 be TF32, or nothing."""
    return backend.tf32 if case.tf32 else contextlib.nullcontext


def require(case: Case, backend: Backend) -> None:
    """Raise UnmeasuredError where a case cannot be had on a backend."""
    if case.implementation == "hand_written" and backend.name != "numpy":
        raise UnmeasuredError("unavailable", "written by hand for NumPy alone")
    if case.implementation == CONTROL and backend.name != "numpy":
        raise UnmeasuredError("unavailable", "the control is NumPy's")
    if case.implementation == "compiled" and not backend.compiles:
        raise UnmeasuredError("unavailable", f"{backend.name} has no compiler")
    if case.precision in ("tf32", "bfloat16") and case.kind in ("epoch", "predict", "row"):
        raise UnmeasuredError("unavailable", f"{case.workload} is not measured in {case.precision}")
    if case.dtype not in backend.dtypes:
        raise UnmeasuredError("unavailable", f"{backend.name} has no {case.dtype}")
    if case.tf32:
        _require_tf32(backend)


def _require_tf32(backend: Backend) -> None:
    """Raise unless products of float32 really are TF32 where they may be: what a library is asked for, it need not do."""
    try:
        with backend.tf32():
            found = backend.matmul_precision()
    except BackendError as error:
        raise UnmeasuredError("unavailable", str(error)) from error
    if found != "tf32":
        raise UnmeasuredError(
            "unavailable", f"{backend.name} makes products of float32 in {found} here, TF32 allowed or not"
        )


def _loops_over_examples(case: Case) -> bool:
    """Tell whether a figure for each example holds for any number of them that is not small."""
    return case.implementation in ("multiplication", "unit", "example") or (
        case.implementation == "hand_written" and case.workload in ("forward", "backward")
    )


def _most_examples(case: Case) -> int:
    return min(case.batch_size, MOST_LOOP_EXAMPLES) if _loops_over_examples(case) else case.batch_size


def _may_take_fewer_examples(case: Case) -> bool:
    """Tell whether one example is enough to go by: not in a step with one product an example, whose update would outweigh it."""
    return _loops_over_examples(case) and (case.workload, case.implementation) != ("step", "example")


def _refuse_endless_loops(case: Case, backend: Backend, budget_s: float) -> None:
    """Raise where one example would take longer than the budget, told from what it takes on a network that is small."""
    products, probe = workloads.loop_products(case), replace(case, network=PROBE.name)
    if not products or products < workloads.loop_products(probe):
        return
    _, example_s = _one_example(probe, backend)
    guess_s = example_s * products / workloads.loop_products(probe)
    if guess_s > budget_s:
        reason = f"one example would take about {guess_s:.2g} s; the budget of a case is {budget_s:g} s"
        raise UnmeasuredError("timed_out", reason)


@functools.cache
def _one_example(case: Case, backend: Backend) -> tuple[_Started, float]:
    """Return a case of one example, and what a warm call takes; asked for once in a process."""
    started = _start(case, backend, 1)
    return started, _once_s(started, backend)
