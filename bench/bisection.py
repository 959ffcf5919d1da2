"""The sizes at which one of two overtakes the other, found by halving instead of trying every size.

Two are compared by a function from a size to paired logarithms: for each process log(seconds of the first / seconds of the
second), so that a positive one means that the second is faster. What a size says counts once it is beyond doubt: the rule of
`statistics.verdict`, and Holm's correction for the number of sizes that were tried, since one that lies by chance would be
another crossover. Between two neighbours that contradict each other beyond doubt lies a crossover. The widest gap between them is
halved, on a logarithmic scale, until it is known well enough.

The crossover is read from a curve through the sizes from the one neighbour to the other: a line, from four sizes on a parabola,
of the log ratio over the log size, by least squares over all processes. At every size the curve is a weighted sum of what was
found at these sizes, which has an interval: the crossover's own is the range of sizes at which the two could not be told apart by
it. A second curve, with a neighbour more on either side, is drawn the same way: where sizes lie so far apart that the ratio bends
between them the two differ, and the interval holds both. Between sizes that lie far apart it is the whole gap.

Where the ratio is flat, a little noise is many sizes: the sizes around a crossover get more processes until its interval is
narrow enough, or they have as many as they may.

Where noise hides who is faster, and estimates lie on both sides of 1, gaps are halved as well: other sizes may tell. Two
crossovers that lie between neighbours of the first few sizes could be missed; a size is tried wherever the parabola through
three comes near 1. What lies closer together than the sizes that were tried is not seen.
"""

from __future__ import annotations

import bisect
import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, groupby, pairwise
from statistics import fmean

import numpy as np

from bench import statistics
from bench.statistics import CONFIDENCE, LEAST_EFFECT, Estimate

START = 5
MOST = 16
WITHIN = 0.05
CLOSE = 4  # so many times the wanted reach apart lie the sizes around a crossover at most: a curve between them hardly bends
FAR = 1.8  # times apart, a curve between two sizes says little: the interval is the whole gap then
NEARLY = 1.1  # times the least that it can be, an interval is as narrow as processes make it
RESOLUTION = 401  # sizes between two neighbours at which the interval of the curves is drawn

Probe = Callable[[int], Sequence[float]]
"""From a size to the paired logarithms of two that were measured there, one for each process; none where that failed."""
FIRST, UNTOLD, SECOND = -1, 0, 1
"""Which of the two is faster at a size, beyond doubt."""


@dataclass(frozen=True)
class Point:
    """A size and the paired logarithms there."""

    size: int
    logs: tuple[float, ...]

    @property
    def ratio(self) -> Estimate:
        """How many times faster the second is."""
        return statistics.over_processes(self.logs)

    @property
    def x(self) -> float:
        """Where the size lies on a logarithmic scale."""
        return math.log(self.size)

    @property
    def y(self) -> float:
        """The mean logarithm."""
        return fmean(self.logs)


@dataclass(frozen=True)
class Region:
    """Sizes in a row that say the same: which of the two is faster from the first to the last of them, beyond doubt."""

    faster: int
    points: tuple[Point, ...]

    @property
    def sizes(self) -> tuple[int, int]:
        """The least and the greatest."""
        return self.points[0].size, self.points[-1].size


@dataclass(frozen=True)
class Crossover:
    """A size at which one overtakes the other, with its interval; `faster` is which of the two is from there on."""

    size: Estimate
    faster: int
    around: tuple[Point, ...]
    """The sizes that were tried from the last before to the first after it that are beyond doubt."""


@dataclass(frozen=True)
class Answer:
    """What the sizes that were tried say, ascending."""

    points: tuple[Point, ...]
    regions: tuple[Region, ...]
    crossovers: tuple[Crossover, ...]


def search(
    probe: Probe,
    sizes: Collection[int],
    *,
    known: Collection[int] = (),
    within: float = WITHIN,
    most: int = MOST,
    more: Probe | None = None,
    most_processes: int = 0,
) -> Answer:
    """Return where one of two overtakes the other among these sizes, each crossover's interval `within` so much if possible.

    `known` sizes cost nothing, as their probe is remembered; `most` others are tried. Of the sizes a few that lie evenly are
    tried first, so that an even number of crossovers shows as well. `more` measures a size that was tried in further processes,
    which is done around a crossover as long as a size has fewer than `most_processes`.
    """
    free = sorted(set(sizes) - set(known))
    tried: dict[int, list[float]] = {size: list(probe(size)) for size in known}
    first = [size for size in spread(sizes, START) if size not in tried][:most]
    done: set[int] = set()  # sizes that cannot have any more
    while True:
        so_far = answer(tried)
        left = most - len(tried) + len(known)
        if left and (size := first.pop(0) if first else _next(so_far, free, within)) is not None:
            tried[size] = list(probe(size))
            free.remove(size)
        elif more and (thin := [size for size in _thin(so_far, within, most_processes) if size not in done]):
            for size in thin:
                further = more(size)
                tried[size] += further
                done |= set() if further else {size}
        else:
            return so_far


def spread(sizes: Collection[int], count: int) -> list[int]:
    """Return so many of the sizes, or all, from the least to the greatest and evenly on a logarithmic scale."""
    ordered = sorted(sizes)
    wanted = np.geomspace(ordered[0], ordered[-1], max(2, min(count, len(ordered))))
    return sorted({_nearest(ordered, math.log(size)) for size in wanted})


def answer(tried: Mapping[int, Sequence[float]]) -> Answer:
    """Return what these sizes say, by the paired logarithms of each; sizes that have none are left out."""
    points = tuple(Point(size, tuple(map(float, tried[size]))) for size in sorted(tried) if len(tried[size]))
    told = list(zip(sides(points), points, strict=True))
    regions = tuple(Region(side, tuple(p for _, p in own)) for side, own in groupby(told, key=lambda pair: pair[0]))
    certain = [index for index, (side, _) in enumerate(told) if side != UNTOLD]
    crossovers = tuple(
        Crossover(crossing(points[i : j + 1], points[max(0, i - 1) : j + 2]), told[j][0], points[i : j + 1])
        for i, j in pairwise(certain)
        if told[i][0] != told[j][0]
    )
    return Answer(points, regions, crossovers)


def sides(points: Sequence[Point]) -> list[int]:
    """Return which of the two is faster at each size, beyond doubt among all of them."""
    corrected = statistics.holm([statistics.paired_p(point.logs) for point in points])
    called = {"FASTER": SECOND, "SLOWER": FIRST}
    return [
        called.get(statistics.verdict(point.ratio), UNTOLD) if p <= 1 - CONFIDENCE else UNTOLD
        for point, p in zip(points, corrected, strict=True)
    ]


def crossing(points: Sequence[Point], more: Sequence[Point] = ()) -> Estimate:
    """Return the size at which the ratio is 1, of points of which the outermost are on either side of it.

    With `more` points, which go on beyond them, a second curve is drawn through all. They differ by how the ratio bends between
    the points: the interval is that of both.
    """
    ends = points[0].x, points[-1].x
    curves = [_crossing(own, ends) for own in (points, more or points)]
    value, low, high = curves[1][0], min(low for _, low, _ in curves), max(high for *_, high in curves)
    before, after = _gap(points, value)
    if after - before > math.log(FAR):
        low, high = min(low, before), max(high, after)
    return Estimate(math.exp(value), math.exp(low), math.exp(high))


def _gap(points: Sequence[Point], x: float) -> tuple[float, float]:
    """Return the neighbours on a logarithmic scale between which a place lies."""
    places = [point.x for point in points]
    after = min(max(bisect.bisect_right(places, x), 1), len(places) - 1)
    return places[after - 1], places[after]


def _crossing(points: Sequence[Point], ends: tuple[float, float]) -> tuple[float, float, float]:
    """Return where the curve through points is zero between two ends, and from where to where it may be."""
    x = np.array([point.x for point in points])
    degree = 1 if len(points) < 4 else 2
    middle = x.mean()  # powers of what is centred are well conditioned
    each = np.sqrt([len(point.logs) for point in points])
    fit = np.linalg.pinv(np.vander(x - middle, degree + 1) * each[:, None]) * each
    grid = np.linspace(*ends, RESOLUTION)
    weights = np.vander(grid - middle, degree + 1) @ fit
    means = weights @ np.array([point.y for point in points])
    reaches = statistics.reaches(weights, [point.logs for point in points])
    doubtful = grid[abs(means) <= np.maximum(reaches, math.log1p(LEAST_EFFECT))]
    value = _zero(grid, means)
    return (value, *((min(doubtful[0], value), max(doubtful[-1], value)) if len(doubtful) else (value, value)))


def _zero(grid: np.ndarray, values: np.ndarray) -> float:
    """Return where the values change their sign, or come nearest to it."""
    changes = np.flatnonzero(np.sign(values[:-1]) != np.sign(values[1:]))
    if not len(changes):
        return float(grid[abs(values).argmin()])
    i = changes[len(changes) // 2]
    return float(grid[i] + (grid[i + 1] - grid[i]) * values[i] / (values[i] - values[i + 1]))


def _next(so_far: Answer, free: Sequence[int], within: float) -> int | None:
    """Return the size that tells most: of the crossover that is known worst, or where one may hide; None when all is told."""
    for own in sorted(so_far.crossovers, key=lambda own: -_wanting(own, within)):
        if _wanting(own, within) > 1 and (size := _halving(own.around, free)) is not None:
            return size
    return next(chain(_doubts(so_far, free, within), _dips(so_far.points, free, within)), None)


def _doubts(so_far: Answer, free: Sequence[int], within: float) -> Iterator[int]:
    """Yield the sizes that halve the gaps where it cannot be told whether there is a crossover: estimates on both sides of 1."""
    regions = so_far.regions
    around = {point for own in so_far.crossovers for point in own.around}
    for number, region in enumerate(regions):
        before = regions[number - 1].points[-1:] if number else ()
        after = regions[number + 1].points[:1] if number + 1 < len(regions) else ()
        points = (*before, *region.points, *after)
        if region.faster == UNTOLD and around.isdisjoint(region.points) and len({point.y > 0 for point in points}) > 1:
            apart = [size for size in free if min(abs(math.log(size) - point.x) for point in points) > within]
            if (size := _halving(points, apart)) is not None:
                yield size


def _wanting(own: Crossover, within: float) -> float:
    """Return how many times too wide a crossover's interval is, or the gap that it is read from; at most 1 is narrow enough."""
    before, after = _gap(own.around, math.log(own.size.value))
    return max(own.size.half_width / within, math.expm1(after - before) / (CLOSE * within))


def _thin(so_far: Answer, within: float, most_processes: int) -> list[int]:
    """Return the sizes that are to get more processes: around crossovers not known well enough, those that have the fewest."""
    wide = [own.around for own in so_far.crossovers if own.size.half_width > max(within, NEARLY * _least_reach(own))]
    counts = {point.size: len(point.logs) for point in chain(*wide) if len(point.logs) < most_processes}
    return [size for size, count in counts.items() if count == min(counts.values())]


def _least_reach(own: Crossover) -> float:
    """Return how far an interval reaches without any noise: as far as differences are too small to be called."""
    before, after = own.around[0], own.around[-1]
    return LEAST_EFFECT * (after.x - before.x) / abs(after.y - before.y)


def _halving(points: Sequence[Point], free: Sequence[int]) -> int | None:
    """Return the size that halves the widest gap between neighbours; None where there is none between any."""
    for a, b in sorted(pairwise(points), key=lambda gap: gap[0].x - gap[1].x):
        if inside := [size for size in free if a.size < size < b.size]:
            return _nearest(inside, (a.x + b.x) / 2)
    return None


def _dips(points: Sequence[Point], free: Sequence[int], within: float) -> Iterator[int]:
    """Yield sizes at which the ratio may come to 1 and back: the vertex of the parabola through three that agree."""
    for a, b, c in zip(points, points[1:], points[2:], strict=False):
        if not (a.y * c.y > 0 and abs(b.y) < min(abs(a.y), abs(c.y))):
            continue
        square, linear, constant = np.polyfit([p.x - b.x for p in (a, b, c)], [a.y, b.y, c.y], 2)
        vertex = float(-linear / (2 * square))
        value = (constant + linear * vertex / 2) * math.copysign(1, a.y)
        apart = [s for s in free if a.size < s < c.size and abs(math.log(s / b.size)) > within]
        if value <= statistics.reach(b.logs) and apart:
            yield _nearest(apart, b.x + vertex)


def _nearest(sizes: Sequence[int], x: float) -> int:
    return min(sizes, key=lambda size: abs(math.log(size) - x))
