"""What is measured: cases are data, and this is the one list of them."""

from __future__ import annotations

import fnmatch
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from backends import ArraybenchError
from bench import peers
from bench.networks import COFFEE, DIGITS, FACE, LADDER_NETWORKS, WIDE, wide
from core.loops import LADDER

EXAMPLES = 400
EPOCH_ROWS = 200_000
LARGE = {**dict.fromkeys(map(wide, (1024, 2048, 4096, 8192)), 128), FACE: 64}
"""Networks whose weights or examples outgrow every cache, with a batch size each."""
LARGE_STEPS = 8
EPOCHS = {COFFEE.name: EPOCH_ROWS, WIDE.name: 12_800} | {n.name: LARGE_STEPS * batch for n, batch in LARGE.items()}
"""How many examples an epoch goes through."""
MATMUL_SIZES = (32, 64, 128, 256, 512, 1024, 2048, 4096)
PRECISIONS: dict[str, dict[str, Any]] = {
    "float64": {"dtype": "float64"},
    "float32": {},
    "tf32": {"tf32": True},
    "bfloat16": {"dtype": "bfloat16"},
}
"""In what a case may be computed, widest first, and what of a case says so."""
PRECISION_SIZES = (256, 512, 1024, 2048)

WORKLOADS = ("forward", "backward", "step", "epoch", "predict", "row", "matmul")
"""The kinds of work of this project's own cases."""
LOOPS = tuple(rung.name for rung in LADDER if rung.one_example_at_a_time)
FUNCTION = "function"
"""The kind of work of a function of a user's own, whatever it is called."""
CONTROL = "again"
"""NumPy's `matmul` once more, in a process of its own: what differs between the two is the run's own error."""
CONTROLLED = (f"forward/{DIGITS.name}", "matmul/square-512")


@dataclass(frozen=True)
class Case:
    """One row of the table, before a backend is chosen.

    `implementation` is a rung of `core.loops.LADDER`, `compiled` (the last rung under the backend's compiler), `fold` (the
    epoch as `Sequential.fit` runs it), `predict` and `call` (a model's method and the model called), `hand_written` (plain NumPy
    that uses nothing of `core`) or `CONTROL`; on a peer one of `peers.METHODS`. `batch_size` is how many examples one call takes;
    for a square product, its rows. `dtype` is that of the inputs; `tf32` lets products of float32 be made as TF32. `optimizer`
    is `adam`, or for a step `nesterov`.

    With a `source`, a file of Python, the workload is a function that the file declares, the network the values of its axes, and
    the implementation `eager` or `compiled`.
    """

    workload: str
    network: str
    implementation: str
    batch_size: int
    dtype: str = "float32"
    optimizer: str = "adam"
    tf32: bool = False
    source: str = ""

    def __post_init__(self) -> None:
        if self.precision not in PRECISIONS or (self.tf32 and self.dtype != "float32"):
            asked = f"tf32 of {self.dtype}" if self.tf32 else self.dtype
            raise ArraybenchError(f"a case is in one of {', '.join(PRECISIONS)}, not in {asked}")

    @property
    def id(self) -> str:
        """The case's name, as `--only` matches it."""
        unusual = [part for part in (self.optimizer, self.precision) if part not in ("adam", "float32")]
        return "/".join([self.group, self.implementation, *unusual])

    @property
    def group(self) -> str:
        """What the case shares with those that it is compared with, and is measured in the same rounds with."""
        return f"{self.workload}/{self.network}"

    @property
    def kind(self) -> str:
        """The kind of work, of `WORKLOADS` or `FUNCTION`: ask for this, as a user's function may have any name."""
        return FUNCTION if self.source else self.workload

    @property
    def precision(self) -> str:
        """What it is computed in, one of `PRECISIONS`."""
        return "tf32" if self.tf32 else self.dtype

    @property
    def result_dtype(self) -> str:
        """The dtype of the results. A step in bfloat16 keeps its state in float32, so that small updates are not lost."""
        return "float32" if (self.kind, self.dtype) == ("step", "bfloat16") else self.dtype

    def examples(self, batch_size: int) -> int:
        """Return how many examples a call with that batch size goes through: all of them, in an epoch."""
        return EPOCHS[self.network] if self.kind == "epoch" else batch_size

    def on(self, spec: str) -> bool:
        """Tell whether the table has a row for it there.

        `fit` is a peer's, what peers have no word for a backend's, and the control NumPy's. On Numba, Python's loops and BLAS are
        NumPy's again.
        """
        if peers.is_peer(spec):
            return self.implementation in peers.METHODS
        if spec.startswith("numba:") and (self.implementation in LOOPS or self.kind == "matmul"):
            return False
        return self.implementation != "fit" and (self.implementation != CONTROL or spec.startswith("numpy:"))


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


def precision_cases() -> list[Case]:
    """Return products and the wide network in every precision; those of one product or workload are neighbours."""
    products = [Case("matmul", f"square-{n}", "matmul", n) for n in PRECISION_SIZES]
    network = [
        Case(workload, WIDE.name, implementation, EXAMPLES)
        for workload in ("forward", "step")
        for implementation in ("matmul", "compiled")
    ]
    return _with_controls(
        [replace(case, **precision) for case in products + network for precision in PRECISIONS.values()]
    )


def large_cases() -> list[Case]:
    """Return epochs of networks that outgrow every cache, of a few steps each, and a product as large as the widest of them."""
    epochs = [
        Case("epoch", network.name, implementation, batch_size)
        for network, batch_size in LARGE.items()
        for implementation in ("hand_written", "fold")
    ]
    return [*epochs, Case("matmul", "square-8192", "matmul", 8192)]


SUITES: dict[str, Callable[[], list[Case]]] = {
    "ladder": all_cases,
    "peers": peer_cases,
    "precision": precision_cases,
    "large": large_cases,
}


def matching(known: list[Case], pattern: str, none: str) -> list[Case]:
    """Return the cases whose names match a pattern; where there are none, raise ArraybenchError, which begins with `none`."""
    found = [case for case in known if fnmatch.fnmatch(case.id, pattern)]
    if not found:
        raise ArraybenchError(f"{none} has such a name; they are like {known[0].id}")
    return found


def quick(cases: list[Case]) -> list[Case]:
    """Return a few of a suite's cases that tell most: one network without its slow loops, the epoch, two products."""
    return [
        case
        for case in cases
        if (case.network == DIGITS.name and case.implementation not in ("multiplication", "example"))
        or (
            case.network in (COFFEE.name, FACE.name, "square-64", "square-512")
            and case.workload in ("epoch", "matmul", "predict", "row")
        )
    ]


def _with_controls(cases: list[Case]) -> list[Case]:
    """Return the cases with a second label behind the last rung of the groups that have one."""
    found = []
    for case in cases:
        found.append(case)
        if (case.implementation, case.precision) == ("matmul", "float32") and case.group in CONTROLLED:
            found.append(replace(case, implementation=CONTROL))
    return found
