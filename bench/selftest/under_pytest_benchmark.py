"""The cases of one setting as tests of pytest-benchmark, slowed by what ARRAYBENCH_SLOW_DOWN says. `verdicts` runs this file."""

from __future__ import annotations

import os

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from backends import Backend
from bench.cases import Case
from bench.clock import seconds
from bench.preparation import prepare
from bench.selftest.verdicts import BUDGET_S, settings

SLOW_DOWN = float(os.environ.get("ARRAYBENCH_SLOW_DOWN", "0"))
KIND = os.environ.get("ARRAYBENCH_KIND", "small")
CASES = [case for setting in settings() if setting.kind == KIND for case in setting.cases]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_case(case: Case, backend: Backend, benchmark: BenchmarkFixture) -> None:
    """Measure one case as pytest-benchmark does; it is warm before."""
    subject = prepare(case, backend, BUDGET_S)
    benchmark(lambda: seconds(subject.call, backend, 1, SLOW_DOWN))
