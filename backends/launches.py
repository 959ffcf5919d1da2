"""What a function starts on a device, taken down call by call, for a library that has no protocol for that.

The function is given a stand-in for each of its arrays, and the library's functions, in a namespace that knows stand-ins. Every
call is made, on the arrays behind them; a view of an array is one again and starts nothing. What needs an array's values, or more
of it than a stand-in has, cannot be taken down.
"""

from __future__ import annotations

import functools
import operator
import types
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

import numpy as np

from backends.base import Array, Tree, leaves
from backends.formulas import formula
from backends.recording import Call, UnrecordableError, copied, is_array, overlap, replaced

FACTS = ("shape", "dtype", "ndim", "size", "device")
VIEWS = ("T", "mT")
UNARY = {"neg": "negative", "pos": "positive", "abs": "abs", "invert": "bitwise_invert"}
COMPARISONS = {
    "lt": "less",
    "le": "less_equal",
    "gt": "greater",
    "ge": "greater_equal",
    "eq": "equal",
    "ne": "not_equal",
}
BINARY = {
    "add": "add",
    "sub": "subtract",
    "mul": "multiply",
    "truediv": "divide",
    "floordiv": "floor_divide",
    "mod": "remainder",
    "pow": "pow",
    "matmul": "matmul",
    "and": "bitwise_and",
    "or": "bitwise_or",
    "xor": "bitwise_xor",
}
"""Python's operators, and the standard's functions that they are."""
REDUCTIONS = ("all", "any", "argmax", "argmin", "max", "mean", "min", "prod", "sum")

_tape: ContextVar[Tape | None] = ContextVar("_tape", default=None)


class Recorded:
    """An array whose use is taken down."""

    __slots__ = ("array",)
    __array_ufunc__ = None  # an array on the left of an operator leaves it to the right

    def __init__(self, array: Array) -> None:
        self.array = array

    def __getattr__(self, name: str) -> Any:
        if name in FACTS:
            return getattr(self.array, name)
        if name in VIEWS:
            return _call(name, operator.attrgetter(name), (self,), {})
        raise UnrecordableError(f"the member {name} of an array")

    def __getitem__(self, key: Any) -> Any:
        return _call("getitem", operator.getitem, (self, key), {})

    def __len__(self) -> int:
        return len(self.array)

    def _refuse(self, *_: Any, **__: Any) -> Any:
        raise UnrecordableError("an array's value taken out, or changed in place")

    __bool__ = __float__ = __int__ = __index__ = __complex__ = __array__ = __setitem__ = _refuse


def _operator(name: str, function: Callable[..., Any], reflected: bool = False) -> Callable[..., Any]:
    def method(*operands: Any) -> Any:
        return _call(name, function, operands[::-1] if reflected else operands, {})

    return method


for _short, _name in (UNARY | COMPARISONS | BINARY).items():
    setattr(Recorded, f"__{_short}__", _operator(_name, getattr(operator, f"__{_short}__")))
for _short, _name in BINARY.items():
    setattr(Recorded, f"__r{_short}__", _operator(_name, getattr(operator, f"__{_short}__"), reflected=True))


def namespace(xp: Any, name: str) -> Any:
    """Return the namespace `xp` under another name, with functions that can be taken down."""
    watched = types.ModuleType(name, xp.__doc__)
    functions = {key: value for key, value in vars(xp).items() if callable(value) and not isinstance(value, type)}
    watched.__dict__.update(vars(xp) | {key: _watched(key, value) for key, value in functions.items()})
    watched.__dict__["__name__"] = name
    return watched


def _watched(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function, updated=())
    def recordable(*arguments: Any, **options: Any) -> Any:
        if _tape.get() is None:
            return function(*arguments, **options)
        return _call(name, function, arguments, options)

    return recordable


def _call(name: str, function: Callable[..., Any], arguments: tuple[Any, ...], options: dict[str, Any]) -> Any:
    tape = _tape.get()
    if tape is None:
        raise UnrecordableError("a stand-in of an array that has left the step")
    return tape.call(name, function, arguments, options)


def watched() -> bool:
    """Tell whether the calls of the moment are taken down."""
    return _tape.get() is not None


def count(function: Callable[..., Any], arguments: tuple[Any, ...], library: Any) -> int:
    """Return how many calls a function makes that give no view; raise UnrecordableError where that cannot be seen."""
    tape = Tape(library)
    stand_ins = (Recorded(x) for x in leaves(arguments) if isinstance(x, library.ndarray))
    tape.watching(function)(*replaced(arguments, library.ndarray, stand_ins))
    return len(tape.calls)


class Tape:
    """The calls of a function, in their order: all but those that give a view."""

    def __init__(self, library: Any) -> None:
        self.calls: list[Call] = []
        self._library = library

    def watching(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return the function, whose calls are taken down here."""

        def recorded(*arguments: Any) -> Any:
            token = _tape.set(self)
            try:
                return function(*arguments)
            finally:
                _tape.reset(token)

        return recorded

    def array(self, x: Array) -> Recorded:
        """Return an array that is recorded from now on."""
        return Recorded(x)

    def plain(self, x: Any) -> Array:
        """Return a recorded array as the library has it, or an array that was none."""
        return x.array if isinstance(x, Recorded) else self._library.asarray(x)

    def copy(self, x: Array, out: Array) -> Call:
        """Return the call that copies an array."""
        return self._taken("astype", self._library.copy, (Recorded(x),), {}, out)

    def call(self, name: str, function: Callable[..., Any], arguments: tuple[Any, ...], options: dict[str, Any]) -> Any:
        """Call a function, take the call down unless it gives a view, and return its result for further use."""
        given = [x.array for x in leaves((arguments, options)) if isinstance(x, Recorded)]
        result = function(*plain(arguments), **plain(options))
        if not given:
            return result
        if isinstance(result, tuple | list) and all(self._is_view(part, given) for part in result):
            return type(result)(map(Recorded, result))
        if self._is_view(result, given):
            return Recorded(result)
        if not isinstance(result, self._library.ndarray | np.generic):
            raise UnrecordableError(f"{name}, whose result is no array")
        out = self._library.asarray(result)
        self.calls.append(self._taken(name, function, arguments, options, out))
        return Recorded(out)

    def _is_view(self, result: Any, given: list[Array]) -> bool:
        return isinstance(result, self._library.ndarray) and any(overlap(result, x) for x in given)

    def _taken(self, name: str, function: Any, arguments: Any, options: dict[str, Any], out: Array) -> Call:
        """Return a call in the form in which it writes into `out`: by itself where it can, or else by a copy."""
        library, inputs = self._library, plain(arguments)
        operands = list(inputs[:1] if name == "astype" else inputs)
        if (not options or name == "astype") and (expression := formula(name, operands, out)):
            return Call(expression, [x for x in operands if is_array(x)], out, elementwise=True)
        if name == "matmul" and not options:
            product = (
                library.dot if out.ndim == 2 and inputs[0].ndim == 2 else library.matmul
            )  # the same, in fewer steps
            return Call(lambda a, b, out: product(a, b, out=out), list(inputs), out)
        if name in REDUCTIONS and len(inputs) == 1:
            reduction = getattr(library, name)
            return Call(lambda x, out: reduction(x, **options, out=out), list(inputs), out)
        if name == "concat" and not options and len(inputs) == 1:
            return Call(lambda *x: library.concatenate(x[:-1], out=x[-1]), list(inputs[0]), out, joins=True)

        given = [x.array for x in leaves((arguments, options)) if isinstance(x, Recorded)]
        return Call(copied(function, arguments, options, Recorded, library), given, out)


def plain(tree: Tree) -> Any:
    """Return a tree with the arrays behind its stand-ins in their places."""
    return replaced(tree, Recorded, (x.array for x in leaves(tree) if isinstance(x, Recorded)))
