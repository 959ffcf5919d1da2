"""The course's ladder: the same network with its matrix products written as loops.

A rung computes `A @ B` its own way, and the network's own forward and backward run on it unchanged: each layer asks the
namespace for `matmul`, and here it is given a namespace whose `matmul` is a loop. The lower three rungs take one example at
a time, as the course's `sequential` does, so that a loop stands where the course has one.

On the second rung a layer is the course's `dense`:

    for j in range(units):
        z[j] = np.dot(W[:, j], a_in) + b[j]
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from core import network
from core.network import Layers, Weights
from core.step import Batch, Objective, Values

Array = Any
Namespace = Any


def by_multiplications(a: Array, b: Array, xp: Namespace) -> Array:
    """Return `a @ b`, one multiplication at a time."""
    (n, inner), m = a.shape, b.shape[1]
    rows = []
    for i in range(n):
        row = []
        for j in range(m):
            z = a[i, 0] * b[0, j]
            for k in range(1, inner):
                z = z + a[i, k] * b[k, j]
            row.append(z)
        rows.append(xp.stack(row))
    return xp.stack(rows)


def by_units(a: Array, b: Array, xp: Namespace) -> Array:
    """Return `a @ b`, one inner product at a time: a unit of the layer, in the forward pass."""
    return xp.stack([xp.stack([xp.matmul(a[i, :], b[:, j]) for j in range(b.shape[1])]) for i in range(a.shape[0])])


def by_library(a: Array, b: Array, xp: Namespace) -> Array:
    """Return `a @ b` as the library's one product."""
    return xp.matmul(a, b)


class LoopNamespace:
    """An array API namespace in which `matmul` is a rung's product."""

    def __init__(self, xp: Namespace, product: Callable[[Array, Array, Namespace], Array]) -> None:
        self._xp, self._product = xp, product

    def matmul(self, a: Array, b: Array) -> Array:
        return self._product(a, b, self._xp)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._xp, name)


@dataclass(frozen=True)
class Rung:
    """One way to write the products of a network."""

    name: str
    product: Callable[[Array, Array, Namespace], Array]
    one_example_at_a_time: bool

    def forward(self, layers: Layers, weights: Weights, x: Array, *, xp: Namespace) -> Array:
        """Return the network's output for `x`."""
        loops = LoopNamespace(xp, self.product)
        return xp.concat([network.forward(layers, weights, part, xp=loops)[0] for (part,) in self._parts((x,))], axis=0)

    def gradients(
        self, objective: Objective, weights: Weights, batch: Batch, *, xp: Namespace
    ) -> tuple[Weights, Values]:
        """Return what `objective.gradients` does, the gradient summed up example by example where the rung has them single."""
        loops = LoopNamespace(xp, self.product)
        parts = [objective.gradients(weights, part, xp=loops) for part in self._parts(batch)]
        gradients = functools.reduce(_add, (own for own, _ in parts))
        mean = tuple(tuple(g * (1.0 / len(parts)) for g in layer) for layer in gradients)
        return mean, tuple(xp.concat(column, axis=0) for column in zip(*(values for _, values in parts), strict=True))

    def _parts(self, batch: Batch) -> list[Batch]:
        if not self.one_example_at_a_time:
            return [batch]
        return [tuple(array[i : i + 1, ...] for array in batch) for i in range(batch[0].shape[0])]


def _add(a: Weights, b: Weights) -> Weights:
    return tuple(tuple(p + q for p, q in zip(x, y, strict=True)) for x, y in zip(a, b, strict=True))


LADDER = (
    Rung("multiplication", by_multiplications, one_example_at_a_time=True),
    Rung("unit", by_units, one_example_at_a_time=True),
    Rung("example", by_library, one_example_at_a_time=True),
    Rung("matmul", by_library, one_example_at_a_time=False),
)
