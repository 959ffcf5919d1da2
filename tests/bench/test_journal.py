"""What is on the disk while a run is made, and how a run goes on: with planted units, so that nothing is measured."""

import contextlib
import dataclasses
import errno
import json
import os
import resource
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

import backends
from bench import ResultsError, cli, driver, read_results, table
from bench.cases import Case
from bench.journal import FILE, Journal, Plan, Unit, sole_writer
from bench.table import write_whole

MACHINE = {"machine_id": "m-1", "python": "3.12", "libraries": {"numpy": "2.4"}, "variables": {}}
CASES = tuple(Case("matmul", f"square-{n}", "matmul", n) for n in (32, 64))
PLAN = Plan(CASES, ("numpy:cpu",), 1.0, 0.0, 0)
FACTS = {
    "batch_size": 32, "parameters": 0, "first_call_s": 0.5, "compile_s": 0.0, "host_to_device_s": 1e-5, "flops": 65536,
    "dispatch_s": 1e-5, "device_s": 1e-6, "device_to_host_s": 1e-5, "end_to_end_s": 4e-5, "bytes": 12288, "checked": True,
    "process_start_s": 0.2, "import_s": 0.1, "oracle_error": 1e-8, "peak_memory_bytes": 1000, "result_dtype": "float32",
    "subnormals": 0, "threads_in_effect": 1.0,
}  # fmt: skip
ONLY = ["--only", "matmul/square-[36][24]/*", "--backends", "numpy", "--time", "0"]


def planted(process, group, rows=tuple((case, "numpy:cpu") for case in CASES)):
    samples = [[number, 1e-5 * (1 + 0.01 * process + 0.001 * number)] for number in range(4)]
    outcome = {"status": "ok", "reason": "", "facts": FACTS, "samples": samples}
    entries = [{"id": case.id, "spec": spec} | outcome for case, spec in rows if case.group == group]
    return Unit(process, group, 0.1, entries)


class Planted:
    """Stands where units are measured: gives planted ones, and is interrupted when so many were asked for."""

    def __init__(self):
        self.asked, self.interrupted_at = [], None

    def __call__(self, process, group, chosen, workers, journal):
        if len(self.asked) == self.interrupted_at:
            self.interrupted_at = None
            raise KeyboardInterrupt
        self.asked.append((process, group))
        return planted(process, group, [(m.case, m.spec) for m in chosen])


@pytest.fixture
def measured(monkeypatch):
    measured = Planted()
    monkeypatch.setattr(driver, "_measure_unit", measured)
    return measured


def run(tmp_path, *arguments):
    return cli.main(["run", *arguments, "--results", str(tmp_path)])


def files(folder):
    return {file.name for file in folder.iterdir()}


# The folder


def test_a_run_that_has_begun_is_a_folder_with_a_journal_that_reads(tmp_path):
    Journal.begin(tmp_path / "run", PLAN, MACHINE)
    assert files(tmp_path) == {"run"}
    assert files(tmp_path / "run") == {FILE}
    assert json.loads((tmp_path / "run" / FILE).read_text())["units"] == []


def test_a_resumed_journal_is_the_one_that_was_left(tmp_path):
    begun = Journal.begin(tmp_path / "run", PLAN, MACHINE)
    begun.backends["numpy:cpu"] = {"version": "2.4"}
    begun.record(planted(0, "matmul/square-32"))
    resumed = Journal.resume(tmp_path / "run", MACHINE | {"load_average": 9.0})
    assert (resumed.plan, resumed.units, resumed.backends) == (PLAN, begun.units, begun.backends)
    assert resumed.machine == MACHINE
    assert resumed.measurements() == begun.measurements()
    assert resumed.has(0, "matmul/square-32")
    assert not resumed.has(1, "matmul/square-32")


def test_an_empty_folder_is_free_and_any_other_is_not(tmp_path):
    (tmp_path / "run").mkdir()  # what a run leaves that is killed before it wrote anything
    Journal.begin(tmp_path / "run", PLAN, MACHINE)
    with pytest.raises(
        ResultsError, match="run holds a run already; choose another --name, or go on with it by --resume"
    ):
        Journal.begin(tmp_path / "run", PLAN, MACHINE)


KILLED_AT = """
import os, signal, sys
from pathlib import Path
from bench.journal import Journal
from bench.table import write_results, summary_frame
from tests.bench.test_journal import MACHINE, PLAN, planted

CHANGES = {"os.mkdir", "os.rename", "os.remove", "os.rmdir"}

def life(folder):
    journal = Journal.begin(folder, PLAN, MACHINE)
    journal.record(planted(0, "matmul/square-32"))
    journal.record(planted(0, "matmul/square-64"))
    write_results(folder, summary_frame([]), [], MACHINE)
    journal.close()

def kill_at(number):
    def hook(event, arguments):
        nonlocal number
        if event in CHANGES or event == "open" and isinstance(arguments[1], str) and "w" in arguments[1]:
            number -= 1
            if not number:
                os.kill(os.getpid(), signal.SIGKILL)
    sys.addaudithook(hook)

for number in range(1, 100):
    child = os.fork()
    if not child:
        kill_at(number)
        life(Path(sys.argv[1]) / f"run-{number}")
        os._exit(0)
    if os.waitpid(child, 0)[1] == 0:
        break
"""


def test_killed_at_any_change_of_the_disk_a_folder_reads_and_no_unit_that_was_saved_is_gone(tmp_path, pytestconfig):
    subprocess.run([sys.executable, "-c", KILLED_AT, str(tmp_path)], check=True, cwd=pytestconfig.rootpath)
    runs = sorted(tmp_path.glob("run-*"), key=lambda folder: int(folder.name[4:]))
    held = []
    for folder in runs:
        for file in folder.iterdir():
            assert not file.name.startswith(".")
            json.loads(file.read_text()) if file.suffix == ".json" else pd.read_csv(file)
        if (folder / FILE).exists():
            held.append(len(Journal.resume(folder, MACHINE).units))
        elif list(folder.iterdir()):
            assert files(folder) == {"summary.csv", "samples.csv", "machine.json"}
            held.append("finished")
        else:
            Journal.begin(folder, PLAN, MACHINE)
            held.append("begun anew")
    # The first two kills leave an empty folder or none: the name is free. Each file is opened, and then renamed.
    assert held == ["begun anew"] * 2 + [0] * 2 + [1] * 2 + [2] * 7 + ["finished"]


def test_an_interrupt_while_a_file_is_written_leaves_the_old_one_and_no_half(tmp_path, monkeypatch):
    journal = Journal.begin(tmp_path / "run", PLAN, MACHINE)
    before = (tmp_path / "run" / FILE).read_bytes()

    def interrupt(descriptor):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        journal.record(planted(0, "matmul/square-32"))
    assert (tmp_path / "run" / FILE).read_bytes() == before
    assert (files(tmp_path), files(tmp_path / "run")) == ({"run"}, {FILE})


# A disk that is full, a folder that cannot be written


def test_a_full_disk_at_the_begin_is_a_sentence_and_leaves_nothing(tmp_path):
    (tmp_path / f".run.{FILE}.partial").symlink_to("/dev/full")
    with pytest.raises(ResultsError, match=r"cannot write results to .*run/journal.json: No space left on device"):
        Journal.begin(tmp_path / "run", PLAN, MACHINE)
    assert files(tmp_path) == set()


@contextlib.contextmanager
def largest_file(size):
    """Let the kernel refuse whatever makes a file larger."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_disk_that_fills_up_costs_the_unit_that_does_not_fit_and_the_run_can_go_on(tmp_path):
    journal = Journal.begin(tmp_path / "run", PLAN, MACHINE)
    journal.record(planted(0, "matmul/square-32"))
    with largest_file((tmp_path / "run" / FILE).stat().st_size + 100):
        with pytest.raises(ResultsError, match=r"cannot write results to .*: File too large"):
            journal.record(planted(0, "matmul/square-64"))
        assert (files(tmp_path), files(tmp_path / "run")) == ({"run"}, {FILE})
    resumed = Journal.resume(tmp_path / "run", MACHINE)
    assert [unit.group for unit in resumed.units] == ["matmul/square-32"]


def test_a_run_on_a_full_disk_says_how_to_finish_it_and_is_finished_later(tmp_path, measured, capsys, monkeypatch):
    def full(file, text):
        if file.name == "machine.json":
            raise ResultsError(f"cannot write results to {file}: {os.strerror(errno.ENOSPC)}")
        write_whole(file, text)

    with monkeypatch.context() as patch:
        patch.setattr(table, "write_whole", full)
        assert run(tmp_path, *ONLY, "--name", "x") == 2
    error = capsys.readouterr().err
    assert (
        f"machine.json: No space left on device; to finish it: arraybench run --resume x --results {tmp_path}" in error
    )
    assert files(tmp_path / "x") == {FILE, "samples.csv"}
    assert run(tmp_path, "--resume", "x") == 0
    assert len(measured.asked) == 6
    assert files(tmp_path / "x") == {"summary.csv", "samples.csv", "machine.json"}


@pytest.mark.parametrize("number", [errno.EROFS, errno.EACCES])
def test_a_folder_that_is_read_only_is_a_sentence(number, tmp_path, monkeypatch, capsys):
    opened = os.open

    def refuse(path, flags, *mode, **options):
        if flags & os.O_CREAT:
            raise OSError(number, os.strerror(number), path)
        return opened(path, flags, *mode, **options)

    monkeypatch.setattr(os, "open", refuse)
    assert run(tmp_path, *ONLY) == 2
    assert capsys.readouterr().err == f"arraybench: cannot write results to {tmp_path}: {os.strerror(number)}\n"
    assert files(tmp_path) == set()


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="a folder that not even root can write to")
def test_a_folder_that_not_even_root_can_make_is_a_sentence(capsys):
    assert run(Path("/proc/results"), *ONLY) == 2
    assert capsys.readouterr().err == "arraybench: cannot write results to /proc/results: No such file or directory\n"


def test_a_file_in_the_way_of_the_results_is_a_sentence(tmp_path, capsys):
    (tmp_path / "results").write_text("mine")
    assert run(tmp_path / "results", *ONLY) == 2
    assert capsys.readouterr().err == f"arraybench: {tmp_path / 'results'} is a file, not a folder\n"


def test_two_runs_at_once_into_one_folder_are_one_run_and_a_sentence(tmp_path, capsys):
    with sole_writer(tmp_path):
        assert run(tmp_path, *ONLY) == 2
    error = capsys.readouterr().err
    assert error == f"arraybench: another run is writing into {tmp_path}; wait for it, or choose another --results\n"
    assert files(tmp_path) == {".lock"}
    with sole_writer(tmp_path):
        pass


# Going on


def other(change):
    """Return a change of what a journal holds, as a change of its text."""

    def changed(text):
        saved = json.loads(text)
        change(saved)
        return json.dumps(saved)

    return changed


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (
            other(lambda saved: saved["machine"].update(machine_id="m-2")),
            "was begun with machine m-2, here m-1: samples of",
        ),
        (
            other(lambda saved: saved["machine"].update(libraries={"numpy": "1.0"})),
            "was begun with numpy 1.0, here 2.4: ",
        ),
        (
            other(lambda saved: saved["machine"]["variables"].update(OMP_NUM_THREADS="1")),
            "OMP_NUM_THREADS 1, here unset",
        ),
        (other(lambda saved: saved.update(schema_version=1)), "was written by another version of arraybench"),
        (
            other(lambda saved: saved.pop("plan")),
            r"is not the journal of a run \(KeyError\('plan'\)\); start a new run",
        ),
        (other(lambda saved: saved["plan"].update(colour="red")), "is not the journal of a run"),
        (lambda text: "[]", "was written by another version"),
        (lambda text: text[:-20], "cannot read .*journal.json: "),
    ],
)
def test_a_journal_that_cannot_be_gone_on_with_is_refused(change, sentence, tmp_path):
    Journal.begin(tmp_path / "run", PLAN, MACHINE)
    file = tmp_path / "run" / FILE
    file.write_text(change(file.read_text()))
    before = file.read_bytes()
    with pytest.raises(ResultsError, match=sentence):
        Journal.resume(tmp_path / "run", MACHINE)
    assert file.read_bytes() == before


def test_a_run_of_functions_that_have_changed_is_not_gone_on_with(tmp_path):
    file = tmp_path / "own.py"
    file.write_text("one = 1\n")
    plan = dataclasses.replace(PLAN, cases=(Case("f", "-", "eager", 1, source=str(file)),))
    Journal.begin(tmp_path / "run", plan, MACHINE)
    assert Journal.resume(tmp_path / "run", MACHINE).plan == plan
    file.write_text("one = 2\n")
    with pytest.raises(ResultsError, match=r"was begun with own\.py \w+, here \w+: samples of the two do not mix"):
        Journal.resume(tmp_path / "run", MACHINE)


def test_there_must_be_something_to_resume(tmp_path):
    with pytest.raises(ResultsError, match="nowhere holds no run; there is nothing to resume"):
        Journal.resume(tmp_path / "nowhere", MACHINE)
    (tmp_path / "summary.csv").touch()
    with pytest.raises(ResultsError, match="holds a finished run; there is nothing to resume"):
        Journal.resume(tmp_path, MACHINE)


def structure(folder):
    """Return what two runs of one plan have in common: all but times, names and what follows from them."""
    summary, samples = read_results(folder), pd.read_csv(folder / "samples.csv")
    names = ["workload", "network", "implementation", "backend", "device"]
    return (
        files(folder),
        summary[[*names, "status", "processes", "samples", "stopped", "verdict"]].to_csv(),
        samples[[*names, "process", "round"]].to_csv(),
        json.loads((folder / "machine.json").read_text()).keys(),
    )


@pytest.mark.parametrize("number", [0, 3, 5])
def test_an_interrupted_run_is_finished_and_is_like_one_that_was_not(number, tmp_path, measured, capsys):
    measured.interrupted_at = number
    assert run(tmp_path, *ONLY, "--name", "x") == 130
    assert f"interrupted; to finish it: arraybench run --resume x --results {tmp_path}" in capsys.readouterr().err
    assert files(tmp_path / "x") == {FILE}
    assert run(tmp_path, "--resume", "x") == 0
    assert run(tmp_path, *ONLY, "--name", "whole") == 0
    assert len(measured.asked) == 12
    assert measured.asked[:6] == measured.asked[6:]
    assert structure(tmp_path / "x") == structure(tmp_path / "whole")
    assert run(tmp_path, "--resume", "x") == 2
    assert "x holds a finished run; there is nothing to resume" in capsys.readouterr().err


@pytest.fixture
def interrupted(tmp_path, measured):
    measured.interrupted_at = 0
    assert run(tmp_path, *ONLY, "--name", "x") == 130


@pytest.mark.parametrize(
    "arguments", [["--only", "matmul/square-32/*"], ["--backends", "jax"], ["--budget", "2"], ["--time", "1"]]
)
def test_another_plan_than_the_one_that_was_begun_is_refused(arguments, interrupted, tmp_path, capsys):
    if arguments[-1] == "jax" and not any(found.usable for found in backends.status() if found.name == "jax"):
        pytest.skip("jax cannot be used here")
    assert run(tmp_path, "--resume", "x", *arguments) == 2
    sentence = (
        f"arraybench: {arguments[0]} is not what {tmp_path / 'x'} was begun with; leave it out to finish that run"
    )
    assert sentence in capsys.readouterr().err


def test_the_same_plan_may_be_given_again(interrupted, tmp_path):
    assert run(tmp_path, "--resume", "x", *ONLY) == 0


def test_a_run_whose_backend_is_gone_cannot_be_finished(interrupted, tmp_path, capsys):
    file = tmp_path / "x" / FILE
    file.write_text(other(lambda saved: saved["plan"].update(specs=["numpy:cpu", "gone:gpu:0"]))(file.read_text()))
    assert run(tmp_path, "--resume", "x") == 2
    sentence = (
        f"{tmp_path / 'x'} measures on gone:gpu:0, and cannot be finished: backend 'gone:gpu:0': there is no backend"
    )
    assert sentence in capsys.readouterr().err


PEERS = ["--suite", "peers", "--only", "[pr]*", "--backends", "numpy,scikit-learn,keras-jax", "--time", "0"]


@pytest.mark.parametrize("again", [[], ["--suite", "peers"], PEERS])
def test_a_run_against_peers_is_resumed_as_any_other(again, tmp_path, measured):
    measured.interrupted_at = 3
    assert run(tmp_path, *PEERS, "--name", "x") == 130
    assert run(tmp_path, "--resume", "x", *again) == 0
    groups = ("predict/coffee-2-3-1", "row/coffee-2-3-1")
    assert measured.asked == [(process, group) for process in range(3) for group in groups]
    table = read_results(tmp_path / "x")
    assert set(table["backend"]) == {"numpy", "scikit-learn", "keras-jax"}
    assert table.loc[table["backend"] == "keras-jax", "speedup_of_numpy"].notna().all()


def test_a_run_of_another_suite_is_not_resumed(tmp_path, measured, capsys):
    measured.interrupted_at = 1
    assert run(tmp_path, *ONLY, "--name", "x") == 130
    assert run(tmp_path, "--resume", "x", "--suite", "peers") == 2
    assert "--suite is not what" in capsys.readouterr().err
