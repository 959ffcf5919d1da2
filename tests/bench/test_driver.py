"""The driver against real worker processes, those that die or hang included."""

import dataclasses
import os
import shutil
import signal
import subprocess

import pytest

from bench import driver, processes
from bench.cases import CONTROL, Case
from bench.driver import measure
from bench.journal import Journal, Plan
from bench.processes import WorkerLostError, WorkerProcess

pytestmark = pytest.mark.usefixtures("_no_roof")

SMALL = Case("matmul", "square-32", "matmul", 32)


@pytest.fixture
def worker():
    process = WorkerProcess("numpy:cpu")
    yield process
    process.stop()


@pytest.fixture
def begin(tmp_path):
    def begin(*cases, specs=("numpy:cpu",), budget_s=1.0, time_s=0.0):
        return Journal.begin(tmp_path / "run", Plan(cases, specs, budget_s, time_s, 0), {"machine_id": "m-1"})

    return begin


def prepare_request(case=SMALL):
    return {"do": "prepare", "key": case.id, "case": dataclasses.asdict(case), "budget_s": 1.0}


BLOCK = {"do": "block", "key": SMALL.id, "seconds": 0.01}


def test_a_worker_greets_prepares_and_samples(worker):
    answer = worker.ask(prepare_request())
    assert worker.greeting["describe"]["matmul_precision"] == "float32"
    assert worker.greeting["process_start_s"] > 0
    assert answer["facts"]["oracle_error"] < 1e-5
    block = worker.ask(BLOCK)
    assert all(seconds > 0 for seconds in block["samples"])
    assert block["threads_in_effect"] > 0


def test_a_case_is_measured_in_rounds_and_in_fresh_processes(begin):
    (measurement,) = measure(begin(SMALL))
    assert measurement.status == "ok"
    assert {process for process, _, _ in measurement.samples} == {0, 1, 2}
    assert {number for _, number, _ in measurement.samples} == set(range(driver.CHEAP.rounds))
    assert measurement.stopped in ("narrow", "budget")


def test_more_time_means_more_processes_until_the_interval_is_narrow(begin):
    (measurement,) = measure(begin(SMALL, time_s=15.0))
    assert measurement.stopped == "narrow" or measurement.processes > 3


def test_the_control_has_a_process_of_its_own(begin, monkeypatch):
    used = {}
    of = driver.Workers.of

    def spy(self, measurement):
        used.setdefault(measurement.case.implementation, set()).add(id(of(self, measurement)))
        return of(self, measurement)

    monkeypatch.setattr(driver.Workers, "of", spy)
    again = dataclasses.replace(SMALL, implementation=CONTROL)
    found = measure(begin(SMALL, again))
    assert [m.processes for m in found] == [3, 3]
    assert not used["matmul"] & used[CONTROL]


def test_a_worker_that_died_says_so_and_the_next_question_gets_a_fresh_one(worker):
    assert worker.ask(prepare_request())["status"] == "ok"
    worker._process.kill()
    with pytest.raises(WorkerLostError, match="its process was ended by signal 9") as lost:
        worker.ask(BLOCK)
    assert lost.value.status == "failed"
    assert worker.ask(prepare_request())["status"] == "ok"


def test_a_worker_that_hangs_is_given_up(worker, monkeypatch):
    assert worker.ask(prepare_request())["status"] == "ok"
    monkeypatch.setattr(processes, "ANSWER_WITHIN_S", 0.3)
    worker._process.send_signal(signal.SIGSTOP)
    with pytest.raises(WorkerLostError, match=r"no answer in 0\.3 s") as lost:
        worker.ask(BLOCK)
    assert lost.value.status == "timed_out"


@pytest.mark.skipif(not hasattr(os, "killpg"), reason="there are no groups of processes")
def test_what_a_worker_has_started_ends_with_it():
    command = ["sh", "-c", "sleep 60 & echo started; wait"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, process_group=0) as process:
        assert process.stdout.readline() == "started\n"
        processes._kill(process)
        assert process.stdout.read() == ""  # nobody holds the pipe any more


def test_a_worker_that_cannot_start_is_not_started_again_and_again(monkeypatch):
    worker = WorkerProcess("no_such_backend")
    for _ in range(2):
        with pytest.raises(WorkerLostError, match="a worker on no_such_backend cannot start: its process ended with"):
            worker.ask(BLOCK)
    assert worker._process is None


def test_a_case_that_raises_costs_its_own_row_and_no_other(begin):
    broken, small = measure(begin(Case("matmul", "square-32", "broken", -1), SMALL))
    assert (broken.status, small.status) == ("failed", "ok")
    assert "must be nonnegative" in broken.reason


@pytest.mark.parametrize("dies_in", ["prepare", "block"])
def test_a_worker_killed_over_a_case_costs_that_case_alone(dies_in, begin, monkeypatch):
    victim = dataclasses.replace(SMALL, implementation=CONTROL)
    ask = WorkerProcess.ask

    def deadly(self, request):
        if request["do"] == dies_in and request["key"] == victim.id:
            self._process.kill()
        return ask(self, request)

    monkeypatch.setattr(WorkerProcess, "ask", deadly)
    small, lost = measure(begin(SMALL, victim))
    assert (lost.status, lost.reason) == ("failed", "its process was ended by signal 9 (SIGKILL)")
    assert (small.status, small.processes) == ("ok", 3)


def test_loops_that_would_not_end_get_a_row_and_not_a_chance(begin):
    (measurement,) = measure(begin(Case("backward", "wide-784-512-512-10", "unit", 400), budget_s=1e-3))
    assert measurement.status == "timed_out"
    assert "the budget of a case is 0.001 s" in measurement.reason
    assert measurement.samples == []


def test_a_dear_loop_is_measured_on_fewer_examples_the_same_in_every_process(begin):
    (measurement,) = measure(begin(Case("forward", "wide-784-512-512-10", "unit", 400)))
    assert measurement.status == "ok"
    assert 1 <= measurement.examples < 400
    assert {facts["batch_size"] for facts in measurement.facts} == {measurement.examples}


def test_a_worker_runs_the_code_of_the_tree_that_starts_it(tmp_path, monkeypatch):
    shutil.copytree(processes.ROOT / "bench", tmp_path / "bench", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "bench" / "where.py").write_text("import bench\nprint(bench.__file__)\n")
    monkeypatch.setattr(processes, "ROOT", tmp_path)
    done = subprocess.run(processes.python("bench.where"), capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str(tmp_path / "bench" / "__init__.py")
