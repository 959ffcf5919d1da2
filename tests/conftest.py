"""The one fixture that gives a backend, and the checks that every test module shares."""

from __future__ import annotations

import os

import numpy as np
import pytest

import backends
from backends import host
from core import config

# Numba's backend is NumPy's until a fold has gone on for long; backends/test_loopnests.py makes it compile at once.
USABLE = [
    f"{own.name}:{device}" for own in backends.status() for device in own.devices if own.name not in ("strict", "numba")
]
# Strict's second simulated device catches any array that is silently made on the default one.
EVERY_BACKEND = [
    *USABLE,
    *(["strict:device1"] if any(s.name == "strict" and s.usable for s in backends.status()) else []),
]

os.environ.pop("ARRAY_BACKEND", None)  # a test says itself which backend it runs on
for name in ("PYTEST_XDIST_WORKER", "PYTEST_XDIST_WORKER_COUNT"):
    os.environ.pop(name, None)  # a session that a test starts is no worker of this one


@pytest.fixture(params=EVERY_BACKEND)
def backend(request: pytest.FixtureRequest) -> backends.Backend:
    """Every backend that is usable on this machine, each on every device."""
    return backends.get(request.param)


@pytest.fixture(autouse=True)
def _same_start():
    """Give every test the same seed and float type."""
    host.set_seed(0)
    yield
    config.set_floatx("float32")


@pytest.fixture
def generator() -> np.random.Generator:
    return np.random.default_rng(0)


def frozen(array: np.ndarray) -> np.ndarray:
    """Return the array, read-only: whoever writes into an argument fails."""
    array = np.array(array)
    array.flags.writeable = False
    return array
