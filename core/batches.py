"""Examples that are never in memory as a whole: arrays on disk, and batches that come one after the other.

They are read, cast and placed a chunk at a time, one chunk ahead of the one that is computed.
"""

from __future__ import annotations

import itertools
import math
import operator
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from backends import host
from core.data import Examples, Execution, Form, rows_at_once, slices, split_at, steps_at_once
from core.step import Batch

PLACES = 64  # from how many places of a file the rows of a shuffled chunk come

T = TypeVar("T")


def on_disk(values: Any) -> bool:
    """Tell whether an array is to be read as it is needed.

    That is a `numpy.memmap`, and what has a shape, a dtype and slices but no arithmetic: a data set of h5py or zarr.
    """
    if isinstance(values, host.HostArray):
        return isinstance(values, host.MappedArray)
    return all(hasattr(values, name) for name in ("shape", "dtype", "__getitem__")) and not hasattr(values, "__add__")


def are_batches(values: Any) -> bool:
    """Tell whether these are batches: what can be iterated, or has a length and items, and is no array, list or tuple."""
    if hasattr(values, "shape") or hasattr(values, "__array__"):
        return False
    if isinstance(values, (list, tuple, str, bytes, Mapping)):
        return False
    return isinstance(values, Iterable) or (hasattr(values, "__getitem__") and hasattr(values, "__len__"))


@dataclass(frozen=True)
class Stored:
    """The examples of some rows of arrays that are on disk, one of them at least; the others are on the host."""

    arrays: tuple[Any, ...]
    form: Form
    rows: range

    @classmethod
    def of(cls, arrays: Sequence[Any], form: Form) -> Stored:
        """Check inputs, and targets and weights where there are some, by their shapes and dtypes alone."""
        checked = form.check(*(host.stand_in(a.shape, a.dtype) if on_disk(a) else a for a in arrays))
        held = (c if not form.backend.owns(c) else form.backend.to_numpy(c) for c in checked)
        own = tuple(given if on_disk(given) else array for given, array in zip(arrays, held, strict=False))
        return cls(own, form, range(own[0].shape[0]))

    def __len__(self) -> int:
        return len(self.rows)

    def steps(self, batch_size: int) -> int:
        """Return the number of batches in an epoch."""
        return math.ceil(len(self) / batch_size)

    def split(self, fraction: float) -> tuple[Stored, Stored]:
        """Return the first examples, and the last `fraction` of them."""
        at = split_at(len(self), fraction)
        return replace(self, rows=self.rows[:at]), replace(self, rows=self.rows[at:])

    def parts(self, size: int | None) -> Generator[Examples]:
        """Yield the examples in order, `size` at a time, or as many as a forward pass takes."""
        size = size or rows_at_once(self.arrays[0].shape[1])
        yield from ahead(_placed(self._read([self.rows[rows]]), self.form) for rows in slices(len(self), size))

    def executions(self, batch_size: int, most_steps: int | None, shuffle: bool) -> Generator[Execution]:
        """Yield an epoch, the smaller last batch on its own.

        Shuffled, a chunk holds blocks of rows from `PLACES` places of the file, drawn anew for every epoch, and its rows are
        in random order. An epoch has every row once, and constant memory; but rows of one block stay in one chunk.
        """
        limit = self.form.rows_in_a_chunk(self.arrays[0].shape[1]) // batch_size
        size = steps_at_once(len(self) // batch_size, limit, most_steps) * batch_size
        # The thread that reads draws from a generator of its own, so that nobody else's draws depend on its pace.
        generator = host.generator(int(host.generator().integers(2**63))) if shuffle else None
        yield from ahead(self._executions(size, batch_size, generator))

    def _executions(self, size: int, batch_size: int, generator: host.Generator | None) -> Iterator[Execution]:
        pieces = [self.rows] if generator is None else _blocks(self.rows, max(1, size // PLACES), generator)
        for window in _windows(pieces, size):
            chunk = self._read(window, generator)
            n = chunk[0].shape[0]
            whole = n // batch_size * batch_size
            if whole:
                stacked = tuple(array[:whole].reshape(-1, batch_size, *array.shape[1:]) for array in chunk)
                yield _execution(stacked, self.form)
            if whole < n:
                yield _execution(tuple(array[None, whole:] for array in chunk), self.form)

    def _read(self, window: list[range], generator: host.Generator | None = None) -> Batch:
        """Return rows of every array as host arrays, cast, in random order where there is a generator."""
        chunk = tuple(_rows_of(array, window) for array in self.arrays)
        if generator is not None:
            order = generator.permutation(chunk[0].shape[0])
            chunk = tuple(array[order] for array in chunk)
        return _cast(chunk, self.form)


class Batches:
    """Batches that somebody else makes: x alone where the form has no loss, else (x, y) or (x, y, sample_weight).

    An epoch is one pass through them; or, where `per_epoch` says so, as many batches, and the next epoch goes on behind
    them. What can be passed through again then begins anew at its end. `parts` begin there as well, whatever was taken before.
    """

    def __init__(self, given: Any, form: Form, per_epoch: int | None) -> None:
        self._given, self._form, self._per_epoch = given, form, per_epoch
        self._endless = self._again_and_again()

    @property
    def once(self) -> bool:
        """Whether there is one epoch only."""
        return self._per_epoch is None and isinstance(self._given, Iterator)

    def steps(self, batch_size: int) -> int | None:
        """Return the number of batches in an epoch; None where it is not known beforehand."""
        return self._per_epoch or operator.length_hint(self._given) or None

    def parts(self, size: int | None) -> Generator[Examples]:
        """Yield the batches of an epoch as they come; of what can be passed through again always the first."""
        if not isinstance(self._given, Iterator):
            self._endless = self._again_and_again()
        yield from ahead(_placed(batch, self._form) for batch in self._epoch())

    def executions(self, batch_size: int, most_steps: int | None, shuffle: bool) -> Generator[Execution]:
        """Yield the batches of an epoch in the order in which they come, stacked while they are of one shape."""
        yield from ahead(self._executions(most_steps))

    def _executions(self, most_steps: int | None) -> Iterator[Execution]:
        for stack in self._stacks(most_steps):
            columns = zip(*stack, strict=True)
            yield _execution(tuple(host.stack(c) if len(c) > 1 else c[0][None] for c in columns), self._form)

    def _stacks(self, most_steps: int | None) -> Iterator[list[Batch]]:
        stack: list[Batch] = []
        most = 0
        for batch in self._epoch():
            if stack and (len(stack) == most or _shapes(batch) != _shapes(stack[0])):
                yield stack
                stack = []
            if not stack:
                rows, features = batch[0].shape
                limit = max(1, self._form.rows_in_a_chunk(features) // rows)
                most = min(limit, most_steps or limit)
            stack.append(batch)
        if stack:
            yield stack

    def _epoch(self) -> Iterator[Batch]:
        number = 0
        self._tell("on_epoch_begin")
        given = self._pass() if self._per_epoch is None else itertools.islice(self._endless, self._per_epoch)
        for number, batch in enumerate(given, start=1):
            try:
                checked = self._checked(batch)
            except ValueError as error:
                raise ValueError(f"batch {number}: {error}") from error
            yield checked
        if number < (self._per_epoch or 1):
            wanted = f"; an epoch takes {self._per_epoch}" if self._per_epoch else ", not one in this epoch"
            raise ValueError(f"the batches ended after {number}{wanted}")
        self._tell("on_epoch_end")

    def _checked(self, batch: Any) -> Batch:
        """Return a batch as host arrays, cast."""
        if self._form.loss is None:
            arrays = (batch[0] if _several(batch) else batch,)
        else:
            arrays = tuple(batch) if isinstance(batch, (tuple, list)) else (batch,)
            if len(arrays) not in (2, 3):
                raise ValueError("it must be (x, y) or (x, y, sample_weight)")
        checked = _cast(arrays, self._form, copy=True)  # whoever made it may use its memory again
        self._form = replace(self._form, features=checked[0].shape[1])
        return checked

    def _tell(self, event: str) -> None:
        """Tell who makes the batches that an epoch begins or ends: a keras.utils.PyDataset shuffles then."""
        if method := getattr(self._given, event, None):
            method()

    def _pass(self) -> Iterator[Any]:
        given = self._given
        yield from given if isinstance(given, Iterable) else (given[i] for i in range(len(given)))

    def _again_and_again(self) -> Iterator[Any]:
        some = True
        while some:
            some = False
            for batch in self._pass():
                some = True
                yield batch


def ahead(items: Iterator[T]) -> Generator[T]:
    """Yield the items, each made while the one before is in use, by a thread that ends when this does.

    An error of that thread is raised here.
    """
    end: Any = object()
    with ThreadPoolExecutor(1, thread_name_prefix="ahead") as thread:
        coming = thread.submit(next, items, end)
        while (item := coming.result()) is not end:
            coming = thread.submit(next, items, end)
            yield item


def _blocks(rows: range, size: int, generator: host.Generator) -> Iterator[range]:
    """Yield the rows in blocks of `size` and random order, the first cut at a random place."""
    starts = range(int(generator.integers(size)) - size, len(rows), size)
    return (rows[max(starts[i], 0) : starts[i] + size] for i in generator.permutation(len(starts)))


def _windows(pieces: Iterable[range], size: int) -> Iterator[list[range]]:
    """Join pieces of rows, and cut some, until each window has `size` rows; the last has what is left."""
    window: list[range] = []
    room = size
    for piece in pieces:
        while piece:
            window.append(piece[:room])
            piece, room = piece[room:], room - len(window[-1])
            if not room:
                yield window
                window, room = [], size
    if window:
        yield window


def _rows_of(array: Any, window: list[range]) -> host.HostArray:
    parts = [host.asarray(array[rows.start : rows.stop]) for rows in window]
    return parts[0] if len(parts) == 1 else host.concatenate(parts)


def _several(batch: Any) -> bool:
    """Tell whether a batch is a tuple or, as of a DataLoader of torch, a list of arrays; a list of rows is one array."""
    if not isinstance(batch, (tuple, list)) or not batch:
        return False
    return isinstance(batch, tuple) or getattr(batch[0], "ndim", 1) > 1


def _cast(arrays: Iterable[Any], form: Form, copy: bool = False) -> Batch:
    """Return arrays checked, on the host and of the dtypes that training takes."""
    checked = form.check(*arrays)
    form.check_classes(checked)
    held = (form.backend.to_numpy(array) if form.backend.owns(array) else array for array in checked)
    return tuple(host.asarray(array, dtype, copy=copy) for array, dtype in zip(held, form.dtypes(), strict=False))


def _placed(batch: Batch, form: Form) -> Examples:
    return Examples(form.place(batch), form, batch[2] if len(batch) == 3 else None)


def _execution(stacked: Batch, form: Form) -> Execution:
    return Execution(form.place(stacked), None, stacked[2] if len(stacked) == 3 else None)


def _shapes(batch: Batch) -> tuple[tuple[int, ...], ...]:
    return tuple(array.shape for array in batch)
