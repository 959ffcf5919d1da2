"""The gate must let right results through and refuse wrong ones, on every backend."""

import dataclasses

import numpy as np
import pytest

from bench import gate, workloads
from bench.cases import Case, all_cases
from bench.preparation import UnmeasuredError, prepare
from bench.selftest import sabotage
from bench.selftest.faults import results

NETWORKS = ("coffee-2-3-1", "digits-64-25-15-10")
CASES = [
    *(case for case in all_cases() if case.network in NETWORKS and case.workload != "epoch"),
    Case("step", NETWORKS[1], "matmul", 8, optimizer="nesterov"),
    Case("matmul", "square-64", "matmul", 64),
]  # a few more in bench.conform.agreement
EPOCH_ROWS = 640  # 20 steps


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.id}-{case.dtype}")
def test_every_case_agrees_with_the_oracle_on_every_backend(case, backend):
    if case.implementation == "hand_written" and backend.name != "numpy":
        pytest.skip("written by hand for NumPy alone")
    if case.workload != "forward" and case.implementation in ("multiplication", "unit") and "64" in case.network:
        pytest.skip("the same loops as forward, a minute of them")
    examples = 2 if case.implementation in ("multiplication", "unit", "example") else 8
    judgement = sabotage.judge(case, workloads.build(case, backend, examples), backend)
    assert judgement.refusal is None


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_short_epoch_agrees_with_the_oracle_on_every_backend(dtype, backend):
    case = Case("epoch", "coffee-2-3-1", "fold", 32, dtype)
    assert sabotage.judge(case, workloads.build(case, backend, 32, epoch_rows=EPOCH_ROWS), backend).refusal is None


def test_there_are_faults_in_every_workload_and_network():
    planted = {(case.workload, case.network) for fault in sabotage.FAULTS for case in fault.cases}
    for network in ("coffee-2-3-1", "digits-64-25-15-1", "digits-64-25-15-10"):
        assert {workload for workload, own in planted if own == network} >= {"forward", "backward", "step"}
    assert {workload for workload, _ in planted} == {case.workload for case in all_cases()}
    names = [fault.name for fault in sabotage.FAULTS]
    assert len(set(names)) == len(names) >= 30


@pytest.mark.parametrize("fault", sabotage.FAULTS, ids=lambda fault: fault.name)
def test_a_planted_fault_is_rejected(fault, backend):
    cases = fault.cases_on(backend)
    for case in cases[-1:] if backend.compiles else cases:  # a compiler takes its time; `rejections` tries them all
        row = sabotage.rejection(fault, case, backend, sabotage.SHORT_EPOCH_ROWS)
        assert row["honest_error"] <= row["tolerance"]
        assert row["rejected"], row["reason"]


def test_what_breaks_down_does_not_count_as_rejected(backend):
    case = Case("forward", "coffee-2-3-1", "matmul", 8)

    def plant(*given):
        raise ZeroDivisionError("by chance")

    row = sabotage.rejection(sabotage.Fault("a crash", "", (case,), plant), case, backend, EPOCH_ROWS)
    assert not row["rejected"]
    assert "ZeroDivisionError: by chance" in row["reason"]


def test_what_is_not_wrong_is_not_rejected(backend):
    case = Case("forward", "coffee-2-3-1", "matmul", 8)
    nothing = sabotage.Fault("nothing", "", (case,), lambda case, own, rows: (workloads.build(case, own, 8), own))
    assert not sabotage.rejection(nothing, case, backend, EPOCH_ROWS)["rejected"]


def test_a_refused_case_has_a_mismatch_and_nothing_to_time(backend, monkeypatch):
    case = Case("backward", "digits-64-25-15-10", "matmul", 8)
    assert prepare(case, backend, 1.0).facts["checked"]  # without the fault it passes
    build = workloads.build

    def sabotaged(*given):
        return results.with_outputs(build(*given), lambda arrays: [1.001 * array for array in arrays])

    monkeypatch.setattr(workloads, "build", sabotaged)
    with pytest.raises(UnmeasuredError, match="oracle") as refused:
        prepare(case, backend, 1.0)
    assert refused.value.status == "mismatch"


# Waiting

PRODUCT = Case("matmul", "square-64", "matmul", 64)


def test_a_library_that_computes_later_passes_when_it_is_waited_for(backend):
    later = results.asynchronous(backend)
    assert sabotage.judge(PRODUCT, workloads.build(PRODUCT, later, 64), later).refusal is None


def test_work_that_gets_done_while_the_oracle_is_computed_is_not_there_in_time(backend):
    later = results.asynchronous(backend, synchronize=lambda tree: tree, ready=lambda tree: True)
    problem, promised = workloads.build(PRODUCT, later, 64), []

    def function(*given):
        promised.append(problem.function(*given))
        return promised[-1]

    def oracle():
        results.finish(promised)
        return problem.oracle()

    slow = dataclasses.replace(problem, function=function, oracle=oracle)
    assert "differs from the float64 oracle" in sabotage.judge(PRODUCT, slow, later).refusal


def test_a_synchronize_that_does_not_wait_for_the_library_is_refused(backend):
    case = Case("matmul", "square-2048", "matmul", 2048)
    careless = results.with_members(backend, synchronize=lambda tree: tree)
    problem = workloads.build(case, careless, 2048)
    arguments = problem.arguments(backend)
    backend.synchronize(problem.function(*arguments))
    late = not backend.ready(problem.function(*arguments))
    if not late:
        pytest.skip(f"{backend.spec} is done when its calls return")
    assert "before the work was done" in sabotage.judge(case, problem, careless).refusal


# What the gate compares


def ones(*shape):
    return np.ones(shape, "float32")


def test_the_gate_tells_which_array_differs_most_and_by_how_much():
    with pytest.raises(gate.MismatchError, match=r"array 1 differs from the float64 oracle by 0\.1") as refused:
        gate.check([1.01 * np.ones(3), 1.1 * np.ones(3)], [np.ones(3), np.ones(3)], 1e-4)
    assert refused.value.error == pytest.approx(0.1)


def test_one_wrong_number_is_not_lost_among_many():
    wrong = ones(1000, 1000)
    wrong[700, 1] = 1.001
    assert np.linalg.norm(wrong - 1) / np.linalg.norm(ones(1000, 1000)) < 1e-5
    with pytest.raises(gate.MismatchError, match=r"by 0\.001"):
        gate.check([wrong], [np.ones((1000, 1000))], 1e-4)


def test_the_error_is_never_less_than_that_of_the_norms(generator):
    right = generator.normal(size=(20, 30))
    output = right + 1e-6 * generator.normal(size=right.shape)
    norms = np.linalg.norm(output - right) / np.linalg.norm(right)
    assert norms <= gate.check([output], [right], 1e-4) < 10 * norms


@pytest.mark.parametrize(
    ("output", "reason"),
    [
        (ones(3).astype("float64"), "array 0 is of float64, the case of float32"),
        (ones(3).astype("float16"), "array 0 is of float16, the case of float32"),
        (ones(3, 1), r"array 0 has shape \(3, 1\), the oracle's \(3,\)"),
        (ones(), r"array 0 has shape \(\), the oracle's \(3,\)"),
        (np.array([1, np.nan, 1], "float32"), "1 of its 3 numbers are not finite"),
        (np.array([1, np.inf, -np.inf], "float32"), "2 of its 3 numbers are not finite"),
    ],
)
def test_what_is_not_such_an_array_is_refused_in_a_sentence(output, reason):
    with pytest.raises(gate.MismatchError, match=reason):
        gate.check([output], [np.ones(3)], 1e-4, "float32")


@pytest.mark.parametrize("outputs", [[], [ones(3)], 3 * [ones(3)]])
def test_every_array_must_be_there_and_no_other(outputs):
    with pytest.raises(gate.MismatchError, match=f"{len(outputs)} arrays where the oracle has 2"):
        gate.check(outputs, 2 * [np.ones(3)], 1e-4)


def test_a_zero_must_be_a_zero():
    assert gate.check([0 * ones(3)], [np.zeros(3)], 1e-4) == 0
    with pytest.raises(gate.MismatchError, match="array 0 differs"):
        gate.check([1e-30 * ones(3)], [np.zeros(3)], 1e-4)


def test_float64_is_held_to_float64():
    narrow, wide = (gate.tolerance(Case("step", NETWORKS[0], "matmul", 8, dtype)) for dtype in ("float64", "float32"))
    assert narrow < 1e-7 < wide


@pytest.mark.parametrize("name", ["adam", "nesterov"])
def test_a_step_is_checked_from_averages_that_are_not_zero(name, backend):
    case = Case("step", "coffee-2-3-1", "matmul", 8, optimizer=name)
    problem = workloads.build(case, backend, 8)
    state = problem.arguments(backend)[0]
    assert float(backend.to_numpy(state.t)) > 1
    for slots in state.slots:
        found = [backend.to_numpy(slot) for slot in slots]
        assert all((values != 0).all() for values in found)
        assert name != "adam" or (found[1] > 0).all()


def test_only_cases_with_another_optimizer_name_it():
    assert Case("step", "coffee-2-3-1", "matmul", 8).id == "step/coffee-2-3-1/matmul"
    assert Case("step", "coffee-2-3-1", "matmul", 8, optimizer="nesterov").id == "step/coffee-2-3-1/matmul/nesterov"
    assert len({case.id for case in all_cases()}) == len(all_cases())


@pytest.mark.parametrize("n", [1, 7, 12, 64])
def test_the_oracle_of_a_product_is_that_product(n, backend):
    problem = workloads.build(Case("matmul", f"square-{n}", "matmul", n), backend, n)
    a, b = (array.astype("float64") for array in problem.inputs)
    np.testing.assert_allclose(problem.oracle()[0], a @ b, rtol=1e-10, atol=1e-10)
