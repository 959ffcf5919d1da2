"""How a network's parameters are held during training: one array for each, or all in one flat vector.

On NumPy and CuPy every call has a price, so an optimizer runs once over one vector instead of once for each array; under XLA
slicing that vector costs more than it saves. The backend says which (`flat_parameters`); formulas never see it.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

Array = Any
Namespace = Any
Nested = tuple[tuple[Array, ...], ...]  # one tuple for each layer
Packed = tuple[Array, ...]


@dataclass(frozen=True)
class Layout:
    """The shapes of a network's parameters, layer by layer, and whether they are packed into one vector."""

    shapes: tuple[tuple[tuple[int, ...], ...], ...]
    flat: bool

    @classmethod
    def of(cls, parameters: Nested, flat: bool) -> Layout:
        """Return the layout of parameters that are there."""
        return cls(tuple(tuple(tuple(array.shape) for array in layer) for layer in parameters), flat)

    def pack(self, nested: Nested, *, xp: Namespace) -> Packed:
        """Return the arrays as the optimizer takes them."""
        arrays = tuple([array for layer in nested for array in layer])
        if not self._places:
            return arrays
        return (xp.concat([array if array.ndim == 1 else xp.reshape(array, (-1,)) for array in arrays]),)

    def unpack(self, packed: Packed, *, xp: Namespace) -> Nested:
        """Return the arrays layer by layer; from a flat vector, as views of it where the library has views."""
        if self._places:
            (vector,) = packed
            packed = tuple(
                [
                    vector[place] if len(shape) == 1 else xp.reshape(vector[place], shape)
                    for place, shape in self._places
                ]
            )
        return tuple([packed[own] for own in self._layers])

    @cached_property
    def _places(self) -> list[tuple[slice, tuple[int, ...]]]:
        """Where each array lies in the flat vector, and its shape; nothing where arrays are held one by one."""
        shapes = [shape for layer in self.shapes for shape in layer]
        ends = list(itertools.accumulate((math.prod(shape) for shape in shapes), initial=0))
        places = [slice(start, end) for start, end in itertools.pairwise(ends)]
        return list(zip(places, shapes, strict=True)) if self.flat and len(shapes) > 1 else []

    @cached_property
    def _layers(self) -> list[slice]:
        """Which of all arrays are each layer's."""
        ends = itertools.accumulate((len(layer) for layer in self.shapes), initial=0)
        return [slice(start, end) for start, end in itertools.pairwise(ends)]
