"""The gate must let right results through and refuse wrong ones, on every backend."""

import dataclasses

import numpy as np
import pytest

from bench import gate, measure, workloads
from bench.cases import Case, all_cases
from bench.measure import UnmeasuredError, prepare

SMALL = [
    case for case in all_cases() if case.network in ("coffee-2-3-1", "digits-64-25-15-10") and case.workload != "epoch"
]
CASES = [*SMALL, Case("matmul", "square-64", "matmul", 64)]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_every_case_agrees_with_the_oracle_on_every_backend(case, backend):
    if case.implementation == "hand_written" and backend.name != "numpy":
        pytest.skip("written by hand for NumPy alone")
    if case.workload != "forward" and case.implementation in ("multiplication", "unit") and "64" in case.network:
        pytest.skip("the same loops as forward, a minute of them")
    examples = 2 if case.implementation in ("multiplication", "unit", "example") else 8
    problem = workloads.build(dataclasses.replace(case), backend, examples)
    arguments = measure._place(problem, backend)
    outputs = problem.outputs(backend.synchronize(problem.function(*arguments)), backend.to_numpy)
    assert gate.check(outputs, problem.oracle(), gate.tolerance(case.workload, case.dtype)) < 1e-4


FAULTS = {
    "noise of 1e-3": lambda arrays: [
        a * (1 + 1e-3 * np.random.default_rng(0).standard_normal(a.shape)) for a in arrays
    ],
    "the last gradient is missing": lambda arrays: arrays[:-1],
    "a bias gradient is zero": lambda arrays: [arrays[0], 0 * arrays[1], *arrays[2:]],
    "the mean is a sum": lambda arrays: [8 * arrays[0], *arrays[1:]],
    "a product is transposed": lambda arrays: [arrays[0].T, *arrays[1:]],
    "one number is NaN": lambda arrays: [np.where(np.arange(a.size).reshape(a.shape) == 0, np.nan, a) for a in arrays],
    "a float16 in the middle": lambda arrays: [a.astype("float16").astype("float32") for a in arrays],
    "the sign is wrong": lambda arrays: [-a for a in arrays],
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_a_planted_fault_is_refused(fault, backend, monkeypatch):
    case = Case("backward", "digits-64-25-15-10", "matmul", 8)
    assert prepare(case, backend, 1.0).facts["checked"]  # without the fault it passes
    build = workloads.build

    def sabotaged(*args):
        problem = build(*args)
        return dataclasses.replace(problem, outputs=lambda *given: fault(problem.outputs(*given)))

    monkeypatch.setattr(workloads, "build", sabotaged)
    with pytest.raises(UnmeasuredError, match="oracle") as refused:
        prepare(case, backend, 1.0)
    assert refused.value.status == "mismatch"


def test_the_gate_tells_which_array_differs_and_by_how_much():
    with pytest.raises(gate.MismatchError, match=r"array 1 differs from the float64 oracle by 0\.1"):
        gate.check([np.ones(3), 1.1 * np.ones(3)], [np.ones(3), np.ones(3)], 1e-4)
