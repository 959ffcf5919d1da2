"""CuPy's compiler: a step is recorded once, and run again as few kernels on the arrays that it made.

On a GPU a call on small arrays is mostly its launch, and CuPy's own way to it. So elementwise calls are made in runs, each one
kernel of a generated source; what only the run reads never leaves a register. Products and reductions write where the recording
has their results, a batch is read and an output written where the fold has them: nothing is copied, and nothing allocated.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from functools import partial
from typing import Any

from backends import recording
from backends.base import Array, Step, StepError, Tree, first_batch
from backends.formulas import TYPES
from backends.fusing import form, runs, stored
from backends.launches import Tape, count, plain, watched
from backends.recording import Call, Known, Recording, UnrecordableError, address, is_all_of_a_result, overlap

MakeKernel = Callable[[str, str, str, str], Callable[..., Any]]
"""From inputs, outputs, body and name to a kernel that is called with arrays: `cupy.ElementwiseKernel`, or what does the same."""
Launch = tuple[Callable[..., Any], list[Array]]


class Compiler:
    """Folds steps on one library, each as a program."""

    def __init__(self, library: Any, make: MakeKernel) -> None:
        self._library, self._record = library, partial(Program, library=library, make=make)
        self._programs: weakref.WeakKeyDictionary[Step, Known] = weakref.WeakKeyDictionary()

    def fold(self, step: Step, state: Tree, over: tuple[Array, ...], data: tuple[Array, ...] = ()) -> tuple[Tree, Tree]:
        """Fold as `Backend.fold` does; raise UnrecordableError, with nothing changed, for a step that has no program."""
        known = self._programs.setdefault(step, {})
        if watched():
            first = first_batch(self._library, plain(over), plain(data))
            raise StepError(partial(self._step_launches, step, plain(state), first, known))
        return recording.fold(step, state, over, data, known, self._record, self._library)

    def launches(self, function: Callable[..., Any], *arguments: Any) -> int | None:
        """Return what `Backend.launches` does: the calls that a function makes, or the launches of one step where it folds."""
        try:
            return self._launches(function, arguments)
        except Exception:  # a function that needs an array's values, or a library that does not take a stand-in
            return None

    def _launches(self, function: Callable[..., Any], arguments: tuple[Any, ...]) -> int:
        try:
            return count(function, arguments, self._library)
        except StepError as folds:
            return int(folds.step())

    def _step_launches(self, step: Step, state: Tree, batch: tuple[Array, ...], known: Known) -> int:
        try:
            program = recording.find(step, state, batch, known, self._record, self._library)
        except UnrecordableError:
            return count(step, (state, batch), self._library)
        assert isinstance(program, Program)
        return len(program.launches)


class Program(Recording):
    """A step on arrays of certain shapes, as launches."""

    def __init__(self, step: Step, state: Tree, batch: tuple[Array, ...], library: Any, make: MakeKernel) -> None:
        self._library, self._make, tape = library, make, Tape(library)
        super().__init__(tape.watching(step), state, batch, tape, library)

    def build(self, calls: list[Call]) -> None:
        self.launches = schedule(calls, [*self.state, *self.output], self._make)

    def may_stay(self, x: Array, calls: list[Any]) -> bool:
        """Tell whether an output is all of an array that a call makes: its calls are then made on the output's own rows."""
        return is_all_of_a_result(x, calls, apart_from=[*self.state, *self.batch, *self.output])

    def run(self, over: tuple[Array, ...], data: tuple[Array, ...]) -> tuple[Array, ...]:
        steps, gathered = len(over[0]), len(data)
        outputs = tuple(self._library.empty((steps, *array.shape), array.dtype) for array in self.output)
        homes = [*self.output, *self.batch[gathered:]]
        stacks = [*outputs, *map(self._library.ascontiguousarray, over[1:] if data else over)]
        launches = [(function, list(arguments)) for function, arguments in self.launches]
        moving = [
            (arguments, i, self._rows(x, home, stacked))
            for _, arguments in launches
            for i, x in enumerate(arguments)
            for home, stacked in zip(homes, stacks, strict=True)
            if overlap(x, home)
        ]
        for step in range(steps):
            for buffer, array in zip(self.batch[:gathered], data, strict=True):
                self._library.take(array, over[0][step], axis=0, out=buffer)
            for arguments, i, rows in moving:
                arguments[i] = rows[step, ...]
            for function, arguments in launches:
                function(*arguments)
        return outputs

    def _rows(self, x: Array, home: Array, stacked: Array) -> Array:
        """Return for every row of `stacked` the view of it that `x` is of `home`."""
        first = stacked.reshape(-1)[(address(x) - address(home)) // x.itemsize :]
        strided: Any = self._library.lib.stride_tricks.as_strided
        return strided(first, (len(stacked), *x.shape), (home.nbytes, *x.strides))


def schedule(calls: list[Call], kept: list[Array], make: MakeKernel) -> list[Launch]:
    """Return calls as launches: one for each run of elementwise calls, and one for each other call. `kept` is read afterwards."""
    found: list[Launch] = []
    for number, run in enumerate(together := runs(calls, kept)):
        if not run[0].elementwise:
            found.append((run[0].function, [*run[0].reads, run[0].out]))
            continue
        elsewhere = [x for other in together if other is not run for call in other for x in call.reads]
        inputs, outputs, body = source(run, [*elsewhere, *kept])
        names = _parameters("x", inputs), _parameters("y", outputs)
        found.append((make(*names, body, f"run_{number}"), [*inputs, *outputs]))
    return found


def source(run: list[Call], outside: list[Array]) -> tuple[list[Array], list[Array], str]:
    """Return what a run reads, what it writes as it is read outside, and its body in C: x0, x1, … are read, y0, y1, … written."""
    names: dict[Any, str] = {}
    inputs: list[Array] = []
    lines: list[str] = []
    for call in run:
        for x in call.inputs:
            if form(x) not in names:
                names[form(x)] = f"x{len(inputs)}"
                inputs.append(x)
        expression = call.function.format(*(names[form(x)] for x in call.inputs))
        names[form(call.out)] = f"v{len(lines)}"
        lines.append(f"const {TYPES[call.out.dtype.name]} v{len(lines)} = {expression};")
    outputs = stored(run, outside)
    lines += [f"y{i} = {names[form(out)]};" for i, out in enumerate(outputs)]
    return inputs, outputs, "\n".join(lines)


def _parameters(letter: str, arrays: list[Array]) -> str:
    return ", ".join(f"{x.dtype.name} {letter}{i}" for i, x in enumerate(arrays))
