"""A run of NumPy's calls as the source of a function of Python that Numba compiles: loops over numbers in memory.

Elementwise calls of one shape are one loop, in which nothing is stored that only the loop reads; small products and sums are
loops too. Strides are numbers of the source. What libraries do better is left to NumPy: large products are BLAS's, the logarithms
of many numbers NumPy's own. Sums are taken in the order in which they are written.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np

from backends import fusing, replay
from backends.base import Array
from backends.recording import address, is_array, overlap
from backends.replay import Call, Reduction

PRODUCT = 1 << 13
"""The most multiplications of a product that is made by loops."""
NUMBERS = 1 << 10
"""The most numbers that are reduced by loops: NumPy sums many in pairs, which is more exact."""
FEW = 1 << 8
"""The most numbers of which logarithms and the like are made by loops, one by one: NumPy makes several at once."""
VARIABLES = 16
"""The most results of a product that has a variable for each."""
LONG = 1 << 12
"""Numbers, from which on it is worth another compilation that loops know where they are."""
AXES = "i0 i1 i2 i3 i4 i5 i6 i7"
"""The variables of the places along an array's axes."""

ARITHMETIC = {
    np.absolute: "abs({0})",
    np.add: "{0} + {1}",
    np.bitwise_and: "{0} & {1}",
    np.bitwise_or: "{0} | {1}",
    np.divide: "{0} / {1}",
    np.equal: "{0} == {1}",
    np.exp: "exp_{dtype}({0})",
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
    np.expm1: "math.expm1({0})",
    np.log: "math.log({0})",
    np.log1p: "math.log1p({0})",
    np.logaddexp: "np.logaddexp(np.{dtype}({0}), np.{dtype}({1}))",
    np.power: "np.{dtype}({0}) ** np.{dtype}({1})",
    np.sin: "math.sin({0})",
    np.tanh: "math.tanh({0})",
}
"""What is a call for each number."""
WRAPPING = (np.absolute, np.add, np.multiply, np.negative, np.square, np.subtract)
"""Of whole numbers as wide as Numba's, which then takes it that none is too large."""
REDUCED = (np.add, np.maximum, np.minimum, np.multiply)
"""By which numbers are reduced."""
DTYPES = ("bool", "int32", "int64", "float32", "float64")


def pays(call: Call) -> bool:
    """Tell whether a call is made by loops."""
    if not all(_is_plain(x) for x in (*call.reads, call.out)):
        return False
    if call.elementwise:
        if call.function in WRAPPING:
            return call.out.dtype.name != "int64"
        few = call.out.size <= FEW and call.out.dtype.kind == "f"
        return call.function in ARITHMETIC or (call.function in FUNCTIONS and few)
    if call.function is np.dot:
        of_matrix = call.inputs[1].ndim == 2 and call.out.dtype.kind != "b"
        return of_matrix and call.inputs[0].size * call.out.shape[-1] <= PRODUCT
    if isinstance(call.function, Reduction):
        return call.function.ufunc in REDUCED and call.function.dtype is None and call.inputs[0].size <= NUMBERS
    return False


def _is_plain(x: Array) -> bool:
    """Tell whether loops can read an array: strides are of whole numbers where they are aligned."""
    return x.dtype.name in DTYPES and x.dtype.isnative and x.flags.aligned and x.ndim <= len(AXES.split())


class Given(NamedTuple):
    """A place in memory that a function of loops is told of: by the address in a variable, or that of a row of it."""

    name: str
    place: Array
    row: str = ""


class Nest:
    """A run of calls as a function of Python, of pointers to arrays and of the length of its outermost loop.

    Neither is part of a short one's source, so that equal layers, and batches of any size, share a function. A long one knows
    both, and where its arrays lie behind one pointer: the compiler takes several numbers at once where it sees no overlap.
    """

    def __init__(self, run: list[Call], read: list[Array], homes: list[Given]) -> None:
        """Print a run, of which what is in `read` is read elsewhere; each array lies in the first home that has its place."""
        self._homes, self._long = homes, max(x.size for call in run for x in (*call.reads, call.out)) >= LONG
        self._parameters: dict[str, str] = {}
        self._lines: list[str] = []
        self._numbers = itertools.count()
        if run[-1].elementwise:
            self._add_elementwise(run, read)
        elif run[-1].function is np.dot:
            self._add_product(run[-1])
        else:
            self._add_reduction(run[-1])
        self.text = "\n".join([f"def loops({', '.join(self._parameters.values())}):", *indented(self._lines)])
        self.arguments = ", ".join(self._parameters)
        self.told = " ".join([*(call.function.__name__ for call in run), str(run[-1].out.shape)])

    def _told(self, argument: str, name: str) -> str:
        """Return the parameter that is told something, by a name that begins like that."""
        return self._parameters.setdefault(argument, f"{name}{len(self._parameters)}")

    def _length(self, length: int) -> str:
        """Return the length of the outermost loop."""
        return str(length) if self._long else self._told(f"np.intp({length})", "length")

    def _at(self, x: Array, at: str = AXES) -> str:
        """Return the number of an array whose place along each axis is told by `at`."""
        home = next(home for home in self._homes if overlap(x, home.place))
        start = f"{(address(x) - address(home.place)) // x.itemsize}"
        row = f" + {home.row} * {home.place.nbytes // x.itemsize}" if home.row else ""
        strides = [stride // x.itemsize for stride in x.strides]
        terms = [f"{i} * {n}" for i, size, n in zip(at.split(), x.shape, strides, strict=False) if size > 1 and n]
        if self._long and not row:
            terms, start = [*terms, start], "0"
        stored = "uint8" if x.dtype == np.bool_ else x.dtype.name
        pointer = self._told(f"pointer({home.name}, {start}{row}, np.{stored})", f"{stored}s")
        return f"{pointer}[{' + '.join(terms) or '0'}]"

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
            dtype = call.out.dtype.name
            expression = (ARITHMETIC.get(call.function) or FUNCTIONS[call.function]).format(*operands, dtype=dtype)
            names[fusing.form(call.out)] = f"v{next(self._numbers)}"
            every.append(f"{names[fusing.form(call.out)]} = {_type(dtype)}({expression})")
        every += [f"{at(out)} = {names[fusing.form(out)]}" for out in fusing.stored(run, read)]
        self._lines += [*once, *self._nest(enumerate(shape), every)]

    def _add_product(self, call: Call) -> None:
        a, b = call.inputs
        a, out = a.reshape((-1, len(b))), call.out.reshape((-1, b.shape[1]))
        if not len(b) > out.size <= VARIABLES:
            total = [f"total += {self._at(a, 'i0 k')} * {self._at(b, 'k i1')}"]
            lines = [
                f"total = {_type(out.dtype.name)}(0)",
                f"for k in range({len(b)}):",
                *indented(total),
                f"{self._at(out)} = total",
            ]
            self._lines += self._nest(enumerate(out.shape), lines)
            return
        totals = {(i, j): f"v{next(self._numbers)}" for i, j in np.ndindex(out.shape)}
        terms = [f"{v} += {self._at(a, f'{i} k')} * {self._at(b, f'k {j}')}" for (i, j), v in totals.items()]
        self._lines += [f"{v} = {_type(out.dtype.name)}(0)" for v in totals.values()]
        self._lines += [f"for k in range({self._length(len(b))}):", *indented(terms)]
        self._lines += [f"{self._at(out, f'{i} {j}')} = {v}" for (i, j), v in totals.items()]

    def _add_reduction(self, call: Call) -> None:
        reduction, x, out = call.function, *call.inputs, call.out
        axes = range(x.ndim) if reduction.axis is None else [axis % x.ndim for axis in np.atleast_1d(reduction.axis)]
        out = out if reduction.keepdims else np.expand_dims(out, tuple(axes))
        first = " ".join("0" if axis in axes else i for axis, i in zip(range(x.ndim), AXES.split(), strict=False))
        start = self._at(x, first) if reduction.ufunc.identity is None else str(reduction.ufunc.identity)
        total = f"total = {_type(out.dtype.name)}({ARITHMETIC[reduction.ufunc].format('total', self._at(x))})"
        lengths = list(enumerate(x.shape))
        inner = _loops([own for own in lengths if own[0] in axes], [total])
        lines = [f"total = {_type(out.dtype.name)}({start})", *inner, f"{self._at(out)} = total"]
        self._lines += self._nest([own for own in lengths if own[0] not in axes], lines)

    def _nest(self, axes: Iterable[tuple[int, int]], lines: list[str]) -> list[str]:
        """Return lines inside of loops over axes, each with its length."""
        axes = list(axes)
        return _loops([(axis, self._length(n)) for axis, n in axes[:1]] + axes[1:], lines)


def _type(dtype: str) -> str:
    return "np.bool_" if dtype == "bool" else f"np.{dtype}"


def _loops(axes: list[tuple[int, Any]], lines: list[str]) -> list[str]:
    """Return lines inside of loops over axes, each with its length."""
    for axis, length in reversed(axes):
        lines = [f"for i{axis} in range({length}):", *indented(lines)]
    return lines


def indented(lines: list[str]) -> list[str]:
    """Return lines one level deeper."""
    return [f"    {line}" for line in lines]
