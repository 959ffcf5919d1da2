"""What the tests of core share: weights to start from, and the way to a backend and back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import backends
from core.layers import Layer, Normalization
from core.network import Weights


@pytest.fixture
def draw_weights() -> Callable[..., Weights]:
    """Draw host weights for a stack of layers, none of them zero (initial biases are, which would hide them)."""

    def draw(layers: tuple[Layer, ...], features: int, seed: int = 0) -> Weights:
        generator, weights = np.random.default_rng(seed), []
        for layer in layers:
            low = 0.5 if isinstance(layer, Normalization) else -1.5  # a variance is positive
            shapes = [np.shape(w) for w in layer.initial_weights(features, generator)]
            weights.append(tuple(np.asarray(generator.uniform(low, 1.5, shape)) for shape in shapes))
            features = layer.output_features(features)
        return tuple(weights)

    return draw


@pytest.fixture
def read_only() -> Callable[[Any], Any]:
    """Copy the arrays of a tree, read-only: whoever writes into an argument fails."""

    def copy(tree: Any) -> Any:
        if isinstance(tree, tuple):
            return tuple(copy(branch) for branch in tree)
        array = np.array(tree)
        array.flags.writeable = False
        return array

    return copy


@pytest.fixture
def place(backend: backends.Backend) -> Callable[..., Any]:
    """Place a tree of host arrays on the backend; only real numbers take the dtype, class numbers stay whole."""

    def to_backend(tree: Any, dtype: str = "float64") -> Any:
        if isinstance(tree, tuple):
            return tuple(to_backend(branch, dtype) for branch in tree)
        return backend.asarray(tree, dtype if tree.dtype.kind == "f" else None)

    return to_backend


@pytest.fixture
def assert_close(backend: backends.Backend) -> Callable[..., None]:
    """Compare a tree of the backend's arrays with one of host arrays: same structure, shapes and (almost) values."""

    def compare(tree: Any, expected: Any, tolerance: float = 1e-10) -> None:
        if isinstance(expected, tuple):
            assert len(tree) == len(expected)
            for branch, other in zip(tree, expected, strict=True):
                compare(branch, other, tolerance)
            return
        assert tuple(tree.shape) == np.shape(expected)
        np.testing.assert_allclose(backend.to_numpy(tree), expected, rtol=tolerance, atol=tolerance)

    return compare
