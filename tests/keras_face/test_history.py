"""What training and evaluation report: losses, metrics, sample weights, validation, and the lines printed."""

from __future__ import annotations

import re

import numpy as np
import pytest

from core import Dense, History, Input, Sequential, optimizers, utils

NEVER = optimizers.SGD(0.0)  # trains nothing, so that a batch's values are those of the weights that are there


def values_of(model, x, y):
    """Return every example's cross-entropy and whether it is classified rightly, from predictions."""
    p = model.predict(x).astype("float64")
    return -(y * np.log(p) + (1 - y) * np.log(1 - p))[:, 0], ((p > 0.5) == (y > 0.5))[:, 0]


# History


def test_history_holds_python_floats_sorted_by_name_validation_last(numpy_net, roasts):
    history = numpy_net(metrics=["accuracy"]).fit(*roasts, epochs=3, validation_split=0.2, verbose=0)
    assert isinstance(history, History)
    assert list(history.history) == ["accuracy", "loss", "val_accuracy", "val_loss"]
    assert history.epoch == [0, 1, 2]
    assert [type(value) for values in history.history.values() for value in values] == [float] * 12


def test_without_metrics_and_validation_there_is_only_the_loss(numpy_net, roasts):
    assert list(numpy_net().fit(*roasts, verbose=0).history) == ["loss"]


def test_the_loss_and_the_accuracy_are_means_over_the_examples(coffee_net, roasts):
    model = coffee_net(NEVER, metrics=["accuracy"])
    loss, right = values_of(model, *roasts)
    history = model.fit(*roasts, verbose=0).history
    assert history == {"accuracy": [pytest.approx(right.mean())], "loss": [pytest.approx(loss.mean(), rel=1e-5)]}


def test_a_function_is_a_metric_under_its_name(numpy_net, roasts):
    def share_of_ones(target, prediction, *, xp):
        return target[:, 0]

    history = numpy_net(metrics=[share_of_ones]).fit(*roasts, verbose=0).history
    assert history["share_of_ones"] == [pytest.approx(roasts[1].mean())]


def test_a_function_of_keras_signature_is_a_metric_too(coffee_net, roasts):
    def near(y_true, y_pred):
        return abs(y_true - y_pred) < 0.5

    history = coffee_net(NEVER, metrics=["accuracy", near]).fit(*roasts, verbose=0).history
    assert history["near"] == pytest.approx(history["accuracy"])


@pytest.mark.parametrize("value", [lambda y_true, y_pred: 0.0, lambda y_true, y_pred: y_pred[0, :]])
def test_a_metric_without_a_value_for_each_example_says_so(numpy_net, roasts, value):
    with pytest.raises(ValueError, match=r"<lambda> must return a value for each of \d+ examples, got shape"):
        numpy_net(metrics=[value]).evaluate(*roasts)


@pytest.mark.parametrize("targets", ["sparse_categorical_crossentropy", "categorical_crossentropy"])
def test_accuracy_counts_the_classes_that_are_right(backend, generator, targets):
    x, classes = generator.normal(size=(50, 4)), generator.integers(0, 3, 50)
    model = Sequential([Input((4,)), Dense(3, "softmax")], backend=backend)
    model.compile(NEVER, targets, metrics=["accuracy"])
    right = (model.predict(x).argmax(axis=1) == classes).mean()
    y = classes if targets.startswith("sparse") else np.eye(3)[classes]
    assert model.fit(x, y, verbose=0).history["accuracy"] == [pytest.approx(right)]


# Validation


def test_validation_split_keeps_the_last_rows_and_shuffles_only_the_others(numpy_net, roasts):
    x, y = roasts
    histories = []
    for data in ({"validation_split": 0.25}, {"validation_data": (x[52:], y[52:])}):
        model = numpy_net(metrics=["accuracy"])
        utils.set_random_seed(4)
        rows = slice(None) if "validation_split" in data else slice(52)
        histories.append(model.fit(x[rows], y[rows], epochs=2, verbose=0, **data).history)
    assert histories[0] == histories[1]


def test_validation_is_with_the_weights_that_the_epoch_reached(coffee_net, roasts):
    x, y = roasts
    model = coffee_net(metrics=["accuracy"])
    history = model.fit(x, y, validation_data=(x[:20], y[:20]), verbose=0).history
    loss, right = values_of(model, x[:20], y[:20])
    assert history["val_loss"] == [pytest.approx(loss.mean(), rel=1e-5)]
    assert history["val_accuracy"] == [pytest.approx(right.mean())]


def test_validation_does_not_train(numpy_net, roasts):
    results = []
    for data in ({}, {"validation_data": roasts}):
        model = numpy_net()
        model.fit(*roasts, epochs=2, verbose=0, **data)
        results.append(model.get_weights())
    assert all(np.array_equal(a, b) for a, b in zip(*results, strict=True))


def test_beside_validation_data_a_split_is_ignored_as_in_keras(numpy_net, roasts):
    x, y = roasts
    both = numpy_net().fit(x, y, validation_split=0.25, validation_data=(x[:9], y[:9]), shuffle=False, verbose=0)
    expected = numpy_net().fit(x, y, validation_data=(x[:9], y[:9]), shuffle=False, verbose=0)
    assert both.history == expected.history


# Sample weights


def test_the_loss_is_weighted_and_divided_by_the_examples_and_metrics_are_not_weighted(coffee_net, roasts, generator):
    model, weights = coffee_net(NEVER, metrics=["accuracy"]), generator.uniform(0.0, 3.0, 70)
    loss, right = values_of(model, *roasts)
    expected = {
        "accuracy": pytest.approx(right.mean(), rel=1e-5),
        "loss": pytest.approx((weights * loss).sum() / 70, rel=1e-5),
    }
    history = model.fit(*roasts, sample_weight=weights, validation_data=(*roasts, weights), verbose=0).history
    assert {name: history[name][0] for name in expected} == expected
    assert {name: history[f"val_{name}"][0] for name in expected} == expected
    assert model.evaluate(*roasts, sample_weight=weights, batch_size=16, return_dict=True) == expected


def test_an_example_of_weight_zero_teaches_nothing(coffee_net, roasts):
    x, y = roasts[0][:32], roasts[1][:32]
    weighted, smaller = (
        coffee_net(optimizers.SGD(0.4)),
        coffee_net(optimizers.SGD(0.1)),
    )  # the mean is over 32 and over 8
    weighted.fit(x, y, sample_weight=np.repeat([1.0, 0.0], [8, 24]), verbose=0)
    smaller.fit(x[:8], y[:8], verbose=0)
    for a, b in zip(weighted.get_weights(), smaller.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


def test_weights_follow_their_examples_when_these_are_shuffled_and_split(coffee_net, roasts):
    x, y = roasts
    weights = np.where(y[:, 0] > 0, 2.0, 0.5)
    model = coffee_net(NEVER)
    loss, _ = values_of(model, x, y)
    history = model.fit(x, y, sample_weight=weights, validation_split=0.25, batch_size=8, verbose=0).history
    assert history["loss"] == [pytest.approx((weights * loss)[:52].mean(), rel=1e-5)]
    assert history["val_loss"] == [pytest.approx((weights * loss)[52:].mean(), rel=1e-5)]


def test_weights_give_the_loss_and_the_accuracy_that_they_give_in_keras(backend):
    model = Sequential([Input((1,)), Dense(1, "sigmoid")], backend=backend)
    model.set_weights([[[1.0]], [0.0]])
    model.compile(NEVER, "binary_crossentropy", metrics=["accuracy"])
    x, y, weights = np.array([[1.0], [1.0], [1.0], [-1.0]]), np.ones((4, 1)), np.array([1.0, 1.0, 1.0, 9.0])
    expected = [pytest.approx(3.1898, abs=1e-4), 0.75]  # Keras 3.15.1
    assert model.evaluate(x, y, sample_weight=weights) == expected
    history = model.fit(x, y, sample_weight=weights, validation_data=(x, y, weights), verbose=0).history
    assert [history[name][0] for name in ("loss", "accuracy")] == expected
    assert [history[name][0] for name in ("val_loss", "val_accuracy")] == expected


@pytest.mark.parametrize("on_backend", [False, True], ids=["host", "backend"])
def test_weights_may_be_a_column(backend, coffee_net, roasts, on_backend):
    weights = np.linspace(0.0, 2.0, 70)
    column = backend.asarray(weights[:, None]) if on_backend else weights[:, None]
    model = coffee_net()
    assert model.evaluate(*roasts, sample_weight=column) == model.evaluate(*roasts, sample_weight=weights)


def test_weights_that_are_all_zero_give_a_loss_of_zero(coffee_net, roasts):
    history = coffee_net().fit(*roasts, sample_weight=np.zeros(70), verbose=0).history
    assert history == {"loss": [0.0]}


# Evaluate


def test_evaluate_gives_the_loss_alone_where_there_are_no_metrics(coffee_net, roasts):
    model = coffee_net()
    loss = model.evaluate(*roasts)
    assert type(loss) is float
    assert loss == pytest.approx(values_of(model, *roasts)[0].mean(), rel=1e-5)
    assert model.evaluate(*roasts, return_dict=True) == {"loss": loss}


def test_evaluate_gives_a_list_that_begins_with_the_loss_and_keeps_the_order_of_the_metrics(coffee_net, roasts):
    def zero(target, prediction, *, xp):
        return prediction[:, 0] * 0.0

    model = coffee_net(metrics=[zero, "accuracy"])
    loss, right = values_of(model, *roasts)
    assert model.evaluate(*roasts) == [pytest.approx(loss.mean(), rel=1e-5), 0.0, pytest.approx(right.mean())]


def test_evaluate_gives_a_dict_where_one_is_asked_for(numpy_net, roasts):
    model = numpy_net(metrics=["accuracy"])
    loss, right = values_of(model, *roasts)
    expected = {"accuracy": pytest.approx(right.mean()), "loss": pytest.approx(loss.mean(), rel=1e-5)}
    assert model.evaluate(*roasts, return_dict=True) == expected


@pytest.mark.parametrize("batch_size", [1, 32, 70, 1000])
def test_the_batch_size_of_an_evaluation_changes_memory_and_not_the_result(numpy_net, roasts, batch_size):
    model = numpy_net()
    assert model.evaluate(*roasts, batch_size=batch_size) == pytest.approx(model.evaluate(*roasts), rel=1e-6)


# Lines


@pytest.fixture
def printed(monkeypatch, capsys, roasts):
    """Train two epochs and return the lines printed, on a terminal or not."""

    def train(model, *, terminal=False, **options):
        for variable in ("FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE", "NO_COLOR"):
            monkeypatch.delenv(variable, raising=False)
        if terminal:
            monkeypatch.setenv("FORCE_COLOR", "1")
        model.fit(*roasts, epochs=2, **options)
        return capsys.readouterr().out

    return train


@pytest.mark.parametrize("verbose", [1, 2, "auto"])
def test_every_epoch_prints_a_line_with_its_number_steps_and_values(numpy_net, printed, verbose):
    model = numpy_net(metrics=["accuracy"])
    lines = printed(model, verbose=verbose, validation_split=0.5).splitlines()
    number = r"\d+\.\d{4}"
    values = rf"accuracy: {number}  loss: {number}  val_accuracy: {number}  val_loss: {number}"
    for epoch, line in enumerate(lines, start=1):
        assert re.fullmatch(rf"Epoch {epoch}/2  2/2  \d+\.\ds \d+us/step  {values}", line)
    assert len(lines) == 2


def test_a_silent_training_prints_nothing(numpy_net, printed):
    assert printed(numpy_net(), verbose=0) == ""


def test_on_a_terminal_a_bar_moves_and_the_lines_stay(numpy_net, printed):
    text = printed(numpy_net(), terminal=True, batch_size=4)
    assert "━" in text
    assert len(re.findall(r"^.*Epoch \d/2  18/18  .*loss: \d+\.\d{4}$", text, re.MULTILINE)) == 2


@pytest.mark.parametrize("use", ["predict", "evaluate"])
def test_predicting_and_evaluating_print_nothing_unless_asked(numpy_net, roasts, capsys, use):
    model = numpy_net()
    model.predict(roasts[0]) if use == "predict" else model.evaluate(*roasts)
    assert capsys.readouterr().out == ""
