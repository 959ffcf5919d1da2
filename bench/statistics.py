"""From samples to a figure with its uncertainty, and from two figures to a verdict."""

from __future__ import annotations

import math
from statistics import NormalDist, median
from typing import NamedTuple

CONFIDENCE = 0.95
SAME_WITHIN = 1.05


class Estimate(NamedTuple):
    """A median with its confidence interval."""

    value: float
    low: float
    high: float


def median_interval(samples: list[float]) -> Estimate:
    """Return the median with a distribution-free 95 % interval between two order statistics (Conover, 1999, section 3.2).

    The interval speaks of the samples of one process; how processes differ is not in it. With fewer than nine samples it is
    their whole range.
    """
    ordered = sorted(samples)
    n = len(ordered)
    reach = NormalDist().inv_cdf(0.5 + CONFIDENCE / 2) * math.sqrt(n) / 2
    low = max(0, math.floor(n / 2 - reach)) if n >= 9 else 0
    return Estimate(median(ordered), ordered[low], ordered[n - 1 - low])


def ratio(baseline: Estimate, own: Estimate) -> Estimate:
    """Return how many times faster `own` is, with an interval that holds every ratio of the two intervals (so a wide one)."""
    return Estimate(baseline.value / own.value, baseline.low / own.high, baseline.high / own.low)


def verdict(speedup: Estimate) -> str:
    """Return FASTER, SLOWER, SAME (within 5 % either way) or UNRESOLVED."""
    if speedup.low >= 1 / SAME_WITHIN and speedup.high <= SAME_WITHIN:
        return "SAME"
    if speedup.low > 1:
        return "FASTER"
    return "SLOWER" if speedup.high < 1 else "UNRESOLVED"
