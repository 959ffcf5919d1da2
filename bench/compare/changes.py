"""Whether one run is slower than another: what `arraybench compare` finds.

Two runs share no rounds, so there are no pairs: the interval of a speed-up is Welch's, over the processes of each run. It
holds what differs from process to process. What differs from run to run (another load, another frequency, other pages of
memory) is in no interval: two runs are a single draw of it. What can be told of it is told beside: in which facts the machine
differed, how far the median case moved, and how far the controls did.

A verdict is about one case: one in a hundred equals is called by chance. Beyond doubt is what also survives Holm's correction
for the number of cases compared: one comparison of equal runs in a hundred then calls anything at all. This is as good as
Welch's approximation: with few processes, and spreads that differ several times over, it is a few in a hundred.
"""

from __future__ import annotations

import fnmatch
import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

from bench import statistics
from bench.cases import CONTROL, Case
from bench.comparison import KEYS
from bench.journal import FILE as JOURNAL
from bench.measurement import Measurement, Row
from bench.statistics import CONFIDENCE, Estimate
from bench.table import EMPTY, ResultsError, read_machine, read_results, read_samples

WRONG = ("mismatch", "failed", "timed_out", "out_of_memory")
"""What a case that was ok must not become; `unavailable` tells of the machine alone."""
CASE_FACTS = ("machine_id", "backend_version", "blas", *KEYS)
MACHINE_FACTS = ("machine_id", "cpu", "cores", "memory_bytes", "gpus", "system", "python")
BACKEND_FACTS = ("device_name", "driver", "blas", "threads", "matmul_precision")
SAMPLED = ["workload", "network", "implementation", "precision", "backend", "device"]
"""What names a measurement in samples.csv."""
LOAD_APART = 1.0
"""From here on loads are told to differ: one more process was at work."""


class Name(NamedTuple):
    """What a case on a backend is called in both runs."""

    case: str
    spec: str
    dtype: str

    def __str__(self) -> str:
        return f"{self.case} on {self.spec}"


@dataclass(frozen=True)
class Tables:
    """A finished run, read back: every measurement has its row of the summary as its facts."""

    folder: Path
    machine: Row
    measurements: dict[Name, Measurement]

    @property
    def machine_id(self) -> str:
        """The machine that it was measured on."""
        return str(next(iter(self.measurements.values())).facts[0]["machine_id"])

    @classmethod
    def read(cls, path: Path) -> Tables:
        """Return a run, given its folder or its summary.csv; raise ResultsError where no comparison can be drawn from it."""
        folder = path.parent if path.is_file() else path
        expect_finished(folder)
        summary = read_results(path).to_dict("records")
        if not summary:
            raise ResultsError(f"{folder} holds no case: its summary.csv has no row; measure again")
        ok = [row["processes"] for row in summary if row["status"] == "ok"]
        if max(ok, default=2) < 2:
            raise ResultsError(
                f"{folder} has one process for each case, and an interval takes two at least: make it with arraybench run"
            )
        samples = _samples(folder)
        measurements = [_measurement(folder, row, samples) for row in summary]
        return cls(folder, read_machine(folder), {name(m): m for m in measurements})


@dataclass(frozen=True)
class Change:
    """A case on a backend in two runs, None where a run has none; and what came of it where both are ok.

    `p_holm` is the p-value as it counts among all cases that were compared.
    """

    name: Name
    old: Measurement | None
    new: Measurement | None
    speedup: Estimate | None = None
    p: float = math.nan
    p_holm: float = math.nan
    unlike: str = ""

    @property
    def statuses(self) -> tuple[str, str]:
        """How the case ended in either run."""
        return self.old.status if self.old else "absent", self.new.status if self.new else "absent"

    @property
    def verdict(self) -> str:
        """The rule's word for the new run against the old one; `-` where nothing is compared."""
        return statistics.verdict(self.speedup) if self.speedup else "-"

    @property
    def beyond_doubt(self) -> bool:
        """Whether the difference is called, and would be as one of so many."""
        return self.verdict in ("FASTER", "SLOWER") and self.p_holm <= 1 - CONFIDENCE

    @property
    def wrong(self) -> bool:
        """Whether the case was ok, and is not any more."""
        old, new = self.statuses
        return old == "ok" and new in WRONG and not self.near_budget

    @property
    def near_budget(self) -> bool:
        """Whether a loop timed out that had been cut to a single example: its budget was all but spent, and load decides."""
        return self.statuses == ("ok", "timed_out") and self.old is not None and self.old.examples == 1


@dataclass(frozen=True)
class Comparison:
    """Two runs, in which facts they are not like for like, and every case of either, what changed first."""

    old: Tables
    new: Tables
    unlike: list[str]
    changes: list[Change]

    @property
    def compared(self) -> list[Change]:
        """The cases that were ok in both runs."""
        return [change for change in self.changes if change.speedup]

    @property
    def controls(self) -> list[Change]:
        """The controls among them."""
        return [change for change in self.compared if change.new and change.new.case.implementation == CONTROL]

    @property
    def wrong(self) -> list[Change]:
        """The cases that were ok, and are not any more."""
        return [change for change in self.changes if change.wrong]

    @property
    def verdicts(self) -> Counter[str]:
        """How many cases were called what."""
        return Counter(change.verdict for change in self.compared)

    @property
    def beyond_doubt(self) -> Counter[str]:
        """How many of them beyond doubt."""
        return Counter(change.verdict for change in self.compared if change.beyond_doubt)

    @property
    def median_speedup(self) -> float:
        """What the cases have in common: the median of their speed-ups."""
        return median(change.speedup.value for change in self.compared if change.speedup) if self.compared else math.nan

    @property
    def exit_status(self) -> int:
        """1 where a case is slower beyond doubt, or not ok any more; or else 0."""
        return int(bool(self.wrong) or self.beyond_doubt["SLOWER"] > 0)


def name(measurement: Measurement) -> Name:
    """Return what a measurement is called in every run."""
    return Name(measurement.case.id, measurement.spec, measurement.case.dtype)


def compare(old: Tables, new: Tables, only: str | None = None, other_machine: bool = False) -> Comparison:
    """Return what changed from the old run to the new one, in the cases whose id matches `only`.

    Raise ResultsError with the reason where nothing can be compared; runs of two machines can where `other_machine` is asked.
    """
    if old.folder.resolve() == new.folder.resolve():
        raise ResultsError(f"{old.folder} and {new.folder} are one run: give two, the older first")
    if old.machine_id != new.machine_id and not other_machine:
        raise ResultsError(
            f"{old.folder} was measured on machine {old.machine_id}, {new.folder} on {new.machine_id}: what differs may be "
            "the machines; measure both on one, or ask for it with --other-machine"
        )
    names = [n for n in old.measurements | new.measurements if only is None or fnmatch.fnmatch(n.case, only)]
    if not any(n in old.measurements and n in new.measurements for n in names):
        which = f" that --only {only} matches" if only else ""
        raise ResultsError(
            f"{old.folder} and {new.folder} have no case on a backend in common{which}: nothing to compare"
        )
    changes = _corrected([_change(n, old.measurements.get(n), new.measurements.get(n)) for n in names])
    return Comparison(old, new, list(_unlike(old.machine, new.machine)), sorted(changes, key=_order))


def _change(name: Name, old: Measurement | None, new: Measurement | None) -> Change:
    if not (old and new and old.measured and new.measured):
        return Change(name, old, new)
    return Change(
        name,
        old,
        new,
        speedup=statistics.unpaired_ratio(old.blocks, new.blocks),
        p=statistics.unpaired_p(old.blocks, new.blocks),
        unlike="; ".join(_differences(_case_facts(old), _case_facts(new))),
    )


def _corrected(changes: list[Change]) -> list[Change]:
    """Return the changes with the p-value that each has among all."""
    corrected = statistics.holm([change.p for change in changes])
    return [replace(change, p_holm=p) for change, p in zip(changes, corrected, strict=True)]


def _order(change: Change) -> tuple[int, float]:
    """Return where a change stands: what is wrong, then what is slower, faster, unresolved, the same; the largest first."""
    ranks = ("SLOWER", "FASTER", "UNRESOLVED", "SAME", "-")
    rank = -1 if change.wrong else 2 * ranks.index(change.verdict) - change.beyond_doubt
    return rank, -abs(math.log(change.speedup.value)) if change.speedup else 0.0


def expect_finished(folder: Path) -> None:
    """Raise ResultsError where a folder is not that of a run, or of one that is not finished."""
    if (folder / "summary.csv").exists():
        return
    if not (folder / JOURNAL).exists():
        raise ResultsError(
            f"{folder} is not the folder of a run: it has no summary.csv; give one that arraybench run made"
        )
    where = "" if folder.parent == Path("results") else f" --results {folder.parent}"
    raise ResultsError(f"{folder} is not finished; to finish it: arraybench run --resume {folder.name}{where}")


def _samples(folder: Path) -> dict[Any, list[tuple[int, int, float]]]:
    """Return the samples of each case on each backend as (process, round, seconds)."""
    return {
        key: list(zip(own["process"].tolist(), own["round"].tolist(), own["seconds"].tolist(), strict=True))
        for key, own in read_samples(folder).groupby(SAMPLED)
    }


def _measurement(folder: Path, row: dict[Any, Any], samples: dict[Any, list[tuple[int, int, float]]]) -> Measurement:
    tf32 = row["precision"] == "tf32"
    source = "" if row["source"] == EMPTY["str"] else row["source"]
    identity = row["workload"], row["network"], row["implementation"]
    case = Case(*identity, row["batch_size"], row["dtype"], tf32=tf32, source=source)
    found = Measurement(case, f"{row['backend']}:{row['device']}", row["status"], row["reason"], facts=[_known(row)])
    if row["status"] == "ok":
        found.samples = samples.get(tuple(found.identity[key] for key in SAMPLED), [])
        if not found.samples or len(found.samples) != row["samples"]:
            raise ResultsError(
                f"{folder / 'samples.csv'} has {len(found.samples)} samples of {name(found)}, and summary.csv counts "
                f"{row['samples']}: the two are not of one run; measure again"
            )
    return found


def _known(row: Row) -> Row:
    """Return a row with None where the table has no value: what is not known differs from nothing."""
    return {name: None if value == "-" or value != value else value for name, value in row.items()}


def _case_facts(own: Measurement) -> Row:
    row = own.facts[0]
    return {fact: row[fact] for fact in CASE_FACTS} | {"subnormals": "present" if row["subnormals"] else "absent"}


def _differences(old: Row, new: Row) -> Iterator[str]:
    """Yield each fact that both tell, and differently, with both values."""
    for fact, before in old.items():
        after = new.get(fact)
        if before != after and not any(value in (None, "-") or value != value for value in (before, after)):
            yield f"{fact} {_told(before)} and {_told(after)}"


def _told(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else ", ".join(value) if isinstance(value, list) else str(value)


def _unlike(old: Row, new: Row) -> Iterator[str]:
    """Yield in what two machines differ that a time depends on."""
    variables = sorted(set(old.get("variables", {})) | set(new.get("variables", {})))
    yield from _differences(_machine_facts(old, variables), _machine_facts(new, variables))
    before, after = ((machine.get("load_average") or [math.nan])[0] for machine in (old, new))
    if abs(before - after) > LOAD_APART:
        yield f"load {before:.1f} and {after:.1f}"


def _machine_facts(machine: Row, variables: list[str]) -> Row:
    facts = {fact: machine.get(fact) for fact in MACHINE_FACTS} | machine.get("libraries", {})
    for spec, backend in machine.get("backends", {}).items():
        # A backend of another package is in no list of libraries; the others' version is the same fact twice.
        facts |= {spec.partition(":")[0]: backend.get("version")}
        facts |= {f"{spec} {fact}": backend.get(fact) for fact in BACKEND_FACTS}
    return facts | {name: machine.get("variables", {}).get(name, "unset") for name in variables}
