"""Dtypes stay what they are, and arithmetic is as precise as they say."""

from __future__ import annotations

import numpy as np

from backends import Backend
from bench.conform.requirement import require, require_same, requirement


@requirement
def floats_keep_their_width(backend: Backend) -> None:
    """float32 stays float32 and float64 float64: beside Python's numbers, in a sum, in a product."""
    xp = backend.xp
    for dtype in ("float32", "float64"):
        x = backend.asarray(np.array([[1.0, 2.0], [3.0, 4.0]]), dtype)
        for what, y in {
            "x": x,
            "2.0 * x": 2.0 * x,
            "x + 1": x + 1,
            "x / 3.0": x / 3.0,
            "exp(x)": xp.exp(x),
            "maximum(x, 0.0)": xp.maximum(x, 0.0),
            "where(x > 2, x, 0.0)": xp.where(x > 2, x, 0.0),
            "sum(x)": xp.sum(x),
            "mean(x)": xp.mean(x, axis=0),
            "matmul(x, x)": xp.matmul(x, x),
            "zeros_like(x)": xp.zeros_like(x),
        }.items():
            require(y.dtype == getattr(xp, dtype), f"{what} of {dtype} is of {y.dtype}")
            fetched = backend.to_numpy(y).dtype
            require(fetched == dtype, f"{what} of {dtype} is of {fetched} when it is fetched")


@requirement
def float64_is_as_precise_as_that(backend: Backend) -> None:
    """A float64 sum and product keep 1 + 2⁻⁴⁰."""
    xp, x = backend.xp, backend.asarray(np.array([1.0, 2.0**-40]))
    ones = backend.asarray(np.ones((2, 1)))
    for what, y in {"a sum": xp.sum(x), "a product": xp.matmul(xp.reshape(x, (1, 2)), ones)}.items():
        found = float(backend.to_numpy(y).ravel()[0])
        require(found == 1.0 + 2.0**-40, f"{what} gives 1 + {found - 1.0:.3g}")


@requirement
def float32_products_are_float32(backend: Backend) -> None:
    """A product of float32 keeps 12 bits and more behind the point, where TF32 keeps 10 and bfloat16 7."""
    found = backend.matmul_precision()
    require(found == "float32", f"it is rounded to {found}")


@requirement
def class_numbers_stay_whole(backend: Backend) -> None:
    """Class numbers are int64 on the device, can be compared and taken as indices, and argmax gives whole numbers."""
    xp, classes = backend.xp, np.array([2, 0, 1, 2**53 + 1])
    placed = backend.asarray(classes)
    require(placed.dtype == xp.int64, f"they are {placed.dtype}")
    require_same("an array of class numbers", backend.to_numpy(placed), classes)
    rows = xp.take(backend.asarray([10.0, 20.0, 30.0]), placed[:3], axis=0)
    require_same("what they were taken for as indices", backend.to_numpy(rows), np.array([30.0, 10.0, 20.0]))
    best = xp.argmax(backend.asarray([[0.1, 0.7], [0.6, 0.2]]), axis=1)
    require(xp.isdtype(best.dtype, "integral"), f"argmax gives {best.dtype}")
    require_same("an array of comparisons", backend.to_numpy(best == placed[1:3]), np.array([False, False]))
