"""`import core as keras`: the names that a script finds there."""

from __future__ import annotations

import importlib
import operator

import numpy as np
import pytest

import core as keras

NAMES = """
    Sequential Input models.Sequential
    layers.Dense layers.Input layers.Activation layers.Normalization
    losses.MeanSquaredError losses.BinaryCrossentropy losses.CategoricalCrossentropy losses.SparseCategoricalCrossentropy
    optimizers.SGD optimizers.Adam
    activations.linear activations.sigmoid activations.tanh activations.relu activations.softmax
    initializers.get metrics.get losses.get optimizers.get activations.get
    utils.set_random_seed config.floatx config.set_floatx
    datasets.coffee datasets.digits datasets.demand
"""
ALL = ["Sequential", "Dense", "Input", "Activation", "Normalization", "History"]
MODULES = {name.partition(".")[0] for name in NAMES.split()} - {"Sequential", "Input"}


@pytest.mark.parametrize("name", NAMES.split())
def test_a_script_finds_what_it_found_in_keras(name):
    assert callable(operator.attrgetter(name)(keras))


@pytest.mark.parametrize("module", sorted(MODULES))
def test_a_module_of_keras_is_a_module_here(module):
    assert importlib.import_module(f"core.{module}") is getattr(keras, module)


@pytest.mark.parametrize("name", [*ALL, *sorted(MODULES)])
def test_a_star_import_brings_the_classes_and_modules(name):
    found: dict = {}
    exec("from core import *", found)
    assert found[name] is getattr(keras, name)


def test_all_names_what_is_there_and_nothing_twice():
    assert sorted(keras.__all__) == sorted(set(keras.__all__)) == sorted([*ALL, *MODULES])


def test_one_class_has_one_identity():
    assert keras.models.Sequential is keras.Sequential
    assert keras.layers.Input is keras.Input
    assert keras.layers.Dense is keras.Dense


CALLS = [
    ("sigmoid", [0.0, np.log(3.0)], [0.5, 0.75]),
    ("relu", [-1.0, 2.0], [0.0, 2.0]),
    ("linear", [-1.0, 2.0], [-1.0, 2.0]),
    ("tanh", [0.0, np.inf], [0.0, 1.0]),
    ("softmax", [0.0, np.log(3.0)], [0.25, 0.75]),
]


@pytest.mark.parametrize(("name", "z", "expected"), CALLS)
def test_an_activation_can_be_called_on_its_own(backend, name, z, expected):
    a = getattr(keras.activations, name)(backend.asarray(z))
    assert backend.owns(a)
    np.testing.assert_allclose(backend.to_numpy(a), expected, rtol=1e-12)


def test_a_loss_can_be_called_on_its_own(backend):
    loss = keras.losses.MeanSquaredError()(backend.asarray([[1.0], [2.0]]), backend.asarray([[1.0], [4.0]]))
    assert float(backend.to_numpy(loss)) == 2.0


def test_names_stand_for_objects_with_their_defaults(numpy_net):
    x, y = np.random.default_rng(0).normal(size=(40, 2)), np.ones(40)
    named = numpy_net("adam", "mse").fit(x, y, verbose=0).history
    made = numpy_net(keras.optimizers.Adam(), keras.losses.MeanSquaredError()).fit(x, y, verbose=0).history
    given = numpy_net(
        keras.optimizers.Adam(learning_rate=0.001, beta_1=0.9, beta_2=0.999, epsilon=1e-7), "mean_squared_error"
    )
    assert named == made == given.fit(x, y, verbose=0).history


def test_a_layer_takes_an_activation_by_name_or_as_an_object():
    for activation in ("relu", keras.activations.relu, keras.Activation("relu").g):
        assert keras.Dense(1, activation=activation).g is keras.activations.relu
