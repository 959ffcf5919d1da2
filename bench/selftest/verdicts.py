"""How often are verdicts wrong? Equal pairs and pairs with a planted slow-down, called by this package and by pytest-benchmark.

A trial measures every case under four labels, each in fresh processes of its own: twice as it is, once slowed by 3 %, once by
5 % (`clock.seconds` spins that share of the time away inside the clock). The rounds, the blocks and the verdict are those of
a run; as in a run, processes follow each other until the intervals are narrow, here 2 %, or a limit is reached. Under
pytest-benchmark the same four labels are four runs, as a person makes them, and the rule is its own
`--benchmark-compare-fail=mean:5%`.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pandas as pd
from pytest_benchmark.utils import PercentageRegressionCheck

import backends
from bench import statistics
from bench.cases import Case
from bench.doctor.remedies import THREADS
from bench.driver import sampling
from bench.networks import COFFEE, DIGITS
from bench.processes import WorkerProcess, on_one_cpu

Row = dict[str, Any]

LABELS = {"base": 0.0, "equal": 0.0, "slower by 3 %": 0.03, "slower by 5 %": 0.05}
BUDGET_S = 1.0
LEAST_PROCESSES, NARROW = 5, 0.02
PYTEST_THRESHOLD_PERCENT = 5.0
MOST_FALSE_ALARMS = 0.01
LEAST_FOUND = {0.05: 0.95, 0.03: 0.8}
ONE_BLAS_THREAD = dict.fromkeys(("OMP_NUM_THREADS", *THREADS.values()), "1")


@dataclass(frozen=True)
class Setting:
    """Cases of one kind that share a worker: a backend, with all processors or with one."""

    kind: str
    spec: str
    one_thread: bool
    cases: tuple[Case, ...]

    @property
    def variables(self) -> dict[str, str]:
        """The environment variables that its processes get: a BLAS that counts processors is told of one."""
        return ONE_BLAS_THREAD if self.one_thread else {}


def settings() -> list[Setting]:
    """Return what is tried on this machine: small and BLAS-bound cases on NumPy and, where there is JAX, compiled ones."""
    small = [
        Case(workload, network.name, "matmul", 400)
        for network in (COFFEE, DIGITS)
        for workload in ("forward", "backward", "step")
    ]
    compiled = [Case(workload, DIGITS.name, "compiled", 400) for workload in ("forward", "backward")]
    found = [
        Setting("small", "numpy:cpu", True, tuple(small)),
        Setting("BLAS, one thread", "numpy:cpu", True, tuple(map(_product, (128, 256, 512, 1024)))),
        Setting("BLAS, all threads", "numpy:cpu", False, (_product(512),)),
    ]
    if any(status.name == "jax" and status.usable for status in backends.status()):
        found.append(Setting("compiled", "jax:cpu", True, tuple(compiled)))
    return found


def _product(n: int) -> Case:
    return Case("matmul", f"square-{n}", "matmul", n)


def trial(settings: list[Setting], number: int, processes: int, seed: int) -> Iterator[Row]:
    """Yield a row for every case and label but the first: its ratio to the first, and what this package's rule calls it.

    A case gets so many processes for each label at most.
    """
    for setting in settings:
        samples: dict[tuple[str, str], list[tuple[int, int, float]]] = {}
        for process in range(processes):
            if wanting := [case for case in setting.cases if not _narrow(case, samples)]:
                order = random.Random(f"{seed} {number} {setting.kind} {process}")
                _one_process(replace(setting, cases=tuple(wanting)), process, order, samples)
        for row in _called(setting, samples):
            yield {"trial": number} | row


def _narrow(case: Case, samples: dict[tuple[str, str], list[tuple[int, int, float]]]) -> bool:
    """Tell whether every label's interval reaches `NARROW` at most."""
    labels = [statistics.blocks(samples.get((case.id, label), [])) for label in LABELS]
    if len(labels[0]) < LEAST_PROCESSES:
        return False
    ratios = [statistics.paired_ratio(labels[0], own) for own in labels[1:]]
    return all(ratio is not None and ratio.half_width <= NARROW for ratio in ratios)


def pytest_trial(settings: list[Setting], number: int) -> Iterator[Row]:
    """Yield the same rows under pytest-benchmark, called by its own check that the mean is at most 5 % slower."""
    check = PercentageRegressionCheck("mean", PYTEST_THRESHOLD_PERCENT)
    for setting in settings:
        runs = {label: _pytest_run(setting, slow_down) for label, slow_down in LABELS.items()}
        for case in setting.cases:
            base = runs["base"][case.id]
            for label, slow_down in list(LABELS.items())[1:]:
                own = runs[label][case.id]
                yield (
                    {"trial": number, "processes": 1, "tool": "pytest-benchmark"}
                    | _named(setting, case, slow_down)
                    | {
                        "speedup": base["mean"] / own["mean"],
                        "verdict": "SLOWER" if check.fails(own, base) else "not slower",
                    }
                )


def _pytest_run(setting: Setting, slow_down: float) -> dict[str, Row]:
    """Return the statistics of each case, by its id, from a run of pytest-benchmark with its defaults."""
    variables = {"ARRAY_BACKEND": setting.spec, "ARRAYBENCH_KIND": setting.kind, "ARRAYBENCH_SLOW_DOWN": str(slow_down)}
    with TemporaryDirectory() as folder:
        saved = Path(folder) / "run.json"
        cases = str(Path(__file__).with_name("under_pytest_benchmark.py"))
        options = ["-c", os.devnull, "--rootdir", folder, "-p", "no:cacheprovider", f"--benchmark-json={saved}"]
        with on_one_cpu() if setting.one_thread else contextlib.nullcontext():
            subprocess.run(
                [sys.executable, "-m", "pytest", cases, "-q", "--benchmark-only", *options],
                env=os.environ | setting.variables | variables,
                check=True,
                capture_output=True,
            )
        found = json.loads(saved.read_text(encoding="utf-8"))["benchmarks"]
    return {benchmark["param"]: benchmark["stats"] for benchmark in found}


def _one_process(setting: Setting, process: int, order: random.Random, samples: dict[tuple[str, str], Any]) -> None:
    """Add the blocks of one fresh process for each label."""
    workers = {label: WorkerProcess(setting.spec, setting.variables, setting.one_thread) for label in LABELS}
    try:
        for case in setting.cases:
            prepared = [
                _prepare(workers[label], case, LABELS[label]) for label in order.sample(list(LABELS), len(LABELS))
            ]
            rounds, block_s = sampling(prepared[0])
            for number in range(rounds):
                for label in order.sample(list(LABELS), len(LABELS)):
                    answer = workers[label].ask({"do": "block", "key": case.id, "seconds": block_s})
                    samples.setdefault((case.id, label), []).extend((process, number, s) for s in answer["samples"])
    finally:
        for worker in workers.values():
            worker.stop()


def _prepare(worker: WorkerProcess, case: Case, slow_down: float) -> Row:
    request = {"do": "prepare", "key": case.id, "case": asdict(case), "budget_s": BUDGET_S, "slow_down": slow_down}
    answer = worker.ask(request)
    if answer["status"] != "ok":
        raise backends.ArraybenchError(f"{case.id} on {worker.spec}: {answer['status']}: {answer['reason']}")
    return answer


def _called(setting: Setting, samples: dict[tuple[str, str], list[tuple[int, int, float]]]) -> Iterator[Row]:
    for case in setting.cases:
        base = statistics.blocks(samples[case.id, "base"])
        for label, slow_down in list(LABELS.items())[1:]:
            own = statistics.blocks(samples[case.id, label])
            logs = statistics.paired_logs(base, own)
            ratio = statistics.over_processes(logs)
            yield (
                {"tool": "arraybench", "processes": len(logs)}
                | _named(setting, case, slow_down)
                | {
                    "speedup": ratio.value,
                    "speedup_ci_low": ratio.low,
                    "speedup_ci_high": ratio.high,
                    "smallest_effect": statistics.smallest_effect(logs),
                    "verdict": statistics.verdict(ratio),
                }
            )


def _named(setting: Setting, case: Case, slow_down: float) -> Row:
    return {
        "kind": setting.kind,
        "one_thread": setting.one_thread,
        "case": case.id,
        "backend": setting.spec,
        "planted": slow_down,
    }


def summary(rows: pd.DataFrame) -> pd.DataFrame:
    """Return, for each tool and kind, the number of pairs, the share of equals that was called, and of slow-downs found."""
    equal, slowed = rows[rows["planted"] == 0], rows[rows["planted"] > 0]
    called = equal["verdict"].isin(["FASTER", "SLOWER"]).groupby([equal["tool"], equal["kind"]], sort=False)
    found = (slowed["verdict"] == "SLOWER").groupby([slowed["tool"], slowed["kind"], slowed["planted"]], sort=False)
    table = pd.DataFrame({"pairs": called.count(), "equals called": called.mean()})
    return table.join(found.mean().unstack().rename(columns="{:.0%} slower found".format)).reset_index()


def missed(rows: pd.DataFrame) -> list[str]:
    """Return, in a sentence each, what this package's verdicts were to reach and did not; what was not tried is not missed."""
    own = rows[rows["tool"] == "arraybench"]
    found = own["verdict"] == "SLOWER"
    called = own["verdict"].isin(["FASTER", "SLOWER"])[own["planted"] == 0].mean()
    five = found[own["planted"] == 0.05].mean()
    three = found[(own["planted"] == 0.03) & own["one_thread"]].mean()
    goals = [
        (called > MOST_FALSE_ALARMS, f"equals called: {called:.1%}, at most {MOST_FALSE_ALARMS:.0%} was the goal"),
        (five < LEAST_FOUND[0.05], f"5 % found: {five:.1%}, at least {LEAST_FOUND[0.05]:.0%} was the goal"),
        (
            three < LEAST_FOUND[0.03],
            f"3 % found on one thread: {three:.1%}, at least {LEAST_FOUND[0.03]:.0%} was the goal",
        ),
    ]
    return [sentence for wanting, sentence in goals if wanting]
