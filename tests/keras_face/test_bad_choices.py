"""Options that make no sense, and calls in the wrong order: an error that names what is wrong, and a model left as it was."""

from __future__ import annotations

import numpy as np
import pytest

from core import Dense, Sequential, utils

X = np.random.default_rng(0).normal(size=(70, 2))
Y = (X[:, 0] > 0).astype(float)

NOT_COUNTS = [0, -1, 2.5, "32"]
FIT_OPTIONS = [
    *(("batch_size", value) for value in NOT_COUNTS),
    *(("epochs", value) for value in (1.5, "2")),
    *(("steps_per_execution", value) for value in (-1, 1.5)),
    *(("validation_split", value) for value in (-0.1, 1.0, 1.5, 0.999, "a")),
    *(("validation_data", value) for value in ((X,), X, 3)),
]


@pytest.mark.parametrize(("option", "value"), FIT_OPTIONS)
def test_an_option_of_fit_that_makes_no_sense_is_refused_by_name(numpy_net, option, value):
    model = numpy_net()
    before = model.get_weights()
    with pytest.raises((ValueError, TypeError), match=option):
        model.fit(X, Y, verbose=0, **{option: value})
    assert all(np.array_equal(a, b) for a, b in zip(model.get_weights(), before, strict=True))


def test_numbers_of_numpy_are_taken_as_the_numbers_that_they_are(numpy_net):
    model, same = numpy_net(), numpy_net()
    counts = {"batch_size": 8, "epochs": 2, "steps_per_execution": 3}
    given = {name: np.int64(count) for name, count in counts.items()}
    history = model.fit(X, Y, **given, validation_split=np.float32(0.25), shuffle=False, verbose=0).history
    assert history == same.fit(X, Y, **counts, validation_split=0.25, shuffle=False, verbose=0).history
    np.testing.assert_array_equal(model.predict(X, batch_size=np.uint8(8)), same.predict(X, batch_size=8))
    batches = [(X, Y)] * 3
    assert model.evaluate(iter(batches), steps=np.int32(2)) == same.evaluate(iter(batches), steps=2)
    assert Dense(np.int64(3)) == Dense(3)


@pytest.mark.parametrize("use", ["predict", "evaluate"])
@pytest.mark.parametrize("value", NOT_COUNTS)
def test_a_batch_size_that_is_not_a_positive_number_is_refused(numpy_net, use, value):
    model = numpy_net()
    with pytest.raises(ValueError, match="batch_size must be a positive whole number"):
        model.predict(X, batch_size=value) if use == "predict" else model.evaluate(X, Y, batch_size=value)


@pytest.mark.parametrize(("x", "y"), [(X[:0], Y[:0]), (X, Y[:2]), (X[:, :1], Y)])
def test_validation_data_that_do_not_fit_are_refused_before_any_training(coffee_net, x, y):
    model = coffee_net()
    before = model.get_weights()
    with pytest.raises(ValueError, match=r"^[xy] (must have shape|has no examples)"):
        model.fit(X, Y, validation_data=(x, y), verbose=0)
    assert all(np.array_equal(a, b) for a, b in zip(model.get_weights(), before, strict=True))


@pytest.mark.parametrize("batch_size", [70, 1000])
def test_a_batch_as_large_as_the_data_or_larger_is_one_step(numpy_net, batch_size, capsys):
    numpy_net().fit(X, Y, batch_size=batch_size, verbose=2)
    assert "Epoch 1/1  1/1 " in capsys.readouterr().out


@pytest.mark.parametrize("use", ["fit", "evaluate"])
def test_a_model_must_be_compiled_before_it_is_trained_or_judged(backend, use):
    model = Sequential([Dense(1)], name="raw", backend=backend)
    with pytest.raises(ValueError, match=r"raw must be compiled first: call compile\(optimizer=..., loss=...\)"):
        getattr(model, use)(X, Y)


@pytest.mark.parametrize("use", ["predict", "call", "fit", "evaluate"])
def test_a_model_without_layers_says_so(backend, use):
    model = Sequential(name="empty", backend=backend)
    model.compile("sgd", "mse")
    with pytest.raises(ValueError, match="empty has no layers"):
        {"predict": model.predict, "call": model, "fit": model.fit, "evaluate": model.evaluate}[use](
            *((X, Y) if use in ("fit", "evaluate") else (X,))
        )


UNKNOWN = [
    (("adamax", "mse"), "optimizer must be one of .*adam.*, got 'adamax'"),
    (("adam", "hinge"), "loss must be one of .*mse.*, got 'hinge'"),
    (("adam", "mse", ["auc"]), "metric must be one of accuracy, .*got 'auc'"),
    (("adam", None), "loss must be one of .*, got None"),
    (("adam", "mse", [lambda *_, xp: 0, lambda *_, xp: 1]), "need names of their own, got <lambda> twice"),
    (("adam", "mse", ["acc", "acc"]), "need names of their own, got acc twice"),
]


@pytest.mark.parametrize(("choices", "message"), UNKNOWN)
def test_an_unknown_choice_is_refused_with_those_that_there_are(choices, message):
    optimizer, loss, *metrics = choices
    with pytest.raises(ValueError, match=message):
        Sequential([Dense(1)]).compile(optimizer, loss, metrics=metrics[0] if metrics else None)


OUT_OF_PLACE = {
    "Sequential": lambda model: Sequential([], "name"),
    "compile": lambda model: model.compile("sgd", "mse", ["accuracy"]),
    "fit": lambda model: model.fit(X, Y, 32, 1, 0, 0.2),
    "evaluate": lambda model: model.evaluate(X, Y, 32, 0, Y),
    "predict": lambda model: model.predict(X, 32, 0, 1),
}


@pytest.mark.parametrize("use", OUT_OF_PLACE.values(), ids=OUT_OF_PLACE)
def test_what_has_another_place_in_keras_is_given_by_name(numpy_net, use):
    with pytest.raises(TypeError, match="positional argument"):
        use(numpy_net())


@pytest.mark.parametrize("wrong", [None, "1", 1.5, -1])
def test_a_seed_is_a_whole_number(wrong):
    with pytest.raises(ValueError, match="seed must be a whole number, got"):
        utils.set_random_seed(wrong)


def test_a_model_is_told_that_its_layers_are_trainable_or_not():
    model = Sequential([Dense(1), Dense(1, trainable=False)], name="net")
    assert model.trainable
    assert not Sequential([Dense(1, trainable=False)]).trainable
    with pytest.raises(AttributeError, match="net is trainable where its layers are: make them with trainable=False"):
        model.trainable = False


def test_a_compile_that_fails_leaves_the_model_as_it_was_compiled(numpy_net):
    model = numpy_net()
    with pytest.raises(ValueError, match="optimizer must be one of"):
        model.compile("adamax", "mse")
    assert model.fit(X, Y, verbose=0).history["loss"]


@pytest.mark.parametrize("activation", ["rellu", 3, np.tanh])
def test_an_unknown_activation_is_refused(activation):
    with pytest.raises(
        ValueError, match="activation must be one of linear, sigmoid, tanh, relu, softmax or an Activation"
    ):
        Dense(1, activation)


def test_a_model_is_as_it_was_after_an_error(coffee_net):
    model, fresh = coffee_net(), coffee_net()
    for x, y in ((X[0], Y), (X, Y[:3]), (X[:0], Y[:0])):
        with pytest.raises(ValueError, match=r"^[xy] "):
            model.fit(x, y, verbose=0)
    results = [m.fit(X, Y, shuffle=False, verbose=0).history for m in (model, fresh)]
    assert results[0] == results[1]
