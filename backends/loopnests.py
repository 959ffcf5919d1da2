"""Numba's part of NumPy's compiler: recordings as compiled loops, and the calls that are left to NumPy.

All arrays of a recording lie in one block of memory, so that the compiler sees which of them cannot overlap. A step that is
loops alone is one function, and so is its fold. A source is compiled once in a process; it gives the same numbers wherever the
block lies.
"""

from __future__ import annotations

import functools
import itertools
import math
import operator
import time
from collections.abc import Callable, Sequence
from typing import Any

import numba
import numpy as np
from numba.extending import intrinsic

from backends import fusing, recording, replay
from backends.base import Array, Step, Tree
from backends.exponential import exponential
from backends.nests import Given, Nest, indented, pays
from backends.recording import UnrecordableError, address, is_array, overlap, same
from backends.replay import Call

ALIGNMENT = 64
"""Of arrays in a block, in bytes."""
OPTIONS: dict[str, Any] = {"error_model": "numpy", "fastmath": {"contract"}, "no_cfunc_wrapper": True}
"""Nothing is raised for a division by zero, a product and a sum may be one instruction, and C calls no loops."""
INLINED = OPTIONS | {"forceinline": True, "no_cpython_wrapper": True}
"""What is part of a function that calls it."""

_compilations: list[float] = []


def compile_seconds() -> float:
    """Return the seconds that Numba has compiled loops in this process."""
    return sum(_compilations, 0.0)


@intrinsic
def _address(context: Any, array: Any) -> Any:
    """Return where the first number of an array lies."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        made = context.make_array(array)(context, builder, arguments[0])
        return builder.ptrtoint(made.data, context.get_value_type(numba.types.intp))

    return numba.types.intp(array), generate


@intrinsic
def _pointer(context: Any, at: Any, start: Any, dtype: Any) -> Any:
    """Return a pointer to numbers of a dtype, so many of them behind an address."""
    pointer = numba.types.CPointer(dtype.dtype)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.gep(builder.inttoptr(arguments[0], context.get_value_type(pointer)), [arguments[1]])

    return pointer(at, start, dtype), generate


class Loops(replay.Recording):
    """What was recorded on arrays of certain shapes, as loops and the calls that are left to NumPy."""

    def build(self, calls: list[Call]) -> None:
        calls = [part for call in calls for part in _parts(call)]
        made = [*self.state, *self.batch, *self.output, *(call.out for call in calls)]
        self._block = Block(made, [x for call in calls for x in call.reads])
        self.state, self.batch, self.output = map(self._block.arrays, (self.state, self.batch, self.output))
        for call in calls:
            call.inputs, call.out = self._block.arrays(call.inputs), self._block.array(call.out)
            call.elementwise = call.elementwise and pays(call)
        self._runs = fusing.runs(calls, [*self.state, *self.output], spread=False)
        self._programs: dict[bool, list[Callable[..., Any]]] = {}

    def program(self, apart: bool = False) -> list[Callable[..., Any]]:
        if apart not in self._programs:
            parts = [[run] for run in self._runs]
            if not apart:
                parts = [list(runs) for _, runs in itertools.groupby(self._runs, lambda run: pays(run[0]))]
            self._programs[apart] = [call for runs in parts for call in self._bound(runs)]
        return self._programs[apart]

    def _bound(self, runs: list[list[Call]]) -> list[Callable[..., Any]]:
        """Return runs that are all loops, or all NumPy's calls, as they are called."""
        if pays(runs[0][0]):
            return [functools.partial(function(self._nests(runs)), self._block.address)]
        return [call.bound() for run in runs for call in run]

    def _nests(self, runs: list[list[Call]], given: Sequence[Given] = ()) -> list[Nest]:
        """Return runs as loops; what lies in the places of what is given is read and written there."""
        reads = [[x for call in run for x in call.reads] for run in self._runs]
        kept = [*self.state, *self.output]
        nests = []
        for run in runs:
            elsewhere = [x for other, own in zip(self._runs, reads, strict=True) if other is not run for x in own]
            nests.append(Nest(run, [*elsewhere, *kept], [*given, Given("block", self._block.whole)]))
        return nests


class Program(Loops):
    """A step."""

    def build(self, calls: list[Call]) -> None:
        super().build(calls)
        self._whole: Callable[..., Any] | None = None
        if all(pays(run[0]) for run in self._runs):
            rows = [
                Given(f"address{i}", x, "step")
                for i, x in enumerate((*self.batch, *[np.empty(x.shape, x.dtype) for x in self.output]))
            ]
            nests, after = self._nests(self._runs, rows[: len(self.batch)]), rows[len(self.batch) :]
            for x, row in zip(self.output, after, strict=True):
                copy = Call(replay.cast, [x], row.place, elementwise=True)
                nests.append(Nest([copy], [row.place], [*rows, Given("block", self._block.whole)]))
            self._whole = function(nests, [row.place[None] for row in rows], len(self.batch), steps=True)

    def run(self, over: tuple[Array, ...], data: tuple[Array, ...]) -> tuple[Array, ...]:
        if self._whole is None or data or replay.watched():
            return super().run(over, data)
        outputs = tuple(np.empty((len(over[0]), *array.shape), array.dtype) for array in self.output)
        self._whole(self._block.address, *(np.asarray(x, order="C") for x in over), *outputs)
        return outputs


class Function(Loops):
    """A function, recorded as a step without a state: it reads its arguments where they are, and makes results of its own."""

    def __init__(self, step: Step, state: Tree, batch: tuple[Array, ...]) -> None:
        if not batch:
            raise UnrecordableError("a function of no array")
        super().__init__(step, state, batch)

    def held(self, batch: tuple[Array, ...], library: Any) -> list[Array]:
        arrays = [np.asarray(x, order="C") for x in batch]  # a copy of all data, only to find a fold, would be too dear
        return [x.copy() if any(overlap(x, y) for y in arrays[:i]) else x for i, x in enumerate(arrays)]

    def may_stay(self, x: Array, calls: list[Any]) -> bool:
        return recording.is_all_of_a_result(x, calls, apart_from=[*self.batch, *self.output])

    def __call__(self, *arguments: Array) -> tuple[Array, ...]:
        """Return the function's results."""
        results = tuple([np.empty(x.shape, x.dtype) for x in self.output])
        given = *[np.asarray(x, order="C") for x in arguments], *results
        with self.lock:
            replay.make(replay.observed([bind(*given) for bind in self.program(apart=replay.watched())]))
        return results

    def run(self, over: tuple[Array, ...], data: tuple[Array, ...]) -> tuple[Array, ...]:
        return tuple(map(np.stack, zip(*(self(*batch) for batch in zip(*over, strict=True)), strict=True)))

    def _bound(self, runs: list[list[Call]]) -> list[Callable[..., Any]]:
        """Return runs as functions from arguments and results to a call."""
        places = [*self.batch, *self.output]
        if pays(runs[0][0]):
            nests = self._nests(runs, [Given(f"address{i}", x) for i, x in enumerate(places)])
            loops = function(nests, places, len(self.batch))
            return [functools.partial(functools.partial, loops, self._block.address)]
        return [_moving(call.bound(), places) for run in runs for call in run]


def _moving(call: functools.partial[Any], places: list[Array]) -> Callable[..., Callable[[], Any]]:
    """Return a function from arrays to a call on them, which has what of them it now has of their places."""

    def of(x: Any) -> Callable[[tuple[Array, ...]], Any]:
        for i, place in enumerate(places):
            if isinstance(x, np.ndarray) and overlap(x, place):
                if same(x, place):
                    return operator.itemgetter(i)
                return lambda given: np.ndarray(x.shape, x.dtype, given[i], address(x) - address(place), x.strides)
        return lambda _: x

    inputs, named = list(map(of, call.args)), {name: of(x) for name, x in call.keywords.items()}

    def bind(*given: Array) -> Callable[[], Any]:
        return functools.partial(
            call.func, *[x(given) for x in inputs], **{name: x(given) for name, x in named.items()}
        )

    return bind


def _parts(call: Call) -> list[Call]:
    """Return a concatenation as the copies of its parts, and any other call as it is."""
    if not call.joins:
        return [call]
    ends = itertools.accumulate(map(len, call.inputs))
    return [
        Call(replay.cast, [x], call.out[end - len(x) : end], elementwise=True)
        for x, end in zip(call.inputs, ends, strict=True)
    ]


class Block:
    """One block of memory, with a place for each array and for what each is a view of.

    What is `read` and not `made` before that holds its numbers at once; the rest takes no memory yet.
    """

    def __init__(self, made: list[Array], read: list[Array]) -> None:
        owners = {id(owner): owner for owner in map(replay.owner_of, (*made, *read))}
        if any(owner.dtype.kind not in "biufc" for owner in owners.values()):
            raise UnrecordableError("an array of other things than numbers")
        bounds = [np.lib.array_utils.byte_bounds(owner) for owner in owners.values()]
        sizes = [-(-(high - low) // ALIGNMENT) * ALIGNMENT for low, high in bounds]
        memory = np.empty(sum(sizes) + ALIGNMENT, np.uint8)
        self.whole = memory[-address(memory) % ALIGNMENT :]
        self.address = address(self.whole)
        starts = itertools.accumulate(sizes, initial=0)
        self._moves = {key: start - low for key, (low, _), start in zip(owners, bounds, starts, strict=False)}
        for key in owners.keys() - {id(replay.owner_of(x)) for x in made}:
            self.array(owners[key])[...] = owners[key]

    def array(self, x: Array) -> Array:
        """Return an array's place in the block, as an array."""
        offset = address(x) + self._moves[id(replay.owner_of(x))]
        return np.ndarray(x.shape, x.dtype, self.whole, offset, x.strides)

    def arrays(self, inputs: list[Any]) -> list[Any]:
        """Return inputs with the arrays among them in their places."""
        return [self.array(x) if is_array(x) else x for x in inputs]


def function(nests: list[Nest], given: Sequence[Array] = (), read: int = 0, steps: bool = False) -> Callable[..., Any]:
    """Return loops, one after the other, as a function of the block's address and of such arrays, the first of them only `read`.

    With `steps` they are made again for each row of the arrays.
    """
    names = [f"given{i}" for i in range(len(given))]
    addresses = [f"address{i} = address({name})" for i, name in enumerate(names)]
    calls = [f"loops{i}({nest.arguments})" for i, nest in enumerate(nests)]
    lines = ["for step in range(len(given0)):", *indented(calls)] if steps else calls
    text = "\n".join([f"def loops({', '.join(['block', *names])}):", *indented([*addresses, *lines])])
    arrays = tuple((x.dtype.name, x.ndim, i < read) for i, x in enumerate(given))
    return _compiled(
        text, arrays, tuple(nest.text for nest in nests), "loops: " + "; ".join(nest.told for nest in nests)
    )


@functools.cache
def _compiled(
    text: str, given: tuple[tuple[str, int, bool], ...], within: tuple[str, ...], told: str
) -> Callable[..., Any]:
    """Return a function, compiled, of an address and of arrays; each has a dtype, a number of axes, and is only read or not."""
    start = time.perf_counter()
    made = _made(text, **{f"loops{i}": _nest_compiled(inner) for i, inner in enumerate(within)})
    types = [
        numba.types.Array(numba.from_dtype(np.dtype(dtype)), ndim, "C", readonly) for dtype, ndim, readonly in given
    ]
    loops: Any = numba.njit((numba.types.intp, *types), **OPTIONS)(made)
    loops.told = told
    _compilations.append(time.perf_counter() - start)
    return loops


@functools.cache
def _nest_compiled(text: str) -> Any:
    """Return the loops of a source, compiled with the function that calls them."""
    return numba.njit(_made(text), **INLINED)


def _made(text: str, **functions: Any) -> Any:
    """Return the function of a source."""
    exec(text, namespace := NAMES | functions)
    return namespace["loops"]


NAMES = {"address": _address, "math": math, "np": np, "pointer": _pointer} | {
    f"exp_{dtype}": exponential(dtype, numba.njit(**INLINED)) for dtype in ("float32", "float64")
}
"""What a source may call."""
