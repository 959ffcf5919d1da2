"""Calling a model and predicting with it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import backends
from core import Activation, Dense, Input, Normalization, Sequential, config, sequential, utils

few = settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def sigmoid(z):
    return 1.0 / (1.0 + np.exp(-z))


def test_the_course_network_predicts_what_the_formulas_give(backend, coffee_net, generator):
    model, x = coffee_net(on=backend), generator.normal(size=(9, 2))
    w1, b1, w2, b2 = model.get_weights()
    expected = sigmoid(sigmoid(x @ w1 + b1) @ w2 + b2)
    np.testing.assert_allclose(model.predict(x), expected, rtol=1e-5)
    np.testing.assert_allclose(model(x), expected, rtol=1e-5)


def test_calling_a_model_is_calling_its_layers_one_after_the_other(backend, monkeypatch, generator):
    monkeypatch.setenv("ARRAY_BACKEND", backend.spec)  # a layer on its own has no backend of its own
    normalization = Normalization()
    x = generator.normal(size=(5, 3))
    normalization.adapt(x)
    model = Sequential([normalization, Dense(4, "tanh"), Activation("relu"), Dense(2, "softmax")])
    expected = x
    for layer in (assembled := model.layers):
        if layer is assembled[1]:
            model.build((None, 3))
        expected = layer(expected)
    np.testing.assert_allclose(model(x), expected, rtol=1e-5, atol=1e-6)


def test_a_call_gives_an_array_of_the_callers_library(backend, coffee_net):
    model, x = coffee_net(on=backend), np.zeros((2, 2))
    assert isinstance(model(x), np.ndarray)
    assert isinstance(model(x.tolist()), np.ndarray)
    assert backend.owns(model(backend.asarray(x)))


def test_a_prediction_is_a_numpy_array_wherever_the_input_came_from(backend, coffee_net):
    model, x = coffee_net(on=backend), np.zeros((2, 2))
    for given_as in (x, x.tolist(), backend.asarray(x)):
        prediction = model.predict(given_as)
        assert isinstance(prediction, np.ndarray)
        assert prediction.dtype == "float32"


def test_a_prediction_can_be_written_to(backend, coffee_net):
    prediction = coffee_net(on=backend).predict(np.zeros((2, 2)))
    prediction[prediction > 0] = 7.0
    assert prediction.tolist() == [[7.0], [7.0]]


def test_writing_to_a_prediction_does_not_change_the_input(backend):
    x = np.ones((2, 2), "float32")
    prediction = np.asarray(Sequential([Activation("linear")], backend=backend).predict(x))
    assert not np.shares_memory(prediction, x)


def test_an_input_is_left_as_it_was(backend, coffee_net, generator):
    x = generator.normal(size=(3, 2))
    x.flags.writeable = False
    coffee_net(on=backend).predict(x)


@given(
    n=st.integers(0, 9), features=st.integers(1, 4), units=st.integers(1, 4), batch_size=st.none() | st.integers(1, 10)
)
@few
def test_a_prediction_has_a_row_for_every_example_whatever_the_batch_size(backend, n, features, units, batch_size):
    utils.set_random_seed(0)
    model = Sequential([Input((features,)), Dense(units, "tanh")], backend=backend)
    x = np.random.default_rng(n).normal(size=(n, features))
    kernel, bias = model.get_weights()
    prediction = model.predict(x, batch_size=batch_size)
    assert (prediction.shape, prediction.dtype) == ((n, units), "float32")
    np.testing.assert_allclose(prediction, np.tanh(x @ kernel + bias), rtol=1e-4, atol=1e-6)


def test_more_rows_than_are_computed_at_once_change_nothing(backend, coffee_net, monkeypatch, generator):
    model, x = coffee_net(on=backend), generator.normal(size=(10, 2))
    whole = model.predict(x)
    monkeypatch.setattr(sequential, "rows_at_once", lambda features: 4)
    np.testing.assert_allclose(model.predict(x), whole, rtol=1e-6)


def test_one_row_costs_its_own_way_to_the_backend_and_no_others(backend, coffee_net, monkeypatch):
    model, row = coffee_net(on=backend), np.zeros((1, 2), "float32")
    model.predict(row)  # places the weights
    placed, asarray = [], backend.asarray
    monkeypatch.setattr(backend, "asarray", lambda *given: placed.append(given) or asarray(*given))
    for use in (model.predict, model):
        use(row)
        assert [given is row for given, _ in placed] == [True] * (not backend.takes_host_arrays)
        placed.clear()


def test_a_layer_on_its_own_runs_on_the_backend_that_the_variable_names(backend, monkeypatch, generator):
    monkeypatch.setenv("ARRAY_BACKEND", backend.spec)
    layer, x = Dense(2), generator.normal(size=(3, 4)).astype("float32")
    assert isinstance(layer(x), np.ndarray)
    assert backend.owns(layer(backend.asarray(x)))
    np.testing.assert_allclose(layer(x), x @ layer.get_weights()[0], rtol=1e-5, atol=1e-6)


def test_a_model_takes_its_backend_from_the_variable(backend, monkeypatch):
    monkeypatch.setenv("ARRAY_BACKEND", backend.spec)
    assert Sequential().backend.spec == backend.spec


def test_a_backend_that_is_not_there_is_an_error_when_the_model_is_made():
    with pytest.raises(backends.BackendError, match="backend 'torhc': there is no backend of that name"):
        Sequential(backend="torhc")


def test_weights_move_with_a_layer_that_two_models_share(backend):
    shared = Dense(2)
    one, other = Sequential([Input((3,)), shared], backend=backend), Sequential([shared], backend="numpy")
    x = np.ones((1, 3))
    first = one.predict(x)
    np.testing.assert_allclose(other.predict(x), first, rtol=1e-6)
    np.testing.assert_allclose(one.predict(x), first, rtol=1e-6)


# Float types


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_model_computes_in_the_float_type_that_is_set(backend, dtype):
    config.set_floatx(dtype)
    model = Sequential([Input((2,)), Dense(1)], backend=backend)
    config.set_floatx("float32")
    assert config.floatx() == "float32"
    model.compile("adam", "mse")
    model.fit(np.ones((3, 2)), np.ones(3), verbose=0)
    assert model.predict(np.ones((3, 2), "float16").astype("float32")).dtype == dtype
    assert {w.dtype.name for w in model.get_weights()} == {dtype}


def test_a_layer_that_was_adapted_in_another_float_type_leaves_the_models_its_own(backend, generator):
    x, normalization = generator.normal(size=(8, 2)), Normalization()
    config.set_floatx("float64")
    normalization.adapt(x)
    config.set_floatx("float32")
    model = Sequential([normalization, Dense(1)], backend=backend)
    model.compile("sgd", "mse")
    model.fit(x, x[:, 0], verbose=0)
    assert model.predict(x).dtype == "float32"


@pytest.mark.parametrize("dtype", ["float16", "int32", "double", None])
def test_a_float_type_that_is_not_one_is_refused(dtype):
    with pytest.raises(ValueError, match="floatx must be one of float32, float64, got"):
        config.set_floatx(dtype)


# Seeds


def test_one_seed_gives_one_start_on_every_backend(backend, coffee_net):
    for weight, expected in zip(
        coffee_net(on=backend).get_weights(), coffee_net(on="numpy").get_weights(), strict=True
    ):
        np.testing.assert_array_equal(weight, expected)


def test_another_seed_gives_another_start(coffee_net):
    assert not np.array_equal(coffee_net(seed=1).get_weights()[0], coffee_net(seed=2).get_weights()[0])


def test_a_seed_fixes_pythons_and_numpys_draws_too():
    import random

    draws = []
    for _ in range(2):
        utils.set_random_seed(7)
        draws.append((random.random(), np.random.rand(), Dense(3).variables.built))
    assert draws[0] == draws[1]


def test_initial_weights_are_glorots_and_biases_zero():
    utils.set_random_seed(0)
    kernel, bias = Sequential([Input((50,)), Dense(70)]).get_weights()
    limit = np.sqrt(6 / 120)
    assert 0.95 * limit < np.abs(kernel).max() <= limit
    assert abs(kernel.mean()) < 0.02 * limit * 3
    np.testing.assert_array_equal(bias, np.zeros(70))
