"""Crossovers that are planted in synthetic costs, and one search of real ones."""

from __future__ import annotations

import io
import json
import math
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from bench import bisection, cli, crossover, pairs, scaling
from bench.bisection import FIRST, SECOND, Point
from bench.crossover import agreement, outcome, sentences, sizes

AXES = {axis.name: axis for axis in scaling.axes()}
SUBJECTS = pairs.Subject("numpy:cpu", "matmul"), pairs.Subject("jax:cpu", "compiled")
SIZES = sizes(AXES["square"], 8, 8192)
OWN = Path(__file__).parents[1] / "own_functions.py"


def cost(fixed, factor, power):
    return lambda n: fixed + factor * n**power


CUBIC = cost(1e-6, 1e-10, 3), cost(1e-4, 0.5e-10, 3)
LINEAR = cost(0, 1e-7, 1), cost(5e-5, 1e-8, 1)
POWERS = cost(0, 1e-7, 2), cost(0, 1e-6, 1.5)
TWICE = cost(0, 1e-7, 1), lambda n: (1e-7 * n) * math.exp(0.1 * (math.log(n / 300) ** 2) - 0.05)
NEVER = cost(1e-6, 1e-9, 2), cost(1e-5, 2e-9, 2)
TOUCHING = cost(0, 1e-7, 1), lambda n: (1e-7 * n) * math.exp(0.1 * math.log(n / 300) ** 2)
EQUAL = cost(0, 1e-7, 1), cost(0, 1e-7, 1)


def probe(costs, noise=0.0, seed=0, processes=5):
    """Paired logarithms of two cost functions; each time of each process is off by that noise."""
    first, second = costs
    generator = np.random.default_rng(seed)

    def at(size):
        off = noise * generator.standard_normal((2, processes))
        return list(math.log(first(size) / second(size)) + off[0] - off[1])

    return at


def truth(costs, low=8, high=8192):
    first, second = costs
    for _ in range(60):
        middle = math.sqrt(low * high)
        low, high = (middle, high) if (first(middle) > second(middle)) == (first(low) > second(low)) else (low, middle)
    return low


def words(found):
    return " / ".join(sentences(found, "A", "B"))


@pytest.mark.parametrize("costs", [CUBIC, LINEAR, POWERS])
@pytest.mark.parametrize("noise", [0, 0.005])
def test_a_planted_crossover_is_found_within_five_percent_and_in_its_interval(costs, noise):
    found = bisection.search(probe(costs, noise), SIZES)
    (own,) = found.crossovers
    assert own.faster == SECOND
    assert own.size.value == pytest.approx(truth(costs), rel=0.05)
    assert own.size.low <= truth(costs) <= own.size.high
    assert own.size.half_width <= bisection.WITHIN
    assert len(found.points) <= bisection.MOST


@pytest.mark.parametrize("costs", [CUBIC, LINEAR])
def test_a_planted_crossover_is_found_within_five_percent_under_noise_of_five_percent(costs):
    found = [bisection.search(probe(costs, 0.05, seed), SIZES) for seed in range(20)]
    assert [len(own.crossovers) for own in found] == [1] * 20
    errors = [abs(own.crossovers[0].size.value / truth(costs) - 1) for own in found]
    assert max(errors) <= 0.05
    covered = [own.crossovers[0].size.low <= truth(costs) <= own.crossovers[0].size.high for own in found]
    assert sum(covered) >= 18


def test_who_falls_behind_is_told_as_well():
    (own,) = bisection.search(probe(CUBIC[::-1]), SIZES).crossovers
    assert own.faster == FIRST
    assert words(bisection.search(probe(CUBIC[::-1]), SIZES)).startswith("A overtakes B at 126 (99%: ")


@pytest.mark.parametrize("noise", [0, 0.02])
def test_a_ratio_that_never_is_one_is_told_with_the_faster_one(noise):
    found = bisection.search(probe(NEVER, noise), SIZES)
    assert outcome(found) == "NEVER"
    assert words(found).startswith("never from 8 to 8,192: A is faster throughout, 2")
    assert len(found.points) == bisection.START


def test_a_ratio_that_crosses_twice_between_the_first_sizes_is_told_with_both():
    found = bisection.search(probe(TWICE), SIZES)
    assert [own.faster for own in found.crossovers] == [SECOND, FIRST]
    half = math.sqrt(0.5)
    for own, expected in zip(found.crossovers, (300 * math.exp(-half), 300 * math.exp(half)), strict=True):
        assert own.size.value == pytest.approx(expected, rel=0.05)
    assert words(found).startswith("crosses 2 times from 8 to 8,192 / B overtakes A at 14")


def test_a_ratio_that_only_touches_one_is_no_crossover():
    found = bisection.search(probe(TOUCHING, 0.01), SIZES)
    assert outcome(found) == "UNRESOLVED"
    assert [region.faster for region in found.regions] == [FIRST, 0, FIRST]
    assert "no crossover beyond doubt from 8 to 8,192: where it can be told, A is faster / cannot be told" in words(
        found
    )


def test_equals_hardly_ever_cross():
    found = [bisection.search(probe(EQUAL, 0.03, seed), SIZES) for seed in range(50)]
    assert sum(bool(own.crossovers) for own in found) == 0
    assert sum(outcome(own) == "NEVER" for own in found) == 0
    assert sum("cannot be told anywhere from 8 to 8,192" in words(own) for own in found) >= 45


def test_equals_without_noise_are_the_same():
    assert words(bisection.search(probe(EQUAL), SIZES)) == "the same within 5 % from 8 to 8,192"


def test_an_end_that_cannot_be_told_is_named():
    costs = cost(1e-4, 1e-5, 1), cost(2e-4, 1e-5, 1)
    found = bisection.search(probe(costs, 0.02), SIZES)
    assert not found.crossovers
    assert "where it can be told, A is faster / cannot be told" in words(found)
    assert found.regions[-1].faster == 0


def test_one_process_that_lies_does_not_make_a_crossover():
    def at(size):
        return [0.5, 0.5, 0.5, 0.5, 0.5 if size != 256 else -5.0]

    assert not bisection.search(at, SIZES).crossovers


def test_a_size_that_noise_hides_is_gone_around():
    whole = probe(LINEAR, 0.01)
    hidden = {256, 1440}  # of the first five

    def at(size):
        return [log + (2.0 * (p == 0) if size in hidden else 0.0) for p, log in enumerate(whole(size))]

    found = bisection.search(at, [*SIZES])
    assert [own.faster for own in found.crossovers] == [SECOND]
    assert found.crossovers[0].size.low <= truth(LINEAR) <= found.crossovers[0].size.high

    last = bisection.search(lambda n: at(256) if n == 8192 else whole(n), SIZES)
    assert [own.faster for own in last.crossovers] == [SECOND]


def test_sizes_that_cannot_be_measured_are_left_out_and_the_others_answer():
    whole = probe(LINEAR)
    found = bisection.search(lambda n: whole(n) if n <= 4000 else [], SIZES)
    assert found.crossovers[0].size.value == pytest.approx(truth(LINEAR), rel=0.05)
    assert found.points[-1].size < 4000
    assert words(bisection.search(lambda n: [], SIZES)) == "nothing could be measured"


def test_between_listed_sizes_the_crossover_is_interpolated():
    found = bisection.search(probe(LINEAR), [100, 200, 400, 800, 1600])
    assert len(found.points) == 5
    (own,) = found.crossovers
    assert own.size.value == pytest.approx(truth(LINEAR), rel=0.05)
    assert {point.size for point in own.around} == {400, 800}
    assert own.size.low == pytest.approx(400)
    assert own.size.high == pytest.approx(800)


def test_known_sizes_are_used_and_not_tried_again():
    asked = []

    def at(size):
        asked.append(size)
        return probe(CUBIC)(size)

    first = bisection.search(at, SIZES)
    remembered = {point.size: point.logs for point in first.points}
    again = bisection.search(lambda n: remembered[n], SIZES, known=list(remembered))
    assert again == first


def test_bisection_agrees_with_a_sweep_and_a_wrong_one_does_not():
    found = bisection.search(probe(LINEAR, 0.02), SIZES)
    swept = bisection.answer({n: probe(LINEAR, 0.02, seed=n)(n) for n in bisection.spread(SIZES, 33)})
    elsewhere = bisection.answer({n: probe(CUBIC, 0.02, seed=n)(n) for n in bisection.spread(SIZES, 33)})
    never = bisection.search(probe(NEVER), SIZES)
    unresolved = bisection.search(probe(EQUAL), SIZES)
    assert agreement(found, swept) == "AGREE"
    assert len(found.points) < len(swept.points)
    assert agreement(found, elsewhere) == "DISAGREE"
    assert agreement(found, never) == "DISAGREE"
    assert agreement(never, never) == "AGREE"
    assert agreement(found, unresolved) == "UNRESOLVED"


@pytest.mark.parametrize("costs", [CUBIC, LINEAR, POWERS])
@pytest.mark.parametrize("count", [9, 17, 33])
def test_a_sweep_has_the_truth_in_its_interval_however_coarse(costs, count):
    found = bisection.answer({n: probe(costs, 0.001, seed=n)(n) for n in bisection.spread(SIZES, count)})
    (own,) = found.crossovers
    assert own.size.low <= truth(costs) <= own.size.high


def test_a_noisier_ratio_has_a_wider_interval():
    def width(noise):
        points = [Point(n, tuple(probe(LINEAR, noise, seed=n)(n))) for n in (400, 480, 560, 640, 720)]
        return bisection.crossing(points).half_width

    assert width(0.005) < width(0.02) < width(0.08)


FLAT = cost(0, 1e-9, 2), cost(0, 3.3e-9, 1.8)


def test_a_flat_crossover_gets_more_processes_until_it_is_known_or_they_are_as_many_as_may_be():
    def found(costs, noise, most_processes):
        at = probe(costs, noise)
        return bisection.search(at, SIZES, more=at, most_processes=most_processes)

    few, many = (found(FLAT, 0.05, most) for most in (5, 100))
    assert {len(point.logs) for point in few.points} == {5}
    assert max(len(point.logs) for point in many.points) <= 100
    assert many.crossovers[0].size.half_width < few.crossovers[0].size.half_width / 1.5
    for own in (few, many):
        assert own.crossovers[0].size.low <= truth(FLAT) <= own.crossovers[0].size.high
    assert {len(point.logs) for point in found(CUBIC, 0.01, 100).points} == {5}  # which is known well enough


def test_no_processes_are_spent_on_differences_that_are_too_small_to_be_called():
    at = probe(FLAT, 0.001)
    found = bisection.search(at, SIZES, more=at, within=0.02, most_processes=100)
    assert found.crossovers[0].size.half_width > 0.04
    assert {len(point.logs) for point in found.points} == {5}


def test_a_size_that_can_have_no_more_processes_keeps_those_that_it_has():
    asked = []

    def none(size):
        asked.append(size)
        return []

    at = probe(FLAT, 0.02)
    found = bisection.search(at, SIZES, more=none, most_processes=20)
    assert len(asked) == len(set(asked)) > 1
    assert found == bisection.search(probe(FLAT, 0.02), SIZES)


def test_further_processes_are_numbered_on_and_join_those_before(monkeypatch):
    def measure(axis, size, first, second, processes):
        if processes.start >= 5:
            return pairs.Pair({}, {}, "failed", "gone")
        whole = planted_pair(size, LINEAR, 0.01, processes.stop)
        samples = {own: [row for row in rows if row[0] in processes] for own, rows in whole.samples.items()}
        return pairs.Pair(samples, {own: {p: costs[p] for p in processes} for own, costs in whole.costs.items()})

    monkeypatch.setattr(pairs, "measure", measure)
    experiment = pairs.Experiment(AXES["square"], *SUBJECTS, processes=3)
    first, second = experiment.logs("steady", 64), experiment.more_logs("steady", 64, 5)
    assert (len(first), len(second)) == (3, 2)
    assert experiment.logs("steady", 64) == first + second
    assert experiment.pairs[64].processes == 5
    assert experiment.more_logs("steady", 64, 9) == []
    assert experiment.logs("steady", 64) == first + second
    assert experiment.pairs[64].reason == "no further processes: failed: gone"
    assert [row["processes"] for row in crossover.size_rows(experiment)] == [5] * 4


# What is made of one measurement


def measured(seconds, first_call_s, moved_s):
    costs = {"first_call_s": first_call_s, "compile_s": 0.0, "host_to_device_s": moved_s, "device_to_host_s": moved_s}
    return [(p, r, seconds) for p in range(3) for r in range(2)], dict.fromkeys(range(3), costs)


def test_every_variant_comes_from_one_measurement():
    numpy, jax = SUBJECTS
    own, other = measured(4.0, 5.0, 0.0), measured(1.0, 21.0, 3.0)
    pair = pairs.Pair({numpy: own[0], jax: other[0]}, {numpy: own[1], jax: other[1]})

    def ratio(variant, calls=1):
        logs = pair.logs(numpy, jax, variant, calls)
        assert len(logs) == 3
        return math.exp(logs[0])

    assert ratio("steady") == pytest.approx(4 / 1)
    assert ratio("transfer") == pytest.approx(4 / 7)
    assert ratio("compile") == pytest.approx(5 / 21)
    assert ratio("both") == pytest.approx(5 / 27)
    assert ratio("compile", calls=10) == pytest.approx((5 + 9 * 4) / (21 + 9 * 1))
    assert ratio("both", calls=10) == pytest.approx((5 + 9 * 4) / (21 + 9 * 1 + 10 * 6))


def test_sizes_are_those_that_an_axis_reaches_or_its_own_where_it_has_no_others():
    assert sizes(AXES["square"], 64, 128) == list(range(64, 129, 2))
    assert sizes(AXES["rows"], 3, 9) == [3, 4, 5, 6, 7, 8, 9]
    assert sizes(AXES["width"], 100, 1000) == [128, 256, 512]
    assert max(b / a for a, b in pairwise(SIZES[32:])) < 1.04


def planted_pair(size, costs, noise, processes=5):
    """What both took at a size, where a process is off by that noise."""
    generator = np.random.default_rng(size)
    pair = pairs.Pair({}, {})
    for subject, seconds in zip(SUBJECTS, costs, strict=True):
        own = seconds(size) * np.exp(noise * generator.standard_normal(processes))
        pair.samples[subject] = [(p, r, float(own[p])) for p in range(processes) for r in range(3)]
        facts = {"first_call_s": 1.0, "compile_s": 0.0, "host_to_device_s": 0.0, "device_to_host_s": 0.0}
        pair.costs[subject] = dict.fromkeys(range(processes), facts)
    return pair


def test_what_is_printed_fits_and_says_what_each_size_says_and_what_follows():
    tried = {n: planted_pair(n, LINEAR, 0.01) for n in bisection.spread(SIZES, 17)}
    tried[9000] = pairs.Pair({own: [] for own in SUBJECTS}, {}, "out_of_memory", "jax:cpu/compiled: no memory")
    experiment = pairs.Experiment(AXES["square"], *SUBJECTS, calls=100, method="sweep", pairs=tried)
    answers = experiment.answers(["steady", "both"], list(tried))
    console = Console(file=io.StringIO(), width=80)
    crossover.show([(experiment, answers)], {"steady": "AGREE"}, console)
    printed = console.file.getvalue()
    assert max(map(len, printed.splitlines())) <= 80
    told = " ".join(printed.split())
    assert "▲▲" in told
    assert "in steady state: bisection and sweep agree" in told
    assert "in steady state, by sweep: jax:cpu/compiled overtakes numpy:cpu/matmul at 56" in told
    assert "with transfer and the first call of 100, by sweep: " in told
    assert "9,000: out_of_memory: jax:cpu/compiled: no memory" in told


# The command


def test_the_command_searches_sweeps_writes_and_prints(tmp_path, capsys):
    arguments = ["crossover", "rows", "numpy/example", "numpy/matmul", "--from", "16", "--to", "17", "--processes", "3"]
    options = ["--variants", "steady,both", "--sweep", "5", "--results", str(tmp_path), "--name"]
    assert cli.main([*arguments, *options, "told", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    outcomes = [own["outcome"] for own in told["answers"] if own["variant"] == "steady"]
    assert set(outcomes) <= {
        "NEVER",
        "UNRESOLVED",
    }  # a busy machine can hide among three processes what is many times faster
    assert told["bisection_and_sweep"]["steady"] == ("UNRESOLVED" if "UNRESOLVED" in outcomes else "AGREE")
    words = told["answers"][0]["in_words"][0]
    assert words.startswith("never from 16 to 17: numpy:cpu/matmul is faster throughout") or outcomes[0] == "UNRESOLVED"
    folder = tmp_path / "told"
    assert {file.name for file in folder.iterdir()} == {
        *("crossover.csv", "sizes.csv", "samples.csv", "costs.csv", "machine.json")
    }
    rows = pd.read_csv(folder / "crossover.csv")
    assert list(rows["method"]) == ["bisection", "bisection", "sweep", "sweep"]
    assert rows["crossover"].isna().all()
    per_size = pd.read_csv(folder / "sizes.csv")
    steady = per_size[per_size["variant"] == "steady"]
    assert sorted(steady["size"]) == [16, 16, 17, 17]
    assert (steady["speedup"] > 1).all()
    samples = pd.read_csv(folder / "samples.csv")
    assert set(samples["process"]) == {0, 1, 2}
    assert len(pd.read_csv(folder / "costs.csv")) == 2 * 2 * 2 * 3


def test_a_function_of_ones_own_is_measured_at_sizes_that_it_does_not_list(tmp_path, capsys):
    pytest.importorskip("jax")
    arguments = ["crossover", f"{OWN}:softmax:n", "numpy", "jax/eager", "--at", "dtype=float64", "--json"]
    options = ["--from", "65", "--to", "66", "--processes", "3", "--variants", "steady", "--results", str(tmp_path)]
    assert cli.main([*arguments, *options]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["axis"], told["first"], told["second"]) == (
        "softmax:n at dtype=float64", "numpy:cpu/eager", "jax:cpu/eager"
    )  # fmt: skip
    steady = [row for row in told["sizes"] if row["variant"] == "steady"]
    assert [(row["size"], row["status"], row["processes"]) for row in steady] == [(65, "ok", 3), (66, "ok", 3)]
    assert all(row["speedup"] > 0 for row in steady)


def test_the_sizes_of_ones_own_function_are_all_between_those_that_it_lists():
    axis = scaling.own_axis(f"{OWN}:softmax:n", {"dtype": "float64"})
    assert (min(sizes(axis, None, None)), max(sizes(axis, None, None))) == (64, 4096)
    assert sizes(axis, 64, 68) == [64, 66, 68]
    case = axis.any_size(100)
    assert (case.workload, case.network, case.dtype, case.source) == ("softmax", "n=100", "float64", str(OWN))
    assert [str(pairs.Subject.of(name, axis)) for name in ("numpy", "jax", "jax/eager")] == [
        "numpy:cpu/eager", "jax:cpu/compiled", "jax:cpu/eager"
    ]  # fmt: skip


def test_what_cannot_be_measured_is_told_with_its_reason(tmp_path, capsys):
    arguments = [
        "crossover",
        "square",
        "numpy",
        "numpy/compiled",
        "--from",
        "8",
        "--to",
        "9",
        "--results",
        str(tmp_path),
    ]
    assert cli.main(arguments) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "in steady state: nothing could be measured" in out
    assert "8: unavailable: numpy:cpu/compiled: numpy has no compiler" in out


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["depth", "numpy", "numpy/unit"], "depth: no such axis; there are rows, batch, width, square"),
        (["square", "numpy", "numpy:cpu/matmul"], "numpy and numpy:cpu/matmul are both numpy:cpu/matmul: give two that differ"),
        (["square", "numpy", "numpy/fast"], "numpy/fast: no such implementation; there are hand_written, multiplication, "),
        (["square", "numpy", "numpy/unit", "--variants", "cold"], "--variants cold: no such variant; there are steady, transfer"),
        (["square", "numpy", "numpy/unit", "--from", "9", "--to", "4"], "square has no two sizes from 9 to 4; it has 64 to 4096"),
        (["square", "numpy", "numpy/unit", "--at", "n=3"], "--at n=3: square has no other axes"),
        ([f"{OWN}:softmax:n", "numpy", "numpy/matmul"], "numpy/matmul: no such implementation; there are eager, compiled"),
        ([f"{OWN}:softmax:dtype", "numpy", "jax"], "dtype is no axis of softmax that can grow; there are n"),
        ([f"{OWN}:softmax:m", "numpy", "jax"], "m is no axis of softmax that can grow; there are n"),
        ([f"{OWN}:softmin:n", "numpy", "jax"], f"{OWN} declares no softmin; it declares softmax, pairwise_distance, kmeans_step"),
        ([f"{OWN}:softmax:n", "numpy", "jax", "--at", "n=3"], "n is what grows; give other axes of softmax a value"),
        ([f"{OWN}:softmax:n", "numpy", "jax", "--at", "k=3"], "softmax has no axis k; it has n, dtype"),
        ([f"{OWN}:softmax:n", "numpy", "jax", "--at", "dtype=int8"], "softmax has no case with dtype=int8,n=64; its axes are"),
        (["none.py:softmax:n", "numpy", "jax"], f"{Path('none.py').resolve()} is no file of Python"),
        (["square", "strict", "numpy"], "strict is for tests only: its times mean nothing"),
    ],
)  # fmt: skip
def test_what_cannot_be_asked_is_one_sentence(arguments, sentence, tmp_path, capsys):
    assert cli.main(["crossover", *arguments, "--results", str(tmp_path / "none")]) == 2
    assert capsys.readouterr().err.startswith(f"arraybench: {sentence}")
    assert not (tmp_path / "none").exists()


def test_every_crossover_has_a_row_of_its_own():
    found = bisection.search(probe(TWICE), SIZES)
    rows = crossover.crossover_rows(pairs.Experiment(AXES["square"], *SUBJECTS), {"steady": found})
    assert [row["faster_after"] for row in rows] == ["jax:cpu/compiled", "numpy:cpu/matmul"]
    assert all(row["crossover_ci_low"] < row["crossover"] < row["crossover_ci_high"] for row in rows)
