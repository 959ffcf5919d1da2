"""The experiment on verdicts, small: it plants what it says and counts right. Its figures come from `arraybench selftest`."""

import pandas as pd
import pytest

from bench.cases import Case
from bench.selftest import verdicts
from bench.selftest.verdicts import Setting, missed, pytest_trial, summary, trial

COFFEE = Setting("small", "numpy:cpu", True, (Case("forward", "coffee-2-3-1", "matmul", 400),))


@pytest.fixture
def drastic(monkeypatch):
    """Plant what any machine must see."""
    monkeypatch.setattr(verdicts, "LABELS", {"base": 0.0, "equal": 0.0, "thrice": 2.0})


def test_a_trial_compares_every_label_with_the_first(drastic):
    rows = list(trial([COFFEE], 0, processes=2, seed=1))
    assert [row["planted"] for row in rows] == [0.0, 2.0]
    assert 0.2 < rows[1]["speedup"] < 0.6
    assert all(row["speedup_ci_low"] <= row["speedup"] <= row["speedup_ci_high"] for row in rows)
    assert [row["processes"] for row in rows] == [2, 2]


def test_pytest_benchmark_measures_the_same_cases_with_the_same_slow_down(drastic, monkeypatch):
    # By default it is a second for each case; and the import of hypothesis, which no case needs, takes another.
    monkeypatch.setenv("PYTEST_ADDOPTS", "--benchmark-max-time=0.05 -p no:hypothesispytest")
    rows = list(pytest_trial([COFFEE], 0))
    assert [row["tool"] for row in rows] == ["pytest-benchmark"] * 2
    assert rows[1]["verdict"] == "SLOWER"
    assert 0.02 < rows[1]["speedup"] < 0.8  # a third; a busy machine takes its share


def planted(tool, counts):
    """Rows with so many of each (planted, verdict)."""
    return [
        {"tool": tool, "kind": "small", "one_thread": True, "planted": slow_down, "verdict": verdict}
        for (slow_down, verdict), count in counts.items()
        for _ in range(count)
    ]


GOOD = {(0.0, "SAME"): 199, (0.0, "FASTER"): 1, (0.03, "SLOWER"): 17, (0.03, "SAME"): 3, (0.05, "SLOWER"): 20}


def test_the_summary_counts_false_alarms_and_what_was_found():
    table = summary(pd.DataFrame(planted("arraybench", GOOD) + planted("pytest-benchmark", {(0.0, "SLOWER"): 2})))
    own = table.set_index("tool").loc["arraybench"]
    assert own["pairs"] == 200
    assert own["equals called"] == pytest.approx(1 / 200)
    assert own["3% slower found"] == pytest.approx(0.85)
    assert own["5% slower found"] == 1.0


@pytest.mark.parametrize(
    ("change", "goal"),
    [
        ({}, None),
        ({(0.0, "SLOWER"): 2}, "equals called"),
        ({(0.05, "UNRESOLVED"): 2}, "5 % found"),
        ({(0.03, "UNRESOLVED"): 5}, "3 % found on one thread"),
    ],
)
def test_a_goal_that_is_missed_is_said(change, goal):
    sentences = missed(pd.DataFrame(planted("arraybench", GOOD | change)))
    assert [goal in sentence for sentence in sentences] == ([] if goal is None else [True])


def test_what_was_not_tried_is_not_missed():
    assert missed(pd.DataFrame(planted("arraybench", {(0.0, "SAME"): 3}))) == []
