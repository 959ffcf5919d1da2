"""The one place in `bench` that reads the clock."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable

from backends import Backend, Tree

SETTLE_S, SETTLED_SHARE, LONGEST_SETTLE_S = 2e-3, 0.2, 0.2


class Stopwatch:
    """Measures the wall seconds of a `with` block, and its processor seconds: of all threads, and of all but the caller's."""

    def __enter__(self) -> Stopwatch:
        self._cpu, self._own, self._start = time.process_time(), time.thread_time(), time.perf_counter()
        return self

    def __exit__(self, *error: object) -> None:
        self.seconds = self.so_far()
        self.cpu_seconds = time.process_time() - self._cpu
        self.helpers_cpu_seconds = self.cpu_seconds - (time.thread_time() - self._own)

    def so_far(self) -> float:
        """Return the wall seconds since the block began."""
        return time.perf_counter() - self._start


def seconds(call: Callable[[], Tree], backend: Backend, calls: int = 1, slow_down: float = 0.0) -> float:
    """Return the mean seconds of so many calls, each waited for.

    `slow_down` plants a slower function, for tests of the measurement itself: that share of the time is spun away, inside
    the clock.
    """
    synchronize = backend.synchronize
    collecting = gc.isenabled()
    gc.disable()  # a collection in the middle of a sample belongs to none
    try:
        start = time.perf_counter()
        for _ in range(calls):
            synchronize(call())
        if slow_down:
            until = start + (1 + slow_down) * (time.perf_counter() - start)
            while time.perf_counter() < until:
                pass
        return (time.perf_counter() - start) / calls
    finally:
        if collecting:
            gc.enable()


def settle() -> None:
    """Return when no thread of this process computes or spins any more.

    A BLAS keeps its threads spinning for some 25 ms after a product, in the hope of another. Were the next worker timed
    meanwhile, it would get half of the machine.
    """
    with Stopwatch() as whole:
        while whole.so_far() < LONGEST_SETTLE_S:
            with Stopwatch() as nap:
                time.sleep(SETTLE_S)
            if nap.cpu_seconds < SETTLED_SHARE * nap.seconds:
                return
