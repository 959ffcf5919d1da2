"""Normalization: what it learns from the data that it adapts to, and what it does with it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from core import Normalization, config

tables = arrays(np.float64, array_shapes(min_dims=2, max_dims=2, max_side=6), elements=st.floats(-100.0, 100.0))


@given(data=tables, x=st.floats(-100.0, 100.0))
@settings(max_examples=25, deadline=None)
def test_normalization_takes_away_the_mean_and_divides_by_the_population_deviation(data, x):
    layer, rows = Normalization(), np.full((1, data.shape[1]), x)
    config.set_floatx("float64")
    layer.adapt(data)
    deviations = [max((sum((v - sum(c) / len(c)) ** 2 for v in c) / len(c)) ** 0.5, 1e-7) for c in data.T.tolist()]
    means = [sum(c) / len(c) for c in data.T.tolist()]
    constant = np.ptp(data, axis=0) == 0  # of n equal numbers the mean can be another, and is then a deviation
    expected = (rows - means) / deviations
    np.testing.assert_allclose(layer(rows)[:, ~constant], expected[:, ~constant], rtol=1e-6, atol=1e-6)


def test_adapted_data_has_mean_zero_and_variance_one_and_a_constant_feature_stays_finite():
    data, layer = np.array([[1.0, 5.0], [3.0, 5.0], [8.0, 5.0]]), Normalization()
    layer.adapt(data)
    y = layer(data)
    np.testing.assert_allclose(y.mean(axis=0), 0.0, atol=1e-6)
    np.testing.assert_allclose(y.std(axis=0), [1.0, 0.0], atol=1e-6)
    np.testing.assert_allclose(layer([[1.0, 5.001]])[0, 1], 1e4, rtol=1e-2)  # 0.001 / 1e-7


def test_an_unadapted_normalization_changes_nothing():
    np.testing.assert_array_equal(Normalization()([[1.5, -2.0]]), [[1.5, -2.0]])


def test_normalization_holds_mean_variance_and_keras_unused_count():
    layer = Normalization()
    layer.adapt([[1.0, 0.0], [3.0, 4.0]])
    np.testing.assert_equal(layer.get_weights(), [np.array([2.0, 2.0]), np.array([1.0, 4.0]), np.array(0.0)])


def test_adapting_again_forgets_the_first_data():
    layer = Normalization()
    layer.adapt([[100.0], [300.0]])
    layer.adapt([[1.0], [3.0]])
    np.testing.assert_array_equal(layer([[1.0], [3.0]]), [[-1.0], [1.0]])


def test_adapting_again_is_to_as_many_features():
    layer = Normalization(name="norm")
    layer.adapt(np.ones((3, 2)))
    with pytest.raises(ValueError, match="norm was built for 2 features, got 4"):
        layer.adapt(np.ones((3, 4)))


def test_normalization_adapts_to_arrays_of_the_backend_in_use(backend, monkeypatch):
    monkeypatch.setenv("ARRAY_BACKEND", backend.spec)
    layer = Normalization()
    layer.adapt(backend.asarray([[1.0], [3.0]]))
    np.testing.assert_equal(layer.get_weights()[:2], [np.array([2.0]), np.array([1.0])])


@pytest.mark.parametrize("data", [[1.0, 2.0], np.zeros((0, 2)), np.zeros((2, 2, 2)), 3.0])
def test_adapt_refuses_data_that_is_not_a_table(data):
    with pytest.raises(ValueError, match=r"adapt takes data of shape \(examples, features\) with one example at least"):
        Normalization().adapt(data)


def test_normalization_refuses_another_axis():
    with pytest.raises(ValueError, match="works along the features, axis=-1, got axis=0"):
        Normalization(axis=0)
