"""Parameters packed for the optimizer, and back."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes

import backends
from core.layout import Layout

xp = backends.get("numpy").xp
examples = settings(max_examples=50, deadline=None)
networks = st.lists(st.lists(array_shapes(min_dims=0, max_dims=3, max_side=4), max_size=3), max_size=4)


def numbered(shapes):
    """Return arrays of these shapes that hold 0, 1, 2, … through the whole network."""
    count, nested = 0, []
    for layer in shapes:
        arrays = []
        for shape in layer:
            size = math.prod(shape)
            arrays.append(np.arange(count, count + size, dtype="float64").reshape(shape))
            count += size
        nested.append(tuple(arrays))
    return tuple(nested), count


@pytest.mark.parametrize("flat", [True, False])
@given(shapes=networks)
@examples
def test_what_is_packed_comes_back_as_it_was(flat, shapes):
    nested, _ = numbered(shapes)
    layout = Layout.of(nested, flat)
    back = layout.unpack(layout.pack(nested, xp=xp), xp=xp)
    assert [[w.shape for w in layer] for layer in back] == shapes
    np.testing.assert_equal(back, nested)


@given(shapes=networks)
@examples
def test_a_flat_layout_is_one_vector_in_the_order_of_the_layers(shapes):
    nested, count = numbered(shapes)
    packed = Layout.of(nested, flat=True).pack(nested, xp=xp)
    if sum(map(len, shapes)) > 1:
        (vector,) = packed
        np.testing.assert_array_equal(vector, np.arange(count))
    else:  # one array is its own pack
        assert len(packed) == sum(map(len, shapes))


@given(shapes=networks)
@examples
def test_a_layout_that_is_not_flat_hands_over_the_arrays_themselves(shapes):
    nested, _ = numbered(shapes)
    packed = Layout.of(nested, flat=False).pack(nested, xp=xp)
    assert list(map(id, packed)) == [id(w) for layer in nested for w in layer]


def test_a_pack_comes_back_on_every_backend(backend, place, assert_close):
    nested, _ = numbered([[(2, 3), (3,)], [], [(3, 1)], [(), (2, 2)]])
    placed = place(nested)
    for flat in (True, False):
        layout = Layout.of(placed, flat)
        assert_close(layout.unpack(layout.pack(placed, xp=backend.xp), xp=backend.xp), nested)


def test_layouts_of_the_same_shapes_are_equal():
    nested, _ = numbered([[(2, 3), (3,)], []])
    other = tuple(tuple(w + 1 for w in layer) for layer in nested)
    assert Layout.of(nested, flat=True) == Layout.of(other, flat=True) != Layout.of(nested, flat=False)
