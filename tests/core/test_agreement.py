"""Every backend gives what NumPy gives in float64, in the dtype and on the device that it was given."""

from __future__ import annotations

import functools

import numpy as np
import pytest
from array_api_compat import device

import backends
from core import Activation, Dense, Normalization, metrics, network
from core.activations import ACTIVATIONS
from core.layout import Layout
from core.losses import BinaryCrossentropy, CategoricalCrossentropy, MeanSquaredError, SparseCategoricalCrossentropy
from core.optimizers import SGD, Adam
from core.step import Training, objective

NUMPY = backends.get("numpy")
TOLERANCE = {"float64": 1e-10, "float32": 1e-4}
every_dtype = pytest.mark.parametrize("dtype", TOLERANCE)
OPTIMIZERS = [SGD(0.1), SGD(0.1, momentum=0.9), SGD(0.1, momentum=0.9, nesterov=True), Adam()]
LAYERS = [*(Dense(3, g) for g in ACTIVATIONS), *(Activation(g) for g in ACTIVATIONS), Normalization()]
LOSSES = [
    MeanSquaredError(),
    BinaryCrossentropy(),
    BinaryCrossentropy(from_logits=True),
    CategoricalCrossentropy(),
    CategoricalCrossentropy(from_logits=True),
    SparseCategoricalCrossentropy(),
    SparseCategoricalCrossentropy(from_logits=True),
]


def describe(value):
    return f"{type(value).__name__}-{getattr(value, 'activation', '')}".strip("-")


NETWORKS = {
    "classes": (
        (Normalization(), Dense(4, "tanh"), Dense(3, "relu"), Dense(3, "softmax")),
        SparseCategoricalCrossentropy(),
        np.array([0, 2, 1, 1, 0]),
    ),
    "two labels, a layer frozen": (
        (Dense(4, "sigmoid"), Dense(3, "tanh", trainable=False), Dense(2, "sigmoid", use_bias=False)),
        BinaryCrossentropy(),
        np.array([[1.0, 0.0], [0.0, 0.0], [1.0, 1.0], [0.0, 1.0], [1.0, 0.0]]),
    ),
}


@pytest.fixture(params=NETWORKS)
def problem(request, generator, draw_weights, read_only):
    """A network's layers and loss, weights, and a batch with sample weights; arrays on the host, read-only."""
    layers, loss, target = NETWORKS[request.param]
    batch = generator.normal(size=(5, 3)), target, generator.uniform(0.5, 1.5, 5)
    return layers, loss, read_only(draw_weights(layers, 3)), read_only(batch)


# Agreement


@every_dtype
def test_a_forward_pass_gives_what_numpy_gives(backend, dtype, problem, place, assert_close):
    layers, _, weights, batch = problem
    expected, _ = network.forward(layers, weights, batch[0], xp=NUMPY.xp)
    output, _ = network.forward(layers, place(weights, dtype), place(batch[0], dtype), xp=backend.xp)
    assert_close(output, expected, TOLERANCE[dtype])


@every_dtype
def test_gradients_losses_and_metrics_are_what_numpy_gives(backend, dtype, problem, place, assert_close):
    layers, loss, weights, batch = problem
    output, _ = network.forward(layers, weights, batch[0], xp=NUMPY.xp)
    values = loss.forward(batch[1], output, xp=NUMPY.xp), metrics.accuracy(batch[1], output, xp=NUMPY.xp)
    goal = objective(layers, loss, (metrics.accuracy,))
    expected = goal.gradients(weights, batch, xp=NUMPY.xp)[0], values
    placed = place(batch, dtype)
    gradients, output = goal.gradients(place(weights, dtype), placed, xp=backend.xp)
    assert_close((gradients, goal.values(placed[1], output, xp=backend.xp)), expected, TOLERANCE[dtype])


def steps(backend, problem, optimizer, flat, dtype):
    """Take two steps and return the weights reached, on the host."""
    layers, loss, weights, batch = problem
    here = functools.partial(backend.asarray, dtype=dtype)
    placed = tuple(tuple(map(here, own)) for own in weights)
    trained = tuple(own if layer.trainable else () for own, layer in zip(placed, layers, strict=True))
    training = Training(objective(layers, loss), optimizer, Layout.of(trained, flat))
    state = training.start(placed, here(0.0), xp=backend.xp)
    target = backend.asarray(batch[1]) if loss.sparse_targets else here(batch[1])
    state, alphas = training.plan(state, 2, xp=backend.xp)
    for alpha in backend.xp.unstack(alphas):
        state, _ = training.step(state, (here(batch[0]), target, here(batch[2])), alpha, xp=backend.xp)
    return tuple(tuple(map(backend.to_numpy, own)) for own in training.weights(state, xp=backend.xp))


def steps_by_hand(problem, optimizer):
    """The same two steps with NumPy in float64, each array updated on its own."""
    layers, loss, weights, batch = problem
    slots = [[(np.zeros_like(w),) * optimizer.slot_count for w in own] for own in weights]
    for t in (1.0, 2.0):
        gradients, _ = objective(layers, loss).gradients(weights, batch, xp=NUMPY.xp)
        alpha = optimizer.step_sizes(np.asarray(t), xp=NUMPY.xp)
        reached = [list(own) for own in weights]
        for i, own in enumerate(gradients):
            for j, g in enumerate(own):
                w, slots[i][j] = optimizer.update(weights[i][j], g, slots[i][j], alpha, xp=NUMPY.xp)
                reached[i][j] = w
        weights = tuple(tuple(own) for own in reached)
    return weights


@every_dtype
@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=repr)
def test_steps_lead_where_the_rule_goes_by_hand(backend, dtype, problem, optimizer):
    expected = steps_by_hand(problem, optimizer)
    reached = steps(backend, problem, optimizer, backend.flat_parameters, dtype)
    for own, others in zip(reached, expected, strict=True):
        for w, other in zip(own, others, strict=True):
            assert w.dtype == dtype
            np.testing.assert_allclose(w, other, rtol=TOLERANCE[dtype], atol=TOLERANCE[dtype])


def test_a_flat_vector_of_parameters_leads_to_the_same_weights(backend, problem):
    one, other = (steps(backend, problem, Adam(), flat, "float64") for flat in (True, False))
    for own, others in zip(one, other, strict=True):
        for w, same in zip(own, others, strict=True):
            np.testing.assert_allclose(w, same, rtol=1e-12)


def test_a_frozen_layer_keeps_its_weights(backend, problem):
    reached = steps(backend, problem, SGD(0.1), backend.flat_parameters, "float64")
    for layer, own, before in zip(problem[0], reached, problem[2], strict=True):
        same = [np.array_equal(w, other) for w, other in zip(own, before, strict=True)]
        assert same == [not layer.trainable] * len(before)


# Dtype and device: (an array of the backend as given) -> every array of the answer


def assert_all_like(arrays, given):
    for array in arrays:
        # device(), not .device: NumPy's scalars have none before 2.1.
        assert (array.dtype, device(array)) == (given.dtype, device(given))


@every_dtype
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_an_activation_keeps_dtype_and_device(backend, dtype, name):
    g, z = ACTIVATIONS[name], backend.asarray([[1.0, -2.0]], dtype)
    a = g(z)
    assert_all_like([a, g.backward(a, z, backend.xp)], z)


@every_dtype
@pytest.mark.parametrize("loss", LOSSES, ids=repr)
def test_a_loss_keeps_dtype_and_device(backend, dtype, loss):
    p = backend.asarray([[0.25, 0.75], [0.5, 0.5]], dtype)
    y = backend.asarray(np.array([0, 1])) if loss.sparse_targets else p
    assert_all_like([loss.forward(y, p, xp=backend.xp), loss.backward(y, p, xp=backend.xp), loss(y, p)], p)


@every_dtype
@pytest.mark.parametrize("units", [1, 2])
def test_accuracy_keeps_the_predictions_dtype_and_device(backend, dtype, units):
    p = backend.asarray(np.full((2, units), 0.25), dtype)
    classes = backend.asarray(np.array([0, 1]))
    assert_all_like([metrics.accuracy(y, p, xp=backend.xp) for y in (p, classes)], p)


@every_dtype
@pytest.mark.parametrize("layer", LAYERS, ids=describe)
def test_a_layer_keeps_dtype_and_device(backend, dtype, layer, draw_weights, place):
    (weights,), x = place(draw_weights((layer,), 3), dtype), backend.asarray([[1.0, -2.0, 3.0]], dtype)
    y, residual = layer.forward(weights, x, xp=backend.xp)
    dx, gradients = layer.backward(weights, residual, y, xp=backend.xp)
    assert_all_like([y, dx, *gradients], x)


@every_dtype
@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=repr)
def test_an_optimizer_keeps_dtype_and_device(backend, dtype, optimizer):
    w, t = backend.asarray([1.0, 2.0], dtype), backend.asarray(1.0, dtype)
    alpha = optimizer.step_sizes(t, xp=backend.xp)
    updated, slots = optimizer.update(w, w, (w,) * optimizer.slot_count, alpha, xp=backend.xp)
    assert_all_like([alpha, updated, *slots], w)
