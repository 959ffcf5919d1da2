"""Forward propagation and backpropagation through a stack of layers, written once for every array library."""

from __future__ import annotations

from typing import Any

from core.layers import Layer

Array = Any
Namespace = Any
Layers = tuple[Layer, ...]
Weights = tuple[tuple[Array, ...], ...]  # one tuple for each layer


def forward(layers: Layers, weights: Weights, x: Array, *, xp: Namespace) -> tuple[Array, tuple[Any, ...]]:
    """Return the network's output for `x` of shape (n, features), and every layer's residual."""
    residuals = []
    for layer, own in zip(layers, weights, strict=True):
        x, residual = layer.forward(own, x, xp=xp)
        residuals.append(residual)
    return x, tuple(residuals)


def backward(layers: Layers, weights: Weights, residuals: tuple[Any, ...], dy: Array, *, xp: Namespace) -> Weights:
    """Return the gradient for every trainable weight, given the gradient for the output; () for the other layers."""
    lowest = next((i for i, layer in enumerate(layers) if layer.trainable), len(layers))
    gradients: list[tuple[Array, ...]] = [()] * len(layers)
    for i in range(len(layers) - 1, lowest - 1, -1):
        dy, own = layers[i].backward(weights[i], residuals[i], dy, xp=xp, needs_dx=i > lowest)
        gradients[i] = own if layers[i].trainable else ()
    return tuple(gradients)
