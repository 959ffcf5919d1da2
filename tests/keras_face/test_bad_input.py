"""What is not a matrix of numbers with its targets: a right answer, or an error that names the argument."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes

from core import Dense, Input, Sequential

few = settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
X = np.random.default_rng(0).normal(size=(7, 2))
Y = (X[:, 0] > 0).astype(float)
USES = {
    "predict": lambda model, x, y: model.predict(x),
    "call": lambda model, x, y: model(x),
    "fit": lambda model, x, y: model.fit(x, y, verbose=0),
    "evaluate": lambda model, x, y: model.evaluate(x, y),
}
every_use = pytest.mark.parametrize("use", USES.values(), ids=USES)
training = pytest.mark.parametrize("use", [USES["fit"], USES["evaluate"]], ids=["fit", "evaluate"])


@pytest.fixture
def classifier(backend):
    """Return a network of two features and three classes, for class numbers."""
    model = Sequential([Input((2,)), Dense(3, "softmax")], backend=backend)
    model.compile("sgd", "sparse_categorical_crossentropy")
    return model


# Inputs that are refused

REFUSED = {
    "one example without its axis": X[0],
    "a number": 3.0,
    "three axes": X[None],
    "too many features": np.zeros((7, 3)),
    "too few features": X[:, :1],
    "an empty list": [],
    "nothing": None,
    "a dict": {"x": X},
    "rows of different lengths": [[1.0, 2.0], [3.0]],
    "words": np.array([["a", "b"]] * 7),
    "numbers as words": np.array([["1", "2"]] * 7),
    "objects": np.array([[1, None]] * 7, dtype=object),
    "numbers as objects": X.astype(object),
    "complex numbers": X + 1j,
    "dates": np.zeros((7, 2), "M8[s]"),
}


@every_use
@pytest.mark.parametrize("x", REFUSED.values(), ids=REFUSED)
def test_an_input_that_is_not_a_matrix_of_real_numbers_is_refused_by_name(coffee_net, use, x):
    with pytest.raises(ValueError, match=r"^x must "):
        use(coffee_net(), x, Y)


def test_one_example_without_its_axis_is_told_how_to_get_it(coffee_net):
    with pytest.raises(ValueError, match=r"got \(2,\); give one example as \[x\], a column as x\[:, None\]"):
        coffee_net().predict(X[0])


def test_an_array_of_complex_numbers_of_the_backend_is_refused_too(backend, coffee_net):
    with pytest.raises(ValueError, match=r"^x must "):
        coffee_net().predict(backend.asarray(X + 1j))


@given(shape=array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3))
@few
def test_a_shape_is_predicted_for_or_refused(coffee_net, shape):
    model, x = coffee_net(), np.zeros(shape)
    if len(shape) == 2 and shape[1] == 2:
        assert model.predict(x).shape == (shape[0], 1)
    else:
        with pytest.raises(ValueError, match=r"^x must have shape"):
            model.predict(x)


@training
def test_no_examples_are_nothing_to_learn_or_judge(coffee_net, use):
    with pytest.raises(ValueError, match=r"^x has no examples"):
        use(coffee_net(), X[:0], Y[:0])


# Inputs that are taken

TAKEN = {
    "float32": X.astype("float32"),
    "float64": X,
    "whole numbers": np.arange(14).reshape(7, 2),
    "unsigned bytes": np.arange(14, dtype="uint8").reshape(7, 2),
    "booleans": X > 0,
    "one row": X[:1],
    "nested lists": X.tolist(),
    "a tuple of arrays": tuple(X),
    "a table of pandas": pd.DataFrame(X, columns=["celsius", "minutes"]),
    "another order in memory": np.asfortranarray(X),
    "every second row backwards": X[::-2],
}


@pytest.mark.parametrize("x", TAKEN.values(), ids=TAKEN)
def test_numbers_of_any_kind_are_taken_as_float32(coffee_net, x):
    model, same = coffee_net(), np.ascontiguousarray(np.asarray(x, "float32"))
    np.testing.assert_array_equal(model.predict(x), model.predict(same))
    assert model.evaluate(x, Y[: len(same)]) == model.evaluate(same, Y[: len(same)])


@pytest.mark.parametrize("dtype", ["float16", ">f8"])
def test_a_type_outside_the_standard_is_taken_or_named(backend, coffee_net, dtype):
    model, x = coffee_net(), X.astype(dtype)
    if backend.name == "strict":
        with pytest.raises(TypeError, match=f"does not support the dtype '{dtype}'"):
            model.predict(x)
    else:
        np.testing.assert_array_equal(model.predict(x), model.predict(x.astype("float32")))


@pytest.mark.parametrize("dtype", ["float32", "float64", "int64", "uint8", "bool"])
def test_arrays_of_the_backend_are_taken_whatever_their_dtype(backend, coffee_net, dtype):
    model, x = coffee_net(), np.abs(X).astype(dtype)
    np.testing.assert_array_equal(model.predict(backend.asarray(x)), model.predict(x))
    placed = [backend.asarray(array) for array in (x, Y, Y)]
    assert model.evaluate(*placed[:2], sample_weight=placed[2]) == model.evaluate(x, Y, sample_weight=Y)


@pytest.mark.parametrize("use", ["predict", "call"])
def test_no_examples_have_no_predictions(coffee_net, use):
    prediction = USES[use](coffee_net(), X[:0], None)
    assert (prediction.shape, prediction.dtype) == ((0, 1), "float32")


def test_a_row_that_is_not_a_number_gives_none_and_leaves_the_others_alone(coffee_net):
    model, broken = coffee_net(), X.copy()
    broken[3, 1] = np.nan
    prediction, whole = model.predict(broken), model.predict(X)
    assert np.isnan(prediction[3]).all()
    np.testing.assert_array_equal(np.delete(prediction, 3, axis=0), np.delete(whole, 3, axis=0))


# Targets

WRONG_TARGETS = {
    "too few": Y[:5],
    "too many": np.ones(8),
    "two columns": np.ones((7, 2)),
    "a row": Y[None, :],
    "a number": 1.0,
    "nothing": None,
    "words": np.array(list("abcdefg")),
    "objects": Y.astype(object),
    "complex numbers": Y + 1j,
    "rows of different lengths": [[1.0], [2.0, 3.0]],
}


@training
@pytest.mark.parametrize("y", WRONG_TARGETS.values(), ids=WRONG_TARGETS)
def test_targets_that_do_not_fit_are_refused_by_name(coffee_net, use, y):
    with pytest.raises(ValueError, match=r"^y must "):
        use(coffee_net(), X, y)


WRONG_CLASSES = {
    "too large": [0, 1, 2, 3, 0, 1, 2],
    "negative": [0, 1, 2, -1, 0, 1, 2],
    "between two": [0, 1, 2, 0.5, 0, 1, 2],
    "not a number": [0, 1, 2, np.nan, 0, 1, 2],
    "infinite": [0, 1, 2, np.inf, 0, 1, 2],
    "one-hot rows": np.eye(3)[[0, 1, 2, 0, 1, 2, 0]],
    "words": list("0120120"),
}


@training
@pytest.mark.parametrize("y", WRONG_CLASSES.values(), ids=WRONG_CLASSES)
def test_class_numbers_that_are_none_are_refused(classifier, use, y):
    with pytest.raises(ValueError, match=r"^y must "):
        use(classifier, X, y)


@pytest.mark.parametrize("on_backend", [False, True], ids=["host", "backend"])
def test_class_numbers_out_of_range_are_told_the_range(backend, classifier, on_backend):
    y = np.array([0, 1, 2, 3, 0, 1, 2])
    with pytest.raises(ValueError, match="class numbers from 0 to 2, got 0 to 3"):
        classifier.fit(X, backend.asarray(y) if on_backend else y)


@pytest.mark.parametrize("dtype", ["uint8", "int32", "float32", "float64"])
def test_class_numbers_of_any_dtype_and_in_a_column_are_taken(classifier, dtype):
    y = np.array([0, 1, 2, 0, 1, 2, 0])
    expected = classifier.evaluate(X, y)
    assert classifier.evaluate(X, y.astype(dtype)) == expected
    assert classifier.evaluate(X, y.astype(dtype)[:, None]) == expected


def test_class_numbers_where_rows_are_expected_are_refused(backend):
    model = Sequential([Dense(3, "softmax")], backend=backend)
    model.compile("sgd", "categorical_crossentropy")
    with pytest.raises(ValueError, match=r"y must have shape \(7, 3\) for 7 examples, 3 units and categorical"):
        model.fit(X, [0, 1, 2, 0, 1, 2, 0])


@given(n=st.integers(1, 3), units=st.integers(1, 3), shape=array_shapes(min_dims=0, max_dims=3, max_side=3))
@few
def test_targets_have_the_shape_of_the_predictions_or_are_refused(n, units, shape):
    model = Sequential([Input((2,)), Dense(units)], backend="numpy")
    model.compile("sgd", "mse")
    if shape == (n, units) or (units == 1 and shape == (n,)):
        assert model.evaluate(X[:n], np.zeros(shape)) >= 0.0
    else:
        with pytest.raises(ValueError, match=r"^y must have shape"):
            model.evaluate(X[:n], np.zeros(shape))


WRONG_WEIGHTS = {
    "too few": np.ones(5),
    "a column too many": np.ones((7, 2)),
    "a number": 2.0,
    "words": ["a"] * 7,
    "complex numbers": np.ones(7) * 1j,
}


@pytest.mark.parametrize("weights", WRONG_WEIGHTS.values(), ids=WRONG_WEIGHTS)
def test_sample_weights_that_do_not_fit_are_refused_by_name(coffee_net, weights):
    with pytest.raises(ValueError, match=r"^sample_weight must "):
        coffee_net().fit(X, Y, sample_weight=weights, verbose=0)
