"""Metrics: one value per example, whose mean over the examples is reported."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Array = Any
Namespace = Any
Metric = Callable[..., Array]


def accuracy(target: Array, prediction: Array, *, xp: Namespace) -> Array:
    """Return 1 where an example is classified rightly and 0 elsewhere, shape (n,), in the prediction's dtype.

    As in Keras, the shapes decide what is meant: one unit is a probability, right when it is above 0.5 where the target is
    1; several units with targets of shape (n,) or (n, 1) are classes against class numbers; otherwise both are rows of
    class scores and the largest must agree.
    """
    if prediction.shape[-1] == 1:
        guess = xp.astype(prediction > 0.5, target.dtype)
        right = xp.all(guess == xp.reshape(target, guess.shape), axis=-1)
    elif target.ndim == 1 or target.shape[-1] == 1:
        guess = xp.argmax(prediction, axis=-1)
        right = guess == xp.astype(xp.reshape(target, guess.shape), guess.dtype)
    else:
        right = xp.argmax(prediction, axis=-1) == xp.argmax(target, axis=-1)
    return xp.astype(right, prediction.dtype)


METRICS: dict[str, Metric] = {"accuracy": accuracy}
METRICS["acc"] = accuracy


def get(metric: str | Metric) -> tuple[str, Metric]:
    """Return a metric's name in the history, and the metric."""
    if callable(metric):
        return getattr(metric, "__name__", "metric"), metric
    if metric in METRICS:
        return metric, METRICS[metric]
    raise ValueError(f"metric must be one of {', '.join(METRICS)} or a function, got {metric!r}")
