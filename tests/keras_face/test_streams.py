"""What is larger than memory: arrays on disk, and batches that come one after the other."""

from __future__ import annotations

import itertools
import re
import threading

import numpy as np
import pytest

from core import Dense, Sequential, data, losses, utils
from core.batches import Stored, ahead, are_batches, on_disk
from core.data import Form, steps_at_once
from core.progress import EpochProgress
from core.training import Trainer

CHUNK = 20 * 12  # bytes: 20 rows of the coffee network in float32


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch):
    """Let 70 examples be many chunks, and see that no thread outlives a test."""
    monkeypatch.setattr(data, "CHUNK_BYTES", CHUNK)
    yield
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("ahead")]


class OnDisk:
    """An array as h5py has it, that counts what is read of it, and is never read as a whole."""

    def __init__(self, array):
        self._array, self.shape, self.dtype, self.read = array, array.shape, array.dtype, []

    def __getitem__(self, rows):
        self.read.append(rows.stop - rows.start)
        return self._array[rows]

    def __array__(self, *_, **__):
        raise AssertionError("read as a whole")


@pytest.fixture
def mapped(tmp_path):
    """Write an array to a file and map it."""
    numbers = itertools.count()

    def write(array):
        file = np.memmap(tmp_path / str(next(numbers)), array.dtype, "w+", shape=array.shape)
        file[...] = array
        return file

    return write


KINDS = {"memmap": lambda mapped: mapped, "h5py's": lambda mapped: OnDisk}
every_kind = pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)


def same(results, expected):
    for result, other in zip(results, expected, strict=True):
        np.testing.assert_array_equal(result, other)


def in_batches(*arrays, size=32):
    for start in range(0, len(arrays[0]), size):
        chosen = tuple(array[start : start + size] for array in arrays)
        yield chosen if len(chosen) > 1 else chosen[0]


class Again:
    """Batches that can be passed through again, and count how often they are."""

    def __init__(self, *arrays, size=32):
        self._given, self.passes = (arrays, size), 0

    def __iter__(self):
        self.passes += 1
        return in_batches(*self._given[0], size=self._given[1])


class Dataset:
    """Batches as a keras.utils.PyDataset has them: by number, whatever the number."""

    def __init__(self, *arrays, size=32):
        self._batches, self.events = list(in_batches(*arrays, size=size)), []

    def __len__(self):
        return len(self._batches)

    def __getitem__(self, number):
        return self._batches[number % len(self._batches)]

    def on_epoch_begin(self):
        self.events.append("begin")

    def on_epoch_end(self):
        self.events.append("end")


# What is what

TABLE = {
    "an array": (np.zeros((2, 2)), ""),
    "a list": ([[1.0, 2.0]], ""),
    "a tuple": (([1.0, 2.0],), ""),
    "a number": (3.0, ""),
    "a dict": ({"x": [1.0]}, ""),
    "words": ("ab", ""),
    "nothing": (None, ""),
    "an array on disk": (OnDisk(np.zeros((2, 2))), "on disk"),
    "a generator": ((x for x in [1]), "batches"),
    "what can be iterated": (Again(np.zeros(3)), "batches"),
    "what has a length and items": (Dataset(np.zeros(3)), "batches"),
}


@pytest.mark.parametrize(("values", "kind"), TABLE.values(), ids=TABLE)
def test_arrays_arrays_on_disk_and_batches_are_told_apart(values, kind):
    assert (on_disk(values), are_batches(values)) == (kind == "on disk", kind == "batches")


def test_a_memmap_and_its_slices_are_on_disk_and_its_copies_are_not(mapped):
    file = mapped(np.zeros((4, 2)))
    assert on_disk(file)
    assert on_disk(file[1:])
    assert not on_disk(np.array(file))
    assert not on_disk(file + 1.0)


def test_arrays_of_the_backend_are_neither(backend):
    array = backend.asarray(np.zeros((2, 2)))
    assert (on_disk(array), are_batches(array)) == (False, False)


# Arrays on disk


@every_kind
@pytest.mark.parametrize("weighted", [False, True])
def test_in_order_an_array_on_disk_trains_as_one_in_memory_bit_for_bit(coffee_net, mapped, roasts, kind, weighted):
    to_disk, results = kind(mapped), []
    weights = np.linspace(0.0, 2.0, 70) if weighted else None
    for place in (lambda array: array, to_disk):
        model, x, y = coffee_net(metrics=["accuracy"]), *map(place, roasts)
        own = None if weights is None else place(weights)
        history = model.fit(x, y, batch_size=8, epochs=2, shuffle=False, sample_weight=own, verbose=0).history
        results.append([*model.get_weights(), *history.values()])
        results[-1] += [model.predict(x), model.evaluate(x, y, sample_weight=own)]
    same(*results)


def test_class_numbers_on_disk_are_taken_and_checked(backend, generator):
    x, y = generator.normal(size=(50, 4)), generator.integers(0, 3, 50)
    results = []
    for place in (lambda array: array, OnDisk):
        utils.set_random_seed(1)
        model = Sequential([Dense(3, "softmax")], backend=backend)
        model.compile("sgd", "sparse_categorical_crossentropy", metrics=["accuracy"])
        history = model.fit(place(x), place(y), batch_size=4, shuffle=False, verbose=0).history
        results.append([*model.get_weights(), *history.values()])
    same(*results)
    y[40] = 3
    with pytest.raises(ValueError, match="y must hold class numbers from 0 to 2"):
        model.fit(OnDisk(x), OnDisk(y), batch_size=4, shuffle=False, verbose=0)


def test_one_array_may_be_on_disk_and_the_others_in_memory(backend, coffee_net, roasts):
    x, y = roasts
    expected = coffee_net().fit(x, y, shuffle=False, verbose=0).history
    assert coffee_net().fit(OnDisk(x), y.tolist(), shuffle=False, verbose=0).history == expected
    assert coffee_net().fit(backend.asarray(x), OnDisk(y[:, 0]), shuffle=False, verbose=0).history == expected


@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("n", [70, 700])
def test_the_largest_piece_that_is_read_does_not_grow_with_the_array(numpy_net, generator, n, shuffle):
    x, y = OnDisk(generator.normal(size=(n, 2))), OnDisk(np.ones(n))
    model = numpy_net()
    model.fit(x, y, batch_size=10, epochs=2, validation_split=0.2, shuffle=shuffle, verbose=0)
    model.evaluate(x, y)
    model.predict(x)
    assert max(x.read + y.read) <= data.FEWEST_ROWS
    assert (sum(x.read), sum(y.read)) == (4 * n, 3 * n)


def test_the_last_rows_validate_an_array_on_disk_as_one_in_memory(numpy_net, roasts):
    histories = [
        numpy_net().fit(*map(place, roasts), validation_split=0.25, epochs=2, shuffle=False, verbose=0).history
        for place in (np.asarray, OnDisk)
    ]
    assert histories[0] == histories[1]
    beside = numpy_net().fit(*roasts, validation_data=tuple(map(OnDisk, roasts)), shuffle=False, verbose=0).history
    assert beside == numpy_net().fit(*roasts, validation_data=roasts, shuffle=False, verbose=0).history


REFUSED = {
    "too many features": (np.zeros((7, 3)), np.zeros(7), r"^x must have shape \(examples, 2\), got \(7, 3\)"),
    "no matrix": (np.zeros(7), np.zeros(7), "^x must have shape"),
    "words": (np.array([["a", "b"]] * 7), np.zeros(7), "^x must be an array of real numbers, got dtype <U1"),
    "too few targets": (np.zeros((7, 2)), np.zeros(6), "^y must have shape"),
    "no examples": (np.zeros((0, 2)), np.zeros(0), "^x has no examples"),
}


@pytest.mark.parametrize(("x", "y", "message"), REFUSED.values(), ids=REFUSED)
def test_an_array_on_disk_that_does_not_fit_is_refused_before_it_is_read(numpy_net, x, y, message):
    x, y = OnDisk(x), OnDisk(y)
    for use in (numpy_net().fit, numpy_net().evaluate):
        with pytest.raises(ValueError, match=message):
            use(x, y)
    assert x.read + y.read == []


def test_no_rows_on_disk_have_no_predictions(numpy_net):
    assert numpy_net().predict(OnDisk(np.zeros((0, 2)))).shape == (0, 1)


# Shuffling them


@pytest.fixture
def epoch(numpy_net):
    """Give the rows of an epoch in the order in which they are trained on, in batches."""
    model = numpy_net()
    form = Form(2, tuple(model.layers), losses.get("mse"), "float32", model.backend)

    def rows(n, batch_size=4):
        numbers = np.arange(n, dtype="float64")
        stored = Stored.of((OnDisk(np.stack([numbers, numbers], axis=1)), numbers), form)
        executions = [execution.data for execution in stored.executions(batch_size, None, shuffle=True)]
        assert all(np.array_equal(x[..., 0], y[..., 0]) for x, y in executions)
        return [batch for _, y in executions for batch in y[..., 0].astype(int).tolist()]

    return rows


@pytest.mark.parametrize("n", [1, 3, 4, 19, 20, 21, 70, 1000])
def test_a_shuffled_epoch_has_every_row_once_in_batches_of_one_size(epoch, n):
    read = epoch(n)
    assert sorted(itertools.chain(*read)) == list(range(n))
    assert [len(batch) for batch in read] == [4] * (n // 4) + [n % 4] * (n % 4 > 0)


def test_the_rows_of_a_chunk_come_from_all_over_the_file_and_are_mixed(epoch, monkeypatch):
    monkeypatch.setattr(data, "CHUNK_BYTES", 1000 * 12)
    read = epoch(20_000, 100)
    chunk = np.array(read[:10]).ravel()
    assert len(np.unique(chunk // 1000)) > 12  # of 20
    assert np.abs(np.diff(chunk)).mean() > 3000
    assert min(np.ptp(batch) for batch in read) > 10_000


def test_every_epoch_has_an_order_of_its_own_that_follows_the_seed(epoch):
    orders = []
    for seed in (3, 3, 4):
        utils.set_random_seed(seed)
        orders.append([epoch(70), epoch(70)])
    assert orders[0] == orders[1] != orders[2]
    assert orders[0][0] != orders[0][1]


def test_training_shuffled_from_disk_follows_the_seed(numpy_net, roasts):
    seen = []
    for seed in (1, 1, 2):
        model = numpy_net(seed=0)
        utils.set_random_seed(seed)
        seen.append(model.fit(*map(OnDisk, roasts), epochs=2, verbose=0).history["loss"])
    assert seen[0] == seen[1] != seen[2]


# Batches


@pytest.mark.parametrize("kind", [Again, Dataset])
@pytest.mark.parametrize("weighted", [False, True])
def test_batches_train_as_the_arrays_they_are_cut_from(coffee_net, roasts, kind, weighted):
    arrays = (*roasts, np.linspace(0.0, 2.0, 70)) if weighted else roasts
    named = dict(zip(("x", "y", "sample_weight"), arrays, strict=False))
    cut, whole = coffee_net(metrics=["accuracy"]), coffee_net(metrics=["accuracy"])
    history = cut.fit(kind(*arrays, size=8), epochs=2, validation_data=kind(*arrays), verbose=0).history
    expected = whole.fit(**named, batch_size=8, epochs=2, shuffle=False, validation_data=arrays, verbose=0).history
    assert history == {name: pytest.approx(values, rel=1e-6) for name, values in expected.items()}
    for weight, other in zip(cut.get_weights(), whole.get_weights(), strict=True):
        np.testing.assert_allclose(weight, other, rtol=1e-5, atol=1e-7)
    assert cut.evaluate(kind(*arrays)) == pytest.approx(whole.evaluate(**named), rel=1e-6)


def test_predictions_of_batches_are_joined(coffee_net, roasts):
    model, (x, y) = coffee_net(), roasts
    expected = model.predict(x)
    for given in (in_batches(x), Again(x), Dataset(x, y), in_batches(x.tolist())):
        np.testing.assert_allclose(model.predict(given), expected, rtol=1e-6)


def test_batches_of_the_backend_are_taken(backend, coffee_net, roasts):
    placed = [tuple(map(backend.asarray, batch)) for batch in in_batches(*roasts)]
    expected = coffee_net().fit(Again(*roasts), verbose=0).history
    assert coffee_net().fit(iter(placed), verbose=0).history == expected


def test_the_first_batch_builds_the_model(backend, roasts):
    for use in ("fit", "evaluate", "predict"):
        model = Sequential([Dense(1, "sigmoid")], backend=backend)
        model.compile("sgd", "mse")
        getattr(model, use)(Again(*roasts))
        assert model.get_weights()[0].shape == (2, 1)


def test_an_epoch_is_one_pass(numpy_net, roasts):
    again = Again(*roasts)
    numpy_net().fit(again, epochs=3, verbose=0)
    assert again.passes == 3


@pytest.mark.parametrize("steps", [None, 2, 5])
def test_a_dataset_is_told_where_an_epoch_begins_and_where_it_ends(numpy_net, roasts, steps):
    dataset, model = Dataset(*roasts), numpy_net()
    model.fit(dataset, epochs=3, steps_per_epoch=steps, verbose=0)
    assert dataset.events == ["begin", "end"] * 3
    for use in (model.evaluate, model.predict):
        dataset.events.clear()
        use(dataset, steps=steps)
        assert dataset.events == ["begin", "end"]


@pytest.mark.parametrize("kind", [Again, Dataset])
def test_every_validation_is_on_the_same_first_batches(numpy_net, roasts, kind):
    x, y = roasts
    history = numpy_net("sgd").fit(
        x, y, validation_data=kind(x, y, size=10), validation_steps=3, epochs=3, shuffle=False, verbose=0
    )
    expected = numpy_net("sgd").fit(x, y, validation_data=(x[:30], y[:30]), epochs=3, shuffle=False, verbose=0)
    assert history.history["val_loss"] == pytest.approx(expected.history["val_loss"], rel=1e-6)


def test_batches_of_torchs_loaders_which_are_lists_are_trained_on_judged_and_predicted(numpy_net, roasts):
    data_of_torch = pytest.importorskip("torch.utils.data")
    torch, model = pytest.importorskip("torch"), numpy_net()
    x, y = map(torch.tensor, roasts)
    both = data_of_torch.DataLoader(data_of_torch.TensorDataset(x, y), batch_size=32)
    alone = data_of_torch.DataLoader(data_of_torch.TensorDataset(x), batch_size=32)
    model.fit(both, verbose=0)
    assert model.evaluate(both) == pytest.approx(model.evaluate(*roasts), rel=1e-6)
    for given in (both, alone):
        np.testing.assert_allclose(model.predict(given), model.predict(roasts[0]), rtol=1e-6)


def test_with_steps_per_epoch_an_epoch_goes_on_where_the_last_one_stopped(numpy_net, roasts):
    endless, model = itertools.cycle(in_batches(*roasts, size=10)), numpy_net()
    history = model.fit(endless, epochs=2, steps_per_epoch=7, verbose=0).history
    whole = numpy_net().fit(*roasts, batch_size=10, epochs=2, shuffle=False, verbose=0).history
    assert history["loss"] == pytest.approx(whole["loss"], rel=1e-6)
    assert len(next(endless)[0]) == 10  # not a batch too many was taken: the next is the first again
    again, three = Again(*roasts, size=10), numpy_net()
    assert three.fit(again, epochs=3, steps_per_epoch=7, verbose=0).history["loss"][:2] == history["loss"]


def test_of_batches_without_an_end_some_are_judged_and_predicted(numpy_net, roasts):
    model, (x, y) = numpy_net(), roasts
    endless = itertools.cycle(in_batches(x, y, size=10))
    assert model.evaluate(endless, steps=7) == pytest.approx(model.evaluate(x, y), rel=1e-6)
    assert next(endless)[0] is not None
    assert model.predict(itertools.cycle(in_batches(x, size=10)), steps=3).shape == (30, 1)
    model.fit(*roasts, validation_data=endless, validation_steps=2, epochs=2, verbose=0)


def test_batches_of_several_sizes_are_taken_as_they_come(coffee_net, roasts):
    x, y = roasts
    cuts = [slice(0, 5), slice(5, 10), slice(10, 40), slice(40, 41), slice(41, 70)]
    model, by_hand = coffee_net(), coffee_net()
    loss = model.fit(((x[rows], y[rows]) for rows in cuts), verbose=0).history["loss"][0]
    own = [by_hand.fit(x[rows], y[rows], batch_size=70, shuffle=False, verbose=0).history["loss"][0] for rows in cuts]
    assert loss == pytest.approx(np.average(own, weights=[5, 5, 30, 1, 29]), rel=1e-5)
    for weight, other in zip(model.get_weights(), by_hand.get_weights(), strict=True):
        np.testing.assert_allclose(weight, other, rtol=1e-4, atol=1e-6)


def test_a_generator_may_fill_the_same_arrays_again_and_again(numpy_net, roasts):
    def refilling():
        x, y = np.empty((10, 2), "float32"), np.empty((10, 1), "float32")
        for x[...], y[...] in in_batches(*roasts, size=10):
            yield x, y

    expected = numpy_net().fit(Again(*roasts, size=10), verbose=0).history
    assert numpy_net().fit(refilling(), verbose=0).history == expected
    assert numpy_net().evaluate(refilling()) == numpy_net().evaluate(Again(*roasts, size=10))


def test_the_number_of_steps_is_shown_where_it_is_known(numpy_net, roasts, capsys):
    for given, steps in ((Again(*roasts), "3"), (Dataset(*roasts), "3/3")):
        numpy_net().fit(given, verbose=2)
        assert f"Epoch 1/1  {steps}  " in capsys.readouterr().out


def test_batches_that_cannot_tell_their_number_are_taken_all_the_same(numpy_net, roasts, capsys):
    class Unsized(Again):  # as a data loader of torch over data without a length
        def __len__(self):
            raise TypeError("no length")

    numpy_net().fit(Unsized(*roasts), verbose=2)
    assert "Epoch 1/1  3  " in capsys.readouterr().out


# Batches that are none, or do not fit


def test_a_batch_that_does_not_fit_is_told_by_its_number(coffee_net, roasts):
    x, y = roasts
    wrong = {
        "batch 2: x must have shape (examples, 2), got (2, 3)": (np.zeros((2, 3)), y[:2]),
        "batch 2: y must have shape (2, 1)": (x[:2], y[:5]),
        "batch 2: it must be (x, y) or (x, y, sample_weight)": x[:2],
        "batch 2: x must be an array of real numbers": (["a"], y[:1]),
        "batch 2: x has no examples": (x[:0], y[:0]),
    }
    model = coffee_net()
    before = model.get_weights()
    for message, batch in wrong.items():
        for use in (lambda given: model.fit(given, verbose=0), model.evaluate):
            with pytest.raises(ValueError, match=re.escape(message)):
                use(iter([(x[:4], y[:4]), batch]))
    same(model.get_weights(), before)


ENDED = [
    ({"epochs": 2}, "x can be passed through once, and there are 2 epochs; give steps_per_epoch"),
    ({"steps_per_epoch": 5}, "the batches ended after 3; an epoch takes 5"),
    ({"steps_per_epoch": 2, "epochs": 2}, "the batches ended after 1; an epoch takes 2"),
]


@pytest.mark.parametrize(("options", "message"), ENDED)
def test_a_generator_that_ends_too_early_is_one_sentence(numpy_net, roasts, options, message):
    with pytest.raises(ValueError, match=message):
        numpy_net().fit(in_batches(*roasts), verbose=0, **options)


@pytest.mark.parametrize("steps", [None, 2])
def test_no_batches_are_nothing_to_learn_judge_or_predict(numpy_net, steps):
    model = numpy_net()
    for use, option in ((model.fit, "steps_per_epoch"), (model.evaluate, "steps"), (model.predict, "steps")):
        with pytest.raises(ValueError, match="the batches ended after 0"):
            use(iter([]), **{option: steps})


OPTIONS = [
    ({"y": np.zeros(70)}, "x gives batches, which leave no room for y"),
    ({"batch_size": 32, "sample_weight": np.ones(70)}, "no room for batch_size and sample_weight"),
    ({"validation_split": 0.1}, "no room for validation_split"),
    ({"steps_per_epoch": 0}, "steps_per_epoch must be a positive whole number, got 0"),
    ({"validation_data": iter([]), "validation_steps": 0}, "validation_steps must be a positive whole number, got 0"),
    ({"validation_data": iter([]), "epochs": 2}, "validation_data can be passed through once"),
]


@pytest.mark.parametrize(("options", "message"), OPTIONS)
def test_what_makes_no_sense_with_batches_is_refused_by_name(numpy_net, roasts, options, message):
    with pytest.raises(ValueError, match=message):
        numpy_net().fit(Again(*roasts), verbose=0, **options)


def test_steps_are_for_batches(numpy_net, roasts):
    model, (x, y) = numpy_net(), roasts
    for use in (
        lambda: model.fit(x, y, steps_per_epoch=2, verbose=0),
        lambda: model.fit(OnDisk(x), y, steps_per_epoch=2, verbose=0),
        lambda: model.evaluate(x, y, steps=2),
        lambda: model.predict(x, steps=2),
        lambda: model.predict(OnDisk(x), steps=2),
    ):
        with pytest.raises(ValueError, match=r"^steps(_per_epoch)? is for batches; arrays are taken as a whole"):
            use()


# One chunk ahead


def test_one_item_is_made_ahead_and_no_more():
    made = []

    def items():
        for number in range(5):
            made.append(number)
            yield number

    seen = []
    for number in ahead(items()):
        seen.append(number)
        assert len(made) <= len(seen) + 1
    assert seen == made == list(range(5))


@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt])
def test_an_error_of_whoever_makes_the_batches_reaches_the_caller(coffee_net, roasts, error):
    def broken():
        yield from in_batches(*roasts)
        raise error("the disk is gone")

    model = coffee_net()
    before = model.get_weights()
    with pytest.raises(error, match="the disk is gone"):
        model.fit(broken(), verbose=0)
    same(model.get_weights(), before)


@pytest.mark.parametrize("source", ["batches", "on disk"])
def test_an_interrupted_training_leaves_no_thread_and_the_weights_of_the_epochs_start(
    numpy_net, roasts, monkeypatch, source
):
    def interrupt(*_):
        assert any(thread.name.startswith("ahead") for thread in threading.enumerate())
        raise KeyboardInterrupt

    monkeypatch.setattr(EpochProgress, "update", interrupt)
    model = numpy_net()
    before = model.get_weights()
    given = (Again(*roasts, size=8),) if source == "batches" else map(OnDisk, roasts)
    with pytest.raises(KeyboardInterrupt):
        model.fit(*given, verbose=0)
    same(model.get_weights(), before)
    monkeypatch.undo()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("ahead")]


# Executions


@pytest.mark.parametrize(
    ("steps", "limit", "most", "expected"),
    [(10, 100, None, 10), (10, 6, None, 5), (11, 6, None, 6), (10, 0, None, 1), (0, 6, None, 1), (10, 100, 4, 4)],
)
def test_an_execution_takes_a_number_of_steps_that_divides_the_epoch_where_there_is_one(steps, limit, most, expected):
    assert steps_at_once(steps, limit, most) == expected


@pytest.mark.parametrize("form", ["in memory", "on disk", "batches"])
@pytest.mark.parametrize("n", [63, 70, 103])
def test_an_epoch_has_executions_of_three_shapes_at_most_and_no_more_rows_than_a_chunk(
    numpy_net, generator, monkeypatch, form, n
):
    shapes, run = [], Trainer._run

    def watched(self, state, given, order):
        shapes.append(given[0].shape[:2] if order is None else order.shape)
        return run(self, state, given, order)

    monkeypatch.setattr(Trainer, "_run", watched)
    monkeypatch.setattr(data, "STEPS_AT_LEAST", 1)
    x, y = generator.normal(size=(n, 2)), np.ones((n, 1))
    given = {"in memory": (x, y), "on disk": (OnDisk(x), y), "batches": (Again(x, y, size=4),)}[form]
    numpy_net().fit(*given, **({} if form == "batches" else {"batch_size": 4}), epochs=2, verbose=0)
    assert len(set(shapes)) <= 3
    assert max(steps * batch for steps, batch in shapes) <= CHUNK / 12
    assert sum(steps * batch for steps, batch in shapes) == 2 * n


def test_wide_examples_in_memory_are_trained_on_for_several_steps_at_once(numpy_net, generator, monkeypatch):
    monkeypatch.setattr(data, "CHUNK_BYTES", 1)
    orders, run = [], Trainer._run
    monkeypatch.setattr(Trainer, "_run", lambda self, *given: (orders.append(given[2].shape), run(self, *given))[1])
    numpy_net().fit(generator.normal(size=(130, 2)), np.ones((130, 1)), batch_size=4, verbose=0)
    assert orders == [(16, 4), (16, 4), (1, 2)]


def test_rows_wider_than_a_chunk_are_trained_on_a_batch_at_a_time(coffee_net, roasts, monkeypatch):
    monkeypatch.setattr(data, "CHUNK_BYTES", 1)
    narrow = coffee_net().fit(*roasts, batch_size=8, verbose=0).history["loss"]
    monkeypatch.setattr(data, "CHUNK_BYTES", 1 << 20)
    assert narrow == pytest.approx(coffee_net().fit(*roasts, batch_size=8, verbose=0).history["loss"], rel=1e-6)


def test_on_numpy_inputs_of_the_models_type_are_trained_on_where_they_are(numpy_net, roasts, monkeypatch):
    x, y = (array.astype("float32") for array in roasts)
    given, run = [], Trainer._run
    monkeypatch.setattr(Trainer, "_run", lambda self, *own: given.append(own[1]) or run(self, *own))
    numpy_net().fit(x, y, verbose=0)
    assert all(np.shares_memory(x, batch[0]) and np.shares_memory(y, batch[1]) for batch in given)
