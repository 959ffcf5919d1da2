"""Faults in what a network is made of: its activations and its layers."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from bench.networks import COFFEE, DIGITS, WIDE, ZERO_OR_ONE
from bench.selftest.faults import in_parts, on
from bench.workloads import Parts
from core.activations import ActivationFunction, linear, relu, sigmoid
from core.layers import Dense

FIRST, SECOND, LAST = 0, 1, -1


def with_layer(parts: Parts, index: int, kind: type[Dense] = Dense, activation: Any = None, **changes: Any) -> Parts:
    """Return the parts with one dense layer of another kind, activation or other field."""
    layers: list[Any] = list(parts.layers)
    old = layers[index]
    layers[index] = kind(old.units, activation or old.activation, **changes)
    return replace(parts, layers=tuple(layers))


# Activations


@in_parts(on("forward", DIGITS))
def no_relu_in_the_first_layer(parts: Parts) -> Parts:
    """Dense(25) was written without its activation."""
    return with_layer(parts, FIRST, activation=linear)


@in_parts(on("forward", DIGITS), on("step", DIGITS))
def no_relu_in_the_last_hidden_layer(parts: Parts) -> Parts:
    """The same, one layer before the softmax, which hides most where it saturates."""
    return with_layer(parts, SECOND, activation=linear)


@in_parts(on("backward", DIGITS))
def relu_lets_every_gradient_through(parts: Parts) -> Parts:
    """Forward is right; backward forgets the mask."""
    return with_layer(parts, FIRST, activation=ActivationFunction("relu", relu.forward, linear.backward))


@in_parts(on("forward", DIGITS))
def relu_leaks(parts: Parts) -> Parts:
    """LeakyReLU with its usual slope of 0.01 was taken for ReLU."""
    leaky = ActivationFunction("relu", lambda z, xp: xp.where(z > 0, z, 0.01 * z), relu.backward)
    return with_layer(parts, SECOND, activation=leaky)


@in_parts(on("forward", DIGITS))
def relu_is_clipped_at_six(parts: Parts) -> Parts:
    """ReLU6 of the mobile networks: few units ever reach 6."""
    clipped = ActivationFunction("relu", lambda z, xp: xp.clip(z, 0.0, 6.0), relu.backward)
    return with_layer(parts, FIRST, activation=clipped)


@in_parts(on("forward", COFFEE), on("forward", ZERO_OR_ONE))
def sigmoid_is_piecewise_linear(parts: Parts) -> Parts:
    """Keras's hard sigmoid of old, clip(0.2 z + 0.5)."""
    hard = ActivationFunction("sigmoid", lambda z, xp: xp.clip(0.2 * z + 0.5, 0.0, 1.0), sigmoid.backward)
    return with_layer(parts, FIRST, activation=hard)


@in_parts(on("backward", ZERO_OR_ONE))
def sigmoid_gradient_applies_the_sigmoid_again(parts: Parts) -> Parts:
    """Backward is given a = σ(z) and takes it for z: the most common slip in σ'."""

    def backward(a: Any, da: Any, xp: Any) -> Any:
        return sigmoid.backward(sigmoid.forward(a, xp), da, xp)

    return with_layer(parts, SECOND, activation=ActivationFunction("sigmoid", sigmoid.forward, backward))


@in_parts(on("backward", COFFEE), on("step", ZERO_OR_ONE))
def sigmoid_gradient_is_forgotten(parts: Parts) -> Parts:
    """The hidden layer's da is used as its dz."""
    return with_layer(parts, FIRST, activation=ActivationFunction("sigmoid", sigmoid.forward, linear.backward))


@in_parts(on("forward", DIGITS))
def softmax_runs_along_the_examples(parts: Parts) -> Parts:
    """axis=0 instead of axis=-1: every class sums to 1 over the batch."""

    def forward(z: Any, xp: Any) -> Any:
        e = xp.exp(z - xp.max(z, axis=0, keepdims=True))
        return e / xp.sum(e, axis=0, keepdims=True)

    return with_layer(parts, LAST, activation=ActivationFunction("softmax", forward, linear.backward))


@in_parts(on("forward", DIGITS))
def sigmoid_in_the_place_of_softmax(parts: Parts) -> Parts:
    """Ten separate yes-or-no answers instead of one distribution."""
    return with_layer(parts, LAST, activation=sigmoid)


# Layers


class NoBias(Dense):
    """g(x W)."""

    def forward(self, weights: Any, x: Any, *, xp: Any) -> Any:
        a = self.g.forward(xp.matmul(x, weights[0]), xp)
        return a, (x, a)


@in_parts(on("forward", DIGITS), on("forward", ZERO_OR_ONE))
def bias_dropped_in_the_first_layer(parts: Parts) -> Parts:
    """The weights are loaded, `+ b` is missing."""
    return with_layer(parts, FIRST, NoBias)


@in_parts(on("forward", DIGITS), on("forward", COFFEE), on("backward", ZERO_OR_ONE))
def bias_dropped_in_the_last_layer(parts: Parts) -> Parts:
    """The same before the output."""
    return with_layer(parts, LAST, NoBias)


@in_parts(on("forward", ZERO_OR_ONE), on("forward", DIGITS))
def bias_added_after_the_activation(parts: Parts) -> Parts:
    """g(x W) + b for g(x W + b)."""

    class Late(NoBias):
        def forward(self, weights: Any, x: Any, *, xp: Any) -> Any:
            a, _ = super().forward(weights, x, xp=xp)
            return a + weights[1], (x, a + weights[1])

    return with_layer(parts, SECOND, Late)


@in_parts(on("forward", WIDE))
def square_kernel_used_transposed(parts: Parts) -> Parts:
    """A kernel saved as (units, features): where both are 512, no shape complains."""

    class Transposed(Dense):
        def forward(self, weights: Any, x: Any, *, xp: Any) -> Any:
            return super().forward((weights[0].T, weights[1]), x, xp=xp)

    return with_layer(parts, SECOND, Transposed)


@in_parts(on("backward", WIDE))
def error_sent_back_through_the_kernel_itself(parts: Parts) -> Parts:
    """dx = dz W for dz Wᵀ; the first layer's gradients alone tell."""

    class Wrong(Dense):
        def backward(self, weights: Any, residual: Any, dy: Any, **how: Any) -> Any:
            return super().backward((weights[0].T, weights[1]), residual, dy, **how)

    return with_layer(parts, SECOND, Wrong)


@in_parts(on("backward", WIDE))
def gradient_of_a_square_kernel_is_transposed(parts: Parts) -> Parts:
    """dW = dzᵀ x for xᵀ dz."""

    class Wrong(Dense):
        def backward(self, weights: Any, residual: Any, dy: Any, **how: Any) -> Any:
            dx, (dw, db) = super().backward(weights, residual, dy, **how)
            return dx, (dw.T, db)

    return with_layer(parts, SECOND, Wrong)


class AveragedBias(Dense):
    """Its bias's gradient is divided by the examples a second time."""

    def backward(self, weights: Any, residual: Any, dy: Any, **how: Any) -> Any:
        dx, (dw, db) = super().backward(weights, residual, dy, **how)
        return dx, (dw, db * (1.0 / dy.shape[0]))


@in_parts(on("backward", DIGITS), on("step", DIGITS))
def bias_gradient_is_a_mean_in_the_first_layer(parts: Parts) -> Parts:
    """mean(dz, axis=0) for sum(dz, axis=0), where dz has its 1/n already."""
    return with_layer(parts, FIRST, AveragedBias)


@in_parts(on("backward", ZERO_OR_ONE))
def bias_gradient_is_a_mean_in_the_last_layer(parts: Parts) -> Parts:
    """The same at the other end."""
    return with_layer(parts, LAST, AveragedBias)


@in_parts(on("backward", COFFEE), on("backward", DIGITS))
def bias_gradient_is_zero_in_the_first_layer(parts: Parts) -> Parts:
    """A bias that was made a constant: its gradient is there, and holds nothing."""

    class Wrong(Dense):
        def backward(self, weights: Any, residual: Any, dy: Any, **how: Any) -> Any:
            dx, (dw, db) = super().backward(weights, residual, dy, **how)
            return dx, (dw, 0.0 * db)

    return with_layer(parts, FIRST, Wrong)


@in_parts(on("backward", COFFEE))
def first_layer_is_frozen(parts: Parts) -> Parts:
    """trainable=False was left from an experiment: two gradients are not there at all."""
    return with_layer(parts, FIRST, trainable=False)


@in_parts(on("backward", DIGITS))
def residual_is_one_example_behind(parts: Parts) -> Parts:
    """What forward kept and what comes back down belong to different examples."""

    class Wrong(Dense):
        def backward(self, weights: Any, residual: Any, dy: Any, *, xp: Any, **how: Any) -> Any:
            x, a = residual
            return super().backward(weights, (xp.roll(x, 1, axis=0), a), dy, xp=xp, **how)

    return with_layer(parts, SECOND, Wrong)


@in_parts(on("forward", ZERO_OR_ONE))
def dropout_left_on(parts: Parts) -> Parts:
    """One unit in five is zero, the others are raised by 5/4, in an evaluation."""

    class Wrong(Dense):
        def forward(self, weights: Any, x: Any, *, xp: Any) -> Any:
            a, residual = super().forward(weights, x, xp=xp)
            unit = xp.cumulative_sum(xp.ones_like(a), axis=1)
            return xp.where(xp.remainder(unit, 5.0) == 0.0, 0.0, 1.25 * a), residual

    return with_layer(parts, FIRST, Wrong)
