"""Faults in what an array library computes: its functions, and how precise they are."""

from __future__ import annotations

from typing import Any

import numpy as np

from backends import Array, Backend
from bench.networks import COFFEE, DIGITS, WIDE, ZERO_OR_ONE
from bench.selftest.faults import EPOCH, PRODUCT, in_backend, on, with_functions, with_members

LARGE_PRODUCT = on("matmul", "square-1024", examples=1024)


# Functions


@in_backend(PRODUCT)
def product_comes_transposed(backend: Backend) -> Backend:
    """Column-major BLAS called from row-major code gives (A B)ᵀ."""
    return with_functions(backend, matmul=lambda a, b: backend.xp.matmul(a, b).T)


@in_backend(PRODUCT, on("forward", WIDE))
def product_leaves_out_its_last_term(backend: Backend) -> Backend:
    """A loop unrolled by two over a length that it takes for odd: one term of 784."""
    return with_functions(backend, matmul=lambda a, b: backend.xp.matmul(a[:, :-1], b[:-1, :]))


@in_backend(LARGE_PRODUCT)
def one_row_of_a_large_product_is_zero(backend: Backend) -> Backend:
    """A tile that no thread computed: one row of 1,024."""

    def matmul(a: Array, b: Array) -> Array:
        c = backend.xp.matmul(a, b)
        return backend.xp.concat([c[:1, :], 0.0 * c[1:2, :], c[2:, :]])

    return with_functions(backend, matmul=matmul)


@in_backend(LARGE_PRODUCT)
def one_number_of_a_large_product_is_off(backend: Backend) -> Backend:
    """A bit that flipped: one number of a million is twice what it should be."""

    def matmul(a: Array, b: Array) -> Array:
        c = backend.xp.matmul(a, b)
        row = backend.xp.concat([c[700:701, :1], 2.0 * c[700:701, 1:2], c[700:701, 2:]], axis=1)
        return backend.xp.concat([c[:700, :], row, c[701:, :]])

    return with_functions(backend, matmul=matmul)


@in_backend(on("backward", DIGITS), on("step", COFFEE))
def sum_leaves_out_the_last_block(backend: Backend) -> Backend:
    """A reduction over blocks of 32 rows forgets the 16 that remain: bias gradients alone tell."""

    def total(x: Array, /, *, axis: Any = None, **options: Any) -> Array:
        n = x.shape[0]
        return backend.xp.sum(x[: n - n % 32, ...] if axis == 0 else x, axis=axis, **options)

    return with_functions(backend, sum=total)


@in_backend(on("forward", ZERO_OR_ONE), on("backward", COFFEE))
def exponential_is_an_approximation(backend: Backend) -> Backend:
    """A fast-math exp: (1 + x/1024)^1024."""
    return with_functions(backend, exp=lambda x: (1.0 + x * 2.0**-10) ** 1024)


@in_backend(EPOCH)
def gather_loses_the_high_bits_of_an_index(backend: Backend) -> Backend:
    """Indices held in too few bits wrap: the first 1,024 examples come again and again."""
    xp = backend.xp
    return with_functions(backend, take=lambda x, rows, /, *, axis: xp.take(x, xp.remainder(rows, 1024), axis=axis))


@in_backend(EPOCH)
def fold_ends_one_step_early(backend: Backend) -> Backend:
    """Every output is there; the state is the one before the last step."""

    def fold(step: Any, state: Any, over: Any, data: Any) -> Any:
        _, outputs = backend.fold(step, state, over, data)
        return backend.fold(step, state, tuple(stacked[:-1, ...] for stacked in over), data)[0], outputs

    return with_members(backend, fold=fold)


@in_backend(EPOCH)
def fold_stacks_its_outputs_backwards(backend: Backend) -> Backend:
    """The last step's output comes first."""

    def fold(step: Any, state: Any, over: Any, data: Any) -> Any:
        state, outputs = backend.fold(step, state, over, data)
        return state, tuple(backend.xp.flip(output, axis=0) for output in outputs)

    return with_members(backend, fold=fold)


# Precision


def rounded(x: Array, bits: int) -> Array:
    """Return float32 numbers rounded to so many significant bits, by Veltkamp's splitting: arithmetic that every library has."""
    c = (2.0 ** (24 - bits) + 1.0) * x
    return c - (c - x)


@in_backend(PRODUCT, on("backward", DIGITS), on("forward", WIDE))
def products_in_tf32(backend: Backend) -> Backend:
    """A GPU's tensor cores take 11 bits of every factor unless they are told not to."""
    return with_functions(backend, matmul=lambda a, b: backend.xp.matmul(rounded(a, 11), rounded(b, 11)))


@in_backend(PRODUCT, on("forward", ZERO_OR_ONE), on("step", DIGITS))
def products_in_bfloat16(backend: Backend) -> Backend:
    """8 bits of every factor: JAX's default on a TPU."""
    return with_functions(backend, matmul=lambda a, b: backend.xp.matmul(rounded(a, 8), rounded(b, 8)))


@in_backend(on("backward", ZERO_OR_ONE))
def sums_in_bfloat16(backend: Backend) -> Backend:
    """The products are exact and the accumulator of a sum is short."""
    return with_functions(backend, sum=lambda x, /, **options: rounded(backend.xp.sum(x, **options), 8))


@in_backend(on("forward", DIGITS), on("backward", ZERO_OR_ONE), on("step", DIGITS))
def float16_in_the_middle(backend: Backend) -> Backend:
    """Each product is stored in half precision and taken back, as mixed precision does without being asked."""

    def matmul(a: Array, b: Array) -> Array:
        c = backend.to_numpy(backend.xp.matmul(a, b))
        return backend.asarray(c.astype("float16").astype(c.dtype))

    return with_functions(backend, matmul=matmul)


@in_backend(on("forward", DIGITS), on("backward", COFFEE))
def weights_are_kept_in_float16(backend: Backend) -> Backend:
    """What is placed on the device has been through a half-precision file."""

    def asarray(values: Any, dtype: str | None = None) -> Array:
        given = np.asarray(values, dtype)
        return backend.asarray(given.astype("float16").astype(given.dtype) if given.dtype.kind == "f" else given)

    return with_members(backend, asarray=asarray)


@in_backend(on("forward", DIGITS, dtype="float64"), on("matmul", "square-256", examples=256, dtype="float64"))
def float32_within_float64(backend: Backend) -> Backend:
    """64-bit types are switched off where the product is made, and back on where it is returned."""
    xp = backend.xp

    def matmul(a: Array, b: Array) -> Array:
        return xp.astype(xp.matmul(xp.astype(a, xp.float32), xp.astype(b, xp.float32)), xp.float64)

    return with_functions(backend, matmul=matmul)


@in_backend(on("forward", COFFEE), on("backward", DIGITS), on("step", ZERO_OR_ONE), PRODUCT)
def arithmetic_in_float64(backend: Backend) -> Backend:
    """NumPy's default type crept in: every number is right, and the time is that of another case."""

    def asarray(values: Any, dtype: str | None = None) -> Array:
        return backend.asarray(values, "float64" if np.asarray(values).dtype.kind == "f" else dtype)

    return with_members(backend, asarray=asarray)


@in_backend(on("forward", COFFEE), on("backward", COFFEE))
def results_come_back_as_float16(backend: Backend) -> Backend:
    """The copy to the host is half as long as it should be."""
    return with_members(backend, to_numpy=lambda array: backend.to_numpy(array).astype("float16"))
