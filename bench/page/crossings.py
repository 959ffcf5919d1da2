"""Where the lines of two backends cross on paper with two logarithmic axes, between the sizes that were measured."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations, pairwise

from bench.statistics import Estimate

Line = Mapping[float, Estimate]
"""The seconds at each size."""


@dataclass(frozen=True)
class Crossing:
    """Up to `size` one line is the faster, from there on another; `size` and `seconds` are interpolated.

    They were measured at `from_size` and `to_size`. It is `told_apart` where the intervals at both do not overlap.
    """

    before: str
    after: str
    size: float
    seconds: float
    from_size: float
    to_size: float
    told_apart: bool


def crossings(lines: Mapping[str, Line]) -> list[Crossing]:
    """Return every crossing of two lines, by their names, at sizes where both were measured."""
    return [found for one, other in combinations(lines, 2) for found in _of(one, lines[one], other, lines[other])]


def _of(one: str, a: Line, other: str, b: Line) -> Iterator[Crossing]:
    """Yield where two lines cross: a straight line between neighbours is a power law; a tie that changes sides is one too."""
    lead = {size: math.log(a[size].value / b[size].value) for size in sorted(set(a) & set(b))}
    decided = [size for size, difference in lead.items() if difference]
    for left, right in pairwise(decided):
        if lead[left] * lead[right] > 0:
            continue
        ties = [size for size in lead if left < size < right]
        size = float(ties[0]) if ties else _interpolated(left, right, lead[left] / (lead[left] - lead[right]))
        names = (one, other) if lead[left] < 0 else (other, one)
        apart = all(_apart(a[end], b[end]) for end in (left, right))
        yield Crossing(*names, size, _at(a, size), left, right, apart)


def _interpolated(left: float, right: float, share: float) -> float:
    return float(left * (right / left) ** share)


def _at(line: Line, size: float) -> float:
    """Return the seconds at a size between two that were measured."""
    left, right = max(n for n in line if n <= size), min(n for n in line if n >= size)
    if left == right:
        return line[left].value
    return _interpolated(line[left].value, line[right].value, math.log(size / left) / math.log(right / left))


def _apart(one: Estimate, other: Estimate) -> bool:
    return one.high < other.low or other.high < one.low
