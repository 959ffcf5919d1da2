"""From the doctor's facts to its findings on NumPy's BLAS: its kernels and its threads."""

from __future__ import annotations

import math
from typing import Any

from bench.doctor.examination import Facts, Trial
from bench.doctor.finding import Finding, Severity, busy, clear, first_of_the_best, gain, possible, rate, times
from bench.doctor.remedies import FORCING, usable_cpus
from bench.statistics import Estimate, over_processes


def kernel(facts: Facts) -> Finding:
    """Judge whether other kernels of NumPy's BLAS are faster here."""
    blas, now = facts.current.blas, rate(facts.current)
    trials = [trial for trial in facts.others if trial.remedy and trial.remedy.question == "kernel"]
    evidence = _blas_evidence(facts, trials)
    if now is None:
        sentence = f"NumPy's product failed: {facts.failures.get('', 'its processes ended')}."
        return Finding("blas_kernel", "wrong", sentence, evidence=evidence)
    runs = f"NumPy's {blas['library'] or 'BLAS'} runs {blas['kernel'] or 'unnamed'} kernels at {now:.0f} GFLOP/s"
    if (best := _best_kernel(facts, trials)) is None:
        return Finding("blas_kernel", "ok", f"{runs}; there is no other to try.", evidence=evidence)
    trial, large, small = best
    assert trial.remedy is not None
    if not (possible(large) or clear(small)):
        return Finding("blas_kernel", "ok", f"{runs}; none that was tried is faster.", evidence=evidence)
    sentence = f"{runs}{_because(facts)}. With {trial.blas['kernel'] or 'its own choice'} it is {times(large)}"
    if not clear(small):
        return Finding("blas_kernel", *_weigh(large, sentence), large, trial.remedy.line, evidence)
    sentence += f"; a small product on one thread, which noise hardly reaches, is {times(small)}."
    # While other programs take turns with its threads, the large product says more of them than of the kernels.
    own = large if clear(large) and not busy(facts) else small
    return Finding("blas_kernel", "wrong", sentence, own, trial.remedy.line, evidence)


def _best_kernel(facts: Facts, trials: list[Trial]) -> tuple[Trial, Estimate, Estimate] | None:
    """Return the best trial with its gains of the large and the small product.

    It is chosen by the large one, which is what a user waits for; where noise hides every such gain, by the small one.
    """
    gains = [
        (trial, large, small)
        for trial in trials
        if (large := gain(facts.current, trial, "large_best_s"))
        and (small := gain(facts.current, trial, "small_best_s"))
    ]
    by = 1 if any(clear(large) for _, large, _ in gains) or not any(clear(small) for *_, small in gains) else 2
    return first_of_the_best(gains, by)


def _weigh(estimate: Estimate, sentence: str) -> tuple[Severity, str]:
    """Return how wrong it is to go without such a gain, and the sentence with its doubt."""
    if clear(estimate):
        return "wrong", f"{sentence}."
    return "note", f"{sentence}: likely, but lost in this machine's noise."


def _because(facts: Facts) -> str:
    library = facts.current.blas["library"]
    forced = [f"{name}={facts.variables[name]}" for name in FORCING.get(library, ()) if name in facts.variables]
    return f", forced by {' and '.join(forced)}" if forced else ""


def _blas_evidence(facts: Facts, trials: list[Trial]) -> dict[str, Any]:
    """Return the rate of NumPy as it is, and rates and gains of what was tried."""
    tried = [
        {
            "line": trial.remedy.line if trial.remedy else None,
            "kernel": trial.blas["kernel"],
            "threads": trial.blas["threads"],
            "gflop_per_s": rate(trial),
            "small_gflop_per_s": rate(trial, "small_best_s"),
            "gain": gain(facts.current, trial, "large_best_s"),
            "gain_on_one_thread": gain(facts.current, trial, "one_thread_best_s"),
            "gain_of_a_small_product": gain(facts.current, trial, "small_best_s"),
        }
        for trial in trials
    ]
    own = {"gflop_per_s": rate(facts.current), "small_gflop_per_s": rate(facts.current, "small_best_s")}
    processes = sum(bool(answer) for answer in facts.current.rounds)
    return {**facts.current.blas, **own, "processes": processes, "tried": tried, "failed": facts.failures}


def threads(facts: Facts) -> Finding | None:
    """Judge whether NumPy's BLAS has too many threads or too few."""
    now, usable = facts.current.blas["threads"], usable_cpus(facts.machine)
    if now is None:
        return None
    trials = [trial for trial in facts.others if trial.remedy and trial.remedy.question == "threads"]
    evidence = _blas_evidence(facts, trials) | {
        "usable_cpus": usable,
        "physical_cores": facts.machine["physical_cores"],
    }
    evidence["gain_over_one_thread"] = alone = _over_one_thread(facts.current) if now > 1 else None
    sentence = f"NumPy's BLAS computes on {now} thread{'s'[: now > 1]}, and this process may use {usable} CPU{'s'[: usable > 1]}"
    gains = [(trial, estimate) for trial in trials if (estimate := gain(facts.current, trial, "large_best_s"))]
    best = first_of_the_best(gains, 1)
    if best and possible(best[1]):
        trial, estimate = best
        assert trial.remedy is not None
        sentence += f"; on {trial.blas['threads']} it is {times(estimate)}"
        if busy(facts) and trial.blas["threads"] < usable:
            sentence += f" while other programs use {facts.load['others_cpus']:.1f} CPUs, so that threads wait."
            return Finding("blas_threads", "note", sentence, estimate, None, evidence)
        return Finding("blas_threads", *_weigh(estimate, sentence), estimate, trial.remedy.line, evidence)
    if now != usable:
        line = best[0].remedy.line if best and best[0].remedy else None
        return Finding("blas_threads", "note", f"{sentence}; no loss was measured.", best and best[1], line, evidence)
    if alone:
        sentence += f"; {times(alone, 'as one thread')}"
    return Finding("blas_threads", "ok", f"{sentence}.", evidence=evidence)


def _over_one_thread(trial: Trial) -> Estimate | None:
    pairs = [(answer["one_thread_best_s"], answer["large_best_s"]) for answer in trial.rounds if answer]
    return over_processes([math.log(one / all_) for one, all_ in pairs]) if pairs and pairs[0][0] else None
