"""Numba's part of NumPy's compiler: the calls of a recorded step as loops over their numbers.

All arrays of a step lie in one block of memory, so that the compiler sees which of them cannot overlap, and their shapes are
numbers of the source. Elementwise calls of one shape are one loop, in which nothing is stored that only the loop reads. What
libraries do better is left to NumPy: large products are BLAS's, the exponentials of many numbers NumPy's own. A step that has
neither is one function, and so is its fold.

A source is compiled once in a process. Sums are taken in the order in which they are written, so that equal numbers come of
equal ones, wherever the block lies.
"""

from __future__ import annotations

import functools
import itertools
import math
import operator
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import numba
import numpy as np
from numba.core import cgutils
from numba.extending import intrinsic

from backends import fusing, recording, replay
from backends.base import Array, Step, Tree
from backends.recording import UnrecordableError, address, is_array, overlap, same
from backends.replay import Call, Reduction

PRODUCT = 1 << 13
"""The most multiplications of a product that is made by loops."""
NUMBERS = 1 << 10
"""The most numbers that are reduced by loops: NumPy sums many in pairs, which is more exact."""
FEW = 1 << 8
"""The most numbers of which exponentials and the like are made by loops, one by one: NumPy makes several at once."""
VARIABLES = 16
"""The most results of a product that has a variable for each."""
LONG = 1 << 12
"""Numbers, from which on it is worth another compilation that loops know where they are."""
EVERYWHERE = 1 << 48
"""As many numbers as no place has: how long memory is behind an address is nobody's question."""
AXES = "i0 i1 i2 i3 i4 i5 i6 i7"
"""The variables of the places along an array's axes."""
ALIGNMENT = 64
"""Of arrays in a block, in bytes."""

ARITHMETIC = {
    np.absolute: "abs({0})",
    np.add: "{0} + {1}",
    np.bitwise_and: "{0} & {1}",
    np.bitwise_or: "{0} | {1}",
    np.divide: "{0} / {1}",
    np.equal: "{0} == {1}",
    np.greater: "{0} > {1}",
    np.greater_equal: "{0} >= {1}",
    np.less: "{0} < {1}",
    np.less_equal: "{0} <= {1}",
    np.maximum: "{0} if {0} >= {1} or {0} != {0} else {1}",  # the one that is NaN, where one is
    np.minimum: "{0} if {0} <= {1} or {0} != {0} else {1}",
    np.multiply: "{0} * {1}",
    np.negative: "-{0}",
    np.not_equal: "{0} != {1}",
    np.sqrt: "math.sqrt({0})",
    np.square: "{0} * {0}",
    np.subtract: "{0} - {1}",
    replay.cast: "{0}",
}
"""What a processor does to several numbers at once."""
FUNCTIONS = {
    np.cos: "math.cos({0})",
    np.exp: "math.exp({0})",
    np.expm1: "math.expm1({0})",
    np.log: "math.log({0})",
    np.log1p: "math.log1p({0})",
    np.logaddexp: "np.logaddexp({0}, {1})",
    np.power: "{0} ** {1}",
    np.sin: "math.sin({0})",
    np.tanh: "math.tanh({0})",
}
"""What is a call for each number."""
REDUCED = (np.add, np.maximum, np.minimum, np.multiply)
"""By which numbers are reduced."""
DTYPES = ("bool", "int32", "int64", "float32", "float64")

_compilations: list[float] = []


def compile_seconds() -> float:
    """Return the seconds that Numba has compiled loops in this process."""
    return sum(_compilations, 0.0)


@intrinsic
def _pointer(context: Any, at: Any) -> Any:
    """Return an address as a pointer, of which `carray` makes an array."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.inttoptr(arguments[0], cgutils.voidptr_t)

    return numba.types.voidptr(at), generate


class Loops(replay.Recording):
    """What was recorded on arrays of certain shapes, as loops and the calls that are left to NumPy."""

    def build(self, calls: list[Call]) -> None:
        calls = [part for call in calls for part in _parts(call)]
        made = [*self.state, *self.batch, *self.output, *(call.out for call in calls)]
        self._block = Block(made, [x for call in calls for x in call.reads])
        self.state, self.batch, self.output = map(self._block.arrays, (self.state, self.batch, self.output))
        for call in calls:
            call.inputs, call.out = self._block.arrays(call.inputs), self._block.array(call.out)
            call.elementwise = call.elementwise and _pays(call)
        self._runs = fusing.runs(calls, [*self.state, *self.output], spread=False)
        self._programs: dict[bool, list[Callable[..., Any]]] = {}

    def program(self, apart: bool = False) -> list[Callable[..., Any]]:
        if apart not in self._programs:
            parts = [[run] for run in self._runs]
            if not apart:
                parts = [list(runs) for _, runs in itertools.groupby(self._runs, lambda run: _pays(run[0]))]
            self._programs[apart] = [call for runs in parts for call in self._bound(runs)]
        return self._programs[apart]

    def _bound(self, runs: list[list[Call]]) -> list[Callable[..., Any]]:
        """Return runs that are all loops, or all NumPy's calls, as they are called."""
        if _pays(runs[0][0]):
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
        if all(_pays(run[0]) for run in self._runs):
            rows = [
                Given(f"address{i}", x, "step") for i, x in enumerate((*self.batch, *map(np.empty_like, self.output)))
            ]
            nests, after = self._nests(self._runs, rows[: len(self.batch)]), rows[len(self.batch) :]
            for x, row in zip(self.output, after, strict=True):
                copy = Call(replay.cast, [x], row.place, elementwise=True)
                nests.append(Nest([copy], [row.place], [row, Given("block", self._block.whole)]))
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
        self._lock = threading.Lock()  # there is one block
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
        with self._lock:
            replay.make(replay.observed([bind(*given) for bind in self.program(apart=replay.watched())]))
        return results

    def run(self, over: tuple[Array, ...], data: tuple[Array, ...]) -> tuple[Array, ...]:
        return tuple(map(np.stack, zip(*(self(*batch) for batch in zip(*over, strict=True)), strict=True)))

    def _bound(self, runs: list[list[Call]]) -> list[Callable[..., Any]]:
        """Return runs as functions from arguments and results to a call."""
        places = [*self.batch, *self.output]
        if _pays(runs[0][0]):
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


def _pays(call: Call) -> bool:
    """Tell whether a call is made by loops."""
    if not all(_is_plain(x) for x in (*call.reads, call.out)):
        return False
    if call.elementwise:
        return call.function in ARITHMETIC or (call.function in FUNCTIONS and call.out.size <= FEW)
    if call.function is np.dot:
        return call.inputs[0].size * call.out.shape[-1] <= PRODUCT
    if isinstance(call.function, Reduction):
        return call.function.ufunc in REDUCED and call.function.dtype is None and call.inputs[0].size <= NUMBERS
    return False


def _is_plain(x: Array) -> bool:
    """Tell whether loops can read an array: strides are of whole numbers where they are aligned."""
    return x.dtype.name in DTYPES and x.dtype.isnative and x.flags.aligned and x.ndim <= len(AXES.split())


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


class Given(NamedTuple):
    """A place in memory that a function of loops is told of: by the address in a variable, or that of a row of it."""

    name: str
    place: Array
    row: str = ""


class Nest:
    """A run of calls as a function of Python, of addresses and of where the arrays begin behind them.

    Neither is part of a short one's source, so that equal layers share a function. A long one has its places in the source: the
    compiler takes several numbers at once where it sees that they do not overlap.
    """

    def __init__(self, run: list[Call], read: list[Array], homes: list[Given]) -> None:
        """Print a run, of which what is in `read` is read elsewhere; each array lies in the first home that has its place."""
        self._homes, self._long = homes, max(x.size for call in run for x in (*call.reads, call.out)) >= LONG
        self._bases: dict[str, str] = {}
        self._starts: dict[str, str] = {}
        self._views: dict[str, str] = {}
        self._lines: list[str] = []
        self._numbers = itertools.count()
        if run[-1].elementwise:
            self._add_elementwise(run, read)
        elif run[-1].function is np.dot:
            self._add_product(run[-1])
        else:
            self._add_reduction(run[-1])
        views = [f"{name} = {view}" for name, view in self._views.items()]
        parameters = ", ".join([*self._bases.values(), *self._starts.values()])
        self.text = "\n".join([f"def loops({parameters}):", *_indented([*views, *self._lines])])
        self.arguments = ", ".join([*self._bases, *self._starts])
        self.told = " ".join([*(call.function.__name__ for call in run), str(run[-1].out.shape)])

    def _at(self, x: Array, at: str = AXES) -> str:
        """Return the number of an array whose place along each axis is told by `at`."""
        home = next(home for home in self._homes if overlap(x, home.place))
        base = self._bases.setdefault(home.name, f"base{len(self._bases)}")
        view = f"{x.dtype.name}s_{base}"
        self._views[view] = f"carray(pointer({base}), ({EVERYWHERE},), {_type(x.dtype.name)})"
        row = f" + {home.row} * {home.place.nbytes // x.itemsize}" if home.row else ""
        start = f"{(address(x) - address(home.place)) // x.itemsize}{row}"
        if row or not self._long:
            start = self._starts.setdefault(start, f"start{len(self._starts)}")
        strides = [stride // x.itemsize for stride in x.strides]
        terms = [f"{i} * {n}" for i, size, n in zip(at.split(), x.shape, strides, strict=False) if size > 1 and n]
        return f"{view}[{' + '.join([*terms, start])}]"

    def _add_elementwise(self, run: list[Call], read: list[Array]) -> None:
        shape = run[-1].out.shape
        flat = all(
            x.size == 1 or (x.shape == shape and x.flags.c_contiguous) for call in run for x in (*call.reads, call.out)
        )
        shape = (math.prod(shape),) if flat else shape

        def at(x: Array) -> str:
            return self._at(x.reshape(-1) if flat else x.reshape((1,) * (len(shape) - x.ndim) + x.shape))

        names: dict[Any, str] = {}
        once: list[str] = []
        every: list[str] = []
        for call in run:
            for x in call.reads:
                if fusing.form(x) not in names:
                    names[fusing.form(x)] = f"v{next(self._numbers)}"
                    (once if x.size == 1 else every).append(f"{names[fusing.form(x)]} = {at(x)}")
            operands = [names[fusing.form(x)] if is_array(x) else repr(x) for x in call.inputs]
            expression = (ARITHMETIC.get(call.function) or FUNCTIONS[call.function]).format(*operands)
            names[fusing.form(call.out)] = f"v{next(self._numbers)}"
            every.append(f"{names[fusing.form(call.out)]} = {_type(call.out.dtype.name)}({expression})")
        every += [f"{at(out)} = {names[fusing.form(out)]}" for out in fusing.stored(run, read)]
        self._lines += [*once, *_nest(enumerate(shape), every)]

    def _add_product(self, call: Call) -> None:
        a, b = call.inputs
        a, out = a.reshape((-1, len(b))), call.out.reshape((-1, b.shape[1]))
        if out.size > VARIABLES:
            total = [f"total += {self._at(a, 'i0 k')} * {self._at(b, 'k i1')}"]
            lines = [
                f"total = {_type(out.dtype.name)}(0)",
                f"for k in range({len(b)}):",
                *_indented(total),
                f"{self._at(out)} = total",
            ]
            self._lines += _nest(enumerate(out.shape), lines)
            return
        totals = {(i, j): f"v{next(self._numbers)}" for i, j in np.ndindex(out.shape)}
        terms = [f"{v} += {self._at(a, f'{i} k')} * {self._at(b, f'k {j}')}" for (i, j), v in totals.items()]
        self._lines += [f"{v} = {_type(out.dtype.name)}(0)" for v in totals.values()]
        self._lines += [f"for k in range({len(b)}):", *_indented(terms)]
        self._lines += [f"{self._at(out, f'{i} {j}')} = {v}" for (i, j), v in totals.items()]

    def _add_reduction(self, call: Call) -> None:
        reduction, x, out = call.function, *call.inputs, call.out
        axes = range(x.ndim) if reduction.axis is None else [axis % x.ndim for axis in np.atleast_1d(reduction.axis)]
        out = out if reduction.keepdims else np.expand_dims(out, tuple(axes))
        first = " ".join("0" if axis in axes else i for axis, i in zip(range(x.ndim), AXES.split(), strict=False))
        start = self._at(x, first) if reduction.ufunc.identity is None else str(reduction.ufunc.identity)
        total = f"total = {_type(out.dtype.name)}({ARITHMETIC[reduction.ufunc].format('total', self._at(x))})"
        lengths = list(enumerate(x.shape))
        inner = _nest([own for own in lengths if own[0] in axes], [total])
        lines = [f"total = {_type(out.dtype.name)}({start})", *inner, f"{self._at(out)} = total"]
        self._lines += _nest([own for own in lengths if own[0] not in axes], lines)


def _type(dtype: str) -> str:
    return "np.bool_" if dtype == "bool" else f"np.{dtype}"


def _nest(axes: Iterable[tuple[int, int]], lines: list[str]) -> list[str]:
    """Return lines inside of loops over axes, each with its length."""
    for axis, length in reversed(list(axes)):
        lines = [f"for i{axis} in range({length}):", *_indented(lines)]
    return lines


def _indented(lines: list[str]) -> list[str]:
    return [f"    {line}" for line in lines]


def function(nests: list[Nest], given: Sequence[Array] = (), read: int = 0, steps: bool = False) -> Callable[..., Any]:
    """Return loops, one after the other, as a function of the block's address and of such arrays, the first of them only `read`.

    With `steps` they are made again for each row of the arrays.
    """
    names = [f"given{i}" for i in range(len(given))]
    addresses = [f"address{i} = {name}.ctypes.data" for i, name in enumerate(names)]
    calls = [f"loops{i}({nest.arguments})" for i, nest in enumerate(nests)]
    lines = ["for step in range(len(given0)):", *_indented(calls)] if steps else calls
    text = "\n".join([f"def loops({', '.join(['block', *names])}):", *_indented([*addresses, *lines])])
    arrays = tuple((x.dtype.name, x.ndim, i < read) for i, x in enumerate(given))
    return _compiled(
        text, arrays, tuple(nest.text for nest in nests), "loops: " + "; ".join(nest.told for nest in nests)
    )


@functools.cache
def _compiled(
    text: str, given: tuple[tuple[str, int, bool], ...], within: tuple[str, ...], told: str
) -> Callable[..., Any]:
    """Return a function, compiled, of an address and of arrays; each has a dtype, a number of axes, and is only read or not."""
    functions = {f"loops{i}": _nest_compiled(inner) for i, inner in enumerate(within)}
    types = [
        numba.types.Array(numba.from_dtype(np.dtype(dtype)), ndim, "C", readonly) for dtype, ndim, readonly in given
    ]
    loops = _made(text, functions, types)
    loops.told = told
    return loops


@functools.cache
def _nest_compiled(text: str) -> Callable[..., Any]:
    """Return a function of whole numbers, compiled."""
    return _made(text, {}, [], forceinline=True)


def _made(text: str, functions: dict[str, Any], arrays: list[Any], **options: Any) -> Any:
    """Return the function of a source, compiled for whole numbers and, behind them, arrays of such types."""
    start = time.perf_counter()
    namespace: dict[str, Any] = {"carray": numba.carray, "math": math, "np": np, "pointer": _pointer} | functions
    exec(text, namespace)
    numbers = (numba.types.intp,) * (namespace["loops"].__code__.co_argcount - len(arrays))
    made = numba.njit((*numbers, *arrays), error_model="numpy", fastmath={"contract"}, **options)(namespace["loops"])
    _compilations.append(time.perf_counter() - start)
    return made
