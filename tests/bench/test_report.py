"""What is printed fits the terminal, and shows no speed-up without its interval."""

import io

import pandas as pd
import pytest
from rich.console import Console

from bench import answers, report, wording
from bench.cases import CONTROL, Case
from bench.measurement import Measurement
from bench.results import Run, summarise
from bench.statistics import Estimate

from .test_table import BACKENDS, measured


@pytest.fixture
def summary():
    measurements = [
        measured("hand_written", "numpy:cpu", 5e-3),
        measured("unit", "numpy:cpu", 4e-3, batch_size=100),
        measured("matmul", "numpy:cpu", 4e-5),
        measured("matmul", "jax:cpu", 9e-5),
        measured("compiled", "jax:cpu", 2e-5),
        measured(CONTROL, "numpy:cpu", 4e-5),
    ]
    return summarise(measurements, Run("a-run", "m-12345678", BACKENDS))


def printed(summary, width):
    stream = io.StringIO()
    report.show(summary, Console(file=stream, width=width, highlight=False))
    return stream.getvalue()


@pytest.mark.parametrize("width", [80, 140])
def test_every_line_fits_the_terminal(summary, width):
    lines = printed(summary, width).splitlines()
    assert max(map(len, lines)) <= width
    assert not any("…" in line for line in lines if "[…]" not in line)


@pytest.mark.parametrize(("width", "tables"), [(70, 2), (80, 1), (140, 1)])
def test_peers_beside_three_of_ours_fit_the_terminal_and_lose_none(width, tables):
    rows = [("fold", "numpy:cpu"), ("fold", "numba:cpu"), ("fold", "jax:cpu"), ("fit", "keras-tensorflow:cpu")]
    measurements = [measured(implementation, spec, 10.0**-i) for i, (implementation, spec) in enumerate(rows)]
    for own in measurements:
        own.case = Case("epoch", "coffee-2-3-1", own.case.implementation, 32)
    backends = {spec: BACKENDS["numpy:cpu"] for _, spec in rows}
    text = printed(summarise(measurements, Run("a-run", "m-12345678", backends)), width).partition("\n\nIs this")[0]
    assert max(map(len, text.splitlines())) <= width
    assert text.count("  keras-tensorflow:cpu") == tables
    for name in ("NumPy", "Numba", "JAX"):
        assert text.count(f"ours on {name} ") + text.count(f"ours on {name}\n") == 1


def test_a_roomy_terminal_spells_the_intervals_out(summary):
    assert "[" in next(line for line in printed(summary, 140).splitlines() if line.startswith("  matmul"))
    assert "±" in next(line for line in printed(summary, 80).splitlines() if line.startswith("  matmul"))


def test_the_control_is_told_in_a_sentence_and_not_in_the_table(summary):
    text = printed(summary, 140)
    assert "Two equal cases, forward coffee-2-3-1, differed by" in text
    assert f"  {CONTROL}" not in text


def test_a_control_that_noise_hides_says_so_and_prints_no_range(summary):
    control = summary["implementation"] == CONTROL
    summary.loc[control, ["speedup_ci_low", "speedup_ci_high", "verdict"]] = 1e-5, 4e4, "UNRESOLVED"
    frame = answers.marked(summary)
    told = list(answers.controls(frame, answers.by_question(frame)))
    assert told == ["Two equal cases, forward coffee-2-3-1: nothing can be said.", answers.DISTURBED]


def test_a_narrow_terminal_gets_a_table_for_each_backend(summary):
    assert printed(summary, 60).count("jax:cpu  ") >= 1
    assert max(map(len, printed(summary, 60).splitlines())) <= 60


@pytest.mark.parametrize(
    ("estimate", "close", "roomy"),
    [
        (Estimate(12.34, 12.0, 12.7), "12.3x ±3%", r"12.3x \[12, 12.7]"),
        (Estimate(1234.0, 400.0, 3600.0), "1,234x ×÷3", r"1,234x \[400, 3,600]"),
        (Estimate(0.0123, 0.012, 0.0126), "0.012x ±2%", r"0.012x \[0.012, 0.013]"),
    ],
)
def test_a_speed_up_is_written_with_its_interval(estimate, close, roomy):
    assert wording.with_interval(estimate, roomy=False) == close
    assert wording.with_interval(estimate, roomy=True) == roomy


def test_a_case_that_mismatched_has_a_line_and_no_speed_up():
    wrong = measured("matmul", "numpy:cpu", 4e-5)
    wrong.status, wrong.reason = "mismatch", "array 0 differs"
    frame = summarise([measured("unit", "numpy:cpu", 4e-3), wrong], Run("a-run", "m-1", BACKENDS))
    assert "forward coffee-2-3-1 matmul on numpy:cpu: mismatch: array 0 differs" in printed(frame, 140)
    assert frame.set_index("implementation").loc["matmul", "speedup"] != 1
    assert frame["speedup"].isna().tolist() == [False, True]


def test_rows_that_are_not_like_for_like_are_marked(summary):
    summary.loc[summary["implementation"] == "compiled", "unlike"] = "threads 2 and 1"
    assert "≠" in next(line for line in printed(summary, 140).splitlines() if line.startswith("  compiled"))


def test_times_are_scaled_to_a_unit_that_fits():
    assert [wording.scaled(s) for s in (2.0, 0.0123, 4.56e-5, 7.8e-9)] == ["2 s", "12.3 ms", "45.6 µs", "7.8 ns"]


def test_loops_that_time_out_everywhere_are_told_once(summary):
    rows = summary[summary["implementation"] == "compiled"].assign(
        implementation="unit", status="timed_out", reason="too slow"
    )
    assert len(rows) == 1
    (one,) = [line for line in printed(rows, 140).splitlines() if "timed_out" in line]
    assert one == "unit on jax:cpu: timed_out in forward coffee-2-3-1: too slow"
    twice = pd.concat([rows, rows.assign(workload="step")])
    (both,) = [line for line in printed(twice, 140).splitlines() if "timed_out" in line]
    assert both == "unit on jax:cpu: timed_out in 2 cases, as in forward coffee-2-3-1: too slow"


def test_what_to_do_about_noise_is_said_once_and_last(summary):
    over_numpy = ["speedup_over_numpy_ci_low", "speedup_over_numpy_ci_high", "verdict_over_numpy"]
    summary.loc[summary["backend"] != "numpy", over_numpy] = 1e-5, 4e4, "UNRESOLVED"
    text = " ".join(printed(summary, 140).split())
    assert text.count("nothing can be said") >= 1
    assert text.count("too disturbed") == 1
    assert text.endswith(answers.DISTURBED)


@pytest.fixture
def beside_peers():
    cases = [("hand_written", "numpy:cpu", 3e-6), ("call", "numpy:cpu", 2e-6), ("call", "jax:cpu", 1e-6)]
    measurements = [measured(*row, batch_size=1) for row in (*cases, ("predict", "keras-torch:cpu", 4e-6))]
    for own in measurements:
        own.case = Case("row", "coffee-2-3-1", own.case.implementation, 1)
    gone = Measurement(Case("row", "coffee-2-3-1", "call", 1), "optax:cpu", "unavailable", "optax [x] is not installed")
    versions = {"keras-torch:cpu": {"version": "keras 3.15.1"}, "optax:cpu": {"version": ""}}
    return summarise([*measurements, gone], Run("a-run", "m-1", BACKENDS | versions))


@pytest.mark.parametrize("width", [90, 140])
def test_beside_peers_a_line_for_each_tells_how_many_times_faster_ours_is(beside_peers, width):
    text = printed(beside_peers, width)
    assert "coffee-2-3-1: time to predict one row, from host to host" in text
    assert max(map(len, text.splitlines())) <= width
    line = next(line.split() for line in text.splitlines() if line.startswith("  keras-torch:cpu"))
    assert line[:4] == ["keras-torch:cpu", "predict", "4.08", "µs"]
    assert line[4] == "2x"
    assert "4x" in line
    assert "optax: optax [x] is not installed" in text
    assert "  optax" not in text
