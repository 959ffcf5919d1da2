"""Functions of SciPy as they are, on arrays of any library: `SCIPY_ARRAY_API=1 arraybench run tests/scipy_functions.py`."""

from __future__ import annotations

import numpy as np
from scipy import integrate, special, stats

import bench

ROWS = {"n": [1_000, 100_000]}


def table(n):
    """Return n rows of ten normal numbers, shape (n, 10)."""
    return np.random.default_rng(0).standard_normal((n, 10))


def positive(n):
    """Return n rows of ten positive numbers, shape (n, 10)."""
    return np.random.default_rng(0).uniform(0.1, 1.0, (n, 10))


@bench.case(table, axes=ROWS)
def logsumexp(x):
    """Return log Σ exp over each row."""
    return special.logsumexp(x, axis=1)


@bench.case(table, axes=ROWS)
def softmax(x):
    """Return the softmax of each row."""
    return special.softmax(x, axis=1)


@bench.case(table, axes=ROWS)
def expit(x):
    """Return the logistic function."""
    return special.expit(x)


@bench.case(positive, axes=ROWS)
def entropy(p):
    """Return the entropy of each row, as a distribution."""
    return stats.entropy(p, axis=1)


@bench.case(table, axes=ROWS)
def zscore(x):
    """Return each column less its mean, over its standard deviation."""
    return stats.zscore(x)


@bench.case(table, axes=ROWS)
def kurtosis(x):
    """Return the excess kurtosis of each column."""
    return stats.kurtosis(x)


@bench.case(lambda n: (table(n), positive(n) - 0.55), axes=ROWS)
def ttest(x, y):
    """Return the statistic of Student's test for each column, and its p."""
    found = stats.ttest_ind(x, y)
    return found.statistic, found.pvalue


@bench.case(table, axes=ROWS)
def trapezoid(y):
    """Return the integral along each row by the trapezoidal rule."""
    return integrate.trapezoid(y, axis=1)
