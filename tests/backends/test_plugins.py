"""The list of backends, and those that other packages add to it."""

from __future__ import annotations

import importlib.metadata

import array_api_compat.numpy as compat
import numpy as np
import pytest

import backends
from backends.base import Backend

pytestmark = pytest.mark.usefixtures("registry_of_its_own")


def test_status_tells_of_every_backend_and_its_reason_or_its_devices():
    found = {status.name: status for status in backends.status()}
    assert found.keys() >= {"numpy", "cupy", "jax", "strict"}
    for status in found.values():
        assert status.usable == bool(status.version) == bool(status.devices) == (status.reason is None)
    assert found["numpy"] == backends.Status("numpy", True, np.__version__, ("cpu",), True, None)
    assert [name for name, status in found.items() if not status.timed] == ["strict"] * found["strict"].usable


class Twin(Backend):
    """The smallest backend that another package could bring."""

    name = "twin"
    xp = compat

    @classmethod
    def devices(cls):
        return ("left", "right")

    @classmethod
    def version(cls):
        return "2.0"

    def __init__(self, device):
        self.device = device

    def asarray(self, host, dtype=None):
        return np.asarray(host, dtype=dtype)

    def to_numpy(self, array):
        return array

    def owns(self, array):
        return isinstance(array, np.ndarray)


class Lame(Twin):
    @classmethod
    def why_not(cls, device):
        return f"the {device} one is broken"


class Broken(Twin):
    @classmethod
    def devices(cls):
        raise RuntimeError("no left\nand no right")


@pytest.fixture
def another_package(monkeypatch):
    """Have an installed package declare backends: `declare(name="module:class")`."""

    def declare(**declared):
        entries = [importlib.metadata.EntryPoint(name, value, "array_backends") for name, value in declared.items()]
        chosen = {"array_backends": importlib.metadata.EntryPoints(entries)}
        monkeypatch.setattr(importlib.metadata, "entry_points", lambda *, group: chosen[group])

    return declare


def test_another_package_adds_a_backend(another_package):
    another_package(twin=f"{__name__}:Twin")
    backend = backends.get("twin:right")
    assert (type(backend), backend.spec) == (Twin, "twin:right")
    assert backends.Status("twin", True, "2.0", ("left", "right"), True, None) in backends.status()
    assert backend.fold(lambda s, b: (s + b[0], (s,)), 1.0, (np.arange(3.0),))[0] == 4.0


def test_another_package_is_offered_when_a_name_is_wrong(another_package):
    another_package(twin=f"{__name__}:Twin")
    with pytest.raises(backends.BackendError, match=r"Usable here: .*twin:left, twin:right"):
        backends.get("twim")


def test_a_device_that_is_not_there_is_refused_with_the_reason_where_the_library_says_it(another_package):
    another_package(twin=f"{__name__}:Twin", lame=f"{__name__}:Lame")
    with pytest.raises(backends.BackendError, match=r"twin has no device 'third' here\. Usable here: "):
        backends.get("twin:third")
    with pytest.raises(backends.BackendError, match=r"no device 'third' here: the third one is broken\. Usable here: "):
        backends.get("lame:third")


def test_another_package_cannot_take_over_a_built_in_name(another_package):
    another_package(numpy=f"{__name__}:Twin")
    assert type(backends.get("numpy")).__module__ == "backends.numpy"
    assert [found.name for found in backends.status()].count("numpy") == 1


BROKEN = {
    "does_not_exist_anywhere:Backend": "ModuleNotFoundError: No module named 'does_not_exist_anywhere'",
    f"{__name__}:Missing": "AttributeError: .* 'Missing'",
    f"{__name__}:Broken": "RuntimeError: no left",
}


@pytest.mark.parametrize("value", BROKEN)
def test_a_backend_that_cannot_be_loaded_is_listed_with_the_reason_and_hides_no_other(another_package, value):
    another_package(broken=value)
    with pytest.raises(backends.BackendError, match=rf"^backend 'broken': broken cannot be loaded: {BROKEN[value]}"):
        backends.get("broken")
    found = {status.name: status for status in backends.status()}
    assert not found["broken"].usable
    assert "\n" not in found["broken"].reason
    assert found["numpy"].usable


class Unfinished(Backend):
    devices, version = Twin.devices, Twin.version


def test_a_class_that_lacks_members_is_an_error_that_names_them(another_package):
    another_package(unfinished=f"{__name__}:Unfinished")
    with pytest.raises(backends.BackendError, match=r"unfinished cannot be opened on left: TypeError: .*asarray.*owns"):
        backends.get("unfinished")
