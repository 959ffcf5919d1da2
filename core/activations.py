"""Activation functions and their gradients.

Each gradient needs only the function's output: with `a = g(z)`, `backward(a, da)` is `da * g'(z)` written in `a`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from array_api_compat import array_namespace

Array = Any
Namespace = Any


@dataclass(frozen=True)
class ActivationFunction:
    """An activation `g`, element by element or along the last axis.

    `forward(z, xp)` gives `a = g(z)`; `backward(a, da, xp)` gives the gradient with respect to `z`. Shapes and dtypes
    stay those of `z`. Calling it applies `forward` in the argument's own array library.
    """

    name: str
    forward: Callable[[Array, Namespace], Array]
    backward: Callable[[Array, Array, Namespace], Array]

    def __call__(self, z: Array) -> Array:
        return self.forward(z, array_namespace(z))

    def __reduce__(self) -> Any:
        # By name where there is one: the functions of a formula have none that pickle would find.
        known = ACTIVATIONS.get(self.name) is self
        return (get, (self.name,)) if known else (type(self), (self.name, self.forward, self.backward))


def _sigmoid(z: Array, xp: Namespace) -> Array:
    # 1 / (1 + exp(-z)) overflows below z = -88 in float32. Here no exponent is positive and both tails keep full precision.
    return xp.exp(xp.minimum(z, 0.0)) / (1.0 + xp.exp(-xp.abs(z)))


def _softmax(z: Array, xp: Namespace) -> Array:
    e = xp.exp(z - xp.max(z, axis=-1, keepdims=True))
    return e / xp.sum(e, axis=-1, keepdims=True)


def _softmax_backward(a: Array, da: Array, xp: Namespace) -> Array:
    return a * (da - xp.sum(a * da, axis=-1, keepdims=True))


linear = ActivationFunction("linear", lambda z, xp: z, lambda a, da, xp: da)
sigmoid = ActivationFunction("sigmoid", _sigmoid, lambda a, da, xp: da * a * (1.0 - a))
tanh = ActivationFunction("tanh", lambda z, xp: xp.tanh(z), lambda a, da, xp: da * (1.0 - a * a))
relu = ActivationFunction("relu", lambda z, xp: xp.maximum(z, 0.0), lambda a, da, xp: xp.where(a > 0, da, 0.0))
softmax = ActivationFunction("softmax", _softmax, _softmax_backward)

ACTIVATIONS = {function.name: function for function in (linear, sigmoid, tanh, relu, softmax)}


def get(activation: str | ActivationFunction | None) -> ActivationFunction:
    """Return the activation function of that name; None is `linear`."""
    if activation is None:
        return linear
    if isinstance(activation, ActivationFunction):
        return activation
    if isinstance(activation, str) and activation in ACTIVATIONS:
        return ACTIVATIONS[activation]
    raise ValueError(
        f"activation must be one of {', '.join(ACTIVATIONS)} or an ActivationFunction with its gradient, got {activation!r}"
    )
