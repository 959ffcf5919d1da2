"""Arrays of two devices or two libraries: nothing is moved without being asked for."""

from __future__ import annotations

import numpy as np
from array_api_compat import device

from backends import Array, Backend
from bench.conform.doors import foreign_arrays
from bench.conform.requirement import NotMetError, NotTriedError, require, requirement


@requirement
def arrays_of_two_devices_do_not_mix(backend: Backend) -> None:
    """An array of another device of this library is refused with an error, by functions and by operators."""
    others = [name for name in backend.devices() if name != backend.device]
    if not others:
        raise NotTriedError(f"{backend.name} has one device here")
    here = backend.asarray([1.0, 2.0])
    for name in others:
        there = type(backend)(name).asarray([1.0, 2.0])
        for what, call in {
            "xp.add": lambda there: backend.xp.add(here, there),
            "xp.matmul": lambda there: backend.xp.matmul(here, there),
            "xp.stack": lambda there: backend.xp.stack([here, there]),
            "+": lambda there: here + there,
        }.items():
            try:
                found = backend.synchronize(call(there))
            except Exception:  # each library has its own error for it
                continue
            raise NotMetError(f"{what} takes an array of {name} on {backend.device}: the result is on {device(found)}")


@requirement
def an_array_moves_where_it_is_asked_to(backend: Backend) -> None:
    """`asarray` takes an array of another device of this library, and places it on the backend's."""
    others = [name for name in backend.devices() if name != backend.device]
    if not others:
        raise NotTriedError(f"{backend.name} has one device here")
    for name in others:
        moved = backend.asarray(type(backend)(name).asarray([1.0, 2.0]))
        here = backend.asarray([1.0, 2.0])
        require(device(moved) == device(here), f"an array of {name} is on {device(moved)} after it was placed")
        require(backend.to_numpy(moved + here).tolist() == [2.0, 4.0], f"an array of {name} arrives with other values")


@requirement
def no_result_is_another_librarys(backend: Backend) -> None:
    """An array of another library is refused, or taken as a constant: what comes of it is this library's, and here."""
    here = backend.asarray([1.0, 2.0])
    for other in foreign_arrays(backend):
        if isinstance(here, np.ndarray) and hasattr(other, "__array_wrap__"):
            continue  # such an array asks NumPy for results of its own library: that is no mistake of NumPy's
        for call in (lambda x: backend.xp.add(here, x), lambda x: backend.xp.multiply(x, here)):
            try:
                found: Array = backend.synchronize(call(other))
            except Exception:  # each library has its own error for it
                continue
            whose = f"{type(other).__module__}.{type(other).__name__}"
            require(backend.owns(found), f"with a {whose} the result is a {type(found).__name__}")
            require(device(found) == device(here), f"with a {whose} the result is on {device(found)}")
