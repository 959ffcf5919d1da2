"""How far off are crossovers? Two cost functions cross at a known size, their times are noisy, and a search has to find it.

A cost function is seconds = fixed + factor * size**power. Each time of each process is off by a normal error of 1 % or 5 %, as
what a process has by luck moves its median. The search is that of `arraybench crossover`, over the sizes that a square product
may have. How well a crossover can be known depends on its slope, the power of the size by which the ratio of the two grows there:
where that is flat, a ratio that is a little wrong is a size that is very wrong, and takes more processes.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from bench import bisection, crossover, scaling
from bench.bisection import WITHIN, Answer
from bench.pairs import MOST_PROCESSES, PROCESSES

Row = dict[str, Any]

SMALLEST, LARGEST = 8, 8192
NOISES = (0.01, 0.05)
LIMITS = (PROCESSES, MOST_PROCESSES, 100)
"""How many processes of each a size by a crossover may get: as many as at first, as by default, and a great many."""
SEEDS = 100
LEAST_RIGHT = 0.95
LEAST_HELD = 0.98  # of all intervals, which are 99 % ones


@dataclass(frozen=True)
class Cost:
    """Seconds of a call that grow by a power of the size, on top of what it costs whatever its size."""

    fixed: float
    factor: float
    power: float

    def seconds(self, size: float) -> float:
        """Return what a call takes."""
        return self.fixed + self.factor * size**self.power


@dataclass(frozen=True)
class Planted:
    """Two cost functions that cross once."""

    name: str
    first: Cost
    second: Cost

    def log_ratio(self, size: float) -> float:
        """Return log(seconds of the first / seconds of the second)."""
        return math.log(self.first.seconds(size) / self.second.seconds(size))

    @cached_property
    def truth(self) -> float:
        """The size at which they cross."""
        from scipy.optimize import brentq  # which would take longer to import than the rest of a command's start

        return float(brentq(self.log_ratio, SMALLEST, LARGEST))

    @property
    def slope(self) -> float:
        """The power of the size by which the ratio grows where they cross."""
        near = 1e-4
        return (self.log_ratio(self.truth * (1 + near)) - self.log_ratio(self.truth * (1 - near))) / (2 * near)


PLANTED = (
    Planted("cubic, with overhead", Cost(1e-6, 1e-10, 3), Cost(1e-4, 0.5e-10, 3)),
    Planted("linear, with overhead", Cost(0, 1e-7, 1), Cost(5e-5, 1e-8, 1)),
    Planted("powers 2 and 1.5", Cost(0, 1e-9, 2), Cost(0, 2e-8, 1.5)),
    Planted("powers 2 and 1.8", Cost(0, 1e-9, 2), Cost(0, 3.3e-9, 1.8)),
    Planted("powers 2 and 1.9", Cost(0, 1e-9, 2), Cost(0, 1.8e-9, 1.9)),
)
"""From the steepest to the flattest."""


class Noisy:
    """Processes of both cost functions, each off by chance: what a search asks."""

    def __init__(self, planted: Planted, noise: float, seed: int) -> None:
        self._planted, self._noise, self._generator = planted, noise, np.random.default_rng(seed)
        self.measured = 0
        """How many processes of each were asked for so far."""

    def logs(self, size: int) -> Sequence[float]:
        """Return the paired logarithms of so many fresh processes as a size gets at a time."""
        self.measured += PROCESSES
        first, second = self._noise * self._generator.standard_normal((2, PROCESSES))
        return list(self._planted.log_ratio(size) + first - second)


def trials(planted: Planted, noise: float, most_processes: int, seeds: int) -> Iterator[Row]:
    """Yield a row for each seed: where the search found the crossover, and after how much."""
    sizes = crossover.sizes(next(axis for axis in scaling.axes() if axis.name == "square"), SMALLEST, LARGEST)
    named = {"costs": planted.name, "slope": planted.slope, "noise": noise, "most_processes": most_processes}
    for seed in range(seeds):
        noisy = Noisy(planted, noise, seed)
        found = bisection.search(noisy.logs, sizes, more=noisy.logs, most_processes=most_processes)
        row = named | {"seed": seed, "planted": planted.truth} | _told(found, planted.truth)
        yield row | {"sizes": len(found.points), "processes": noisy.measured}


def _told(found: Answer, truth: float) -> Row:
    """Return what an answer says of the one crossover that there is; another number of them is a wrong answer."""
    row: Row = {"crossovers": len(found.crossovers)}
    if len(found.crossovers) != 1:
        return row | dict.fromkeys(("found", "ci_low", "ci_high", "half_width", "error", "holds"))
    (size,) = (own.size for own in found.crossovers)
    row |= {"found": size.value, "ci_low": size.low, "ci_high": size.high, "half_width": size.half_width}
    return row | {"error": math.exp(abs(math.log(size.value / truth))) - 1, "holds": size.low <= truth <= size.high}


def summary(rows: pd.DataFrame) -> pd.DataFrame:
    """Return, for each pair of costs, noise and limit: how often it was found, how far off, how often within 5 %."""
    by = ["costs", "slope", "noise", "most_processes"]
    single = rows["crossovers"] == 1
    counted = rows.assign(
        found=single, right=single & (rows["error"] <= WITHIN), holds=rows["holds"].where(single).astype(float)
    )
    table = counted.groupby(by, sort=False).agg(
        searches=("seed", "size"),
        found=("found", "mean"),
        typical_error=("error", "median"),
        largest_error=("error", "max"),
        within_5_percent=("right", "mean"),
        intervals_that_hold=("holds", "mean"),
        typical_half_width=("half_width", "median"),
        processes=("processes", "mean"),
    )
    table["processes"] = table["processes"].round().astype(int)
    table = table.reset_index()
    return table.assign(slope=table["slope"].map("{:.2f}".format))


def missed(rows: pd.DataFrame) -> list[str]:
    """Return, in a sentence each, what searches with as many processes as they may have were to reach and did not."""
    table = summary(rows)
    best = table[table["most_processes"] == table["most_processes"].max()]
    sentences = [
        f"{row.costs}, noise of {row.noise:.0%}: within 5 %: {row.within_5_percent:.0%}, at least {LEAST_RIGHT:.0%} was the goal"
        for row in best.itertuples()
        if row.within_5_percent < LEAST_RIGHT
    ]
    held = rows["holds"].dropna().astype(float).mean()
    if not held >= LEAST_HELD:
        sentences.append(f"intervals that hold the truth: {held:.1%}, at least {LEAST_HELD:.0%} was the goal")
    return sentences
