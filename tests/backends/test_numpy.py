"""NumPy's namespace without wrappers: each function that it replaces does what NumPy's own does."""

from __future__ import annotations

import array_api_compat.numpy as compat
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays, mutually_broadcastable_shapes

import backends

xp = backends.get("numpy").xp
few = settings(max_examples=25, deadline=None)
REAL = ["bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float32", "float64"]
every_dtype = pytest.mark.parametrize("dtype", REAL)


def small(dtype, shape):
    """Draw numbers whose sums and products are exact in every dtype, so that the order of adding does not matter."""
    low = 0 if dtype in ("bool", *REAL[5:9]) else -8
    return arrays(dtype, shape, elements=st.integers(low, 1 if dtype == "bool" else 8).map(np.dtype(dtype).type))


def axes(array):
    one = st.integers(-array.ndim, array.ndim - 1)
    several = st.lists(st.integers(0, array.ndim - 1), unique=True).map(tuple)
    return st.one_of(st.none(), one, several)


@every_dtype
@given(data=st.data(), keepdims=st.booleans())
@few
def test_sum_is_numpys(dtype, data, keepdims):
    x = data.draw(small(dtype, array_shapes(max_dims=3, min_side=0, max_side=4)))
    axis = data.draw(axes(x))
    np.testing.assert_array_equal(
        xp.sum(x, axis=axis, keepdims=keepdims), np.sum(x, axis=axis, keepdims=keepdims), strict=True
    )


@every_dtype
@given(data=st.data(), keepdims=st.booleans())
@few
def test_max_is_numpys(dtype, data, keepdims):
    x = data.draw(small(dtype, array_shapes(max_dims=3, max_side=4)))
    axis = data.draw(axes(x))
    np.testing.assert_array_equal(
        xp.max(x, axis=axis, keepdims=keepdims), np.max(x, axis=axis, keepdims=keepdims), strict=True
    )


def test_max_of_nothing_is_refused():
    with pytest.raises(ValueError, match="zero-size array"):
        xp.max(np.zeros((0, 2)), axis=0)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_max_and_sum_keep_what_is_not_finite(value):
    x = np.array([1.0, value, 2.0])
    np.testing.assert_array_equal([xp.max(x), xp.sum(x)], [np.max(x), np.sum(x)])


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16", "uint16", "int32", "bool"])
def test_the_sum_of_small_integers_does_not_overflow(dtype):
    x = np.full(300_000, np.ones((), dtype) if dtype == "bool" else np.iinfo(dtype).max, dtype)
    assert int(xp.sum(x)) == 300_000 * int(x[0])
    assert xp.sum(x).dtype == ("uint64" if dtype.startswith("u") else "int64")


@pytest.mark.parametrize(("given", "asked"), [("int8", "int8"), ("float32", "float64"), ("bool", "float32")])
def test_a_sum_has_the_dtype_that_is_asked_for(given, asked):
    x = np.ones((2, 3), given)
    np.testing.assert_array_equal(xp.sum(x, axis=0, dtype=getattr(xp, asked)), np.full(3, 2, asked), strict=True)


@every_dtype
@given(data=st.data())
@few
def test_matmul_is_numpys(dtype, data):
    n, inner, m = (data.draw(st.integers(0, 4)) for _ in range(3))
    stacks = data.draw(mutually_broadcastable_shapes(num_shapes=2, max_dims=1, max_side=3)).input_shapes
    a, b = (
        data.draw(small(dtype, (*stack, *shape))) for stack, shape in zip(stacks, ((n, inner), (inner, m)), strict=True)
    )
    np.testing.assert_array_equal(xp.matmul(a, b), a @ b, strict=True)


@pytest.mark.parametrize(("a", "b"), [((3,), (3,)), ((3,), (3, 2)), ((2, 3), (3,))])
def test_matmul_takes_vectors(a, b):
    np.testing.assert_array_equal(xp.matmul(np.ones(a), np.ones(b)), np.ones(a) @ np.ones(b), strict=True)


@given(x=small("float64", array_shapes(max_dims=3, min_side=0, max_side=4)), data=st.data())
@few
def test_reshape_is_numpys(x, data):
    shape = data.draw(
        st.sampled_from([(x.size,), (1, x.size), (x.size, 1), x.shape[::-1], *([(-1,)] if x.size else [])])
    )
    np.testing.assert_array_equal(xp.reshape(x.T, shape), np.reshape(x.T, shape), strict=True)


def test_reshape_to_a_wrong_size_is_refused():
    with pytest.raises(ValueError, match="cannot reshape"):
        xp.reshape(np.ones(4), (3,))


def test_reshape_copies_when_it_is_told_to_as_the_standard_has_it():
    x = np.ones(4)
    assert not np.shares_memory(xp.reshape(x, (2, 2), copy=True), x)


@pytest.mark.parametrize("dtypes", [("float32",), ("float32", "float32"), ("float32", "float64"), ("int8", "int32")])
@given(shape=array_shapes(min_dims=0, max_dims=2, min_side=0, max_side=3), data=st.data())
@few
def test_stack_is_numpys(dtypes, shape, data):
    columns = [data.draw(small(dtype, shape)) for dtype in dtypes]
    axis = data.draw(st.integers(-len(shape) - 1, len(shape)))
    for given_as in (list, tuple):
        np.testing.assert_array_equal(xp.stack(given_as(columns), axis=axis), np.stack(columns, axis=axis), strict=True)


@pytest.mark.parametrize("columns", [[], [np.ones(2), np.ones(3)], [np.ones(2), np.ones((2, 2))]])
def test_stack_refuses_what_numpys_refuses(columns):
    with pytest.raises(ValueError, match="array"):
        xp.stack(columns)


def test_every_function_that_is_not_replaced_is_the_compatible_namespaces_own():
    replaced = {name for name, value in vars(compat).items() if getattr(xp, name) is not value}
    assert replaced - {"__name__", "__doc__"} == {"matmul", "sum", "max", "reshape", "stack", "where"}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("otherwise", [0.0, -0.0, 1.5, np.zeros(())])
@given(data=st.data())
@few
def test_where_is_numpys_to_the_bit(dtype, otherwise, data):
    x = data.draw(arrays(dtype, array_shapes(min_dims=0, max_dims=2, max_side=4), elements=st.floats(width=32)))
    condition = data.draw(arrays(bool, x.shape))
    found, expected = xp.where(condition, x, otherwise), compat.where(condition, x, otherwise)
    assert (found.shape, found.dtype) == (expected.shape, expected.dtype)
    bits = np.asarray(found).tobytes(), np.asarray(expected).tobytes()
    assert bits[0] == bits[1]
