"""The folder of a run while it is made: what has been measured is in it at every moment, whole, whatever happens next."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import filelock

from bench.cases import Case
from bench.measurement import Measurement, Row
from bench.table import SCHEMA_VERSION, ResultsError, make_folder, write_whole

FILE = "journal.json"


@dataclass(frozen=True)
class Plan:
    """What a run is asked to measure, and how long it may take over it."""

    cases: tuple[Case, ...]
    specs: tuple[str, ...]
    budget_s: float
    time_s: float
    seed: int


@dataclass(frozen=True)
class Unit:
    """What one process of each backend measured of one group: the piece of a run that is done whole or not at all.

    An entry has the case's `id`, `spec`, `status`, `reason`, `facts` and `samples` as [round, seconds].
    """

    process: int
    group: str
    seconds: float
    entries: list[Row]


class Journal:
    """Everything that a run has found so far; every change is on the disk before the run goes on."""

    def __init__(self, folder: Path, plan: Plan, machine: Row) -> None:
        self.folder, self.plan, self.machine = folder, plan, machine
        self.backends: dict[str, Row] = {}
        self.roofs: dict[str, Row] = {}
        self.units: list[Unit] = []
        self._written: list[str] = []  # the units as text, so that a growing run is not written out anew each time

    @classmethod
    def begin(cls, folder: Path, plan: Plan, machine: Row) -> Journal:
        """Make the run's folder; raise ResultsError where there is a run of that name, or none can be written."""
        make_folder(folder, otherwise=", or go on with it by --resume")
        journal = cls(folder, plan, machine | _sources(plan))
        try:
            journal.save()
        except ResultsError:
            with contextlib.suppress(OSError):
                folder.rmdir()
            raise
        return journal

    @classmethod
    def resume(cls, folder: Path, machine: Row) -> Journal:
        """Return the journal of a run that was interrupted; raise ResultsError where this machine cannot go on with it."""
        saved = _read(folder)
        try:
            plan = saved["plan"] | {"cases": tuple(Case(**case) for case in saved["plan"]["cases"])}
            journal = cls(folder, Plan(**plan | {"specs": tuple(plan["specs"])}), saved["machine"])
            was, now = map(_surroundings, (saved["machine"], machine | _sources(journal.plan)))
            journal.backends, journal.roofs = saved["backends"], saved["roofs"]
            for unit in saved["units"]:
                journal._append(Unit(**unit))
        except (KeyError, TypeError, AttributeError) as error:
            raise ResultsError(f"{folder / FILE} is not the journal of a run ({error!r}); start a new run") from error
        if changed := [name for name in was | now if was.get(name) != now.get(name)]:
            there = "; ".join(f"{name} {was.get(name, 'unset')}, here {now.get(name, 'unset')}" for name in changed)
            raise ResultsError(f"{folder} was begun with {there}: samples of the two do not mix; start a new run")
        journal.save()  # a folder that cannot be written is known now, and not after the next unit
        return journal

    def record(self, unit: Unit) -> None:
        """Take in a unit and save."""
        self._append(unit)
        self.save()

    def has(self, process: int, group: str) -> bool:
        """Tell whether that unit is done."""
        return any(unit.process == process and unit.group == group for unit in self.units)

    @property
    def seconds(self) -> float:
        """How long the units so far took."""
        return sum(unit.seconds for unit in self.units)

    def measurements(self) -> list[Measurement]:
        """Return a measurement for every case on every backend that it is for, in the plan's order, with all that is known."""
        plan = self.plan
        found = {
            (case.id, spec): Measurement(case, spec) for case in plan.cases for spec in plan.specs if case.on(spec)
        }
        for unit in self.units:
            for entry in unit.entries:
                found[entry["id"], entry["spec"]].add(unit.process, entry)
        return list(found.values())

    def save(self) -> None:
        """Write the journal, whole or not at all."""
        head = {
            "schema_version": SCHEMA_VERSION,
            "plan": asdict(self.plan),
            "machine": self.machine,
            "backends": self.backends,
            "roofs": self.roofs,
        }
        units = ",\n".join(self._written)
        write_whole(self.folder / FILE, f'{json.dumps(head)[:-1]}, "units": [\n{units}\n]}}\n')

    def close(self) -> None:
        """Remove the journal of a run that is finished: its tables hold everything."""
        try:
            (self.folder / FILE).unlink()
        except OSError as error:
            raise ResultsError(f"cannot remove {self.folder / FILE}: {error.strerror}") from error

    def _append(self, unit: Unit) -> None:
        self.units.append(unit)
        self._written.append(json.dumps(asdict(unit)))


def _surroundings(machine: Row) -> Row:
    """Return what must be the same over a run, by name. The load may differ: machine.json has that of the begin."""
    own = {"machine": machine["machine_id"], "python": machine.get("python")} | machine.get("sources", {})
    return own | machine.get("libraries", {}) | machine.get("variables", {})


def _sources(plan: Plan) -> Row:
    """Return what a machine.json has of the files of a user's functions, where there are any: a digest of each."""
    files = sorted({Path(case.source) for case in plan.cases if case.source})
    digests = {file.name: hashlib.sha256(file.read_bytes()).hexdigest()[:12] for file in files if file.is_file()}
    return {"sources": digests} if files else {}


def _read(folder: Path) -> Row:
    """Return what the journal in a folder holds; raise ResultsError where there is none that this version reads."""
    file = folder / FILE
    if not file.exists():
        finished = (folder / "summary.csv").exists()
        raise ResultsError(f"{folder} holds {'a finished run' if finished else 'no run'}; there is nothing to resume")
    try:
        saved = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ResultsError(f"cannot read {file}: {error}") from error
    if not isinstance(saved, dict) or saved.get("schema_version") != SCHEMA_VERSION:
        raise ResultsError(f"{file} was written by another version of arraybench; start a new run")
    return saved


@contextlib.contextmanager
def sole_writer(results: Path) -> Iterator[None]:
    """Hold the results folder for one run; raise ResultsError when another run has it.

    Two runs at once would also slow each other down. The operating system lets go of the lock when the process ends, however
    it ends.
    """
    make_folder(results, new=False)
    lock = filelock.FileLock(results / ".lock", blocking=False)
    try:
        lock.acquire()
    except filelock.Timeout:
        raise ResultsError(f"another run is writing into {results}; wait for it, or choose another --results") from None
    except (OSError, NotImplementedError) as error:  # the latter from file systems that have no locks
        reason = getattr(error, "strerror", None) or error
        raise ResultsError(f"cannot write results to {results}: {reason}") from error
    try:
        yield
    finally:
        lock.release()
