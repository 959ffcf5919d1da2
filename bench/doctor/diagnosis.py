"""From the doctor's facts to its findings on backends, CPUs, precision and noise: pure functions, nothing is measured here."""

from __future__ import annotations

import math
from typing import Any

from bench.doctor import blas, gpu
from bench.doctor.examination import Facts
from bench.doctor.finding import WORST_FIRST, Finding, Severity, busy, logs
from bench.doctor.remedies import THREADS, usable_cpus
from bench.statistics import over_processes, smallest_effect

TOO_NOISY, NOISY = 0.10, 0.05  # a smallest visible effect above these is wrong, is noted
LONGER_RUN_S = 600  # more passes, so narrower intervals
STOLEN = 0.02
THROTTLED = 0.05
UNEQUAL_THREADS = 1.4  # the backends' threads in effect differ when one has so many times another's
BROKEN = "cannot be loaded"  # how backends.status puts an import that fails
SLOW_GOVERNORS = {"powersave", "conservative", "ondemand"}


def diagnose(facts: Facts) -> list[Finding]:
    """Return every finding, what is wrong first."""
    findings = [
        backends(facts),
        blas.kernel(facts),
        blas.threads(facts),
        cpus(facts),
        agreement(facts),
        precision(facts),
        noise(facts),
    ]
    findings += [governor(facts), *gpu.diagnose(facts)]
    return sorted((finding for finding in findings if finding), key=lambda finding: WORST_FIRST.index(finding.severity))


def backends(facts: Facts) -> Finding:
    """Say what this machine can run; wrong is what is installed and breaks."""
    rates = {spec: answer["gflop_per_s"] for spec, answer in _answered(facts).items()}
    errors = {spec: answer["error"] for spec, answer in facts.backends.items() if "error" in answer}
    missing = {
        status["name"]: status["reason"] for status in facts.statuses if not status["usable"] and status["timed"]
    }
    broken = errors | {name: reason for name, reason in missing.items() if BROKEN in reason}
    sentence = f"Usable: {', '.join(f'{spec} ({rate:.0f} GFLOP/s)' for spec, rate in rates.items()) or 'none'}."
    sentence += "".join(f" Not {name}: {reason}." for name, reason in (errors | missing).items())
    evidence = {"gflop_per_s": rates, "unusable": errors | missing}
    return Finding("backends", "wrong" if broken or not rates else "ok", sentence, evidence=evidence)


def cpus(facts: Facts) -> Finding:
    """Judge what mask and quota leave of the machine's CPUs."""
    machine, load = facts.machine, facts.load
    cores, online, quota, usable = machine["cores"], machine["cpus_online"], machine["cpu_quota"], usable_cpus(machine)
    evidence = {"cores": cores, "cpus_online": online, "cpu_quota": quota, "periods": load["periods"]}
    evidence["throttled"] = load["throttled"]
    narrow = ",".join(str(cpu) for cpu in facts.allowed_cpus[:usable])
    line = f"taskset -c {narrow} arraybench run" if quota is not None and usable < cores and narrow else None
    if load["throttled"] and load["throttled"] > THROTTLED * load["periods"]:
        sentence = (
            f"The control group's quota stopped this process in {load['throttled']} of {load['periods']} periods."
        )
        return Finding("cpus", "wrong", sentence, None, line, evidence)
    if quota is not None and usable < cores:
        sentence = f"The quota is {quota:g} CPUs, but {cores} are seen, and XLA starts a thread for each of those."
        return Finding("cpus", "note", sentence, None, line, evidence)
    if online and cores < online:
        sentence = f"This process may run on {cores} of {online} CPUs (taskset, cpuset or batch system)."
        return Finding("cpus", "note", sentence, evidence=evidence)
    return Finding(
        "cpus", "ok", f"This process may use all {cores} CPUs, without a quota in its way.", evidence=evidence
    )


def agreement(facts: Facts) -> Finding | None:
    """Judge whether the backends on the CPU compute on equally many threads."""
    found = {spec: answer["threads_in_effect"] for spec, answer in _answered(facts).items() if spec.endswith(":cpu")}
    if len(found) < 2:
        return None
    evidence = {"threads_in_effect": found, "others_cpus": facts.load["others_cpus"]}
    told = ", ".join(f"{spec} {count:.1f}" for spec, count in found.items())
    if max(found.values()) < UNEQUAL_THREADS * min(found.values()):
        return Finding(
            "threads_in_effect", "ok", f"Threads in effect (CPU time over wall time): {told}.", evidence=evidence
        )
    if busy(facts):
        sentence = f"Threads in effect: {told}; other programs took their share, so that tells nothing of the backends."
        return Finding("threads_in_effect", "note", sentence, evidence=evidence)
    sentence = f"Threads in effect differ: {told}. The backends would be compared on unequal parts of the machine."
    fewest = min(found, key=lambda spec: found[spec])
    variable = THREADS.get(facts.current.blas["library"])
    if fewest.startswith("numpy") and variable:  # which XLA does not heed
        line = f"export {variable}={usable_cpus(facts.machine)}"
    else:
        line = f"taskset -c {facts.allowed_cpus[0] if facts.allowed_cpus else 0} arraybench run"
    return Finding("threads_in_effect", "note", sentence, None, line, evidence)


def precision(facts: Facts) -> Finding | None:
    """Judge whether a float32 product means the same on every backend."""
    found = {spec: answer["matmul_precision"] for spec, answer in _answered(facts).items()}
    if not found:
        return None
    told = ", ".join(f"{spec} {name}" for spec, name in found.items())
    dtypes = {spec: answer["dtype"] for spec, answer in _answered(facts).items()}
    evidence = {"matmul_precision": found, "dtype": dtypes}
    if set(dtypes.values()) != {"float32"}:
        sentence = f"A float32 product does not come back as float32 everywhere: {dtypes}."
        return Finding("matmul_precision", "wrong", sentence, evidence=evidence)
    if len(set(found.values())) == 1:
        return Finding("matmul_precision", "ok", f"A float32 product has one precision: {told}.", evidence=evidence)
    coarse = next(spec for spec, name in found.items() if name != "float32")
    sentence = f"A float32 product is not the same product everywhere: {told}. The coarser is faster for that alone."
    return Finding("matmul_precision", "wrong", sentence, None, _full_precision(coarse, facts.variables), evidence)


def _full_precision(spec: str, variables: dict[str, str]) -> str:
    """Return the line after which this backend's float32 products are float32."""
    switches = {
        "jax": "JAX_DEFAULT_MATMUL_PRECISION",
        "cupy": "CUPY_TF32",
        "torch": "TORCH_ALLOW_TF32_CUBLAS_OVERRIDE",
    }
    own = switches.get(spec.partition(":")[0])
    if own in variables:
        return f"unset {own}"
    if own == "JAX_DEFAULT_MATMUL_PRECISION":
        return f"export {own}=highest"
    return "export NVIDIA_TF32_OVERRIDE=0"


def _answered(facts: Facts) -> dict[str, dict[str, Any]]:
    return {spec: answer for spec, answer in facts.backends.items() if "error" not in answer}


def noise(facts: Facts) -> Finding:
    """Judge from two identical environments how small an effect can be seen here."""
    differences = logs(facts.current, facts.again, "large_median_s")
    effect = smallest_effect(differences) if differences else math.nan
    seen = over_processes(differences) if differences else None
    load = facts.load
    evidence = {"smallest_effect": effect, "identical_sets": seen, "processes": len(differences), **load}
    evidence["load_average_before"] = facts.machine["load_average"]
    effect = max(effect, abs(seen.value - 1)) if seen else effect  # what equals differ by hides as much
    if math.isnan(effect) or seen is None:
        return Finding("noise", "note", "Too few processes to tell how noisy this machine is.", evidence=evidence)
    sentence = (
        f"Two identical sets of {len(differences)} processes differ by {abs(seen.value - 1):.1%}; "
        f"with as many, an effect under {effect:.1%} cannot be seen here."
    )
    stolen = load["steal_share"] is not None and load["steal_share"] > STOLEN
    if busy(facts):
        sentence += f" Other programs used {load['others_cpus']:.1f} CPUs meanwhile."
    if stolen:
        sentence += f" The host took {load['steal_share']:.0%} of the CPU time for other guests."
    severity: Severity = "wrong" if effect > TOO_NOISY else "note" if effect > NOISY or busy(facts) or stolen else "ok"
    line = "ps -eo pcpu,pid,args --sort=-pcpu | head" if busy(facts) else None
    if line is None and severity == "wrong":
        line = f"arraybench run --time {LONGER_RUN_S}"
    return Finding("noise", severity, sentence, None, line, evidence)


def governor(facts: Facts) -> Finding | None:
    """Judge the frequency governor, where there is one to see."""
    name = facts.machine["governor"]
    if name is None:
        return None
    evidence = {"governor": name, "boost": facts.machine["boost"]}
    if not SLOW_GOVERNORS & set(name.split(", ")):
        return Finding("governor", "ok", f"The frequency governor is {name}.", evidence=evidence)
    sentence = (
        f"The frequency governor is {name}: short cases may be timed while the clock is still rising (not measured)."
    )
    return Finding("governor", "note", sentence, None, "sudo cpupower frequency-set --governor performance", evidence)
