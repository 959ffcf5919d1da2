"""Optimizers against Keras's formulas, one number at a time."""

from __future__ import annotations

import math
from dataclasses import fields

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes

import backends
from core import optimizers
from core.optimizers import SGD, Adam

xp = backends.get("numpy").xp
examples = settings(max_examples=25, deadline=None)


def take_steps(optimizer, w, gradients):
    """Return the weights after a step along each gradient."""
    slots = (np.zeros_like(w),) * optimizer.slot_count
    for t, g in enumerate(gradients, start=1):
        alpha = optimizer.step_sizes(np.asarray(t, w.dtype), xp=xp)
        w, slots = optimizer.update(w, g, slots, alpha, xp=xp)
        assert len(slots) == optimizer.slot_count
    return w


def sgd(w, gradients, lr, momentum, nesterov):
    m = 0.0
    for g in gradients:
        m = momentum * m - lr * g
        w = w + momentum * m - lr * g if nesterov else w + m
    return w


def adam(w, gradients, lr, b1, b2, epsilon):
    m = v = 0.0
    for t, g in enumerate(gradients, start=1):
        m += (g - m) * (1 - b1)
        v += (g**2 - v) * (1 - b2)
        w -= lr * math.sqrt(1 - b2**t) / (1 - b1**t) * m / (math.sqrt(v) + epsilon)
    return w


RULES = [
    (SGD(), lambda w, g: sgd(w, g, 0.01, 0.0, False)),
    (SGD(0.1), lambda w, g: sgd(w, g, 0.1, 0.0, False)),
    (SGD(0.1, momentum=0.9), lambda w, g: sgd(w, g, 0.1, 0.9, False)),
    (SGD(0.1, momentum=0.9, nesterov=True), lambda w, g: sgd(w, g, 0.1, 0.9, True)),
    (SGD(0.1, momentum=1.0), lambda w, g: sgd(w, g, 0.1, 1.0, False)),
    (Adam(), lambda w, g: adam(w, g, 0.001, 0.9, 0.999, 1e-7)),
    (Adam(0.3, 0.5, 0.7, 0.01), lambda w, g: adam(w, g, 0.3, 0.5, 0.7, 0.01)),
]


@pytest.mark.parametrize(("optimizer", "rule"), RULES, ids=lambda value: repr(value) if value in dict(RULES) else "")
@given(shape=array_shapes(min_dims=0, max_dims=2, max_side=4), steps=st.integers(1, 6), seed=st.integers(0, 2**16))
@examples
def test_steps_follow_the_rule_element_by_element(optimizer, rule, shape, steps, seed):
    generator = np.random.default_rng(seed)
    w, gradients = generator.normal(size=shape), generator.normal(size=(steps, *shape))
    reached = np.asarray(take_steps(optimizer, w, gradients))
    assert reached.shape == shape
    for place in np.ndindex(shape):
        np.testing.assert_allclose(
            reached[place], rule(float(w[place]), [float(g[place]) for g in gradients]), rtol=1e-9
        )


def test_adam_adds_epsilon_outside_the_root_to_an_uncorrected_average():
    g = 1e-7
    moved = -take_steps(Adam(0.001), np.zeros(1), [np.array([g])])[0]
    root = math.sqrt(0.001) * g  # √v after one step; with ε inside or v corrected, the step is another
    np.testing.assert_allclose(moved, 0.001 * math.sqrt(0.001) * g / (root + 1e-7), rtol=1e-10)


def test_adam_moves_by_the_learning_rate_at_first_however_steep_it_is():
    gradients = np.array([1e-2, 1.0, -1e6])
    np.testing.assert_allclose(take_steps(Adam(0.1), np.zeros(3), [gradients]), [-0.1, -0.1, 0.1], rtol=1e-3)


def test_no_gradient_means_no_step():
    w = np.array([1.0, -2.0])
    for optimizer, _ in RULES:
        np.testing.assert_array_equal(take_steps(optimizer, w, [np.zeros(2)] * 3), w)


def test_nesterov_needs_momentum_to_differ():
    w, gradients = np.ones(3), [np.arange(3.0)] * 4
    np.testing.assert_array_equal(take_steps(SGD(nesterov=True), w, gradients), take_steps(SGD(), w, gradients))


def test_an_optimizer_descends_a_parabola():
    for optimizer in (SGD(0.1), SGD(0.02, momentum=0.8), SGD(0.02, 0.8, nesterov=True), Adam(0.1)):
        w, slots = np.array([3.0, -1.0]), (np.zeros(2),) * optimizer.slot_count
        for t in range(1, 301):
            w, slots = optimizer.update(w, 2 * w, slots, optimizer.step_sizes(np.asarray(float(t)), xp=xp), xp=xp)
        np.testing.assert_allclose(w, 0.0, atol=0.01)


@pytest.mark.parametrize(
    ("name", "optimizer"), [("sgd", SGD()), ("SGD", SGD()), ("adam", Adam()), ("Adam", Adam(0.001, 0.9, 0.999, 1e-7))]
)
def test_an_optimizer_is_found_by_its_name_with_keras_defaults(name, optimizer):
    assert optimizers.get(name) == optimizer


def test_an_optimizer_is_taken_as_it_is():
    optimizer = Adam(0.5)
    assert optimizers.get(optimizer) is optimizer


@pytest.mark.parametrize("unknown", ["lion", None, 0.01, Adam])
def test_an_unknown_optimizer_is_refused(unknown):
    with pytest.raises(ValueError, match="optimizer must be one of sgd, adam or an Optimizer, got"):
        optimizers.get(unknown)


@pytest.mark.parametrize("number", [np.float64(0.25), np.float32(0.25), np.array(0.25), np.int64(3), 3])
def test_numbers_of_numpy_become_pythons_and_decide_no_dtype(number):
    for optimizer in (SGD(number), Adam(number), Adam(0.1, np.float64(0.5), np.float32(0.5), np.array(1e-7))):
        assert {type(getattr(optimizer, field.name)) for field in fields(optimizer)} <= {float, bool}
        assert take_steps(optimizer, np.ones(2, "float32"), [np.ones(2, "float32")]).dtype == "float32"


WRONG_NUMBERS = [None, "0.1", [0.1], np.ones(2), 1j, math.nan, math.inf]


@pytest.mark.parametrize("wrong", WRONG_NUMBERS, ids=repr)
def test_what_is_no_finite_number_is_refused_by_name(wrong):
    for make in (SGD, Adam):
        with pytest.raises(ValueError, match=r"^learning_rate must be a finite number, got"):
            make(learning_rate=wrong)
    for name in ("beta_1", "beta_2", "epsilon"):
        with pytest.raises(ValueError, match=rf"^{name} must be a finite number, got"):
            Adam(**{name: wrong})


@pytest.mark.parametrize("momentum", [-0.1, 1.1])
def test_a_momentum_that_would_not_decay_is_refused(momentum):
    with pytest.raises(ValueError, match="momentum must be between 0 and 1, got"):
        SGD(momentum=momentum)


def test_an_optimizer_that_lacks_a_part_says_so():
    with pytest.raises(NotImplementedError, match="Optimizer has no step_sizes"):
        optimizers.Optimizer().step_sizes(np.ones(1), xp=xp)
    with pytest.raises(NotImplementedError, match="Optimizer has no update"):
        optimizers.Optimizer().update(np.ones(1), np.ones(1), (), np.asarray(1.0), xp=xp)
