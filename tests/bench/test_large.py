"""Networks that outgrow every cache: what an epoch goes through, what it must move, and how near to the roof that is."""

from __future__ import annotations

import numpy as np
import pytest

import backends
from bench import gate, workloads
from bench.cases import EPOCHS, LARGE, SUITES, Case
from bench.networks import COFFEE, FACE, NETWORKS
from bench.roof import Roofs
from core.optimizers import SGD, Adam


def test_the_suite_has_a_million_inputs_and_layers_as_wide_as_a_product_of_the_roof():
    networks = {case.network for case in SUITES["large"]() if case.workload == "epoch"}
    assert {FACE.name, "wide-784-8192-8192-10"} < networks <= NETWORKS.keys()
    assert (FACE.sizes, FACE.parameters) == ((1_000_000, 25, 15, 1), 25_000_431)
    assert all(EPOCHS[network.name] % batch_size == 0 for network, batch_size in LARGE.items())


def test_an_epoch_of_more_than_is_held_goes_through_it_again(backend, monkeypatch):
    monkeypatch.setattr(workloads, "HELD_NUMBERS", 2 * 140)
    case = Case("epoch", COFFEE.name, "fold", 32)
    problem = workloads.build(case, backend, 32, epoch_rows=640)
    _, x, y, order = problem.inputs
    assert (len(x), len(y), order.shape) == (128, 128, (20, 32))
    assert np.array_equal(np.bincount(order.ravel()), [5] * 128)
    assert gate.examine(case, problem, backend) <= gate.EPOCH_TOLERANCE["float32"]


@pytest.mark.parametrize(
    ("network", "optimizer", "numbers"),
    [
        (COFFEE, Adam(), 64 * 3),  # all else stays in a cache
        (NETWORKS["wide-784-8192-8192-10"], Adam(), 64 * 785 + 2 * (1 + 6) * 73_629_706),
        (FACE, Adam(), 64 * 1_000_001 + 64 * 1_000_000 + 2 * (1 + 6) * 25_000_431),
        (FACE, SGD(), 64 * 1_000_001 + 64 * 1_000_000 + 2 * (1 + 2) * 25_000_431),
    ],
)
def test_what_an_epoch_must_move(network, optimizer, numbers):
    assert workloads._moved_by_an_epoch(network, 64, 2, optimizer) == numbers


def test_a_row_tells_what_of_the_roof_it_reaches():
    roofs = Roofs({("cpu", "float32"): 100e9}, {"cpu": 10e9})
    assert roofs.bound("cpu", "float32", int(50e9), int(1e9), 1.0) == ("compute", 0.5)
    assert roofs.bound("cpu", "float32", int(1e9), int(8e9), 1.0) == ("memory", 0.8)
    assert roofs.bound("cpu", "float32", int(1e9), int(1e9), 1.0) == ("overhead", 0.1)


def test_numpy_folds_a_batch_of_many_inputs_by_a_recording(monkeypatch):
    numpy = backends.get("numpy")
    case = Case("epoch", COFFEE.name, "fold", 32)
    monkeypatch.setattr("backends.base.GATHERED_NUMBERS", 0)
    problem = workloads.build(case, numpy, 32, epoch_rows=640)
    monkeypatch.setattr(backends.Backend, "fold", None)  # the loop, for what cannot be recorded
    assert gate.examine(case, problem, numpy) <= gate.EPOCH_TOLERANCE["float32"]
