"""The float type that models are made with, as in `keras.config`."""

from __future__ import annotations

FLOAT_TYPES = ("float32", "float64")

_floatx = "float32"


def floatx() -> str:
    """Return the float type of models made from now on: `float32` unless `set_floatx` changed it."""
    return _floatx


def set_floatx(dtype: str) -> None:
    """Make models use `dtype` from now on; those already made keep theirs."""
    global _floatx
    if dtype not in FLOAT_TYPES:
        raise ValueError(f"floatx must be one of {', '.join(FLOAT_TYPES)}, got {dtype!r}")
    _floatx = dtype
