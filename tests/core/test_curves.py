"""Training through `Sequential`: one seed, one loss curve, on every backend and without touching the caller's arrays."""

from __future__ import annotations

import functools

import numpy as np
import pytest

import backends
from core import Activation, Dense, Input, Normalization, Sequential, config, datasets, utils
from core.optimizers import Adam

NUMPY = backends.get("numpy")
TOLERANCE = {"float64": 1e-10, "float32": 1e-4}
every_dtype = pytest.mark.parametrize("dtype", TOLERANCE)


def learn(backend, data, dtype, seed=7, copy=lambda data: data):
    """Return the losses of a few epochs, and the model."""
    config.set_floatx(dtype)
    utils.set_random_seed(seed)
    x, y = copy(getattr(datasets, data)())
    if data == "coffee":
        norm = Normalization()
        norm.adapt(x)
        layers, loss, epochs = (norm, Dense(3, "sigmoid"), Dense(1, "sigmoid")), "binary_crossentropy", 4
    else:
        layers, loss, epochs = (Dense(25, "relu"), Dense(10, "softmax")), "sparse_categorical_crossentropy", 2
    model = Sequential(layers, backend=backend)
    model.compile(Adam(0.01), loss, metrics=["accuracy"])
    return model.fit(x, y, epochs=epochs, verbose=0).history, model


@functools.cache
def reference():
    return learn(NUMPY, "digits", "float64")[0]


@every_dtype
def test_one_seed_gives_one_loss_curve_everywhere(backend, dtype):  # of coffee: bench.conform.agreement
    history, model = learn(backend, "digits", dtype)
    np.testing.assert_allclose(history["loss"], reference()["loss"], rtol=TOLERANCE[dtype])
    assert history["loss"][-1] < history["loss"][0]
    assert {w.dtype.name for w in model.get_weights()} == {dtype}


def test_another_seed_gives_another_curve():
    (history, _), (other, _) = (learn(NUMPY, "coffee", "float32", seed) for seed in (7, 8))
    assert history["loss"] != other["loss"]


def test_an_epoch_goes_on_from_the_running_averages_of_the_one_before(backend):
    x, y = np.array([[1.0, -2.0], [0.5, 1.0]]), np.array([[1.0], [0.0]])
    reached = []
    for copies, epochs in ((1, 2), (2, 1)):  # the same two steps
        utils.set_random_seed(7)
        model = Sequential([Dense(1, "sigmoid")], backend=backend)
        model.compile("adam", "mse")
        model.fit(np.tile(x, (copies, 1)), np.tile(y, (copies, 1)), len(x), epochs, verbose=0, shuffle=False)
        reached.append(model.get_weights())
    for w, other in zip(*reached, strict=True):
        np.testing.assert_allclose(w, other, rtol=1e-6)


def test_read_only_data_and_weights_are_taken_and_left_alone(backend, read_only):
    _, model = learn(backend, "coffee", "float64", copy=read_only)
    x, y = read_only(datasets.coffee())
    weights = [read_only(w) for w in model.get_weights()]
    model.set_weights(weights)
    model.fit(x, y, epochs=1, verbose=0, sample_weight=read_only(np.ones(200)))
    model.evaluate(x, y)
    assert model.predict(x).shape == model(x).shape == (200, 1)
    np.testing.assert_equal((x, y), datasets.coffee())
    assert not all(np.array_equal(a, b) for a, b in zip(weights, model.get_weights(), strict=True))


@pytest.mark.parametrize("rows", [3, 20_000])
def test_a_prediction_is_the_callers_own_to_write_into(backend, rows):
    x = np.zeros((rows, 2), "float32")
    model = Sequential([Activation("linear")], backend=backend)
    model.predict(x)[:] = 1.0
    assert not x.any()


def test_a_network_with_nothing_to_train_keeps_its_weights_and_reports_its_loss(backend):
    model = Sequential([Input((2,)), Dense(1, trainable=False)], backend=backend)
    model.compile("adam", "mse")
    x, y, before = np.ones((3, 2)), np.zeros((3, 1)), model.get_weights()
    loss = model.fit(x, y, verbose=0).history["loss"]
    np.testing.assert_allclose(loss, [before[0].sum() ** 2], rtol=1e-5)
    np.testing.assert_equal(model.get_weights(), before)


def test_a_layer_made_in_another_float_type_trains_in_its_models(backend):
    layer = Dense(2, "tanh")
    layer.build(2)
    config.set_floatx("float64")
    model = Sequential([Input((2,)), layer, Dense(1)], backend=backend)
    model.compile("adam", "mse")
    history = model.fit(np.ones((3, 2)), np.zeros((3, 1)), epochs=3, verbose=0).history
    assert history["loss"][2] < history["loss"][0]
