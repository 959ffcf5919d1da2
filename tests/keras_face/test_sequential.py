"""A stack of layers: building, naming, weights, and calling it."""

from __future__ import annotations

import numpy as np
import pytest

from core import Activation, Dense, Input, Normalization, Sequential


def coffee_layers():
    return [Dense(3, activation="sigmoid", name="layer1"), Dense(1, activation="sigmoid", name="layer2")]


# Building


def test_an_input_builds_the_model_at_once():
    model = Sequential([Input(shape=(2,)), *coffee_layers()])
    assert model.built
    assert [w.shape for w in model.get_weights()] == [(2, 3), (3,), (3, 1), (1,)]


def test_layers_can_be_added_one_by_one():
    model = Sequential()
    model.add(Input((2,)))
    for layer, shapes in zip(coffee_layers(), ([(2, 3), (3,)], [(3, 1), (1,)]), strict=True):
        model.add(layer)
        assert [w.shape for w in layer.get_weights()] == shapes


@pytest.mark.parametrize("use", ["call", "predict", "fit", "evaluate", "build"])
def test_without_an_input_the_first_data_build_the_model(use):
    model, x = Sequential(coffee_layers()), np.zeros((4, 5))
    model.compile("sgd", "mse")
    assert not model.built
    assert model.get_weights() == []
    {
        "call": lambda: model(x),
        "predict": lambda: model.predict(x),
        "fit": lambda: model.fit(x, np.zeros(4), verbose=0),
        "evaluate": lambda: model.evaluate(x, np.zeros(4)),
        "build": lambda: model.build((None, 5)),
    }[use]()
    assert model.built
    assert model.get_weights()[0].shape == (5, 3)


def test_building_again_keeps_the_weights():
    model = Sequential([Input((2,)), *coffee_layers()])
    before = model.get_weights()
    model.build((None, 2))
    assert all(np.array_equal(a, b) for a, b in zip(model.get_weights(), before, strict=True))


def test_an_input_without_a_number_of_features_leaves_the_model_to_be_built_later():
    model = Sequential([Input((None,)), Dense(2)])
    assert not model.built
    assert model.predict(np.zeros((1, 7))).shape == (1, 2)


def test_a_model_for_two_features_is_not_built_for_others():
    model = Sequential([Input((2,)), Dense(1)])
    with pytest.raises(ValueError, match="takes 2 features, got input shape"):
        model.build((None, 3))


def test_a_model_with_an_input_is_built_without_a_shape_and_one_without_is_not():
    model = Sequential([Input((2,)), Dense(1)])
    model.build()
    assert model.built
    with pytest.raises(ValueError, match=r"net has no Input that says .*: build takes \(None, features\)"):
        Sequential([Dense(1)], name="net").build()


@pytest.mark.parametrize("shape", [(None, 2), [7, np.int64(2)], 2])
def test_a_layer_is_built_for_a_shape_or_a_number_of_features(shape):
    layer = Dense(3)
    layer.build(shape)
    assert [weight.shape for weight in layer.get_weights()] == [(2, 3), (3,)]


@pytest.mark.parametrize("shape", [(None, None), (2,), (None, 2, 2), (None, 2.0), "2", 0])
def test_what_is_no_shape_of_inputs_builds_nothing(shape):
    for part in (Dense(1, name="part"), Sequential([Dense(1)], name="part")):
        with pytest.raises(ValueError, match=r"part is built for inputs of shape \(None, features\), got"):
            part.build(shape)
        assert not part.get_weights()


def test_no_layers_at_all_are_an_empty_model():
    assert Sequential(None).layers == Sequential([]).layers == []


def test_a_layer_keeps_the_weights_it_came_with():
    layer = Dense(3)
    layer.build(2)
    (kernel, _) = layer.get_weights()
    model = Sequential([Input((2,)), layer])
    np.testing.assert_array_equal(model.get_weights()[0], kernel)


def test_a_layer_that_was_built_for_other_features_is_refused():
    layer = Dense(3, name="first")
    layer.build(2)
    with pytest.raises(ValueError, match="first was built for 2 features, got 5"):
        Sequential([Input((5,)), layer])


def test_a_model_can_grow_after_it_was_used():
    model = Sequential([Input((2,)), Dense(3)])
    model.predict(np.zeros((1, 2)))
    model.add(Dense(5))
    assert model.predict(np.zeros((4, 2))).shape == (4, 5)


WRONG_PARTS = {
    "an Input on top of a layer": ([Dense(1), Input((2,))], ValueError, "an Input may only come first"),
    "two Inputs": ([Input((2,)), Input((2,))], ValueError, "an Input may only come first"),
    "a class": ([Dense], TypeError, "expected a layer or an Input, got type"),
    "a number": ([3], TypeError, "expected a layer or an Input, got int"),
    "two layers of one name": ([Dense(1, name="a"), Dense(1, name="a")], ValueError, "a layer called 'a' already"),
}


@pytest.mark.parametrize("parts", WRONG_PARTS)
def test_a_stack_that_is_not_one_is_refused(parts):
    layers, error, message = WRONG_PARTS[parts]
    with pytest.raises(error, match=message):
        Sequential(layers)


@pytest.mark.parametrize("shape", [(), (2, 3), 2, (2.0,), None, ("2",), (0,)])
def test_an_input_has_one_axis(shape):
    with pytest.raises(ValueError, match="the shape of one example"):
        Input(shape=shape)


@pytest.mark.parametrize("units", [0, -1, 2.5, "3", None])
def test_a_layer_has_a_positive_number_of_units(units):
    with pytest.raises(ValueError, match="units of Dense must be a positive whole number, got"):
        Dense(units)


# Names


def test_names_are_numbered_and_unique():
    layers = [Dense(1), Dense(1), Activation("relu"), Normalization(), Sequential(), Sequential()]
    names = [layer.name for layer in layers]
    assert len(set(names)) == 6
    stems = ["dense", "dense", "activation", "normalization", "sequential", "sequential"]
    assert [name.rstrip("0123456789").rstrip("_") for name in names] == stems


@pytest.mark.parametrize("name", ["a/b", 3])
def test_a_name_is_a_string_without_a_slash(name):
    for make in (lambda: Dense(1, name=name), lambda: Sequential(name=name)):
        with pytest.raises(ValueError, match=r"the name of .* must be a string without '/', got"):
            make()


def test_given_names_are_kept():
    assert Sequential([Dense(1, name="layer1")], name="coffee").get_layer("layer1").name == "layer1"
    assert Sequential(name="coffee").name == "coffee"


def test_layers_are_those_given_without_the_input():
    layers = coffee_layers()
    assert all(a is b for a, b in zip(Sequential([Input((2,)), *layers]).layers, layers, strict=True))


def test_the_list_of_layers_is_a_copy():
    model = Sequential(coffee_layers())
    model.layers.clear()
    assert len(model.layers) == 2


def test_a_layer_is_found_by_name_and_by_index():
    first, second = layers = coffee_layers()
    model = Sequential(layers)
    assert model.get_layer("layer2") is model.get_layer(name="layer2") is model.get_layer(index=1) is second
    assert model.get_layer(index=0) is first


NO_LAYER = [
    ({"name": "layer3"}, "has no layer 'layer3'; it has layer1, layer2"),
    ({"index": 2}, "has 2 layers; there is none at index 2"),
    ({"index": -3}, "has 2 layers; there is none at index -3"),
    ({}, "takes a name or an index"),
    ({"name": "layer1", "index": 0}, "takes a name or an index"),
]


@pytest.mark.parametrize(("asked", "message"), NO_LAYER)
def test_a_layer_that_is_not_there_is_an_error_that_tells_what_is(asked, message):
    with pytest.raises(ValueError, match=message):
        Sequential(coffee_layers()).get_layer(**asked)


# Summary


def test_the_coffee_network_has_9_and_4_parameters():
    model = Sequential([Input((2,)), *coffee_layers()])
    assert [layer.count_params() for layer in model.layers] == [9, 4]
    assert model.count_params() == 13


def test_the_summary_shows_every_layer_and_the_totals(capsys):
    model = Sequential([Input((2,)), Normalization(name="norm"), *coffee_layers()], name="coffee")
    assert model.summary() is None
    text = capsys.readouterr().out
    rows = {line.split()[1]: line.split()[2:] for line in text.splitlines() if "(None," in line}
    assert {name: row[-2] for name, row in rows.items()} == {"norm": "5", "layer1": "9", "layer2": "4"}
    assert 'Model: "coffee"' in text
    for line in ("Total params: 18 (72.00 B)", "Trainable params: 13 (52.00 B)", "Non-trainable params: 5 (20.00 B)"):
        assert line in text


def test_the_summary_shows_names_as_they_are(capsys):
    Sequential([Dense(1, name="[bold]first")], name="[red]net").summary()
    text = capsys.readouterr().out
    assert "[red]net" in text
    assert "[bold]first" in text


def test_the_summary_of_a_model_that_is_not_built_has_question_marks():
    lines = []
    Sequential(coffee_layers()).summary(print_fn=lines.append)
    assert "?" in "".join(lines)
    assert "Total params: 0" in "".join(lines)


# Weights


def test_weights_come_layer_by_layer_kernel_before_bias():
    model = Sequential([Input((2,)), *coffee_layers()])
    own = [w for layer in model.layers for w in layer.get_weights()]
    assert all(np.array_equal(a, b) for a, b in zip(model.get_weights(), own, strict=True))


def test_weights_that_are_set_are_got_back_as_copies(backend, generator):
    model = Sequential([Input((2,)), *coffee_layers()], backend=backend)
    given = [generator.normal(size=w.shape).astype("float32") for w in model.get_weights()]
    kept = [w.copy() for w in given]
    model.set_weights(given)
    model.predict(np.zeros((1, 2)))  # moves them to the backend
    for weights in (given, model.get_weights()):
        for weight in weights:
            weight[...] = 0.0
    assert all(np.array_equal(a, b) for a, b in zip(model.get_weights(), kept, strict=True))


def test_setting_a_layers_weights_changes_the_model(backend):
    model = Sequential([Input((2,)), Dense(1, name="only")], backend=backend)
    model.predict(np.zeros((1, 2)))
    model.get_layer("only").set_weights([np.array([[2.0], [3.0]]), np.array([1.0])])
    np.testing.assert_array_equal(model.predict(np.array([[10.0, 100.0]])), [[321.0]])


WRONG_WEIGHTS = {
    "one too few": [(2, 3), (3,), (3, 1)],
    "one too many": [(2, 3), (3,), (3, 1), (1,), (1,)],
    "another order": [(3,), (2, 3), (3, 1), (1,)],
    "transposed": [(3, 2), (3,), (1, 3), (1,)],
    "none": [],
}


@pytest.mark.parametrize("shapes", WRONG_WEIGHTS.values(), ids=WRONG_WEIGHTS)
def test_weights_of_other_shapes_are_refused_and_change_nothing(shapes):
    model = Sequential([Input((2,)), *coffee_layers()])
    before = model.get_weights()
    with pytest.raises(ValueError, match=r"has weights of shapes .* set_weights got"):
        model.set_weights([np.zeros(shape) for shape in shapes])
    assert all(np.array_equal(a, b) for a, b in zip(model.get_weights(), before, strict=True))


def test_a_layer_without_weights_yet_takes_none():
    with pytest.raises(ValueError, match="has no weights before it is built"):
        Dense(3).set_weights([np.zeros((2, 3)), np.zeros(3)])
