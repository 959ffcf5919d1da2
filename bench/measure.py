"""A case that is ready, and its samples: what it is called on, how it is warmed, how many calls share a reading of the clock."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from backends import Backend, Tree
from backends.base import leaves, tree_map
from bench.clock import Stopwatch, seconds
from bench.placement import Heap
from bench.workloads import Problem

SHORTEST_SAMPLE_S = 2e-4  # shorter calls are timed several at once, so that reading the clock does not show
CHEAP_CALL_S = 0.01
MOST_SAMPLES = 50  # of a block
WARM_WITHIN, LONGEST_WARM_UP_S = 1.25, 0.1
SPREAD_S = 0.12  # Linux takes 0.1 s to give threads that woke on one core a core each


class Call:
    """A problem's function on its arguments, which are on the device."""

    def __init__(self, problem: Problem, backend: Backend) -> None:
        self._problem, self._backend = problem, backend
        self.arguments = self._copied()
        self._heap = Heap(max(array.nbytes for array in leaves(problem.inputs)))

    def __call__(self) -> Tree:
        return self._problem.function(*self.arguments)

    def launches(self) -> int | None:
        """Return how many kernels a call starts, where the backend can tell."""
        return self._backend.launches(self._problem.function, *self.arguments)

    def move(self) -> None:
        """Move the arguments, and what the next call allocates, to other places, where a library leaves the places to malloc."""
        if self._backend.name in ("numpy", "numba"):  # both have NumPy's arrays
            self._heap.shuffle()
            self.arguments = self._copied()
            self()

    def _copied(self) -> tuple[Tree, ...]:
        """Return the arguments, made of copies: a library that shares the host's memory leaves the problem's inputs alone."""
        return place(replace(self._problem, inputs=tree_map(np.copy, self._problem.inputs)), self._backend)


@dataclass(frozen=True)
class Subject:
    """A case that has passed the gate and is warm."""

    call: Call
    backend: Backend
    once_s: float
    facts: dict[str, Any]
    """The row's columns that are known before any sample is taken."""
    helped: bool = False
    """Whether other threads than the caller's work on it."""
    slow_down: float = 0.0
    within: Callable[[], contextlib.AbstractContextManager[Any]] = contextlib.nullcontext
    """Where its calls must be made: what lets products of float32 be TF32, or nothing."""

    @property
    def costs_s(self) -> float:
        """How long a block takes at least: for warming, and one call."""
        return self.once_s + SPREAD_S * self.helped

    def sample(self, at_least_s: float = SHORTEST_SAMPLE_S) -> float:
        """Return the seconds that one call takes until its results are there: the mean of so many as fill a sample."""
        return seconds(self.call, self.backend, self._calls(at_least_s), self.slow_down)

    def block(self, at_least_s: float) -> dict[str, Any]:
        """Return samples of so many seconds in all, one at least, and the threads that were in effect over them."""
        with self.within():
            return self._block(at_least_s)

    def _block(self, at_least_s: float) -> dict[str, Any]:
        self._warm()
        samples: list[float] = []
        share_s = max(SHORTEST_SAMPLE_S, at_least_s / MOST_SAMPLES)
        with Stopwatch() as watch:
            while not samples or (sum(samples) * self._calls(share_s) < at_least_s and len(samples) < MOST_SAMPLES):
                if self.once_s <= CHEAP_CALL_S:
                    self.call.move()
                samples.append(self.sample(share_s))
        return {"samples": samples, "threads_in_effect": watch.cpu_seconds / watch.seconds}

    def _calls(self, seconds: float) -> int:
        """Return how many calls share a reading of the clock, for a sample of so many seconds."""
        return max(1, round(seconds / self.once_s))

    def _warm(self) -> None:
        """Return when a call takes what it takes in a long row of calls; others have had the caches and the cores since."""
        if self.helped:
            _spread(self.call, self.backend)
        elif self.once_s <= CHEAP_CALL_S:
            with Stopwatch() as watch:
                while self.sample() > WARM_WITHIN * self.once_s and watch.so_far() < LONGEST_WARM_UP_S:
                    pass


def _spread(call: Callable[[], Tree], backend: Backend) -> None:
    """Call until the threads at work have a core each.

    Threads that slept may wake on one core. Spinning there for each other, as those of a BLAS do, they take 24 ms for a product
    of 0.6; handing work to each other, as XLA's do, they may even be quicker. Neither lasts in a long row of calls: the system
    spreads them out.
    """
    with Stopwatch() as watch:
        while watch.so_far() < SPREAD_S:
            seconds(call, backend)


def place(problem: Problem, backend: Backend) -> tuple[Tree, ...]:
    """Return the call's arguments, when they are on the device."""
    return backend.synchronize(problem.arguments(backend))
