import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.statistics import Estimate, median_interval, ratio, verdict

positive = st.floats(1e-9, 1e3)


@given(st.lists(positive, min_size=1, max_size=60))
@settings(deadline=None)
def test_the_interval_holds_the_median_and_stays_inside_the_samples(samples):
    estimate = median_interval(samples)
    assert min(samples) <= estimate.low <= estimate.value <= estimate.high <= max(samples)


@pytest.mark.parametrize("n", [9, 30, 200])
def test_the_interval_covers_the_true_median_about_as_often_as_it_says(n):
    generator = np.random.default_rng(n)
    draws = generator.exponential(size=(2000, n))
    inside = [low <= np.log(2) <= high for _, low, high in map(median_interval, draws.tolist())]
    assert 0.93 <= np.mean(inside) <= 0.99


def test_few_samples_give_their_whole_range():
    assert median_interval([3.0, 1.0, 2.0]) == Estimate(2.0, 1.0, 3.0)


@given(positive, positive, positive, positive)
def test_the_speed_up_holds_every_ratio_of_the_two_intervals(a, b, c, d):
    slow, fast = Estimate((a + b) / 2, min(a, b), max(a, b)), Estimate((c + d) / 2, min(c, d), max(c, d))
    speedup = ratio(slow, fast)
    assert speedup.low <= slow.low / fast.low * (1 + 1e-12)
    assert speedup.high >= slow.high / fast.high * (1 - 1e-12)


@pytest.mark.parametrize(
    ("low", "high", "word"),
    [(1.2, 1.4, "FASTER"), (0.5, 0.9, "SLOWER"), (0.97, 1.03, "SAME"), (0.8, 1.3, "UNRESOLVED"), (1.001, 1.04, "SAME")],
)
def test_the_verdict_follows_the_interval(low, high, word):
    assert verdict(Estimate((low + high) / 2, low, high)) == word
