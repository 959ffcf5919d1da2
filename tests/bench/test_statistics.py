"""Intervals must hold the truth as often as they say, where processes, rounds and samples all differ."""

import math

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from bench import statistics
from bench.statistics import CONFIDENCE, Estimate, blocks, paired_ratio, unpaired_ratio, verdict

positive = st.floats(1e-9, 1e3)
some_blocks = st.dictionaries(
    st.integers(0, 5), st.dictionaries(st.integers(0, 3), positive, min_size=1), min_size=2, max_size=5
)


def drawn(generator, processes, seconds=1e-3, process_spread=0.02, round_spread=0.01, drift=None):
    """Blocks of a subject whose processes differ; `drift` is the machine's own speed, by process and round."""
    drift = np.ones((processes, 4)) if drift is None else drift
    own = np.exp(process_spread * generator.standard_normal(processes))
    noise = np.exp(round_spread * generator.standard_normal((processes, 4)))
    return {p: {r: seconds * own[p] * noise[p, r] * drift[p, r] for r in range(4)} for p in range(processes)}


@pytest.mark.parametrize("processes", [3, 5, 10])
def test_the_interval_covers_the_true_ratio_as_often_as_it_says(processes):
    generator = np.random.default_rng(processes)
    inside = 0
    for _ in range(2000):
        drift = np.exp(0.2 * generator.standard_normal((processes, 4)))
        ratio = paired_ratio(drawn(generator, processes, 2e-3, drift=drift), drawn(generator, processes, drift=drift))
        inside += ratio.low <= 2.0 <= ratio.high
    assert inside / 2000 == pytest.approx(CONFIDENCE, abs=0.008)


def test_the_unpaired_interval_covers_it_too_when_the_spreads_differ():
    generator = np.random.default_rng(1)
    inside = 0
    for _ in range(2000):
        ratio = unpaired_ratio(drawn(generator, 5, 2e-3, 0.005), drawn(generator, 8, process_spread=0.04))
        inside += ratio.low <= 2.0 <= ratio.high
    assert inside / 2000 == pytest.approx(CONFIDENCE, abs=0.008)


def test_the_p_value_is_that_of_welchs_test_and_ends_where_the_interval_does():
    generator = np.random.default_rng(8)
    for factor in (1.0, 1.02, 1.04, 1.08):
        one, other = drawn(generator, 4, factor * 1e-3), drawn(generator, 7, process_spread=0.005)
        p, ratio = statistics.unpaired_p(one, other), unpaired_ratio(one, other)
        logs = statistics.process_logs(one), statistics.process_logs(other)
        assert p == pytest.approx(scipy.stats.ttest_ind(*logs, equal_var=False).pvalue)
        assert (p < 1 - CONFIDENCE) == (not ratio.low < 1 < ratio.high)


def test_a_p_value_takes_two_processes_and_needs_no_spread():
    same, twice = {0: {0: 1.0}, 1: {0: 1.0}}, {0: {0: 2.0}, 1: {0: 2.0}}
    assert math.isnan(statistics.unpaired_p(same, {0: {0: 1.0}}))
    assert statistics.unpaired_p(same, same) == 1.0
    assert statistics.unpaired_p(same, twice) == 0.0


def test_holms_correction_multiplies_the_smallest_by_their_number_the_next_by_one_less():
    # 4 * 0.005; 3 * 0.01; 2 * 0.03; 1 * 0.04, which may not fall below the one before
    corrected = statistics.holm([0.01, 0.04, 0.03, 0.005])
    assert corrected == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert statistics.holm([0.9, 0.8]) == [1.0, 1.0]
    assert statistics.holm([math.nan, 0.01, 0.02]) == pytest.approx([math.nan, 0.02, 0.02], nan_ok=True)
    assert statistics.holm([]) == []


def test_a_drift_that_both_share_does_not_widen_the_interval():
    generator = np.random.default_rng(2)
    drift = np.exp(0.5 * generator.standard_normal((5, 4)))
    still = paired_ratio(drawn(np.random.default_rng(3), 5), drawn(np.random.default_rng(4), 5))
    shaken = paired_ratio(
        drawn(np.random.default_rng(3), 5, drift=drift), drawn(np.random.default_rng(4), 5, drift=drift)
    )
    assert shaken == pytest.approx(still)


def test_equals_are_called_different_less_often_than_the_interval_alone_would():
    generator = np.random.default_rng(5)
    called = [verdict(paired_ratio(drawn(generator, 5), drawn(generator, 5))) for _ in range(3000)]
    assert sum(word in ("FASTER", "SLOWER") for word in called) / 3000 <= 1 - CONFIDENCE + 0.004


def spread_of_pairs(generator, processes):
    """Logarithms that spread as those of drawn pairs do on average."""
    logs = [statistics.paired_logs(drawn(generator, processes), drawn(generator, processes)) for _ in range(3000)]
    unit = np.arange(processes) - (processes - 1) / 2
    return list(unit / np.std(unit, ddof=1) * np.sqrt(np.mean(np.var(logs, axis=1, ddof=1)))), logs


def test_a_slow_down_as_large_as_the_smallest_effect_is_found_in_four_tries_of_five():
    generator = np.random.default_rng(6)
    typical, _ = spread_of_pairs(generator, 6)
    slow = 1e-3 * (1 + statistics.smallest_effect(typical))
    found = [verdict(paired_ratio(drawn(generator, 6, slow), drawn(generator, 6))) == "FASTER" for _ in range(3000)]
    assert np.mean(found) == pytest.approx(0.8, abs=0.03)


def test_the_false_alarm_rate_is_that_of_the_rule():
    typical, logs = spread_of_pairs(np.random.default_rng(7), 5)
    called = [verdict(statistics.over_processes(own)) in ("FASTER", "SLOWER") for own in logs]
    assert np.mean(called) == pytest.approx(statistics.false_alarm_rate(typical), abs=0.005)
    assert statistics.false_alarm_rate([x / 100 for x in typical]) == 0.0  # under the least effect nothing is called


def test_one_process_has_no_interval_and_no_verdict():
    ratio = paired_ratio({0: {0: 2.0}}, {0: {0: 1.0}})
    assert ratio.value == pytest.approx(2.0)
    assert math.isnan(ratio.low)
    assert verdict(ratio) == "UNRESOLVED"
    assert math.isnan(statistics.smallest_effect([0.1]))


def test_rounds_and_processes_that_only_one_has_do_not_count():
    ratio = paired_ratio({0: {0: 2.0, 1: 9.0}, 1: {0: 2.0}, 7: {0: 5.0}}, {0: {0: 1.0}, 1: {0: 1.0}, 3: {0: 1.0}})
    assert ratio == pytest.approx((2.0, 2.0, 2.0))
    assert paired_ratio({0: {0: 1.0}}, {1: {0: 1.0}}) is None


def test_a_block_is_the_mean_of_the_middle_half_of_its_samples():
    assert blocks([(0, 0, 1.0), (0, 0, 9.0), (0, 0, 2.0), (1, 3, 4.0)]) == {0: {0: 2.0}, 1: {3: 4.0}}
    assert statistics.midmean([9.0, 1.0, 3.0, 2.0]) == 2.5
    assert statistics.midmean([1.0, 2.0]) == 1.5
    assert statistics.midmean([100.0, 1.0, 2.0, 3.0, 5.0, -40.0, 4.0]) == 3.0


@given(some_blocks)
def test_a_subject_against_itself_is_exactly_as_fast(own):
    assert paired_ratio(own, own) == pytest.approx((1.0, 1.0, 1.0))
    assert verdict(paired_ratio(own, own)) == "SAME"


@given(some_blocks, some_blocks)
def test_turned_round_a_ratio_is_its_inverse(one, other):
    there, back = unpaired_ratio(one, other), unpaired_ratio(other, one)
    assert there.value * back.value == pytest.approx(1.0)
    assert 0 <= there.low <= there.value <= there.high
    if there.high < 1e100:
        assert there.high * back.low == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("value", "low", "high", "word"),
    [
        (1.3, 1.2, 1.4, "FASTER"),
        (0.7, 0.5, 0.9, "SLOWER"),
        (1.0, 0.97, 1.03, "SAME"),
        (1.0, 0.8, 1.3, "UNRESOLVED"),
        (1.005, 1.001, 1.008, "SAME"),  # resolved, and too small to be called
        (1.02, 1.001, 1.04, "FASTER"),
        (0.98, 0.96, 0.999, "SLOWER"),
        (1.0, math.nan, math.nan, "UNRESOLVED"),
    ],
)
def test_the_verdict_follows_the_interval(value, low, high, word):
    assert verdict(Estimate(value, low, high)) == word


def test_the_interval_of_a_single_mean_is_students_and_of_a_difference_welchs():
    own, other = [1.0, 1.2, 0.9, 1.4], [0.3, 0.1, 0.4, 0.2, 0.35, 0.05]
    alone, difference = statistics.reaches(np.array([[1.0, 0.0], [1.0, -1.0]]), [own, other])
    assert alone == pytest.approx(statistics.reach(own))
    interval = scipy.stats.ttest_ind(own, other, equal_var=False).confidence_interval(0.99)
    assert difference == pytest.approx((interval.high - interval.low) / 2)


def test_an_interval_without_spread_reaches_nowhere_and_of_a_single_value_is_unknown():
    weights = np.array([[0.5, 0.5]])
    assert statistics.reaches(weights, [[1.0, 1.0], [2.0, 2.0, 2.0]]) == 0
    assert np.isnan(statistics.reaches(weights, [[1.0], [2.0, 2.0]]))
