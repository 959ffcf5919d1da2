"""`arraybench profile`: what a case spends its time on, by the kernels and the library's calls that it makes."""

from __future__ import annotations

import argparse
import sys
from statistics import median
from typing import Any, NamedTuple

from rich.console import Console
from rich.table import Table

from backends import ArraybenchError, Backend, Tree
from backends.base import Spent
from bench import clock, jsonable, terminal, workloads
from bench.arguments import add_help, at_least
from bench.cases import SUITES, Case, matching
from bench.driver import timed
from bench.preparation import UnmeasuredError, allowing, require
from bench.wording import scaled

CALLS = 5  # that are timed before one is watched
PARTS = 20
EXAMPLES = (
    ("arraybench profile 'epoch/coffee*/fold'", "the calls of a training step, added up over an epoch"),
    ("arraybench profile 'epoch/wide-784-512-512-10/fold' --backend jax", "by XLA's instructions"),
    ("arraybench profile 'forward/digits*/compiled' --backend jax --json", "for a program"),
)


class UntoldError(ArraybenchError):
    """What a case spends its time on cannot be told; the message says of which and where."""


class Profile(NamedTuple):
    """A case on a backend: the seconds of a call, and of the parts of another one, which was watched."""

    case: Case
    backend: Backend
    seconds: float
    parts: list[Spent]

    @property
    def together(self) -> float:
        """The seconds of all parts: fewer than a call's where Python works between them, more where watching costs time."""
        return sum(part.seconds for part in self.parts)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of the command."""
    add_help(parser, EXAMPLES, {0: "profiled"})
    parser.set_defaults(command=run)
    parser.add_argument("case", metavar="CASE", help="of any suite, or a pattern, as `run --only` takes it")
    parser.add_argument(
        "--backend", metavar="B", help="as ARRAY_BACKEND takes it, a device included (default: that one)"
    )
    parser.add_argument(
        "--parts", type=at_least(1), default=PARTS, metavar="N", help=f"how many parts to print (default: {PARTS})"
    )
    parser.add_argument("--json", action="store_true", help="print all parts as one JSON object")


def run(options: argparse.Namespace) -> int:
    """Profile every case of that name and print where its time goes; those that cannot be told get a sentence."""
    backend = timed(options.backend)
    found: list[Profile] = []
    untold: list[UntoldError] = []
    with terminal.bars().status("starting") as status:
        for case in matching(_known(backend), options.case, f"{options.case}: no case on {backend.spec}"):
            status.update(f"{case.id} on {backend.spec}")
            try:
                found.append(profile(case, backend))
            except UntoldError as error:
                untold.append(error)
    if not found:
        raise untold[0]
    for sentence in untold:
        print(sentence, file=sys.stderr)
    if options.json:
        print(jsonable.dumps({"profiles": [as_json(own) for own in found]}))
    else:
        for own in found:
            show(own, terminal.printer(), options.parts)
    return 0


def profile(case: Case, backend: Backend) -> Profile:
    """Time some warm calls of a case, and watch one; raise UntoldError where the backend cannot tell what it makes."""
    try:
        require(case, backend)
    except UnmeasuredError as error:
        raise UntoldError(f"{case.id} on {backend.spec}: {error}") from error
    with allowing(case, backend)():
        problem = workloads.build(case, backend, case.batch_size)
        arguments = problem.arguments(backend)

        def call() -> Tree:
            return problem.function(*arguments)

        backend.synchronize(call())
        seconds = median(clock.seconds(call, backend) for _ in range(CALLS))
        parts = backend.profile(problem.function, *arguments)
    if parts is None:
        raise UntoldError(f"{case.id} on {backend.spec}: what it spends its time on cannot be told there")
    return Profile(case, backend, seconds, parts)


def show(own: Profile, console: Console, most: int) -> None:
    """Print the parts that took longest, and all together."""
    title = f"{own.case.id} on {own.backend.spec}: {scaled(own.seconds)} a call"
    console.print(title, style="bold", markup=False, highlight=False)
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
    for heading, right in (("what", False), ("times", True), ("each", True), ("together", True), ("share", True)):
        table.add_column(heading, justify="right" if right else "left", no_wrap=right)

    def row(what: str, times: int, seconds: float) -> None:
        table.add_row(what, f"{times:,}", scaled(seconds / times), scaled(seconds), f"{seconds / own.together:.1%}")

    for part in own.parts[:most]:
        row(part.what, part.times, part.seconds)
    if rest := own.parts[most:]:
        row(f"{len(rest)} others", sum(part.times for part in rest), sum(part.seconds for part in rest))
    table.add_row("all, in a call that was watched", "", "", scaled(own.together), "")
    console.print(table)
    console.print()


def as_json(own: Profile) -> dict[str, Any]:
    """Return a profile as JSON has it."""
    return {
        "case": own.case.id,
        "backend": own.backend.spec,
        "seconds": own.seconds,
        "together_seconds": own.together,
        "parts": [part._asdict() for part in own.parts],
    }


def _known(backend: Backend) -> list[Case]:
    """Return the cases of all suites that a backend has."""
    return list(dict.fromkeys(case for suite in SUITES.values() for case in suite() if case.on(backend.spec)))
