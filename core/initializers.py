"""Initial weights, drawn on the host from a seeded generator so that every backend starts from the same bits."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from backends import host

Initializer = Callable[[tuple[int, ...], Any], Any]


def glorot_uniform(shape: tuple[int, ...], generator: Any) -> Any:
    """Draw from U(-r, r) with r = √(6 / (fan_in + fan_out)) (Glorot and Bengio, 2010, equation 16)."""
    limit = math.sqrt(6.0 / (shape[0] + shape[-1]))
    return generator.uniform(-limit, limit, shape)


def he_uniform(shape: tuple[int, ...], generator: Any) -> Any:
    """Draw from U(-r, r) with r = √(6 / fan_in) (He et al., 2015), the usual choice before a ReLU."""
    limit = math.sqrt(6.0 / shape[0])
    return generator.uniform(-limit, limit, shape)


def zeros(shape: tuple[int, ...], generator: Any) -> Any:
    """Return zeros; nothing is drawn."""
    return host.zeros(shape)


INITIALIZERS: dict[str, Initializer] = {"glorot_uniform": glorot_uniform, "he_uniform": he_uniform, "zeros": zeros}


def get(initializer: str | Initializer) -> Initializer:
    """Return the initializer of that name, or a function `(shape, generator) -> array` as it is."""
    if callable(initializer):
        return initializer
    if initializer in INITIALIZERS:
        return INITIALIZERS[initializer]
    raise ValueError(f"initializer must be one of {', '.join(INITIALIZERS)} or a function, got {initializer!r}")
