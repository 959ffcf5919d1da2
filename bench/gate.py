"""Nothing is timed before it agrees with the oracle."""

from __future__ import annotations

from typing import Any

import numpy as np

TOLERANCE = {"float32": 1e-4, "float64": 1e-10}
EPOCH_TOLERANCE = {"float32": 1e-3, "float64": 1e-8}  # 6,250 steps carry the rounding of each to the next


class MismatchError(Exception):
    """A case's outputs are not the oracle's; the message says which and by how much."""


def tolerance(workload: str, dtype: str) -> float:
    """Return the largest relative error that passes."""
    return (EPOCH_TOLERANCE if workload == "epoch" else TOLERANCE)[dtype]


def check(outputs: list[Any], expected: list[Any], limit: float) -> float:
    """Return the largest relative error ‖output - oracle‖ / ‖oracle‖ over the arrays; raise MismatchError above `limit`."""
    if len(outputs) != len(expected):
        raise MismatchError(f"{len(outputs)} arrays where the oracle has {len(expected)}")
    worst = 0.0
    for i, (output, right) in enumerate(zip(outputs, expected, strict=True)):
        if output.shape != right.shape:
            raise MismatchError(f"array {i} has shape {output.shape}, the oracle's {right.shape}")
        error = float(np.linalg.norm(output - right) / max(np.linalg.norm(right), np.finfo(float).tiny))
        if not error <= limit:  # a NaN must not pass
            raise MismatchError(
                f"array {i} differs from the float64 oracle by {error:.2g}; at most {limit:g} is allowed"
            )
        worst = max(worst, error)
    return worst
