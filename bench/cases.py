"""What is measured: cases are data, and this is the one list of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from bench import peers
from bench.networks import COFFEE, DIGITS, LADDER_NETWORKS, WIDE
from core.loops import LADDER

EXAMPLES = 400
EPOCH_ROWS = 200_000
EPOCHS = {COFFEE.name: EPOCH_ROWS, WIDE.name: 12_800}
"""How many examples an epoch goes through."""
MATMUL_SIZES = (32, 64, 128, 256, 512, 1024, 2048, 4096)

CONTROL = "again"
"""NumPy's `matmul` once more, in a process of its own: what differs between the two is the run's own error."""
CONTROLLED = (f"forward/{DIGITS.name}", "matmul/square-512")


@dataclass(frozen=True)
class Case:
    """One row of the table, before a backend is chosen.

    `implementation` is a rung of `core.loops.LADDER`, `compiled` (the last rung under the backend's compiler), `fold` (the
    epoch as `Sequential.fit` runs it), `predict` and `call` (a model's method and the model called), `hand_written` (plain NumPy
    that uses nothing of `core`) or `CONTROL`; on a peer one of `peers.METHODS`. `batch_size` is how many examples one call takes;
    for a square product, its rows. `optimizer` is `adam`, or for a step `nesterov`.

    With a `source`, a file of Python, the workload is a function that the file declares, the network the values of its axes, and
    the implementation `eager` or `compiled`.
    """

    workload: str
    network: str
    implementation: str
    batch_size: int
    dtype: str = "float32"
    optimizer: str = "adam"
    source: str = ""

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
        return EPOCHS[self.network] if self.workload == "epoch" else batch_size

    def on(self, spec: str) -> bool:
        """Tell whether the table has a row for it there: `fit` is a peer's, and what peers have no word for a backend's."""
        return self.implementation in peers.METHODS if peers.is_peer(spec) else self.implementation != "fit"


def all_cases() -> list[Case]:
    """Return every case of the ladder, in the order of the table; cases that are compared are neighbours."""
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


def peer_cases() -> list[Case]:
    """Return what peers are compared in: an epoch of a small and of a wide network, and predictions from host to host."""
    epochs = [
        Case("epoch", network, implementation, batch_size)
        for network, batch_size in ((COFFEE.name, 32), (WIDE.name, 128))
        for implementation in ("hand_written", "fold", "fit")
    ]
    predictions = [
        Case(workload, COFFEE.name, implementation, rows)
        for workload, rows in (("predict", EPOCH_ROWS), ("row", 1))
        for implementation in ("hand_written", "predict", "call")
    ]
    return epochs + predictions


SUITES: dict[str, Callable[[], list[Case]]] = {"ladder": all_cases, "peers": peer_cases}


def quick(cases: list[Case]) -> list[Case]:
    """Return a few of a suite's cases that tell most: one network without its slow loops, the epoch, two products."""
    return [
        case
        for case in cases
        if (case.network == DIGITS.name and case.implementation not in ("multiplication", "example"))
        or (
            case.network in (COFFEE.name, "square-64", "square-512")
            and case.workload in ("epoch", "matmul", "predict", "row")
        )
    ]


def _with_controls(cases: list[Case]) -> list[Case]:
    """Return the cases with a second label behind the last rung of the groups that have one."""
    found = []
    for case in cases:
        found.append(case)
        if case.implementation == "matmul" and case.group in CONTROLLED:
            found.append(replace(case, implementation=CONTROL))
    return found
