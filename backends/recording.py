"""A step as the calls that it makes, for libraries without a compiler: what is written where, and when a recording is believed.

A recording holds the calls of one step, each with the array that its result was put into; views stay what they are, views of
these arrays. So the memory says what depends on what, and a program that makes the same calls on the same arrays gives the same
numbers. The first runs of a program are checked against the step itself.
"""

from __future__ import annotations

import itertools
import sys
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from backends.base import Array, Step, Tree, first_batch, first_line, leaves, rebuilt

BY_VALUES = ("unique", "nonzero", "flatnonzero", "argwhere", "extract", "compress", "trim_zeros")
"""How functions begin whose results have a shape that depends on values."""


class UnrecordableError(Exception):
    """A step does something that cannot be replayed, as told by the message."""


@dataclass(eq=False)
class Call:
    """A call whose result goes into `out`."""

    function: Any
    inputs: list[Any]
    """Arrays and numbers, in the order in which the function takes them."""
    out: Array
    elementwise: bool = False
    """Whether each number of the result needs only what stands at its own place in the inputs."""
    joins: bool = False
    """Whether it concatenates its inputs."""

    @property
    def reads(self) -> list[Array]:
        """The arrays among the inputs."""
        return [x for x in self.inputs if is_array(x)]


class Tape(Protocol):
    """The calls of a step in their order, as a library lets them be taken down."""

    calls: list[Any]

    def array(self, x: Array) -> Any:
        """Return an array that is recorded from now on."""

    def plain(self, x: Any) -> Array:
        """Return a recorded array as the library has it."""

    def copy(self, x: Array, out: Array) -> Call:
        """Return the call that copies an array, which is elementwise."""


class Recording(ABC):
    """A step on arrays of certain shapes, ready to be run again.

    `state` holds the arrays of the state, which a run changes; `batch` and `output` those of the step that was recorded.
    """

    def __init__(self, step: Step, state: Tree, batch: tuple[Array, ...], tape: Tape, library: Any) -> None:
        """Record a step; raise UnrecordableError where that cannot be done. `library` is NumPy or what has its functions."""
        self.state: list[Array] = [library.array(array, order="C") for array in leaves(state)]
        self.batch: list[Array] = self.held(batch, library)
        self.lock = threading.Lock()  # there is one set of arrays
        after, output = step(rebuilt(state, map(tape.array, self.state)), tuple(map(tape.array, self.batch)))
        if structure(after) != structure(state):
            raise UnrecordableError("a state that does not keep its structure")
        final = [tape.plain(array) for array in leaves(after)]
        if [(x.shape, x.dtype) for x in final] != [(x.shape, x.dtype) for x in self.state]:
            raise UnrecordableError("a state that does not keep its shapes and dtypes")
        self.output: list[Array] = []
        for x in map(tape.plain, output):
            if not self.may_stay(x, tape.calls):
                tape.calls.append(tape.copy(x, library.empty(x.shape, x.dtype)))
                x = tape.calls[-1].out
            self.output.append(x)
        self.build(in_place(joined(tape.calls, [*self.output, *final]), self.state, final, self.output, tape.copy))

    def held(self, batch: tuple[Array, ...], library: Any) -> list[Array]:
        """Return the batch as arrays of which none shares memory with another."""
        return [library.array(array, order="C") for array in batch]

    def may_stay(self, x: Array, calls: list[Any]) -> bool:
        """Tell whether an output may be read where it is: not where the state is, which changes before that."""
        return not any(overlap(x, y) for y in self.state)

    @abstractmethod
    def build(self, calls: list[Any]) -> None:
        """Make a program of the calls, which are in their places and in their order."""

    @abstractmethod
    def run(self, over: tuple[Array, ...], data: tuple[Array, ...]) -> tuple[Array, ...]:
        """Take the steps of a fold, from `state` on, and return the outputs, stacked."""


Known = dict[Any, Recording | None]
"""By the structure of the state, and the shapes and dtypes of state and batch: a step's recording, or None where it has none."""


def fold(
    step: Step,
    state: Tree,
    over: tuple[Array, ...],
    data: tuple[Array, ...],
    known: Known,
    record: Callable[..., Recording],
    library: Any,
) -> tuple[Tree, Tree]:
    """Fold as `Backend.fold` does, by a recording of the first step; `known` keeps the recordings of this step.

    `record` makes one of step, state and batch, and `library` is NumPy or what has its functions. Raises UnrecordableError, with
    nothing changed, for a step that cannot be replayed.
    """
    if not len(over[0]) or len({len(array) for array in over}) > 1:
        raise UnrecordableError("no step, or another number of them for each array")
    first = tuple(map(library.asarray, first_batch(library, over, data)))
    recording = find(step, state, first, known, record, library)
    with recording.lock:
        _start(recording, state)
        outputs = recording.run(over, data)
        return rebuilt(state, (array.copy() for array in recording.state)), outputs


def find(
    step: Step, state: Tree, batch: tuple[Array, ...], known: Known, record: Callable[..., Recording], library: Any
) -> Recording:
    """Return the step's recording for arrays of such shapes and dtypes, made and checked where there is none yet."""
    form = structure(state), *((x.shape, x.dtype) for x in (*map(library.asarray, leaves(state)), *batch))
    if form not in known:
        known[form] = None  # until it has passed; who was refused is not tried again
        known[form] = _checked(step, state, batch, record, library)
    recording = known[form]
    if recording is None:
        raise UnrecordableError("a step that was refused before")
    return recording


def _start(recording: Recording, state: Tree) -> None:
    for buffer, array in zip(recording.state, leaves(state), strict=True):
        buffer[...] = array


def _checked(
    step: Step, state: Tree, batch: tuple[Array, ...], record: Callable[..., Recording], library: Any
) -> Recording:
    """Return a recording that has shown, on other numbers than it was made with, that it does what the step does."""
    try:
        recording = record(step, state, batch)
    except UnrecordableError:
        raise
    except Exception as error:  # a fault of the step's own comes up again where it runs as it is written
        raise UnrecordableError(f"a step that cannot be recorded: {first_line(error)}") from error
    others = tuple(_other(array, library) for array in batch)
    try:
        with np.errstate(all="ignore"):
            after, first = step(state, batch)
            after, second = step(after, others)
    except Exception as error:  # other numbers are not any function's business
        raise UnrecordableError(f"a step that cannot be tried on other numbers: {first_line(error)}") from error
    _start(recording, state)
    try:
        outputs = recording.run(tuple(map(library.stack, zip(batch, others, strict=True))), ())
    except Exception as error:  # the library's own and its compiler's
        raise UnrecordableError(f"a step whose program fails: {first_line(error)}") from error
    expected = [*leaves(after), *map(library.stack, zip(first, second, strict=True))]
    if not all(_agree(*pair, library) for pair in zip((*recording.state, *outputs), expected, strict=True)):
        raise UnrecordableError("a step whose replay gives other numbers")
    return recording


def _other(x: Array, library: Any) -> Array:
    """Return an array like one, of other numbers: whole ones in another order, as they may be places or labels."""
    turned = x[::-1] if x.ndim else x
    return (turned * 0.5 + 0.25).astype(x.dtype) if x.dtype.kind in "fc" else library.ascontiguousarray(turned)


def _agree(found: Array, expected: Array, library: Any) -> bool:
    """Tell whether two arrays are equal to half of their digits: a constant that should have changed is further off."""
    if (found.shape, found.dtype) != (expected.shape, expected.dtype):
        return False
    if found.dtype.kind != "f":
        return bool(library.array_equal(found, expected))
    tolerance = float(np.finfo(found.dtype).eps) ** 0.5
    finite = library.where(library.isfinite(expected), expected, 0.0)
    largest = float(library.abs(finite).max()) if expected.size else 0.0
    return bool(library.allclose(found, expected, rtol=tolerance, atol=tolerance * largest, equal_nan=True))


def is_all_of_a_result(x: Array, calls: list[Any], apart_from: list[Array]) -> bool:
    """Tell whether an array is all that a call makes, and none of others."""
    made = any(address(call.out) == address(x) and call.out.nbytes == x.nbytes for call in calls)
    return made and bool(x.flags.c_contiguous) and not any(overlap(x, y) for y in apart_from)


def joined(calls: list[Any], output: list[Array]) -> list[Any]:
    """Return calls that make the parts of a concatenated vector in their places, where each is whole and read as such."""
    for join in [call for call in calls if call.joins and call.out.ndim == 1]:
        ends = itertools.accumulate(len(part) for part in join.inputs)
        makers = [_maker_to_move(part, join, calls, output) for part in join.inputs]
        if None in makers or len(set(makers)) < len(makers) or {part.dtype for part in join.inputs} != {join.out.dtype}:
            continue
        for maker, part, end in zip(makers, join.inputs, ends, strict=True):
            assert maker is not None
            place = join.out[end - len(part) : end].reshape(maker.out.shape)
            _redirect(calls, maker.out, place)
            maker.out = place
        calls = [call for call in calls if call is not join]
    return calls


def _maker_to_move(part: Array, join: Call, calls: list[Call], output: list[Array]) -> Call | None:
    """Return the call whose whole result a part is, if its result may lie elsewhere."""
    for maker in calls:
        if maker.out.size == part.size and address(maker.out) == address(part) and maker.out.flags.c_contiguous:
            reads = [x for call in calls if call is not join for x in call.reads]
            views = [x for x in (*reads, *output) if overlap(x, part) and not same(x, maker.out)]
            return None if views or any(same(x, maker.out) for x in output) else maker
    return None


def _redirect(calls: list[Call], old: Array, new: Array) -> None:
    """Let every call that reads one array read another."""
    for call in calls:
        call.inputs = [new if is_array(x) and same(x, old) else x for x in call.inputs]


def in_place(
    calls: list[Any],
    before: list[Array],
    after: list[Array],
    output: list[Array],
    copy: Callable[[Array, Array], Call],
) -> list[Any]:
    """Return calls that leave the state after the step where it was before: written there at once, or copied in the end."""
    copies = []
    for i, (old, new) in enumerate(zip(before, after, strict=True)):
        if same(old, new):
            continue
        if any(overlap(new, other) for other in before):
            raise UnrecordableError("a state whose parts change places")
        maker = next((k for k, call in enumerate(calls) if call.elementwise and same(call.out, new)), None)
        others = [*after[:i], *after[i + 1 :]]
        if maker is not None and _may_overwrite(calls, maker, old, new, [*output, *others]):
            _redirect(calls[maker:], calls[maker].out, old)
            calls[maker].out = old
        else:
            copies.append(copy(new, old))
    return [*calls, *copies]


def _may_overwrite(calls: list[Call], maker: int, old: Array, new: Array, output: list[Array]) -> bool:
    """Tell whether nobody reads the old array after the new one is made, or the new one but as a whole."""
    for call in calls[maker + 1 :]:
        for x in call.reads:
            if overlap(x, old) or (overlap(x, new) and not same(x, new)):
                return False
    others = [x for x in calls[maker].reads if overlap(x, old)]
    return all(same(x, old) for x in others) and not any(overlap(x, y) for x in output for y in (old, new))


def structure(tree: Tree) -> Any:
    """Return what trees share that have the same leaves in the same places: types, and keys in their order."""
    if isinstance(tree, dict):
        return type(tree), tuple(tree), *map(structure, tree.values())
    if isinstance(tree, tuple | list):
        return type(tree), *map(structure, tree)
    return None if tree is None else ()


def is_array(x: Any) -> bool:
    """Tell an input that is an array from a number of Python's."""
    return not isinstance(x, bool | int | float | complex)


def same(x: Array, y: Array) -> bool:
    """Tell whether two arrays are one place in one form."""
    return address(x) == address(y) and x.shape == y.shape and x.strides == y.strides and x.dtype == y.dtype


def overlap(x: Array, y: Array) -> bool:
    """Tell whether two arrays may share memory, as their library tells it from where they begin and end."""
    return bool(sys.modules[type(x).__module__].may_share_memory(x, y))


def address(x: Array) -> int:
    """Return where the first number of an array lies: NumPy's way to ask, or CuPy's."""
    return x.ctypes.data if isinstance(x, np.ndarray) else x.data.ptr


def replaced(tree: Tree, kind: Any, others: Iterator[Any]) -> Tree:
    """Return a tree with others in the places of its leaves of a kind."""
    return rebuilt(tree, (next(others) if isinstance(x, kind) else x for x in leaves(tree)))


def copied(function: Callable[..., Any], arguments: Any, options: Any, kind: Any, library: Any) -> Callable[..., None]:
    """Return a function that has no place for its result as one that copies it into its last argument.

    The arguments before that are, in their order, in the places of what is of a kind among the arguments and options. Raises
    UnrecordableError for a function whose result's shape depends on values.
    """
    name = getattr(function, "__name__", "call")
    if name.startswith(BY_VALUES):
        raise UnrecordableError(f"{name}, the shape of whose result is decided by values")

    def call(*x: Array) -> None:
        now = iter(x[:-1])
        result = function(*replaced(arguments, kind, now), **replaced(options, kind, now))
        if result.shape != x[-1].shape:
            raise ValueError(f"{name} gave shape {result.shape} where it gave {x[-1].shape}: by its values, not shapes")
        library.copyto(x[-1], result)

    call.__name__ = name
    return call
