"""The ladder of loops computes what the whole-batch network computes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import backends
from core import Dense, metrics, network
from core.activations import sigmoid
from core.loops import LADDER, Rung, by_library, by_multiplications, by_units
from core.losses import BinaryCrossentropy, CategoricalCrossentropy, SparseCategoricalCrossentropy
from core.step import objective

NUMPY = backends.get("numpy").xp
NETWORKS = {
    "binary": ((Dense(3, "sigmoid"), Dense(1, "sigmoid")), BinaryCrossentropy(), np.array([[1.0], [0.0], [1.0]])),
    "softmax": ((Dense(3, "tanh"), Dense(3, "softmax")), CategoricalCrossentropy(), np.eye(3)),
    "sparse": ((Dense(3, "relu"), Dense(3, "softmax")), SparseCategoricalCrossentropy(), np.array([2, 0, 1])),
}
UNITS = next(rung for rung in LADDER if rung.product is by_units)
every_rung = pytest.mark.parametrize("rung", LADDER, ids=lambda rung: rung.name)
every_product = pytest.mark.parametrize("product", [by_multiplications, by_units, by_library])


@pytest.fixture(params=NETWORKS)
def problem(request, generator, draw_weights, read_only):
    """A 2-3-k network, its loss, weights and three weighted examples; arrays on the host, read-only."""
    layers, loss, target = NETWORKS[request.param]
    batch = generator.normal(size=(3, 2)), target, generator.uniform(0.5, 1.5, 3)
    return layers, loss, read_only(draw_weights(layers, 2)), read_only(batch)


def test_the_ladder_goes_from_single_multiplications_to_one_product():
    assert [rung.name for rung in LADDER] == ["multiplication", "unit", "example", "matmul"]
    assert [rung.one_example_at_a_time for rung in LADDER] == [True, True, True, False]


@every_rung
def test_a_rung_goes_forward_as_the_network_does(rung, problem, backend, place, assert_close):
    layers, _, weights, batch = problem
    expected, _ = network.forward(layers, weights, batch[0], xp=NUMPY)
    assert_close(rung.forward(layers, place(weights), place(batch[0]), xp=backend.xp), expected)


@every_rung
def test_a_rung_goes_back_as_the_network_does(rung, problem, backend, place, assert_close):
    layers, loss, weights, batch = problem
    goal = objective(layers, loss, (metrics.accuracy,))
    expected = goal.gradients(weights, batch, xp=NUMPY)
    assert_close(rung.gradients(goal, place(weights), place(batch), xp=backend.xp), expected)


@every_product
def test_a_product_keeps_dtype_and_device(product, backend):
    a = backend.asarray(np.ones((1, 2)), "float32")
    y = product(a, backend.asarray(np.ones((2, 1)), "float32"), backend.xp)
    assert (y.dtype, y.device) == (a.dtype, a.device)


@every_product
@given(n=st.integers(1, 4), inner=st.integers(1, 4), m=st.integers(1, 4), seed=st.integers(0, 2**16))
@settings(max_examples=25, deadline=None)
def test_a_product_is_the_sum_over_the_inner_index(product, n, inner, m, seed):
    generator = np.random.default_rng(seed)
    a, b = generator.normal(size=(n, inner)), generator.normal(size=(inner, m))
    expected = np.array([[sum(a[i, k] * b[k, j] for k in range(inner)) for j in range(m)] for i in range(n)])
    np.testing.assert_allclose(product(a, b, NUMPY), expected, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(product(a[0, :], b, NUMPY), expected[0], rtol=1e-10, atol=1e-12)


@every_rung
def test_a_rung_computes_every_product_of_every_example_its_own_way(rung, problem):
    layers, loss, weights, batch = problem
    products = []

    def product(a, b, xp):
        products.append(b.shape)
        return xp.matmul(a, b)

    Rung("spied on", product, rung.one_example_at_a_time).gradients(objective(layers, loss), weights, batch, xp=NUMPY)
    # For each example: two products forward, two for the kernels' gradients, one for the hidden layer's.
    assert len(products) == (3 * (2 + 2 + 1) if rung.one_example_at_a_time else 0)


def course_dense(a_in, W, b, g):
    """The course's layer, as its laboratory has it."""
    units = W.shape[1]
    a_out = np.zeros(units)
    for j in range(units):
        w = W[:, j]
        z = np.dot(w, a_in) + b[j]
        a_out[j] = g(z)
    return a_out


def test_a_layer_on_the_rung_of_units_is_the_courses_dense(generator):
    W, b, a_in = generator.normal(size=(2, 3)), generator.normal(size=3), generator.normal(size=2)
    a_out = UNITS.forward((Dense(3, "sigmoid"),), ((W, b),), a_in[None, :], xp=NUMPY)
    np.testing.assert_allclose(a_out, [course_dense(a_in, W, b, lambda z: 1 / (1 + np.exp(-z)))], rtol=1e-12)


def test_the_rung_of_units_is_the_courses_sequential(generator, draw_weights):
    layers, x = (Dense(3, "sigmoid"), Dense(1, "sigmoid")), generator.normal(size=(4, 2))
    first, second = weights = draw_weights(layers, 2)
    expected = [course_dense(course_dense(row, *first, sigmoid), *second, sigmoid) for row in x]
    np.testing.assert_allclose(UNITS.forward(layers, weights, x, xp=NUMPY), expected, rtol=1e-12)
