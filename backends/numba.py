"""NumPy on the CPU, compiled by Numba."""

from __future__ import annotations

import contextlib
import itertools
import math
import weakref
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np

from backends import recording, replay
from backends.base import Array, Step, Tree, leaves, library_missing, rebuilt
from backends.numpy import NumpyBackend
from backends.recording import UnrecordableError

try:
    import numba
except ModuleNotFoundError as error:
    raise library_missing("numba", "arraybench[numba]") from error

from backends import loopnests

CALLS = 10_000
"""As many numbers as a step's calls of NumPy cost, whatever their arrays are."""
WORTH = 1 << 25
"""Numbers that steps of one shape go through, some 50 ms of NumPy's time, before a second or two are spent on compiling them."""


class NumbaBackend(NumpyBackend):
    """NumPy's arrays and calls, compiled as far as loops are faster: a function at once, a step when it is folded often."""

    name = "numba"
    compiles = True

    @classmethod
    def version(cls) -> str:
        return numba.__version__

    def __init__(self, device: str = "cpu") -> None:
        super().__init__(device)
        self._programs: weakref.WeakKeyDictionary[Step, replay.Known] = weakref.WeakKeyDictionary()
        self._work: weakref.WeakKeyDictionary[Step, Counter[tuple[int, ...]]] = weakref.WeakKeyDictionary()

    def compile_seconds(self) -> float:
        return loopnests.compile_seconds()

    def compile(self, function: Callable[..., Any]) -> Callable[..., Any]:
        return _Compiled(function)

    def _replayed(self, step: Step, state: Tree, over: tuple[Array, ...], data: tuple[Array, ...]) -> tuple[Tree, Tree]:
        if self._is_worth_compiling(step, state, over):
            with contextlib.suppress(UnrecordableError):  # it is folded as by NumPy then
                return replay.fold(step, state, over, data, self._programs.setdefault(step, {}), loopnests.Program)
        return super()._replayed(step, state, over, data)

    def _is_worth_compiling(self, step: Step, state: Tree, over: tuple[Array, ...]) -> bool:
        """Tell it by the work of all steps of such batches so far: by no clock, so that a second run does the same."""
        steps, *batch = over[0].shape
        work = self._work.setdefault(step, Counter())
        work[tuple(batch)] += steps * (CALLS + sum(math.prod(x.shape) for x in leaves(state)))
        return work[tuple(batch)] >= WORTH


class _Compiled:
    """A pure function, compiled for each form of its arguments; what cannot be recorded, or folds, runs as it is written."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function
        self._known: dict[Any, tuple[Callable[..., Any], Tree] | None] = {}

    def __call__(self, *arguments: Tree) -> Tree:
        arrays: list[Array] = []
        form = _form(arguments, arrays)
        if form not in self._known:
            self._known[form] = self._compiled(arguments) if all(type(x) is np.ndarray for x in arrays) else None
        if (known := self._known[form]) is None:
            return self._function(*arguments)
        compiled, result = known
        return rebuilt(result, iter(compiled(*arrays)))

    def _compiled(self, arguments: tuple[Tree, ...]) -> tuple[Callable[..., Any], Tree] | None:
        """Return the function of the arguments' arrays, and the tree of its results; None where it cannot be recorded."""

        def step(state: Tree, batch: tuple[Array, ...]) -> tuple[Tree, tuple[Array, ...]]:
            return state, tuple(leaves(self._function(*rebuilt(arguments, iter(batch)))))

        try:
            found = recording.find(step, (), tuple(leaves(arguments)), {}, loopnests.Function, np)
        except UnrecordableError:
            return None
        return found, rebuilt(self._function(*arguments), itertools.repeat(0))  # type: ignore[return-value]


def _form(tree: Tree, arrays: list[Array]) -> Any:
    """Return what trees share that a function is compiled for once, and add the tree's leaves to `arrays`."""
    if isinstance(tree, tuple | list):
        return type(tree), *[_form(branch, arrays) for branch in tree]
    if isinstance(tree, dict):
        return tuple(tree), *[_form(branch, arrays) for branch in tree.values()]
    if tree is None:
        return None
    arrays.append(tree)
    return type(tree), getattr(tree, "shape", None), getattr(tree, "dtype", None)
