"""The course's script, networks and data."""

from __future__ import annotations

import itertools
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import backends
from core import Dense, Input, Sequential, datasets, losses, optimizers, utils

ROOT = Path(__file__).parents[2]
TIMED = [found.name for found in backends.status() if found.usable and found.timed]


# The coffee script


@pytest.fixture(scope="module", params=TIMED)
def script(request):
    """Run the script as a program on each backend."""
    # tests/core and tests/backends lie beside the script and would be found as core and backends before an editable install.
    environment = os.environ | {"ARRAY_BACKEND": request.param, "PYTHONPATH": str(ROOT)}
    program = [sys.executable, str(ROOT / "tests" / "course_coffee.py")]
    return subprocess.run(program, env=environment, capture_output=True, text=True)


def test_the_coffee_script_runs(script):
    assert (script.returncode, script.stderr) == (0, "")


def test_the_coffee_network_of_the_script_has_13_parameters(script):
    assert "Total params: 13 (52.00 B)" in script.stdout
    assert "L1 params =  9 , L2 params =  4" in script.stdout
    assert "W1(2, 3):" in script.stdout
    assert "b2(1,):" in script.stdout


def test_the_losses_of_the_script_fall(script):
    lines = re.findall(r"^Epoch (\d+)/10  6250/6250 .* loss: (\d\.\d+)$", script.stdout, re.MULTILINE)
    seen = [float(loss) for _, loss in lines]
    assert [int(epoch) for epoch, _ in lines] == list(range(1, 11))
    assert seen == sorted(seen, reverse=True)
    assert 0.01 > seen[-1] > 0.0
    assert 0.1 < seen[0] < 0.25


def test_the_script_brews_the_good_roast_and_not_the_other_with_its_weights_and_with_the_courses(script):
    assert script.stdout.count("decisions = \n[[1]\n [0]]\n") == 2


def test_the_script_is_the_courses_with_other_imports():
    source = (ROOT / "tests" / "course_coffee.py").read_text(encoding="utf-8")
    assert 'Dense(3, activation="sigmoid", name="layer1")' in source
    assert re.findall(r"^(?:import|from) .*", source, re.MULTILINE) == [
        "import numpy as np",
        "import core as keras",
        "from core import Dense, Sequential",
        "from core.datasets import coffee as load_coffee_data",
    ]


def test_the_courses_loop_over_predictions_decides_as_the_comparison_does(coffee_net):
    predictions = coffee_net().predict(np.array([[200, 13.9], [-200, -17]]))
    yhat = np.zeros_like(predictions)
    for i in range(len(predictions)):
        if predictions[i] >= 0.5:
            yhat[i] = 1
        else:
            yhat[i] = 0
    np.testing.assert_array_equal(yhat, (predictions >= 0.5).astype(int))


# Coffee


def test_the_coffee_data_are_those_of_the_courses_loop():
    X = np.random.default_rng(2).random(400).reshape(-1, 2)
    X[:, 1] = X[:, 1] * 4 + 11.5
    X[:, 0] = X[:, 0] * (285 - 150) + 150
    Y = np.zeros(len(X))
    i = 0
    for t, d in X:
        y = -3 / (260 - 175) * t + 21
        if t > 175 and t < 260 and d > 12 and d < 15 and d <= y:
            Y[i] = 1
        else:
            Y[i] = 0
        i += 1  # noqa: SIM113, the course's own line
    x, y = datasets.coffee()
    np.testing.assert_array_equal(x, X, strict=True)
    np.testing.assert_array_equal(y, Y.reshape(-1, 1), strict=True)


def test_coffee_has_200_roasts_some_of_them_good():
    x, y = datasets.coffee()
    assert (x.shape, y.shape) == ((200, 2), (200, 1))
    assert 150 <= x[:, 0].min() < 160 < 275 < x[:, 0].max() <= 285
    assert 11.5 <= x[:, 1].min() < 11.6 < 15.4 < x[:, 1].max() <= 15.5
    assert set(y[:, 0]) == {0.0, 1.0}
    assert 20 < y.sum() < 100


# Digits


def test_digits_are_1797_pictures_from_0_to_1_and_their_digits():
    x, y = datasets.digits()
    assert (x.shape, y.shape) == ((1797, 64), (1797,))
    assert (x.min(), x.max()) == (0.0, 1.0)
    assert sorted(set(y)) == list(range(10))
    assert y.dtype.kind == "i"


@pytest.mark.parametrize("only", [(0, 1), (7,), (9, 3, 5)])
def test_only_some_digits_are_those_rows_of_all(only):
    x, y = datasets.digits()
    some_x, some_y = datasets.digits(only=only)
    kept = np.isin(y, only)
    np.testing.assert_array_equal(some_x, x[kept])
    np.testing.assert_array_equal(some_y, y[kept])


def test_zeros_and_ones_are_told_apart():
    x, y = datasets.digits(only=(0, 1))
    utils.set_random_seed(0)
    model = Sequential([Dense(25, "sigmoid"), Dense(15, "sigmoid"), Dense(1, "sigmoid")], backend="numpy")
    model.compile("adam", "binary_crossentropy", metrics=["accuracy"])
    model.fit(x, y, epochs=20, verbose=0)
    assert model.evaluate(x, y, return_dict=True)["accuracy"] > 0.98


def test_ten_digits_are_learnt_in_a_few_epochs(backend):
    x, y = datasets.digits()
    utils.set_random_seed(0)
    model = Sequential([Input((64,)), Dense(25, "relu"), Dense(15, "relu"), Dense(10, "linear")], backend=backend)
    from_logits = losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizers.Adam(0.01), from_logits, metrics=["accuracy"])
    history = model.fit(x, y, epochs=5, validation_split=0.2, verbose=0).history
    assert history["accuracy"][0] < 0.8 < 0.95 < history["accuracy"][-1]
    assert history["val_accuracy"][-1] > 0.85
    assert (model.predict(x).argmax(axis=1) == y).mean() > 0.9


# Demand


def test_a_top_seller_has_two_of_affordability_awareness_and_perceived_quality():
    x, y = datasets.demand(n=500, seed=3)
    for (price, shipping, marketing, material), (top_seller,) in zip(x, y, strict=True):
        reasons = 0
        if price + shipping < 30:
            reasons += 1
        if marketing > 0.5:
            reasons += 1
        if 0.75 * material + 0.25 * price / 40 > 0.5:
            reasons += 1
        assert top_seller == (1.0 if reasons >= 2 else 0.0)


def test_demand_has_four_features_in_their_ranges():
    x, y = datasets.demand()
    assert (x.shape, y.shape) == ((400, 4), (400, 1))
    lows, highs = (5, 0, 0, 0), (40, 10, 1, 1)
    assert (x >= lows).all()
    assert (x < highs).all()
    assert (np.ptp(x, axis=0) > 0.95 * np.subtract(highs, lows)).all()
    assert 0.2 < y.mean() < 0.8


@pytest.mark.parametrize("load", [datasets.coffee, datasets.digits, datasets.demand])
def test_data_are_the_same_each_time_whatever_the_seed(load):
    draws = []
    for seed in (1, 2):
        utils.set_random_seed(seed)
        draws.append(load())
    for one, other in zip(*draws, strict=True):
        np.testing.assert_array_equal(one, other)


def test_demand_of_another_seed_or_size_is_another():
    x, _ = datasets.demand(10)
    assert all(not np.array_equal(a, b) for a, b in itertools.combinations([x, datasets.demand(10, seed=3)[0]], 2))
    np.testing.assert_array_equal(datasets.demand(4)[0], x[:4])
