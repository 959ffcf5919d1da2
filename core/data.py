"""Examples as a model takes them: checked on the host, cast, and placed on the model's backend."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from backends import Array, Backend, host
from core.losses import Loss
from core.step import Batch


@dataclass(frozen=True)
class Examples:
    """Inputs and targets, and where given the examples' weights, on a backend; the weights on the host as well."""

    batch: Batch
    weights: host.HostArray | None = None

    def __len__(self) -> int:
        return self.batch[0].shape[0]

    def slices(self, size: int) -> Iterator[Examples]:
        """Yield the examples in order, `size` at a time."""
        for rows in slices(len(self), size):
            yield self[rows]

    def __getitem__(self, rows: slice) -> Examples:
        weights = self.weights[rows] if self.weights is not None else None
        return Examples(tuple(array[rows, ...] for array in self.batch), weights)

    def split(self, fraction: float) -> tuple[Examples, Examples]:
        """Return the first examples, and the last `fraction` of them."""
        if not isinstance(fraction, (int, float)):
            raise ValueError(f"validation_split must be a fraction between 0 and 1, got {fraction!r}")
        at = math.floor(len(self) * (1.0 - fraction))
        if not 0 < at < len(self):
            raise ValueError(
                f"validation_split={fraction} leaves {at} of {len(self)} examples to train on and {len(self) - at} to validate"
            )
        return self[:at], self[at:]


def slices(n: int, size: int) -> Iterator[slice]:
    """Yield the slices of n rows, `size` at a time; one empty slice when there are none."""
    for start in range(0, max(n, 1), size):
        yield slice(start, min(start + size, n))


def place_rows(x: Any, features: int | None, dtype: str, backend: Backend) -> Array:
    """Return inputs of shape (examples, features) on the backend."""
    rows = _numbers("x", x, backend)
    if rows.ndim == 1:
        raise ValueError(
            f"x must have shape (examples, features), got {tuple(rows.shape)}; give one example as [x], a column as x[:, None]"
        )
    if rows.ndim != 2 or (features is not None and rows.shape[1] != features):
        raise ValueError(f"x must have shape (examples, {features or 'features'}), got {tuple(rows.shape)}")
    return backend.asarray(rows, dtype)


def place_examples(
    x: Array, y: Any, sample_weight: Any, units: int, loss: Loss, dtype: str, backend: Backend
) -> Examples:
    """Return placed inputs with their targets, and sample weights where given, for a network with that many units."""
    n = x.shape[0]
    if not n:
        raise ValueError("x has no examples")
    y = _numbers("y", y, backend)
    shape = (n,) if loss.sparse_targets else (n, units)
    columns = {(n,), (n, 1)} if math.prod(shape) == n else set()
    if tuple(y.shape) not in {shape} | columns:
        raise ValueError(
            f"y must have shape {shape} for {n} examples, {units} units and {loss.name}, got {tuple(y.shape)}"
        )
    y = backend.xp.reshape(y, shape) if backend.owns(y) else y.reshape(shape)
    if loss.sparse_targets:
        _check_classes(y, units, backend)
    batch = x, backend.asarray(y, "int64" if loss.sparse_targets else dtype)
    if sample_weight is None:
        return Examples(batch)
    weights = _numbers("sample_weight", sample_weight, backend)
    if tuple(weights.shape) != (n,):
        raise ValueError(f"sample_weight must have shape {(n,)}, got {tuple(weights.shape)}")
    weights = backend.asarray(weights, dtype)
    return Examples((*batch, weights), backend.to_numpy(weights))


def _numbers(name: str, values: Any, backend: Backend) -> Array:
    """Return an array of the backend as it is, anything else as a host array; refuse what holds no real numbers."""
    try:
        array = values if backend.owns(values) else host.asarray(values)
    except ValueError as error:
        raise ValueError(f"{name} must be an array of real numbers: {error}") from error
    if isinstance(array, host.HostArray):
        real = array.dtype.kind in "biuf"
    else:
        real = not backend.xp.isdtype(array.dtype, "complex floating")
    if not real:
        raise ValueError(f"{name} must be an array of real numbers, got dtype {array.dtype}")
    return array


def _check_classes(y: Array, units: int, backend: Backend) -> None:
    classes = backend.to_numpy(y) if backend.owns(y) else y
    if classes.min() < 0 or classes.max() >= units or (classes % 1).any():
        raise ValueError(f"y must hold class numbers from 0 to {units - 1}, got {classes.min()} to {classes.max()}")
