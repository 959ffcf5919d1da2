"""What every backend promises: arrays there and back, functions compiled and folded, and a description."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

import backends
from backends.base import leaves

INTEGERS = [f"{kind}{bits}" for kind in ("int", "uint") for bits in (8, 16, 32, 64)]
DTYPES = ["bool", *INTEGERS, "float32", "float64", "complex64", "complex128"]
few = settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
every_dtype = pytest.mark.parametrize("dtype", DTYPES)
shapes = array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4)

SPECS = {f"{found.name}:{device}" for found in backends.status() for device in found.devices}

# There and back


@every_dtype
@given(data=st.data())
@few
def test_an_array_comes_back_as_it_went(backend, dtype, data):
    host = data.draw(arrays(dtype, shapes))
    back = backend.to_numpy(backend.asarray(host))
    assert isinstance(back, np.ndarray)
    assert back.dtype == dtype
    np.testing.assert_array_equal(back, host, strict=True)


@every_dtype
@pytest.mark.parametrize("shape", [(), (0,), (3, 0), (0, 2, 1)])
def test_empty_and_0_d_arrays_keep_shape_and_dtype(backend, dtype, shape):
    placed = backend.asarray(np.ones(shape, dtype))
    assert tuple(placed.shape) == shape
    np.testing.assert_array_equal(backend.to_numpy(placed), np.ones(shape, dtype), strict=True)


@pytest.mark.parametrize("dtype", ["int32", "int64", "float32", "float64"])
@pytest.mark.parametrize("given", ["bool", "uint8", "int64", "float32", "float64"])
def test_an_array_is_placed_in_the_dtype_that_is_named(backend, given, dtype):
    host = np.array([[0, 1], [1, 0]], given)
    placed = backend.asarray(host, dtype)
    assert placed.dtype == getattr(backend.xp, dtype)
    np.testing.assert_array_equal(backend.to_numpy(placed), host.astype(dtype), strict=True)
    again = backend.asarray(backend.asarray(host), dtype)
    np.testing.assert_array_equal(backend.to_numpy(again), host.astype(dtype), strict=True)


VALUES = [([1, 2], "int64"), ([0.1, 2.0], "float64"), (0.1, "float64"), (True, "bool")]


@pytest.mark.parametrize(("value", "dtype"), VALUES)
def test_a_python_value_has_the_dtype_that_numpy_gives_it(backend, value, dtype):
    np.testing.assert_array_equal(backend.to_numpy(backend.asarray(value)), np.asarray(value, dtype), strict=True)


def test_float64_stays_float64_through_a_computation(backend):
    x = backend.asarray(np.array([1.0, 2.0**-40]))
    total = backend.xp.sum(x)
    assert total.dtype == backend.xp.float64
    assert float(backend.to_numpy(total)) == 1.0 + 2.0**-40


@pytest.mark.parametrize("layout", [np.asfortranarray, lambda x: x[::-1, ::2], lambda x: x.T])
def test_an_array_arrives_whatever_its_layout_in_memory(backend, layout):
    host = layout(np.arange(24.0).reshape(4, 6))
    np.testing.assert_array_equal(backend.to_numpy(backend.asarray(host)), host)


def test_a_read_only_array_can_be_placed(backend, generator):
    host = generator.normal(size=(2, 3))
    host.flags.writeable = False
    np.testing.assert_array_equal(backend.to_numpy(backend.asarray(host)), host)


def test_an_array_lands_on_the_device_of_the_backend(backend):
    placed = backend.asarray([1.0])
    other = backend.asarray([2.0], "float32")
    assert backend.to_numpy(placed + backend.xp.astype(other, placed.dtype)) == [3.0]
    assert placed.device == other.device


@pytest.mark.skipif("strict:cpu" not in SPECS, reason="array-api-strict is not installed")
def test_strict_refuses_arrays_on_two_devices():
    here, there = (backends.get(f"strict:{device}").asarray([1.0]) for device in ("device1", "device2"))
    with pytest.raises(ValueError, match="device"):
        here + there


def test_a_backend_owns_its_arrays_and_no_others(backend):
    assert backend.owns(backend.asarray([1.0]))
    assert backend.owns(backend.asarray(1.0))
    assert not any(backend.owns(other) for other in ([1.0], 1.0, None, "numpy", backend, range(3)))


@pytest.mark.parametrize("other", ["numpy", "jax", "cupy", "strict"])
def test_a_backend_does_not_own_the_arrays_of_another_library(backend, other):
    if other == backend.name or not any(s.usable for s in backends.status() if s.name == other):
        pytest.skip(f"{other} is this backend, or cannot be used here")
    assert not backend.owns(backends.get(other).asarray([1.0]))


# Waiting, compiling, folding


def test_synchronize_gives_the_tree_back(backend):
    tree = {"a": (backend.asarray([1.0]), [backend.asarray(2)]), "b": None, "c": ()}
    back = backend.synchronize(tree)
    assert back.keys() == tree.keys()
    assert [backend.to_numpy(leaf).tolist() for leaf in leaves(back)] == [[1.0], 2]


def test_leaves_are_the_arrays_of_a_tree_from_left_to_right():
    assert list(leaves({"a": (1, [2, {"b": 3}]), "b": None, "c": ((), 4)})) == [1, 2, 3, 4]


def test_a_compiled_function_gives_the_same_values(backend, generator):
    def function(weights, x):
        hidden = backend.xp.tanh(backend.xp.matmul(x, weights["w"]) + weights["b"])
        return hidden, {"sum": backend.xp.sum(hidden, axis=0)}

    weights = {"w": backend.asarray(generator.normal(size=(3, 2))), "b": backend.asarray([0.5, -0.5])}
    compiled = backend.compile(function)
    for n in (4, 1):  # another shape must compile anew
        x = backend.asarray(generator.normal(size=(n, 3)))
        for got, expected in zip(leaves(compiled(weights, x)), leaves(function(weights, x)), strict=True):
            np.testing.assert_allclose(backend.to_numpy(got), backend.to_numpy(expected), rtol=1e-12, atol=1e-12)


def test_compiling_gives_another_function_only_where_the_library_compiles(backend):
    def function(x):
        return x

    assert (backend.compile(function) is function) == (not backend.compiles)


def walk(state, batch):
    """Take one step that uses the whole state and every array, and gives two outputs of different shapes."""
    (position, path), (x, y) = state, batch
    position = position * 0.5 + x
    path = {"total": path["total"] + (position * y).sum()}
    return (position, path), (position, path["total"])


@given(steps=st.integers(1, 5), width=st.integers(0, 3), seed=st.integers(0, 2**16))
@few
def test_a_fold_is_a_loop_that_stacks_the_outputs(backend, steps, width, seed):
    generator = np.random.default_rng(seed)
    start = np.ones(width), {"total": np.zeros(())}
    xs, ys = generator.normal(size=(steps, width)), generator.normal(size=(steps, 1))
    state, outputs = start, []
    for batch in zip(xs, ys, strict=True):
        state, output = walk(state, batch)
        outputs.append(output)

    def step(state, batch):
        (position, path), (x, y) = state, batch
        position = position * 0.5 + x
        path = {"total": path["total"] + backend.xp.sum(position * y)}
        return (position, path), (position, path["total"])

    placed = backend.asarray(start[0]), {"total": backend.asarray(start[1]["total"])}
    folded = backend.fold(step, placed, (backend.asarray(xs), backend.asarray(ys)))
    expected = state, tuple(np.stack(column) for column in zip(*outputs, strict=True))
    assert isinstance(folded[1], tuple)
    for got, value in zip(leaves(folded), leaves(expected), strict=True):
        assert tuple(got.shape) == np.shape(value)
        np.testing.assert_allclose(backend.to_numpy(got), value, rtol=1e-12, atol=1e-12)


def test_a_fold_over_one_array_gives_a_batch_of_one(backend):
    def step(state, batch):
        return state + batch[0], (state, batch[0])

    state, outputs = backend.fold(step, backend.asarray(0), (backend.asarray([1, 2, 3]),))
    assert backend.to_numpy(state) == 6
    assert [backend.to_numpy(column).tolist() for column in outputs] == [[0, 1, 3], [1, 2, 3]]


def test_a_fold_can_be_compiled(backend):
    compiled = backend.compile(lambda s, xs: backend.fold(lambda s, batch: (s * batch[0], (s,)), s, (xs,)))
    state, (before,) = compiled(backend.asarray(1.0), backend.asarray([2.0, 3.0, 4.0]))
    assert (float(backend.to_numpy(state)), backend.to_numpy(before).tolist()) == (24.0, [1.0, 2.0, 6.0])


# Telling

KEYS = ["backend", "version", "device", "device_name", "driver", "memory_bytes", "blas", "threads", "matmul_precision"]


def test_a_backend_describes_itself_with_the_same_keys(backend):
    found = backend.describe()
    assert list(found) == KEYS
    assert (found["backend"], found["device"], found["version"]) == (backend.name, backend.device, backend.version())


def test_a_float32_product_keeps_float32(backend):
    assert backend.matmul_precision() == backend.describe()["matmul_precision"] == "float32"


ROUNDED = [(23, "float32"), (12, "float32"), (11, "tf32"), (10, "tf32"), (9, "tf32"), (7, "bfloat16")]


@pytest.mark.parametrize(("bits", "precision"), ROUNDED)
def test_the_precision_of_a_product_is_found_by_what_survives_it(bits, precision):
    class Rounding(type(backends.get("numpy"))):
        xp = SimpleNamespace(matmul=lambda a, b: np.round(a * 2.0**bits) / 2.0**bits @ b)

    assert Rounding("cpu").matmul_precision() == precision


def test_peak_memory_is_a_positive_number_of_bytes(backend):
    placed = backend.synchronize(backend.asarray(np.ones(1000)))
    assert isinstance(backend.peak_memory(), int)
    assert backend.peak_memory() >= placed.shape[0] * 8
