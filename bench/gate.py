"""Nothing is timed before it agrees with the oracle; `bench.selftest.sabotage` shows that what is wrong does not."""

from __future__ import annotations

import contextlib
import math
from typing import Any

import numpy as np

from backends import Backend, Tree
from bench.cases import Case
from bench.networks import NETWORKS
from bench.workloads import Problem

UNIT_ROUNDOFF = {"tf32": 2**-10, "bfloat16": 2**-8}  # TF32's factors may be cut where other numbers are rounded
TOLERANCE = {"float32": 1e-4, "float64": 1e-10} | {narrow: 16 * u for narrow, u in UNIT_ROUNDOFF.items()}
"""Sums are made in float32, so that errors do not grow with √n; a result of several root mean squares is off by as many u, the
unit roundoff, and a network rounds at every layer. Right results were off by 10 u at most, those without a bias by 30 and more.
"""
RELU_GRADIENT_TOLERANCE = {narrow: 1.5 * u**0.5 for narrow, u in UNIT_ROUNDOFF.items()}
"""Of a norm. The share of units whose sums are so near to zero that rounding switches them grows as u, each costs a gradient as
much as it is, and their squares add up: √u. Right gradients were off by 0.7 √u, those without a bias by 2 √u and more.
"""
EPOCH_TOLERANCE = {"float32": 2e-4, "float64": 1e-8}  # one step of 6,250 too few differs by 6e-4
RELU_EPOCH_TOLERANCE = {"float32": 2e-3, "float64": 1e-8}
"""Of a norm. A unit whose sum is within rounding of zero is on here and off there, and Adam makes a step of either: float32
in 100 steps differs by 1e-4 to 7e-4, as the order of sums has it; a learning rate that is wrong by a tenth by 4e-3.
"""
CALLS = 2  # the later one shows what the earlier one did to its arguments


class MismatchError(Exception):
    """A case's outputs are not the oracle's; the message says which, `error` by how much where that is a number."""

    def __init__(self, reason: str, error: float | None = None) -> None:
        super().__init__(reason)
        self.error = error


def tolerance(case: Case) -> float:
    """Return the largest relative error that passes."""
    if case.kind != "epoch":
        return (RELU_GRADIENT_TOLERANCE if _drifts(case) else TOLERANCE)[case.precision]
    return (RELU_EPOCH_TOLERANCE if _drifts(case) else EPOCH_TOLERANCE)[case.dtype]


def _drifts(case: Case) -> bool:
    """Tell whether single numbers may go astray, and only all of an array together must not."""
    narrow = case.precision in UNIT_ROUNDOFF and case.kind in ("backward", "step")
    return (narrow or case.kind == "epoch") and NETWORKS[case.network].hidden == "relu"


def examine(case: Case, problem: Problem, backend: Backend) -> float:
    """Return the largest relative error of what a problem's function gives, waited for as the clock waits.

    Raises MismatchError if it fails. The oracle comes first: between the call and the comparison there is no time in which work
    that nobody waited for could get done. And a call on other numbers comes before all: a later one must not give its result.
    Where these make the function fail, as labels that are none do, it is left out.
    """
    expected = problem.oracle()
    with contextlib.suppress(Exception):
        backend.synchronize(problem.function(*problem.on_other_numbers().arguments(backend)))
    arguments = problem.arguments(backend)
    for _ in range(CALLS):
        result = backend.synchronize(problem.function(*arguments))
        require_ready(result, backend)
    return judge(case, problem.outputs(result, backend.to_numpy), expected, problem.tolerance)


def require_ready(result: Tree, backend: Backend) -> None:
    """Raise MismatchError unless a result that was waited for is really there."""
    if not backend.ready(result):
        raise MismatchError("synchronize came back before the work was done; a clock would have stopped too early")


def judge(case: Case, outputs: list[Any], expected: list[Any], limit: float | None = None) -> float:
    """Return the largest relative error of a case's outputs; raise MismatchError where they are not the oracle's.

    `limit` is what passes, where that is not the case's tolerance. What dtype a user's function returns is its own business: the
    table tells it.
    """
    dtype = None if case.source else case.result_dtype
    return check(outputs, expected, tolerance(case) if limit is None else limit, dtype, by_norm=_drifts(case))


def check(
    outputs: list[Any], expected: list[Any], limit: float, dtype: str | None = None, by_norm: bool = False
) -> float:
    """Return the largest relative error over the arrays; raise MismatchError above `limit`.

    An array's error is that of its worst number, in units of the oracle's root mean square: never less than
    ‖output - oracle‖ / ‖oracle‖, and one wrong number is not lost among many right ones. `by_norm` takes that ratio itself.
    Shapes must be the oracle's, dtypes `dtype` where it is given, all numbers finite.
    """
    if len(outputs) != len(expected):
        raise MismatchError(f"{len(outputs)} arrays where the oracle has {len(expected)}")
    if not outputs:
        raise MismatchError("it returns no array")
    errors = [_error(f"array {i}", *pair, dtype, by_norm) for i, pair in enumerate(zip(outputs, expected, strict=True))]
    worst = int(np.argmax(errors))
    if not errors[worst] <= limit:
        found = f"array {worst} differs from the float64 oracle by {errors[worst]:.2g}; at most {limit:g} is allowed"
        raise MismatchError(found, errors[worst])
    return errors[worst]


def _error(name: str, output: Any, right: Any, dtype: str | None, by_norm: bool) -> float:
    if output.shape != right.shape:
        raise MismatchError(f"{name} has shape {output.shape}, the oracle's {right.shape}")
    if dtype is not None and output.dtype != dtype:
        raise MismatchError(f"{name} is of {output.dtype}, the case of {dtype}")
    if lost := output.size - np.count_nonzero(np.isfinite(output)):
        raise MismatchError(f"{name} cannot be judged: {lost} of its {output.size} numbers are not finite")
    difference = np.subtract(output, right, dtype=complex if "c" in (output.dtype.kind, right.dtype.kind) else float)
    error = _root_mean_square(difference) if by_norm else np.abs(difference).max(initial=0.0)
    return float(error) / max(_root_mean_square(right), float(np.finfo(float).tiny))


def _root_mean_square(array: Any) -> float:
    return math.sqrt(np.vdot(array, array).real / array.size) if array.size else 0.0
