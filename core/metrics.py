"""Metrics: one value per example, whose mean over the examples is reported."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
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


def get(metric: str | Callable[..., Array]) -> tuple[str, Metric]:
    """Return a metric's name in the history, and the metric.

    A function takes targets, predictions and, if it wants it, their namespace `xp`, and returns a value for every example.
    """
    if callable(metric):
        return getattr(metric, "__name__", "metric"), metric if _takes_namespace(metric) else _OfTwo(metric)
    if isinstance(metric, str) and metric.lower() in METRICS:
        return metric, METRICS[metric.lower()]
    raise ValueError(f"metric must be one of {', '.join(METRICS)} or a function, got {metric!r}")


def get_all(metrics: Any) -> dict[str, Metric]:
    """Return the metrics of `compile` by their names in the history."""
    if not isinstance(metrics or [], (list, tuple)):
        raise ValueError(f"metrics must be a list of names and functions, got {metrics!r}")
    named = [get(metric) for metric in metrics or ()]
    names = ["loss", *(name for name, _ in named)]
    if twice := {name for name in names if names.count(name) > 1}:
        raise ValueError(f"metrics and the loss need names of their own, got {', '.join(sorted(twice))} twice")
    return dict(named)


def _takes_namespace(function: Callable[..., Array]) -> bool:
    try:
        parameters = inspect.signature(function).parameters.values()
    except ValueError:  # a function in C that does not tell
        return False
    return any(p.name == "xp" or p.kind is p.VAR_KEYWORD for p in parameters)


@dataclass(frozen=True)
class _OfTwo:
    """A function of Keras's signature, `(y_true, y_pred)`, as a metric."""

    function: Callable[[Array, Array], Array]

    def __call__(self, target: Array, prediction: Array, *, xp: Namespace) -> Array:
        values = self.function(target, prediction)
        shape = tuple(getattr(values, "shape", ()))
        if shape[:1] != prediction.shape[:1]:
            name = getattr(self.function, "__name__", "metric")
            raise ValueError(
                f"{name} must return a value for each of {prediction.shape[0]} examples, got shape {shape}"
            )
        values = xp.astype(values, prediction.dtype)
        return xp.mean(xp.reshape(values, (shape[0], -1)), axis=-1)
