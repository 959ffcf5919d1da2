"""Activations against their formulas, also where the formulas as they stand overflow."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

import backends
from core import activations
from core.activations import ACTIVATIONS, ActivationFunction

xp = backends.get("numpy").xp
examples = settings(max_examples=25, deadline=None)
matrices = arrays(np.float64, array_shapes(min_dims=2, max_dims=2, max_side=6), elements=st.floats(-30.0, 30.0))
every_activation = pytest.mark.parametrize("name", ACTIVATIONS)

FORMULAS = {
    "linear": lambda z: z,
    "sigmoid": lambda z: 1.0 / (1.0 + np.exp(-z)),
    "tanh": lambda z: (np.exp(z) - np.exp(-z)) / (np.exp(z) + np.exp(-z)),
    "relu": lambda z: z * (z > 0),
    "softmax": lambda z: np.exp(z) / np.exp(z).sum(axis=-1, keepdims=True),
}


def test_every_activation_has_a_formula_here():
    assert set(FORMULAS) == set(ACTIVATIONS)


@every_activation
@given(z=matrices)
@examples
def test_an_activation_is_its_formula(name, z):
    np.testing.assert_allclose(activations.get(name)(z), FORMULAS[name](z), rtol=1e-12, atol=1e-15)


@given(z=matrices, shift=st.floats(-1e3, 1e3))
@examples
def test_softmax_rows_sum_to_one_and_do_not_change_with_a_shift(z, shift):
    p = activations.softmax(z)
    np.testing.assert_allclose(p.sum(axis=-1), 1.0, rtol=1e-12)
    np.testing.assert_allclose(activations.softmax(z + shift), p, rtol=1e-9)


@every_activation
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_huge_inputs_saturate_without_a_warning(name, dtype):
    z = np.array([[-1e4, 0.0, 1e4], [1e4, 1e4, 1e4], [-1e4, -1e4, -1e4]], dtype)
    expected = {
        "linear": z,
        "sigmoid": [[0.0, 0.5, 1.0], [1.0] * 3, [0.0] * 3],
        "tanh": [[-1.0, 0.0, 1.0], [1.0] * 3, [-1.0] * 3],
        "relu": [[0.0, 0.0, 1e4], [1e4] * 3, [0.0] * 3],
        "softmax": [[0.0, 0.0, 1.0], [1 / 3] * 3, [1 / 3] * 3],
    }[name]
    a = activations.get(name)(z)
    np.testing.assert_allclose(a, expected, rtol=1e-6)
    assert np.isfinite(ACTIVATIONS[name].backward(a, z, xp)).all()


@pytest.mark.parametrize(
    ("dtype", "points"),
    [
        ("float32", [-85.0, -40.0, -17.0, -1.0, 0.0, 1.0, 17.0, 40.0, 85.0]),
        ("float64", [-705.0, -300.0, -40.0, -1.0, 0.0, 1.0, 40.0, 300.0, 705.0]),
    ],
)
def test_sigmoid_keeps_its_relative_precision_in_both_tails(dtype, points):
    expected = [math.exp(z) / (1 + math.exp(z)) if z < 0 else 1 / (1 + math.exp(-z)) for z in points]
    p = activations.sigmoid(np.array(points, dtype))
    np.testing.assert_allclose(p.astype("float64"), expected, rtol=4 * np.finfo(dtype).eps)


def test_sigmoid_of_minus_z_is_the_other_probability():
    z = np.linspace(-30.0, 30.0, 121)
    np.testing.assert_allclose(activations.sigmoid(-z) + activations.sigmoid(z), 1.0, rtol=1e-15)


@pytest.mark.parametrize("z", [0.0, -0.0])
def test_relu_does_not_learn_at_zero(z):
    a = activations.relu(np.array([[z]]))
    assert ACTIVATIONS["relu"].backward(a, np.array([[3.0]]), xp) == [[0.0]]


def test_an_activation_is_found_by_its_name_and_none_is_linear():
    assert [activations.get(name).name for name in ACTIVATIONS] == list(ACTIVATIONS)
    assert activations.get(None) is activations.linear


def test_a_function_with_its_gradient_is_taken_as_it_is():
    square = ActivationFunction("square", lambda z, xp: z * z, lambda a, da, xp: da * 2 * xp.sqrt(a))
    assert activations.get(square) is square


@pytest.mark.parametrize("unknown", ["gelu", "", "ReLU", np.tanh, 3, ["relu"]])
def test_an_unknown_activation_is_refused(unknown):
    with pytest.raises(ValueError, match=r"activation must be one of linear, sigmoid, .* with its gradient, got"):
        activations.get(unknown)
