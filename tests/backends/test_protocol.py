"""Every backend meets the requirements of the conformance suite, and what hypothesis draws beyond its examples."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

import backends
from backends.base import leaves
from bench.conform import doors, functions
from bench.conform.suite import REQUIREMENTS

few = settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.mark.parametrize("requirement", REQUIREMENTS, ids=lambda requirement: requirement.name)
def test_every_backend_meets_every_requirement(backend, requirement):
    outcome = requirement.on(backend)
    if outcome.result == "not tried":
        pytest.skip(outcome.found)
    assert outcome.result == "passed", f"{requirement.expected} Found: {outcome.found}"


@pytest.mark.parametrize("dtype", doors.DTYPES)
@given(data=st.data())
@few
def test_an_array_comes_back_as_it_went(backend, dtype, data):
    doors.require_round_trip(
        backend, data.draw(arrays(dtype, array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4)))
    )


@given(steps=st.integers(1, 5), width=st.integers(0, 3), seed=st.integers(0, 2**16))
@few
def test_a_fold_is_a_loop_that_stacks_the_outputs(backend, steps, width, seed):
    functions.require_loop(backend, steps, width, seed)


def test_leaves_are_the_arrays_of_a_tree_from_left_to_right():
    assert list(leaves({"a": (1, [2, {"b": 3}]), "b": None, "c": ((), 4)})) == [1, 2, 3, 4]


ROUNDED = [(23, "float32"), (12, "float32"), (11, "tf32"), (10, "tf32"), (9, "tf32"), (7, "bfloat16")]


@pytest.mark.parametrize(("bits", "precision"), ROUNDED)
def test_the_precision_of_a_product_is_found_by_what_survives_it(bits, precision):
    class Rounding(type(backends.get("numpy"))):
        xp = SimpleNamespace(matmul=lambda a, b: np.round(a * 2.0**bits) / 2.0**bits @ b)

    assert Rounding("cpu").matmul_precision() == precision
