"""The two doors between the host and the device: what goes through them stays what it is."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from array_api_compat import device

import backends
from backends import Backend
from backends.registry import BUILT_IN
from bench.conform.requirement import NotTriedError, require, require_same, requirement

INTEGERS = [f"{kind}{bits}" for kind in ("int", "uint") for bits in (8, 16, 32, 64)]
DTYPES = ("bool", *INTEGERS, "float32", "float64", "complex64", "complex128")
SHAPES = ((), (0,), (3, 0), (0, 2, 1), (5,), (2, 3, 4))
PYTHON_VALUES = (([1, 2], "int64"), ([0.1, 2.0], "float64"), (0.1, "float64"), (True, "bool"))


def require_round_trip(backend: Backend, host: Any) -> None:
    """Require that an array comes back as it went."""
    placed = backend.asarray(host)
    what = f"an array of {host.dtype} and shape {host.shape}"
    require(tuple(placed.shape) == host.shape, f"{what} has shape {tuple(placed.shape)} on the device")
    require_same(f"{what}, come back,", backend.to_numpy(placed), host)


@requirement
def arrays_come_back_as_they_went(backend: Backend) -> None:
    """Arrays of every dtype of the standard, of any shape, none and no numbers included, come back as they went."""
    for dtype in DTYPES:
        for shape in SHAPES:
            require_round_trip(backend, np.arange(np.prod(shape, dtype=int)).reshape(shape).astype(dtype))


@requirement
def any_layout_arrives(backend: Backend) -> None:
    """Rows or columns first, backwards, with gaps, read-only: an array's values arrive in their places."""
    rows = np.arange(24.0).reshape(4, 6)
    locked = rows.copy()
    locked.flags.writeable = False
    for what, host in {
        "columns first": np.asfortranarray(rows),
        "transposed": rows.T,
        "backwards with gaps": rows[::-1, ::2],
        "read-only": locked,
    }.items():
        require_same(f"an array that is {what}", backend.to_numpy(backend.asarray(host)), host)


@requirement
def a_dtype_that_is_named_is_taken(backend: Backend) -> None:
    """`asarray(values, dtype)` gives an array of that dtype, whether the values are the host's or here already."""
    for given in ("bool", "uint8", "int64", "float32", "float64"):
        host = np.array([[0, 1], [1, 0]], given)
        for dtype in ("int32", "int64", "float32", "float64"):
            for values in (host, backend.asarray(host)):
                placed = backend.asarray(values, dtype)
                require(placed.dtype == getattr(backend.xp, dtype), f"{given} as {dtype} is {placed.dtype}")
                require_same(f"{given} as {dtype}", backend.to_numpy(placed), host.astype(dtype))


@requirement
def python_values_have_numpys_dtype(backend: Backend) -> None:
    """Python's numbers and lists become what NumPy makes of them: whole numbers int64, others float64."""
    for value, dtype in PYTHON_VALUES:
        require_same(repr(value), backend.to_numpy(backend.asarray(value)), np.asarray(value, dtype))


@requirement
def arrays_land_on_the_backends_device(backend: Backend) -> None:
    """Arrays are placed on the backend's device, and what is computed from them stays there."""
    xp, x = backend.xp, backend.asarray([1.0, 2.0])
    for what, other in {
        "another array": backend.asarray([2.0], "float32"),
        "a sum": x + x,
        "zeros_like": xp.zeros_like(x),
        "a stack": xp.stack([x, x]),
        "an array placed again": backend.asarray(x),
    }.items():
        require(device(other) == device(x), f"{what} is on {device(other)}, an array that was placed on {device(x)}")


@requirement
def the_host_cannot_reach_a_placed_array(backend: Backend) -> None:
    """What the host writes into an array later does not change the one that was placed.

    Exempt is a library whose arrays are the host's own, as NumPy's are.
    """
    for dtype, host, placed in _placed_ones(backend):
        host[:] = 2
        require((backend.to_numpy(placed) == 1).all(), f"an array of {dtype} changed with the host's")


@requirement
def the_host_cannot_reach_through_a_fetched_array(backend: Backend) -> None:
    """`to_numpy` gives a copy, or what cannot be written into: nothing done to it changes the device's array.

    Exempt is a library whose arrays are the host's own, as NumPy's are.
    """
    for dtype, _, placed in _placed_ones(backend):
        fetched = backend.to_numpy(placed)
        if fetched.flags.writeable:
            fetched[:] = 2
            require((backend.to_numpy(placed) == 1).all(), f"an array of {dtype} changed with what was fetched")


@requirement
def it_owns_its_arrays_and_no_others(backend: Backend) -> None:
    """`owns` is true of this library's arrays, of no dimension too, and of nothing else."""
    own = backend.asarray([1.0])
    require(backend.owns(own) and backend.owns(backend.asarray(1.0)), "it does not own what it placed")
    for other in ([1.0], 1.0, None, "numpy", backend, range(3), *foreign_arrays(backend)):
        require(not backend.owns(other), f"it owns a {type(other).__module__}.{type(other).__name__}")


def foreign_arrays(backend: Backend) -> list[Any]:
    """Return an array [1.0, 2.0] of every other built-in library that can be used here."""
    own = type(backend.asarray([1.0]))
    usable = (found.name for found in backends.status() if found.usable and found.name in BUILT_IN)
    others = [backends.get(name).asarray([1.0, 2.0]) for name in usable if name != backend.name]
    return [other for other in others if not isinstance(other, own)]


def _aligned(dtype: str, size: int = 1000) -> Any:
    """Return ones that begin where a cache line does: a library may take the memory of such an array for its own."""
    line, step = 64, np.dtype(dtype).itemsize
    memory = np.empty(size * step + line, np.uint8)
    start = -memory.ctypes.data % line
    ones = memory[start : start + size * step].view(dtype)
    ones[:] = 1
    return ones


def _placed_ones(backend: Backend) -> Iterator[tuple[str, Any, Any]]:
    """Yield a dtype, ones of it on the host, and the same placed; there is nothing to try where the host's arrays are its own."""
    for dtype in ("float32", "float64", "int64"):
        host = _aligned(dtype)
        if backend.owns(host):
            raise NotTriedError("its arrays are the host's own")
        yield dtype, host, backend.asarray(host)
