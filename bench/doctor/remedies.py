"""What could be typed before a run to make NumPy's BLAS faster here; whether it does is measured, never assumed."""

from __future__ import annotations

import math
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

# The variables that bend a library's own choice of kernels, and the one that sets its threads.
FORCING = {
    "openblas": ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE"),
    "mkl": ("MKL_ENABLE_INSTRUCTIONS", "MKL_CBWR", "MKL_DEBUG_CPU_TYPE"),
    "blis": ("BLIS_ARCH_TYPE",),
}
THREADS = {
    "openblas": "OPENBLAS_NUM_THREADS",
    "mkl": "MKL_NUM_THREADS",
    "blis": "BLIS_NUM_THREADS",
    "accelerate": "VECLIB_MAXIMUM_THREADS",
}

# OpenBLAS's kernels, each with the instruction set that it needs; a build without a kernel takes the next one that it has.
CORE_TYPES = (
    ("amx_tile", "SapphireRapids"),
    ("avx512_bf16", "Cooperlake"),
    ("avx512f", "SkylakeX"),
    ("avx2", "Zen"),
    ("avx2", "Haswell"),
    ("sve", "NEOVERSEV1"),
    ("asimd", "NEOVERSEN1"),
)


@dataclass(frozen=True)
class Remedy:
    """A change of the environment that a fresh process can be started with."""

    question: str
    """What it is about: `kernel` or `threads`."""
    exports: tuple[tuple[str, str], ...] = ()
    unsets: tuple[str, ...] = ()

    @property
    def line(self) -> str:
        """The shell line that makes the change."""
        parts = [f"unset {' '.join(self.unsets)}"] if self.unsets else []
        parts += [f"export {name}={shlex.quote(value)}" for name, value in self.exports]
        return "; ".join(parts)

    def applied(self, environment: Mapping[str, str]) -> dict[str, str]:
        """Return the environment after the change."""
        return {name: value for name, value in environment.items() if name not in self.unsets} | dict(self.exports)


def kernel_remedies(library: str | None, environment: Mapping[str, str], instruction_sets: list[str]) -> list[Remedy]:
    """Return what may change the kernels: first to undo what is forced, then to force each kernel that the processor can run."""
    forced = tuple(name for name in FORCING.get(library or "", ()) if name in environment)
    remedies = [Remedy("kernel", unsets=forced)] if forced else []
    if library == "openblas":
        remedies += [
            Remedy("kernel", exports=(("OPENBLAS_CORETYPE", core),))
            for needed, core in CORE_TYPES
            if needed in instruction_sets and environment.get("OPENBLAS_CORETYPE", "").lower() != core.lower()
        ]
    return remedies


def thread_remedies(library: str | None, now: int | None, counts: list[int]) -> list[Remedy]:
    """Return what sets the BLAS to each of the counts that it does not have now."""
    if library not in THREADS:
        return []
    return [
        Remedy("threads", exports=((THREADS[library], str(count)),)) for count in dict.fromkeys(counts) if count != now
    ]


def usable_cpus(machine: Mapping[str, Any]) -> int:
    """Return how many threads can compute at once: the CPUs of this process's mask, within the quota of its control group."""
    cores = machine["cores"] or 1
    return cores if machine["cpu_quota"] is None else min(cores, max(1, math.ceil(machine["cpu_quota"])))
