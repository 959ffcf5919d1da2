"""From blocks of samples to a figure with its uncertainty, and from two figures to a verdict.

The unit that is repeated is the process: samples within a process share its memory layout, its threads and its minute of the
machine, so a thousand of them say little about the next process. As Kalibera and Jones advise ("Rigorous Benchmarking in
Reasonable Time", ISMM 2013), a process is first reduced to one number, and the interval comes from how these numbers differ,
which has the spread below it (between rounds, between samples) in it already. With n processes that is Student's interval
with n - 1 degrees of freedom, on logarithms, because it is a ratio that is asked for.

Two subjects that ran in the same rounds of the same passes are compared pair by pair: what slows a round slows both, and is
gone from their ratio. The median over a process's rounds keeps one disturbed round from counting. A block of samples counts as
the mean of its middle half (Tukey's midmean, "Exploratory Data Analysis", 1977): times have modes, as arrays come to lie well or
badly, and between two modes a median jumps; interruptions are outside of that half.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean, median, stdev
from typing import NamedTuple

import numpy as np
from scipy.special import nctdtrinc, stdtr, stdtrit

CONFIDENCE = 0.99
"""Of every interval. A verdict is drawn from it, so that one comparison in a hundred of equals may be called at most."""
LEAST_EFFECT = 0.01
"""Differences smaller than this are never called: the layout of a process alone moves a time as much."""
SAME_WITHIN = 0.05
POWER = 0.8
SIMULATED = 100_000
LARGEST_EXPONENT = 700.0  # the largest that a float's exp has room for

Blocks = Mapping[int, Mapping[int, float]]
"""For each process, for each round of it, the midmean of a block's samples, in seconds."""


class Estimate(NamedTuple):
    """A value with its confidence interval; the interval is NaN where a single process cannot tell."""

    value: float
    low: float
    high: float

    def scaled(self, factor: float) -> Estimate:
        """Return the estimate of `factor` times as much."""
        return Estimate(self.value * factor, self.low * factor, self.high * factor)

    @property
    def half_width(self) -> float:
        """How far the interval reaches, as a ratio less one: 0.02 for ± 2 %; NaN where there is none."""
        return math.sqrt(self.high / self.low) - 1 if self.low > 0 else math.nan


def blocks(samples: Iterable[tuple[int, int, float]]) -> Blocks:
    """Return the blocks of samples given as (process, round, seconds)."""
    gathered: dict[int, dict[int, list[float]]] = defaultdict(lambda: defaultdict(list))
    for process, number, seconds in samples:
        gathered[process][number].append(seconds)
    return {p: {r: midmean(block) for r, block in rounds.items()} for p, rounds in gathered.items()}


def midmean(samples: Iterable[float]) -> float:
    """Return the mean of the middle half; of three, that is the median."""
    ordered = sorted(samples)
    cut = (len(ordered) + 1) // 4
    return fmean(ordered[cut : len(ordered) - cut])


def over_processes(logs: Sequence[float]) -> Estimate:
    """Return exp(mean) of one logarithm a process, with Student's interval at `CONFIDENCE`."""
    mean, either_way = fmean(logs), reach(logs)
    return Estimate(math.exp(mean), _bounded_exp(mean - either_way), _bounded_exp(mean + either_way))


def reach(values: Sequence[float]) -> float:
    """Return how far Student's interval at `CONFIDENCE` reaches from the mean, either way; NaN for a single value."""
    if len(values) < 2:
        return math.nan
    return _threshold(len(values)) * stdev(values) / math.sqrt(len(values))


def reaches(weights: np.ndarray, values: Sequence[Sequence[float]]) -> np.ndarray:
    """Return how far the interval of each weighted sum of means reaches: `weights`, shape (sums, means), `values` of each mean.

    The means are independent, and their values may spread differently: the degrees of freedom are Satterthwaite's ("An
    Approximate Distribution of Estimates of Variance Components", Biometrics Bulletin 2, 1946). NaN where a mean has one value.
    """
    if min(map(len, values)) < 2:
        return np.full(len(weights), math.nan)
    parts = weights**2 * np.array([stdev(own) ** 2 / len(own) for own in values])
    variances, degrees = parts.sum(axis=1), np.array([len(own) - 1 for own in values])
    shares = parts / np.where(variances > 0, variances, 1)[:, None]
    freedom = 1 / np.where(variances > 0, (shares**2 / degrees).sum(axis=1), 1)
    return stdtrit(freedom, 0.5 + CONFIDENCE / 2) * np.sqrt(variances)


def time(own: Blocks) -> Estimate:
    """Return the seconds of a call."""
    return over_processes(process_logs(own))


def process_logs(own: Blocks) -> list[float]:
    """Return, for each process, the median over its rounds of the logarithm of the seconds."""
    return [median(map(math.log, rounds.values())) for rounds in own.values()]


def paired_logs(baseline: Blocks, own: Blocks) -> list[float]:
    """Return, for each process number that both have, the median over the rounds that both have of log(baseline / own)."""
    return [
        median(math.log(baseline[p][r] / own[p][r]) for r in shared)
        for p in baseline
        if p in own and (shared := [r for r in baseline[p] if r in own[p]])
    ]


def paired_ratio(baseline: Blocks, own: Blocks) -> Estimate | None:
    """Return how many times faster `own` is than `baseline`, of two that ran in the same rounds; None where none did."""
    logs = paired_logs(baseline, own)
    return over_processes(logs) if logs else None


def paired_p(logs: Sequence[float]) -> float:
    """Return how often two equals would differ as much as these paired logarithms, either way: Student's test.

    It is 1 - `CONFIDENCE` where their interval ends at 1; NaN for a single process.
    """
    if len(logs) < 2:
        return math.nan
    error = stdev(logs) / math.sqrt(len(logs))
    return 2 * float(stdtr(len(logs) - 1, -abs(fmean(logs)) / error)) if error else float(fmean(logs) == 0)


def unpaired_ratio(baseline: Blocks, own: Blocks) -> Estimate:
    """Return how many times faster `own` is than `baseline`, measured apart: Welch's interval (Welch, 1947) on logarithms."""
    difference, error, freedom = _welch(baseline, own)
    value = math.exp(difference)
    if error == 0:
        return Estimate(value, value, value)
    if math.isnan(error):
        return Estimate(value, math.nan, math.nan)
    reach = _bounded_exp(stdtrit(freedom, 0.5 + CONFIDENCE / 2) * error)
    return Estimate(value, value / reach, value * reach)


def unpaired_p(baseline: Blocks, own: Blocks) -> float:
    """Return how often two equals would differ as much as these that were measured apart, either way: Welch's test.

    It is 1 - `CONFIDENCE` where the interval of `unpaired_ratio` ends at 1; NaN where a single process cannot tell.
    """
    difference, error, freedom = _welch(baseline, own)
    if error == 0:
        return float(difference == 0)
    return 2 * float(stdtr(freedom, -abs(difference) / error))


def _welch(baseline: Blocks, own: Blocks) -> tuple[float, float, float]:
    """Return the difference of the mean logarithms, its standard error and its degrees of freedom (Welch, 1947)."""
    old, new = process_logs(baseline), process_logs(own)
    difference = fmean(old) - fmean(new)
    if min(len(old), len(new)) < 2:
        return difference, math.nan, math.nan
    parts = [(stdev(logs) ** 2 / len(logs), len(logs) - 1) for logs in (old, new)]
    variance = sum(part for part, _ in parts)
    if not variance:
        return difference, 0.0, math.inf
    return difference, math.sqrt(variance), variance**2 / sum(part**2 / degrees for part, degrees in parts)


def holm(p_values: Sequence[float]) -> list[float]:
    """Return each p-value as it counts among all of them: the chance that any of so many equals would look so different.

    Holm's step-down method ("A Simple Sequentially Rejective Multiple Test Procedure", Scandinavian Journal of Statistics 6,
    1979): the smallest of n is multiplied by n, the next by n - 1, and none falls below the one before. It holds however the
    comparisons depend on each other. NaN is no comparison, and stays.
    """
    corrected, least = list(p_values), 0.0
    family = sorted((index for index, p in enumerate(p_values) if not math.isnan(p)), key=p_values.__getitem__)
    for rank, index in enumerate(family):
        least = max(least, min(1.0, (len(family) - rank) * p_values[index]))
        corrected[index] = least
    return corrected


def verdict(speedup: Estimate | None) -> str:
    """Return FASTER, SLOWER, SAME (the whole interval within 5 % of 1) or UNRESOLVED.

    FASTER and SLOWER need an interval that leaves out 1 and a difference of `LEAST_EFFECT` at least.
    """
    if speedup is None or math.isnan(speedup.low):
        return "UNRESOLVED"
    if speedup.low > 1 and speedup.value > 1 + LEAST_EFFECT:
        return "FASTER"
    if speedup.high < 1 and speedup.value < 1 / (1 + LEAST_EFFECT):
        return "SLOWER"
    if speedup.low >= 1 / (1 + SAME_WITHIN) and speedup.high <= 1 + SAME_WITHIN:
        return "SAME"
    return "UNRESOLVED"


def smallest_effect(logs: Sequence[float]) -> float:
    """Return the relative difference that would be called in four tries of five, were the spread what it is among `logs`.

    From the noncentral t distribution (Cohen, 1988, chapter 2); `LEAST_EFFECT` at least.
    """
    if len(logs) < 2:
        return math.nan
    noncentrality = nctdtrinc(len(logs) - 1, 1 - POWER, _threshold(len(logs)))
    return max(LEAST_EFFECT, _bounded_exp(noncentrality * stdev(logs) / math.sqrt(len(logs))) - 1)


def false_alarm_rate(logs: Sequence[float]) -> float:
    """Return how often the rule of `verdict` would tell two apart that are equal, were the spread what it is among `logs`.

    Simulated: means and standard deviations of so many normal draws, which are independent of each other.
    """
    n = len(logs)
    if n < 2:
        return math.nan
    generator = np.random.default_rng(0)
    means = stdev(logs) / math.sqrt(n) * generator.standard_normal(SIMULATED)
    errors = stdev(logs) * np.sqrt(generator.chisquare(n - 1, SIMULATED) / (n - 1) / n)
    called = (abs(means) > _threshold(n) * errors) & (abs(means) > math.log1p(LEAST_EFFECT))
    return float(called.mean())


def _threshold(n: int) -> float:
    """Return how many standard errors an interval reaches that is drawn from n processes."""
    return float(stdtrit(n - 1, 0.5 + CONFIDENCE / 2))


def _bounded_exp(exponent: float) -> float:
    return math.exp(min(exponent, LARGEST_EXPONENT))
