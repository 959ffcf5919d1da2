"""The networks of the course in plain NumPy, as a person writes them down; nothing of `core` is used.

In float64 this is the oracle that every timed case must agree with; in float32 it is the baseline: the course's loop, and
the training loop that everyone writes first.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
Weights = Sequence[tuple[Array, Array]]

BETA_1, BETA_2, EPSILON = 0.9, 0.999, 1e-7  # Adam's


def sigmoid(z: Any) -> Any:
    """Return the logistic function."""
    return 1 / (1 + np.exp(-z))


def relu(z: Any) -> Any:
    """Return the positive part."""
    return np.maximum(z, 0)


def softmax(z: Array) -> Array:
    """Return the softmax along the last axis."""
    e = np.exp(z - z.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


ACTIVATIONS = {"sigmoid": sigmoid, "relu": relu, "softmax": softmax}


def course_dense(a_in: Array, w: Array, b: Array, g: Any) -> Array:
    """Return one layer's output for one example, unit by unit: the `dense` of the course."""
    units = w.shape[1]
    z = np.zeros(units, dtype=a_in.dtype)
    for j in range(units):
        z[j] = np.dot(w[:, j], a_in) + b[j]
    return g(z)


def course_predict(weights: Weights, x: Array, hidden: str, output: str) -> Array:
    """Return the network's output example by example: the `predict` of the course."""
    p = np.zeros((len(x), weights[-1][0].shape[1]), dtype=x.dtype)
    for i in range(len(x)):
        a = x[i]
        for w, b in weights[:-1]:
            a = course_dense(a, w, b, ACTIVATIONS[hidden])
        p[i] = course_dense(a, *weights[-1], ACTIVATIONS[output])
    return p


def forward(weights: Weights, x: Array, hidden: str, output: str) -> list[Array]:
    """Return the input and every layer's output."""
    activations = [x]
    for w, b in weights[:-1]:
        activations.append(ACTIVATIONS[hidden](activations[-1] @ w + b))
    w, b = weights[-1]
    return [*activations, ACTIVATIONS[output](activations[-1] @ w + b)]


def gradients(weights: Weights, x: Array, y: Array, hidden: str, output: str) -> tuple[Weights, Array]:
    """Return the mean cross-entropy's gradient for every weight, and each example's loss."""
    activations = forward(weights, x, hidden, output)
    p = activations[-1]
    if output == "softmax":
        target = np.eye(p.shape[1], dtype=p.dtype)[y]
        losses = -np.log(p[np.arange(len(y)), y])
    else:
        target = y
        losses = -(y * np.log(p) + (1 - y) * np.log(1 - p)).mean(axis=1)
    dz = (p - target) / len(x)
    found: list[tuple[Array, Array]] = []
    for layer in range(len(weights) - 1, -1, -1):
        a = activations[layer]
        found.insert(0, (a.T @ dz, dz.sum(axis=0)))
        if layer:
            da = dz @ weights[layer][0].T
            dz = da * (a * (1 - a) if hidden == "sigmoid" else a > 0)
    return found, losses


def adam_step(
    weights: Weights, found: Weights, m: Weights, v: Weights, t: int, learning_rate: float
) -> tuple[Weights, Weights, Weights]:
    """Return the weights and both averages after Adam's step number t, given the gradients and the averages before it.

    Kingma and Ba (2015), section 2, the form without bias-corrected averages; ε as in Keras 3.
    """
    alpha = learning_rate * math.sqrt(1 - BETA_2**t) / (1 - BETA_1**t)
    m = _each(lambda m, g: BETA_1 * m + (1 - BETA_1) * g, m, found)
    v = _each(lambda v, g: BETA_2 * v + (1 - BETA_2) * g**2, v, found)
    return _each(lambda w, m, v: w - alpha * m / (np.sqrt(v) + EPSILON), weights, m, v), m, v


def nesterov_step(
    weights: Weights, found: Weights, velocity: Weights, learning_rate: float, momentum: float
) -> tuple[Weights, Weights]:
    """Return the weights and the velocity after a step of gradient descent with Nesterov's momentum, as in Keras 3."""
    velocity = _each(lambda m, g: momentum * m - learning_rate * g, velocity, found)
    return _each(lambda w, m, g: w + momentum * m - learning_rate * g, weights, velocity, found), velocity


def _each(formula: Any, *trees: Weights) -> Weights:
    """Return the formula applied to every array of trees of one shape."""
    return [
        (formula(*kernels), formula(*biases))
        for kernels, biases in (zip(*own, strict=True) for own in zip(*trees, strict=True))
    ]


def epoch(
    weights: Weights,
    x: Array,
    y: Array,
    order: Array,
    hidden: str,
    output: str,
    learning_rate: float,
    guard: float = EPSILON,
) -> tuple[Weights, Array]:
    """Return the weights after an epoch of Adam, and each batch's mean loss.

    `order` holds the examples of each batch, shape (steps, batch). `guard` keeps float32's logarithms from zero, as everyone
    does; it changes the loss by as much, so the oracle goes without.
    """
    parameters = [p for layer in weights for p in layer]
    m = [np.zeros_like(p) for p in parameters]
    v = [np.zeros_like(p) for p in parameters]
    g, g_out, last = ACTIVATIONS[hidden], ACTIVATIONS[output], len(parameters) - 2
    targets = np.eye(weights[-1][0].shape[1], dtype=x.dtype)[y] if output == "softmax" else y
    losses = []
    for t, (xb, yb) in enumerate(zip(x[order], targets[order], strict=True), start=1):
        activations = [xb]
        for i in range(0, last, 2):
            activations.append(g(activations[-1] @ parameters[i] + parameters[i + 1]))
        p = g_out(activations[-1] @ parameters[last] + parameters[last + 1])
        if output == "softmax":
            losses.append(-np.mean(np.log((yb * p).sum(axis=1) + guard)))
        else:
            losses.append(-np.mean(yb * np.log(p + guard) + (1 - yb) * np.log(1 - p + guard)))
        dz = (p - yb) / len(xb)
        grads = []
        for i in range(last, 0, -2):
            a = activations.pop()
            grads += [dz.sum(axis=0), a.T @ dz]
            da = dz @ parameters[i].T
            dz = da * a * (1 - a) if hidden == "sigmoid" else da * (a > 0)
        grads += [dz.sum(axis=0), xb.T @ dz]
        alpha = learning_rate * math.sqrt(1 - BETA_2**t) / (1 - BETA_1**t)
        for i, grad in enumerate(reversed(grads)):
            m[i] = BETA_1 * m[i] + (1 - BETA_1) * grad
            v[i] = BETA_2 * v[i] + (1 - BETA_2) * grad**2
            parameters[i] = parameters[i] - alpha * m[i] / (np.sqrt(v[i]) + EPSILON)
    return list(zip(parameters[::2], parameters[1::2], strict=True)), np.array(losses)
