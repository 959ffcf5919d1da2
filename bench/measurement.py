"""A case on a backend, and all that its processes found of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from statistics import median
from typing import Any

from bench import statistics
from bench.cases import Case
from bench.statistics import Blocks, Estimate

Row = dict[str, Any]

WORST = ("oracle_error", "subnormals", "peak_memory_bytes")
"""Facts of which the highest counts; of times it is the median over the processes, of anything else the first."""


@dataclass
class Measurement:
    """A case on a backend: its outcome, the facts of each process, and its samples as (process, round, seconds)."""

    case: Case
    spec: str
    status: str = "ok"
    reason: str = ""
    stopped: str = ""
    facts: list[Row] = field(default_factory=list)
    samples: list[tuple[int, int, float]] = field(default_factory=list)

    def add(self, process: int, entry: Row) -> None:
        """Take in what a process found: `status`, `reason`, `facts` and `samples` as [round, seconds].

        A case that failed once is not `ok` any more.
        """
        if self.status == "ok":
            self.status, self.reason = entry["status"], entry["reason"]
        if entry["facts"]:
            self.facts.append(entry["facts"])
        self.samples += [(process, number, seconds) for number, seconds in entry["samples"]]
        self.__dict__.pop("blocks", None)

    @property
    def measured(self) -> bool:
        """Whether there are figures to show."""
        return self.status == "ok" and bool(self.samples)

    @cached_property
    def blocks(self) -> Blocks:
        """The seconds for one example, block by block."""
        examples = self.case.examples(self.examples)
        return statistics.blocks((process, number, seconds / examples) for process, number, seconds in self.samples)

    @property
    def processes(self) -> int:
        """From how many processes there are samples."""
        return len(self.blocks)

    @property
    def examples(self) -> int:
        """The batch size of a call."""
        return self.facts[0]["batch_size"] if self.facts else self.case.batch_size

    @property
    def call(self) -> Estimate:
        """The seconds of one call."""
        return statistics.time(self.blocks).scaled(self.case.examples(self.examples))

    def fact(self, name: str) -> Any:
        """Return a fact of the measurement as its processes tell it; None where none does."""
        values = [facts[name] for facts in self.facts if facts.get(name) is not None]
        if not values:
            return None
        choose: Callable[[list[Any]], Any] = (
            max if name in WORST else median if name.endswith(("_s", "_effect")) else _first
        )
        return choose(values)

    def all_facts(self) -> Row:
        """Return every fact by name."""
        return {name: self.fact(name) for name in dict.fromkeys(name for facts in self.facts for name in facts)}

    @property
    def identity(self) -> Row:
        """The columns that name it."""
        backend, _, device = self.spec.partition(":")
        return {
            "workload": self.case.workload,
            "network": self.case.network,
            "implementation": self.case.implementation,
            "precision": self.case.precision,
            "backend": backend,
            "device": device,
        }


def _first(values: list[Any]) -> Any:
    return values[0]
