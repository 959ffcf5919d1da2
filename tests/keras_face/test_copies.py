"""Copies of models and layers, in memory and through pickle."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest

from core import Dense, activations, optimizers

COPIES = {"deepcopy": copy.deepcopy, "pickle": lambda value: pickle.loads(pickle.dumps(value))}
every_copy = pytest.mark.parametrize("copied", COPIES.values(), ids=COPIES)


def assert_same(weights, others):
    for weight, other in zip(weights, others, strict=True):
        np.testing.assert_array_equal(weight, other)


def near(y_true, y_pred):
    return abs(y_true - y_pred) < 0.5


@every_copy
def test_a_copy_of_a_model_predicts_and_trains_on_as_the_model_does(backend, coffee_net, roasts, copied):
    model = coffee_net(optimizers.SGD(0.1, momentum=0.9), metrics=["accuracy", near])
    model.fit(*roasts, verbose=0)
    other = copied(model)
    assert (other.name, other.backend.spec, other.layers) == (model.name, backend.spec, model.layers)
    assert_same(other.get_weights(), model.get_weights())
    np.testing.assert_array_equal(other.predict(roasts[0]), model.predict(roasts[0]))
    histories = [own.fit(*roasts, shuffle=False, verbose=0).history for own in (model, other)]
    assert histories[0] == histories[1]
    assert_same(other.get_weights(), model.get_weights())


@every_copy
def test_a_copy_has_weights_of_its_own(numpy_net, roasts, copied):
    model = numpy_net()
    other, before = copied(model), model.get_weights()
    other.fit(*roasts, verbose=0)
    assert_same(model.get_weights(), before)
    assert not np.array_equal(other.get_weights()[0], before[0])


@every_copy
def test_a_copy_of_a_layer_has_its_name_its_value_and_its_weights(copied):
    layer = Dense(3, "relu", name="first")
    layer.build(2)
    other = copied(layer)
    assert (other, other.name, other.g) == (layer, "first", activations.relu)
    assert_same(other.get_weights(), layer.get_weights())
