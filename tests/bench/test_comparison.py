"""What is compared with what, and when it is not like for like."""

import math

import numpy as np
import pytest

from bench.cases import CONTROL, Case, all_cases
from bench.comparison import Rivals
from bench.measurement import Measurement

BACKENDS = {
    "numpy:cpu": {"matmul_precision": "float32", "threads": 2},
    "jax:cpu": {"matmul_precision": "float32", "threads": 2},
    "jax:gpu:0": {"matmul_precision": "tf32", "threads": None},
}


def measured(implementation, spec="numpy:cpu", seconds=1e-3, processes=4, spread=0.002, **facts):
    known = {
        "batch_size": 400,
        "first_call_s": 0.5,
        "host_to_device_s": 0.1,
        "result_dtype": "float32",
        "subnormals": 0,
    }
    generator = np.random.default_rng(abs(hash((implementation, spec))) % 2**32)
    samples = [
        (process, number, seconds * math.exp(spread * generator.standard_normal()))
        for process in range(processes)
        for number in range(4)
    ]
    case = Case("forward", "digits-64-25-15-10", implementation, 400)
    return Measurement(case, spec, facts=[known | facts] * processes, samples=samples)


def rivals(*measurements, **changes):
    return Rivals(measurements, {spec: facts | changes.get(spec[:3], {}) for spec, facts in BACKENDS.items()})


def test_a_speed_up_comes_with_its_interval_and_verdict():
    loop, own = measured("unit", seconds=1e-2), measured("matmul")
    row = rivals(loop, own).columns(own)
    assert row["baseline"] == "numpy:cpu/unit"
    assert row["speedup_ci_low"] < row["speedup"] < row["speedup_ci_high"]
    assert row["speedup"] == pytest.approx(10, rel=0.01)
    assert row["verdict"] == "FASTER"


def test_a_single_process_gives_no_speed_up():
    loop, own = measured("unit", seconds=1e-2, processes=1), measured("compiled", "jax:cpu", processes=1)
    row = rivals(loop, own).columns(own)
    assert "speedup" not in row
    assert "speedup_over_numpy" not in row
    assert row["verdict"] == "UNRESOLVED"


def test_the_control_is_compared_with_what_it_repeats_and_knows_the_runs_error():
    loop, own, again = measured("unit", seconds=1e-2), measured("matmul"), measured(CONTROL)
    row = rivals(loop, own, again).columns(again)
    assert row["baseline"] == "numpy:cpu/matmul"
    assert row["verdict"] == "SAME"
    assert row["smallest_effect"] >= 0.01
    assert 0 <= row["false_alarm_rate"] <= 0.02


def test_what_is_compiled_is_compared_with_its_own_library_call_by_call():
    eager, compiled = measured("matmul", "jax:cpu", 3e-3), measured("compiled", "jax:cpu")
    row = rivals(eager, compiled).columns(compiled)
    assert row["speedup_over_eager"] == pytest.approx(3, rel=0.01)
    assert row["verdict_over_eager"] == "FASTER"


@pytest.mark.parametrize(
    ("changes", "facts", "words"),
    [
        ({}, {}, ""),
        ({"jax": {"threads": 1}}, {}, "threads 2 and 1"),
        ({"jax": {"matmul_precision": "tf32"}}, {}, "matmul_precision float32 and tf32"),
        ({}, {"result_dtype": "float64"}, "result_dtype float32 and float64"),
        ({}, {"subnormals": 7}, "subnormals absent and present"),
    ],
)
def test_keys_that_differ_are_named(changes, facts, words):
    loop, own = measured("unit", seconds=1e-2), measured("compiled", "jax:cpu", **facts)
    assert rivals(loop, own, **changes).columns(own)["unlike"] == words


def test_threads_are_not_asked_of_a_gpu():
    loop, own = measured("unit", seconds=1e-2), measured("compiled", "jax:gpu:0")
    assert rivals(loop, own).columns(own)["unlike"] == "matmul_precision float32 and tf32"


def test_break_even_is_against_the_best_row_on_a_cpu_that_is_not_compiled():
    slow, best = measured("unit", seconds=1e-2), measured("matmul", seconds=2e-3)
    own = measured("compiled", "jax:cpu", seconds=1e-3)
    found = rivals(slow, best, own)
    assert found.columns(own)["break_even_calls"] == pytest.approx(0.6 / 1e-3, rel=0.02)
    assert found.columns(best)["break_even_calls"] is None
    assert found.columns(slow)["break_even_calls"] is None


def test_a_case_is_narrow_when_all_its_comparisons_are_and_processes_suffice():
    loop = measured("unit", seconds=1e-2)
    assert rivals(loop, own := measured("matmul")).narrow(own)
    assert not rivals(loop, own := measured("matmul", spread=0.2)).narrow(own)
    assert not rivals(loop, own := measured("matmul", processes=2)).narrow(own)


def test_what_failed_is_nobodys_baseline():
    loop, own = measured("unit", seconds=1e-2), measured("matmul")
    loop.status = "mismatch"
    assert rivals(loop, own).baseline(own) is own


# Beside peers


def beside(workload, implementation, spec, seconds):
    own = measured(implementation, spec, seconds)
    own.case = Case(workload, "coffee-2-3-1", implementation, 32)
    return own


def test_a_peers_row_tells_how_many_times_faster_this_project_is():
    peer = beside("epoch", "fit", "keras-jax:cpu", 8e-3)
    by_hand = beside("epoch", "hand_written", "numpy:cpu", 3e-3)
    ours = (
        beside("epoch", "fold", "numpy:cpu", 2e-3),
        beside("epoch", "fold", "numba:cpu", 0.5e-3),
        beside("epoch", "fold", "jax:cpu", 1e-3),
    )
    found = rivals(peer, by_hand, *ours)
    columns = found.columns(peer)
    assert columns["speedup_of_numpy"] == pytest.approx(4.0, rel=0.01)
    assert columns["speedup_of_numba"] == pytest.approx(16.0, rel=0.01)
    assert columns["speedup_of_jax"] == pytest.approx(8.0, rel=0.01)
    assert columns["speedup_of_jax_ci_low"] < 8.0 < columns["speedup_of_jax_ci_high"]
    assert columns["verdict_of_numpy"] == columns["verdict_of_jax"] == "FASTER"
    assert found.columns(by_hand)["speedup_of_jax"] == pytest.approx(3.0, rel=0.01)
    assert "speedup_of_jax" not in found.columns(ours[2])
    assert set(map(id, ours)) < set(map(id, found.others(peer)))


@pytest.mark.parametrize(("workload", "standing"), [("predict", "predict"), ("row", "call")])
def test_for_predictions_the_usual_way_stands_for_this_project(workload, standing):
    peer = beside(workload, "call", "torch-eager:cpu", 1e-3)
    ours = {name: beside(workload, name, "numpy:cpu", 1e-3) for name in ("predict", "call")}
    assert rivals(peer, *ours.values()).ours(peer) == {"numpy": ours[standing]}


def test_this_project_on_a_gpu_is_not_compared_with_peers_on_the_cpu():
    peer = beside("row", "call", "torch-eager:cpu", 1e-3)
    assert rivals(peer, beside("row", "call", "jax:gpu:0", 1e-3)).ours(peer) == {}


def test_where_there_are_no_peers_there_is_no_such_comparison():
    by_hand, fold = beside("epoch", "hand_written", "numpy:cpu", 3e-3), beside("epoch", "fold", "jax:cpu", 2e-3)
    assert rivals(by_hand, fold).ours(by_hand) == {}
    missing = Measurement(Case("epoch", "coffee-2-3-1", "fit", 32), "optax:cpu", "unavailable", "not installed")
    assert rivals(by_hand, fold, missing).ours(by_hand) == {"jax": fold}


def test_numba_has_no_rows_of_what_is_numpys():
    rows = [(case.workload, case.implementation) for case in all_cases() if case.on("numba:cpu")]
    assert {("forward", "matmul"), ("step", "compiled"), ("epoch", "fold")} <= set(rows)
    assert not {implementation for _, implementation in rows} & {"multiplication", "unit", "example", "again"}
    assert "matmul" not in {workload for workload, _ in rows}
