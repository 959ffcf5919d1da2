"""NumPy's compiler: a step is recorded once, and replayed into the arrays that it made.

On small arrays a call of NumPy is mostly overhead: finding the dtypes, converting Python's numbers, allocating the result. A
recording has done all that. It holds the calls of one step, each bound to its arguments and to the array that takes its
result; views stay what they are, views of these arrays. A replay makes the same calls, so it gives the same numbers but for
one thing: a 0-d result is an array here and a scalar in NumPy, whose power function rounds otherwise.

Recording works by NumPy's own protocols, `__array_ufunc__` and `__array_function__`. What escapes them (a value that decides
an `if`, a copy made by a method) makes a step unrecordable. And the first replays are checked against the step itself.
"""

from __future__ import annotations

import collections
import functools
import operator
import time
from collections.abc import Callable, Iterator, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import numpy as np

from backends import recording
from backends.base import Array, Spent, Step, Tree, leaves, spent
from backends.recording import Known, UnrecordableError, overlap, replaced, same

BLOCK_BYTES = 1 << 17
"""Of each array that a row of elementwise calls goes through at a time: what they hand on to each other stays in the cache."""


class Recorded(np.ndarray):
    """An array, or a view of it, whose use is taken down."""

    _tape: Tape

    def __array_finalize__(self, source: Any) -> None:
        if isinstance(source, Recorded):
            self._tape = source._tape

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **options: Any) -> Any:
        if method == "__call__" and not options:
            return self._tape.call(ufunc, inputs)
        if method == "reduce" and options.get("out") is None:
            return self._tape.reduce(ufunc, inputs, options)
        raise UnrecordableError(f"numpy.{ufunc.__name__} with {method} and {', '.join(options)}")

    def __array_function__(self, function: Any, types: Any, arguments: Any, options: Any) -> Any:
        return self._tape.function(function, arguments, options)

    def astype(self, dtype: Any, *options: Any, copy: bool = True, **named: Any) -> Any:  # type: ignore[override]
        return self if self.dtype == dtype and not copy else self._tape.function(_astype, (self, np.dtype(dtype)), {})

    def __getitem__(self, key: Any) -> Any:
        part = super().__getitem__(key)
        whole = key if isinstance(key, tuple) else (key,)
        return super().__getitem__((*whole, ...)) if isinstance(part, np.generic) else part  # a number would get away

    def __iter__(self) -> Iterator[Any]:
        return (self[i] for i in range(len(self)))

    def _refuse(self, *_: Any, **__: Any) -> Any:
        raise UnrecordableError("an array's value taken out, or changed in place")

    __bool__ = __float__ = __int__ = __index__ = __complex__ = __contains__ = __setitem__ = _refuse
    argmax = argmin = argpartition = argsort = item = nonzero = searchsorted = tobytes = tolist = _refuse
    byteswap = fill = itemset = partition = put = resize = setfield = setflags = sort = _refuse


def _astype(x: Array, dtype: Any) -> Array:
    return x.astype(dtype)


class Call(recording.Call):
    """A call of NumPy's. Elementwise ones may be made part by part, along the first axis."""

    def bound(self) -> functools.partial[Any]:
        """Return the call with all its arguments."""
        # NumPy's shortest way is open to arrays of one shape and to 0-d ones: what has one element for many is made 0-d.
        lone = self.elementwise and self.out.size > 1
        inputs = [x.reshape(()) if lone and isinstance(x, np.ndarray) and x.size == 1 else x for x in self.inputs]
        if self.function in (np.maximum, np.minimum):  # whose results may soon go nowhere but by name
            return functools.partial(self.function, *inputs, out=self.out)
        return functools.partial(self.function, *inputs, self.out)

    def of(self, rows: slice, short: dict[int, Array]) -> Call:
        """Return the call on some rows of its arrays; those that have a `short` one in their place are as long as the rows."""

        def part(x: Array) -> Array:
            if x.ctypes.data in short:
                return short[x.ctypes.data][: rows.stop - rows.start]
            return x[rows] if x.ndim == self.out.ndim and len(x) == len(self.out) else x

        return Call(self.function, [part(x) for x in self.inputs], part(self.out))


@dataclass(frozen=True)
class Reduction:
    """A reduction of an array by a function of two numbers, with what `numpy.ufunc.reduce` takes."""

    ufunc: np.ufunc
    axis: Any
    dtype: Any
    keepdims: bool

    @property
    def __name__(self) -> str:
        return f"{self.ufunc.__name__}.reduce"

    def __call__(self, x: Array, out: Array) -> Any:
        reduce: Callable[..., Any] = self.ufunc.reduce  # NumPy's stubs do not know all that it takes
        return reduce(x, self.axis, self.dtype, out, self.keepdims)


class Tape:
    """The calls of a step, in their order."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self._owners: dict[int, Array] = {}

    def array(self, x: Array) -> Recorded:
        """Return an array that is recorded from now on."""
        owner = owner_of(x)
        self._owners[id(owner)] = owner
        recorded = x.view(Recorded)
        recorded._tape = self
        return recorded

    def call(self, ufunc: np.ufunc, inputs: tuple[Any, ...]) -> Recorded:
        """Call a function of arrays, and take the call down."""
        if ufunc.nout != 1:
            raise UnrecordableError(f"numpy.{ufunc.__name__}, which has several results")
        plain = [self.plain(x) for x in inputs]
        out = np.asarray(ufunc(*plain))
        if (
            ufunc is np.matmul
            and out.ndim == 2
            and min(x.size for x in plain) > 1
            and np.array_equal(np.dot(*plain), out)
        ):
            return self._record(Call(np.dot, plain, out))  # half the overhead, the same BLAS
        if ufunc.signature is None:
            given = [x.dtype if isinstance(x, np.ndarray) else type(x) for x in plain]
            dtypes = ufunc.resolve_dtypes((*given, None))
            plain = [x if isinstance(x, np.ndarray) else np.asarray(x, d) for x, d in zip(plain, dtypes, strict=False)]
        return self._record(Call(ufunc, plain, out, elementwise=ufunc.signature is None))

    def reduce(self, ufunc: np.ufunc, inputs: tuple[Any, ...], options: dict[str, Any]) -> Recorded:
        """Reduce an array, and take the call down."""
        (x,) = map(self.plain, inputs)
        out = np.asarray(ufunc.reduce(x, **options))
        axis, dtype, keepdims = options.pop("axis", 0), options.pop("dtype", None), bool(options.pop("keepdims", False))
        options.pop("out", None)
        if options:
            raise UnrecordableError(f"numpy.{ufunc.__name__}.reduce with {', '.join(options)}")
        if ufunc is np.add and axis == 0 and x.ndim == 2 and x.dtype.kind == "f" and dtype is None and not keepdims:
            return self._record(Call(np.dot, [np.ones(len(x), x.dtype), x], out))  # a third of the time
        return self._record(Call(Reduction(ufunc, axis, dtype, keepdims), [x], out))

    def function(self, function: Any, arguments: Any, options: Any) -> Any:
        """Call another function of NumPy's; a view needs no replay, and what has its place for the result gets it."""
        if options.get("out") is not None or options.get("copy") is False:
            raise UnrecordableError(f"{getattr(function, '__name__', function)}, which may change an array in place")
        plain, named = self._plain_tree(arguments), self._plain_tree(options)
        result = function(*plain, **named)
        if not isinstance(result, np.ndarray | np.generic):
            raise UnrecordableError(f"{getattr(function, '__name__', function)}, whose result is no array")
        if isinstance(result, np.ndarray) and id(owner_of(result)) in self._owners:
            return self.array(result)
        out = np.asarray(result)
        if function is _astype:
            return self._record(Call(cast, [plain[0]], out, elementwise=True))
        if function is np.concatenate and not named and len(plain) == 1:
            return self._record(Call(_concatenate, list(plain[0]), out, joins=True))
        inputs = [x for x in leaves((plain, named)) if isinstance(x, np.ndarray)]
        return self._record(Call(recording.copied(function, plain, named, np.ndarray, np), inputs, out))

    def plain(self, x: Any) -> Any:
        """Return an input as NumPy has it. A recorded array that no call has made was copied behind the recorder's back."""
        if isinstance(x, Recorded):
            if id(owner_of(x)) not in self._owners:
                raise UnrecordableError("a copy that was not recorded")
            return x.view(np.ndarray)
        if isinstance(x, np.ndarray) and id(owner_of(x)) in self._owners:
            raise UnrecordableError("an array that is given, and used from elsewhere too")
        return x if isinstance(x, np.ndarray | bool | int | float | complex) else np.asarray(x)

    def copy(self, x: Array, out: Array) -> Call:
        """Return the call that copies an array."""
        return Call(cast, [x], out, elementwise=True)

    def _plain_tree(self, tree: Any) -> Any:
        return replaced(tree, np.ndarray, (self.plain(x) for x in leaves(tree) if isinstance(x, np.ndarray)))

    def _record(self, call: Call) -> Recorded:
        self.calls.append(call)
        return self.array(call.out)


def cast(x: Array, out: Array) -> None:
    """Copy an array, into another dtype if need be."""
    np.copyto(out, x, casting="unsafe")


def _concatenate(*arrays: Array) -> None:
    np.concatenate(arrays[:-1], out=arrays[-1])


@dataclass(eq=False)
class Watched:
    """A call, how often it was made while somebody asked, and for how many seconds together."""

    call: Any
    times: int = 0
    seconds: float = 0.0

    def __call__(self) -> None:
        start = time.perf_counter()
        self.call()
        self.seconds += time.perf_counter() - start
        self.times += 1


_watching: ContextVar[list[Watched] | None] = ContextVar("_watching", default=None)
"""What calls cost, while somebody asks."""


def profile(call: Callable[[], Any]) -> list[Spent] | None:
    """Return what the recorded calls of a call spend; None where nothing is recorded."""
    reading = float(np.median([-time.perf_counter() + time.perf_counter() for _ in range(1000)]))
    seen: list[Watched] = []
    token = _watching.set(seen)
    try:
        call()
    finally:
        _watching.reset(token)
    return spent(Spent(_told(own.call), own.times, max(0.0, own.seconds - own.times * reading)) for own in seen)


def watched() -> bool:
    """Tell whether somebody asks what calls cost."""
    return _watching.get() is not None


def observed(program: Sequence[Callable[[], Any]]) -> Sequence[Callable[[], Any]]:
    """Return a program as it is or, while somebody asks, with calls that tell what they cost."""
    seen = _watching.get()
    if seen is None:
        return program
    own = [Watched(call) for call in program]
    seen += own
    return own


def make(program: Sequence[Callable[[], Any]]) -> None:
    """Make calls, one after the other."""
    collections.deque(map(operator.call, program), maxlen=0)


def _told(call: Any) -> str:
    """Return what a call of a program is, with the shapes of its arrays, the result's last."""
    if told := getattr(call.func, "told", None):
        return told
    arrays = [x for x in (*call.args, *call.keywords.values()) if isinstance(x, np.ndarray)]
    return " ".join([call.func.__name__.strip("_"), *(str(x.shape) for x in arrays if x.ndim)])


class Recording(recording.Recording):
    """A step on arrays of certain shapes, ready to be replayed.

    `batch` holds those that the next batch is to be put into, `output` those in which a replay leaves its output.
    """

    def __init__(self, step: Step, state: Tree, batch: tuple[Array, ...]) -> None:
        super().__init__(step, state, batch, Tape(), np)

    def build(self, calls: list[Call]) -> None:
        self._program = _program(calls, [*self.state, *self.output])

    def program(self, apart: bool = False) -> list[Callable[[], Any]]:
        """Return the step's calls, bound; `apart`, so that as much as can be watched is a call of its own."""
        return self._program

    def run(self, over: tuple[Array, ...], data: tuple[Array, ...]) -> tuple[Array, ...]:
        steps, gathered = len(over[0]), len(data)
        outputs = tuple(np.empty((steps, *array.shape), array.dtype) for array in self.output)
        taken = list(zip(self.batch[:gathered], data, strict=True))
        into = list(zip(self.batch[gathered:], over[1:] if data else over, strict=True))
        out_of = list(zip(outputs, self.output, strict=True))
        program = observed(self.program(apart=watched()))
        for i in range(steps):
            for buffer, array in taken:
                np.take(array, over[0][i], axis=0, out=buffer, mode="clip")  # any other mode makes a copy first
            for buffer, stacked in into:
                buffer[...] = stacked[i]
            make(program)
            for stacked, array in out_of:
                stacked[i] = array
        return outputs


def refuse_within(*trees: Tree) -> None:
    """Raise UnrecordableError for a fold within what is recorded: it would be taken down with the numbers of its first time."""
    if any(isinstance(x, Recorded) for x in leaves(trees)):
        raise UnrecordableError("a fold")


def fold(
    step: Step,
    state: Tree,
    over: tuple[Array, ...],
    data: tuple[Array, ...],
    known: Known,
    record: Callable[..., Recording] = Recording,
) -> tuple[Tree, Tree]:
    """Fold as `Backend.fold` does, by a recording of the first step; `known` keeps the recordings of this step.

    Raises UnrecordableError, with nothing changed, for a step that cannot be replayed.
    """
    if data and over[0].size and (over[0].min() < 0 or over[0].max() >= min(map(len, data))):
        raise UnrecordableError("rows that are not there")
    return recording.fold(step, state, over, data, known, record, np)


def _program(calls: list[Call], kept: list[Array]) -> list[Callable[[], Any]]:
    """Return the calls, those on large arrays in blocks of rows: all calls of a run on one block, then all on the next."""
    program: list[Callable[[], Any]] = []
    for run in _runs(calls):
        rows = len(run[0].out) if run[0].out.ndim else 1
        size = max(1, int(rows * BLOCK_BYTES // max(run[0].out.nbytes, 1)))
        if len(run) < 2 or size >= rows:
            program += [part.bound() for call in run for part in _apart(call)]
            continue
        short = _short(run, calls, kept, size)
        for start in range(0, rows, size):
            program += [call.of(slice(start, min(start + size, rows)), short).bound() for call in run]
    return program


def _apart(call: Call) -> list[Call]:
    """Return a 0-d call that is made in place as one that is not, and a copy: in place it takes twice as long as the two."""
    if call.out.ndim or not any(overlap(x, call.out) for x in call.reads):
        return [call]
    result = np.empty_like(call.out)
    return [Call(call.function, call.inputs, result), Call(cast, [result], call.out)]


def _runs(calls: list[Call]) -> Iterator[list[Call]]:
    """Yield the calls in runs that may be made block by block: elementwise, of one shape, none reading another's other rows."""
    run: list[Call] = []
    for call in calls:
        if run and not _joins(call, run):
            yield run
            run = []
        run.append(call)
    if run:
        yield run


def _joins(call: Call, run: list[Call]) -> bool:
    if not (call.elementwise and run[0].elementwise and call.out.ndim and call.out.shape == run[0].out.shape):
        return False
    made = [earlier.out for earlier in run]
    reads = [x for earlier in run for x in earlier.inputs]
    fits = all(same(x, y) for x in call.inputs for y in made if overlap(x, y))
    return fits and all(same(call.out, y) for y in (*reads, *made) if overlap(call.out, y))


def _short(run: list[Call], calls: list[Call], kept: list[Array], size: int) -> dict[int, Array]:
    """Return a short array, by address, for each that is made in a run and read there alone: as few as will do."""
    elsewhere = [x for call in calls if call not in run for x in (*call.inputs, call.out)]
    outside = [x for x in (*elsewhere, *kept) if isinstance(x, np.ndarray)]
    own = {call.out.ctypes.data for call in run if not any(overlap(call.out, x) for x in outside)}
    last = {x.ctypes.data: i for i, call in enumerate(run) for x in call.inputs if isinstance(x, np.ndarray)}
    short: dict[int, Array] = {}
    free: list[Array] = []
    for i, call in enumerate(run):
        free += [short[place] for place in {x.ctypes.data for x in call.inputs} if place in short and last[place] == i]
        place, form = call.out.ctypes.data, ((size, *call.out.shape[1:]), call.out.dtype)
        if place in own:
            fitting = next((x for x in free if (x.shape, x.dtype) == form), None)
            free = [x for x in free if x is not fitting]
            short[place] = np.empty(*form) if fitting is None else fitting
    return short


def owner_of(x: Array) -> Array:
    """Return the array whose memory a view looks at."""
    while isinstance(x.base, np.ndarray):
        x = x.base
    return x
