"""Compiling and folding: the same results as calling, and as a loop."""

from __future__ import annotations

from typing import Any

import numpy as np

from backends import Array, Backend, Tree
from backends.base import GATHERED_NUMBERS, Spent, leaves
from bench.conform.requirement import NotTriedError, require, require_same, requirement

CLOSE = 1e-12
SEED = 7


@requirement
def synchronize_gives_the_tree_back(backend: Backend) -> None:
    """`synchronize` returns the tree that it was given: tuples, lists, dicts and None, with the same arrays."""
    back = backend.synchronize({"a": (backend.asarray([1.0]), [backend.asarray(2)]), "b": None, "c": ()})
    require(isinstance(back, dict) and list(back) == ["a", "b", "c"], f"it returns a {type(back).__name__}")
    found = [backend.to_numpy(leaf).tolist() for leaf in leaves(back)]
    require(found == [[1.0], 2], f"its arrays are {found}, and were [[1.0], 2]")


@requirement
def compile_tells_whether_it_compiles(backend: Backend) -> None:
    """`compile` returns the function itself where `compiles` is False, and another one where it is True."""

    def function(x: Array) -> Array:
        return x

    same = backend.compile(function) is function
    require(same != backend.compiles, f"compiles is {backend.compiles}, and it returns {'it' if same else 'another'}")


@requirement
def a_compiled_function_gives_the_same(backend: Backend) -> None:
    """A compiled function gives what the function gives: for other values, for other shapes, and once more."""
    xp, generator = backend.xp, np.random.default_rng(SEED)

    def function(weights: Tree, x: Array) -> Tree:
        hidden = xp.tanh(xp.matmul(x, weights["w"]) + weights["b"])
        return hidden, {"sum": xp.sum(hidden, axis=0)}

    compiled = backend.compile(function)
    weights = {"w": backend.asarray(generator.normal(size=(3, 2))), "b": backend.asarray([0.5, -0.5])}
    calls = {
        f"call {i} ({n} rows)": backend.asarray(generator.normal(size=(n, 3))) for i, n in enumerate((4, 4, 1, 4), 1)
    }
    for what, x in [*calls.items(), ("the first call made again", calls["call 1 (4 rows)"])]:
        _require_close(backend, what, compiled(weights, x), _on_host(backend, function(weights, x)))


@requirement
def a_compiled_function_takes_what_is_on_the_host(backend: Backend) -> None:
    """Where `takes_host_arrays` says so, a compiled function takes a host array beside its own, and gives its own."""
    if not backend.takes_host_arrays:
        raise NotTriedError(f"{backend.name} does not say that its compiled functions take host arrays")
    compiled = backend.compile(backend.xp.matmul)
    for dtype in ("float32", "float64"):
        x, w = np.arange(6.0, dtype=dtype).reshape(3, 2), np.asarray([[1.0, 2.0], [3.0, 4.0]], dtype)
        placed = backend.asarray(w)
        result = compiled(x[::-1], placed)
        require(backend.owns(result), f"the result is a {type(result).__name__}, not an array of {backend.name}")
        require(result.device == placed.device, f"the result is on {result.device}, not on {placed.device}")
        require_same(f"a product of {dtype}", backend.to_numpy(result), x[::-1] @ w)


@requirement
def a_compiled_function_leaves_its_arguments_alone(backend: Backend) -> None:
    """What is given to a compiled function can be used again, and is what it was."""
    x = backend.asarray([1.0, 2.0, 3.0])
    backend.synchronize(backend.compile(lambda x: x * 2.0 + 1.0)(x))
    require(backend.to_numpy(x).tolist() == [1.0, 2.0, 3.0], f"[1.0, 2.0, 3.0] became {backend.to_numpy(x).tolist()}")


@requirement
def a_fold_is_a_loop(backend: Backend) -> None:
    """`fold` gives the last state of a loop over all batches, and every step's outputs, stacked."""
    for steps, width in ((1, 3), (2, 1), (5, 2), (3, 0)):
        require_loop(backend, steps, width, SEED)
    start, batches = backend.asarray(0), (backend.asarray([1, 2, 3]),)
    found = backend.fold(lambda total, batch: (total + batch[0], (total, batch[0])), start, batches)
    expected = np.asarray(6), (np.array([0, 1, 3]), np.array([1, 2, 3]))
    _require_close(backend, "a running total of whole numbers", found, expected)


@requirement
def a_fold_takes_rows_in_an_order(backend: Backend) -> None:
    """With data, a fold's batches are those rows of it that an order names, whether a batch is small or large; others follow."""
    generator = np.random.default_rng(SEED)
    for width in (3, GATHERED_NUMBERS):
        xs, order = generator.normal(size=(5, width)), np.array([[4, 0], [0, 2], [1, 3]])
        scales = np.array([1.0, 2.0, 4.0])
        expected = (xs[order] * scales[:, None, None]).sum(axis=(0, 1)), (xs[order][..., 0],)
        found = backend.fold(
            lambda total, batch: (total + backend.xp.sum(batch[0], axis=0) * batch[1], (batch[0][:, 0],)),
            backend.asarray(np.zeros(width)),
            (backend.asarray(order), backend.asarray(scales)),
            (backend.asarray(xs),),
        )
        _require_close(backend, f"a fold over rows of {width} numbers", found, expected)


@requirement
def a_fold_can_be_compiled(backend: Backend) -> None:
    """A compiled function can fold, over other values and other numbers of steps too."""
    compiled = backend.compile(lambda s, xs: backend.fold(lambda s, batch: (s * batch[0], (s,)), s, (xs,)))
    for xs in ([2.0, 3.0, 4.0], [5.0, 6.0, 7.0], [8.0]):
        before = [float(np.prod(xs[:i])) for i in range(len(xs))]
        result = compiled(backend.asarray(1.0), backend.asarray(xs))
        expected = np.asarray(np.prod(xs)), (np.asarray(before),)
        _require_close(backend, f"a fold over {len(xs)} numbers", result, expected)


@requirement
def launches_are_told_or_not(backend: Backend) -> None:
    """`launches` is None, or a whole number from 1 on, the same for every call; of a fold that of one step, for any number."""
    xp = backend.xp
    call = backend.compile(lambda x: xp.exp(x) + xp.sum(x))
    fold = backend.compile(lambda x: backend.fold(lambda s, batch: (s * 0.5 + batch[0], (s,)), x[0, :], (x,)))
    for function, what, sizes in ((call, "a call", (3, 3)), (fold, "a step of a fold", (20, 40))):
        found = [backend.launches(function, backend.asarray(np.ones((n, 2)))) for n in sizes]
        told = all(number is None or (isinstance(number, int) and number > 0) for number in found)
        require(told and len(set(found)) == 1, f"{what} is told to start {found[0]!r}, and then {found[1]!r}")


@requirement
def a_profile_is_told_or_not(backend: Backend) -> None:
    """`profile` is None, or what the parts of a call are, how often each ran and for how long together, the longest first."""
    fold = backend.compile(lambda x: backend.fold(lambda s, batch: (s * 0.5 + batch[0], (s,)), x[0, :], (x,)))
    x = backend.asarray(np.ones((20, 2)))
    backend.synchronize(fold(x))
    found = backend.profile(fold, x)
    if found is None:
        return
    require(found and all(isinstance(part, Spent) for part in found), f"it is {found!r:.60}, not a list of Spent")
    for part in found:
        known = isinstance(part.what, str) and isinstance(part.times, int) and part.times > 0 and part.seconds >= 0.0
        require(known, f"a part is {part!r}")
    seconds = [part.seconds for part in found]
    require(seconds == sorted(seconds, reverse=True), "the longest part does not come first")


def require_loop(backend: Backend, steps: int, width: int, seed: int) -> None:
    """Require that a fold of so many steps on rows of that width is the loop: nested state, outputs of two shapes."""
    generator = np.random.default_rng(seed)
    xs, ys = generator.normal(size=(steps, width)), generator.normal(size=(steps, 1))
    state: Tree = np.ones(width), {"total": np.zeros(())}
    outputs = []
    for batch in zip(xs, ys, strict=True):
        state, output = _walk(state, batch, np)
        outputs.append(output)
    expected = state, tuple(np.stack(column) for column in zip(*outputs, strict=True))
    start = backend.asarray(np.ones(width)), {"total": backend.asarray(np.zeros(()))}
    batches = backend.asarray(xs), backend.asarray(ys)
    found = backend.fold(lambda state, batch: _walk(state, batch, backend.xp), start, batches)
    require(isinstance(found[1], tuple), f"the outputs are a {type(found[1]).__name__}, not a tuple")
    _require_close(backend, f"a fold of {steps} steps", found, expected)


def _walk(state: Tree, batch: tuple[Array, ...], xp: Any) -> tuple[Tree, tuple[Array, ...]]:
    """Take one step that uses the whole state and every array."""
    (position, path), (x, y) = state, batch
    position = position * 0.5 + x
    path = {"total": path["total"] + xp.sum(position * y)}
    return (position, path), (position, path["total"])


def _on_host(backend: Backend, tree: Tree) -> list[Any]:
    return [backend.to_numpy(leaf) for leaf in leaves(tree)]


def _require_close(backend: Backend, what: str, found: Tree, expected: Tree) -> None:
    got, right = _on_host(backend, found), list(leaves(expected))
    require(len(got) == len(right), f"{what} gives {len(got)} arrays, not {len(right)}")
    for array, other in zip(got, right, strict=True):
        require(array.shape == np.shape(other), f"{what} gives shape {array.shape}, not {np.shape(other)}")
        error = np.abs(array - other).max(initial=0.0)
        require(error <= CLOSE, f"{what} is off by {error:.2g}")
