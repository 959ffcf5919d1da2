"""The experiment on crossovers, small: it plants what it says and counts right. Its figures come from `arraybench selftest`."""

from __future__ import annotations

import pandas as pd
import pytest

from bench.cli import main
from bench.selftest import crossovers
from bench.selftest.crossovers import PLANTED, missed, summary, trials


@pytest.mark.parametrize("planted", PLANTED, ids=lambda own: own.name)
def test_the_costs_are_equal_at_the_size_that_is_said_and_the_ratio_grows_as_is_said(planted):
    assert planted.first.seconds(planted.truth) == pytest.approx(planted.second.seconds(planted.truth))
    assert planted.log_ratio(planted.truth * 1.01) == pytest.approx(planted.slope * 0.01, rel=0.02)


def test_they_get_flatter():
    assert [round(own.slope, 1) for own in PLANTED] == [1.5, 0.9, 0.5, 0.2, 0.1]


def test_a_trial_is_repeatable_and_differs_from_seed_to_seed():
    rows = list(trials(PLANTED[0], 0.01, 20, 3))
    assert rows == list(trials(PLANTED[0], 0.01, 20, 3))
    assert len({row["found"] for row in rows}) == 3
    assert all(row["error"] < 0.05 and row["ci_low"] < row["found"] < row["ci_high"] for row in rows)


def rows(errors, holds):
    """What searches were off by; None for one that found nothing."""
    common = {"costs": "c", "slope": 1.0, "noise": 0.05, "most_processes": 20, "half_width": 0.04, "processes": 50}
    return pd.DataFrame(
        [
            common
            | {"seed": seed, "crossovers": int(error is not None), "error": error, "holds": holds if error else None}
            for seed, error in enumerate(errors)
        ]
    )


def test_what_was_not_found_is_not_right():
    (row,) = summary(rows([0.01, 0.02, 0.2, None], True)).to_dict("records")
    assert (row["found"], row["within_5_percent"], row["intervals_that_hold"]) == (0.75, 0.5, 1.0)
    assert (row["typical_error"], row["largest_error"], row["processes"]) == (0.02, 0.2, 50)


@pytest.mark.parametrize(
    ("errors", "holds", "sentences"),
    [
        ([0.01] * 20, True, []),
        ([0.01] * 18 + [None] * 2, True, ["c, noise of 5%: within 5 %: 90%, at least 95% was the goal"]),
        ([0.01] * 20, False, ["intervals that hold the truth: 0.0%, at least 98% was the goal"]),
    ],
)
def test_a_goal_that_is_missed_is_a_sentence(errors, holds, sentences):
    assert missed(rows(errors, holds)) == sentences


def test_the_command_writes_and_prints(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(crossovers, "PLANTED", PLANTED[:1])
    assert main(["selftest", "crossover", "--seeds", "2", "--results", str(tmp_path), "--name", "c"]) == 0
    assert "cubic" in capsys.readouterr().out
    assert len(pd.read_csv(tmp_path / "c" / "crossovers.csv")) == 2 * len(crossovers.NOISES) * len(crossovers.LIMITS)
    with pytest.raises(SystemExit, match="2"):
        main(["selftest", "crossover", "--seeds", "0"])
    assert "argument --seeds: 0 is not a whole number of 1 or more" in capsys.readouterr().err
