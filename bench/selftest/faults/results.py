"""Faults between the host and the device: what arrives where, whether it is there when it is read, and what comes back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from backends import Array, Backend, host
from backends.base import leaves
from bench.networks import COFFEE, DIGITS, SEED, WIDE, ZERO_OR_ONE
from bench.selftest.faults import EPOCH, PRODUCT, in_backend, in_problem, on, with_functions, with_members
from bench.workloads import Problem

# Arguments


@in_backend(PRODUCT, on("forward", COFFEE))
def rows_and_columns_are_confused(backend: Backend) -> Backend:
    """A row-major array is read as a column-major one of the same shape."""

    def asarray(values: Any, dtype: str | None = None) -> Array:
        given = np.asarray(values)
        return backend.asarray(np.reshape(given.ravel(), given.shape, order="F"), dtype)

    return with_members(backend, asarray=asarray)


@in_problem(on("forward", DIGITS), on("backward", COFFEE))
def one_example_is_stale(problem: Problem, backend: Backend) -> Problem:
    """One row of 400 was not copied: the second example's features stand in its place."""

    def stale(weights: Any, x: Any, *rest: Any) -> Any:
        return problem.function(weights, backend.xp.concat([x[1:2, :], x[1:, :]]), *rest)

    return replace(problem, function=stale)


@in_problem(on("forward", ZERO_OR_ONE))
def every_example_has_the_first_ones_answer(problem: Problem, backend: Backend) -> Problem:
    """A broadcast where a batch was meant."""
    return replace(problem, function=lambda weights, x: problem.function(weights, 0.0 * x + x[:1, :]))


@in_problem(on("step", COFFEE), on("step", DIGITS), EPOCH)
def each_call_goes_on_from_the_last(problem: Problem, backend: Backend) -> Problem:
    """Weights updated in place: the first call is right, and every sample starts somewhere else."""
    last: list[Any] = []

    def function(state: Any, *rest: Any) -> Any:
        result = problem.function(last.pop() if last else state, *rest)
        last.append(result[0])
        return result

    return replace(problem, function=function)


@in_problem(on("forward", COFFEE), on("step", DIGITS), PRODUCT)
def the_first_result_is_kept(problem: Problem, backend: Backend) -> Problem:
    """A cache that forgets to look at the arguments, or a compiler that took them for constants."""
    kept: list[Any] = []

    def function(*arguments: Any) -> Any:
        kept[:] = kept or [problem.function(*arguments)]
        return kept[0]

    return replace(problem, function=function)


# Times


class Unfinished:
    """A result that a call has promised: its memory on the host is blank until somebody waits, and is then filled.

    It stands for a buffer that another thread or a copy engine fills when it pleases; that it never pleases by itself makes
    the fault the same on every machine.
    """

    def __init__(self, values: Any) -> None:
        self._values, self.memory = values, np.zeros_like(values)

    def finish(self) -> None:
        self.memory[...] = self._values

    @property
    def done(self) -> bool:
        return bool((self.memory == self._values).all())


def finish(tree: Any) -> Any:
    """Return the tree when all in it is done."""
    for leaf in leaves(tree):
        if isinstance(leaf, Unfinished):
            leaf.finish()
    return tree


def asynchronous(backend: Backend, **members: Any) -> Backend:
    """Return a backend whose products come later than the calls that ask for them."""

    def done(tree: Any) -> bool:
        return all(leaf.done for leaf in leaves(tree) if isinstance(leaf, Unfinished))

    def matmul(a: Array, b: Array) -> Unfinished:
        return Unfinished(backend.to_numpy(backend.xp.matmul(a, b)))

    def to_numpy(array: Any) -> Any:
        return array.memory if isinstance(array, Unfinished) else backend.to_numpy(array)

    honest = {"synchronize": finish, "ready": done, "to_numpy": to_numpy}
    return with_members(with_functions(backend, matmul=matmul), **(honest | members))


@in_backend(PRODUCT)
def result_is_read_before_it_is_there(backend: Backend) -> Backend:
    """synchronize waits for nothing, the library says that all is done, and the memory is still blank."""
    return asynchronous(backend, synchronize=lambda tree: tree, ready=lambda tree: True)


@in_backend(PRODUCT)
def clock_stops_before_the_work_is_done(backend: Backend) -> Backend:
    """synchronize waits for nothing, but the copy to the host does: the values are right, and the time is not."""
    return asynchronous(backend, synchronize=lambda tree: tree, to_numpy=lambda array: finish(array).memory)


@in_backend(on("forward", COFFEE), on("backward", DIGITS))
def copy_to_the_host_is_not_waited_for(backend: Backend) -> Backend:
    """The computation is done; what is read is the memory that its copy will be written to."""
    return with_members(backend, to_numpy=lambda array: Unfinished(backend.to_numpy(array)).memory)


# Results


def with_outputs(problem: Problem, change: Callable[[list[Any]], list[Any]]) -> Problem:
    """Return the problem with other arrays as its outputs on the host."""
    return replace(problem, outputs=lambda result, to_host: change(problem.outputs(result, to_host)))


@in_problem(on("forward", DIGITS), on("backward", ZERO_OR_ONE), on("step", DIGITS), EPOCH, PRODUCT)
def noise_of_a_thousandth(problem: Problem, backend: Backend) -> Problem:
    """What other benchmarks' checks let through."""
    generator = host.generator(SEED)

    def noisy(arrays: list[Any]) -> list[Any]:
        return [(a * (1 + 1e-3 * generator.standard_normal(a.shape))).astype(a.dtype) for a in arrays]

    return with_outputs(problem, noisy)


def with_first_number(array: Any, number: float) -> Any:
    """Return a copy of an array whose first number is another."""
    changed = np.array(array)
    changed.flat[0] = number
    return changed


@in_problem(on("backward", DIGITS), on("forward", WIDE))
def one_number_is_nan(problem: Problem, backend: Backend) -> Problem:
    """0/0 in one place."""
    return with_outputs(problem, lambda arrays: [*arrays[:-1], with_first_number(arrays[-1], np.nan)])


@in_problem(on("backward", DIGITS), on("step", COFFEE))
def one_number_is_infinite(problem: Problem, backend: Backend) -> Problem:
    """log 0 in one place."""
    return with_outputs(problem, lambda arrays: [*arrays[:-1], with_first_number(arrays[-1], np.inf)])


@in_problem(on("forward", COFFEE))
def the_last_axis_is_lost(problem: Problem, backend: Backend) -> Problem:
    """(n,) for (n, 1): the numbers are right, and broadcast wrongly at their next use."""
    return with_outputs(problem, lambda arrays: [array[..., 0] for array in arrays])


@in_problem(on("backward", DIGITS), on("step", DIGITS))
def an_output_is_missing(problem: Problem, backend: Backend) -> Problem:
    """A compiler deletes what is not returned; then it is not timed either."""
    return with_outputs(problem, lambda arrays: arrays[1:])
