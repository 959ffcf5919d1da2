"""Every gradient against finite differences of the function that it belongs to."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import backends
from core import Activation, Dense, Normalization, network
from core.activations import ACTIVATIONS
from core.losses import BinaryCrossentropy, CategoricalCrossentropy, MeanSquaredError, SparseCategoricalCrossentropy
from core.step import objective

xp = backends.get("numpy").xp
examples = settings(
    max_examples=15,
    deadline=None,
    derandomize=True,  # the same every time, so that no draw ever lands on a kink
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
shapes = st.tuples(st.integers(1, 4), st.integers(1, 4))
seeds = st.integers(0, 2**16)


def differences(f, x, h=1e-6):
    """Return the gradient of the scalar function f at x by central differences, one element at a time."""
    gradient = np.zeros(x.shape)
    for place in np.ndindex(x.shape):
        step = np.zeros(x.shape)
        step[place] = h
        gradient[place] = (f(x + step) - f(x - step)) / (2.0 * h)
    return gradient


def assert_is_gradient(claimed, f, x):
    """The oracle: `claimed` is the gradient of f at x."""
    assert claimed.shape == x.shape
    np.testing.assert_allclose(claimed, differences(f, x), rtol=1e-6, atol=1e-8)


def assert_has_gradients(claimed, f, weights):
    """The oracle for every array of a layer or a network, f taking all of them."""
    assert len(claimed) == len(weights)
    for i, gradient in enumerate(claimed):
        assert_is_gradient(gradient, lambda w, i=i: f((*weights[:i], w, *weights[i + 1 :])), weights[i])


# Activations


@pytest.mark.parametrize("name", ACTIVATIONS)
@given(shape=shapes, seed=seeds)
@examples
def test_an_activation_goes_back_as_its_differences_say(name, shape, seed):
    g, generator = ACTIVATIONS[name], np.random.default_rng(seed)
    z, da = generator.normal(size=shape), generator.normal(size=shape)
    assert_is_gradient(g.backward(g.forward(z, xp), da, xp), lambda z: np.sum(da * g.forward(z, xp)), z)


# Losses

LOSSES = [
    MeanSquaredError(),
    *(
        kind(from_logits=logits)
        for kind in (BinaryCrossentropy, CategoricalCrossentropy, SparseCategoricalCrossentropy)
        for logits in (False, True)
    ),
]


def draw_prediction(loss, shape, generator):
    """Real numbers for logits and for MSE, otherwise probabilities inside the clip, rows not summing to one."""
    real = isinstance(loss, MeanSquaredError) or loss.from_logits
    return generator.normal(size=shape) if real else generator.uniform(0.05, 0.95, shape)


def draw_target(loss, shape, generator):
    return generator.integers(0, shape[1], shape[0]) if loss.sparse_targets else generator.uniform(0.0, 1.0, shape)


@pytest.mark.parametrize("loss", LOSSES, ids=repr)
@given(shape=shapes, seed=seeds)
@examples
def test_a_loss_goes_back_as_its_differences_say(loss, shape, seed):
    generator = np.random.default_rng(seed)
    prediction, target = draw_prediction(loss, shape, generator), draw_target(loss, shape, generator)
    sample_weight = generator.uniform(0.0, 2.0, shape[0])
    gradient = loss.backward(target, prediction, xp=xp) * sample_weight[:, None]
    assert_is_gradient(gradient, lambda p: np.sum(sample_weight * loss.forward(target, p, xp=xp)), prediction)


# Layers

LAYERS = [
    *(Dense(3, name, use_bias=bias) for name in ACTIVATIONS for bias in (True, False)),
    *(Activation(name) for name in ACTIVATIONS),
    Normalization(),
]


def describe(layer):
    return "-".join(str(getattr(layer, part, "")) for part in ("name", "activation", "use_bias")).strip("-")


@pytest.mark.parametrize("layer", LAYERS, ids=describe)
@pytest.mark.parametrize("shape", [(1, 1), (4, 2), (2, 5)])
def test_a_layer_goes_back_as_its_differences_say(layer, shape, generator, draw_weights):
    (weights,), x = draw_weights((layer,), shape[1]), generator.normal(size=shape)
    y, residual = layer.forward(weights, x, xp=xp)
    dy = generator.normal(size=y.shape)
    dx, gradients = layer.backward(weights, residual, dy, xp=xp)

    assert_is_gradient(dx, lambda x: np.sum(dy * layer.forward(weights, x, xp=xp)[0]), x)
    trained = weights if layer.trainable else ()
    assert_has_gradients(gradients, lambda own: np.sum(dy * layer.forward(own, x, xp=xp)[0]), trained)


@pytest.mark.parametrize("layer", LAYERS, ids=describe)
def test_a_layer_without_need_of_dx_gives_the_same_gradients_of_its_weights(layer, generator, draw_weights):
    (weights,) = draw_weights((layer,), 2)
    y, residual = layer.forward(weights, generator.normal(size=(4, 2)), xp=xp)
    _, expected = layer.backward(weights, residual, y, xp=xp)
    _, gradients = layer.backward(weights, residual, y, xp=xp, needs_dx=False)
    np.testing.assert_equal(gradients, expected)


# Networks

NETWORKS = {
    "sigmoid+bce": ((Dense(3, "sigmoid"), Dense(1, "sigmoid")), BinaryCrossentropy()),
    "sigmoid+bce, several units": ((Dense(3, "sigmoid"), Dense(2, "sigmoid")), BinaryCrossentropy()),
    "linear+bce on logits": ((Dense(4, "relu"), Dense(1)), BinaryCrossentropy(from_logits=True)),
    "sigmoid taken for a logit": ((Dense(3, "tanh"), Dense(1, "sigmoid")), BinaryCrossentropy(from_logits=True)),
    "softmax+cce": ((Dense(3, "tanh"), Dense(3, "softmax")), CategoricalCrossentropy()),
    "softmax layer+cce": ((Dense(3, "tanh"), Dense(3), Activation("softmax")), CategoricalCrossentropy()),
    "softmax+sparse cce": ((Dense(4, "relu"), Dense(3, "softmax")), SparseCategoricalCrossentropy()),
    "sigmoid+cce": ((Dense(3, "tanh"), Dense(3, "sigmoid")), CategoricalCrossentropy()),
    "softmax+bce": ((Dense(3, "tanh"), Dense(3, "softmax")), BinaryCrossentropy()),
    "linear+mse": ((Dense(3, "relu"), Dense(2)), MeanSquaredError()),
    "softmax+mse, no bias": ((Dense(3, "tanh", use_bias=False), Dense(3, "softmax")), MeanSquaredError()),
    "frozen in the middle": ((Dense(3, "tanh"), Dense(3, "tanh", trainable=False), Dense(1)), MeanSquaredError()),
    "frozen bottom and top": (
        (Dense(3, "tanh", trainable=False), Dense(3, "tanh"), Dense(1, "sigmoid", trainable=False)),
        BinaryCrossentropy(),
    ),
    "normalization at the bottom": ((Normalization(), Dense(3, "tanh"), Dense(1, "sigmoid")), BinaryCrossentropy()),
}
every_network = pytest.mark.parametrize(("layers", "loss"), NETWORKS.values(), ids=NETWORKS)


def draw_batch(layers, loss, weighted, seed=0, n=4, features=2):
    generator = np.random.default_rng(seed)
    batch = generator.normal(size=(n, features)), draw_target(loss, (n, layers[-1].output_features(3)), generator)
    return (*batch, generator.uniform(0.5, 2.0, n)) if weighted else batch


def mean_loss(layers, loss, weights, batch, xp=xp):
    """The function that training lowers, as it is written: no activation moved into the loss."""
    values = loss.forward(batch[1], network.forward(layers, weights, batch[0], xp=xp)[0], xp=xp)
    return xp.sum(values * batch[2] if len(batch) == 3 else values) / batch[0].shape[0]


def assert_trains(layers, loss, weights, batch):
    """Ask the oracle about the gradient of a whole network, layer by layer."""
    gradients, _ = objective(layers, loss).gradients(weights, batch, xp=xp)
    assert len(gradients) == len(layers)
    for i, layer in enumerate(layers):

        def loss_of(own, i=i):
            return mean_loss(layers, loss, (*weights[:i], own, *weights[i + 1 :]), batch)

        assert_has_gradients(gradients[i], loss_of, weights[i] if layer.trainable else ())


@every_network
@pytest.mark.parametrize("weighted", [False, True])
def test_a_network_learns_along_the_differences_of_its_mean_loss(layers, loss, weighted, draw_weights):
    assert_trains(layers, loss, draw_weights(layers, 2), draw_batch(layers, loss, weighted))


@given(n=st.integers(1, 5), features=st.integers(1, 4), units=st.integers(1, 4), seed=seeds)
@examples
def test_a_network_of_any_size_learns_along_the_differences(n, features, units, seed, draw_weights):
    layers, loss = (Dense(3, "tanh"), Dense(units, "softmax")), SparseCategoricalCrossentropy()
    assert_trains(layers, loss, draw_weights(layers, features, seed), draw_batch(layers, loss, True, seed, n, features))


@every_network
def test_a_gradient_agrees_with_automatic_differentiation(layers, loss, draw_weights):
    jax = pytest.importorskip("jax", reason="JAX is not installed, and the reference is jax.grad")
    jnp = backends.get("jax").xp  # the backend switches float64 on
    weights, batch = draw_weights(layers, 2), draw_batch(layers, loss, weighted=True)
    gradients, _ = objective(layers, loss).gradients(weights, batch, xp=xp)
    batch = tuple(map(jnp.asarray, batch))
    expected = jax.jit(jax.grad(lambda w: mean_loss(layers, loss, w, batch, jnp)))(jax.tree.map(jnp.asarray, weights))
    for layer, own, others in zip(layers, gradients, expected, strict=True):
        for gradient, other in zip(own, others if layer.trainable else (), strict=True):
            np.testing.assert_allclose(gradient, np.asarray(other), rtol=1e-10, atol=1e-12)


# The oracle itself


class NoBiasGradient(Dense):
    def backward(self, weights, residual, dy, *, xp, needs_dx=True):
        dx, (dw, db) = super().backward(weights, residual, dy, xp=xp, needs_dx=needs_dx)
        return dx, (dw, xp.zeros_like(db))


class TransposedProduct(Dense):
    def backward(self, weights, residual, dy, *, xp, needs_dx=True):
        dx, (dw, db) = super().backward(weights, residual, dy, xp=xp, needs_dx=needs_dx)
        return dx, (dw.T, db)


class UntransposedKernel(Dense):
    def backward(self, weights, residual, dy, *, xp, needs_dx=True):
        _, own = super().backward(weights, residual, dy, xp=xp, needs_dx=needs_dx)
        return self.g.backward(residual[1], dy, xp) @ weights[0], own


class NoActivationGradient(Dense):
    def backward(self, weights, residual, dy, *, xp, needs_dx=True):
        return Dense(self.units).backward(weights, residual, dy, xp=xp, needs_dx=needs_dx)


class SumOfExamples(MeanSquaredError):  # noqa: N818
    def backward(self, target, prediction, *, xp):
        return super().backward(target, prediction, xp=xp) * prediction.shape[0]


class SumOfUnits(MeanSquaredError):  # noqa: N818
    def backward(self, target, prediction, *, xp):
        return super().backward(target, prediction, xp=xp) * prediction.shape[-1]


@pytest.mark.parametrize(
    ("kind", "loss", "caught"),
    [
        (Dense, MeanSquaredError, False),
        (NoBiasGradient, MeanSquaredError, True),
        (TransposedProduct, MeanSquaredError, True),
        (UntransposedKernel, MeanSquaredError, True),
        (NoActivationGradient, MeanSquaredError, True),
        (Dense, SumOfExamples, True),
        (Dense, SumOfUnits, True),
    ],
)
def test_the_oracle_catches_a_planted_fault(kind, loss, caught, draw_weights):
    layers = (Dense(2, "tanh"), kind(2, "tanh"))  # square, so that no shape gives a transposed array away
    problem = layers, loss(), draw_weights(layers, 2), draw_batch(layers, loss(), weighted=False)
    if caught:
        with pytest.raises(AssertionError, match="Not equal to tolerance"):
            assert_trains(*problem)
    else:
        assert_trains(*problem)
