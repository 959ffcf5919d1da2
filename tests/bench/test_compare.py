"""What `arraybench compare` calls, on planted runs whose truth is known; and what it refuses."""

import io
import json
import math
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from bench.cases import Case, all_cases
from bench.cli import main
from bench.compare import changes, report
from bench.compare.changes import Tables
from bench.measurement import Measurement
from bench.results import Run, sample_rows, summarise
from bench.table import write_results

BACKENDS = {
    "numpy:cpu": {"version": "2.4.6", "blas": "openblas Haswell", "matmul_precision": "float32", "threads": 2},
    "jax:gpu:0": {"version": "0.10.2", "blas": "cublas", "matmul_precision": "float32", "threads": None},
}
MACHINE = {
    "machine_id": "m-12345678", "cpu": "a processor", "libraries": {"numpy": "2.4.6"}, "load_average": [0.1, 0.1, 0.1],
    "variables": {"OMP_NUM_THREADS": "2"}, "backends": BACKENDS,
}  # fmt: skip
FACTS = {
    "flops": 1, "bytes": 1, "first_call_s": 0.1, "host_to_device_s": 1e-6, "device_to_host_s": 1e-6,
    "end_to_end_s": 1e-3, "result_dtype": "float32", "subnormals": 0, "process_start_s": 0.1,
}  # fmt: skip
COFFEE = [case for case in all_cases() if case.group == "forward/coffee-2-3-1"]
UNIT, MATMUL = (next(case for case in COFFEE if case.implementation == name) for name in ("unit", "matmul"))
CASES = all_cases()[:70]
assert len(CASES) == 70
EQUALS = 600


def measured(case, seconds=1e-3, spread=0.003, processes=5, seed=None, spec="numpy:cpu", **facts):
    """A case of which every process has its own speed; `spread` is how they differ, drawn with a seed and even without."""
    even = np.arange(processes) - (processes - 1) / 2
    if seed is None:
        own = even / max(even.std(ddof=1), 1) if processes > 1 else even
    else:
        own = np.random.default_rng([seed, *map(ord, case.id)]).standard_normal(processes)
    samples = [(p, r, float(seconds * np.exp(spread * own[p]))) for p in range(processes) for r in range(2)]
    facts = FACTS | {"batch_size": case.batch_size} | facts
    return Measurement(case, spec, facts=[facts] * processes, samples=samples)


def planted(folder, measurements, machine=MACHINE):
    """The folder of a run that found this."""
    run = Run(folder.name, machine["machine_id"], machine["backends"])
    folder.mkdir()
    write_results(folder, summarise(measurements, run), sample_rows(measurements, run), machine)
    return folder


@pytest.fixture
def runs(tmp_path):
    """Plant two runs; return their folders."""

    def plant(old, new, machine=MACHINE):
        return [str(planted(tmp_path / "old", old)), str(planted(tmp_path / "new", new, machine))]

    return plant


def as_json(arguments, capsys):
    status = main(["compare", *arguments, "--json"])
    told = json.loads(capsys.readouterr().out)
    assert told["exit_status"] == status
    return told


def as_text(arguments, capsys):
    """The status, and what is printed without its line ends."""
    return main(["compare", *arguments]), " ".join(capsys.readouterr().out.split())


# What is called


@pytest.mark.parametrize(
    ("factor", "spread", "verdict", "beyond_doubt", "status"),
    [
        (0.8, 0.003, "FASTER", True, 0),
        (1.25, 0.003, "SLOWER", True, 1),
        (1.0, 0.003, "SAME", False, 0),
        (1.005, 1e-5, "SAME", False, 0),  # resolved, and too small to be called
        (1.1, 0.3, "UNRESOLVED", False, 0),
    ],
)
def test_a_planted_change_has_its_verdict(factor, spread, verdict, beyond_doubt, status, runs, capsys):
    old, new = measured(MATMUL, spread=spread), measured(MATMUL, 1e-3 * factor, spread)
    told = as_json(runs([old], [new]), capsys)
    (case,) = told["cases"]
    assert (case["verdict"], case["beyond_doubt"], told["exit_status"]) == (verdict, beyond_doubt, status)
    assert case["speedup_ci_low"] < case["speedup"] < case["speedup_ci_high"]
    assert case["speedup"] == pytest.approx(1 / factor)


def test_one_case_in_seventy_that_is_slower_by_a_tenth_is_found_and_stands_first(runs, capsys):
    slow = CASES[33]
    old = [measured(case, seed=1) for case in CASES]
    new = [measured(case, 1.1e-3 if case is slow else 1e-3, seed=2) for case in CASES]
    told = as_json(runs(old, new), capsys)
    assert told["exit_status"] == 1
    assert [case["case"] for case in told["cases"] if case["beyond_doubt"]] == [slow.id]
    assert told["cases"][0]["case"] == slow.id
    assert told["counts"]["compared"] == 70


def in_memory(name, draws, spreads, seconds=1e-3):
    """A run of so many cases, of which each process is one sample."""
    row = dict.fromkeys(("batch_size", *changes.CASE_FACTS), 1)
    found = {}
    for number, (logs, spread) in enumerate(zip(draws, spreads, strict=True)):
        case = Case("matmul", f"square-{number}", "matmul", 1)
        samples = [(p, 0, seconds * math.exp(spread * log)) for p, log in enumerate(logs)]
        own = Measurement(case, "numpy:cpu", facts=[row], samples=samples)
        found[changes.name(own)] = own
    return Tables(Path(name), {}, found)


@pytest.mark.parametrize(
    ("processes", "spreads", "at_most"),
    [
        ((3, 3), (0.02, 0.02), 0.01),
        ((5, 8), (0.02, 0.02), 0.01),
        ((8, 4), (0.01, 0.03), 0.05),  # where Welch's approximation is weakest: few processes have most of the spread
    ],
)
def test_equal_runs_are_hardly_ever_called_slower_however_many_cases_they_have(processes, spreads, at_most):
    generator = np.random.default_rng(1)
    statuses, called = [], 0
    for _ in range(EQUALS):
        each = np.exp(0.5 * generator.standard_normal(20))  # cases differ in how they spread
        old, new = (
            in_memory(name, generator.standard_normal((20, n)), spread * each)
            for name, n, spread in zip(("old", "new"), processes, spreads, strict=True)
        )
        comparison = changes.compare(old, new)
        statuses.append(comparison.exit_status)
        called += comparison.verdicts["SLOWER"] + comparison.verdicts["FASTER"]
    assert np.mean(statuses) <= at_most
    assert called > EQUALS * at_most  # the verdicts alone would have made many runs fail


def test_what_is_called_among_many_may_still_be_doubted(runs, capsys):
    old = [measured(case, spread=0.01) for case in CASES]
    new = [measured(case, 1.04e-3 if case == MATMUL else 1e-3, 0.01) for case in CASES]
    folders = runs(old, new)
    told = {case["case"]: case for case in as_json(folders, capsys)["cases"]}
    assert told[MATMUL.id]["verdict"] == "SLOWER"
    assert told[MATMUL.id]["p"] < 0.01 < told[MATMUL.id]["p_holm"]
    assert not told[MATMUL.id]["beyond_doubt"]
    assert as_json([*folders, "--only", MATMUL.id], capsys)["exit_status"] == 1  # as the only question it is answered


def test_a_loop_that_was_given_fewer_examples_is_compared_for_each(runs, capsys):
    folders = runs([measured(UNIT, 4e-3, batch_size=400)], [measured(UNIT, 1e-3, batch_size=100)])
    (case,) = as_json(folders, capsys)["cases"]
    assert case["verdict"] == "SAME"
    assert case["old_s"][0] == pytest.approx(case["new_s"][0]) == pytest.approx(1e-5, rel=0.01)


def test_times_are_those_that_the_table_of_a_run_shows(runs, capsys):
    cases = [
        next(case for case in all_cases() if case.workload == workload) for workload in ("step", "epoch", "matmul")
    ]
    told = as_json(runs([measured(case) for case in cases], [measured(case) for case in cases]), capsys)["cases"]
    seconds = {case["seconds_of"]: case["old_s"][0] for case in told}
    assert seconds == pytest.approx({"example": 1e-3 / 400, "epoch": 1e-3, "product": 1e-3}, rel=0.01)


# What has no verdict


def test_a_case_in_one_run_alone_is_listed_and_not_called(runs, capsys):
    folders = runs([measured(MATMUL), measured(UNIT)], [measured(MATMUL), measured(MATMUL, spec="jax:gpu:0")])
    status, told = as_text(folders, capsys)
    assert status == 0
    assert f"removed on numpy:cpu: {UNIT.id}" in told
    assert f"added on jax:gpu:0: {MATMUL.id}" in told
    assert "Of 1 case: " in told
    found = {(case["case"], case["backend"]): case for case in as_json(folders, capsys)["cases"]}
    assert found[UNIT.id, "numpy:cpu"]["new_status"] == "absent"
    assert found[UNIT.id, "numpy:cpu"]["verdict"] is None


@pytest.mark.parametrize("status", changes.WRONG)
def test_a_case_that_is_no_longer_right_makes_the_status_1(status, runs, capsys):
    folders = runs(
        [measured(MATMUL), measured(UNIT)], [measured(MATMUL), Measurement(UNIT, "numpy:cpu", status, "it was \\[so]")]
    )
    exit_status, told = as_text(folders, capsys)
    assert exit_status == 1
    words = status.replace("_", " ")
    assert f"no longer right: {UNIT.id} on numpy:cpu was ok and is {words} now: it was \\[so]" in told
    assert "1 case no longer right" in told
    first = as_json(folders, capsys)["cases"][0]
    assert (first["old_status"], first["new_status"], first["no_longer_right"]) == ("ok", status, True)


def test_what_was_never_right_or_cannot_be_had_here_fails_nothing(runs, capsys):
    hand_written = COFFEE[0]
    gone = [
        Measurement(hand_written, "numpy:cpu", "timed_out", "slow"),
        Measurement(UNIT, "numpy:cpu", "unavailable", "no"),
    ]
    folders = runs([measured(MATMUL), gone[0], measured(UNIT)], [measured(MATMUL), measured(hand_written), gone[1]])
    status, told = as_text(folders, capsys)
    assert status == 0
    assert f"{UNIT.id} numpy:cpu 2.5 µs unavailable" in told
    assert f"{hand_written.id} numpy:cpu timed out 2.5 µs" in told


def test_a_loop_that_was_near_its_budget_may_time_out(runs, capsys):
    lost = Measurement(UNIT, "numpy:cpu", "timed_out", "one example would take about 1 s")
    folders = runs([measured(MATMUL), measured(UNIT, batch_size=1)], [measured(MATMUL), lost])
    status, told = as_text(folders, capsys)
    assert status == 0
    assert f"near its budget before: {UNIT.id} on numpy:cpu" in told
    found = {case["case"]: case for case in as_json(folders, capsys)["cases"]}
    assert (found[UNIT.id]["no_longer_right"], found[UNIT.id]["reason"]) == (False, lost.reason)


# What is not like for like


def test_facts_of_the_machine_that_differ_are_told_before_any_figure(runs, capsys):
    now = MACHINE | {
        "libraries": {"numpy": "2.5.0"}, "load_average": [4.0, 3.0, 2.0], "variables": {"XLA_FLAGS": "--x"},
        "backends": BACKENDS | {"numpy:cpu": BACKENDS["numpy:cpu"] | {"blas": "openblas SkylakeX", "threads": 1}},
    }  # fmt: skip
    folders = runs([measured(MATMUL)], [measured(MATMUL)], now)
    told = as_json(folders, capsys)
    assert told["not_like_for_like"] == [
        "numpy:cpu blas openblas Haswell and openblas SkylakeX",
        "numpy:cpu threads 2 and 1",
        "OMP_NUM_THREADS 2 and unset",
        "XLA_FLAGS unset and --x",
        "load 0.1 and 4.0",
    ]
    assert told["cases"][0]["not_like_for_like"] == "blas openblas Haswell and openblas SkylakeX; threads 2 and 1"
    _, printed = as_text(folders, capsys)
    assert printed.index("not like for like: numpy:cpu blas openblas Haswell and openblas SkylakeX") < printed.index(
        "speed-up"
    )
    assert "≠ 1 case: blas" in printed


def test_runs_of_the_same_machine_in_the_same_state_are_like_for_like(runs, capsys):
    folders = runs([measured(MATMUL), measured(MATMUL, spec="jax:gpu:0")], [measured(MATMUL), measured(UNIT)])
    assert as_json(folders, capsys)["not_like_for_like"] == []
    assert "≠ 1" not in as_text(folders, capsys)[1]


def test_runs_of_two_machines_are_compared_when_asked_and_marked_on_every_row(runs, capsys):
    other = MACHINE | {"machine_id": "m-87654321", "cpu": "another"}
    folders = runs([measured(MATMUL), measured(UNIT)], [measured(MATMUL), measured(UNIT)], other)
    told = as_json([*folders, "--other-machine"], capsys)
    assert told["not_like_for_like"][:2] == ["machine_id m-12345678 and m-87654321", "cpu a processor and another"]
    assert {case["not_like_for_like"] for case in told["cases"]} == {"machine_id m-12345678 and m-87654321"}


def test_the_controls_and_the_median_case_tell_of_a_drift(runs, capsys):
    cases = [case for case in CASES if case.network == "digits-64-25-15-10" and case.workload == "forward"]
    folders = runs([measured(case) for case in cases], [measured(case, 1.05e-3) for case in cases])
    _, told = as_text(folders, capsys)
    assert "The median speed-up of all cases is 0.95x" in told
    assert "The control, forward/digits-64-25-15-10/again on numpy:cpu: 0.95x ±" in told


# What is refused


def refused(arguments, capsys):
    assert main(["compare", *map(str, arguments)]) == 2
    out, error = capsys.readouterr()
    assert (out, error.count("\n")) == ("", 1)
    return error


def test_runs_of_two_machines_are_refused_unless_asked(runs, capsys):
    folders = runs([measured(MATMUL)], [measured(MATMUL)], MACHINE | {"machine_id": "m-87654321"})
    assert "machine m-12345678, " in (sentence := refused(folders, capsys))
    assert "ask for it with --other-machine" in sentence


def test_another_schema_is_refused(runs, capsys):
    folders = runs([measured(MATMUL)], [measured(MATMUL)])
    summary = Path(folders[0], "summary.csv")
    summary.write_text(summary.read_text().replace("m-12345678,2,", "m-12345678,1,").replace(",stopped", ",halted"))
    assert "schema version 1; this version of arraybench reads 2: measure again" in refused(folders, capsys)


def test_what_is_no_run_is_refused(tmp_path, runs, capsys):
    old, new = runs([measured(MATMUL)], [measured(MATMUL)])
    (tmp_path / "empty").mkdir()
    for wrong in (tmp_path / "empty", tmp_path / "nowhere"):
        assert f"{wrong} is not the folder of a run: it has no summary.csv" in refused([old, wrong], capsys)
    Path(new, "machine.json").unlink()
    assert "cannot read results from" in refused([old, new], capsys)


def test_a_run_that_is_not_finished_is_refused_with_the_line_that_finishes_it(tmp_path, runs, capsys, monkeypatch):
    old, new = runs([measured(MATMUL)], [measured(MATMUL)])
    Path(new, "summary.csv").rename(Path(new, "journal.json"))
    assert f"arraybench run --resume new --results {tmp_path}" in refused([old, new], capsys)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "results").mkdir()
    Path(new).rename("results/new")
    assert refused([old, "results/new"], capsys).endswith("arraybench run --resume new\n")


def test_a_run_is_not_compared_with_itself(runs, capsys):
    old, _ = runs([measured(MATMUL)], [measured(MATMUL)])
    assert "are one run: give two, the older first" in refused([old, f"{old}/summary.csv"], capsys)


def test_one_process_is_not_enough(runs, capsys):
    folders = runs([measured(MATMUL)], [measured(MATMUL, processes=1)])
    assert "new has one process for each case, and an interval takes two at least" in refused(folders, capsys)


def test_runs_without_a_case_in_common_are_refused(runs, capsys):
    folders = runs([measured(MATMUL)], [measured(UNIT)])
    assert "have no case on a backend in common: nothing to compare" in refused(folders, capsys)
    assert "in common that --only step/* matches" in refused([*folders, "--only", "step/*"], capsys)


def test_samples_of_another_run_are_refused(runs, capsys):
    old, new = runs([measured(MATMUL)], [measured(MATMUL, processes=3)])
    Path(new, "samples.csv").write_text(Path(old, "samples.csv").read_text())
    assert f"has 10 samples of {MATMUL.id} on numpy:cpu, and summary.csv counts 6" in refused([old, new], capsys)


def test_a_run_without_a_row_is_refused(runs, capsys):
    folders = runs([measured(MATMUL)], [])
    assert "new holds no case" in refused(folders, capsys)


# How it is told


@pytest.mark.parametrize("width", [80, 160])
def test_the_table_says_what_the_json_says_and_fits(width, runs):
    old = [measured(case, seed=1, spec=spec) for case in CASES for spec in BACKENDS]
    new = [measured(m.case, 1e-3 * (0.5 + i / 100), seed=2, spec=m.spec) for i, m in enumerate(old)]
    comparison = changes.compare(*map(Tables.read, map(Path, runs(old, new))))
    console = Console(width=width, record=True, file=io.StringIO())
    report.show(comparison, console)
    text = console.export_text()
    assert max(map(len, text.splitlines())) <= width
    told = json.loads(report.as_json(comparison))
    table, closing = text.split("\n\n")[1], " ".join(text.splitlines()[-3:])
    assert table.count("▼▼") == told["counts"]["slower_beyond_doubt"] > 10
    assert table.count("▲▲") == told["counts"]["faster_beyond_doubt"] > 10
    assert f"{told['counts']['slower']} slower" in closing
    printed = [line.split()[0] for line in table.splitlines() if "/" in line.partition(" ")[0]]
    assert printed == [case["case"] for case in told["cases"]]


@pytest.mark.usefixtures("_no_roof")
def test_two_real_runs_are_compared(tmp_path, capsys):
    for name in ("one", "two"):
        line = ["run", "--only", "matmul/square-32/*", "--backends", "numpy", "--time", "0", "--results", str(tmp_path)]
        assert main([*line, "--name", name]) == 0
    capsys.readouterr()
    told = as_json([str(tmp_path / "one"), str(tmp_path / "two" / "summary.csv")], capsys)
    (case,) = told["cases"]
    assert case["case"] == "matmul/square-32/matmul"
    assert case["old_s"][0] > 0
    assert case["speedup"] == pytest.approx(case["old_s"][0] / case["new_s"][0])
    assert told["not_like_for_like"] == [] or "load" in told["not_like_for_like"][0]


# Baselines


def shelved(tmp_path, *arguments):
    return main(["compare", str(tmp_path / "baselines"), *map(str, arguments), "--keep"])


def test_the_first_run_of_a_machine_is_its_baseline_and_later_ones_are_compared_with_it(tmp_path, capsys):
    shelf = tmp_path / "baselines"
    first = planted(tmp_path / "first", [measured(case) for case in COFFEE])
    assert shelved(tmp_path, first) == 0
    assert f"first is the first, kept in {shelf / 'm-12345678'}" in capsys.readouterr().out.replace("\n", "")
    slower = planted(tmp_path / "slower", [measured(case, 2e-3) for case in COFFEE])
    assert shelved(tmp_path, slower) == 1
    assert Tables.read(shelf / "m-12345678").measurements.keys() == Tables.read(first).measurements.keys()
    assert (shelf / "m-12345678" / "samples.csv").read_bytes() == (first / "samples.csv").read_bytes()
    faster = planted(tmp_path / "faster", [measured(case, 5e-4) for case in COFFEE])
    assert shelved(tmp_path, faster) == 0
    assert (shelf / "m-12345678" / "samples.csv").read_bytes() == (faster / "samples.csv").read_bytes()
    other = planted(tmp_path / "other", [measured(case) for case in COFFEE], MACHINE | {"machine_id": "m-87654321"})
    assert shelved(tmp_path, other) == 0
    assert {each.name for each in shelf.iterdir()} == {"m-12345678", "m-87654321"}


def test_without_keep_a_baseline_must_be_there_and_stays(tmp_path, capsys):
    run = planted(tmp_path / "run", [measured(UNIT)])
    (tmp_path / "baselines").mkdir()
    assert main(["compare", str(tmp_path / "baselines"), str(run)]) == 2
    assert "has no baseline of machine m-12345678; --keep makes" in capsys.readouterr().err
    assert list((tmp_path / "baselines").iterdir()) == []


def test_a_run_cannot_keep_baselines(tmp_path, capsys):
    one, two = (planted(tmp_path / name, [measured(UNIT)]) for name in ("one", "two"))
    assert main(["compare", str(one), str(two), "--keep"]) == 2
    assert "is a run; name a folder that keeps baselines" in capsys.readouterr().err


def test_markdown_tells_what_is_slower_first_and_all_cases_folded_away(tmp_path, capsys):
    old = planted(tmp_path / "old", [measured(UNIT), measured(MATMUL)])
    new = planted(tmp_path / "new", [measured(UNIT, 2e-3), measured(MATMUL)])
    assert main(["compare", str(old), str(new), "--markdown"]) == 1
    above, folded = capsys.readouterr().out.split("<details>")
    assert f"| {UNIT.id} | numpy:cpu |" in above
    assert "SLOWER beyond doubt |" in above
    assert MATMUL.id not in above
    assert f"| {MATMUL.id} | numpy:cpu |" in folded
    assert {line.count("|") for line in (above + folded).splitlines() if line.startswith("|")} == {7}
