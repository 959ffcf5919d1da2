"""The host's side of every backend: NumPy arrays, and the seeded generator that every random draw comes from.

Draws are made here and then placed, so that every backend starts from the same bits and sees the same batches.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from backends.base import library_missing

HostArray = np.ndarray
MappedArray = np.memmap
Generator = np.random.Generator

_generator = np.random.default_rng()


def generator(seed: int | None = None) -> Generator:
    """Return a new generator for `seed`; with none, the one that `set_seed` seeds."""
    return _generator if seed is None else np.random.default_rng(seed)


def set_seed(seed: int) -> None:
    """Seed Python's, NumPy's and this project's generators."""
    global _generator
    random.seed(seed)
    np.random.seed(seed)
    _generator = np.random.default_rng(seed)


def asarray(values: Any, dtype: str | None = None, *, copy: bool = False) -> HostArray:
    """Return `values` as a NumPy array."""
    return np.array(values, dtype=dtype) if copy else np.asarray(values, dtype=dtype)


def zeros(shape: tuple[int, ...]) -> HostArray:
    """Return float64 zeros."""
    return np.zeros(shape)


def arange(n: int) -> HostArray:
    """Return 0 to n - 1."""
    return np.arange(n)


def concatenate(arrays: list[HostArray]) -> HostArray:
    """Return the arrays joined along their first axis, as an array that shares memory with none of them."""
    return np.concatenate(arrays) if len(arrays) > 1 else np.array(arrays[0])


def stack(arrays: Sequence[HostArray]) -> HostArray:
    """Return arrays of one shape along a new first axis."""
    return np.stack(arrays)


def stand_in(shape: tuple[int, ...], dtype: Any) -> HostArray:
    """Return zeros of any shape in the memory of one."""
    return np.broadcast_to(np.zeros((), dtype), shape)


def numpy_dtype(name: str) -> Any:
    """Return NumPy's dtype of that name; `bfloat16` is ml_dtypes's, and an error where that is not installed."""
    if name != "bfloat16":
        return np.dtype(name)
    try:
        import ml_dtypes
    except ModuleNotFoundError as error:
        raise library_missing("ml_dtypes", "ml_dtypes>=0.5") from error
    return np.dtype(ml_dtypes.bfloat16)


def itemsize(dtype: str) -> int:
    """Return the bytes of one number."""
    return numpy_dtype(dtype).itemsize


def columns(*arrays: HostArray) -> HostArray:
    """Return one-dimensional arrays as the columns of a matrix."""
    return np.stack(arrays, axis=1)


def read_table(path: Path) -> HostArray:
    """Return the numbers of a text file with commas between its columns; one that is compressed, as its ending says."""
    return np.loadtxt(path, delimiter=",")
