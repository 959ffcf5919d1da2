"""Losses against Keras's formulas, one example and one unit at a time."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import backends
from core import activations, losses
from core.losses import BinaryCrossentropy, CategoricalCrossentropy, MeanSquaredError, SparseCategoricalCrossentropy

xp = backends.get("numpy").xp
examples = settings(max_examples=25, deadline=None)
shapes = st.tuples(st.integers(1, 5), st.integers(1, 4))
seeds = st.integers(0, 2**16)


def clipped(p):
    return min(max(p, 1e-7), 1 - 1e-7)


FORMULAS = {  # one example: y and p are lists of numbers
    MeanSquaredError(): lambda y, p: sum((q - t) ** 2 for t, q in zip(y, p, strict=True)) / len(p),
    BinaryCrossentropy(): lambda y, p: (
        -sum(t * math.log(clipped(q)) + (1 - t) * math.log(1 - clipped(q)) for t, q in zip(y, p, strict=True)) / len(p)
    ),
    CategoricalCrossentropy(): lambda y, p: -sum(t * math.log(clipped(q / sum(p))) for t, q in zip(y, p, strict=True)),
}


@pytest.mark.parametrize(("loss", "formula"), FORMULAS.items(), ids=[loss.name for loss in FORMULAS])
@given(shape=shapes, seed=seeds, data=st.data())
@examples
def test_a_loss_is_its_formula(loss, formula, shape, seed, data):
    generator = np.random.default_rng(seed)
    y, p = generator.uniform(size=shape), generator.uniform(0.01, 1.0, shape)
    p[0, 0] = data.draw(st.sampled_from([1e-9, 0.3, 1.0]))  # with probabilities that are clipped
    expected = [formula(t, q) for t, q in zip(y.tolist(), p.tolist(), strict=True)]
    values = loss.forward(y, p, xp=xp)
    assert values.shape == shape[:1]
    np.testing.assert_allclose(values, expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(
    ("loss", "link"),
    [
        (BinaryCrossentropy, activations.sigmoid),
        (CategoricalCrossentropy, activations.softmax),
        (SparseCategoricalCrossentropy, activations.softmax),
    ],
)
@given(shape=shapes, seed=seeds)
@examples
def test_a_loss_on_logits_is_that_on_their_probabilities(loss, link, shape, seed):
    assume(link is activations.sigmoid or shape[1] > 1)  # the only class of one is certain, which is clipped
    generator = np.random.default_rng(seed)
    z = generator.uniform(-5.0, 5.0, shape)
    y = generator.integers(0, shape[1], shape[0]) if loss.sparse_targets else generator.uniform(size=shape)
    np.testing.assert_allclose(loss(from_logits=True)(y, z), loss()(y, link(z)), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("from_logits", [False, True])
@given(shape=shapes, seed=seeds)
@examples
def test_class_numbers_mean_the_same_as_one_hot_rows(from_logits, shape, seed):
    generator = np.random.default_rng(seed)
    p, classes = generator.uniform(0.1, 1.0, shape), generator.integers(0, shape[1], shape[0])
    sparse = SparseCategoricalCrossentropy(from_logits).forward(classes, p, xp=xp)
    np.testing.assert_array_equal(
        sparse, CategoricalCrossentropy(from_logits).forward(np.eye(shape[1])[classes], p, xp=xp)
    )


def test_probabilities_are_divided_by_their_sum():
    y, p = np.array([[0.0, 1.0, 0.0]]), np.array([[2.0, 5.0, 3.0]])
    np.testing.assert_allclose(CategoricalCrossentropy()(y, p), -math.log(0.5), rtol=1e-12)


def test_calling_a_loss_gives_the_mean_over_the_batch():
    y, p = np.array([[1.0, 0.0], [0.0, 0.0]]), np.array([[0.0, 0.0], [2.0, 4.0]])
    mean = MeanSquaredError()(y, p)
    assert (np.shape(mean), float(mean)) == ((), (0.5 + 10.0) / 2)


# What Keras 3.15.1 gives; a list, a missing last axis and class numbers that are real numbers are taken there too.
CALLED_IN_KERAS = [
    (MeanSquaredError(), [0, 1, 1], [[0.2], [0.7], [0.4]], 0.1633),
    (MeanSquaredError(), [[0], [1], [1]], [0.2, 0.7, 0.4], 0.1633),
    (MeanSquaredError(), np.zeros((2, 2, 3)), np.arange(12.0).reshape(2, 2, 3), 42.1667),
    (BinaryCrossentropy(), [0, 1, 1], [[0.2], [0.7], [0.4]], 0.4987),
    (BinaryCrossentropy(), [0.0, 1.0, 1.0], [0.2, 0.7, 0.4], 0.4987),
    (CategoricalCrossentropy(), [0, 1, 0], [0.2, 0.7, 0.1], 0.3567),
    (SparseCategoricalCrossentropy(), [[0], [2]], [[0.2, 0.5, 0.3], [0.1, 0.2, 0.7]], 0.9831),
    (SparseCategoricalCrossentropy(), [0.0, 2.0], [[0.2, 0.5, 0.3], [0.1, 0.2, 0.7]], 0.9831),
]


@pytest.mark.parametrize(("loss", "y", "p", "value"), CALLED_IN_KERAS)
def test_a_loss_called_on_lists_or_arrays_gives_what_it_gives_in_keras(backend, loss, y, p, value):
    assert float(loss(y, p)) == pytest.approx(value, abs=1e-4)
    for target in (backend.asarray(y), np.asarray(y).tolist()):
        assert float(backend.to_numpy(loss(target, backend.asarray(p)))) == pytest.approx(value, abs=1e-4)


def test_a_loss_can_be_called_in_a_function_that_is_compiled(backend):
    loss = backend.compile(lambda y, p: SparseCategoricalCrossentropy()(y, p))
    y, p = backend.asarray([[0.0], [2.0]]), backend.asarray([[0.2, 0.5, 0.3], [0.1, 0.2, 0.7]])
    assert float(backend.to_numpy(loss(y, p))) == pytest.approx(0.9831, abs=1e-4)


@pytest.mark.parametrize(
    ("loss", "y", "p", "message"),
    [
        (MeanSquaredError(), [0, 1], [[0.2], [0.7], [0.4]], r"targets of shape \(3, 1\) for .* \(3, 1\), got \(2,\)"),
        (MeanSquaredError(), [[0], [1]], [[0.2, 0.1], [0.7, 0.2]], r"targets of shape \(2, 2\) for .*, got \(2, 1\)"),
        (CategoricalCrossentropy(), [0, 1], [[0.2, 0.8], [0.7, 0.3]], r"targets of shape \(2, 2\) for .*, got \(2,\)"),
        (SparseCategoricalCrossentropy(), np.eye(2), np.eye(2), r"targets of shape \(2,\) for .*, got \(2, 2\)"),
        (SparseCategoricalCrossentropy(), [0, 2], np.eye(2), "class numbers from 0 to 1, got 0 to 2"),
        (SparseCategoricalCrossentropy(), [-1, 1], np.eye(2), "class numbers from 0 to 1, got -1 to 1"),
        (SparseCategoricalCrossentropy(), [0.5, 1.0], np.eye(2), "class numbers from 0 to 1, got 0.5 to 1.0"),
        (SparseCategoricalCrossentropy(), [0.0, np.nan], np.eye(2), "class numbers from 0 to 1, got nan to nan"),
    ],
)
def test_a_loss_called_on_what_does_not_fit_says_so_in_a_sentence(loss, y, p, message):
    with pytest.raises(ValueError, match=message):
        loss(y, p)


@pytest.mark.parametrize(
    ("loss", "y", "p", "value"),
    [
        (BinaryCrossentropy(), [[1.0]], [[0.0]], -math.log(1e-7)),
        (BinaryCrossentropy(), [[0.0]], [[1.0]], -math.log(1e-7)),
        (BinaryCrossentropy(), [[1.0]], [[1.0]], -math.log1p(-1e-7)),
        (CategoricalCrossentropy(), [[1.0, 0.0]], [[0.0, 1.0]], -math.log(1e-7)),
        (CategoricalCrossentropy(), [[1.0, 0.0]], [[1.0, 0.0]], -math.log1p(-1e-7)),
        (SparseCategoricalCrossentropy(), [0], [[0.0, 1.0]], -math.log(1e-7)),
    ],
)
def test_a_certain_probability_is_clipped_and_does_not_learn(loss, y, p, value):
    y, p = np.array(y), np.array(p)
    np.testing.assert_allclose(loss.forward(y, p, xp=xp), [value], rtol=1e-6)
    np.testing.assert_array_equal(loss.backward(y, p, xp=xp), np.zeros_like(p))


LOGITS = [
    (BinaryCrossentropy(True), [[1.0], [0.0], [1.0], [0.0]], [[1e4], [1e4], [-1e4], [-1e4]], [0.0, 1e4, 1e4, 0.0]),
    (CategoricalCrossentropy(True), [[1.0, 0.0], [0.0, 1.0]], [[1e4, -1e4], [1e4, -1e4]], [0.0, 2e4]),
    (SparseCategoricalCrossentropy(True), [0, 1], [[1e4, -1e4], [1e4, -1e4]], [0.0, 2e4]),
    (MeanSquaredError(), [[1e4], [-1e4]], [[-1e4], [-1e4]], [4e8, 0.0]),
]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("loss", "y", "z", "expected"), LOGITS, ids=lambda value: getattr(value, "name", ""))
def test_huge_logits_give_finite_losses_and_gradients_without_a_warning(loss, y, z, expected, dtype):
    y, z = np.array(y, None if loss.sparse_targets else dtype), np.array(z, dtype)
    np.testing.assert_allclose(loss.forward(y, z, xp=xp), expected)
    assert np.isfinite(loss.backward(y, z, xp=xp)).all()


def test_a_hopelessly_wrong_logit_still_learns():
    loss = BinaryCrossentropy(from_logits=True)
    assert loss.backward(np.array([[1.0]]), np.array([[-1e4]]), xp=xp) == [[-1.0]]


def test_a_loss_is_found_by_its_name_with_its_defaults():
    assert {name: losses.get(name) for name in losses.LOSSES} == {name: kind() for name, kind in losses.LOSSES.items()}
    assert losses.get("mse") == losses.get("mean_squared_error") == losses.get("MSE") == losses.get("MeanSquaredError")
    assert losses.get("bce") == losses.get("BCE") == losses.get("BinaryCrossentropy") == BinaryCrossentropy()
    assert losses.get("SparseCategoricalCrossentropy") == SparseCategoricalCrossentropy()


def test_a_loss_is_taken_as_it_is():
    loss = BinaryCrossentropy(from_logits=True)
    assert losses.get(loss) is loss


@pytest.mark.parametrize("unknown", ["hinge", None, 3, MeanSquaredError])
def test_an_unknown_loss_is_refused(unknown):
    with pytest.raises(ValueError, match=r"loss must be one of mse, bce, mean_squared_error, .* or a Loss, got"):
        losses.get(unknown)


@pytest.mark.parametrize("part", ["forward", "backward"])
def test_a_loss_that_lacks_a_part_says_so(part):
    class Unfinished(losses.Loss):
        pass

    with pytest.raises(NotImplementedError, match=f"Unfinished has no {part}"):
        getattr(Unfinished(), part)(None, None, xp=xp)
