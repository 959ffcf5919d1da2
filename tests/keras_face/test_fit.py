"""Training: the steps that `fit` takes, and what carries over from one call to the next."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import backends
from core import Dense, Input, Normalization, Sequential, config, losses, optimizers, utils
from core.layout import Layout
from core.step import Training, objective

few = settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(autouse=True)
def float64():
    """Let every difference beyond rounding show."""
    config.set_floatx("float64")


def in_order(n, size=32):
    return [np.arange(n)[start : start + size] for start in range(0, n, size)]


def train_by_hand(model, optimizer, loss, x, y, batches):
    """Take one step of core.step on each batch of rows, on NumPy; return the weights reached and all rows' losses."""
    xp = backends.get("numpy").xp
    start = tuple(tuple(layer.get_weights()) for layer in model.layers)
    training = Training(objective(tuple(model.layers), losses.get(loss)), optimizer, Layout.of(start, flat=False))
    state, seen = training.start(start, np.zeros(()), xp=xp), []
    for rows in batches:
        state, alpha = training.plan(state, xp=xp)
        state, output = training.step(state, (x[rows], y[rows]), alpha, xp=xp)
        seen.extend(training.objective.values(y[rows], output, xp=xp))
    return [w for own in training.weights(state, xp=xp) for w in own], seen


def assert_same(weights, expected, **tolerance):
    for weight, other in zip(weights, expected, strict=True):
        np.testing.assert_allclose(weight, other, **{"rtol": 1e-9, "atol": 1e-12, **tolerance})


# Steps


def test_a_learning_rate_of_numpy_trains_as_the_number_that_it_is(coffee_net, roasts):
    config.set_floatx("float32")
    model, same = coffee_net(optimizers.Adam(np.float64(0.01))), coffee_net(optimizers.Adam(0.01))
    assert model.fit(*roasts, shuffle=False, verbose=0).history == same.fit(*roasts, shuffle=False, verbose=0).history
    assert {weight.dtype.name for weight in model.get_weights()} == {"float32"}


def test_an_epoch_is_a_step_on_every_32_rows_and_one_on_the_rest(coffee_net, roasts):
    model, adam = coffee_net(optimizers.Adam(0.01)), optimizers.Adam(0.01)
    expected, seen = train_by_hand(model, adam, "binary_crossentropy", *roasts, in_order(70))
    history = model.fit(*roasts, shuffle=False, verbose=0).history
    assert [len(values) for values in seen] == [32, 32, 6]
    assert_same(model.get_weights(), expected)
    assert history["loss"] == pytest.approx([np.concatenate(seen).mean()], rel=1e-9)
    assert history["loss"] != pytest.approx([np.mean([values.mean() for values in seen])], rel=1e-4)


@pytest.mark.parametrize("optimizer", [optimizers.SGD(0.1), optimizers.Adam()], ids=["sgd", "adam"])
def test_a_shuffled_epoch_takes_the_rows_in_the_order_of_the_seeded_generator(coffee_net, roasts, optimizer):
    model, generator = coffee_net(optimizer), np.random.default_rng(9)
    orders = [generator.permutation(70) for _ in range(2)]
    batches = [order[rows] for order in orders for rows in in_order(70)]
    expected, seen = train_by_hand(model, optimizer, "binary_crossentropy", *roasts, batches)
    utils.set_random_seed(9)
    history = model.fit(*roasts, epochs=2, verbose=0).history
    assert_same(model.get_weights(), expected)
    epochs = np.concatenate(seen[:3]).mean(), np.concatenate(seen[3:]).mean()
    assert history["loss"] == pytest.approx(epochs, rel=1e-9)


@given(n=st.integers(1, 7), batch_size=st.integers(1, 9), features=st.integers(1, 3), units=st.integers(1, 3))
@few
def test_every_shape_of_data_and_batch_is_trained_on(backend, n, batch_size, features, units):
    generator = np.random.default_rng(n)
    x, y = generator.normal(size=(n, features)), generator.normal(size=(n, units))
    model = Sequential([Input((features,)), Dense(units, "tanh")], backend=backend)
    model.compile(optimizers.SGD(0.5), "mse")
    expected, seen = train_by_hand(model, optimizers.SGD(0.5), "mse", x, y, in_order(n, batch_size))
    history = model.fit(x, y, batch_size=batch_size, shuffle=False, verbose=0).history
    assert_same(model.get_weights(), expected)
    assert history["loss"] == pytest.approx([np.concatenate(seen).mean()], rel=1e-9)


@pytest.mark.parametrize("steps", [1, 2, 3, 100])
def test_how_many_steps_run_between_two_moves_of_the_bar_changes_nothing(coffee_net, roasts, steps):
    results = []
    for chosen in (None, steps):
        model = coffee_net()
        history = model.fit(*roasts, batch_size=8, epochs=2, verbose=0, steps_per_execution=chosen).history
        results.append([*model.get_weights(), history["loss"]])
    assert_same(*results)


def test_every_backend_trains_as_numpy_does(coffee_net, roasts):
    results = []
    for on in ({}, {"on": "numpy"}):
        model = coffee_net(metrics=["accuracy"], **on)
        history = model.fit(*roasts, epochs=3, validation_split=0.2, verbose=0).history
        results.append([*model.get_weights(), *history.values()])
    assert_same(*results)


def test_training_lowers_the_loss_and_raises_the_accuracy(coffee_net, roasts):
    history = coffee_net(optimizers.Adam(0.1), metrics=["accuracy"]).fit(*roasts, epochs=20, verbose=0).history
    assert history["loss"][-1] < 0.3 < 0.6 < history["loss"][0]
    assert history["accuracy"][-1] > 0.9 > history["accuracy"][0]


def test_data_are_left_as_they_were(coffee_net, roasts):
    for array in roasts:
        array.flags.writeable = False
    coffee_net().fit(*roasts, verbose=0, validation_split=0.5, sample_weight=roasts[1][:, 0])


FORMS = {
    "a vector": lambda y: y[:, 0],
    "a list": lambda y: y.tolist(),
    "booleans": lambda y: y > 0,
    "small integers": lambda y: y.astype("uint8"),
    "real numbers of half the width": lambda y: y.astype("float32"),
}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_targets_may_be_a_column_a_vector_a_list_or_of_another_type(numpy_net, roasts, form):
    x, y = roasts
    expected = numpy_net().fit(x, y, shuffle=False, verbose=0).history
    assert numpy_net().fit(x, form(y), shuffle=False, verbose=0).history == expected


def test_layers_that_are_not_trainable_stay_as_they_were(backend, generator):
    x, normalization = generator.normal(3.0, 2.0, size=(40, 2)), Normalization()
    normalization.adapt(x)
    model = Sequential([normalization, Dense(3, "tanh", trainable=False), Dense(1)], backend=backend)
    model.build((None, 2))
    before = model.get_weights()
    model.compile("sgd", "mse")
    model.fit(x, x[:, 0], verbose=0)
    changed = [not np.array_equal(a, b) for a, b in zip(model.get_weights(), before, strict=True)]
    assert changed == [False] * 5 + [True] * 2


# Order


def test_without_shuffling_the_seed_does_not_matter(numpy_net, roasts):
    results = []
    for seed in (1, 2):
        model = numpy_net(seed=0)
        utils.set_random_seed(seed)
        history = model.fit(*roasts, epochs=2, shuffle=False, verbose=0).history
        results.append([*model.get_weights(), history["loss"]])
    assert_same(*results, rtol=0, atol=0)


@pytest.mark.parametrize(("seeds", "same"), [((1, 1), True), ((1, 2), False)])
def test_shuffling_follows_the_seed(numpy_net, roasts, seeds, same):
    losses_seen = []
    for seed in seeds:
        model = numpy_net(seed=0)
        utils.set_random_seed(seed)
        losses_seen.append(model.fit(*roasts, epochs=2, verbose=0).history["loss"])
    assert (losses_seen[0] == losses_seen[1]) is same


# From one call to the next


@pytest.mark.parametrize(
    "optimizer", [optimizers.SGD(0.1, momentum=0.9), optimizers.Adam(0.01)], ids=["momentum", "adam"]
)
def test_a_second_fit_goes_on_where_the_first_stopped(coffee_net, roasts, optimizer):
    once, twice = coffee_net(optimizer), coffee_net(optimizer)
    expected = once.fit(*roasts, epochs=2, shuffle=False, verbose=0).history["loss"]
    parts = [twice.fit(*roasts, shuffle=False, verbose=0).history["loss"] for _ in range(2)]
    assert [loss for part in parts for loss in part] == pytest.approx(expected, rel=1e-12)
    assert_same(twice.get_weights(), once.get_weights())


def test_compiling_again_forgets_the_running_averages_but_not_the_weights(numpy_net, roasts):
    again, fresh, on = numpy_net(), numpy_net(), numpy_net()
    for model in (again, on):
        model.fit(*roasts, shuffle=False, verbose=0)
    fresh.set_weights(again.get_weights())
    again.compile("adam", "binary_crossentropy")
    for model in (again, fresh, on):
        model.fit(*roasts, shuffle=False, verbose=0)
    assert_same(again.get_weights(), fresh.get_weights())
    assert not np.allclose(again.get_weights()[0], on.get_weights()[0], rtol=1e-9)


def test_weights_that_are_set_between_two_fits_are_where_the_second_starts(numpy_net, roasts):
    model = numpy_net("sgd")
    start = model.get_weights()
    first = model.fit(*roasts, shuffle=False, verbose=0).history
    model.set_weights(start)
    assert model.fit(*roasts, shuffle=False, verbose=0).history == first


def test_predicting_and_evaluating_change_nothing(numpy_net, roasts):
    interrupted, straight = numpy_net(), numpy_net()
    for _ in range(2):
        interrupted.fit(*roasts, shuffle=False, verbose=0)
        interrupted.predict(roasts[0])
        interrupted.evaluate(*roasts)
    straight.fit(*roasts, epochs=2, shuffle=False, verbose=0)
    assert_same(interrupted.get_weights(), straight.get_weights())


def test_no_epochs_train_nothing(numpy_net, roasts):
    model = numpy_net()
    before = model.get_weights()
    history = model.fit(*roasts, epochs=0, verbose=0)
    assert (history.history, history.epoch) == ({}, [])
    assert_same(model.get_weights(), before, rtol=0, atol=0)
