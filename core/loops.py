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
import types
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from core import network
from core.network import Layers, Weights
from core.step import Batch, Objective

Array = Any
Namespace = Any
Product = Callable[[Array, Array, Namespace], Array]


def by_multiplications(a: Array, b: Array, xp: Namespace) -> Array:
    """Return `a @ b`, one multiplication at a time; `a` is a vector or a matrix."""
    if a.ndim == 2:
        return xp.stack([by_multiplications(a[i, :], b, xp) for i in range(a.shape[0])])
    row = []
    for j in range(b.shape[1]):
        z = a[0] * b[0, j]
        for k in range(1, b.shape[0]):
            z = z + a[k] * b[k, j]
        row.append(z)
    return xp.stack(row)


def by_units(a: Array, b: Array, xp: Namespace) -> Array:
    """Return `a @ b`, one column at a time: forward that is one unit of a layer; `a` is a vector or a matrix."""
    return xp.stack([xp.vecdot(a, b[:, j]) for j in range(b.shape[1])], axis=a.ndim - 1)


def by_library(a: Array, b: Array, xp: Namespace) -> Array:
    """Return `a @ b` as the library's one product."""
    return xp.matmul(a, b)


@functools.cache
def loop_namespace(xp: Namespace, product: Product) -> Namespace:
    """Return the namespace `xp` with `product` in the place of `matmul`."""

    def matmul(a: Array, b: Array) -> Array:
        return product(a, b, xp)

    namespace = types.ModuleType(xp.__name__)
    namespace.__dict__.update(vars(xp) | {"matmul": matmul})
    return namespace


@dataclass(frozen=True)
class Rung:
    """One way to write the products of a network."""

    name: str
    product: Product
    one_example_at_a_time: bool

    def forward(self, layers: Layers, weights: Weights, x: Array, *, xp: Namespace) -> Array:
        """Return the network's output for `x`, shape (n, features)."""
        if not self.one_example_at_a_time:
            return network.forward(layers, weights, x, xp=xp)[0]
        loops = loop_namespace(xp, self.product)
        return xp.stack([network.forward(layers, weights, example, xp=loops)[0] for example in xp.unstack(x)])

    def gradients(
        self, objective: Objective, weights: Weights, batch: Batch, *, xp: Namespace
    ) -> tuple[Weights, Array]:
        """Return what `objective.gradients` does, the mean taken over single examples where the rung has them single."""
        if not self.one_example_at_a_time:
            return objective.gradients(weights, batch, xp=xp)
        loops = loop_namespace(xp, self.product)
        examples = [tuple(array[i : i + 1, ...] for array in batch) for i in range(batch[0].shape[0])]
        parts = [objective.gradients(weights, example, xp=loops) for example in examples]
        gradients = functools.reduce(_add, (own for own, _ in parts))
        mean = tuple(tuple(g * (1.0 / len(parts)) for g in layer) for layer in gradients)
        return mean, xp.concat([output for _, output in parts], axis=0)


def _add(a: Weights, b: Weights) -> Weights:
    return tuple(tuple(p + q for p, q in zip(x, y, strict=True)) for x, y in zip(a, b, strict=True))


LADDER = (
    Rung("multiplication", by_multiplications, one_example_at_a_time=True),
    Rung("unit", by_units, one_example_at_a_time=True),
    Rung("example", by_library, one_example_at_a_time=True),
    Rung("matmul", by_library, one_example_at_a_time=False),
)
