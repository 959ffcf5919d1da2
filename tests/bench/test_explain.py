"""What `arraybench explain` makes of runs whose steps are planted, and of a real one."""

from __future__ import annotations

import json
import math
import sys
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from bench.cases import Case
from bench.cli import main
from bench.compare.changes import Tables, name
from bench.explain.report import sentences
from bench.explain.steps import STEPS, explain
from bench.measurement import Measurement
from bench.results import Run, sample_rows, summarise
from bench.table import ResultsError, write_results

NETWORK = "digits-64-25-15-10"
REAL = Path(__file__).parents[2] / "results" / "cpu-epyc-zen5-2-cores-2026-11-24"
CPU = {"version": "1", "matmul_precision": "float32", "threads": 2}
BACKENDS = {
    "numpy:cpu": CPU,
    "jax:cpu": CPU,
    "torch:cpu": CPU | {"threads": 1},
    "jax:gpu:0": CPU | {"matmul_precision": "tf32", "threads": None},
}
MACHINE = {"machine_id": "m-1", "backends": BACKENDS}
FACTS = {"flops": 1, "bytes": 1, "first_call_s": 0.1, "host_to_device_s": 0.0, "device_to_host_s": 0.0} | {
    "end_to_end_s": 1e-3,
    "result_dtype": "float32",
    "subnormals": 0,
}


def measured(implementation, spec, seconds, *, lucky=0.0, processes=range(5), workload="forward", dtype="float32"):
    """A case of which one process is slower than the others by `lucky`, and all drift together."""
    case = Case(workload, NETWORK if workload != "epoch" else "coffee-2-3-1", implementation, 400, dtype)
    own = {p: seconds * math.exp(0.1 * p + lucky * (p == 1)) * case.examples(400) for p in processes}
    samples = [(p, r, own[p]) for p in processes for r in range(2)]
    return Measurement(case, spec, facts=[FACTS | {"batch_size": 400}] * len(own), samples=samples)


def run_of(*measurements):
    return Tables(Path("a run"), MACHINE, {name(own): own for own in measurements})


LOOP, PRODUCT = measured("hand_written", "numpy:cpu", 1.0), measured("matmul", "numpy:cpu", 0.01)
COMPILED = measured("compiled", "jax:cpu", 0.02, lucky=0.3)
GPU = measured("compiled", "jax:gpu:0", 0.001, lucky=-0.2)
HALF = measured("compiled", "jax:gpu:0", 0.0005, dtype="bfloat16")


def only(tables, **asked):
    (own,) = explain(tables, **asked).told
    return own


def factors(own):
    return [step.factor.value for step in own.steps[1:]]


def test_every_step_is_found_and_has_its_factor():
    own = only(run_of(HALF, GPU, COMPILED, PRODUCT, LOOP))
    assert [step.name for step in own.steps] == list(STEPS)
    assert factors(own) == pytest.approx([100, 0.5 / math.exp(0.06), 20 * math.exp(0.1), 2 / math.exp(0.04)])
    assert own.missing == {}
    assert [step.verdict for step in own.steps[1:]] == ["FASTER", "SLOWER", "FASTER", "FASTER"]


def test_the_product_of_the_factors_is_the_whole_and_the_quotient_of_the_times():
    own = only(run_of(LOOP, PRODUCT, COMPILED, GPU, HALF))
    assert math.prod(factors(own)) == pytest.approx(own.whole.value, rel=1e-12)
    assert own.steps[0].seconds.value / own.steps[-1].seconds.value == pytest.approx(own.whole.value, rel=1e-12)


def test_what_all_steps_of_a_process_share_is_in_no_interval_and_what_one_has_is():
    own = only(run_of(LOOP, PRODUCT, COMPILED))
    product, compiled = own.steps[1:]
    assert product.factor.half_width == pytest.approx(0, abs=1e-9)
    assert compiled.factor.half_width == pytest.approx(own.whole.half_width)
    assert compiled.factor.low < compiled.factor.value < compiled.factor.high


def test_only_processes_that_all_steps_have_count():
    short = measured("compiled", "jax:cpu", 0.02, processes=range(1, 4))
    own = only(run_of(LOOP, PRODUCT, short))
    assert own.processes == 3
    assert math.prod(factors(own)) == pytest.approx(own.whole.value, rel=1e-12)
    with pytest.raises(ResultsError, match="in two processes: nothing to explain"):
        explain(run_of(LOOP, PRODUCT, measured("compiled", "jax:cpu", 0.02, processes=[9])))


def test_steps_that_were_not_measured_are_named_with_their_reason():
    lost = replace(COMPILED, status="failed", reason="its process ended with status 3", samples=[])
    own = only(run_of(LOOP, PRODUCT, lost))
    assert own.missing["compiled"] == "jax:cpu: failed: its process ended with status 3"
    told = list(sentences(own))
    assert "Not measured: GPU (the run has no GPU)." in told
    assert "Not measured: compiled (jax:cpu: failed: its process ended with status 3)." in told


def test_the_fastest_library_is_taken_or_the_one_that_is_asked_for():
    torch = measured("compiled", "torch:cpu", 0.03)
    both = run_of(LOOP, PRODUCT, COMPILED, torch)
    assert only(both).steps[2].ran == "jax:cpu/compiled"
    asked = only(both, backend="torch")
    assert asked.steps[2].ran == "torch:cpu/compiled"
    assert "Compiled by PyTorch, on the CPU: 3x as slow (99%: 3x to 3x). Not like for like: threads 2 and 1." in list(
        sentences(asked)
    )


def test_rows_that_are_not_like_for_like_are_told():
    own = only(run_of(LOOP, PRODUCT, GPU))
    assert own.steps[1].unlike == ""
    assert own.steps[2].unlike == "matmul_precision float32 and tf32"
    assert "compiled" in own.missing


def test_the_faster_loop_is_the_start_and_peers_and_the_control_are_none_of_the_steps():
    unit = measured("unit", "numpy:cpu", 0.5)
    others = measured("again", "numpy:cpu", 0.001), measured("call", "keras-jax:cpu", 0.001)
    own = only(run_of(LOOP, unit, PRODUCT, *others))
    assert [step.ran for step in own.steps] == ["numpy:cpu/unit", "numpy:cpu/matmul"]


def test_an_epoch_starts_from_what_is_written_by_hand():
    rows = [
        measured(implementation, spec, seconds, workload="epoch")
        for implementation, spec, seconds in (
            ("hand_written", "numpy:cpu", 4e-6),
            ("fold", "numpy:cpu", 2e-6),
            ("fold", "jax:cpu", 1e-6),
        )
    ]
    own = only(run_of(*rows))
    assert factors(own) == pytest.approx([2, 2])
    assert own.steps[0].seconds.value == pytest.approx(200_000 * 4e-6 * math.exp(0.2))
    assert next(sentences(own)).startswith("It starts from plain NumPy, written by hand: 977 ms for each epoch")


def test_predictions_of_all_rows_are_explained_by_predict_throughout():
    rows = [
        measured(implementation, spec, seconds, workload="predict")
        for implementation, spec, seconds in (
            ("hand_written", "numpy:cpu", 3e-6),
            ("predict", "numpy:cpu", 4e-6),
            ("predict", "jax:cpu", 2e-6),
            ("call", "jax:cpu", 1e-6),
        )
    ]
    assert [step.ran for step in only(run_of(*rows)).steps[1:]] == ["numpy:cpu/predict", "jax:cpu/predict"]


# The command


@pytest.fixture
def folder(tmp_path):
    """The folder of a run with three steps, and with a product that has one."""
    product = Measurement(
        Case("matmul", "square-64", "matmul", 64),
        "numpy:cpu",
        facts=[FACTS | {"batch_size": 64}] * 5,
        samples=[(p, 0, 1.0) for p in range(5)],
    )
    every = [LOOP, PRODUCT, COMPILED, product]
    made = tmp_path / "run"
    made.mkdir()
    run = Run("run", "m-1", BACKENDS)
    write_results(made, summarise(every, run), sample_rows(every, run), MACHINE)
    return made


def test_the_command_prints_steps_words_and_what_has_a_single_step(folder, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    assert main(["explain", str(folder)]) == 0
    printed = capsys.readouterr().out
    assert max(map(len, printed.splitlines())) <= 80
    out = " ".join(printed.split())
    assert "forward digits-64-25-15-10: from step to step, in 5 processes" in out
    assert "Matrix products in NumPy: 100x as fast (99%: 100x to 100x)." in out
    assert "That is the product of the 2 factors, exactly." in out
    assert "GPU not measured" in out
    assert "A single step, and so no factor: matmul square-64." in out


def test_json_has_every_step_as_data(folder, capsys):
    assert main(["explain", str(folder), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    (own,) = told["explanations"]
    assert [row["step"] for row in own["steps"]] == ["loop", "matmul", "compiled", "whole"]
    *steps, whole = own["steps"]
    assert math.prod(row["factor"] for row in steps) == pytest.approx(whole["factor"], rel=1e-12)
    for before, after in pairwise(steps):
        assert after["start"] == pytest.approx(before["end"])
    assert steps[-1]["end"] == pytest.approx(whole["end"])
    assert set(own["not_measured"]) == {"gpu", "precision"}
    assert told["single_steps"] == ["matmul square-64"]


@pytest.mark.parametrize(("suffix", "begins"), [("svg", b"<svg"), ("png", b"\x89PNG"), ("html", b"<!DOCTYPE html>")])
def test_a_picture_is_drawn_that_needs_no_network(folder, tmp_path, capsys, suffix, begins):
    pytest.importorskip("altair")
    pytest.importorskip("vl_convert")
    file = tmp_path / f"waterfall.{suffix}"
    assert main(["explain", str(folder), "--picture", str(file)]) == 0
    drawn = file.read_bytes().lstrip()
    assert drawn.startswith(begins)
    assert b"<script src=" not in drawn
    if suffix == "svg":
        assert b"compiled, jax:cpu/compiled" in drawn
        assert "100x ±0% ▲".encode() in drawn


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--network", "deep"], "has no workload * on a network deep; it has forward, matmul and digits-64-25-15-10, square-64"),
        (["--network", "square-64"], "has no two steps of matmul square-64 in two processes: nothing to explain"),
        (["--backend", "torch"], "has no backend torch; it has numpy, jax"),
        (["--picture", "waterfall.gif"], "no such kind of picture; there are .svg, .png, .html"),
    ],
)  # fmt: skip
def test_what_cannot_be_explained_is_one_sentence(folder, capsys, arguments, sentence):
    assert main(["explain", str(folder), *arguments]) == 2
    assert sentence in capsys.readouterr().err


@pytest.mark.parametrize("library", ["altair", "vl_convert"])
def test_a_library_that_is_not_installed_is_one_sentence(folder, tmp_path, capsys, monkeypatch, library):
    pytest.importorskip("altair")
    monkeypatch.setitem(sys.modules, library, None)
    assert main(["explain", str(folder), "--picture", str(tmp_path / "w.svg")]) == 2
    assert "pip install 'arraybench[report]'" in capsys.readouterr().err
    assert main(["explain", str(folder)]) == 0


def test_a_picture_that_cannot_be_written_is_one_sentence(folder, tmp_path, capsys):
    pytest.importorskip("altair")
    pytest.importorskip("vl_convert")
    assert main(["explain", str(folder), "--picture", str(tmp_path / "none" / "w.svg")]) == 2
    assert capsys.readouterr().err.startswith(f"arraybench: cannot write {tmp_path / 'none' / 'w.svg'}: No such file")


def test_a_real_run_is_explained_and_its_factors_are_near_its_table():
    tables = Tables.read(REAL)
    told = explain(tables).told
    assert len(told) == 13
    for own in told:
        assert math.prod(factors(own)) == pytest.approx(own.whole.value, rel=1e-12)
        last = own.steps[-1].measurement.facts[0]
        assert last["speedup"] == pytest.approx(own.whole.value, rel=0.1)
