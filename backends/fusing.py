"""Which calls of a recording are made together: elementwise ones of one shape, as one kernel or one loop over their numbers.

A run need not be consecutive. From the last call to the first, each goes into the latest run that it fits, unless a call that it
would then come after needs it earlier: two calls that touch the same memory stay in their order.
"""

from __future__ import annotations

from typing import Any, TypeVar

from backends.base import Array
from backends.recording import Call, address, overlap, same

Own = TypeVar("Own", bound=Call)


def runs(calls: list[Own], kept: list[Array], *, spread: bool = True) -> list[list[Own]]:
    """Return calls in an order that does the same, those together that one kernel can make; what nobody reads is left out.

    `kept` is read afterwards. With `spread` a result that is smaller than its run's is made again for each number of those,
    as on a GPU that is cheaper than to launch it apart; without, only a lone number is.
    """
    found: list[list[Own]] = []
    for call in reversed(calls):
        later = [own for run in found for own in run]
        if not any(overlap(call.out, x) for x in (*kept, *(x for own in later for x in own.reads))):
            continue
        place = None
        for i, run in enumerate(found):
            if _fits(call, run, [x for own in later if own not in run for x in own.reads] + kept, spread):
                place = i
            if any(_shared(call, own) for own in run):
                break  # behind this run it would come too late
        if place is None:
            found.insert(0, [call])
        else:
            found[place].insert(0, call)
    return _merged(found)


def _merged(apart: list[list[Own]]) -> list[list[Own]]:
    """Return runs, each made with the earliest that it may be made with: none before it then comes after what it needs."""
    found: list[list[Own]] = []
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


def _fits(call: Own, run: list[Own], outside: list[Array], spread: bool) -> bool:
    """Tell whether a call can be the first of a run: it is then made for each place, a smaller one again and again.

    The run has the shape of its last call. Of a smaller result nobody `outside` may want to know.
    """
    shape, full = call.out.shape, run[-1].out.shape
    if not (
        call.elementwise and run[-1].elementwise and all(same(*pair) for own in run for pair in _shared(call, own))
    ):
        return False
    spreads = len(shape) <= len(full) and all(n in (1, m) for n, m in zip(shape[::-1], full[::-1], strict=False))
    smaller = spreads and (spread or call.out.size == 1)
    return shape == full or (smaller and not any(overlap(call.out, x) for x in outside))


def _are_alike(run: list[Own], other: list[Own]) -> bool:
    return run[-1].elementwise and other[-1].elementwise and run[-1].out.shape == other[-1].out.shape


def _shared(call: Call, later: Call) -> list[tuple[Array, Array]]:
    """Return in which arrays two calls meet that one of them writes: where they do, their order matters."""
    pairs = [*((call.out, x) for x in (*later.reads, later.out)), *((x, later.out) for x in call.reads)]
    return [pair for pair in pairs if overlap(*pair)]


def stored(run: list[Own], read: list[Array]) -> list[Array]:
    """Return the results of a run that are read elsewhere, where `read` is."""
    made = {form(call.out): call.out for call in run}
    return [out for out in made.values() if any(overlap(out, x) for x in read)]


def form(x: Array) -> Any:
    """Return what only the same place in the same form has."""
    return address(x), x.shape, x.strides, x.dtype.name
