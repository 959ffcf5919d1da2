"""Numba's loops give the numbers of NumPy's calls, and leave to NumPy what it does better."""

from __future__ import annotations

import itertools
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal

import numpy as np
import pytest

pytest.importorskip("numba")

import backends
from backends import loopnests, nests, numba, replay
from backends.base import leaves
from backends.loopnests import Program
from bench import workloads
from bench.cases import Case
from bench.conform.suite import REQUIREMENTS

numpy = backends.get("numpy")
xp = numpy.xp
SPECIAL = [0.0, -0.0, 1.0, -1.0, 0.5, -2.5, 3.0, np.inf, -np.inf, np.nan, 1e-30, 100.0]


def fold(step, state, stacked):
    """Return the outputs of a fold as loops, and its program; only such outputs as a step taken by NumPy has are believed."""
    known = {}
    _, outputs = replay.fold(step, state, stacked, (), known, Program)
    (program,) = known.values()
    return outputs, program


def stateless(function):
    return lambda state, batch: (state, tuple(function(*batch)))


@pytest.fixture
def compiling(monkeypatch):
    """Give a backend of its own that compiles whatever it folds."""
    monkeypatch.setattr(numba, "WORTH", 0)
    return numba.NumbaBackend()


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_every_function_gives_numpys_numbers_of_all_kinds_of_numbers():
    known = [
        f for f in (*nests.ARITHMETIC, *nests.FUNCTIONS) if isinstance(f, np.ufunc) and not f.__name__.startswith("bit")
    ]

    def function(x, y):
        return [f(x, y) if f.nin == 2 else f(x) for f in known]

    x, y = (np.array(part, np.float32) for part in zip(*[(a, b) for a in SPECIAL for b in SPECIAL], strict=True))
    outputs, program = fold(stateless(function), np.zeros(1), (x[None], y[None]))
    assert program._whole is not None
    for f, found, expected in zip(known, outputs, function(x, y), strict=True):
        assert found.dtype == expected.dtype, f
        tolerance = 0 if f in nests.ARITHMETIC and f is not np.exp else 4 * np.finfo(np.float32).eps
        np.testing.assert_allclose(found[0], expected, rtol=tolerance, atol=0, err_msg=f.__name__)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_an_exponential_is_right_to_the_last_digit(dtype):
    limits, generator = np.finfo(dtype), np.random.default_rng(0)
    least, greatest = np.log(limits.smallest_subnormal), np.log(limits.max)
    x = np.concatenate([generator.uniform(least - 2.0, greatest, 4000), generator.uniform(-2.0, 2.0, 4000)])
    x = x.astype(dtype)
    (found,), _ = fold(stateless(lambda x: (xp.exp(x),)), np.zeros(1), (x[None],))
    errors = [abs(Decimal(float(e)) - Decimal(float(own)).exp()) for own, e in zip(x, found[0], strict=True)]
    assert found.dtype == dtype
    assert max(error / Decimal(float(unit)) for error, unit in zip(errors, np.spacing(found[0]), strict=True)) < 1


def test_whole_numbers_and_truth_values_are_reckoned_as_numpy_does():
    def function(n, x):
        mask = x > 0.0
        return (
            *(n + n, n * 3, -n, n // 1 - n, xp.abs(n), n / 4, n & 6, n | 1, mask & (n > 0), mask | (n > 0)),
            *(
                xp.astype(mask, xp.int32),
                xp.astype(x, xp.int32),
                xp.astype(n, xp.float32),
                xp.astype(n, xp.bool),
                x * mask,
            ),
            *(xp.where(mask, x, 0.0), xp.sum(mask, axis=0), xp.max(n), n < x),
        )

    n, x = np.array([[2**31 - 1, -5, 7, 0]], np.int32), np.array([[1.5, -2.5, 0.0, 3.25]], np.float32)
    outputs, _ = fold(stateless(function), np.zeros(1), (n, x))
    for found, expected in zip(outputs, function(n[0], x[0]), strict=True):
        assert found.dtype == np.asarray(expected).dtype
        np.testing.assert_array_equal(found[0], expected)


def test_products_of_all_shapes_and_forms_are_products():
    def function(a, b, v):
        return (
            a @ b,
            b.T @ a.T,
            a[::-1] @ b,
            a[:, ::2] @ b[::2],
            a[:1] @ b[:, :1],
            a[:2] @ b[:, 1:3],
            a.T @ (a + 1.0),
            v.T @ (v + 1.0),
        )

    generator = np.random.default_rng(0)
    arrays = [generator.normal(size=(3, *shape)).astype("float32") for shape in ((7, 4), (4, 5), (9, 1))]
    outputs, program = fold(stateless(function), np.zeros(1), tuple(arrays))
    assert sum(run[0].function is np.dot and nests.pays(run[0]) for run in program._runs) >= 5  # older NumPys copy some
    for found, expected in zip(outputs, zip(*map(function, *arrays), strict=True), strict=True):
        np.testing.assert_allclose(found, np.stack(expected), rtol=1e-5, atol=1e-6)


def test_reductions_along_all_axes_are_reductions():
    def function(x, n):
        along = itertools.product(nests.REDUCED, ((None, False), (-1, True), ((0, 2), False)))
        return [f.reduce(y[:, ::-1], axis=axis, keepdims=keepdims) for f, (axis, keepdims) in along for y in (x, n)]

    n = np.random.default_rng(0).integers(-4, 5, (2, 3, 4, 2))
    x = n.astype("float32")
    outputs, program = fold(stateless(function), np.zeros(1), (x, n))
    assert program._whole is not None
    for found, expected in zip(outputs, zip(*map(function, x, n), strict=True), strict=True):
        np.testing.assert_array_equal(found, np.stack(expected))


def test_what_libraries_do_better_is_left_to_them():
    def function(x, w):
        z = x @ w
        return xp.tanh(z), z * 2.0 + 1.0, xp.argmax(z, axis=1)

    generator = np.random.default_rng(0)
    x, w = generator.normal(size=(2, 64, 50)), np.broadcast_to(generator.normal(size=(50, 40)), (2, 50, 40))
    outputs, program = fold(stateless(function), np.zeros(1), (x, w))
    assert program._whole is None
    assert {np.dot, np.tanh} <= {getattr(call, "func", None) for call in program.program()}
    for found, expected in zip(outputs, zip(*map(function, x, w), strict=True), strict=True):
        np.testing.assert_allclose(found, np.stack(expected), rtol=1e-12)


def test_elementwise_calls_are_one_loop_that_stores_only_what_is_read():
    def step(state, batch):
        x = (state * 2.0 + batch[0]) / 3.0
        return x - xp.sqrt(x * x), (x[:1] * 1.0,)

    outputs, program = fold(step, np.ones(1000), (np.arange(3000.0).reshape(3, 1000),))
    assert [len(run) for run in program._runs if len(run) > 1] == [6]
    np.testing.assert_allclose(outputs[0][:, 0], [2 / 3, 1000 / 3, 2000 / 3])


def test_numbers_in_other_forms_are_left_to_numpy():
    swapped, real = np.arange(4.0, dtype=">f8"), np.full(4, 2.0 + 1.0j).real
    deep, half = np.ones((1,) * 8 + (4,)), np.ones(4, "float16")

    def function(x):
        return x + swapped, x * real, xp.sum(x * deep, axis=-1), x + half

    x = np.array([[1.0, -2.0, 3.0, 4.0]])
    outputs, program = fold(stateless(function), np.zeros(1), (x,))
    assert program._whole is None
    for found, expected in zip(outputs, function(x[0]), strict=True):
        np.testing.assert_array_equal(found[0], expected)


def test_equal_steps_are_compiled_once_and_give_the_same_bits():
    generator = np.random.default_rng(0)
    state, stacked = (
        generator.normal(size=(5, 3)).astype("float32"),
        (generator.normal(size=(20, 8, 5)).astype("float32"),),
    )

    def make():
        def step(w, batch):
            a = 1.0 / (1.0 + xp.exp(-(batch[0] @ w)))
            return w - 0.1 * (batch[0].T @ a), (a,)

        return step

    first, one = fold(make(), state, stacked)
    before = loopnests._compiled.cache_info().misses
    second, other = fold(make(), state, stacked)
    assert loopnests._compiled.cache_info().misses == before
    for got, expected in zip((*first, *one.state), (*second, *other.state), strict=True):
        np.testing.assert_array_equal(got, expected)


def test_equal_layers_share_their_loops():
    def deep(layers):
        def function(a, w):
            for _ in range(layers):
                a = xp.tanh(a @ w)
            return (a,)

        return function

    arrays = np.ones((2, 3, 4)), np.full((2, 4, 4), 0.1)
    fold(stateless(deep(3)), np.zeros(1), arrays)
    before = loopnests._nest_compiled.cache_info().misses
    (found,), program = fold(stateless(deep(6)), np.zeros(1), arrays)
    assert len(program._runs) == 12
    assert loopnests._nest_compiled.cache_info().misses == before
    np.testing.assert_allclose(found[0], deep(6)(*(x[0] for x in arrays))[0])


def test_batches_of_any_size_share_their_loops(compiling):
    def function(x, w, b):
        z = xp.maximum(x @ w + b, 0.0)
        return z, x.T @ z, xp.sum(z, axis=0), xp.max(z, axis=1)

    w, b = np.ones((5, 3), "float32"), np.arange(3, dtype="float32")
    compiled = compiling.compile(function)
    compiled(np.ones((20, 5), "float32"), w, b)
    before = loopnests._nest_compiled.cache_info().misses
    for rows in (17, 100):
        x = np.random.default_rng(rows).standard_normal((rows, 5)).astype("float32")
        for found, expected in zip(compiled(x, w, b), function(x, w, b), strict=True):
            np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
    assert loopnests._nest_compiled.cache_info().misses == before


def test_a_profile_tells_each_loop(compiling):
    def step(w, batch):
        return w - 0.1 * xp.sum(batch[0], axis=0), (xp.exp(batch[0]),)

    stacked = (np.ones((6, 4, 3), "float32"),)
    compiling.fold(step, np.zeros(3, "float32"), stacked)  # what checks a program is not told
    told = {
        spent.what: spent.times for spent in compiling.profile(compiling.fold, step, np.zeros(3, "float32"), stacked)
    }
    assert told == {"loops: dot (3,)": 6, "loops: exp (4, 3)": 6, "loops: multiply subtract (3,)": 6}


# Compiling has no part in the other groups, and one curve takes ten seconds of it.
COMPILED = ("functions", "waiting", "agreement")


@pytest.mark.parametrize(
    "requirement",
    [own for own in REQUIREMENTS if own.group in COMPILED and own.name != "one seed gives one curve"],
    ids=lambda requirement: requirement.name,
)
def test_what_is_compiled_meets_every_requirement(compiling, requirement):
    before = loopnests._compiled.cache_info()
    outcome = requirement.on(compiling)
    if outcome.result == "not tried":
        pytest.skip(outcome.found)
    assert outcome.result == "passed", f"{requirement.expected} Found: {outcome.found}"
    assert (
        loopnests._compiled.cache_info() != before or requirement.group != "functions" or "fold" not in requirement.name
    )


def test_a_step_is_compiled_once_it_has_worked_enough():
    backend, state, stacked = numba.NumbaBackend(), np.zeros(3), (np.ones((1000, 2, 3)),)

    def step(w, batch):
        return w - xp.sum(batch[0], axis=0), ()

    for _ in range(3):
        backend.fold(step, state, stacked)
    assert not backend._programs
    backend.fold(step, state, stacked)
    assert list(leaves([list(known) for known in backend._programs.values()]))
    backend.fold(step, state, (np.ones((1000, 1, 3)),))  # of other batches, a step is another
    assert [len(known) for known in backend._programs.values()] == [1]


def test_a_step_that_loops_cannot_take_is_taken_as_numpy_does(compiling):
    def step(state, batch):
        return state + float(batch[0][0]), (state,)

    state, outputs = compiling.fold(step, np.zeros(2), (np.ones((3, 2)),))
    assert state.tolist() == [3.0, 3.0]
    assert outputs[0].tolist() == [[0.0, 0.0], [1.0, 1.0], [2.0, 2.0]]


# Functions


def softmax_and_more(x, parameters):
    z = x @ parameters["w"] + parameters["b"]
    e = xp.exp(z - xp.max(z, axis=1, keepdims=True))
    return {"p": e / xp.sum(e, axis=1, keepdims=True), "z": z}, x, (x[:, 0], parameters["b"] * 2.0)


@pytest.mark.parametrize("rows", [1, 7, 300])
def test_a_compiled_function_gives_trees_of_arrays_of_its_own(rows):
    generator = np.random.default_rng(0)
    compiled = numba.NumbaBackend().compile(softmax_and_more)
    for layout in ("C", "F", "C"):
        x = np.asarray(generator.normal(size=(rows, 4)), order=layout)
        x.flags.writeable = False
        parameters = {"w": generator.normal(size=(4, 3)), "b": generator.normal(size=3)}
        found, expected = compiled(x, parameters), softmax_and_more(x, parameters)
        assert list(found[0]) == ["p", "z"]
        for got, value in zip(leaves(found), leaves(expected), strict=True):
            np.testing.assert_allclose(got, value, rtol=1e-13)
            assert got.flags.writeable
            assert not np.may_share_memory(got, x)
    again = compiled(x * 2.0, parameters)
    assert not any(np.may_share_memory(one, other) for one, other in zip(leaves(found), leaves(again), strict=True))
    np.testing.assert_array_equal(found[0]["z"], compiled(x, parameters)[0]["z"])


def test_arguments_may_share_memory():
    def function(x, y, z):
        return x @ y, x + z, xp.exp(y)

    compiled, whole = numba.NumbaBackend().compile(function), np.arange(32.0).reshape(2, 4, 4)
    for x, y, z in ((whole[0], whole[0], whole[1]), (whole[1], whole[1], whole[1]), (whole[0], whole[1], whole[0])):
        for got, value in zip(compiled(x, y, z), function(x, y, z), strict=True):
            np.testing.assert_allclose(got, value)
    np.testing.assert_array_equal(whole, np.arange(32.0).reshape(2, 4, 4))


def test_a_function_that_folds_is_found_without_a_copy_of_its_data():
    backend, data = numba.NumbaBackend(), np.ones((1000, 1000))
    compiled = backend.compile(lambda x, w: backend.fold(lambda w, batch: (w + batch[0], ()), w, (x,))[0])
    compiled(data[:1], np.zeros(1000))  # and what it needs the first time
    tracemalloc.start()
    np.testing.assert_array_equal(compiled(data, np.zeros(1000)), np.full(1000, 1000.0))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < data.nbytes / 2


def test_what_is_no_function_of_arrays_alone_runs_as_it_is_written():
    def function(x, power, mode=None):
        return x**power if x[0] > 0 else -x

    compiled = numba.NumbaBackend().compile(function)
    for x in ([2.0, 3.0], [-2.0, 3.0]):
        for power in (2, np.asarray(2.0)):
            np.testing.assert_array_equal(compiled(np.asarray(x), power), function(np.asarray(x), power))


def test_threads_share_a_compiled_function():
    compiled = numba.NumbaBackend().compile(softmax_and_more)
    parameters = {"w": np.ones((4, 3)), "b": np.zeros(3)}
    inputs = [np.full((300, 4), float(i)) for i in range(40)]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda x: compiled(x, parameters)[0]["z"], inputs * 5))
    for x, z in zip(inputs * 5, found, strict=True):
        np.testing.assert_array_equal(z, x @ parameters["w"])


def test_a_profile_tells_the_loops_of_a_function():
    backend = numba.NumbaBackend()
    compiled = backend.compile(lambda x: xp.exp(x) * 2.0)
    compiled(np.ones(5))
    assert [(own.what, own.times) for own in backend.profile(compiled, np.ones(5))] == [("loops: exp multiply (5,)", 1)]


KINDS = {
    "truth values": (lambda m: (m @ m) * 1, [np.eye(2, dtype=bool)], [np.ones((2, 2), bool)]),
    "three axes": (
        lambda v, b: v @ b,
        [np.ones(2), np.ones((2, 2, 1))],
        [np.array([1.0, 2.0]), np.arange(4.0).reshape(2, 2, 1)],
    ),
    "whole powers": (lambda x, n: x**n, [np.ones(2), np.ones(2, int)], [np.array([0.0, 0.999]), np.array([-1, 12345])]),
    "powers of whole": (lambda x, n: x**n, [np.ones(1, int), np.ones(1, int)], [np.array([7]), np.array([2**31 - 1])]),
    "too large": (lambda a: a + 1 > a, [np.ones(1, int)], [np.array([2**63 - 1])]),
    "one element": (lambda a, b: a @ b, [np.ones((1, 1)), np.ones((1, 1))], [np.array([[np.nan]]), np.zeros((1, 1))]),
    "complex": (lambda x: x * 1j, [np.ones(3, "float32")], [np.arange(3, dtype="float32")]),
    "stacked": (lambda x: xp.stack([x, 2 * x]), [np.ones(4)], [np.arange(4.0)]),
    "asarray": (lambda x: xp.asarray(x) * 2.0, [np.ones((1, 3))], [np.arange(3.0)[None]]),
    "by values": (xp.unique_values, [np.array([1.0, 2.0, 3.0])], [np.array([2.0, 2.0, 2.0])]),
    "not defined elsewhere": (
        xp.linalg.cholesky,
        [np.array([[2.0, 1.0], [1.0, 3.0]])],
        [np.array([[4.0, 1.0], [1.0, 3.0]])],
    ),
    "no argument": (lambda: xp.ones(3), [], []),
}


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("kind", KINDS)
def test_a_compiled_function_gives_what_it_gives_as_it_is(kind, compiling):
    function, first, then = KINDS[kind]
    compiled = compiling.compile(function)
    compiled(*first)
    for found, expected in zip(leaves(compiled(*then)), leaves(function(*then)), strict=True):
        assert found.dtype == expected.dtype
        np.testing.assert_allclose(found, expected, rtol=1e-15, atol=0)


def test_an_array_that_is_captured_and_given_is_not_confused(compiling):
    captured = np.ones(3)
    compiled = compiling.compile(lambda x: x + captured)
    compiled(captured)
    np.testing.assert_array_equal(compiled(np.arange(3.0)), np.arange(3.0) + 1.0)


@pytest.mark.parametrize("network", ["coffee-2-3-1", "wide-784-512-512-10"])
def test_an_epoch_is_folded_by_loops_and_not_by_numpys_calls(network, compiling):
    case = Case("epoch", network, "fold", 32)
    problem = workloads.build(case, compiling, 32, epoch_rows=64)
    problem.function(*problem.arguments(compiling))
    (known,) = compiling._programs.values()
    assert [type(recording) for recording in known.values()] == [Program]
