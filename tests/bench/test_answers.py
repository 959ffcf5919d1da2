"""What a run says in sentences, of rows that are planted."""

from __future__ import annotations

import pandas as pd
import pytest

from bench import answers


def answer(*intervals):
    name = "speedup_over_numpy"
    rows = [
        {name: (low + high) / 2, f"{name}_ci_low": low, f"{name}_ci_high": high, "verdict_over_numpy": verdict}
        | {"workload": "step", "network": f"row-{i}", "break_even_calls": float("nan")}
        for i, (low, high, verdict) in enumerate(intervals)
    ]
    return answers.Answer(answers.LIBRARY, "jax:cpu over NumPy", pd.DataFrame(rows), answers.OVER_NUMPY)


def test_an_answer_in_which_noise_hides_every_row_says_so_and_prints_no_range():
    hidden = answer((0, 2e4, "UNRESOLVED"), (0.3, 1.03e9, "UNRESOLVED"), (0.3, 3.1, "UNRESOLVED"))
    assert str(hidden) == "jax:cpu over NumPy: nothing can be said, unresolved in 3 of 3"


def test_an_answer_with_a_row_that_tells_something_has_the_range_of_its_intervals():
    narrow = answer((0.93, 1.09, "UNRESOLVED"), (0.9, 1.2, "UNRESOLVED"))
    assert str(narrow) == "jax:cpu over NumPy: 1.01x to 1.05x (99%: 0.9x to 1.2x), unresolved in 2 of 2"
    alone = answer((2, 4, "FASTER"))
    assert str(alone) == "jax:cpu over NumPy: 3x (99%: 2x to 4x), faster in 1 of 1"
    same = answer((0.96, 1.04, "SAME"), (0.1, 36, "UNRESOLVED"))
    assert str(same) == "jax:cpu over NumPy: 1x to 18.1x (99%: 0.1x to 36x), same in 1, unresolved in 1 of 2"
    faster = answer((2, 4000, "FASTER"), (0.8, 3, "UNRESOLVED"))
    told = "1.9x to 2,001x (99%: 0.8x to 4,000x), faster in 1, unresolved in 1 of 2; most in step row-0, least in step row-1"
    assert str(faster) == f"jax:cpu over NumPy: {told}"


def test_what_reaches_over_more_than_a_thousandfold_does_not_widen_the_range_of_the_others():
    mixed = answer((2, 3, "FASTER"), (0.04, 31, "UNRESOLVED"), (1e-5, 1.03e9, "UNRESOLVED"))
    told = (
        "2.5x to 15.5x (99%: 0.04x to 31x), faster in 1, unresolved in 2 of 3; most in step row-1, least in step row-0"
    )
    assert str(mixed) == f"jax:cpu over NumPy: {told}; 1 too disturbed for a range"


@pytest.mark.parametrize(("calls", "told"), [([2.5, 140.2], "after 3 to 141 calls"), ([9.0, None], "after 9 calls")])
def test_after_how_many_calls_the_first_is_repaid_is_told(calls, told):
    asked = answer((2, 3, "FASTER"), (2, 3, "FASTER"))
    repaid = asked._replace(rows=asked.rows.assign(break_even_calls=calls))
    count = sum(call is not None for call in calls)
    assert repaid.remarks == f"in {count} the first call is repaid, {told}"


@pytest.mark.parametrize(
    ("counts", "word"),
    [
        ({"FASTER": 3}, "Yes"),
        ({"FASTER": 3, "UNRESOLVED": 1}, "In some cases"),
        ({"FASTER": 3, "SLOWER": 1, "SAME": 1}, "It depends"),
        ({"SLOWER": 2, "SAME": 1}, "No"),
        ({"SLOWER": 2, "UNRESOLVED": 1}, "Not as far as can be told"),
        ({"UNRESOLVED": 1}, "Cannot be told"),
    ],
)
def test_a_word_says_no_more_than_its_verdicts(counts, word):
    assert answer(*((1, 2, verdict) for verdict, count in counts.items() for _ in range(count))).word == word
