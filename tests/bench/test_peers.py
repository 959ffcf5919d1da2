"""The peers: in processes of their own, as each wants its own environment, and the gate for those that are installed."""

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import backends
from bench import cli, driver, peers, read_results, workloads
from bench.cases import SUITES, Case, peer_cases
from bench.journal import Journal, Plan
from bench.peers import METHODS, PEERS, Peer, is_peer, open_peer
from bench.preparation import UnmeasuredError, prepare
from bench.processes import WorkerProcess
from bench.selftest import sabotage

ROOT = Path(__file__).parents[2]
EPOCH_LENGTHS = {"coffee-2-3-1": 640, "wide-784-512-512-10": 1280}
ROW = Case("row", "coffee-2-3-1", "predict", 1)


@pytest.fixture(autouse=True)
def _environment():
    """Leave the environment as it was: a peer that is opened here sets its own."""
    before = dict(os.environ)
    yield
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture
def missing(tmp_path, monkeypatch):
    """Take Optax and Keras from every process that is started."""
    for name in ("optax", "keras"):
        (tmp_path / f"{name}.py").write_text(f"raise ModuleNotFoundError('No module', name='{name}.core')\n")
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}{ROOT}")


# The registry and the suites


def test_a_peers_spec_is_told_from_a_backends():
    assert is_peer("keras-jax")
    assert is_peer("keras-jax:cpu")
    assert not is_peer("jax:cpu")
    assert peers.specs() == tuple(f"{name}:cpu" for name in PEERS)
    assert not {found.name for found in backends.status()} & set(PEERS)


def test_every_peer_is_a_class_in_a_file_of_bench_peers():
    for path in PEERS.values():
        module, _, attribute = path.partition(":")
        source = (ROOT / f"{module.replace('.', '/')}.py").read_text()
        assert f"class {attribute}(" in source


def test_a_peer_that_is_not_installed_says_what_to_type(monkeypatch):
    monkeypatch.setitem(sys.modules, "optax", None)
    monkeypatch.delitem(sys.modules, "bench.peers.optax", raising=False)
    peer = open_peer("optax:cpu")
    assert peer.spec == "optax:cpu"
    for method in (peer.fit, peer.predict, peer.call):
        with pytest.raises(
            backends.BackendError, match=r"^optax is not installed \(pip install 'arraybench\[peers\]'\)$"
        ):
            method(None, None, None) if method == peer.fit else method(None, None)


def test_a_peer_that_is_broken_says_how(monkeypatch):
    monkeypatch.setitem(PEERS, "broken", "bench.peers.sklearn:NoSuchClass")
    with pytest.raises(backends.BackendError, match=r"broken cannot be loaded: AttributeError: .* has no attribute"):
        open_peer("broken:cpu").call(None, None)


def test_the_ladder_is_what_is_measured_unless_peers_are_asked_for():
    assert next(iter(SUITES)) == "ladder"
    assert not {case.implementation for case in SUITES["ladder"]()} & set(METHODS)


def test_peers_have_what_their_libraries_have_a_word_for_and_backends_the_rest():
    cases = peer_cases()
    assert len({case.id for case in cases}) == len(cases)
    assert {case.implementation for case in cases if case.on("torch-eager:cpu")} == set(METHODS)
    on_numpy = {(case.workload, case.implementation) for case in cases if case.on("numpy:cpu")}
    assert on_numpy == {
        *(("epoch", implementation) for implementation in ("hand_written", "fold")),
        *((workload, own) for workload in ("predict", "row") for own in ("hand_written", "predict", "call")),
    }


def test_an_epoch_is_as_long_as_its_network_wants():
    lengths = {case.network: case.examples(case.batch_size) // case.batch_size for case in peer_cases()[:6]}
    assert lengths == {"coffee-2-3-1": 6250, "wide-784-512-512-10": 100}


# The gate


OPENED = """
import json, sys
from backends import BackendError
from bench import peers, workloads
from bench.cases import peer_cases
from bench.selftest import sabotage

lengths = json.loads(sys.argv[2])
peer = peers.open_peer(sys.argv[1])
for case in peer_cases():
    if case.on(peer.spec):
        try:
            problem = workloads.build(case, peer, min(case.batch_size, 100), epoch_rows=lengths[case.network])
        except BackendError as error:
            print(json.dumps([case.id, "unavailable", str(error)]))
        else:
            print(json.dumps([case.id, "judged", sabotage.judge(case, problem, peer).refusal]))
"""


@pytest.mark.parametrize("name", PEERS)
def test_every_peer_agrees_with_the_oracle_in_all_that_it_has(name):
    command = [sys.executable, "-c", OPENED, f"{name}:cpu", json.dumps(EPOCH_LENGTHS)]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    found = [json.loads(line) for line in ended.stdout.splitlines() if line.startswith("[")]
    if all(outcome == "unavailable" for _, outcome, _ in found):
        pytest.skip(found[0][2])
    assert {case: refusal for case, outcome, refusal in found if outcome == "judged" and refusal} == {}
    assert {reason for _, outcome, reason in found if outcome == "unavailable"} <= {
        f"{name} has no {method}" for method in METHODS
    }
    assert "epoch/coffee-2-3-1/fit" in [case for case, outcome, _ in found if outcome == "judged"]


@pytest.mark.parametrize(
    "case", [case for case in peer_cases() if case.implementation != "fit"], ids=lambda case: case.id
)
def test_what_peers_are_compared_with_agrees_with_the_oracle_on_every_backend(case, backend):
    if case.implementation == "hand_written" and backend.name != "numpy":
        pytest.skip("written by hand for NumPy alone")
    problem = workloads.build(case, backend, min(case.batch_size, 100), epoch_rows=EPOCH_LENGTHS[case.network])
    assert sabotage.judge(case, problem, backend).refusal is None


WRONG = {
    "a learning rate a twentieth too high": lambda fit, *given: fit(*given[:2], 1.05 * given[2]),
    "batches twice as large": lambda fit, *given: fit(given[0], 2 * given[1], given[2]),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_a_peer_that_trains_otherwise_is_refused(wrong, monkeypatch):
    peer = open_peer("scikit-learn:cpu")
    case, fit = Case("epoch", "coffee-2-3-1", "fit", 32), peer.fit
    monkeypatch.setattr(peer, "fit", lambda *given: WRONG[wrong](fit, *given))
    problem = workloads.build(case, peer, 32, epoch_rows=640)
    assert "differs from the float64 oracle" in sabotage.judge(case, problem, peer).refusal


def test_a_peer_that_goes_on_from_where_it_was_is_refused(monkeypatch):
    peer = open_peer("scikit-learn:cpu")
    case, fit = Case("epoch", "coffee-2-3-1", "fit", 32), peer.fit

    def going_on(*given):
        epoch, reached = fit(*given), []

        def run(weights, x, y):
            result = epoch(reached[-1] if reached else weights, x, y)
            reached.append(result[0])
            return result

        return run

    monkeypatch.setattr(peer, "fit", going_on)
    problem = workloads.build(case, peer, 32, epoch_rows=640)
    assert "differs from the float64 oracle" in sabotage.judge(case, problem, peer).refusal


# In a run


def test_what_a_peer_has_not_is_unavailable(monkeypatch):
    with pytest.raises(UnmeasuredError, match="scikit-learn has no call") as refused:
        prepare(dataclasses.replace(ROW, implementation="call"), open_peer("scikit-learn:cpu"), 1.0)
    assert refused.value.status == "unavailable"


def test_a_worker_opens_a_peer_as_it_opens_a_backend():
    worker = WorkerProcess("scikit-learn:cpu")
    try:
        request = {"do": "prepare", "key": "row", "case": dataclasses.asdict(ROW), "budget_s": 1.0}
        answer = worker.ask(request)
    finally:
        worker.stop()
    assert worker.greeting["describe"]["version"].startswith("sklearn ")
    assert answer["facts"]["oracle_error"] < 1e-5


@pytest.mark.usefixtures("_no_roof")
def test_a_missing_peer_costs_its_own_row_and_no_other(tmp_path, missing):
    plan = Plan((ROW,), ("scikit-learn:cpu", "keras-torch:cpu"), 1.0, 0.0, 0)
    there, gone = driver.measure(Journal.begin(tmp_path / "run", plan, {"machine_id": "m-1"}))
    assert (there.status, there.processes) == ("ok", 3)
    assert (gone.status, gone.reason) == ("unavailable", "keras is not installed (pip install 'arraybench[peers]')")


@pytest.mark.usefixtures("_no_roof")
def test_a_run_of_the_suite_tells_how_many_times_faster_ours_is(tmp_path, missing, capsys):
    chosen = ["--backends", "numpy,scikit-learn,optax", "--only", "row/*", "--time", "0"]
    assert cli.main(["run", "--suite", "peers", *chosen, "--results", str(tmp_path), "--name", "x"]) == 0
    table = read_results(tmp_path / "x").set_index(["backend", "implementation"])
    peer = table.loc["scikit-learn", "predict"]
    assert peer["speedup_of_numpy_ci_low"] < peer["speedup_of_numpy"] < peer["speedup_of_numpy_ci_high"]
    assert peer["speedup_of_numpy"] > 1
    assert (peer["verdict_of_numpy"] == "FASTER") == (peer["speedup_of_numpy_ci_low"] > 1)  # a busy machine may hide it
    assert table.loc["optax", "call"]["status"] == "unavailable"
    printed = capsys.readouterr().out
    assert "how many times faster is ours (call)?" in " ".join(printed.split())
    assert "optax: optax is not installed (pip install 'arraybench[peers]')" in " ".join(printed.split())
    assert "scikit-learn: " not in printed


def test_a_peer_belongs_to_its_suite(tmp_path, capsys):
    arguments = ["run", "--backends", "scikit-learn", "--results", str(tmp_path)]
    assert cli.main(arguments) == 2
    assert "there is no backend of that name" in capsys.readouterr().err


def test_a_peer_is_a_backend_on_the_host():
    peer = Peer("any")
    assert (peer.spec, peer.describe()["matmul_precision"]) == ("any:cpu", None)
    assert peer.owns(peer.asarray([1.0], "float32"))
