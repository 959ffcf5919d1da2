"""The networks that are measured, their data and the weights that they start from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from backends import host
from core import datasets
from core.layers import Dense, Layer

SEED = 20240218

HostWeights = tuple[tuple[Any, Any], ...]


@dataclass(frozen=True)
class Network:
    """A stack of dense layers, the loss that it is trained to lower, and where its examples come from."""

    name: str
    sizes: tuple[int, ...]
    hidden: str
    output: str
    loss: str
    data: str

    @property
    def kernels(self) -> list[tuple[int, int]]:
        """The shape of each layer's kernel."""
        return list(zip(self.sizes[:-1], self.sizes[1:], strict=True))

    @property
    def parameters(self) -> int:
        """The number of weights."""
        return sum(i * o + o for i, o in self.kernels)

    @property
    def multiplications(self) -> tuple[int, int]:
        """The multiplications for one example: forward, and backward (where the input's gradient is not wanted)."""
        forward = sum(i * o for i, o in self.kernels)
        return forward, 2 * forward - self.sizes[0] * self.sizes[1]

    def layers(self) -> tuple[Layer, ...]:
        """Return the network as `core` describes it."""
        hidden = (Dense(units, self.hidden) for units in self.sizes[1:-1])
        return (*hidden, Dense(self.sizes[-1], self.output))

    def weights(self, dtype: str) -> HostWeights:
        """Return Glorot's kernels, and biases that are small but not zero, so that a lost bias shows."""
        kept = host.numpy_dtype(dtype)
        generator = host.generator(SEED + 1)
        drawn = []
        for i, o in self.kernels:
            limit = (6.0 / (i + o)) ** 0.5
            drawn.append((generator.uniform(-limit, limit, (i, o)), generator.uniform(-0.1, 0.1, o)))
        return tuple((w.astype(kept), b.astype(kept)) for w, b in drawn)

    def examples(self, n: int, dtype: str) -> tuple[Any, Any]:
        """Return n examples, normalised so that they saturate nothing; those of a small data set come again and again."""
        kept = host.numpy_dtype(dtype)
        generator = host.generator(SEED)
        if self.data == "normal":
            x, y = generator.standard_normal((n, self.sizes[0])), generator.integers(0, max(2, self.sizes[-1]), n)
        else:
            x, y = DATA[self.data]()
            x = (x - x.mean(axis=0)) / np.maximum(x.std(axis=0), 1e-2)
            rows = np.resize(generator.permutation(len(x)), n)
            x, y = x[rows], y[rows]
        return x.astype(kept), y.reshape(-1, 1).astype(kept) if self.output == "sigmoid" else y.astype("int64")


DATA: dict[str, Callable[[], datasets.Data]] = {
    "coffee": datasets.coffee,
    "digits": datasets.digits,
    "zeros and ones": lambda: datasets.digits(only=(0, 1)),
}

BINARY, SPARSE = "binary_crossentropy", "sparse_categorical_crossentropy"
COFFEE = Network("coffee-2-3-1", (2, 3, 1), "sigmoid", "sigmoid", BINARY, "coffee")
ZERO_OR_ONE = Network("digits-64-25-15-1", (64, 25, 15, 1), "sigmoid", "sigmoid", BINARY, "zeros and ones")
DIGITS = Network("digits-64-25-15-10", (64, 25, 15, 10), "relu", "softmax", SPARSE, "digits")


def wide(width: int) -> Network:
    """Return the wide network with hidden layers of that width."""
    sizes = (784, width, width, 10)
    return Network(f"wide-{'-'.join(map(str, sizes))}", sizes, "relu", "softmax", SPARSE, "normal")


WIDE = wide(512)
FACE = Network("face-1000000-25-15-1", (1_000_000, 25, 15, 1), "relu", "sigmoid", BINARY, "normal")
WIDTHS = (64, 128, 256, 512, 1024, 2048, 4096, 8192)
LADDER_NETWORKS = (COFFEE, ZERO_OR_ONE, DIGITS, WIDE)
NETWORKS = {network.name: network for network in (*LADDER_NETWORKS, FACE, *map(wide, WIDTHS))}
