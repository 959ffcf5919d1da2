"""Layers: what they compute, what they hold, and what they refuse."""

from __future__ import annotations

import collections

import numpy as np
import pytest

import backends
from core import Activation, Dense, Input, Normalization, activations, config, initializers, layers
from core.layers import Layer


def built(layer, features=2):
    layer.build(features)
    return layer


@pytest.fixture
def no_names_yet(monkeypatch):
    monkeypatch.setattr(layers, "_names", collections.Counter())


# What they compute


@pytest.mark.parametrize("name", activations.ACTIVATIONS)
@pytest.mark.parametrize("use_bias", [True, False])
def test_dense_is_the_activation_of_x_w_plus_b(name, use_bias, generator, backend, place, assert_close):
    x, kernel, bias = (generator.normal(size=shape) for shape in ((4, 2), (2, 3), (3,)))
    layer, weights = Dense(3, name, use_bias), (kernel, bias) if use_bias else (kernel,)
    z = np.array([[sum(x[i] * kernel[:, j]) + use_bias * bias[j] for j in range(3)] for i in range(4)])
    y, _ = layer.forward(place(weights), place(x), xp=backend.xp)
    assert_close(y, activations.get(name)(z))


@pytest.mark.parametrize("units", [0, -1, 2.0, "3", None])
def test_dense_refuses_units_that_are_no_positive_whole_number(units):
    with pytest.raises(ValueError, match="units of Dense must be a positive whole number, got"):
        Dense(units)


@pytest.mark.parametrize("make", [lambda: Dense(1, "gelu"), lambda: Activation("gelu")], ids=["Dense", "Activation"])
def test_a_layer_refuses_an_unknown_activation_at_once(make):
    with pytest.raises(ValueError, match=r"activation must be one of linear, .* got 'gelu'"):
        make()


@pytest.mark.parametrize("argument", ["kernel_initializer", "bias_initializer"])
def test_dense_refuses_an_unknown_initializer_at_once(argument):
    with pytest.raises(ValueError, match=r"initializer must be one of glorot_uniform, .* got 'ones'"):
        Dense(1, **{argument: "ones"})


@pytest.mark.parametrize("shape", [(), (2, 3), (8, 8, 1)])
def test_input_refuses_a_shape_that_is_not_of_one_example(shape):
    with pytest.raises(ValueError, match=r"Input takes the shape of one example, \(features,\), got"):
        Input(shape)


def test_input_keeps_its_shape_as_a_tuple():
    assert Input([2]) == Input((2,))


@pytest.mark.parametrize("part", ["forward", "backward"])
def test_a_layer_that_lacks_a_part_says_so(part):
    class Unfinished(Layer):
        pass

    with pytest.raises(NotImplementedError, match=f"Unfinished has no {part}"):
        getattr(Unfinished(), part)((), *[None] * (1 if part == "forward" else 2), xp=None)


# What they are: a description, and variables beside it


def test_names_count_up_for_each_class(no_names_yet):
    class SoftSign(Layer):
        pass

    kinds = [Dense(1), Dense(1), SoftSign(), Dense(1, name="mine"), Dense(1), SoftSign()]
    assert [layer.name for layer in kinds] == ["dense", "dense_1", "soft_sign", "mine", "dense_2", "soft_sign_1"]


ALIKE = [
    (lambda: Dense(3, "relu"), lambda: Dense(3, activations.relu)),
    (lambda: Dense(3), lambda: Dense(3, "linear", name="other")),
    (lambda: Activation("tanh"), lambda: Activation(activations.tanh)),
    (Normalization, lambda: Normalization(name="other")),
]


@pytest.mark.parametrize(("one", "other"), ALIKE, ids=["by name", "by default", "activation", "normalization"])
def test_layers_of_one_description_are_equal_whatever_their_names_and_weights(one, other):
    a, b = built(one()), one() if one is other else other()
    assert a.name != b.name
    assert (a == b, hash(a) == hash(b)) == (True, True)


@pytest.mark.parametrize(
    "other",
    [
        Dense(4, "relu"),
        Dense(3, "tanh"),
        Dense(3, "relu", use_bias=False),
        Dense(3, "relu", trainable=False),
        Dense(3, "relu", kernel_initializer="he_uniform"),
        Activation("relu"),
    ],
    ids=repr,
)
def test_layers_of_different_descriptions_differ(other):
    assert Dense(3, "relu") != other


def test_a_layer_draws_its_weights_once():
    layer = built(Dense(3))
    before = layer.get_weights()
    np.testing.assert_equal(built(layer).get_weights(), before)


def test_a_built_layer_refuses_another_number_of_features():
    with pytest.raises(ValueError, match="mine was built for 2 features, got 5"):
        built(Dense(3, name="mine")).build(5)


@pytest.mark.parametrize(
    ("layer", "count"), [(Dense(3), 9), (Dense(3, use_bias=False), 6), (Activation("relu"), 0), (Normalization(), 5)]
)
def test_count_params_counts_every_number(layer, count):
    assert (layer.count_params(), built(layer).count_params()) == (0, count)


@pytest.mark.parametrize(
    ("initializer", "limit"),
    [("glorot_uniform", (6 / (40 + 30)) ** 0.5), ("he_uniform", (6 / 40) ** 0.5), ("zeros", 0.0)],
)
def test_initial_kernels_fill_the_range_of_their_formula(initializer, limit):
    kernel, bias = built(Dense(30, kernel_initializer=initializer), 40).get_weights()
    np.testing.assert_allclose([kernel.min(), kernel.max()], [-limit, limit], rtol=0.02)
    assert not bias.any()


def test_an_initializer_may_be_a_function():
    kernel, _ = built(Dense(3, kernel_initializer=lambda shape, generator: np.full(shape, 7.0))).get_weights()
    assert (kernel == 7.0).all()
    assert initializers.get(initializers.zeros) is initializers.zeros


# Weights in and out


def test_weights_come_out_and_go_in_as_copies():
    layer, kernel = built(Dense(2)), np.ones((2, 2), "float32")
    layer.set_weights([kernel, np.zeros(2)])
    kernel[:] = 5.0
    layer.get_weights()[0][:] = 5.0
    np.testing.assert_array_equal(layer.get_weights()[0], np.ones((2, 2)))


def test_weights_come_out_in_the_float_type_of_the_layer():
    config.set_floatx("float64")
    layer = built(Dense(2))
    config.set_floatx("float32")
    layer.set_weights([np.ones((2, 2), "float32"), [0, 0]])
    assert [w.dtype for w in layer.get_weights()] == ["float64", "float64"]


@pytest.mark.parametrize(
    "weights", [[np.ones((2, 2))], [np.ones((3, 2)), np.ones(2)], [np.ones((2, 2)), np.ones((2, 1))], []]
)
def test_weights_of_other_shapes_are_refused(weights):
    with pytest.raises(ValueError, match=r"mine has weights of shapes \[\(2, 2\), \(2,\)\]; set_weights got arrays"):
        built(Dense(2, name="mine")).set_weights(weights)


def test_weights_cannot_be_set_before_there_are_any():
    with pytest.raises(ValueError, match="mine has no weights before it is built"):
        Dense(2, name="mine").set_weights([np.ones((2, 2)), np.ones(2)])
    assert Dense(2).get_weights() == []


# Called on their own


@pytest.mark.parametrize(
    "layer", [Dense(3, "relu"), Activation("softmax"), Normalization()], ids=lambda layer: layer.name
)
def test_a_called_layer_answers_in_the_library_it_was_asked_in(layer, backend, monkeypatch):
    monkeypatch.setenv("ARRAY_BACKEND", backend.spec)
    x = np.array([[1.0, -2.0], [0.5, 3.0]], "float32")
    on_host, there = layer(x), layer(backend.asarray(x))
    assert isinstance(on_host, np.ndarray)
    assert backend.owns(there)
    assert there.device == backend.asarray(x).device
    np.testing.assert_array_equal(backend.to_numpy(there), on_host)


@pytest.mark.parametrize("x", [[1.0, 2.0], 3.0, [[[1.0]]]])
def test_a_called_layer_takes_a_table_only(x):
    with pytest.raises(ValueError, match=r"mine takes an array of shape \(examples, features\), got shape"):
        Dense(1, name="mine")(x)


def test_a_called_layer_works_in_the_float_type_of_models():
    for dtype in ("float64", "float32"):
        config.set_floatx(dtype)
        assert Dense(1)([[1, 2]]).dtype == dtype


def test_the_backend_in_use_is_the_environments(monkeypatch):
    monkeypatch.setenv("ARRAY_BACKEND", "nothing")
    with pytest.raises(backends.BackendError, match="ARRAY_BACKEND=nothing: there is no backend of that name"):
        Dense(1)([[1.0]])
