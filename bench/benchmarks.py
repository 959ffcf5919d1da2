"""Every case as a test of pytest-benchmark, whose own options work as they always do: `ARRAY_BACKEND=jax pytest bench`."""

from __future__ import annotations

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from backends import Backend
from bench import sessions
from bench.cases import CONTROL, Case, all_cases
from bench.measurement import Measurement

CASES = [pytest.param(case, id=case.id) for case in all_cases() if case.implementation != CONTROL]


@pytest.mark.parametrize("case", CASES)
def test_case(case: Case, backend: Backend, benchmark: BenchmarkFixture, array_measurements: list[Measurement]) -> None:
    """Measure one case; it fails when its outputs are not the oracle's."""
    sessions.measure(case, backend, benchmark, array_measurements)
