"""Whoever waits for a result, and then stops a clock, has waited for the work.

The work is a few products that end in one number: its copy to the host takes no time, so that time spent on the copy is work
that was left. What a busy machine adds to a time is in one trial and not in all of them: the least share counts.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from backends import Array, Backend
from bench.clock import Stopwatch
from bench.conform.requirement import require, requirement
from bench.gate import require_ready

SIZES = (256, 512, 1024, 2048, 4096, 8192)
PRODUCTS = 8
LONG_ENOUGH_S = 0.03
TRIALS = 3
LEFT = (
    0.5  # the share of the time that shows that work was left; of a copy that had none to wait for it is a thousandth
)


@requirement
def synchronize_waits_for_the_work(backend: Backend) -> None:
    """`synchronize` returns when all work in the tree is done: what is fetched then is there at once."""
    first = backend.asarray(0.0)
    left, longest_s = _left(
        _work(backend),
        lambda result: backend.synchronize((first, {"work": [result]})),
        lambda tree: backend.to_numpy(tree[1]["work"][0]),
    )
    require(left < LEFT, f"fetching one number then took {left:.0%} of the time and more, {longest_s:.2g} s at most")


@requirement
def what_was_waited_for_is_ready(backend: Backend) -> None:
    """`ready` is true of what `synchronize` returns."""
    work = _work(backend)
    for _ in range(TRIALS):
        require_ready(backend.synchronize((work(), [work()])), backend)


@requirement
def ready_tells_what_is_not_there_yet(backend: Backend) -> None:
    """`ready` is false, without waiting, of work that is not done: the gate finds a `synchronize` that does not wait by it."""

    def ready_or_fetched(result: Array) -> Array:
        if not backend.ready(result):
            backend.to_numpy(backend.synchronize(result))
        return result

    left, _ = _left(_work(backend), ready_or_fetched, lambda result: backend.to_numpy(backend.synchronize(result)))
    require(left < LEFT, f"it is true when {left:.0%} of the time and more are still to come")


@requirement
def what_is_fetched_is_there(backend: Backend) -> None:
    """`to_numpy` waits for the work by itself: nothing is read before it is written."""
    work = _work(backend)
    for _ in range(TRIALS):
        found = float(backend.to_numpy(work()))
        require(abs(found - 1.0) < 1e-6, f"a number that is 1 when it is there is {found:.6g}")


def _left(work: Callable[[], Array], told: Callable[[Array], Any], fetch: Callable[[Any], Any]) -> tuple[float, float]:
    """Return what share of the time `fetch` takes once `told` has returned, the least of all trials, and its seconds at most."""
    shares, longest_s = [], 0.0
    for _ in range(TRIALS):
        with Stopwatch() as waiting:
            result = told(work())
        with Stopwatch() as fetching:
            fetch(result)
        longest_s = max(longest_s, fetching.seconds)
        shares.append(fetching.seconds / (waiting.seconds + fetching.seconds))
    return min(shares), longest_s


def _work(backend: Backend) -> Callable[[], Array]:
    """Return a call whose work takes long, most of it in products that are large for this device; its result is 1."""
    for size in SIZES:
        a = backend.asarray(np.full((size, size), 1.0 / size))
        for _ in range(2):  # the first one is not warm
            with Stopwatch() as watch:
                backend.to_numpy(backend.synchronize(_chain(backend, a)))
        if watch.seconds >= LONG_ENOUGH_S:
            break
    return lambda: _chain(backend, a)


def _chain(backend: Backend, a: Array) -> Array:
    x = a
    for _ in range(PRODUCTS):
        x = backend.xp.matmul(x, a)
    return backend.xp.sum(x) / a.shape[0]
