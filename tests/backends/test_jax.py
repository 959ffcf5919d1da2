"""What JAX compiles: folds over small products without YNN, with the same numbers, and everything else as `jax.jit` does."""

from __future__ import annotations

import importlib

import numpy as np
import pytest

import backends

pytest.importorskip("jax", reason="JAX is not installed")
jax = backends.get("jax:cpu")
module = importlib.import_module("backends.jax")


def walk(state, batch):
    return jax.xp.tanh(state @ batch[0].T) @ batch[0], (state[0, :],)


def fold(state, xs):
    return jax.fold(walk, state, (xs,))


def arrays(rows, width, steps=3):
    generator = np.random.default_rng(0)
    shapes = (rows, width), (steps, width, width)
    return tuple(jax.asarray(generator.normal(size=shape) / width, "float32") for shape in shapes)


@pytest.fixture
def options(monkeypatch):
    """Return the list of the options that functions are compiled with, as they come."""
    seen, jit = [], module.jax.jit

    def spied(function, **given):
        seen.append(given.get("compiler_options"))
        return jit(function, **given)

    monkeypatch.setattr(module.jax, "jit", spied)
    return seen


@pytest.mark.parametrize(
    ("rows", "width", "chosen"),
    [(32, 3, True), (200, 32, True), (32, 200, True), (33, 33, False), (1, 512, True)],
)
def test_a_fold_is_compiled_by_its_shortest_sides(rows, width, chosen, options):
    if not module._has_ynn():
        pytest.skip("this XLA has no YNN")
    options.clear()
    given = arrays(rows, width)
    found = jax.compile(fold)(*given)
    assert options == [None, module.WITHOUT_YNN][: 1 + chosen]
    for x, y in zip(module.jax.tree.leaves(found), module.jax.tree.leaves(fold(*given)), strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-5, atol=1e-6)


def test_what_does_not_fold_is_compiled_as_jit_does(options):
    state, xs = arrays(4, 3)
    jax.compile(lambda a, b: a @ b)(state, xs[0])
    jax.compile(lambda s, x: jax.fold(lambda s, b: (s + b[0], (s,)), s, (x,)))(xs[0], xs)  # a fold without products
    assert options == [None, None]


def test_a_compiled_fold_may_be_part_of_what_is_compiled():
    module._has_ynn.cache_clear()
    given = arrays(4, 3)
    compiled = jax.compile(fold)
    found = module.jax.jit(lambda *arguments: compiled(*arguments))(*given)
    np.testing.assert_allclose(found[0], fold(*given)[0], rtol=1e-5, atol=1e-6)


def test_an_xla_that_does_not_know_the_option_compiles_as_jit_does(monkeypatch, options):
    monkeypatch.setattr(module, "WITHOUT_YNN", {"xla_cpu_no_such_option": ""})
    module._has_ynn.cache_clear()
    given = arrays(4, 3)
    found = jax.compile(fold)(*given)
    module._has_ynn.cache_clear()
    assert options == [None, {"xla_cpu_no_such_option": ""}]  # the second is the question whether it is known
    np.testing.assert_allclose(found[0], fold(*given)[0], rtol=1e-5, atol=1e-6)


def test_a_compiled_fold_can_be_compiled_within_another_and_differentiated():
    state, xs = arrays(4, 3)
    compiled = jax.compile(fold)
    expected = compiled(state, xs)[0] + 1.0
    np.testing.assert_allclose(jax.compile(lambda s, x: compiled(s, x)[0] + 1.0)(state, xs), expected, rtol=1e-6)
    gradient = module.jax.grad(lambda s: compiled(s, xs)[0].sum())(state)
    np.testing.assert_allclose(gradient, module.jax.grad(lambda s: fold(s, xs)[0].sum())(state), rtol=1e-4, atol=1e-6)
