"""The conformance suite passes what conforms and finds what does not, in packages that are really installed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import types
from pathlib import Path

import numpy as np
import pytest

import backends
from backends.base import Spent, leaves
from bench import cli, read_results
from bench.conform import devices, namespace, requirement
from bench.conform.suite import REQUIREMENTS
from bench.selftest.faults import with_functions, with_members
from bench.selftest.faults.library import rounded

ROOT = Path(__file__).parents[2]
PACKAGES = ROOT / "tests" / "third_party"
NUMPY = backends.get("numpy")
BY_NAME = {own.name: own for own in REQUIREMENTS}

# A package of its own


@pytest.fixture(scope="session")
def installed(tmp_path_factory):
    """A folder with the template and the faulty backends, put there by pip."""
    pytest.importorskip("flit_core", reason="flit_core, which builds the packages, is not installed (arraybench[dev])")
    folder = tmp_path_factory.mktemp("site-packages")
    packages = [str(PACKAGES / name) for name in ("arraybench-later", "arraybench-faulty")]
    options = [
        "--no-index",
        "--no-deps",
        "--no-build-isolation",
        "--disable-pip-version-check",
        "--target",
        str(folder),
    ]
    done = subprocess.run([sys.executable, "-m", "pip", "install", *options, *packages], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return folder


def arraybench(folder, *arguments, module="bench"):
    environment = os.environ | {"PYTHONPATH": str(folder)}
    command = [sys.executable, "-m", module, *arguments]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)


def results(printed):
    """Return the names of the requirements by what came of them."""
    found = {"passed": set(), "failed": set(), "not tried": set()}
    for own in json.loads(printed)["requirements"]:
        found[own["result"]].add(own["name"])
    return found


def test_the_template_meets_every_requirement(installed):
    done = arraybench(installed, "conform", "later:cpu:1", "--json")
    found = results(done.stdout)
    not_tried = {"compiled cases agree", "a compiled function takes what is on the host"}
    assert (done.returncode, found["failed"], found["not tried"]) == (0, set(), not_tried), done.stderr


def test_the_template_is_measured_like_any_backend(installed, tmp_path):
    options = ["--backends", "later", "--only", "matmul/square-32/*", "--time", "0", "--results", str(tmp_path)]
    done = arraybench(installed, "run", *options, "--name", "try", module="tests.bench.no_roof")
    assert done.returncode == 0, done.stdout + done.stderr
    frame = read_results(tmp_path / "try")
    assert frame.loc[frame["backend"] == "later", "status"].tolist() == ["ok"]


FAULTY = {
    "never-waits": {"synchronize waits for the work", "ready tells what is not there yet"},
    "returns-early": {"synchronize waits for the work", "what was waited for is ready"},
    "always-ready": {"ready tells what is not there yet"},
    "upcasts": {"floats keep their width", "arrays come back as they went", "one seed gives one curve"},
    "mixes-devices": {"arrays of two devices do not mix"},
    "compiles-once": {"a compiled function gives the same", "a fold can be compiled"},
    "loses-a-batch": {"a fold is a loop", "an epoch agrees", "one seed gives one curve"},
    "shares-what-it-gives": {"the host cannot reach through a fetched array"},
    "shares-what-it-takes": {"the host cannot reach a placed array"},
}


CONFORM_EACH = """
import contextlib, io, json, sys
from bench.cli import main

def conform(name):
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        return main(["conform", name, "--json"]), printed.getvalue()

print(json.dumps({name: conform(name) for name in sys.argv[1:]}))
"""


@pytest.fixture(scope="module")
def conformed(installed):
    """The exit status and the output of `arraybench conform` on each faulty backend, all in one process: it is slow to start."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join((str(installed), os.environ.get("PYTHONPATH", "")))}
    command = [sys.executable, "-c", CONFORM_EACH, *FAULTY]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("name", FAULTY)
def test_a_backend_that_breaks_a_promise_is_found_by_its_name(conformed, name):
    status, printed = conformed[name]
    found = results(printed)
    assert status == 1
    assert found["failed"] >= FAULTY[name]
    if len(FAULTY[name]) == 1:
        assert found["failed"] == FAULTY[name]


@pytest.mark.parametrize(
    ("spec", "sentence"),
    [
        (
            "half-written",
            "half-written cannot be opened on cpu: TypeError: Can't instantiate abstract class HalfWritten",
        ),
        ("later:cpu:2", "later has no device 'cpu:2' here: there are 2 queues"),
    ],
)
def test_a_backend_that_cannot_be_opened_is_one_sentence(installed, spec, sentence):
    done = arraybench(installed, "conform", spec)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"arraybench: backend '{spec}': {sentence}")
    assert done.stderr.count("\n") == 1


# Every requirement can fail


def placing(place):
    """Return NumPy with another way of placing."""
    return with_members(NUMPY, asarray=lambda values, dtype=None: place(values, dtype))


class Odd(np.ndarray):
    """An array whose sign cannot be turned."""

    def __neg__(self):
        return self


def on_strict(place):
    """Return array-api-strict on a device of its own with another way of placing; `place` is given both devices."""
    here, elsewhere = (backends.get(f"strict:{name}") for name in ("device1", "cpu"))
    return with_members(here, asarray=lambda values, dtype=None: place(here, elsewhere, values, dtype))


def compiling(compiled):
    return with_members(NUMPY, compiles=True, compile=compiled)


def overwriting(function):
    def compiled(x):
        result = function(x)
        x[...] = 0.0
        return result

    return compiled


TF32 = {"matmul": lambda a, b: rounded(a, 11) @ rounded(b, 11)}

PLANTED = {
    "every member is there": lambda: with_members(NUMPY, compiles="no"),
    "devices are opened by name": lambda: with_members(NUMPY, devices=lambda: ("CPU",)),
    "a device that is not there is refused": lambda: with_members(NUMPY, why_not=lambda device: "two\nlines"),
    "it describes itself": lambda: with_members(NUMPY, describe=lambda: {"backend": "numpy"}),
    "peak memory is counted": lambda: with_members(NUMPY, peak_memory=lambda: 0),
    "arrays come back as they went": lambda: placing(lambda values, dtype: np.atleast_1d(np.asarray(values, dtype))),
    "any layout arrives": lambda: placing(lambda x, dtype: np.asarray(x).ravel("K").reshape(np.shape(x))),
    "a dtype that is named is taken": lambda: placing(lambda values, dtype: np.asarray(values)),
    "python values have numpys dtype": lambda: placing(lambda values, dtype: np.array(values, dtype or "float32")),
    "arrays land on the backends device": lambda: on_strict(
        lambda here, elsewhere, values, dtype: (elsewhere if dtype else here).asarray(values, dtype)
    ),
    "an array moves where it is asked to": lambda: on_strict(
        lambda here, elsewhere, values, dtype: values if here.owns(values) else here.asarray(values, dtype)
    ),
    "it owns its arrays and no others": lambda: with_members(NUMPY, owns=lambda array: True),
    "what core needs is there": lambda: with_members(NUMPY, xp=types.ModuleType("empty")),
    "arrays are the standards": lambda: placing(lambda values, dtype: np.asarray(values).tolist()),
    "operators are the standards": lambda: placing(lambda values, dtype: np.asarray(values, dtype).view(Odd)),
    "floats keep their width": lambda: with_functions(NUMPY, sum=lambda x, /, **k: np.sum(x, dtype="float64", **k)),
    "float64 is as precise as that": lambda: with_functions(
        NUMPY, matmul=lambda a, b: np.matmul(a.astype("float32"), b.astype("float32")).astype(a.dtype)
    ),
    "float32 products are float32": lambda: with_functions(NUMPY, **TF32),
    "class numbers stay whole": lambda: placing(lambda x, d: np.asarray(x, "float32" if np.size(x) == 4 else d)),
    "no result is another librarys": lambda: with_functions(NUMPY, add=lambda a, b: b),
    "synchronize gives the tree back": lambda: with_members(NUMPY, synchronize=lambda tree: list(leaves(tree))),
    "a fold takes rows in an order": lambda: with_members(
        NUMPY, fold=lambda step, state, over, data=(): NUMPY.fold(step, state, (over[0] - 1, *over[1:]), data)
    ),
    "compile tells whether it compiles": lambda: with_members(NUMPY, compiles=True),
    "a compiled function takes what is on the host": lambda: with_members(
        NUMPY, takes_host_arrays=True, compiles=True, compile=lambda f: lambda x, w: f(np.ascontiguousarray(x[::-1]), w)
    ),
    "a compiled function leaves its arguments alone": lambda: compiling(overwriting),
    "a profile is told or not": lambda: with_members(
        NUMPY, profile=lambda function, x: [Spent("add", 1, 1.0), Spent("multiply", 1, 2.0)]
    ),
    "launches are told or not": lambda: with_members(NUMPY, launches=lambda function, x: x.shape[0]),
    "what was waited for is ready": lambda: with_members(NUMPY, ready=lambda tree: False),
    "what is fetched is there": lambda: with_members(NUMPY, to_numpy=np.zeros_like),
    "forward propagation agrees": lambda: with_functions(NUMPY, **TF32),
    "gradients agree": lambda: with_functions(NUMPY, **TF32),
    "optimizer steps agree": lambda: with_functions(NUMPY, sqrt=lambda x: 1.01 * np.sqrt(x)),
    "compiled cases agree": lambda: compiling(lambda f: lambda *given: f(*given[:-1], given[-1] * 1.01)),
}


def test_there_is_a_fault_for_every_requirement():
    assert BY_NAME.keys() == PLANTED.keys() | set().union(*FAULTY.values())
    assert len(BY_NAME) == len(REQUIREMENTS)


@pytest.mark.parametrize("name", PLANTED)
def test_a_requirement_finds_its_fault(name):
    if name in ("arrays land on the backends device", "an array moves where it is asked to"):
        pytest.importorskip("array_api_strict")
    outcome = BY_NAME[name].on(PLANTED[name]())
    assert outcome.result == "failed"
    assert outcome.found


# What comes of trying


@requirement.requirement
def a_promise(backend):
    """It is kept,
    on every device.
    """
    raise ZeroDivisionError("by chance\nand more")


def test_an_array_that_asks_numpy_for_results_of_its_own_is_no_fault_of_numpys(monkeypatch):
    class Tensor:
        def __array__(self, dtype=None, copy=None):
            return np.array([1.0, 2.0], dtype)

        def __array_wrap__(self, array, context=None, return_scalar=False):
            return self

    assert isinstance(np.add([1.0, 2.0], Tensor()), Tensor)
    monkeypatch.setattr(devices, "foreign_arrays", lambda backend: [Tensor()])
    assert devices.no_result_is_another_librarys.on(NUMPY).result == "passed"


def test_what_breaks_down_is_not_met_and_costs_no_other_requirement():
    assert (a_promise.name, a_promise.expected) == ("a promise", "It is kept, on every device.")
    assert a_promise.on(NUMPY) == requirement.Outcome("failed", "it broke down: ZeroDivisionError: by chance")


def test_the_functions_that_core_needs_are_read_from_its_source():
    assert {"matmul", "sum", "take", "reshape", "logaddexp", "unstack"} <= set(namespace.needed())


# The command


@pytest.fixture
def few(monkeypatch):
    """Leave the command three requirements, the second of which no backend meets and the third of which is not tried."""
    first, skipped = BY_NAME["it describes itself"], BY_NAME["compiled cases agree"]
    monkeypatch.setattr("bench.conform.command.REQUIREMENTS", (first, a_promise, skipped))


def test_the_command_prints_what_was_expected_and_what_was_found(few, capsys):
    assert cli.main(["conform", "numpy"]) == 1
    printed = capsys.readouterr().out
    assert "   passed  it describes itself\n" in printed
    assert "   failed  a promise\n           It is kept, on every device.\n           Found: it broke down" in printed
    assert "not tried  compiled cases agree\n" in printed
    assert "1 requirements met, 1 not met, 1 not tried.\nNot met: a promise.\n" in printed


def test_the_command_prints_json(few, capsys):
    assert cli.main(["conform", "numpy", "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert (found["backend"], found["conforms"]) == ("numpy:cpu", False)
    assert found["requirements"][1] == {
        "group": "test_conform",
        "name": "a promise",
        "expected": "It is kept, on every device.",
        "result": "failed",
        "found": "it broke down: ZeroDivisionError: by chance",
    }


def test_a_backend_that_there_is_not_is_one_sentence(capsys):
    assert cli.main(["conform", "nonsense"]) == 2
    assert capsys.readouterr().err.startswith(
        "arraybench: backend 'nonsense': there is no backend of that name. Usable"
    )
