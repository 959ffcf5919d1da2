"""Accuracy, which reads from the shapes what is meant."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import backends
from core import metrics

xp = backends.get("numpy").xp

ROWS = [[0.1, 0.7, 0.2], [0.5, 0.2, 0.3], [0.2, 0.3, 0.5]]
CASES = {
    "one unit, targets (n, 1)": ([[1], [0], [1]], [[0.9], [0.1], [0.2]], [1, 1, 0]),
    "one unit, targets (n,)": ([1, 0, 1], [[0.9], [0.1], [0.2]], [1, 1, 0]),
    "one unit at the threshold is a no": ([[1], [0]], [[0.5], [0.5]], [0, 1]),
    "one unit, real targets": ([[1.0], [0.0]], [[0.9], [0.9]], [1, 0]),
    "classes, targets (n,)": ([1, 0, 1], ROWS, [1, 1, 0]),
    "classes, targets (n, 1)": ([[1], [0], [1]], ROWS, [1, 1, 0]),
    "classes, real class numbers": ([1.0, 0.0, 1.0], ROWS, [1, 1, 0]),
    "classes, one-hot targets": ([[0, 1, 0], [1, 0, 0], [0, 1, 0]], ROWS, [1, 1, 0]),
    "classes, soft targets": ([[0.2, 0.6, 0.2], [0.4, 0.3, 0.3], [0.1, 0.8, 0.1]], ROWS, [1, 1, 0]),
    "two units, targets (n,)": ([1, 1], [[0.1, 0.9], [0.8, 0.2]], [1, 0]),
    "two units, one-hot targets": ([[0, 1], [0, 1]], [[0.1, 0.9], [0.8, 0.2]], [1, 0]),
    "scores need not be probabilities": ([1, 0], [[-3.0, 4.0], [-3.0, 4.0]], [1, 0]),
    "one example": ([[1]], [[0.9]], [1]),
}


@pytest.mark.parametrize(("target", "prediction", "expected"), CASES.values(), ids=CASES)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_accuracy_is_one_for_each_example_that_is_right(target, prediction, expected, dtype):
    right = metrics.accuracy(np.array(target), np.array(prediction, dtype), xp=xp)
    np.testing.assert_array_equal(right, expected)
    assert (right.shape, right.dtype) == ((len(expected),), dtype)


@given(n=st.integers(1, 6), units=st.integers(2, 5), seed=st.integers(0, 2**16))
@settings(max_examples=25, deadline=None)
def test_accuracy_is_the_same_for_class_numbers_columns_and_one_hot_rows(n, units, seed):
    generator = np.random.default_rng(seed)
    classes, scores = generator.integers(0, units, n), generator.normal(size=(n, units))
    expected = [float(max(range(units), key=row.__getitem__) == c) for row, c in zip(scores, classes, strict=True)]
    for target in (classes, classes[:, None], np.eye(units)[classes]):
        np.testing.assert_array_equal(metrics.accuracy(target, scores, xp=xp), expected)


@pytest.mark.parametrize("name", ["accuracy", "acc", "Accuracy"])
def test_a_metric_keeps_the_name_it_was_asked_for_by(name):
    assert metrics.get(name) == (name, metrics.accuracy)


def test_a_function_is_a_metric_under_its_own_name():
    def right_enough(target, prediction, *, xp):
        return xp.ones(target.shape[0])

    assert metrics.get(right_enough) == ("right_enough", right_enough)


@pytest.mark.parametrize("unknown", ["auc", "", None, 3, ["accuracy"]])
def test_an_unknown_metric_is_refused(unknown):
    with pytest.raises(ValueError, match="metric must be one of accuracy, acc or a function, got"):
        metrics.get(unknown)


@pytest.mark.parametrize("wrong", ["accuracy", {"a": "accuracy"}, metrics.accuracy, 3])
def test_metrics_that_are_no_list_are_refused(wrong):
    with pytest.raises(ValueError, match="metrics must be a list of names and functions, got"):
        metrics.get_all(wrong)
