"""The plugin as a user meets it: pytest in a folder of their own, in a process of its own."""

import importlib.util
import json
import os
import subprocess
import sys
import textwrap

import pytest

import backends
from bench import read_results

TESTS = """
    import numpy as np
    import pytest
    from array_api_compat import array_namespace

    def softmax(x):
        xp = array_namespace(x)
        e = xp.exp(x - xp.max(x, axis=-1, keepdims=True))
        return e / xp.sum(e, axis=-1, keepdims=True)

    def rows(m, n):
        return np.random.default_rng(0).standard_normal((m, n)).astype("float32")

    def test_softmax(array_benchmark):
        array_benchmark(softmax, rows(40, 10), oracle=softmax, flops=2000)

    @pytest.mark.parametrize("n", [3, 4])
    def test_square(array_benchmark, n):
        result = array_benchmark(lambda x: x @ x, rows(n, n))
        assert result.shape == (n, n)

    def test_plain(backend, xp):
        assert float(xp.sum(backend.asarray(np.ones(3)))) == 3
"""
QUICK = ("-q", "--benchmark-max-time=0.01", "--benchmark-min-rounds=3", "-p", "no:hypothesispytest")
"""Hypothesis, which no test here needs, takes two thirds of a second to import in every session."""
JAX = pytest.mark.skipif(
    not any(found.name == "jax" and found.usable for found in backends.status()), reason="jax is not here"
)


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "pytest.ini").write_text("[pytest]\nfilterwarnings = error\n")
    (tmp_path / "test_mine.py").write_text(textwrap.dedent(TESTS))
    return tmp_path


def run(folder, *arguments, backend=None):
    environment = {name: value for name, value in os.environ.items() if name != "ARRAY_BACKEND"}
    environment |= {"ARRAY_BACKEND": backend} if backend else {}
    command = [sys.executable, "-m", "pytest", *QUICK, *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)


def add(folder, text):
    with (folder / "test_mine.py").open("a") as file:
        file.write(textwrap.dedent(text))


def table(folder):
    (summary,) = folder.glob("results/*/summary.csv")
    return read_results(summary)


@pytest.mark.parametrize("backend", ["numpy", pytest.param("jax", marks=JAX)])
def test_a_session_measures_on_the_backend_of_the_variable_and_writes_a_run(backend, folder):
    done = run(folder, "--benchmark-json=out.json", backend=backend)
    assert done.returncode == 0, done.stdout + done.stderr
    forms = {"eager", "compiled"} if backends.get(backend).compiles else {"eager"}
    frame = table(folder)
    assert set(frame["backend"]) == {backend}
    assert set(frame["implementation"]) == forms
    assert set(zip(frame["workload"], frame["network"], strict=True)) == {
        ("softmax", "-"),
        ("square", "3"),
        ("square", "4"),
    }
    assert (frame["status"] == "ok").all()
    assert frame["checked"].all()
    assert (frame["samples"] >= 3).all()
    benchmarks = json.loads((folder / "out.json").read_text())["benchmarks"]
    assert {one["extra_info"]["array_backend"] for one in benchmarks} == {f"{backend}:cpu"}
    assert {one["group"] for one in benchmarks} == {"softmax/-", "square/3", "square/4"}


def test_a_wrong_result_fails_its_test_and_has_no_speed(folder):
    add(
        folder,
        """
    def test_wrong(array_benchmark):
        array_benchmark(lambda x: 1.001 * x, rows(3, 3), oracle=lambda x: x)
    """,
    )
    done = run(folder, "-k", "wrong or softmax")
    assert done.returncode == 1
    assert "differs from the float64 oracle by 0.00" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr
    frame = table(folder).set_index("workload")
    assert (frame["status"]["wrong"], frame["status"]["softmax"]) == ("mismatch", "ok")
    assert frame["median_s"].isna()["wrong"]


@JAX
def test_all_backends_are_compared_in_one_run(folder):
    saved = ("--benchmark-json=out.json", "--benchmark-autosave", "--benchmark-group-by=name")
    done = run(folder, "--array-backends=numpy,jax", "--array-passes=2", "-k", "softmax or plain", *saved)
    assert done.returncode == 0, done.stdout + done.stderr
    frame = table(folder).set_index(["backend", "implementation"])
    assert (frame["processes"] == 2).all()
    assert frame["verdict"]["numpy", "eager"] == "BASELINE"
    compiled = frame.loc[("jax", "compiled")]
    assert compiled["speedup_over_eager_ci_low"] <= compiled["speedup_over_eager"]
    assert compiled["verdict_over_numpy"] in ("FASTER", "SLOWER", "SAME", "UNRESOLVED")
    assert "softmax: time of one call" in done.stdout
    benchmarks = json.loads((folder / "out.json").read_text())["benchmarks"]
    assert {one["name"] for one in benchmarks} == {
        "test_softmax[numpy:cpu-eager]",
        "test_softmax[jax:cpu-eager]",
        "test_softmax[jax:cpu-compiled]",
    }
    assert len(list(folder.glob(".benchmarks/*/*.json"))) == 2  # one for each backend, none for a second pass


def test_a_session_of_many_fails_where_one_does(folder):
    add(
        folder,
        """
    def test_wrong(array_benchmark):
        array_benchmark(lambda x: 1.001 * x, rows(3, 3), oracle=lambda x: x)
    """,
    )
    done = run(folder, "--array-backends=numpy", "--array-passes=2", "-k", "wrong")
    assert done.returncode == 1
    assert done.stdout.count("= FAILURES =") == 1
    assert table(folder)["status"].tolist() == ["mismatch"]


@pytest.mark.parametrize(("ending", "status"), [("os._exit(7)", 7), ("os.kill(os.getpid(), 11)", 1)])
def test_a_session_that_ends_badly_in_a_later_pass_is_no_success(ending, status, folder):
    add(
        folder,
        f"""
    import os, sys

    def test_ends(array_benchmark):
        if "--array-again" in sys.argv:
            {ending}
        array_benchmark(lambda x: x, rows(3, 3))
    """,
    )
    done = run(folder, "--array-backends=numpy", "--array-passes=2", "-k", "ends")
    assert done.returncode == status
    assert len(table(folder)) >= 1


def test_tests_of_one_name_in_two_classes_or_files_are_rows_of_their_own(folder):
    add(
        folder,
        """
    class TestFast:
        def test_one(self, array_benchmark):
            array_benchmark(lambda x: x, rows(3, 3), compiled=False)

    class TestSlow:
        def test_one(self, array_benchmark):
            array_benchmark(lambda x: x @ x, rows(30, 30), compiled=False)
    """,
    )
    (folder / "test_other.py").write_text((folder / "test_mine.py").read_text())
    assert run(folder, "-k", "one or softmax", backend="numpy").returncode == 0
    names = ["TestFast.one", "TestSlow.one", "softmax"]
    assert sorted(table(folder)["workload"]) == sorted(
        f"{file}:{name}" for file in ("test_mine", "test_other") for name in names
    )


def test_a_number_of_passes_that_is_none_is_one_sentence(folder):
    done = run(folder, "--array-backends=numpy", "--array-passes=0")
    assert done.returncode == 4
    assert "argument --array-passes: 0 is not a whole number of 1 or more" in done.stderr


@JAX
def test_a_forgotten_wait_makes_nothing_faster(folder):
    """XLA's call returns long before its product is there; what is measured is the product."""
    add(
        folder,
        """
    def test_waits(array_benchmark, benchmark, backend):
        import time
        big = backend.asarray(rows(2000, 2000))
        started = time.perf_counter()
        backend.synchronize(big @ big)
        started = time.perf_counter()
        backend.synchronize(big @ big)
        waited = time.perf_counter() - started
        array_benchmark(lambda x: x @ x, rows(2000, 2000))
        assert benchmark.stats.stats.min > 0.2 * waited
    """,
    )
    done = run(folder, "-k", "waits and eager", backend="jax")
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_compiled_form_can_be_left_out(folder):
    add(folder, "def test_eager(array_benchmark):\n    array_benchmark(lambda x: x, rows(3, 3), compiled=False)\n")
    done = run(folder, "-k", "test_eager", backend="numpy")
    assert done.returncode == 0
    assert table(folder)["workload"].tolist() == ["eager"]


@pytest.mark.parametrize(
    ("arguments", "backend", "sentence"),
    [
        ([], "no_such", "ARRAY_BACKEND=no_such: there is no backend of that name. Usable here: numpy:cpu"),
        ([], "strict", "strict is for tests only: its times mean nothing"),
        (["--array-backends=no_such"], None, "backend 'no_such': there is no backend of that name"),
    ],
)
def test_a_backend_that_cannot_be_used_is_one_sentence(arguments, backend, sentence, folder):
    done = run(folder, *arguments, backend=backend)
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert f"ERROR: {sentence}" in done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    assert not list(folder.glob("results/*"))


def test_results_that_cannot_be_written_are_one_sentence_before_anything_is_measured(folder):
    (folder / "results").write_text("in the way")
    done = run(folder)
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert "results is a file, not a folder" in done.stderr
    assert "passed" not in done.stdout


@pytest.mark.skipif(importlib.util.find_spec("xdist") is None, reason="pytest-xdist is not here")
def test_tests_that_run_at_once_are_refused(folder):
    (folder / "pytest.ini").unlink()  # pytest-benchmark warns of the same
    done = run(folder, "-n", "2")
    assert done.returncode == 1
    assert "times would lie: leave out -n of pytest-xdist" in done.stdout
    assert "1 passed" in done.stdout
    together = run(folder, "-n", "2", "--array-backends=all")
    assert together.returncode == pytest.ExitCode.USAGE_ERROR
    assert "leave out -n" in together.stderr


def test_a_session_that_does_not_measure_hears_nothing_of_the_plugin(folder):
    (folder / "test_mine.py").write_text(
        "import sys\n\n"
        "def test_silence():\n"
        "    assert 'bench.plugin' in sys.modules\n"
        "    assert not {'backends', 'numpy', 'pandas'} & set(sys.modules)\n"
    )
    done = run(folder, backend="no_such")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "arraybench" not in done.stdout
    assert not (folder / "results").exists()
