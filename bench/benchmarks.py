"""Every case as a test of pytest-benchmark, whose own options work as they always do.

The case has passed the gate and is warm before pytest-benchmark calibrates: a compiler that ran inside its first call would
make it choose far too few rounds.
"""

from __future__ import annotations

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from backends import Backend
from bench.cases import CONTROL, Case, all_cases
from bench.measure import UnmeasuredError, prepare
from bench.measurement import Measurement
from bench.run import BUDGET_S

CASES = [pytest.param(case, id=case.id) for case in all_cases() if case.implementation != CONTROL]


@pytest.mark.parametrize("case", CASES)
def test_case(case: Case, backend: Backend, benchmark: BenchmarkFixture, measured: list[Measurement]) -> None:
    """Measure one case; it fails when its outputs are not the oracle's."""
    benchmark.group = f"{case.workload}/{case.network}"
    measurement = Measurement(case, backend.spec, "failed", "it raised an exception, or was interrupted")
    measured.append(measurement)
    try:
        subject = prepare(case, backend, BUDGET_S)
    except UnmeasuredError as error:
        measurement.status, measurement.reason = error.status, error.reason
        if error.status == "mismatch":
            pytest.fail(error.reason)
        pytest.skip(f"{error.status}: {error.reason}")
    benchmark(lambda: backend.synchronize(subject.call()))
    measurement.status, measurement.reason = "ok", ""
    measurement.facts = [subject.facts | {"peak_memory_bytes": backend.peak_memory()}]
    if benchmark.stats is not None:  # there is none under --benchmark-disable
        measurement.samples = [(0, 0, seconds) for seconds in benchmark.stats.stats.data]
