"""A fresh process of the doctor: it looks once, prints one line of JSON, and ends.

`blas` times NumPy's products; `backend NAME` tells what a float32 product of that backend is; `backends` asks which are
usable; `driver` asks NVIDIA's driver. Each is a process of its own, because a BLAS reads its variables when it is loaded, and
because a driver that hangs or crashes must not take the doctor with it.
"""

from __future__ import annotations

import ctypes
import importlib.metadata
import json
import os
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import threadpoolctl

import backends
from backends import Backend
from backends.base import first_line
from bench.clock import Stopwatch, seconds
from bench.machine import SYS, nvidia_smi

LARGE, SMALL = 1024, 256
LARGE_S, SMALL_S = 0.2, 0.05
LEAST_SAMPLES = 5
THREAD_BLOCK_S = 0.1

CUDA_LIBRARIES = ("libcuda.so.1", "nvcuda.dll")
NVIDIA, DISPLAY = "0x10de", "0x03"  # the PCI vendor, and the class of what computes or draws
DISTRIBUTIONS = ("jax", "jax-cuda12-plugin", "jax-cuda13-plugin", "cupy", "cupy-cuda12x", "cupy-cuda13x")


def blas() -> dict[str, Any]:
    """Time float32 products in NumPy, whose BLAS takes the environment as it finds it: a large one, and a small on one thread.

    The small one is over before a scheduler takes its CPU away, so the best of many tells the kernel whatever else runs here.
    """
    backend, found = backends.get("numpy"), _blas()
    large, small = _product(backend, LARGE), _product(backend, SMALL)
    large_s = _samples(large, backend, LARGE_S)
    answer = {"blas": found, "large_best_s": min(large_s), "large_median_s": median(large_s), "one_thread_best_s": None}
    with threadpoolctl.threadpool_limits(1, user_api="blas"):
        answer["small_best_s"] = min(_samples(small, backend, SMALL_S))
        if found["threads"]:
            answer["one_thread_best_s"] = min(_samples(large, backend, LARGE_S))
    return answer


def backend(spec: str) -> dict[str, Any]:
    """Tell what a float32 product on this backend is: its rate, its precision, and the threads that it really computes on."""
    backend = backends.get(spec)
    large = _product(backend, LARGE)
    best_s = min(_samples(large, backend, LARGE_S))
    return {
        "gflop_per_s": gflop_per_s(LARGE, best_s),
        "threads_in_effect": _threads_in_effect(large, backend, best_s),
        "matmul_precision": backend.matmul_precision(),
        "dtype": str(large().dtype).rpartition(".")[2],
    }


def gflop_per_s(n: int, product_s: float) -> float:
    """Return the rate of a product of two n x n matrices that takes so long."""
    return 2 * n**3 / product_s / 1e9


def _product(backend: Backend, n: int) -> Callable[[], Any]:
    """Return a compiled product of two n x n matrices, called once already."""
    a = backend.asarray(np.random.default_rng(0).standard_normal((n, n)), "float32")
    function = backend.compile(backend.xp.matmul)
    backend.synchronize(function(a, a))
    return lambda: function(a, a)


def _samples(call: Callable[[], Any], backend: Backend, budget_s: float) -> list[float]:
    """Return the seconds of single calls, taken for about `budget_s`."""
    once_s = min(seconds(call, backend) for _ in range(3))
    return [seconds(call, backend) for _ in range(max(LEAST_SAMPLES, int(budget_s / once_s)))]


def _threads_in_effect(call: Callable[[], Any], backend: Backend, once_s: float) -> float:
    """Return the processor time of a call over its wall time: of the best of three, as other programs only lessen it."""
    calls = max(1, round(THREAD_BLOCK_S / once_s))
    found = []
    for _ in range(3):
        with Stopwatch() as watch:
            seconds(call, backend, calls)
        found.append(watch.cpu_seconds / watch.seconds)
    return max(found)


def _blas() -> dict[str, Any]:
    """Return NumPy's BLAS: library, version, kernel and threads, or the name that NumPy was built with and None for the rest."""
    pools = [pool for pool in threadpoolctl.threadpool_info() if pool["user_api"] == "blas"]
    own = [pool for pool in pools if "numpy" in pool["filepath"]] or pools
    if own:
        pool = own[0]
        keys = {"library": "internal_api", "version": "version", "kernel": "architecture", "threads": "num_threads"}
        return {name: pool.get(key) for name, key in keys.items()}
    # Apple's Accelerate is a framework that threadpoolctl does not see.
    built = np.show_config(mode="dicts") or {}
    name = built.get("Build Dependencies", {}).get("blas", {}).get("name")
    return {"library": name, "version": None, "kernel": None, "threads": None}


def usable() -> dict[str, Any]:
    """Tell of every backend whether it can be used here, and which libraries are installed that could reach a GPU."""
    versions: dict[str, str | None] = {}
    for name in DISTRIBUTIONS:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            versions[name] = None
    return {"statuses": [asdict(status) for status in backends.status()], "distributions": versions}


def driver() -> dict[str, Any]:
    """Tell how far NVIDIA's driver gets here: the card on its bus, the device files, nvidia-smi, libcuda and what cuInit says."""
    return {
        "pci": _pci_cards(),
        "device_files": sorted(str(file) for file in Path("/dev").glob("nvidia*") if file.name[6:].isdigit()),
        "nvidia_smi": (nvidia_smi("-L") or "").splitlines(),
        **_cuda(),
    }


def _pci_cards() -> list[str]:
    """Return the PCI addresses of NVIDIA's cards; they are there before any driver is."""
    cards = SYS.glob("bus/pci/devices/*")
    return sorted(card.name for card in cards if _reads(card / "vendor", NVIDIA) and _reads(card / "class", DISPLAY))


def _reads(file: Path, start: str) -> bool:
    try:
        return file.read_text().startswith(start)
    except OSError:
        return False


def _cuda() -> dict[str, Any]:
    """Load the driver's library and start it; return its own number and words."""
    said: dict[str, Any] = {"libcuda": None, "cuda_result": None, "cuda_error": None, "cuda_version": None}
    for name in CUDA_LIBRARIES:
        try:
            cuda = ctypes.CDLL(name)
        except OSError as error:
            said["libcuda"] = said["libcuda"] or str(error)
            continue
        version, message = ctypes.c_int(), ctypes.c_char_p()
        said |= {"libcuda": "loaded", "cuda_result": cuda.cuInit(0)}
        if cuda.cuDriverGetVersion(ctypes.byref(version)) == 0:
            said["cuda_version"] = version.value
        if said["cuda_result"] and cuda.cuGetErrorString(said["cuda_result"], ctypes.byref(message)) == 0:
            said["cuda_error"] = (message.value or b"").decode()
        break
    return said


def answer(question: str, *arguments: str) -> dict[str, Any]:
    """Return the answer to one question; `error`, in the library's own words, when it cannot be had."""
    questions: dict[str, Callable[..., dict[str, Any]]] = {
        "blas": blas,
        "backend": backend,
        "backends": usable,
        "driver": driver,
    }
    try:
        return questions[question](*arguments)
    except Exception as error:  # libraries and drivers raise unrelated classes
        return {"error": f"{type(error).__name__}: {first_line(error)}"}


if __name__ == "__main__":
    # The answer keeps the pipe; whatever a library prints goes to standard error.
    pipe = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    print(json.dumps(answer(*sys.argv[1:])), file=pipe, flush=True)
