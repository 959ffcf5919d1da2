"""The objective: a last activation that moves into the loss, so that learning goes on where probabilities saturate."""

from __future__ import annotations

import numpy as np
import pytest

import backends
from core import Activation, Dense, metrics
from core.losses import BinaryCrossentropy, CategoricalCrossentropy, MeanSquaredError, SparseCategoricalCrossentropy
from core.step import objective

xp = backends.get("numpy").xp


@pytest.mark.parametrize(
    ("top", "loss", "target"),
    [
        (Dense(2, "sigmoid"), BinaryCrossentropy(), [[0.0, 1.0]]),
        (Activation("sigmoid"), BinaryCrossentropy(), [[0.0, 1.0]]),
        (Dense(2, "softmax"), CategoricalCrossentropy(), [[0.0, 1.0]]),
        (Dense(2, "softmax"), SparseCategoricalCrossentropy(), [1]),
    ],
)
def test_a_certain_and_wrong_network_learns_by_p_minus_y(top, loss, target):
    layers, x = (Dense(2), top), np.array([[50.0, -50.0]])
    weights = ((np.eye(2), np.zeros(2)), (np.eye(2), np.zeros(2)) if isinstance(top, Dense) else ())
    goal, y = objective(layers, loss), np.array(target)
    gradients, output = goal.gradients(weights, (x, y), xp=xp)
    share = 2.0 if isinstance(loss, BinaryCrossentropy) else 1.0  # a mean over the units, or a sum over the classes
    np.testing.assert_allclose(gradients[0][1], np.array([1.0, -1.0]) / share, rtol=1e-9)
    (losses,) = goal.values(y, output, xp=xp)
    np.testing.assert_allclose(losses, [50.0 if share == 2.0 else 100.0], rtol=1e-9)


@pytest.mark.parametrize(
    ("layers", "loss"),
    [
        ((Dense(2, "sigmoid"),), BinaryCrossentropy(from_logits=True)),
        ((Dense(2, "softmax"),), BinaryCrossentropy()),
        ((Dense(2, "sigmoid"),), CategoricalCrossentropy()),
        ((Dense(2, "sigmoid"),), MeanSquaredError()),
        ((Dense(2, "sigmoid"), Dense(2)), BinaryCrossentropy()),
    ],
)
def test_an_activation_that_is_not_the_losss_own_stays_where_it_is(layers, loss):
    goal = objective(layers, loss)
    assert (goal.layers, goal.loss) == (layers, loss)


def test_metrics_see_the_probability_where_the_loss_sees_the_logit():
    goal = objective((Dense(1, "sigmoid"),), BinaryCrossentropy(), (metrics.accuracy,))
    weights, batch = ((np.ones((1, 1)), np.zeros(1)),), (np.array([[0.2], [-0.2]]), np.array([[1.0], [1.0]]))
    _, right = goal.evaluate(weights, batch, xp=xp)
    np.testing.assert_array_equal(right, [1.0, 0.0])  # as logits, both are under one half


def test_values_are_each_examples_own_without_its_weight():
    goal = objective((Dense(1),), MeanSquaredError())
    weights, x, y = ((np.ones((1, 1)), np.zeros(1)),), np.array([[1.0], [3.0]]), np.zeros((2, 1))
    _, output = goal.gradients(weights, (x, y, np.full(2, 7.0)), xp=xp)
    for (losses,) in (goal.evaluate(weights, (x, y), xp=xp), goal.values(y, output, xp=xp)):
        np.testing.assert_array_equal(losses, [1.0, 9.0])
