"""What a finding of the doctor is: data, that is printed or written as JSON elsewhere."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any, Literal

from bench.doctor.examination import Facts, Trial
from bench.doctor.probe import LARGE, SMALL, gflop_per_s
from bench.statistics import Estimate, over_processes

CLEAR_GAIN = 1.05  # what a remedy must gain for its absence to be wrong: less is within what two runs differ by

BUSY_SHARE = 0.1  # of the CPUs: what other programs may use without being mentioned

Severity = Literal["ok", "note", "wrong"]
WORST_FIRST: tuple[Severity, ...] = ("wrong", "note", "ok")


@dataclass(frozen=True)
class Finding:
    """One thing that the doctor looked at, and what it found."""

    name: str
    """The same for every machine, for programs to look up."""
    severity: Severity
    sentence: str
    gain: Estimate | None = None
    """How many times faster the product was after the line than before it, where that could be measured."""
    line: str | None = None
    """What to type, as it stands."""
    evidence: dict[str, Any] = field(default_factory=dict)


def logs(baseline: Trial, own: Trial, figure: str) -> list[float]:
    """Return the logarithm of baseline over own in each round where both were measured."""
    pairs = zip(baseline.rounds, own.rounds, strict=True)
    return [math.log(a[figure] / b[figure]) for a, b in pairs if a and b and a.get(figure) and b.get(figure)]


def gain(baseline: Trial, own: Trial, figure: str) -> Estimate | None:
    """Return how many times faster than the baseline a trial was, over its processes; None where no round has both."""
    ratios = logs(baseline, own, figure)
    return over_processes(ratios) if ratios else None


def rate(trial: Trial, figure: str = "large_best_s") -> float | None:
    """Return the median over a trial's processes of a product's best rate, in GFLOP/s."""
    n = SMALL if figure.startswith("small") else LARGE
    rates = [gflop_per_s(n, answer[figure]) for answer in trial.rounds if answer]
    return median(rates) if rates else None


def clear(estimate: Estimate) -> bool:
    """Tell whether the whole interval of a gain is above `CLEAR_GAIN`; never so without an interval."""
    return estimate.low > CLEAR_GAIN


def possible(estimate: Estimate) -> bool:
    """Tell whether a gain looks like more than `CLEAR_GAIN`, were it only certain."""
    return estimate.value > CLEAR_GAIN


def first_of_the_best(rows: Sequence[Any], column: int) -> Any:
    """Return the row with the highest gain in that column, or an earlier one that is as good: the earlier ones change less."""
    highest = max((row[column].value for row in rows), default=0.0)
    return next((row for row in rows if row[column].value * CLEAR_GAIN >= highest), None)


def times(estimate: Estimate, baseline: str = "") -> str:
    """Return a gain in words, over `baseline` where one is named (`as one thread`)."""
    words = " ".join(filter(None, [f"{estimate.value:.2f} times as fast", baseline]))
    return words if math.isnan(estimate.low) else f"{words} (99 %: {estimate.low:.2f} to {estimate.high:.2f})"


def busy(facts: Facts) -> bool:
    """Tell whether other programs took a share of the CPUs that shows."""
    others = facts.load["others_cpus"]
    return others is not None and others > BUSY_SHARE * (facts.machine["cpus_online"] or 1)
