"""The commands as a person runs them."""

import json
import os
import subprocess
import sys

import pandas as pd
import pytest

import backends
from bench import read_results
from bench.cli import main
from bench.driver import usable_specs

PYTEST = ("pytest", "-p", "no:hypothesispytest")  # which no benchmark needs, and takes a while to import
BAD_BACKENDS = ["no_such", "jax:gpu:7", "numpy:gpu"]
if not next(found for found in backends.status() if found.name == "cupy").usable:
    BAD_BACKENDS.append("cupy")


def command(*arguments, backend=None, cwd=None):
    environment = {name: value for name, value in os.environ.items() if name != "ARRAY_BACKEND"}
    if backend:
        environment["ARRAY_BACKEND"] = backend
    return subprocess.run([sys.executable, "-m", *arguments], capture_output=True, text=True, env=environment, cwd=cwd)


def test_a_run_prints_a_table_and_the_path_of_a_csv(tmp_path, capsys):
    specs = sorted({"numpy:cpu", "jax:cpu"} & set(usable_specs()))
    only = ["--only", "forward/coffee*/[mu]*", "--backends", ",".join(specs), "--time", "0"]
    assert main(["run", *only, "--results", str(tmp_path), "--name", "try"]) == 0
    printed = capsys.readouterr().out
    assert "coffee-2-3-1: time for one example, in batches of 400" in printed
    assert str(tmp_path / "try" / "summary.csv") in printed.replace("\n", "")
    frame = read_results(tmp_path / "try")
    assert set(frame["implementation"]) == {"multiplication", "unit", "matmul"}
    assert (frame["status"] == "ok").all()
    numpy = frame[frame["backend"] == "numpy"].set_index("implementation")
    assert numpy.loc["matmul", "speedup"] > 10
    assert (frame["fraction_of_peak"] > 0).all()
    facts = json.loads((tmp_path / "try" / "machine.json").read_text())
    assert facts["roofs"].keys() == facts["backends"].keys() == set(specs)


@pytest.mark.usefixtures("_no_roof")
def test_a_run_of_that_name_is_not_overwritten(tmp_path, capsys):
    only = ["--only", "matmul/square-32/*", "--backends", "numpy", "--time", "0"]
    arguments = ["run", *only, "--results", str(tmp_path), "--name", "x"]
    assert main(arguments) == 0
    before = (tmp_path / "x" / "summary.csv").read_bytes()
    assert main(arguments) == 2
    assert "holds a run already" in capsys.readouterr().err
    assert (tmp_path / "x" / "summary.csv").read_bytes() == before


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (
            ["--backends", "numpy,nonsense"],
            "backend 'nonsense': there is no backend of that name. Usable here: numpy:cpu",
        ),
        (["--backends", "strict"], "strict is for tests only"),
        (["--only", "nothing"], "--only nothing: no case has such a name; they are like forward/"),
    ],
)
def test_a_wrong_option_is_one_sentence(arguments, sentence, capsys, tmp_path):
    assert main(["run", *arguments, "--results", str(tmp_path)]) == 2
    error = capsys.readouterr().err
    assert sentence in error
    assert error.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


SESSIONS = """
import contextlib, io, json, os, sys
import pytest

def session(backend):
    os.environ["ARRAY_BACKEND"] = backend
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(io.StringIO()) as err:
        return int(pytest.main(["bench", "-q", "-p", "no:hypothesispytest"])), out.getvalue(), err.getvalue()

print(json.dumps({backend: session(backend) for backend in sys.argv[1:]}))
"""


@pytest.fixture(scope="module")
def refused(pytestconfig):
    """The exit status and the output of `pytest bench` on each of these backends, all in one process: it is slow to start."""
    arguments = [sys.executable, "-c", SESSIONS, *BAD_BACKENDS]
    done = subprocess.run(arguments, capture_output=True, text=True, cwd=pytestconfig.rootpath)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("backend", BAD_BACKENDS)
def test_a_backend_that_cannot_be_used_is_one_sentence_under_pytest(backend, refused):
    status, out, err = refused[backend]
    assert status == pytest.ExitCode.USAGE_ERROR
    assert f"ARRAY_BACKEND={backend}: " in err
    assert "Usable here: numpy:cpu" in err
    assert "Traceback" not in out + err


def test_results_that_cannot_be_written_are_one_sentence_under_pytest_before_anything_is_measured(
    tmp_path, pytestconfig
):
    (tmp_path / "results").write_text("in the way")
    root = pytestconfig.rootpath
    arguments = [f"{root}/bench", "-c", f"{root}/pyproject.toml", "--rootdir", str(root), "-q", "-k", "square-32"]
    done = command(*PYTEST, *arguments, backend="numpy", cwd=tmp_path)
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert "results is a file, not a folder" in done.stderr
    assert "passed" not in done.stdout
    assert "Traceback" not in done.stdout + done.stderr


def test_pytest_bench_measures_and_writes_the_same_columns(tmp_path, pytestconfig):
    root = pytestconfig.rootpath
    done = command(
        *PYTEST, f"{root}/bench", "-c", f"{root}/pyproject.toml", "--rootdir", str(root), "-q", "-k", "square-32",
        "--benchmark-only", "--benchmark-min-rounds=3", "--benchmark-max-time=0.05", backend="numpy", cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    (summary,) = tmp_path.glob("results/*-pytest-numpy/summary.csv")
    frame = read_results(summary)
    assert frame["status"].tolist() == ["ok"]
    assert frame["samples"].item() >= 3
    assert (pd.read_csv(summary.with_name("samples.csv"))["seconds"] > 0).all()


def test_plain_pytest_runs_no_benchmark(pytestconfig):
    others = "--ignore-glob=tests/*/*"  # of which the import takes a while
    done = command(*PYTEST, "--collect-only", "-q", others, cwd=pytestconfig.rootpath)
    assert "bench/benchmarks.py" not in done.stdout
    assert "tests/test_architecture.py" in done.stdout


def test_the_command_is_there_as_a_module():
    done = command("bench", "--help")
    assert done.returncode == 0
    assert "run" in done.stdout


@pytest.mark.usefixtures("_no_roof")
def test_a_quick_run_is_a_few_cases_of_the_suite_and_told_as_json(tmp_path, capsys):
    quick = ["--quick", "--backends", "numpy", "--time", "0", "--json"]
    assert main(["run", *quick, "--results", str(tmp_path), "--name", "quick"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["folder"] == str(tmp_path / "quick")
    frame = read_results(tmp_path / "quick")
    assert len(told["rows"]) == len(frame) < 25
    assert {row["workload"] for row in told["rows"]} == {"forward", "backward", "step", "epoch", "matmul"}
    assert set(frame[frame["status"] == "ok"]["processes"]) == {3}
    assert frame["false_alarm_rate"].notna().any()
    assert told["rows"][0]["median_s"] == pytest.approx(frame["median_s"][0])
