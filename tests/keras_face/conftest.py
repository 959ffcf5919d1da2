"""What the tests of Keras's face share."""

from __future__ import annotations

import sys
from collections.abc import Callable

import numpy as np
import pytest

import backends
from core import Dense, Input, Sequential, utils


@pytest.fixture(scope="session", autouse=True)
def programs_are_kept(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Let JAX compile a program once for all tests, which make the same few networks again and again."""
    if jax := sys.modules.get("jax"):
        jax.config.update("jax_compilation_cache_dir", str(tmp_path_factory.mktemp("jax")))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
        jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)


def make_coffee_net(on, optimizer="adam", loss="binary_crossentropy", metrics=(), seed=1) -> Sequential:
    utils.set_random_seed(seed)
    model = Sequential([Input((2,)), Dense(3, "sigmoid"), Dense(1, "sigmoid")], backend=on)
    model.compile(optimizer, loss, metrics=list(metrics))
    return model


@pytest.fixture
def coffee_net(backend: backends.Backend) -> Callable[..., Sequential]:
    """Make the course's network of 2, 3 and 1 units on every backend, compiled, always from the same seed."""

    def make(*choices, on=backend, **named) -> Sequential:
        return make_coffee_net(on, *choices, **named)

    return make


@pytest.fixture
def numpy_net() -> Callable[..., Sequential]:
    """Make that network on NumPy only, for what is decided before a backend is asked."""

    def make(*choices, **named) -> Sequential:
        return make_coffee_net("numpy", *choices, **named)

    return make


@pytest.fixture
def roasts() -> tuple[np.ndarray, np.ndarray]:
    """Give 70 examples of two features and whether they are good: two batches of 32 and one of 6."""
    x = np.random.default_rng(3).normal(size=(70, 2))
    return x, (x[:, :1] > x[:, 1:]).astype(float)
