"""What is measured: cases are data, and this is the one list of them."""

from __future__ import annotations

from dataclasses import dataclass, replace

from bench.networks import COFFEE, DIGITS, LADDER_NETWORKS
from core.loops import LADDER

EXAMPLES = 400
EPOCH_ROWS = 200_000
MATMUL_SIZES = (32, 64, 128, 256, 512, 1024, 2048, 4096)

CONTROL = "again"
"""NumPy's `matmul` once more, in a process of its own: what differs between the two is the run's own error."""
CONTROLLED = (f"forward/{DIGITS.name}", "matmul/square-512")


@dataclass(frozen=True)
class Case:
    """One row of the table, before a backend is chosen.

    `implementation` is a rung of `core.loops.LADDER`, `compiled` (the last rung under the backend's compiler), `fold` (the
    epoch as `Sequential.fit` runs it), `hand_written` (plain NumPy that uses nothing of `core`) or `CONTROL`. `batch_size` is
    how many examples one call takes; for a square product, its rows. `optimizer` is `adam`, or for a step `nesterov`.
    """

    workload: str
    network: str
    implementation: str
    batch_size: int
    dtype: str = "float32"
    optimizer: str = "adam"

    @property
    def id(self) -> str:
        """The case's name, as `--only` matches it."""
        name = f"{self.group}/{self.implementation}"
        return name if self.optimizer == "adam" else f"{name}/{self.optimizer}"

    @property
    def group(self) -> str:
        """What the case shares with those that it is compared with, and is measured in the same rounds with."""
        return f"{self.workload}/{self.network}"

    def examples(self, batch_size: int) -> int:
        """Return how many examples a call with that batch size goes through: all of them, in an epoch."""
        return EPOCH_ROWS if self.workload == "epoch" else batch_size


def all_cases() -> list[Case]:
    """Return every case, in the order of the table; cases that are compared with each other are neighbours."""
    rungs = (*(rung.name for rung in LADDER), "compiled")
    forward = [
        Case("forward", network.name, implementation, EXAMPLES)
        for network in LADDER_NETWORKS
        for implementation in ("hand_written", *rungs)
    ]
    training = [
        Case(workload, network.name, implementation, EXAMPLES)
        for workload in ("backward", "step")
        for network in LADDER_NETWORKS
        for implementation in rungs
    ]
    epoch = [Case("epoch", COFFEE.name, implementation, 32) for implementation in ("hand_written", "fold")]
    products = [Case("matmul", f"square-{n}", "matmul", n) for n in MATMUL_SIZES]
    return _with_controls(forward + training + epoch + products)


def _with_controls(cases: list[Case]) -> list[Case]:
    """Return the cases with a second label behind the last rung of the groups that have one."""
    found = []
    for case in cases:
        found.append(case)
        if case.implementation == "matmul" and case.group in CONTROLLED:
            found.append(replace(case, implementation=CONTROL))
    return found
