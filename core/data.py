"""Examples as a model takes them: checked on the host, cast, and placed on the model's backend."""

from __future__ import annotations

import functools
import math
import numbers
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from backends import Array, Backend, host
from core.losses import Loss
from core.network import Layers
from core.step import Batch

CHUNK_BYTES = 8 << 20  # of examples that are read, gathered and computed at once; it changes memory, not results
STEPS_AT_LEAST = (
    16  # of examples in memory: a fold gathers large batches one by one, and begins with a copy of the weights
)
MOST_ROWS, FEWEST_ROWS = 16384, 32  # of a forward pass, fewer the wider they are; the same holds


@dataclass(frozen=True)
class Form:
    """What a model takes, and where: what examples are checked against, cast to and placed on.

    Without a loss, examples are inputs alone.
    """

    features: int | None
    layers: Layers
    loss: Loss | None
    dtype: str
    backend: Backend

    def check(self, x: Any, y: Any = None, sample_weight: Any = None) -> Batch:
        """Return inputs, and where there is a loss targets and given weights, as arrays of the shapes that training takes.

        Arrays of the backend stay such, anything else becomes a host array; dtypes stay. Raises ValueError with the name of
        what does not fit.
        """
        x = check_rows(x, self.features, self.backend)
        if self.loss is None:
            return (x,)
        n = x.shape[0]
        if not n:
            raise ValueError("x has no examples")
        y = self._check_targets(y, n, self._units(x.shape[1]), self.loss)
        if sample_weight is None:
            return x, y
        weights = _numbers("sample_weight", sample_weight, self.backend)
        if tuple(weights.shape) not in ((n,), (n, 1)):
            raise ValueError(f"sample_weight must have shape {(n,)}, got {tuple(weights.shape)}")
        return x, y, self._reshape(weights, (n,))

    def dtypes(self) -> tuple[str, str, str]:
        """Return what inputs, targets and weights are cast to."""
        return self.dtype, "int64" if self.loss is not None and self.loss.sparse_targets else self.dtype, self.dtype

    def check_classes(self, batch: Batch) -> None:
        """Refuse targets that must be class numbers and are not; this reads them all."""
        if self.loss is not None and self.loss.sparse_targets:
            y = self.backend.to_numpy(batch[1]) if self.backend.owns(batch[1]) else batch[1]
            units = self._units(batch[0].shape[1])
            if y.min() < 0 or y.max() >= units or (y % 1).any():
                raise ValueError(f"y must hold class numbers from 0 to {units - 1}, got {y.min()} to {y.max()}")

    def place(self, batch: Batch) -> Batch:
        """Return checked arrays on the backend, cast."""
        return tuple([self.backend.asarray(array, dtype) for array, dtype in zip(batch, self.dtypes(), strict=False)])

    def rows_in_a_chunk(self, features: int) -> int:
        """Return how many examples of that many features, with their targets, have the size of a chunk."""
        return CHUNK_BYTES // max(1, host.itemsize(self.dtype) * (features + self._units(features)))

    def _units(self, features: int) -> int:
        return functools.reduce(lambda width, layer: layer.output_features(width), self.layers, features)

    def _check_targets(self, y: Any, n: int, units: int, loss: Loss) -> Array:
        y = _numbers("y", y, self.backend)
        shape = (n,) if loss.sparse_targets else (n, units)
        columns = {(n,), (n, 1)} if math.prod(shape) == n else set()
        if tuple(y.shape) not in {shape} | columns:
            raise ValueError(
                f"y must have shape {shape} for {n} examples, {units} units and {loss.name}, got {tuple(y.shape)}"
            )
        return self._reshape(y, shape)

    def _reshape(self, array: Array, shape: tuple[int, ...]) -> Array:
        return self.backend.xp.reshape(array, shape) if self.backend.owns(array) else array.reshape(shape)


class Execution(NamedTuple):
    """What one call of `Trainer.run` trains on: `order`'s rows of `data`, or `data` that are stacked batches already.

    `weights` are those of the examples, on the host: shape (steps, batch).
    """

    data: Batch
    order: host.HostArray | None
    weights: host.HostArray | None

    @property
    def steps(self) -> int:
        """The number of steps."""
        return (self.data[0] if self.order is None else self.order).shape[0]


@dataclass(frozen=True)
class Examples:
    """Inputs and targets, and where given the examples' weights, on a backend; the weights on the host as well."""

    batch: Batch
    form: Form
    weights: host.HostArray | None = None

    @classmethod
    def of(cls, x: Any, y: Any, sample_weight: Any, form: Form) -> Examples:
        """Check, cast and place arrays."""
        checked = form.check(x, y, sample_weight)
        form.check_classes(checked)
        batch = form.place(checked)
        return cls(batch, form, form.backend.to_numpy(batch[2]) if len(batch) == 3 else None)

    def __len__(self) -> int:
        return self.batch[0].shape[0]

    def steps(self, batch_size: int) -> int:
        """Return the number of batches in an epoch."""
        return math.ceil(len(self) / batch_size)

    def parts(self, size: int | None) -> Generator[Examples]:
        """Yield the examples in order, `size` at a time, or as many as a forward pass takes."""
        for rows in slices(len(self), size or rows_at_once(self.batch[0].shape[1])):
            yield self[rows]

    def executions(self, batch_size: int, most_steps: int | None, shuffle: bool) -> Generator[Execution]:
        """Yield an epoch, the smaller last batch on its own."""
        n = len(self)
        order = host.generator().permutation(n) if shuffle else host.arange(n)
        whole = n // batch_size * batch_size
        limit = max(STEPS_AT_LEAST, self.form.rows_in_a_chunk(self.batch[0].shape[1]) // batch_size)
        steps = steps_at_once(whole // batch_size, limit, most_steps)
        for rows in slices(whole, steps * batch_size) if whole else ():
            yield self._execution(order[rows].reshape(-1, batch_size))
        if whole < n:
            yield self._execution(order[None, whole:])

    def _execution(self, order: host.HostArray) -> Execution:
        return Execution(self.batch, order, None if self.weights is None else self.weights[order])

    def __getitem__(self, rows: slice) -> Examples:
        weights = self.weights[rows] if self.weights is not None else None
        return Examples(tuple(array[rows, ...] for array in self.batch), self.form, weights)

    def split(self, fraction: float) -> tuple[Examples, Examples]:
        """Return the first examples, and the last `fraction` of them."""
        at = split_at(len(self), fraction)
        return self[:at], self[at:]


def split_at(n: int, fraction: float) -> int:
    """Return how many of n examples come before the last `fraction` of them; raise ValueError where one part is empty."""
    if not isinstance(fraction, numbers.Real):
        raise ValueError(f"validation_split must be a fraction between 0 and 1, got {fraction!r}")
    at = math.floor(n * (1.0 - float(fraction)))
    if not 0 < at < n:
        raise ValueError(
            f"validation_split={fraction} leaves {at} of {n} examples to train on and {n - at} to validate"
        )
    return at


def rows_at_once(features: int) -> int:
    """Return how many rows of that many features one forward pass takes where no batch size is asked for."""
    return max(FEWEST_ROWS, min(MOST_ROWS, CHUNK_BYTES // max(1, 8 * features)))


def steps_at_once(steps: int, limit: int, most: int | None = None) -> int:
    """Return how many of an epoch's steps one execution takes: no more than `limit` (or one) and `most`.

    A number that divides the epoch is taken where there is one, as every other shape would be compiled too.
    """
    limit = max(1, min(steps, limit, most or steps))
    return next((count for count in range(limit, limit // 2, -1) if steps % count == 0), limit)


def slices(n: int, size: int) -> Iterator[slice]:
    """Yield the slices of n rows, `size` at a time; one empty slice when there are none."""
    for start in range(0, max(n, 1), size):
        yield slice(start, min(start + size, n))


def check_rows(x: Any, features: int | None, backend: Backend) -> Array:
    """Return inputs of shape (examples, features): an array of the backend as it is, anything else as a host array."""
    rows = _numbers("x", x, backend)
    if rows.ndim == 1:
        raise ValueError(
            f"x must have shape (examples, features), got {tuple(rows.shape)}; give one example as [x], a column as x[:, None]"
        )
    if rows.ndim != 2 or (features is not None and rows.shape[1] != features):
        raise ValueError(f"x must have shape (examples, {features or 'features'}), got {tuple(rows.shape)}")
    return rows


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
