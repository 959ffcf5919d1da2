"""Processes that are killed: real ones, and the experiment that kills them must see what they lose."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest

from bench import processes
from bench.clock import Stopwatch
from bench.journal import FILE, Journal
from bench.processes import WorkerLostError, WorkerProcess
from bench.results import Run, sample_rows, summarise
from bench.selftest import aftermath, kills
from bench.selftest.aftermath import Findings, check_end, check_files, finished_units, marked, marking, workers_left
from bench.selftest.kills import Undisturbed, experiment, killed, sentence
from bench.table import write_results
from tests.bench.no_roof import python as without_roof
from tests.bench.test_journal import CASES, MACHINE, PLAN, planted

pytestmark = pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="looks for processes in /proc")

QUICK = ("--only", "matmul/square-[36][24]/*", "--time", "0", "--backends", "numpy")
ROWS = {("matmul", f"square-{n}", "matmul", "numpy", "cpu", "ok", 3) for n in (32, 64)}


def wait_until(true):
    with Stopwatch() as watch:
        while not (found := true()):
            assert watch.so_far() < 60, "it does not come"
            time.sleep(0.02)
    return found


# The experiment, on real runs


@pytest.fixture
def _no_roof_there(monkeypatch):
    """Let the runs that are killed leave out their roof, which would take most of the time in which they are."""
    monkeypatch.setattr(kills, "python", without_roof)


@pytest.mark.usefixtures("_no_roof_there")
def test_a_real_run_that_is_killed_loses_nothing(tmp_path):
    table = experiment(tmp_path, 1, 1, [QUICK])
    assert table["outcome"].tolist() == ["ok"], table.to_string()
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "kills.csv", dtype={"killed_after_s": "str"}), table)
    assert {file.name for file in tmp_path.iterdir()} == {"kills.csv"}
    assert sentence(table).startswith("1 runs, killed ")


@pytest.mark.usefixtures("_no_roof_there")
def test_a_run_killed_when_it_holds_a_unit_does_not_measure_it_again(tmp_path, monkeypatch):
    class AfterTheFirstUnit(random.Random):
        """Draws the moment at which the journal holds a unit, and no second kill."""

        def random(self):
            return 1.0

        def uniform(self, low, high):
            return 0.0

    def wait(process, after_s=None):
        if after_s is None:
            return waited(process)
        wait_until(lambda: finished_units(tmp_path / "run"))
        raise subprocess.TimeoutExpired("run", after_s)

    waited = subprocess.Popen.wait
    with monkeypatch.context() as patch:
        patch.setattr(subprocess.Popen, "wait", wait)
        found = killed(tmp_path / "run", Undisturbed(QUICK, 1.0, ROWS), AfterTheFirstUnit())
    row = found.row(0)
    assert row["outcome"] == "ok", row
    assert row["units_finished"] >= 1
    assert "units done" in row["moment"]
    assert row["files"] >= 4


# What the experiment would see


@pytest.fixture
def ended(tmp_path):
    """Return a finished run of planted units, what was found before it ended, and the rows that it must have."""
    run = tmp_path / "run"
    journal = Journal.begin(run, PLAN, MACHINE)
    for process in range(3):
        for case in CASES:
            journal.record(planted(process, case.group))
    found = Findings(finished=finished_units(run))
    facts = Run("run", "m-1", {})
    write_results(run, summarise(journal.measurements(), facts), sample_rows(journal.measurements(), facts), MACHINE)
    journal.close()
    return run, found, ROWS


def outcome(ended):
    run, found, rows = ended
    check_end(run, rows, found)
    return found.row(0)


def test_the_experiment_finds_nothing_where_nothing_is_lost(ended):
    assert outcome(ended) == {
        "run": 0, "kills": 0, "killed_after_s": "-", "moment": "", "files": 3, "files_read": 3, "units_finished": 6,
        "units_measured_again": 0, "cases_missing": 0, "workers_left": 0, "outcome": "ok",
    }  # fmt: skip


def test_the_experiment_sees_a_unit_that_was_measured_again(ended):
    file = ended[0] / "samples.csv"
    lines = file.read_text().splitlines()
    lines[-1] = lines[-1][:-1] + ("1" if lines[-1][-1] != "1" else "2")
    file.write_text("\n".join(lines))
    row = outcome(ended)
    assert (row["units_measured_again"], row["outcome"]) == (1, "lost")


@pytest.mark.parametrize("lost", ["row", "process"])
def test_the_experiment_sees_a_case_that_is_missing(lost, ended):
    file = ended[0] / "summary.csv"
    frame = pd.read_csv(file)
    (frame[1:] if lost == "row" else frame.assign(processes=[3, 2])).to_csv(file, index=False)
    row = outcome(ended)
    assert row["cases_missing"] == 1
    assert row["outcome"] != "ok"


def test_the_experiment_sees_a_run_that_never_ended(ended):
    (ended[0] / "summary.csv").unlink()
    row = outcome(ended)
    assert row["cases_missing"] == 2
    assert "missing or left over: summary.csv" in row["outcome"]


def test_the_experiment_sees_files_that_are_left_over(ended):
    (ended[0] / FILE).write_text("{}")
    ended[0].with_name(".run.summary.csv.partial").touch()
    assert "missing or left over: .run.summary.csv.partial, journal.json" in outcome(ended)["outcome"]


@pytest.mark.parametrize(
    ("name", "text"), [(FILE, '{"units": ['), ("summary.csv", "run_id,rec"), ("samples.csv", ""), ("core", "\0")]
)
def test_the_experiment_sees_a_file_that_does_not_read(name, text, tmp_path):
    (tmp_path / name).write_text(text)
    found = Findings()
    check_files(tmp_path, found)
    row = found.row(0)
    assert (row["files"], row["files_read"]) == (1, 0)
    assert row["outcome"].startswith(f"{name} does not read: ")


def test_the_experiment_sees_a_worker_that_is_left(tmp_path, monkeypatch):
    monkeypatch.setattr(aftermath, "GONE_WITHIN_S", 0.1)
    other = subprocess.Popen(["sleep", "60"], env=marking(tmp_path / "run-10"))
    try:
        assert wait_until(lambda: workers_left(tmp_path / "run-10")) == 1
        assert workers_left(tmp_path / "run-1") == 0
    finally:
        other.kill()
        other.wait()
    assert workers_left(tmp_path / "run-10") == 0


# A driver that ends, however

DRIVER = """
import sys, time
from bench.processes import WorkerProcess
worker = WorkerProcess("numpy:cpu")
worker.ask({"do": "forget"})
print(worker._process.pid, flush=True)
time.sleep(600)
"""


def is_there(pid):
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


@pytest.mark.parametrize("stuck", [False, True])
def test_a_worker_ends_with_its_driver_even_one_that_hangs(stuck, pytestconfig):
    command = [sys.executable, "-c", DRIVER]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=pytestconfig.rootpath) as driver:
        worker = int(driver.stdout.readline())
        assert is_there(worker)
        if stuck:
            os.kill(worker, signal.SIGSTOP)
        driver.kill()
    wait_until(lambda: not is_there(worker))


def test_a_worker_whose_driver_ended_before_it_could_be_watched_ends_at_once(pytestconfig):
    command = [sys.executable, "-m", "bench.worker", "1"]  # it is not the first process that started it
    done = subprocess.run(command, stdin=subprocess.PIPE, capture_output=True, text=True, cwd=pytestconfig.rootpath)
    assert (done.returncode, done.stdout, done.stderr) == (1, "", "")


def test_ctrl_c_ends_a_run_in_one_sentence_and_without_a_word_from_its_workers(tmp_path, pytestconfig):
    run = tmp_path / "run"
    command = [sys.executable, "-m", "bench", "run", *QUICK, "--results", str(tmp_path), "--name", "run"]
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=pytestconfig.rootpath,
        env=os.environ | marking(run),
        process_group=0,
    )
    # The driver, past asking the machine what it is, and a worker, which still imports.
    wait_until(lambda: (run / FILE).exists() and marked(run) > 1)
    os.killpg(process.pid, signal.SIGINT)
    printed, error = process.communicate()
    assert process.returncode == 130
    assert printed == ""
    assert error.strip().startswith("arraybench: interrupted; to finish it: arraybench run --resume run --results")
    assert "Traceback" not in error
    assert workers_left(run) == 0
    assert json.loads((run / FILE).read_text())["units"] == []


# How a worker's end is told


@pytest.fixture
def answering(monkeypatch):
    """Return a function that starts a worker which is only a line of shell."""
    started = []

    def answering(script):
        def launch(command, **options):
            return popen(["sh", "-c", f"echo '{{\"import_s\": 0}}'; read request; {script}"], **options)

        popen = subprocess.Popen
        with monkeypatch.context() as patch:
            patch.setattr(subprocess, "Popen", launch)
            started.append(WorkerProcess("numpy:cpu"))
            return started[-1].ask({"do": "forget"})

    yield answering
    for worker in started:
        worker.stop()


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("kill -SEGV $$", r"its process was ended by signal 11 \(SIGSEGV\)"),
        ("kill -KILL $$", r"its process was ended by signal 9 \(SIGKILL\)"),
        ("exit 3", "its process ended with status 3"),
        ("echo Killed", "its process answered what is no JSON: Killed"),
        ("printf '{\"status\": '; kill -ABRT $$", r"its process was ended by signal 6 \(SIGABRT\)"),
        ("printf '\\377\\n'", "its process answered what is no JSON: "),
    ],
)
def test_how_a_worker_ended_is_told_by_name(script, reason, answering):
    with pytest.raises(WorkerLostError, match=reason) as lost:
        answering(script)
    assert lost.value.status == "failed"


def test_a_worker_that_the_kernel_took_while_memory_was_short_ran_out_of_memory(answering, monkeypatch):
    counts = iter([0, 0, 1])  # before it was started, before it was asked, after its end
    monkeypatch.setattr(processes, "_memory_kills", lambda: next(counts))
    with pytest.raises(WorkerLostError, match="the kernel ended its process, as memory was short") as lost:
        answering("kill -KILL $$")
    assert lost.value.status == "out_of_memory"


def test_a_worker_that_closes_its_pipe_and_hangs_is_ended(answering, monkeypatch):
    monkeypatch.setattr(processes, "END_WITHIN_S", 0.2)
    with pytest.raises(WorkerLostError, match=r"closed its end of the pipe, and was still there 0\.2 s later"):
        answering("exec >&-; sleep 600")


def test_a_process_that_the_system_does_not_start_is_a_reason(monkeypatch):
    def refuse(*arguments, **options):
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(subprocess, "Popen", refuse)
    with pytest.raises(
        WorkerLostError, match=r"a worker on numpy:cpu cannot start: .*Resource temporarily unavailable"
    ):
        WorkerProcess("numpy:cpu").ask({"do": "forget"})
