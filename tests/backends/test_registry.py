"""Which backend `get` gives, and what it says when it gives none."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import backends
from backends import registry

ROOT = Path(__file__).parents[2]
UNUSABLE = [found.name for found in backends.status() if not found.usable]
needs_strict = pytest.mark.skipif("strict" in UNUSABLE, reason="array-api-strict is not installed")
JAX = next(found for found in backends.status() if found.name == "jax")
jax_on_cpu = pytest.mark.skipif(JAX.devices != ("cpu",), reason="jax cannot be used here, or not on a CPU alone")
pytestmark = pytest.mark.usefixtures("registry_of_its_own")

# The one asked for


def test_without_a_name_numpy_is_the_backend():
    assert backends.get().spec == "numpy:cpu"


@pytest.mark.parametrize("unset", ["", "  "])
def test_an_empty_variable_is_as_none(monkeypatch, unset):
    monkeypatch.setenv("ARRAY_BACKEND", unset)
    assert backends.get().spec == "numpy:cpu"


@needs_strict
def test_without_a_name_the_variable_decides(monkeypatch):
    monkeypatch.setenv("ARRAY_BACKEND", "strict:device2")
    assert backends.get().spec == "strict:device2"


@needs_strict
def test_a_name_outweighs_the_variable(monkeypatch):
    monkeypatch.setenv("ARRAY_BACKEND", "numpy")
    assert backends.get("strict").spec == "strict:cpu"


def test_a_backend_is_one_however_it_is_asked_for():
    assert backends.get("numpy") is backends.get() is backends.get("numpy:cpu")


def test_a_backend_is_given_back_as_it_is():
    backend = backends.get("numpy")
    assert backends.get(backend) is backend


def test_one_name_gives_one_backend():
    assert backends.get("numpy") is backends.get("numpy")


FORMS = [
    ("numpy", "numpy:cpu", ()),
    ("numpy:cpu", "numpy:cpu", ()),
    ("numpy:0", "numpy:cpu", ()),
    ("numpy:cpu:0", "numpy:cpu", ()),
    (" NumPy:CPU ", "numpy:cpu", ()),
    ("strict", "strict:cpu", needs_strict),
    ("strict:device1", "strict:device1", needs_strict),
    ("jax:cpu", "jax:cpu", jax_on_cpu),
    ("jax:0", "jax:cpu", jax_on_cpu),
    ("JAX", "jax:cpu", jax_on_cpu),
]


@pytest.mark.parametrize(("name", "spec"), [pytest.param(name, spec, marks=m) for name, spec, m in FORMS])
def test_a_device_is_named_in_full_by_kind_or_by_number(name, spec):
    assert backends.get(name).spec == spec


def test_a_spec_gives_the_same_backend_again(backend):
    again = backends.get(backend.spec)
    assert (type(again), again.device, repr(again)) == (type(backend), backend.device, f"<Backend {backend.spec}>")


@pytest.mark.parametrize("index", [0, 1])
def test_gpus_are_numbered(monkeypatch, index):
    found = backends.Status("numpy", True, "1", ("gpu:0", "gpu:1", "cpu"), True, None)
    asked = [f"{index}", f"gpu:{index}"] + ["gpu", ""] * (index == 0)
    assert {registry._match(device, found, "") for device in asked} == {f"gpu:{index}"}
    assert registry._match("cpu", found, "") == "cpu"


# The one that is not there

WRONG = {
    "torhc": "there is no backend of that name",
    "": "there is no backend of that name",
    "numpy:gpu": "numpy has no device 'gpu' here",
    "numpy:1": "numpy has no device '1' here",
    "numpy:cpu:1": "numpy has no device 'cpu:1' here",
}


@pytest.mark.parametrize("name", WRONG)
def test_a_name_that_is_not_usable_is_an_error_that_says_why_and_what_is(name):
    with pytest.raises(backends.BackendError, match=rf"^backend '{name}': {WRONG[name]}.*\. Usable here: numpy:cpu"):
        backends.get(name)


@needs_strict
def test_a_strict_device_that_does_not_exist_is_an_error_and_strict_is_not_offered():
    with pytest.raises(backends.BackendError, match="strict has no device 'device7' here") as caught:
        backends.get("strict:device7")
    assert "strict:cpu" not in str(caught.value)


@pytest.mark.skipif("cupy" not in UNUSABLE, reason="cupy can be used here")
def test_cupy_without_a_gpu_is_an_error_that_says_so():
    with pytest.raises(backends.BackendError, match=r"^backend 'cupy': .*cupy .*\. Usable here: numpy:cpu"):
        backends.get("cupy")


@pytest.mark.parametrize("name", sorted(WRONG.keys() - {""}))
def test_a_variable_that_is_not_usable_is_named_with_its_value(monkeypatch, name):
    monkeypatch.setenv("ARRAY_BACKEND", name)
    with pytest.raises(backends.BackendError, match=rf"^ARRAY_BACKEND={name}: {WRONG[name]}.*Usable here: numpy:cpu"):
        backends.get()


def test_a_backend_error_is_an_error_of_this_project_and_a_value_error():
    assert issubclass(backends.BackendError, (backends.ArraybenchError, ValueError))
    assert issubclass(backends.ArraybenchError, Exception)


# In a program of its own


def python(*arguments: str, backend: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"ARRAY_BACKEND": backend}
    return subprocess.run([sys.executable, *arguments], cwd=ROOT, env=environment, capture_output=True, text=True)


@pytest.mark.parametrize("program", [("-c", "import backends; backends.get()"), ("-m", "backends")])
@pytest.mark.parametrize("name", ["torhc", "numpy:gpu"])
def test_a_program_ends_with_one_line_and_no_traceback_when_the_variable_is_wrong(program, name):
    ended = python(*program, backend=name)
    assert ended.returncode != 0
    (line,) = ended.stderr.splitlines()
    assert line.startswith(f"ARRAY_BACKEND={name}: ")
    assert "Traceback" not in ended.stdout


CAUGHT = "import backends\ntry: backends.get()\nexcept backends.BackendError: pass\n"


@pytest.mark.parametrize("source", ["1 / 0", CAUGHT + "1 / 0", CAUGHT * 2 + "1 / 0"])
def test_another_error_keeps_its_traceback(source):
    ended = python("-c", source, backend="torhc")
    assert ended.stderr.startswith("Traceback")
    assert ended.stderr.endswith("ZeroDivisionError: division by zero\n")


def test_a_wrong_name_in_the_code_keeps_its_traceback():
    ended = python("-c", "import backends; backends.get('torhc')", backend="numpy")
    assert ended.stderr.startswith("Traceback")


def test_python_m_backends_lists_every_backend_and_the_one_in_use():
    ended = python("-m", "backends", backend="numpy")
    assert (ended.returncode, ended.stderr) == (0, "")
    assert all(found.name in ended.stdout for found in backends.status())
    assert ended.stdout.endswith("In use: numpy:cpu\n")
