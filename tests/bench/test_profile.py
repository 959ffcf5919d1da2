"""Where a call spends its time: by the calls of NumPy's recording, by XLA's instructions, or said not to be told."""

from __future__ import annotations

import json

import numpy as np
import pytest

import backends
from backends import ArraybenchError
from backends.base import Spent, spent
from bench import profile, workloads
from bench.cases import Case
from bench.cli import main
from bench.networks import COFFEE

EPOCH = Case("epoch", COFFEE.name, "fold", 32)
STEPS = 6250


def test_parts_are_added_up_and_the_longest_comes_first():
    parts = [Spent("add", 1, 1.0), Spent("dot", 1, 5.0), Spent("add", 3, 2.0)]
    assert spent(parts) == [Spent("dot", 1, 5.0), Spent("add", 4, 3.0)]
    assert spent([]) is None


def test_an_epoch_on_numpy_is_the_calls_of_its_steps():
    found = profile.profile(EPOCH, backends.get("numpy"))
    times = {part.what: part.times for part in found.parts}
    products = ["dot (32, 2) (2, 3) (32, 3)", "dot (32, 3) (3, 1) (32, 1)", "dot (2, 32) (32, 3) (2, 3)"]
    assert [times[what] for what in products] == [STEPS] * 3
    assert all(count % STEPS == 0 for count in times.values())
    assert times["minimum (32, 3) (32, 3)"] == STEPS  # of the sigmoid
    seconds = [part.seconds for part in found.parts]
    assert seconds == sorted(seconds, reverse=True)
    assert found.together == pytest.approx(sum(seconds))


@pytest.mark.parametrize(
    ("case", "reason"),
    [
        (Case("matmul", "square-32", "matmul", 32, tf32=True), "numpy has no TF32"),
        (Case("forward", COFFEE.name, "compiled", 32), "numpy has no compiler"),
    ],
)
def test_a_case_that_cannot_be_had_is_not_profiled_as_another(case, reason):
    with pytest.raises(ArraybenchError, match=f"{case.id} on numpy:cpu: {reason}"):
        profile.profile(case, backends.get("numpy"))


def test_what_is_watched_gives_the_same_numbers():
    numpy = backends.get("numpy")
    problem = workloads.build(EPOCH, numpy, 32, epoch_rows=640)
    arguments, results = problem.arguments(numpy), []
    expected = problem.outputs(problem.function(*arguments), numpy.to_numpy)
    numpy.profile(lambda: results.append(problem.function(*arguments)))
    for found, other in zip(problem.outputs(results[0], numpy.to_numpy), expected, strict=True):
        np.testing.assert_array_equal(found, other)


def test_jax_tells_xlas_instructions():
    jax = pytest.importorskip("jax", reason="JAX is not installed")
    if not hasattr(jax.profiler, "ProfileData"):
        pytest.skip("this JAX cannot read its traces")
    backend = backends.get("jax")
    problem = workloads.build(EPOCH, backend, 32, epoch_rows=640)
    arguments = problem.arguments(backend)
    backend.synchronize(problem.function(*arguments))
    found = backend.profile(problem.function, *arguments)
    assert all(part.times >= 1 and part.seconds >= 0.0 for part in found)
    assert not any(part.what.startswith("while") for part in found)  # what runs in a loop is told, not the loop


def test_a_case_that_cannot_be_told_is_one_sentence(capsys):
    assert main(["profile", "matmul/square-32/matmul", "--backend", "numpy"]) == 2
    printed = capsys.readouterr()
    assert printed.err == (
        "arraybench: matmul/square-32/matmul on numpy:cpu: what it spends its time on cannot be told there\n"
    )


def test_what_cannot_be_told_does_not_cost_what_can(capsys, monkeypatch):
    monkeypatch.setattr(profile, "CALLS", 1)
    assert main(["profile", "epoch/coffee*/*", "--backend", "numpy", "--json"]) == 0
    told = capsys.readouterr()
    assert [own["case"] for own in json.loads(told.out)["profiles"]] == [EPOCH.id]
    assert told.err == f"{EPOCH.group}/hand_written on numpy:cpu: what it spends its time on cannot be told there\n"


def test_an_unknown_case_is_one_sentence(capsys):
    assert main(["profile", "epoch/tea*", "--backend", "numpy"]) == 2
    assert "epoch/tea*: no case on numpy:cpu has such a name; they are like " in capsys.readouterr().err


def test_the_screen_and_the_json_have_the_same_parts(capsys):
    assert main(["profile", EPOCH.id, "--backend", "numpy", "--parts", "2"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith(f"{EPOCH.id} on numpy:cpu: ")
    assert [line.split()[0] for line in (lines[1], lines[5])] == ["what", "all,"]
    assert " others " in lines[4]
    assert main(["profile", EPOCH.id, "--backend", "numpy", "--json"]) == 0
    (told,) = json.loads(capsys.readouterr().out)["profiles"]
    assert (told["case"], told["backend"]) == (EPOCH.id, "numpy:cpu")
    assert sum(part["times"] for part in told["parts"]) % STEPS == 0
    assert told["together_seconds"] == pytest.approx(sum(part["seconds"] for part in told["parts"]))
