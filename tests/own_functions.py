"""Functions as a user brings them: written against the array API standard, and nothing of this project in them."""

from __future__ import annotations

import numpy as np
from array_api_compat import array_namespace, device

import bench


def rows(n, columns=64):
    """Return n points, shape (n, columns)."""
    return np.random.default_rng(0).standard_normal((n, columns))


def points_and_centres(n, k=16):
    """Return n points and k centres among them."""
    points = rows(n)
    return points, points[:k] + 0.1


@bench.case(rows, axes={"n": [64, 4096], "dtype": ["float32", "float64"]}, flops=lambda n: 5 * n * 64)
def softmax(x):
    """Return the softmax along the last axis."""
    xp = array_namespace(x)
    e = xp.exp(x - xp.max(x, axis=-1, keepdims=True))
    return e / xp.sum(e, axis=-1, keepdims=True)


@bench.case(points_and_centres, axes={"n": [64, 4096]})
def pairwise_distance(x, y):
    """Return the Euclidean distance of every row of x from every row of y."""
    xp = array_namespace(x, y)
    squares = xp.sum(x * x, axis=1)[:, None] + xp.sum(y * y, axis=1)[None, :] - 2 * (x @ y.T)
    return xp.sqrt(xp.clip(squares, 0.0, None))


@bench.case(points_and_centres, axes={"n": [64, 4096]})
def kmeans_step(x, centres):
    """Return the centres after one step of Lloyd's algorithm; a centre that has no point stays."""
    xp = array_namespace(x, centres)
    nearest = xp.argmin(pairwise_distance(x, centres), axis=1)
    numbers = xp.arange(centres.shape[0], device=device(x))
    member = xp.astype(nearest[:, None] == numbers[None, :], x.dtype)
    count = xp.sum(member, axis=0)[:, None]
    return xp.where(count > 0, member.T @ x / xp.clip(count, 1.0, None), centres)
