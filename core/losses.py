"""Loss functions and their gradients, with Keras 3's formulas.

`forward(target, prediction)` gives one loss per example, `backward(target, prediction)` the gradient of each example's loss with
respect to the prediction: training needs only the second, and its history the first. A loss on logits has its link function
(sigmoid, softmax) inside, which is stable where the probability itself saturates and makes the gradient `p - y`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import array_api_extra as xpx
from array_api_compat import array_namespace, device, is_array_api_obj, is_numpy_namespace
from array_api_compat import numpy as host_namespace

from core.activations import ActivationFunction, sigmoid, softmax

Array = Any
Namespace = Any

EPSILON = 1e-7  # keras.config.epsilon()


@dataclass(frozen=True)
class Loss:
    """The interface of every loss. Calling one gives the mean over the batch, a 0-d array."""

    name: ClassVar[str]

    link: ClassVar[ActivationFunction | None] = None
    """The activation that this loss can take over when it is the last one of a network."""

    sparse_targets: ClassVar[bool] = False
    """Whether targets are class numbers of shape (n,), not rows of the prediction's shape."""

    def __call__(self, target: Any, prediction: Any) -> Array:
        """Return the mean loss. As in Keras, lists are taken, and a last axis of one may be missing in either."""
        target, prediction, xp = _arrays(target, prediction)
        shape, units = tuple(prediction.shape), prediction.shape[-1] if prediction.ndim else 1
        _check_shape(self.name, target, shape[:-1] if self.sparse_targets else shape, shape)
        if not xp.isdtype(prediction.dtype, "real floating"):
            prediction = xp.astype(prediction, xp.float64)
        if self.sparse_targets:
            target = _class_numbers(xp.reshape(target, (-1,)), units, xp)
        else:
            target = xp.reshape(xp.astype(target, prediction.dtype), (-1, units))
        return xp.mean(self.forward(target, xp.reshape(prediction, (-1, units)), xp=xp))

    def forward(self, target: Array, prediction: Array, *, xp: Namespace) -> Array:
        """Return the losses, shape (n,). The prediction has shape (n, units)."""
        raise NotImplementedError(f"{type(self).__name__} has no forward")

    def backward(self, target: Array, prediction: Array, *, xp: Namespace) -> Array:
        """Return the gradient of each example's loss with respect to its prediction, shape (n, units)."""
        raise NotImplementedError(f"{type(self).__name__} has no backward")


@dataclass(frozen=True)
class MeanSquaredError(Loss):
    """Mean over the units of (p - y)²."""

    name: ClassVar[str] = "mean_squared_error"

    def forward(self, target: Array, prediction: Array, *, xp: Namespace) -> Array:
        error = prediction - target
        return xp.mean(error * error, axis=-1)

    def backward(self, target: Array, prediction: Array, *, xp: Namespace) -> Array:
        return (prediction - target) * (2.0 / prediction.shape[-1])


@dataclass(frozen=True)
class BinaryCrossentropy(Loss):
    """Mean over the units of -(y log p + (1 - y) log(1 - p)).

    Probabilities are clipped to [1e-7, 1 - 1e-7], and the gradient is zero outside. With `from_logits` the prediction is
    z, p is sigmoid(z), and the loss is log(1 + eᶻ) - y z.
    """

    from_logits: bool = False
    name: ClassVar[str] = "binary_crossentropy"

    link: ClassVar[ActivationFunction | None] = sigmoid

    def forward(self, target: Array, prediction: Array, *, xp: Namespace) -> Array:
        y = target
        if self.from_logits:
            z = prediction
            losses = xp.logaddexp(z, 0.0) - y * z
        else:
            p = xp.clip(prediction, EPSILON, 1.0 - EPSILON)
            losses = -(y * xp.log(p) + (1.0 - y) * xp.log(1.0 - p))
        return _mean_over_units(losses, xp)

    def backward(self, target: Array, prediction: Array, *, xp: Namespace) -> Array:
        y = target
        if self.from_logits:
            gradient = sigmoid.forward(prediction, xp) - y
        else:
            p = xp.clip(prediction, EPSILON, 1.0 - EPSILON)
            gradient = xp.where(p == prediction, (p - y) / (p * (1.0 - p)), 0.0)
        units = prediction.shape[-1]
        return gradient if units == 1 else gradient * (1.0 / units)


@dataclass(frozen=True)
class CategoricalCrossentropy(Loss):
    """-Σ y log p over the classes, the targets one row of class probabilities each (one-hot, as a rule).

    Probabilities are divided by their sum and clipped to [1e-7, 1 - 1e-7], and the gradient is zero outside. With
    `from_logits` the prediction is z and p is softmax(z).
    """

    from_logits: bool = False
    name: ClassVar[str] = "categorical_crossentropy"

    link: ClassVar[ActivationFunction | None] = softmax

    def forward(self, target: Array, prediction: Array, *, xp: Namespace) -> Array:
        y = target
        if self.from_logits:
            z = prediction - xp.max(prediction, axis=-1, keepdims=True)
            log_p = z - xp.log(xp.sum(xp.exp(z), axis=-1, keepdims=True))
        else:
            q = prediction / xp.sum(prediction, axis=-1, keepdims=True)
            log_p = xp.log(xp.clip(q, EPSILON, 1.0 - EPSILON))
        return -xp.sum(y * log_p, axis=-1)

    def backward(self, target: Array, prediction: Array, *, xp: Namespace) -> Array:
        y = target
        if self.from_logits:
            return softmax.forward(prediction, xp) * xp.sum(y, axis=-1, keepdims=True) - y
        total = xp.sum(prediction, axis=-1, keepdims=True)
        q = prediction / total
        p = xp.clip(q, EPSILON, 1.0 - EPSILON)
        dq = xp.where(p == q, -y / p, 0.0)
        return (dq - xp.sum(dq * q, axis=-1, keepdims=True)) / total


@dataclass(frozen=True)
class SparseCategoricalCrossentropy(CategoricalCrossentropy):
    """CategoricalCrossentropy whose targets are class numbers, shape (n,)."""

    name: ClassVar[str] = "sparse_categorical_crossentropy"

    sparse_targets: ClassVar[bool] = True

    def forward(self, target: Array, prediction: Array, *, xp: Namespace) -> Array:
        return super().forward(_one_hot(target, prediction, xp), prediction, xp=xp)

    def backward(self, target: Array, prediction: Array, *, xp: Namespace) -> Array:
        y = _one_hot(target, prediction, xp)
        if self.from_logits:
            return softmax.forward(prediction, xp) - y  # Σ y is 1
        return super().backward(y, prediction, xp=xp)


def _arrays(target: Any, prediction: Any) -> tuple[Array, Array, Namespace]:
    """Return both as arrays of one library: what is no array goes to the other's library and device, or to NumPy."""
    given = [value for value in (target, prediction) if is_array_api_obj(value)]
    xp = array_namespace(*given) if given else host_namespace
    where = {"device": device(given[0])} if len(given) == 1 else {}
    target, prediction = (v if is_array_api_obj(v) else xp.asarray(v, **where) for v in (target, prediction))
    return target, prediction, xp


def _check_shape(name: str, target: Array, wanted: tuple[int, ...], prediction: tuple[int, ...]) -> None:
    """Refuse a target of another shape than the one that is wanted, but for a last axis of one."""
    if tuple(target.shape) not in {wanted, (*wanted, 1)} | ({wanted[:-1]} if wanted[-1:] == (1,) else set()):
        raise ValueError(
            f"{name} takes targets of shape {wanted} for predictions of shape {prediction}, got {tuple(target.shape)}"
        )


def _class_numbers(target: Array, units: int, xp: Namespace) -> Array:
    """Return targets as whole numbers; on the host, where they can be looked at, refuse what is no class's."""
    if is_numpy_namespace(xp):
        in_range = xp.all((target >= 0) & (target < units))
        if not in_range or xp.any(target % 1 != 0):
            raise ValueError(
                f"targets must be class numbers from 0 to {units - 1}, got {xp.min(target)} to {xp.max(target)}"
            )
    return xp.astype(target, xp.int64)


def _one_hot(classes: Array, prediction: Array, xp: Namespace) -> Array:
    """Return rows like the prediction's, with a 1 for the class."""
    return xpx.one_hot(classes, prediction.shape[-1], dtype=prediction.dtype, xp=xp)


def _mean_over_units(losses: Array, xp: Namespace) -> Array:
    """Return the mean over the last axis; for one unit, which is the common case, without a reduction."""
    return losses[:, 0] if losses.shape[-1] == 1 else xp.mean(losses, axis=-1)


LOSSES: dict[str, type[Loss]] = {
    "mse": MeanSquaredError,
    "bce": BinaryCrossentropy,
    "mean_squared_error": MeanSquaredError,
    "binary_crossentropy": BinaryCrossentropy,
    "categorical_crossentropy": CategoricalCrossentropy,
    "sparse_categorical_crossentropy": SparseCategoricalCrossentropy,
}


# Keras takes the names of the classes too, and the short names in capitals.
OTHER_NAMES = {kind.__name__: kind for kind in LOSSES.values()} | {
    name.upper(): LOSSES[name] for name in ("mse", "bce")
}


def get(loss: str | Loss) -> Loss:
    """Return the loss of that name with its defaults, or the loss itself."""
    if isinstance(loss, Loss):
        return loss
    if isinstance(loss, str) and (kind := LOSSES.get(loss) or OTHER_NAMES.get(loss)):
        return kind()
    raise ValueError(f"loss must be one of {', '.join(LOSSES)} or a Loss, got {loss!r}")
