import pytest

import backends
from bench import roof
from bench.roof import Roofs

PROBES = [
    ("cpu", {"gflop_per_s": {"float32": 200.0, "float64": 100.0}, "gb_per_s": 20.0}),
    ("cpu", {"gflop_per_s": {"float32": 300.0, "float64": 90.0}, "gb_per_s": 10.0}),
    ("gpu:0", {"gflop_per_s": {"float32": 9e3, "float64": 5e3}, "gb_per_s": 2e3}),
]


def test_a_probe_finds_the_rates_of_a_backend(monkeypatch):
    monkeypatch.setattr(roof, "PRODUCT_SIZE", {"cpu": 256})
    monkeypatch.setattr(roof, "COPY_BYTES", {"cpu": 1 << 22})
    found = roof.probe(backends.get("numpy"))
    assert set(found["gflop_per_s"]) == {"float32", "float64"}
    assert all(rate > 0.01 for rate in (*found["gflop_per_s"].values(), found["gb_per_s"]))


def test_the_roof_is_the_fastest_library_on_that_kind_of_device():
    roofs = Roofs.of(PROBES)
    assert roofs.fraction("cpu", "float32", 150e9) == pytest.approx(0.5)
    assert roofs.fraction("cpu", "float64", 100e9) == pytest.approx(1.0)
    assert roofs.fraction("gpu:1", "float32", 9e12) == pytest.approx(1.0)
    assert roofs.fraction("cpu", "bfloat16", 1e9) is None


def test_a_case_that_beats_the_probe_is_the_roof():
    roofs = Roofs.of(PROBES)
    roofs.raise_to("cpu", "float32", 600e9)
    assert roofs.fraction("cpu", "float32", 150e9) == pytest.approx(0.25)


@pytest.mark.parametrize(
    ("flops", "moved", "seconds", "bound"),
    [
        (300e9, 1e9, 1.2, "compute"),  # a second of arithmetic, a twentieth of copying
        (3e9, 20e9, 1.2, "memory"),
        (300e9, 1e9, 3.1, "overhead"),
        (300e9, 1e9, 2.9, "compute"),
    ],
)
def test_what_binds_a_call_is_the_longer_of_its_least_times(flops, moved, seconds, bound):
    assert Roofs.of(PROBES).bound("cpu", "float32", int(flops), int(moved), seconds)[0] == bound


def test_without_a_probe_nothing_is_claimed():
    assert Roofs().bound("cpu", "float32", 1, 1, 1.0) == (None, None)
    assert Roofs().fraction("cpu", "float32", 1.0) is None
