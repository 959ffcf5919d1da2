"""CuPy's compiler: a step is recorded once, and run again as few kernels on the arrays that it made.

On a GPU a call on small arrays is mostly its launch, and CuPy's own way to it. So elementwise calls are made in runs, each one
kernel of a generated source; what only the run reads never leaves a register. Products and reductions write where the recording
has their results, a batch is read and an output written where the fold has them: nothing is copied, and nothing allocated.

A run need not be consecutive. From the last call to the first, each goes into the latest run that it fits, unless a call that it
would then come after needs it earlier: two calls that touch the same memory stay in their order.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from functools import partial
from typing import Any

from backends import recording
from backends.base import Array, Step, StepError, Tree, first_batch
from backends.formulas import TYPES
from backends.launches import Tape, count, plain, watched
from backends.recording import Call, Known, Recording, UnrecordableError, address, overlap, same

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
        alone = not any(overlap(x, y) for y in (*self.state, *self.batch, *self.output))
        made = any(address(call.out) == address(x) and call.out.nbytes == x.nbytes for call in calls)
        return alone and made and bool(x.flags.c_contiguous)

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


def runs(calls: list[Call], kept: list[Array]) -> list[list[Call]]:
    """Return calls in an order that does the same, those together that one kernel can make; what nobody reads is left out."""
    found: list[list[Call]] = []
    for call in reversed(calls):
        later = [own for run in found for own in run]
        if not any(overlap(call.out, x) for x in (*kept, *(x for own in later for x in own.reads))):
            continue
        place = None
        for i, run in enumerate(found):
            if _fits(call, run, [x for own in later if own not in run for x in own.reads] + kept):
                place = i
            if any(_shared(call, own) for own in run):
                break  # behind this run it would come too late
        if place is None:
            found.insert(0, [call])
        else:
            found[place].insert(0, call)
    return _merged(found)


def _merged(apart: list[list[Call]]) -> list[list[Call]]:
    """Return runs, each made with the earliest that it may be made with: none before it then comes after what it needs."""
    found: list[list[Call]] = []
    for run in apart:
        place = None
        for i in reversed(range(len(found))):
            shared = [pair for call in found[i] for own in run for pair in _shared(call, own)]
            if _are_alike(found[i], run) and all(same(*pair) for pair in shared):
                place = i
            if shared:
                break
        if place is None:
            found.append(run)
        else:
            found[place] += run
    return found


def _fits(call: Call, run: list[Call], outside: list[Array]) -> bool:
    """Tell whether a call can be the first of a run: each thread then makes it for its own place, a smaller one again and again.

    The run has the shape of its last call. Of a smaller result nobody `outside` may want to know.
    """
    shape, full = call.out.shape, run[-1].out.shape
    if not (
        call.elementwise and run[-1].elementwise and all(same(*pair) for own in run for pair in _shared(call, own))
    ):
        return False
    spreads = len(shape) <= len(full) and all(n in (1, m) for n, m in zip(shape[::-1], full[::-1], strict=False))
    return shape == full or (spreads and not any(overlap(call.out, x) for x in outside))


def _are_alike(run: list[Call], other: list[Call]) -> bool:
    return run[-1].elementwise and other[-1].elementwise and run[-1].out.shape == other[-1].out.shape


def _shared(call: Call, later: Call) -> list[tuple[Array, Array]]:
    """Return in which arrays two calls meet that one of them writes: where they do, their order matters."""
    pairs = [*((call.out, x) for x in (*later.reads, later.out)), *((x, later.out) for x in call.reads)]
    return [pair for pair in pairs if overlap(*pair)]


def source(run: list[Call], outside: list[Array]) -> tuple[list[Array], list[Array], str]:
    """Return what a run reads, what it writes as it is read outside, and its body in C: x0, x1, … are read, y0, y1, … written."""
    names: dict[Any, str] = {}
    inputs: list[Array] = []
    lines: list[str] = []
    for call in run:
        for x in call.inputs:
            if _form(x) not in names:
                names[_form(x)] = f"x{len(inputs)}"
                inputs.append(x)
        expression = call.function.format(*(names[_form(x)] for x in call.inputs))
        names[_form(call.out)] = f"v{len(lines)}"
        lines.append(f"const {TYPES[call.out.dtype.name]} v{len(lines)} = {expression};")
    made = {_form(call.out): call.out for call in run}
    outputs = [out for out in made.values() if any(overlap(out, x) for x in outside)]
    lines += [f"y{i} = {names[_form(out)]};" for i, out in enumerate(outputs)]
    return inputs, outputs, "\n".join(lines)


def _form(x: Array) -> Any:
    return address(x), x.shape, x.strides, x.dtype.name


def _parameters(letter: str, arrays: list[Array]) -> str:
    return ", ".join(f"{x.dtype.name} {letter}{i}" for i, x in enumerate(arrays))
