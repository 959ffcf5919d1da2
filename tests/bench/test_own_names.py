"""A user's functions that are named like workloads of this project are told as what they are: functions."""

from __future__ import annotations

import io

import pandas as pd
import pytest
from rich.console import Console

from bench import read_results, report
from bench.cases import FUNCTION, WORKLOADS, Case
from bench.cli import main
from bench.compare.changes import Tables, name
from bench.explain.steps import explain
from bench.measurement import Measurement
from bench.results import Run, sample_rows, summarise
from bench.table import write_results
from bench.wording import unit

from .no_roof import no_roof
from .test_table import BACKENDS, FACTS

FILE = """
import bench
import numpy as np

def ones(n):
    return np.ones(n)
"""
ONE = """
@bench.case(ones, axes={{"n": [4, 8], "dtype": ["float32"{more}]}}, flops=lambda n: 10**15)
def {name}(x):
    return x + x
"""
ROOFS = {"numpy:cpu": {"gflop_per_s": {"float32": 900.0}, "gb_per_s": 40.0}}
SECONDS = (("eager", "numpy:cpu", 4e-5), ("eager", "jax:cpu", 9e-5), ("compiled", "jax:cpu", 1e-5))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The run of a file that has a function of every workload's name."""
    results = tmp_path_factory.mktemp("results")
    more = {"step": ', "float64"'}
    ours = "".join(ONE.format(name=workload, more=more.get(workload, "")) for workload in WORKLOADS)
    (results / "own.py").write_text(FILE + ours)
    arguments = ["run", str(results / "own.py"), "--backends", "numpy", "--time", "0", "--name", "own"]
    with no_roof():
        assert main([*arguments, "--results", str(results)]) == 0
    return results / "own"


def test_the_table_says_which_file_declares_a_function(folder):
    frame = read_results(folder)
    assert set(frame["workload"]) == set(WORKLOADS)
    assert set(frame["source"]) == {"own.py"}
    assert set(frame["parameters"]) == {0}


def test_the_report_tells_of_calls_in_a_table_for_each_function(folder):
    console = Console(file=io.StringIO(), width=140)
    report.show(read_results(folder), console)
    text = console.file.getvalue()
    for workload in WORKLOADS:
        assert f"{workload}: time of one call" in text
    assert "step in float64: time of one call" in text
    for foreign in ("example", "epoch: time for", "product", "over loop", "training step"):
        assert foreign not in text
    assert [line.strip() for line in text.splitlines()].count("n=4") == len(WORKLOADS) + 1


def test_no_function_raises_the_roof_by_what_it_says_of_its_work(folder):
    frame = read_results(folder)
    assert (frame.loc[frame["status"].eq("ok") & frame["precision"].eq("float32"), "fraction_of_peak"] > 1).all()


def planted(workload, network, implementation, spec, seconds):
    case = Case(workload, network, implementation, 1, source="/somewhere/own.py")
    samples = [(p, r, seconds * (1 + 0.002 * p) * (1 + 0.001 * r)) for p in range(3) for r in range(4)]
    return Measurement(case, spec, facts=[FACTS | {"batch_size": 1}] * 3, samples=samples)


@pytest.fixture(scope="module")
def measurements():
    return [
        planted(workload, f"n={n}", implementation, spec, n * seconds)
        for workload in WORKLOADS
        for n in (4, 8)
        for implementation, spec, seconds in SECONDS
    ]


@pytest.fixture(scope="module")
def compiled(measurements, tmp_path_factory):
    """A planted run with a compiler."""
    run = Run("planted", "m-1", BACKENDS, ROOFS)
    folder = tmp_path_factory.mktemp("results") / "planted"
    folder.mkdir()
    machine = {"machine_id": "m-1", "backends": BACKENDS, "roofs": ROOFS}
    write_results(folder, summarise(measurements, run), sample_rows(measurements, run), machine)
    return folder


def test_its_cases_are_read_back_as_functions(compiled):
    assert {own.case.kind for own in Tables.read(compiled).measurements.values()} == {FUNCTION}


def test_an_explanation_names_no_loop_and_no_example(compiled, capsys):
    assert main(["explain", str(compiled)]) == 0
    text = " ".join(capsys.readouterr().out.split())
    for workload in WORKLOADS:
        assert f"{workload} n=4: from step to step" in text
        assert f"It starts from {workload} in NumPy: 161 µs for each call." in text
    for foreign in ("example", "an epoch", "training step", "core", "matrix product", "the course"):
        assert foreign not in text
    assert "loop" not in text.replace("by hand (the run has no loop over it)", "")


def test_a_comparison_is_of_calls(measurements):
    tables = Tables(None, {}, {name(own): own for own in measurements})
    assert {unit(own.case.kind) for own in tables.measurements.values()} == {"call"}


def test_a_pages_charts_are_of_functions_along_their_axes(compiled):
    pytest.importorskip("altair")
    from bench.page import charts, runs, tables

    found = runs.read([compiled])
    drawn = {chart.name: chart for chart in charts.charts(found)}
    assert {own for own in drawn if own.startswith("time-")} == {f"time-{workload}-n" for workload in WORKLOADS}
    assert {own for own in drawn if own.startswith("waterfall-")} == {f"waterfall-{workload}" for workload in WORKLOADS}
    for workload in WORKLOADS:
        assert drawn[f"time-{workload}-n"].title == f"Time of {workload} against n"
        assert drawn[f"time-{workload}-n"].table.headings[-1].startswith("Time of one call")
        assert drawn[f"waterfall-{workload}"].title == f"What each step brings: {workload}"
    assert "square products" not in str([chart.spec for chart in drawn.values()])
    assert "matmul n=4" in str(drawn["speedups-eager"].spec)
    sources = [table for table in tables.of_all_rows(found) if "Source" in table.headings]
    assert {row[table.headings.index("Source")].text for table in sources for row in table.rows} == {"own.py"}


def test_a_page_of_a_suite_and_of_a_file_keeps_the_two_apart(compiled, tmp_path):
    pytest.importorskip("altair")
    from bench.page import charts, runs

    ours = [
        Measurement(
            Case("forward", "coffee-2-3-1", implementation, 400),
            spec,
            facts=[FACTS] * 3,
            samples=[(p, r, seconds * (1 + 0.002 * p + 0.001 * r)) for p in range(3) for r in range(4)],
        )
        for implementation, spec, seconds in (("matmul", "numpy:cpu", 4e-5), ("compiled", "jax:cpu", 2e-5))
    ]
    run = Run("ours", "m-1", BACKENDS, ROOFS)
    (tmp_path / "ours").mkdir()
    write_results(tmp_path / "ours", summarise(ours, run), sample_rows(ours, run), {"machine_id": "m-1"})
    told = [chart for chart in charts.charts(runs.read([compiled, tmp_path / "ours"])) if "waterfall" in chart.name]
    (alone,) = [chart for chart in told if any("coffee" in heading for heading, _ in chart.told)]
    assert len(alone.told) == 1


def test_in_a_table_from_before_there_were_sources_names_decide(compiled, tmp_path):
    frame = pd.read_csv(compiled / "summary.csv").drop(columns="source")
    frame["workload"] = frame["workload"].replace("matmul", "softmax")
    frame.to_csv(tmp_path / "summary.csv", index=False)
    read = read_results(tmp_path)
    assert set(read.loc[read["workload"] == "softmax", "source"]) == {"?"}
    assert set(read.loc[read["workload"] != "softmax", "source"]) == {"-"}


def test_an_explanation_knows_the_kind_of_its_work(compiled):
    assert {own.kind for own in explain(Tables.read(compiled)).told} == {FUNCTION}
