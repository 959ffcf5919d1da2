"""The weights of a layer: the one part of it that changes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from backends import Array, Backend, host


class Variables:
    """The arrays of one layer, on whichever backend used them last, written and read as NumPy arrays.

    Empty until the layer is built. Arrays are never changed in place: assigning replaces them.
    """

    def __init__(self) -> None:
        self._arrays: tuple[Array, ...] = ()
        self._backend: Backend | None = None
        self.features: int | None = None
        self.dtype: str | None = None

    def __getstate__(self) -> dict[str, Any]:
        """Return what is copied and pickled: the arrays as NumPy's."""
        return {**vars(self), "_arrays": tuple(self.numpy()), "_backend": None}

    @property
    def built(self) -> bool:
        """Whether the layer has its weights (a layer without any is built too)."""
        return self.dtype is not None

    @property
    def shapes(self) -> tuple[tuple[int, ...], ...]:
        """The shape of each array."""
        return tuple(tuple(array.shape) for array in self._arrays)

    def create(self, values: Sequence[Any], features: int, dtype: str) -> None:
        """Hold `values`, for inputs of that many features, copied to the host as `dtype`: their dtype from now on."""
        self._arrays, self._backend = tuple(host.asarray(value, dtype, copy=True) for value in values), None
        self.features, self.dtype = features, dtype

    def assign(self, values: Sequence[Any], owner: str) -> None:
        """Replace every array by a copy of the host's; shapes must stay as they are."""
        given = [tuple(host.asarray(value).shape) for value in values]
        if given != list(self.shapes) or self.features is None or self.dtype is None:
            held = f"has weights of shapes {list(self.shapes)}" if self.built else "has no weights before it is built"
            raise ValueError(f"{owner} {held}; set_weights got arrays of shapes {given}")
        self.create(values, self.features, self.dtype)

    def on(self, backend: Backend) -> tuple[Array, ...]:
        """Return the arrays on `backend`, moving them there through the host when they are elsewhere."""
        if self._backend is not backend:
            self._arrays = tuple(backend.asarray(value, self.dtype) for value in self.numpy())
            self._backend = backend
        return self._arrays

    def replace(self, arrays: tuple[Array, ...], backend: Backend) -> None:
        """Take over arrays that a computation on `backend` gave."""
        self._arrays, self._backend = arrays, backend

    def numpy(self) -> list[Any]:
        """Return NumPy copies of the arrays."""
        to_host = self._backend.to_numpy if self._backend else host.asarray
        return [host.asarray(to_host(array), copy=True) for array in self._arrays]
