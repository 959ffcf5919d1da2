"""A user's own functions as cases: `case` declares one, `load` finds those of a file, `problem` makes one callable."""

from __future__ import annotations

import contextlib
import importlib.util
import inspect
import itertools
import math
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from numbers import Integral
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from backends import ArraybenchError, Backend, Tree, host
from backends.base import first_line, leaves, tree_map
from bench.cases import CONTROL, Case
from bench.gate import MismatchError
from bench.workloads import Problem

DTYPE, DTYPES = "float32", ("float64", "float32", "bfloat16")
ATTRIBUTE = "__arraybench_case__"
EAGER, COMPILED = IMPLEMENTATIONS = ("eager", "compiled")
Function = TypeVar("Function", bound=Callable[..., Any])
Values = Mapping[str, Any]


@dataclass(frozen=True)
class Declared:
    """What is to be measured: `function(*inputs(**values))` for every combination of the axes' values."""

    name: str
    function: Callable[..., Any]
    inputs: Callable[..., Any]
    axes: Mapping[str, Sequence[Any]]
    oracle: Callable[..., Any]
    tolerance: float | None = None
    flops: Callable[..., float] | float | None = None
    bytes: Callable[..., float] | float | None = None
    compiled: bool = True

    @property
    def variants(self) -> dict[tuple[str, str], Values]:
        """The axes' values by what the table calls them, `n=4096,columns=10` or `-` where there are none, and the dtype."""
        combinations = itertools.product(*self.axes.values())
        named = [{"dtype": DTYPE} | dict(zip(self.axes, values, strict=True)) for values in combinations]
        return {(_label(values), str(values["dtype"])): values for values in named}

    @property
    def implementations(self) -> tuple[str, ...]:
        """The function as it is, and compiled where it may be."""
        return IMPLEMENTATIONS if self.compiled else (EAGER,)

    def cases(self, source: str) -> list[Case]:
        """Return a case for every variant and implementation."""
        return [
            Case(self.name, variant, implementation, 1, dtype, source=source)
            for variant, dtype in self.variants
            for implementation in self.implementations
        ]

    def case(self, source: str, chosen: Values) -> Case:
        """Return the eager case of the chosen values, the other axes at their first one.

        Raise ArraybenchError for an axis or a value that there is not.
        """
        if unknown := [name for name in chosen if name not in self.axes]:
            raise ArraybenchError(f"{self.name} has no axis {unknown[0]}; it has {', '.join(self.axes) or 'none'}")
        values = {"dtype": DTYPE} | {name: chosen.get(name, own[0]) for name, own in self.axes.items()}
        dtype = str(values["dtype"])
        if self.values(_label(values), dtype) is None:
            asked = ",".join(f"{name}={value}" for name, value in chosen.items())
            raise ArraybenchError(f"{self.name} has no case with {asked}; its axes are {_listed(self.axes)}")
        return Case(self.name, _label(values), EAGER, 1, dtype, source=source)

    def values(self, label: str, dtype: str) -> Values | None:
        """Return the axes' values that a label and a dtype stand for; None where the axes do not have them.

        An axis of positive whole numbers has every other positive whole number too, listed or not: so there are sizes between.
        """
        axes = {name: values for name, values in self.axes.items() if name != "dtype"}
        texts = axis_texts(label, axes)
        known = {
            name: _value(values, texts[name])
            for name, values in axes.items()
            if name in texts and re.fullmatch(_texts(values), texts[name])
        }
        if (
            list(known) != list(axes)
            or _label(known) != label
            or dtype not in map(str, self.axes.get("dtype", [DTYPE]))
        ):
            return None
        return {"dtype": dtype} | known


def case(
    inputs: Callable[..., Any],
    *,
    axes: Mapping[str, Sequence[Any]] | None = None,
    oracle: Callable[..., Any] | None = None,
    tolerance: float | None = None,
    flops: Callable[..., float] | float | None = None,
    bytes: Callable[..., float] | float | None = None,  # noqa: A002 - the table's word for it
    compiled: bool = True,
) -> Callable[[Function], Function]:
    """Declare a function of the array API as a case of `arraybench run FILE`; the function itself stays as it is.

    `inputs` returns what the function is called with, once, outside the clock: one NumPy array, or a tuple of arrays, tuples of
    arrays and plain values. Floating arrays are cast to the case's dtype and placed on the backend. `axes` names values to go
    through, all combinations of them; each is given to `inputs`, `flops` and `bytes` where they have a parameter of its name, and
    to the function and the oracle where they have a keyword-only one. An axis `dtype` is the dtype, else it is float32. A
    keyword-only parameter `xp` gets the backend's namespace.

    What the function returns, an array or nested tuples, lists and dicts of them, must agree with `oracle` on the same inputs in
    float64 and NumPy (without one, with the function itself there) within `tolerance`, relative to the oracle's root mean
    square: by default 1e-4 in float32, 1e-10 in float64. `flops` and `bytes` are the work of a call, if it is known.
    `compiled=False` leaves out the compiled form, for what no compiler can trace.
    """

    def declare_it(function: Function) -> Function:
        if hasattr(function, ATTRIBUTE):
            raise ArraybenchError(f"{function.__name__} is declared twice; give bench.case all its axes at once")
        declared = declare(
            function,
            inputs,
            axes or {},
            oracle=oracle,
            tolerance=tolerance,
            flops=flops,
            bytes=bytes,
            compiled=compiled,
        )
        setattr(function, ATTRIBUTE, declared)
        return function

    return declare_it


def declare(
    function: Callable[..., Any],
    inputs: Callable[..., Any],
    axes: Mapping[str, Sequence[Any]],
    oracle: Callable[..., Any] | None = None,
    **options: Any,
) -> Declared:
    """Return a function as `case` declares it; raise ArraybenchError where an axis is no list of values."""
    name = getattr(function, "__name__", type(function).__name__)
    for axis, values in axes.items():
        if isinstance(values, str) or not isinstance(values, Sequence) or not values:
            raise ArraybenchError(f"the axis {axis} of {name} is {values!r}; give it a list of values")
    if unknown := [str(dtype) for dtype in axes.get("dtype", ()) if str(dtype) not in DTYPES]:
        raise ArraybenchError(f"{name} has no dtype {unknown[0]}; give of {', '.join(DTYPES)}")
    tolerance = options.get("tolerance")
    if tolerance is not None and not tolerance >= 0:
        raise ArraybenchError(f"the tolerance of {name} is {tolerance!r}; give a number of 0 or more")
    return Declared(name, function, inputs, dict(axes), oracle or function, **options)


@cache
def load(file: Path) -> dict[str, Declared]:
    """Return the functions that a file of Python declares, by name; raise ArraybenchError where it cannot be had or has none."""
    spec = (
        importlib.util.spec_from_file_location(f"arraybench_file_{file.stem}", file) if file.suffix == ".py" else None
    )
    if spec is None or spec.loader is None or not file.is_file():
        raise ArraybenchError(
            f"{file} is no file of Python; give the path of one that declares functions by bench.case"
        )
    module = importlib.util.module_from_spec(spec)
    sys.path.insert(0, str(file.parent))  # as `python FILE` has it: what lies beside the file can be imported
    sys.modules[spec.name] = module
    try:
        with contextlib.redirect_stdout(sys.stderr):  # stdout may be for one JSON object, or for a worker's answers
            spec.loader.exec_module(module)
    except ArraybenchError:
        raise
    except (Exception, SystemExit) as error:
        raise ArraybenchError(f"{file} cannot be imported: {type(error).__name__}: {first_line(error)}") from error
    finally:
        sys.path.remove(str(file.parent))
    found: dict[str, Declared] = {}
    for value in filter(None, map(_declared, vars(module).values())):
        if found.setdefault(value.name, value) is not value:
            raise ArraybenchError(f"{file} declares two functions called {value.name}; give each a __name__ of its own")
    if not found:
        raise ArraybenchError(f"{file} declares no case; put @bench.case(inputs) above a function")
    return found


def cases(file: Path) -> list[Case]:
    """Return the cases of a file, and the first of them once more under a second label: the run's own error."""
    source = file.resolve()
    first, *rest = [one for declared in load(source).values() for one in declared.cases(str(source))]
    return [first, replace(first, implementation=CONTROL), *rest]


def find(one: Case) -> tuple[Declared, Values]:
    """Return what a case was declared as, and its axes' values; of an axis of positive whole numbers that may be any other.

    Raise ArraybenchError where its file does not declare it any more.
    """
    declared = load(Path(one.source)).get(one.workload)
    values = declared.values(one.network, one.dtype) if declared else None
    if declared is None or values is None:
        raise ArraybenchError(
            f"{one.source} has no case {one.id} any more (axes need values that are written alike in every process); "
            "start a new run"
        )
    return declared, values


def problem(one: Case, backend: Backend) -> Problem:
    """Return the problem of a case that was declared."""
    declared, values = find(one)
    return build(declared, values, one.implementation == COMPILED, backend)


def build(declared: Declared, values: Values, compiled: bool, backend: Backend) -> Problem:
    """Return a function on its inputs as a problem, for one combination of the axes' values, `dtype` among them."""
    dtype = str(values["dtype"])
    given = _given(declared.inputs, values, positional=True)
    arguments = _blaming("inputs", declared, lambda: declared.inputs(**given))
    arguments = arguments if isinstance(arguments, tuple) else (arguments,)
    placed = [i for i, argument in enumerate(arguments) if _is_arrays(argument)]
    if not placed:
        raise ArraybenchError(f"the inputs of {declared.name} have no array in them; make them NumPy arrays")
    inputs = tuple(_cast(arguments[i], dtype) for i in placed)

    def on(function: Callable[..., Any], xp: Any) -> Callable[..., Tree]:
        bound = partial(function, **_given(function, {**values, "xp": xp}))

        def call(*arrays: Any) -> Tree:
            filled = list(arguments)
            for i, array in zip(placed, arrays, strict=True):
                filled[i] = array
            return bound(*filled)

        call.__qualname__ = call.__name__ = declared.name  # for what a compiler says of it
        return call

    form: list[str] = []  # of what the oracle returns

    def oracle() -> list[Any]:
        result = _blaming("oracle", declared, lambda: on(declared.oracle, np)(*_cast(inputs, "float64")))
        form[:] = [_form(result)]
        return [np.asarray(array) for array in leaves(_ordered(result))]

    def outputs(result: Tree, to_host: Callable[[Any], Any]) -> list[Any]:
        if form and form[0] != _form(result):
            raise MismatchError(f"it returns {_form(result)}, and its oracle {form[0]}")
        found = list(leaves(_ordered(result)))
        for stranger in [array for array in found if not backend.owns(array)]:
            kind = f"{type(stranger).__module__}.{type(stranger).__qualname__}"
            raise ArraybenchError(f"{declared.name} returned a {kind}, which is no array of {backend.name}")
        return [to_host(array) for array in found]

    function = on(declared.function, backend.xp)
    return Problem(
        function=backend.compile(function) if compiled else function,
        inputs=inputs,
        outputs=outputs,
        oracle=oracle,
        flops=_work(declared.flops, values),
        bytes=_work(declared.bytes, values),
        parameters=0,
        tolerance=declared.tolerance,
    )


def _blaming(what: str, declared: Declared, call: Callable[[], Any]) -> Any:
    """Return what a call returns; where it fails, raise ArraybenchError that says whose it is."""
    try:
        return call()
    except Exception as error:
        raise ArraybenchError(
            f"the {what} of {declared.name} failed: {type(error).__name__}: {first_line(error)}"
        ) from error


def _ordered(tree: Tree) -> Tree:
    """Return a tree with the keys of its dicts in their order: a compiler returns them so, whatever order they had."""
    if isinstance(tree, dict):
        return {key: _ordered(tree[key]) for key in sorted(tree, key=str)}
    return type(tree)(map(_ordered, tree)) if type(tree) in (tuple, list) else tree


def _form(tree: Tree) -> str:
    """Return in words what trees share that have the same arrays in the same places."""
    if isinstance(tree, dict):
        return f"{{{', '.join(f'{key}: {_form(tree[key])}' for key in sorted(tree, key=str))}}}"
    if isinstance(tree, tuple | list):
        return f"({', '.join(map(_form, tree))})"
    return "None" if tree is None else "an array"


def _label(values: Values) -> str:
    return ",".join(f"{name}={value}" for name, value in values.items() if name != "dtype") or "-"


def axis_texts(label: str, axes: Iterable[str] = ()) -> dict[str, str]:
    """Return the values, as text, of the axes that a label is made of: of these, or of whatever may be an axis's name.

    Nothing where it has no axis.
    """
    name = "|".join(map(re.escape, axes)) or r"[^\W\d]\w*"
    names = list(re.finditer(f"(?:^|,)({name})=", label))
    ends = [*(name.start() for name in names[1:]), len(label)]
    return {name[1]: label[name.end() : end] for name, end in zip(names, ends, strict=False)}


def axis_values(label: str) -> dict[str, int | float | str]:
    """Return the axes' values that a label is made of, those that are numbers as numbers."""
    return {name: _number(text) for name, text in axis_texts(label).items()}


def _number(text: str) -> int | float | str:
    for kind in (int, float):
        try:
            value = kind(text)
        except ValueError:
            continue
        return value if math.isfinite(value) else text
    return text


def whole(values: Sequence[Any]) -> bool:
    """Tell whether the values of an axis are positive whole numbers, so that others lie between them."""
    return all(isinstance(value, Integral) and not isinstance(value, bool) and int(value) > 0 for value in values)


def work_at(one: Case) -> int | None:
    """Return the floating-point operations of a call of a case that was declared; None where they are not known."""
    declared, values = find(one)
    return _work(declared.flops, values)


def _texts(values: Sequence[Any]) -> str:
    """Return the pattern of what a label may call the values of an axis."""
    return "[1-9][0-9]*" if whole(values) else "|".join(re.escape(str(value)) for value in values)


def _value(values: Sequence[Any], text: str) -> Any:
    return int(text) if whole(values) else {str(value): value for value in values}[text]


def _listed(axes: Mapping[str, Sequence[Any]]) -> str:
    return ", ".join(f"{name} ({', '.join(map(str, values))})" for name, values in axes.items()) or "none"


def _declared(value: Any) -> Declared | None:
    found = getattr(value, ATTRIBUTE, None)
    return found if isinstance(found, Declared) else None


def _given(function: Callable[..., Any], values: Values, positional: bool = False) -> dict[str, Any]:
    """Return those values that a function has a parameter for, a keyword-only one unless `positional`."""
    kinds = {inspect.Parameter.KEYWORD_ONLY} | ({inspect.Parameter.POSITIONAL_OR_KEYWORD} if positional else set())
    try:
        parameters = inspect.signature(function).parameters.values()
    except ValueError:  # written in C, and silent about what it takes
        return {}
    if positional and any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in parameters):
        return dict(values)
    return {p.name: values[p.name] for p in parameters if p.kind in kinds and p.name in values}


def _work(work: Callable[..., float] | float | None, values: Values) -> int | None:
    if callable(work):
        work = work(**_given(work, values, positional=True))
    return None if work is None else round(work)


def _is_arrays(argument: Any) -> bool:
    """Tell whether an argument is an array or a tuple of arrays, and not a plain value that the function is to see as it is."""
    if isinstance(argument, tuple):
        return bool(argument) and all(map(_is_arrays, argument))
    return isinstance(argument, np.ndarray)


def _cast(tree: Tree, dtype: str) -> Any:
    """Return host arrays with every floating one in that dtype."""

    def cast(array: Any) -> Any:
        floating = array.dtype.kind == "f" or array.dtype.name == "bfloat16"
        return array.astype(host.numpy_dtype(dtype)) if floating else array.copy()

    return tree_map(cast, tree)
