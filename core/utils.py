"""Utilities of the Keras contract."""

from __future__ import annotations

from backends import host
from core.options import whole


def set_random_seed(seed: int) -> None:
    """Seed every random draw: initial weights and shuffles here, and Python's and NumPy's own generators.

    The draws are made on the host, so one seed gives the same start and the same batches on every backend.
    """
    host.set_seed(whole("seed", seed, least=0))
