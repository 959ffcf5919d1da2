"""The doctor's measurements: fresh processes in turns, and what the system says meanwhile. It collects facts and judges none."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench import machine
from bench.doctor.remedies import Remedy, kernel_remedies, thread_remedies, usable_cpus
from bench.processes import python

ANSWER_WITHIN_S = 60.0
MOST_KERNELS = 2  # of the kernels that differ, so many are compared in turns: the fastest at first sight
ONE_THREAD_MAY_DO = 1.05  # one thread is a remedy worth trying when it takes at most so many times as long
SEED = 20240218

Answer = dict[str, Any]
Tell = Callable[[str], None]


@dataclass
class Trial:
    """One environment, and what its processes measured: one of them a round, None where the process failed."""

    remedy: Remedy | None
    blas: dict[str, Any]
    rounds: list[Answer | None] = field(default_factory=list)


@dataclass
class Facts:
    """All that the doctor found out; plain values, so that a test can plant them."""

    machine: dict[str, Any]
    current: Trial
    again: Trial
    """The same environment once more: what differs between it and `current` is noise."""
    others: list[Trial]
    failures: dict[str, str]
    """The remedies that no process survived, with its last words."""
    backends: dict[str, Answer]
    statuses: list[dict[str, Any]]
    distributions: dict[str, str | None]
    driver: Answer
    jax_on_cuda: str | None
    """Why JAX cannot use CUDA, in its own words; None where it can, or where it was not asked."""
    load: dict[str, Any]
    allowed_cpus: list[int]
    variables: dict[str, str]
    python: str = field(default_factory=lambda: own_python())


def own_python() -> str:
    """Return this Python as a line to type names it here: from the current folder on, where it lies below."""
    here = Path.cwd()
    executable = Path(sys.executable)
    return str(executable.relative_to(here) if executable.is_relative_to(here) else executable)


def ask(question: list[str], environment: dict[str, str] | None = None) -> Answer:
    """Return what a fresh process answers, or `error` with its last words."""
    # A GPU that JAX has filled would leave nothing for others.
    environment = (os.environ if environment is None else environment) | {"XLA_PYTHON_CLIENT_PREALLOCATE": "false"}
    try:
        done = subprocess.run(
            python("bench.doctor.probe", *question),
            capture_output=True,
            text=True,
            env=environment,
            timeout=ANSWER_WITHIN_S,
        )
    except subprocess.TimeoutExpired:
        return {"error": f"no answer in {ANSWER_WITHIN_S:g} s"}
    if done.returncode == 0:
        return json.loads(done.stdout)
    words = done.stderr.strip().splitlines()[
        -1:
    ]  # it was killed, by an instruction that the processor does not have or so
    return {"error": ": ".join([f"its process ended with status {done.returncode}", *words])}


def examine(processes: int, tell: Tell) -> Facts:
    """Ask everything; `tell` is called with what is being done."""
    tell("drivers and backends")
    usable, driver = ask(["backends"]), ask(["driver"])
    facts = machine.describe()
    before = _snapshot()
    tell("what NumPy's BLAS can do")
    current, others, failures = _screen(facts)
    again = Trial(None, current.blas)
    _in_turns([current, again, *others], processes, tell)
    statuses = usable.get("statuses", [])
    backends = _backends(statuses, tell)
    return Facts(
        machine=facts,
        current=current,
        again=again,
        others=others,
        failures=failures,
        backends=backends,
        statuses=statuses,
        distributions=usable.get("distributions", {}),
        driver=driver,
        jax_on_cuda=_jax_on_cuda(statuses, driver),
        load=_load(before, _snapshot()),
        allowed_cpus=sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else [],
        variables=dict(os.environ),
    )


def _screen(facts: dict[str, Any]) -> tuple[Trial, list[Trial], dict[str, str]]:
    """Look once at every remedy; return the present state and those remedies that change it, less the slow kernels.

    These first figures choose what is compared, and are then thrown away: a figure that was chosen for being high is biased.
    """
    now = ask(["blas"])
    if "error" in now:
        return Trial(None, {"library": None, "version": None, "kernel": None, "threads": None}), [], {"": now["error"]}
    library, threads = now["blas"]["library"], now["blas"]["threads"]
    counts = [usable_cpus(facts), facts["physical_cores"] or usable_cpus(facts)]
    if now["one_thread_best_s"] and now["one_thread_best_s"] < ONE_THREAD_MAY_DO * now["large_best_s"]:
        counts.append(1)
    remedies = kernel_remedies(library, os.environ, facts["instruction_sets"] or [])
    remedies += thread_remedies(library, threads, counts)
    found: list[tuple[float, Trial]] = []
    failures = {}
    for remedy in remedies:
        answer = ask(["blas"], remedy.applied(os.environ))
        if "error" in answer:
            failures[remedy.line] = answer["error"]
        elif _is_new(remedy, answer["blas"], now["blas"], [trial for _, trial in found]):
            found.append((answer["large_best_s"], Trial(remedy, answer["blas"])))
    kernels = sorted((s, i) for i, (s, trial) in enumerate(found) if trial.remedy and trial.remedy.question == "kernel")
    slow = {i for _, i in kernels[MOST_KERNELS:]}
    return Trial(None, now["blas"]), [trial for i, (_, trial) in enumerate(found) if i not in slow], failures


def _is_new(remedy: Remedy, blas: Answer, now: Answer, trials: list[Trial]) -> bool:
    """Tell whether a remedy leads to another BLAS than the present one and those before it.

    To undo what is forced counts always: it may change more than the kernel's name.
    """
    state = blas["kernel"], blas["threads"]
    if not remedy.unsets and state == (now["kernel"], now["threads"]):
        return False
    return all(state != (trial.blas["kernel"], trial.blas["threads"]) for trial in trials)


def _in_turns(trials: list[Trial], processes: int, tell: Tell) -> None:
    """Start a fresh process of every trial in each round, in random order, so that a slower minute slows all alike."""
    order = random.Random(SEED)
    for number in range(processes):
        for trial in order.sample(trials, len(trials)):
            tell(f"round {number + 1} of {processes}: {trial.remedy.line if trial.remedy else 'as it is'}")
            answer = ask(["blas"], trial.remedy.applied(os.environ) if trial.remedy else None)
            trial.rounds.append(None if "error" in answer else answer)


def _backends(statuses: list[dict[str, Any]], tell: Tell) -> dict[str, Answer]:
    """Ask every backend that is timed, on its first device, each in a process of its own."""
    answers = {}
    for status in statuses:
        if status["usable"] and status["timed"]:
            spec = f"{status['name']}:{status['devices'][0]}"
            tell(f"precision and threads of {spec}")
            answers[spec] = ask(["backend", spec])
    return answers


def _jax_on_cuda(statuses: list[dict[str, Any]], driver: Answer) -> str | None:
    """Return JAX's own words when it must use CUDA and cannot; it is asked where a driver works and it chose the CPU."""
    on_gpu = any(status["name"] == "jax" and "gpu" in " ".join(status["devices"]) for status in statuses)
    if driver.get("cuda_result") != 0 or on_gpu:
        return None
    answer = ask(["backends"], os.environ | {"JAX_PLATFORMS": "cuda"})
    reasons = [status["reason"] for status in answer.get("statuses", []) if status["name"] == "jax"]
    return reasons[0] if reasons else answer.get("error")


def _snapshot() -> dict[str, Any]:
    """Return the counters of processor time: of the whole machine in ticks, of this program and its children in seconds."""
    lines = (machine.text(machine.PROC / "stat") or "").splitlines()
    used = os.times()
    return {
        "ticks": [int(ticks) for ticks in lines[0].split()[1:9]] if lines else None,
        "own_s": used.user + used.system + used.children_user + used.children_system,
        "throttling": machine.cpu_throttling(),
    }


def _load(before: dict[str, Any], after: dict[str, Any]) -> dict[str, Any]:
    """Return how many CPUs other programs used between two snapshots, the share stolen by the host, and the periods throttled."""
    load: dict[str, Any] = {"others_cpus": None, "steal_share": None, "periods": None, "throttled": None}
    if before["ticks"] and after["ticks"]:
        ticks = [b - a for a, b in zip(before["ticks"], after["ticks"], strict=True)]
        user, nice, system, _, _, irq, softirq, steal = ticks
        second = os.sysconf("SC_CLK_TCK")
        busy_s = (user + nice + system + irq + softirq) / second
        wall_s = sum(ticks) / second / (os.cpu_count() or 1)
        load["others_cpus"] = max(0.0, busy_s - after["own_s"] + before["own_s"]) / max(wall_s, 1e-9)
        load["steal_share"] = steal / max(1, sum(ticks))
    if before["throttling"] and after["throttling"]:
        for counter in ("periods", "throttled"):
            load[counter] = after["throttling"][counter] - before["throttling"][counter]
    return load
