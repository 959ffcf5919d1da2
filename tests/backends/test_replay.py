"""NumPy's fold replays a recording of its step: with the step's own numbers, or not at all."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import backends
from backends import replay
from backends.base import Backend, leaves
from backends.replay import Recording, UnrecordableError

try:
    from backends.loopnests import Program
except ModuleNotFoundError:  # without Numba
    Program = None

numpy = backends.get("numpy")
xp = numpy.xp


@pytest.fixture(params=[Recording, pytest.param(Program, marks=pytest.mark.skipif(Program is None, reason="no Numba"))])
def fold(request):
    """Fold by the calls of a recording, and by loops compiled from them."""
    return partial(replay.fold, record=request.param)


class State(NamedTuple):
    weights: np.ndarray
    slots: dict[str, np.ndarray]
    t: np.ndarray


def start(size=6, dtype="float32"):
    generator = np.random.default_rng(1)
    return State(generator.normal(size=size).astype(dtype), {"m": np.zeros(size, dtype)}, np.zeros((), dtype))


def batches(steps=5, rows=4, features=6, dtype="float32", seed=0):
    generator = np.random.default_rng(seed)
    return generator.normal(size=(steps, rows, features)).astype(dtype), generator.integers(0, 3, (steps, rows))


def train(state, batch):
    """Take a step with most of what the networks use."""
    x, target = batch
    scores = xp.matmul(x, xp.reshape(state.weights, (-1, 3)))
    one_hot = xp.astype(target[:, None] == xp.arange(3), x.dtype)
    e = xp.exp(scores - xp.max(scores, axis=-1, keepdims=True))
    p = e / xp.sum(e, axis=-1, keepdims=True)
    dz = xp.where(p > 0.25, p - one_hot, 0.0)
    dw = xp.matmul(x.T, dz)
    gradient = xp.concat([xp.reshape(dw, (-1,))])
    t = state.t + 1.0
    m = state.slots["m"] + (gradient - state.slots["m"]) * 0.1
    w = state.weights - 0.01 / (1.0 - 0.9**t) * m / (xp.sqrt(m * m) + 1e-7)
    return State(w, {"m": m}, t), (xp.sum(dz * dz, axis=-1), t)


def loop(step, state, stacked):
    return Backend.fold(numpy, step, state, stacked)


def assert_agree(found, expected, rtol=1e-5):
    found, expected = list(leaves(found)), list(leaves(expected))
    assert [(np.shape(x), np.asarray(x).dtype) for x in found] == [(np.shape(x), np.asarray(x).dtype) for x in expected]
    for got, value in zip(found, expected, strict=True):
        np.testing.assert_allclose(got, value, rtol=rtol, atol=1e-6)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_replay_does_what_the_step_does(fold, dtype):
    state, stacked = start(18, dtype), batches(9, dtype=dtype)
    assert_agree(fold(train, state, stacked, (), {}), loop(train, state, stacked))


def test_a_step_is_called_only_to_record_and_to_check_it(fold):
    calls = []

    def step(state, batch):
        calls.append(type(batch[0]))
        return train(state, batch)

    known = {}
    state, _ = fold(step, start(18), batches(50), (), known)
    fold(step, state, batches(50), (), known)
    assert calls == [replay.Recorded, np.ndarray, np.ndarray]


def test_other_shapes_are_another_recording(fold):
    known = {}
    for rows in (4, 3, 4):
        fold(train, start(18), batches(2, rows), (), known)
    assert len(known) == 2


@pytest.mark.parametrize("rows", [[[2, 0, 1], [3, 3, 4]], [[4, 5, 0]], [[0, -1, 2]], [[0, 1, 6]]])
def test_an_order_is_of_rows_that_are_there(fold, rows):
    state, data, order = np.ones(40_000), (np.random.default_rng(0).normal(size=(6, 40_000)),), np.array(rows)

    def step(state, batch):
        return state + np.add.reduce(batch[0]), (batch[0][:, 0],)

    if order.min() < 0 or order.max() > 5:
        with pytest.raises(UnrecordableError, match="not there"):
            fold(step, state, (order,), data, {})
    else:
        expected = state + data[0][order].sum(axis=(0, 1)), (data[0][order, 0],)
        assert_agree(fold(step, state, (order,), data, {}), expected)


def test_what_a_fold_returns_is_left_alone_by_the_next(fold):
    known, stacked = {}, batches()
    first = fold(train, start(18), stacked, (), known)
    copies = [np.array(x) for x in leaves(first)]
    fold(train, start(18), batches(seed=3), (), known)
    for got, before in zip(leaves(first), copies, strict=True):
        np.testing.assert_array_equal(got, before)
        assert got.flags.writeable
        assert not isinstance(got, replay.Recorded)


def test_what_a_fold_is_given_is_left_alone(fold):
    state, stacked = start(18), batches()
    given_arrays = (*leaves(state), *stacked)
    copies = [np.array(x) for x in given_arrays]
    for array in given_arrays:
        array.flags.writeable = False
    fold(train, state, stacked, (), {})
    assert all(map(np.array_equal, given_arrays, copies))


def test_a_step_that_was_refused_is_not_recorded_again(fold):
    calls, known = [], {}

    def step(state, batch):
        calls.append(batch)
        return decides(state, batch)

    for _ in range(3):
        with pytest.raises(UnrecordableError):
            fold(step, np.ones(4), (np.ones((6, 4)),), (), known)
    assert len(calls) == 1


# What a recording puts in place


@given(rows=st.integers(1, 3000), block=st.sampled_from([64, 1000, 4096]))
@settings(max_examples=25, deadline=None)
def test_blocks_change_nothing(rows, block):
    def step(state, batch):
        m, w = state
        m = m + (batch[0] - m) * 0.5
        d = xp.sqrt(m * m) + batch[0] * m
        return (m, w - m / (d + 3.0)), (w,)

    generator = np.random.default_rng(rows)
    state = tuple(generator.normal(size=rows) for _ in range(2))
    stacked = (generator.normal(size=(4, rows)),)
    before, replay.BLOCK_BYTES = replay.BLOCK_BYTES, block
    try:
        found = replay.fold(step, state, stacked, (), {})
    finally:
        replay.BLOCK_BYTES = before
    for got, value in zip(leaves(found), leaves(loop(step, state, stacked)), strict=True):
        np.testing.assert_array_equal(got, value)


def test_elementwise_calls_on_one_large_vector_share_short_arrays():
    def step(state, batch):
        return state - (batch[0] * 2.0 + 1.0) / (xp.sqrt(batch[0] * batch[0]) + 3.0), ()

    n = 1 << 17
    recording = Recording(step, np.zeros(n), (np.ones(n),))
    written = {id(x.base if x.base is not None else x): x.nbytes for call in recording._program for x in call.args}
    assert sum(size for size in written.values() if size < 8 * n) < 8 * n
    replay.make(recording.program())
    np.testing.assert_array_equal(recording.state[0], np.full(n, -0.75))


def test_the_parts_of_a_vector_are_made_where_they_belong():
    def step(state, batch):
        parts = [xp.reshape(batch[0] * 2.0, (-1,)), xp.sum(batch[0], axis=0)]
        return state - xp.concat(parts), (parts[1] + 1.0,)

    recording = Recording(step, np.zeros(20), (np.ones((4, 4)),))
    assert not any(call.func is replay._concatenate for call in recording._program)
    replay.make(recording.program())
    assert recording.state[0].tolist() == [-2.0] * 16 + [-4.0] * 4
    assert recording.output[0].tolist() == [5.0] * 4


@pytest.mark.parametrize("twice", [False, True])
def test_a_part_that_is_read_otherwise_is_copied(fold, twice):
    def step(state, batch):
        part = batch[0] * 2.0
        rest = part if twice else part[1:] * 1.0
        return state + xp.concat([part, rest]), (part[:1] + 0.0,)

    state, stacked = np.zeros(8 if twice else 7), (np.arange(12.0).reshape(3, 4),)
    assert_agree(fold(step, state, stacked, (), {}), loop(step, state, stacked))


def test_a_number_of_an_array_is_an_array_of_none(fold):
    def step(state, batch):
        first, *rest = batch[0]
        return state * batch[0][1] + first, (rest[1] + batch[0][-1], state[0])

    state, stacked = np.ones(2), (np.arange(9.0).reshape(3, 3),)
    assert_agree(fold(step, state, stacked, (), {}), loop(step, state, stacked))


def test_an_output_may_be_the_state_before_or_after(fold):
    def step(state, batch):
        after = state + batch[0]
        return after, (state, after, state[:2], after[1:])

    state, stacked = np.zeros(3), (np.arange(9.0).reshape(3, 3),)
    assert_agree(fold(step, state, stacked, (), {}), loop(step, state, stacked))


def test_a_state_that_is_read_after_its_successor_is_made_keeps_its_numbers(fold):
    def step(state, batch):
        a, b = state
        new = a + batch[0]
        return (new, b + a[::-1] + new[::-1]), (new * a,)

    state, stacked = (np.ones(3), np.zeros(3)), (np.arange(9.0).reshape(3, 3),)
    assert_agree(fold(step, state, stacked, (), {}), loop(step, state, stacked))


def test_what_a_call_reads_that_writes_nowhere_itself_is_kept(fold):
    def step(state, batch):
        after = state + batch[0]
        return after, (xp.argsort(state), xp.argmax(batch[0] * state))

    state, stacked = np.zeros(3), (np.arange(12.0).reshape(4, 3)[:, ::-1],)
    assert_agree(fold(step, state, stacked, (), {}), loop(step, state, stacked))


# What is not replayed


def decides(state, batch):
    return (state + 1.0 if batch[0].sum() > 0 else state - 1.0), ()


def takes_a_number_out(state, batch):
    return state + float(batch[0][0]), ()


def decides_by_a_number(state, batch):
    return (state + 1.0 if batch[0][0] > -9.0 else state - 1.0), ()


def decides_by_some_number(state, batch):
    return (state + 1.0 if any(x > 0.0 for x in batch[0]) else state - 1.0), ()


def asks_where(state, batch):
    return state + batch[0].argmax(), ()


def copies_by_a_method(state, batch):
    return state + batch[0].copy(), ()


def writes(state, batch):
    new = state + 0.0
    new[0] = 1.0
    return new, ()


def escapes(state, batch):
    return state + np.asarray(batch[0]) * 2.0, ()


def stacks(state, batch):
    return state * 0.5 + xp.sum(xp.stack([batch[0], 2.0 * batch[0]]), axis=0), (xp.stack([state, batch[0]]),)


def changes_places(state, batch):
    return state[::-1] * 1.0 if batch is None else (state[1], state[0]), ()


def grows(state, batch):
    return xp.concat([state, batch[0]]), ()


REFUSED = [
    *(decides, decides_by_a_number, decides_by_some_number, takes_a_number_out, asks_where),
    *(copies_by_a_method, writes, escapes, grows),
]


@pytest.mark.parametrize("step", REFUSED)
@pytest.mark.parametrize("first", ["random", "constant"])
def test_a_step_that_cannot_be_replayed_is_refused_and_folded_all_the_same(fold, step, first):
    state, stacked = np.ones(4), (np.random.default_rng(0).normal(size=(6, 4)),)
    if first == "constant":  # of which every order is the same
        stacked[0][0] = 1.0
    with pytest.raises(UnrecordableError):
        fold(step, state, stacked, (), {})
    assert_agree(numpy.fold(step, state, stacked), loop(step, state, stacked))


def test_a_state_whose_parts_change_places_is_refused_and_folded_all_the_same(fold):
    state, stacked = (np.zeros(2), np.zeros(2)), (np.zeros((3, 2)),)
    with pytest.raises(UnrecordableError, match="change places"):
        fold(changes_places, state, stacked, (), {})
    assert_agree(numpy.fold(changes_places, state, stacked), loop(changes_places, state, stacked))


@pytest.mark.parametrize("rows", [1, 4])
def test_what_is_stacked_is_recorded_whatever_the_first_batch_is(fold, rows):
    state, stacked = np.ones(rows), (np.random.default_rng(0).normal(size=(6, rows)),)
    stacked[0][0] = 1.0
    assert_agree(fold(stacks, state, stacked, (), {}), loop(stacks, state, stacked))


def twice(state, batch):
    new = batch[0] * 2.0
    return (new, new), ()


def with_a_view(state, batch):
    new = batch[0] * 2.0
    return (new, new[::-1]), ()


def in_a_concat(state, batch):
    new = batch[0] * 2.0
    return (new, xp.concat([new, batch[0] * 3.0])[:4]), ()


def of_two_dtypes(state, batch):
    return state, (xp.concat([xp.astype(batch[0], xp.int32), xp.astype(batch[0] * 1e9, xp.int64)]),)


def hands_out_the_batch(state, batch):
    return state, (batch[0], batch[0] * 1.0, batch[0][:1])


def by_one_number(state, batch):
    return state, (batch[0][:, None] @ xp.ones((1, 1)),)


def stacks_what_stays(state, batch):
    return state, (xp.stack([state[0], state[1]]) * batch[0],)


@pytest.mark.parametrize(
    "step", [twice, with_a_view, in_a_concat, of_two_dtypes, hands_out_the_batch, by_one_number, stacks_what_stays]
)
def test_what_a_step_hands_on_twice_or_as_it_is_arrives(fold, step):
    generator = np.random.default_rng(0)
    state = generator.normal(size=4), generator.normal(size=4)
    for first in (np.zeros((2, 4)), generator.normal(size=(5, 4)), np.full((1, 4), np.nan)):
        known = {}
        try:
            fold(step, state, (first,), (), known)
            found = fold(step, (state[1], state[0]), (stacked := generator.normal(size=(3, 4)),), (), known)
        except UnrecordableError:
            continue  # it runs as it is written
        assert_agree(found, loop(step, (state[1], state[0]), (stacked,)))


@pytest.mark.parametrize("others", [{"v": np.ones(3), "m": np.zeros(3)}, {"m": np.zeros(3), "v": np.ones(3)}])
def test_a_states_names_keep_what_is_theirs_in_any_order(fold, others):
    def step(state, batch):
        return {name: x + batch[0] * (1.0 if name == "m" else -1.0) for name, x in state.items()}, ()

    known, over = {}, (np.arange(6.0).reshape(2, 3),)
    fold(step, {"m": np.zeros(3), "v": np.ones(3)}, over, (), known)
    after, _ = fold(step, others, over, (), known)
    np.testing.assert_array_equal(after["m"], over[0].sum(axis=0))
    np.testing.assert_array_equal(after["v"], 1.0 - over[0].sum(axis=0))


def test_a_step_that_returns_its_state_in_another_order_is_refused(fold):
    def step(state, batch):
        return {"v": state["v"] * 2.0, "m": state["m"] * 3.0}, ()

    with pytest.raises(UnrecordableError, match="does not keep its structure"):
        fold(step, {"m": np.ones(3), "v": np.ones(3)}, (np.zeros((2, 3)),), (), {})


def test_threads_that_fold_one_step_do_not_share_its_numbers(fold):
    known = {}

    def step(state, batch):
        return state * 0.5 + batch[0], (state,)

    def folded(seed):
        over = (np.random.default_rng(seed).normal(size=(20, 500)),)
        return fold(step, np.zeros(500), over, (), known), loop(step, np.zeros(500), over)

    folded(0)
    with ThreadPoolExecutor(4) as pool:
        for found, expected in pool.map(folded, range(40)):
            assert_agree(found, expected)


def sorts_in_place(state, batch):
    doubled = batch[0] * 2.0
    doubled.sort()
    return state, (doubled,)


def clips_in_place(state, batch):
    doubled = batch[0] * 2.0
    np.clip(doubled, -1.0, 1.0, out=doubled)
    return state, (doubled,)


def shaped_by_values(state, batch):
    return state + xp.sum(xp.unique_values(batch[0])), ()


@pytest.mark.parametrize("step", [sorts_in_place, clips_in_place, shaped_by_values])
def test_what_changes_in_place_or_has_its_shape_by_values_is_refused(fold, step):
    with pytest.raises(UnrecordableError):
        fold(step, np.zeros(()), (np.zeros((2, 3)),), (), {})


def test_lengths_that_differ_are_refused_as_by_a_loop():
    with pytest.raises(ValueError, match="zip"):
        numpy.fold(lambda state, batch: (state + batch[0], ()), np.zeros(()), (np.ones(3), np.ones(5)))
