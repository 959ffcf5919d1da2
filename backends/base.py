"""What a backend is: the few things the array API standard leaves open."""

from __future__ import annotations

import math
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from typing import Any, ClassVar, NamedTuple

Array = Any  # an array of any library that follows the array API standard
Tree = Any  # nested tuples, lists and dicts with arrays at the leaves
Step = Callable[[Tree, Tree], tuple[Tree, Tree]]  # (state, batch) -> (state, output)

GATHERED_NUMBERS = 1 << 14
"""A fold gathers batches of at most so many numbers all at once, as each gather is a call, and larger ones when their turn comes:
they are in the cache then, and no other batch takes memory.
"""
MATMUL_PRECISIONS = {-12: "float32", -9: "tf32"}  # the smallest 2**k beside 1 that a product keeps


class Spent(NamedTuple):
    """What a part of a call costs: how often it ran, and for how many seconds together."""

    what: str
    times: int
    seconds: float


class ArraybenchError(Exception):
    """The base of every error that this project raises for a person to read."""


class BackendError(ArraybenchError, ValueError):
    """A backend that was asked for is unknown, or cannot be used here; the message says why."""


class Backend(ABC):
    """One array library on one device.

    `xp` is the array API namespace given to code in `core`; everything else here is what the standard leaves
    open: how arrays get to the device and back, when they are really there, and how a function is compiled.
    """

    name: ClassVar[str]
    xp: Any
    device: str

    compiles: ClassVar[bool] = False
    """Whether `compile` returns anything but the function itself."""

    flat_parameters: ClassVar[bool] = True
    """Whether one flat vector of parameters is faster than an array for each (it is where every call costs)."""

    takes_host_arrays: ClassVar[bool] = False
    """Whether compiled functions take host arrays among their arguments, sooner than `asarray` has placed them."""

    dtypes: ClassVar[tuple[str, ...]] = ("float32", "float64")
    """The floating-point dtypes that it computes in."""

    timed: ClassVar[bool] = True
    """Whether timing this backend means anything (array-api-strict only checks)."""

    @classmethod
    @abstractmethod
    def devices(cls) -> tuple[str, ...]:
        """Name the usable devices, the default one first; raise BackendError with the reason when there is none."""

    @classmethod
    def why_not(cls, device: str) -> str | None:
        """Return why a device that `devices` leaves out cannot be used, where the library says so."""
        return None

    @classmethod
    @abstractmethod
    def version(cls) -> str:
        """Return the array library's version."""

    @abstractmethod
    def __init__(self, device: str) -> None:
        """Take a device of `devices()`."""

    @abstractmethod
    def asarray(self, host: Any, dtype: str | None = None) -> Array:
        """Place a host array (or an array already here) on this device, as `dtype` when one is named.

        What the host writes into its array later does not show, unless the host's arrays are the library's own (NumPy's are).
        """

    @abstractmethod
    def to_numpy(self, array: Array) -> Any:
        """Return a NumPy array with the values of an array of this backend: a copy, or one that cannot be written into.

        The host's own arrays (NumPy's) are returned as they are.
        """

    @abstractmethod
    def owns(self, array: Any) -> bool:
        """Tell whether this is an array of this backend's library."""

    def synchronize(self, tree: Tree) -> Tree:
        """Return the tree when every array in it has been computed."""
        return tree

    def ready(self, tree: Tree) -> bool:
        """Tell, without waiting, whether every array in the tree has been computed: always, where calls return done."""
        return True

    def compile(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return the compiled form of a pure function; the function itself where the library has no compiler."""
        return function

    def compile_seconds(self) -> float:
        """Return the seconds that the library's compiler has worked in this process so far, as it says itself."""
        return 0.0

    def fold(self, step: Step, state: Tree, over: tuple[Array, ...], data: tuple[Array, ...] = ()) -> tuple[Tree, Tree]:
        """Run `state, output = step(state, batch)` over the leading axis of every array in `over`.

        With `data`, the first array in `over` is an order, whole numbers of shape (steps, batch): each step's batch begins with
        those rows of every array in `data`, in the place of their numbers. Returns the last state and the outputs, stacked along
        a new leading axis (the contract of `jax.lax.scan`). A step's output is a tuple of arrays.
        """
        over, data = small_gathered(self.xp, over, data)
        outputs = []
        for own in zip(*(self.xp.unstack(stacked) for stacked in over), strict=True):
            state, output = step(state, batch_of(self.xp, own, data))
            outputs.append(output)
        return state, tuple(self.xp.stack(column) for column in zip(*outputs, strict=True))

    def launches(self, function: Callable[..., Any], *arguments: Tree) -> int | None:
        """Return how many kernels one call of a function starts on the device; of a function that folds, how many one step does.

        None where nothing is started (on a CPU), and where it cannot be told.
        """
        return None

    def profile(self, function: Callable[..., Any], *arguments: Tree) -> list[Spent] | None:
        """Return what a call of a function spends its time on, by the kernels and the library's calls that it makes.

        What runs between them is left out, and so is what they cost to watch, where that can be taken off. None where it
        cannot be told.
        """
        return None

    def describe(self) -> dict[str, Any]:
        """Return what a reader of a measurement must know: versions, device, threads and precision in effect."""
        return {
            "backend": self.name,
            "version": self.version(),
            "device": self.device,
            "device_name": None,
            "driver": None,
            "memory_bytes": None,
            "blas": None,
            "threads": None,
            "matmul_precision": self.matmul_precision(),
        }

    def matmul_precision(self) -> str:
        """Probe the precision of a float32 product: the finest step beside 1 that survives it."""
        for exponent, precision in MATMUL_PRECISIONS.items():
            diagonal = [[1.0 + 2.0**exponent if i == j else 0.0 for j in range(64)] for i in range(64)]
            ones = [[1.0 if i == j else 0.0 for j in range(64)] for i in range(64)]
            product = self.xp.matmul(self.asarray(diagonal, "float32"), self.asarray(ones, "float32"))
            if float(self.to_numpy(product)[0, 0]) > 1.0:
                return precision
        return "bfloat16"

    def tf32(self) -> AbstractContextManager[Any]:
        """Return a context in which products of float32 may be made as TF32; `matmul_precision` tells whether they are.

        The arrays stay float32. Raises BackendError where the library has no such setting.
        """
        raise BackendError(f"{self.name} has no TF32")

    def peak_memory(self) -> int:
        """Return the most memory that the device has held for this process, in bytes; on a CPU the process's own peak."""
        import resource  # absent on Windows, where only this method is lost

        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024

    @property
    def spec(self) -> str:
        """The text that `backends.get` and ARRAY_BACKEND take for this backend."""
        return f"{self.name}:{self.device}"

    def __repr__(self) -> str:
        return f"<Backend {self.spec}>"


class StepError(BaseException):
    """Ends a function of which the launches are counted where it folds: `step()` takes one step, or tells the launches of one."""

    def __init__(self, step: Callable[[], Any]) -> None:
        self.step = step


def leaves(tree: Tree) -> Iterator[Array]:
    """Yield the arrays of a tree, left to right."""
    if isinstance(tree, dict):
        tree = tuple(tree.values())
    if isinstance(tree, (tuple, list)):
        for branch in tree:
            yield from leaves(branch)
    elif tree is not None:
        yield tree


def rebuilt(tree: Tree, arrays: Iterator[Array]) -> Tree:
    """Return a tree of that form with other arrays."""
    if isinstance(tree, dict):
        return {name: rebuilt(branch, arrays) for name, branch in tree.items()}
    if tree is None:
        return None
    if isinstance(tree, tuple | list):
        branches = [rebuilt(branch, arrays) for branch in tree]
        return type(tree)(*branches) if hasattr(tree, "_fields") else type(tree)(branches)
    return next(arrays)


def tree_map(function: Callable[[Any], Any], tree: Tree) -> Tree:
    """Return a tree of that form with what a function makes of every leaf."""
    return rebuilt(tree, map(function, leaves(tree)))


def batch_of(xp: Any, own: tuple[Array, ...], data: tuple[Array, ...]) -> tuple[Array, ...]:
    """Return a step's batch from its own part of what a fold goes over, and the fold's data."""
    if not data:
        return own
    rows, *others = own
    return (*[xp.take(array, rows, axis=0) for array in data], *others)


def first_batch(xp: Any, over: tuple[Array, ...], data: tuple[Array, ...]) -> tuple[Array, ...]:
    """Return the batch of a fold's first step."""
    return batch_of(xp, tuple([stacked[0, ...] for stacked in over]), data)


def small_gathered(
    xp: Any, over: tuple[Array, ...], data: tuple[Array, ...]
) -> tuple[tuple[Array, ...], tuple[Array, ...]]:
    """Return what a fold goes over, and its data; where its batches are small, these in the place of their order and no data."""
    if not data or over[0].shape[1] * sum(math.prod(array.shape[1:]) for array in data) > GATHERED_NUMBERS:
        return over, data
    order, *others = over
    gathered = batch_of(xp, (xp.reshape(order, (-1,)),), data)
    return (*[xp.reshape(rows, (*order.shape, *rows.shape[1:])) for rows in gathered], *others), ()


def spent(parts: Iterable[Spent]) -> list[Spent] | None:
    """Return what parts of the same name cost together, the longest first; None for none."""
    found: dict[str, Spent] = {}
    for what, times, seconds in parts:
        before = found.get(what, Spent(what, 0, 0.0))
        found[what] = Spent(what, before.times + times, before.seconds + seconds)
    return sorted(found.values(), key=lambda own: -own.seconds) or None


def library_missing(library: str, install: str) -> BackendError:
    """Return the error for a library that is not installed."""
    return BackendError(f"{library} is not installed (pip install '{install}')")


def first_line(error: BaseException) -> str:
    """Return the first line of a library's own message."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
