"""What a reader must know of the machine, as the program finds it; nothing is typed by hand."""

from __future__ import annotations

import hashlib
import importlib.metadata
import os
import platform
import subprocess
from pathlib import Path
from typing import Any

LIBRARIES = ("arraybench", "numpy", "jax", "jaxlib", "cupy-cuda12x", "cupy-cuda13x", "array-api-compat", "pandas")
VARIABLES = ("OPENBLAS_", "OMP_", "MKL_", "XLA_", "JAX_", "CUPY_", "CUDA_", "ARRAY_BACKEND", "PYTHONOPTIMIZE")


def describe() -> dict[str, Any]:
    """Return the processor, memory, GPUs, operating system, library versions, load and the variables that matter."""
    hardware = {
        "cpu": _cpu_model(),
        "architecture": platform.machine(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_bytes": _memory(),
        "gpus": _gpus(),
    }
    return {
        "machine_id": "m-" + hashlib.sha256(repr(sorted(hardware.items())).encode()).hexdigest()[:8],
        **hardware,
        "system": f"{platform.system()} {platform.release()}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "libraries": _versions(),
        "load_average": os.getloadavg() if hasattr(os, "getloadavg") else None,
        "variables": {name: value for name, value in sorted(os.environ.items()) if name.startswith(VARIABLES)},
    }


def _cpu_model() -> str:
    information = Path("/proc/cpuinfo")
    if information.exists():
        for line in information.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _memory() -> int | None:
    if not hasattr(os, "sysconf") or "SC_PHYS_PAGES" not in os.sysconf_names:
        return None
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _gpus() -> list[str]:
    """Return name, memory and driver of each NVIDIA GPU, as nvidia-smi tells them; none where it is not there."""
    query = ["nvidia-smi", "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader"]
    try:
        answer = subprocess.run(query, capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return []
    return answer.stdout.strip().splitlines()


def _versions() -> dict[str, str]:
    found = {}
    for library in LIBRARIES:
        try:
            found[library] = importlib.metadata.version(library)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found
