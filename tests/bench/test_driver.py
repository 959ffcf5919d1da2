"""The driver against real worker processes, those that die or hang included."""

import dataclasses
import signal

import pytest

from bench import driver
from bench.cases import Case
from bench.driver import WorkerLostError, WorkerProcess, measure

SMALL = Case("matmul", "square-32", "matmul", 32)


@pytest.fixture
def worker():
    process = WorkerProcess("numpy:cpu")
    yield process
    process.stop()


def prepare_request(case=SMALL):
    return {"do": "prepare", "case": dataclasses.asdict(case), "budget_s": 1.0}


def test_backends_are_measured_in_rounds_that_interleave():
    (measurement,), descriptions = measure([SMALL], ["numpy:cpu"], 1.0, lambda case: None)
    assert measurement.status == "ok"
    assert measurement.facts["oracle_error"] < 1e-5
    assert sorted({number for _, number, _ in measurement.samples}) == list(range(driver.ROUNDS))
    assert all(seconds > 0 for _, _, seconds in measurement.samples)
    assert descriptions["numpy:cpu"]["matmul_precision"] == "float32"


def test_a_worker_that_died_says_so_and_the_next_question_gets_a_fresh_one(worker):
    assert worker.ask(prepare_request())["status"] == "ok"
    worker._process.kill()
    with pytest.raises(WorkerLostError, match="its process ended with status -9") as lost:
        worker.ask({"do": "block", "seconds": 0.01})
    assert lost.value.status == "failed"
    assert worker.ask(prepare_request())["status"] == "ok"


def test_a_worker_that_hangs_is_given_up(worker, monkeypatch):
    assert worker.ask(prepare_request())["status"] == "ok"
    monkeypatch.setattr(driver, "ANSWER_WITHIN_S", 0.3)
    worker._process.send_signal(signal.SIGSTOP)
    with pytest.raises(WorkerLostError, match=r"no answer in 0\.3 s") as lost:
        worker.ask({"do": "block", "seconds": 0.01})
    assert lost.value.status == "timed_out"


def test_a_lost_worker_costs_its_own_case_and_no_other():
    cases = [Case("matmul", "square-32", "matmul", -1), SMALL]
    measurements, _ = measure(cases, ["numpy:cpu"], 1.0, lambda case: None)
    assert [m.status for m in measurements] == ["failed", "ok"]
    assert "negative dimensions" in measurements[0].reason


def test_loops_that_would_not_end_get_a_row_and_not_a_chance():
    case = Case("backward", "wide-784-512-512-10", "unit", 400)
    (measurement,), _ = measure([case], ["numpy:cpu"], 1e-3, lambda case: None)
    assert measurement.status == "timed_out"
    assert "the budget of a case is 0.001 s" in measurement.reason
    assert measurement.samples == []


def test_a_dear_loop_is_measured_on_fewer_examples():
    (measurement,), _ = measure(
        [Case("forward", "wide-784-512-512-10", "unit", 400)], ["numpy:cpu"], 1.0, lambda case: None
    )
    assert measurement.status == "ok"
    assert 1 <= measurement.examples < 400
