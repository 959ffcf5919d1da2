"""The clock waits, settles and adds up, and a case is made ready; none of these tests looks at how fast the machine is."""

import hashlib
import threading
import time
from dataclasses import replace

import pytest

import backends
from bench import clock, driver, measure, preparation
from bench.cases import CONTROL, Case
from bench.clock import Stopwatch, seconds, settle
from bench.preparation import UnmeasuredError, budget_agrees, prepare
from bench.selftest.faults import with_members

SMALL = Case("forward", "coffee-2-3-1", "matmul", 400)


@pytest.fixture
def numpy():
    return backends.get("numpy")


class Late:
    """A backend whose results are there some time after the call has returned."""

    def __init__(self, delay_s):
        self.delay_s = delay_s

    def synchronize(self, tree):
        time.sleep(self.delay_s)
        return tree


def test_a_sample_ends_when_the_results_are_there():
    assert seconds(lambda: None, Late(0.02), calls=2) >= 0.02
    assert seconds(lambda: None, Late(0.0)) < 0.02


def test_a_planted_slow_down_is_inside_the_clock():
    honest = seconds(lambda: time.sleep(0.02), Late(0.0))
    slowed = seconds(lambda: time.sleep(0.02), Late(0.0), slow_down=2.0)
    assert slowed >= 0.06 > honest or slowed >= 2.5 * honest


def test_settling_outlasts_a_thread_that_spins(monkeypatch):
    now, spins_until = 0.0, 0.1

    def nap(seconds):
        nonlocal now
        now += seconds

    monkeypatch.setattr(clock.time, "sleep", nap)
    monkeypatch.setattr(clock.time, "perf_counter", lambda: now)
    monkeypatch.setattr(clock.time, "process_time", lambda: min(now, spins_until))
    settle()
    assert spins_until <= now <= spins_until + 2 * clock.SETTLE_S


def test_what_another_thread_computes_is_counted_beside_the_callers():
    def spin():
        while time.thread_time() < 0.02:
            pass

    spinner = threading.Thread(target=spin)
    with Stopwatch() as watch:
        spinner.start()
        spinner.join()
    assert watch.helpers_cpu_seconds >= 0.02 - 1e-3
    assert watch.cpu_seconds >= watch.helpers_cpu_seconds


def test_settling_gives_up_on_one_that_never_rests(monkeypatch):
    monkeypatch.setattr(clock, "SETTLED_SHARE", -1.0)
    monkeypatch.setattr(clock, "LONGEST_SETTLE_S", 0.02)
    with Stopwatch() as watch:
        settle()
    assert watch.seconds >= 0.02


def test_the_launches_of_a_call_are_a_fact_where_the_backend_tells_them(numpy):
    told = with_members(numpy, launches=lambda function, weights, x: len(x))
    assert prepare(SMALL, told, 1.0).facts["launches"] == 400
    assert prepare(SMALL, numpy, 1.0).facts["launches"] is None


def test_preparing_a_case_tells_every_part_of_its_time_budget(backend):
    if not backend.timed:
        pytest.skip("never timed")
    facts = prepare(SMALL, backend, 1.0).facts
    parts = ("host_to_device_s", "dispatch_s", "device_s", "device_to_host_s")
    assert all(facts[part] > 0 for part in parts)
    assert facts["end_to_end_s"] >= max(facts[part] for part in parts)
    assert facts["result_dtype"] == "float32"
    assert facts["subnormals"] == 0
    assert facts["first_call_s"] >= facts["compile_s"] >= 0


def test_a_compiler_tells_what_compiling_took(backend):
    if not backend.compiles:
        pytest.skip("no compiler")
    facts = prepare(Case("backward", "digits-64-25-15-1", "compiled", 16), backend, 1.0).facts
    assert 0 < facts["compile_s"] <= facts["first_call_s"]


@pytest.mark.parametrize(
    ("end_to_end_s", "agrees"), [(1.0, True), (1.3, True), (1.4, False), (0.78, False), (0.81, True)]
)
def test_the_parts_of_a_trip_agree_with_the_whole_or_are_flagged(end_to_end_s, agrees):
    facts = {"host_to_device_s": 0.2, "device_to_host_s": 0.3, "end_to_end_s": end_to_end_s}
    assert budget_agrees(facts, median_s=0.5) is agrees


def test_a_block_holds_samples_and_the_threads_in_effect(numpy):
    block = prepare(SMALL, numpy, 1.0).block(0.01)
    assert 1 <= len(block["samples"]) <= measure.MOST_SAMPLES
    assert block["threads_in_effect"] > 0


@pytest.mark.parametrize(
    ("implementation", "reason"), [("hand_written", "by hand for NumPy alone"), (CONTROL, "the control is NumPy's")]
)
def test_what_a_backend_cannot_have_is_unavailable(implementation, reason):
    jax = pytest.importorskip("jax") and backends.get("jax")
    with pytest.raises(UnmeasuredError, match=reason) as refused:
        prepare(Case("forward", "digits-64-25-15-10", implementation, 8), jax, 1.0)
    assert refused.value.status == "unavailable"


# Warming


def hashed_in(threads):
    """Return a call that hashes for some milliseconds, in the caller's thread or in others."""
    data = bytes(1 << 21)

    def call():
        helpers = [threading.Thread(target=hashlib.sha256, args=(data,)) for _ in range(threads)]
        for helper in helpers:
            helper.start()
        for helper in helpers:
            helper.join()
        return hashlib.sha256(data) if not threads else None

    return call


@pytest.mark.parametrize("threads", [0, 1, 2])
def test_a_call_that_other_threads_work_on_is_known(threads, numpy, monkeypatch):
    # A clock that stands still while another process has the core.
    monkeypatch.setattr(time, "perf_counter", time.process_time)
    started = preparation._Started(None, hashed_in(threads), 1, 1e-3, 0.0, 0.0)
    assert preparation._is_helped(started, numpy) == bool(threads)


def test_a_long_first_call_tells_whether_other_threads_work_on_it(numpy):
    alone, helped = (preparation._Started(None, None, 1, 1.0, 0.2, helpers_s) for helpers_s in (0.3, 0.9))
    assert not preparation._is_helped(alone, numpy)
    assert preparation._is_helped(helped, numpy)


def test_a_helped_case_is_called_until_its_threads_are_spread_out(numpy):
    subject = measure.Subject(lambda: time.sleep(0.001), numpy, 1e-3, {}, helped=True)
    with Stopwatch() as watch:
        subject._warm()
    assert watch.seconds >= measure.SPREAD_S


def test_a_helped_case_costs_its_warming_and_gets_one_longer_block(numpy):
    alone, helped = (measure.Subject(None, numpy, 1e-3, {}, helped) for helped in (False, True))
    assert driver.sampling({"costs_s": alone.costs_s}) == driver.CHEAP
    assert driver.sampling({"costs_s": helped.costs_s}) == driver.DEAR


def test_a_loop_over_examples_takes_fewer_of_them_but_not_so_few_that_an_update_outweighs_them(numpy):
    step = prepare(Case("step", "coffee-2-3-1", "example", 400), numpy, 1.0)
    assert step.facts["batch_size"] == preparation.MOST_LOOP_EXAMPLES
    whole = prepare(Case("step", "coffee-2-3-1", "matmul", 400), numpy, 1.0)
    assert whole.facts["batch_size"] == 400


def test_a_loop_on_the_network_that_is_asked_first_is_held_to_the_budget_too(numpy):
    case = Case("forward", preparation.PROBE.name, "multiplication", 400)
    with pytest.raises(UnmeasuredError, match="the budget of a case is 1e-07 s") as refused:
        prepare(case, numpy, 1e-7)
    assert refused.value.status == "timed_out"
    assert prepare(replace(case, implementation="matmul"), numpy, 1e-7).facts["checked"]
