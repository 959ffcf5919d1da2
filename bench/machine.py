"""What a reader must know of the machine, as the program finds it; nothing is typed by hand.

A fact that cannot be had here is None: no limit, no such file, no such tool. None is ever guessed.
"""

from __future__ import annotations

import csv
import hashlib
import importlib.metadata
import os
import platform
import subprocess
from pathlib import Path
from typing import Any

PROC, SYS, ROOT = Path("/proc"), Path("/sys"), Path("/")

LIBRARIES = (
    *("arraybench", "numpy", "numba", "scipy", "jax", "jaxlib", "jax-cuda12-plugin", "jax-cuda13-plugin", "cupy"),
    *("cupy-cuda12x", "cupy-cuda13x", "torch", "array-api-compat", "array-api-extra", "array-api-strict"),
    *("keras", "tensorflow", "tensorflow-cpu", "optax"),
    *("threadpoolctl", "scikit-learn", "pandas", "pytest-benchmark", "mkl", "nvidia-cublas", "nvidia-cublas-cu12"),
)
VARIABLES = (
    *("OPENBLAS_", "GOTO_", "OMP_", "KMP_", "MKL_", "BLIS_", "VECLIB_", "NPY_", "XLA_", "JAX_", "CUPY_", "CUDA_"),
    *("GOMP_", "TORCH", "PYTORCH_", "SCIPY_", "TF_ENABLE_", "TF_NUM_", "TF_XLA_", "TF_GPU_", "TF_USE_"),
    *("NVIDIA_", "CUBLAS_", "LD_PRELOAD", "MALLOC_", "ARRAY_BACKEND", "KERAS_", "PYTHONOPTIMIZE"),
)
INSTRUCTION_SETS = (
    *("sse4_2", "avx", "fma", "avx2", "avx512f", "avx512bw", "avx512vl", "avx512_vnni", "avx512_bf16", "avx512_fp16"),
    *("avx_vnni", "amx_tile", "amx_bf16", "asimd", "sve", "sve2", "bf16", "i8mm"),
)
GPU_STATE = (
    *("name", "driver_version", "pstate", "clocks.sm", "clocks.max.sm", "clocks.mem", "clocks.max.mem"),
    *("power.draw", "power.limit", "temperature.gpu", "utilization.gpu", "memory.used", "persistence_mode"),
)
"""Of each GPU, as nvidia-smi names and counts them: MHz, W, degrees Celsius, %, MiB."""


def describe() -> dict[str, Any]:
    """Return the processor, memory, GPUs, limits, operating system, library versions, load and the variables that matter."""
    hardware = {
        "cpu": _cpu_model(),
        "architecture": platform.machine(),
        "cores": len(_allowed()) or os.cpu_count(),
        "memory_bytes": _memory(),
        "gpus": _gpus(),
    }
    return {
        "machine_id": _digest(hardware),
        **hardware,
        **_processor(),
        "container": _container(),
        "cpu_quota": cpu_quota(),
        "cpu_throttling": cpu_throttling(),
        "gpu_state": _gpu_state(),
        "system": f"{platform.system()} {platform.release()}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "libraries": _versions(),
        "load_average": os.getloadavg() if hasattr(os, "getloadavg") else None,
        "variables": {name: value for name, value in sorted(os.environ.items()) if name.startswith(VARIABLES)},
    }


def _digest(hardware: dict[str, Any]) -> str:
    """Return the machine's name: it changes with the hardware, and with no driver, load or limit."""
    gpus = [gpu.rpartition(", ")[0] for gpu in hardware["gpus"]]
    return "m-" + hashlib.sha256(repr(sorted((hardware | {"gpus": gpus}).items())).encode()).hexdigest()[:8]


def cpu_quota() -> float | None:
    """Return how many CPUs' time the control group (v1 or v2) grants this process; None where it sets no limit."""
    limits = []
    for group in _control_groups():
        if (file := group / "cpu.max").exists():  # v2: `max 100000` or `150000 100000`
            quota, _, period = file.read_text().strip().partition(" ")
        else:  # v1: -1 is no limit
            quota, period = (text(group / f"cpu.cfs_{name}_us") or "-1" for name in ("quota", "period"))
        if quota not in ("max", "-1"):
            limits.append(int(quota) / int(period or 100_000))
    return min(limits, default=None)


def cpu_throttling() -> dict[str, int] | None:
    """Return how many of the quota's periods there were, and in how many this process's group had to stop."""
    for group in _control_groups():
        counters = dict(line.split() for line in (text(group / "cpu.stat") or "").splitlines())
        if "nr_periods" in counters:
            return {"periods": int(counters["nr_periods"]), "throttled": int(counters["nr_throttled"])}
    return None


def _control_groups() -> list[Path]:
    """Return the directories of the CPU control group that this process is in, and of those around it."""
    found = []
    for line in (text(PROC / "self" / "cgroup") or "").splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers and "cpu" not in controllers.split(","):
            continue
        # In a container the path may be the host's; the mount itself is then the container's own group.
        for name in (controllers, "cpu") if controllers else ("unified", "."):
            mount = SYS / "fs" / "cgroup" / name
            group = mount / path.strip("/")
            found += [outer for outer in (group, *group.parents) if mount in (outer, *outer.parents)]
    return [group for group in dict.fromkeys(found) if (group / "cpu.stat").exists()]


def _processor() -> dict[str, Any]:
    """Return what the processor offers to this process, and how it is clocked."""
    flags = _cpuinfo("flags") or _cpuinfo("Features")
    cpus = SYS / "devices" / "system" / "cpu"
    smt = text(cpus / "smt" / "active")
    boost, no_turbo = text(cpus / "cpufreq" / "boost"), text(cpus / "intel_pstate" / "no_turbo")
    governors = {text(file) for file in cpus.glob("cpu[0-9]*/cpufreq/scaling_governor")}
    return {
        "cpus_online": os.cpu_count(),
        "physical_cores": _physical_cores(),
        "smt": None if smt is None else smt == "1",
        "instruction_sets": None if flags is None else [name for name in INSTRUCTION_SETS if name in flags.split()],
        # The flag is x86's alone: elsewhere its absence tells nothing.
        "virtual_machine": "hypervisor" in flags.split() if flags and _cpuinfo("flags") else None,
        "governor": ", ".join(sorted(filter(None, governors))) or None,
        "boost": boost == "1" if boost else no_turbo == "0" if no_turbo else None,
    }


def _allowed() -> set[int]:
    """Return the CPUs that this process may run on; none where the system does not say."""
    return os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set()


def _physical_cores() -> int | None:
    """Return how many cores there are under the CPUs that this process may use."""
    cores = set()
    for cpu in _allowed():
        topology = SYS / "devices" / "system" / "cpu" / f"cpu{cpu}" / "topology"
        core = text(topology / "physical_package_id"), text(topology / "core_id")
        if None in core:
            return None
        cores.add(core)
    return len(cores) or None


def _container() -> bool | None:
    """Tell whether this process is in a container that says so."""
    if not PROC.exists():
        return None
    return (ROOT / ".dockerenv").exists() or (ROOT / "run" / ".containerenv").exists()


def _cpu_model() -> str:
    """Return the processor's name and, as a virtual machine often says no more than `AMD EPYC`, its family and model."""
    name = _cpuinfo("model name") or platform.processor() or platform.machine()
    family, model = _cpuinfo("cpu family"), _cpuinfo("model")
    return f"{name}, family {family} model {model}" if family and model else name


def _cpuinfo(key: str) -> str | None:
    """Return the first value of `key` in /proc/cpuinfo."""
    for line in (text(PROC / "cpuinfo") or "").splitlines():
        name, _, value = line.partition(":")
        if name.strip() == key:
            return value.strip()
    return None


def text(file: Path) -> str | None:
    """Return what a file holds; None where it cannot be read."""
    try:
        return file.read_text().strip()
    except OSError:
        return None


def _memory() -> int | None:
    if not hasattr(os, "sysconf") or "SC_PHYS_PAGES" not in os.sysconf_names:
        return None
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _gpus() -> list[str]:
    """Return name, memory and driver of each NVIDIA GPU, as nvidia-smi tells them; none where it is not there."""
    return (nvidia_smi("--query-gpu=name,memory.total,driver_version", "--format=csv,noheader") or "").splitlines()


def _gpu_state() -> list[dict[str, str | None]] | None:
    """Return clocks, power and use of each NVIDIA GPU; None where there is no nvidia-smi."""
    answer = nvidia_smi(f"--query-gpu={','.join(GPU_STATE)}", "--format=csv,noheader,nounits")
    if answer is None:
        return None
    rows = csv.reader(answer.splitlines(), skipinitialspace=True)
    return [
        {name: None if value.startswith("[") else value for name, value in zip(GPU_STATE, row, strict=True)}
        for row in rows
    ]


def nvidia_smi(*arguments: str) -> str | None:
    """Return what nvidia-smi prints; None where it is not there or fails."""
    try:
        done = subprocess.run(["nvidia-smi", *arguments], capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def _versions() -> dict[str, str]:
    """Return the versions of those libraries that are installed."""
    found = {}
    for library in LIBRARIES:
        try:
            found[library] = importlib.metadata.version(library)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found
