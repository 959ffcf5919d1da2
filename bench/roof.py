"""The measured roof: the fastest product and the fastest copy that any library reaches on a device, in this run.

With both, a row's bound is a fact (the roofline of Williams, Waterman and Patterson, 2009): its work at the roof's rate and its
bytes at the copy's rate each give a least time, and the longer of the two is what binds it, unless it takes far longer still.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from backends import Backend, Tree
from bench.clock import seconds

DTYPES = ("float32", "float64")
PRODUCT_SIZE = {"cpu": 2048, "gpu": 8192}
COPY_BYTES = {"cpu": 1 << 28, "gpu": 1 << 30}
REPEATS = 3
OVERHEAD_FROM = 3.0  # a row that takes so many times its least time is bound by neither


def kind(device: str) -> str:
    """Return `cpu` or `gpu`: devices of one kind have one roof."""
    return "cpu" if device.startswith("cpu") else "gpu"


def probe(backend: Backend) -> dict[str, Any]:
    """Return the rates that this backend reaches: `gflop_per_s` by dtype, and `gb_per_s` of a copy, read and written bytes."""
    on = kind(backend.device)
    n, size = PRODUCT_SIZE[on], COPY_BYTES[on]
    copy = _host_copy(size) if on == "cpu" else _device_copy(size, backend)
    return {
        "gflop_per_s": {dtype: 2 * n**3 / _best_s(_product(n, dtype, backend), backend) / 1e9 for dtype in DTYPES},
        "gb_per_s": 2 * size / _best_s(copy, backend) / 1e9,
    }


def _best_s(call: Callable[[], Tree], backend: Backend) -> float:
    seconds(call, backend)
    return min(seconds(call, backend) for _ in range(REPEATS))


def _product(n: int, dtype: str, backend: Backend) -> Callable[[], Tree]:
    a = backend.asarray(np.full((n, n), 0.5), dtype)
    product = backend.compile(lambda a: backend.xp.matmul(a, a))
    return lambda: product(a)


def _host_copy(size: int) -> Callable[[], Tree]:
    """Return a copy between arrays that are there already, by as many threads as the process may use."""
    source, target = np.ones(size, "uint8"), np.zeros(size, "uint8")
    threads = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    halves = list(zip(np.array_split(target, threads), np.array_split(source, threads), strict=True))
    pool = ThreadPoolExecutor(threads)

    def copy() -> None:
        for done in [pool.submit(np.copyto, to, what) for to, what in halves]:
            done.result()

    return copy


def _device_copy(size: int, backend: Backend) -> Callable[[], Tree]:
    source = backend.asarray(np.ones(size, "uint8"))
    return lambda: backend.xp.asarray(source, copy=True)


@dataclass
class Roofs:
    """The highest rates by kind of device: of products by precision, and of a copy."""

    flops_per_s: dict[tuple[str, str], float] = field(default_factory=dict)
    bytes_per_s: dict[str, float] = field(default_factory=dict)

    @classmethod
    def of(cls, probes: Iterable[tuple[str, dict[str, Any]]]) -> Roofs:
        """Return the roofs over what `probe` gave, each beside its backend's device."""
        roofs = cls()
        for device, rates in probes:
            for dtype, gflops in rates["gflop_per_s"].items():
                roofs.raise_to(device, dtype, gflops * 1e9)
            on = kind(device)
            roofs.bytes_per_s[on] = max(roofs.bytes_per_s.get(on, 0.0), rates["gb_per_s"] * 1e9)
        return roofs

    def raise_to(self, device: str, precision: str, flops_per_s: float) -> None:
        """Take in a product's rate: a case that beats the probe is the roof, and so is one in a precision that is not probed."""
        key = kind(device), precision
        self.flops_per_s[key] = max(self.flops_per_s.get(key, 0.0), flops_per_s)

    def fraction(self, device: str, precision: str, flops_per_s: float) -> float | None:
        """Return the share of the roof that a rate is; None where none was measured."""
        roof = self.flops_per_s.get((kind(device), precision))
        return flops_per_s / roof if roof else None

    def bound(
        self, device: str, precision: str, flops: int, moved: int, seconds: float
    ) -> tuple[str, float] | tuple[None, None]:
        """Return what binds a call of that work, and its least time as a share of what it takes; None where no roof was measured.

        That is `compute` or `memory`, or `overhead` where it takes thrice its least time.
        """
        rate, bandwidth = self.flops_per_s.get((kind(device), precision)), self.bytes_per_s.get(kind(device))
        if not rate or not bandwidth:
            return None, None
        compute_s, memory_s = flops / rate, moved / bandwidth
        share = max(compute_s, memory_s) / seconds
        if share < 1.0 / OVERHEAD_FROM:
            return "overhead", share
        return "compute" if compute_s >= memory_s else "memory", share
