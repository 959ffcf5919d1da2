"""The command `arraybench conform`: whether a backend keeps to what every backend must."""

from __future__ import annotations

import argparse
from typing import Any

from rich.console import Console
from rich.markup import escape

import backends
from bench import jsonable, terminal
from bench.arguments import WRONG_CALL, add_help
from bench.conform.requirement import Outcome, Requirement
from bench.conform.suite import REQUIREMENTS

SCHEMA_VERSION = 1
EXAMPLES = (
    ("arraybench conform numpy", "every requirement, met or not"),
    ("arraybench conform numpy --json", "for a program"),
)
STATUSES = {
    0: "every requirement is met",
    1: "a requirement is not met",
    WRONG_CALL: "a wrong call, or a backend that cannot be opened",
}
COLOURS = {"passed": "green", "failed": "red", "not tried": "yellow"}
MARGIN = " " * 11

Tried = list[tuple[Requirement, Outcome]]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of the command."""
    add_help(parser, EXAMPLES, STATUSES)
    parser.set_defaults(command=run)
    parser.add_argument("backend", metavar="BACKEND", help="as ARRAY_BACKEND takes it, a device included (jax:gpu:1)")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of the list")


def run(options: argparse.Namespace) -> int:
    """Try every requirement and print what came of it; return 1 when one is not met."""
    backend = backends.get(options.backend)
    tried: Tried = []
    with terminal.bars().status("starting") as status:
        for requirement in REQUIREMENTS:
            status.update(f"{backend.spec}: {requirement.name}")
            tried.append((requirement, requirement.on(backend)))
    if options.json:
        print(jsonable.dumps(as_json(backend, tried)))
    else:
        show(backend, tried, terminal.printer())
    return int(any(outcome.result == "failed" for _, outcome in tried))


def show(backend: backends.Backend, tried: Tried, console: Console) -> None:
    """Print each requirement: whether it is met, what is expected, and what was found where it is not."""
    group = ""
    for requirement, outcome in tried:
        if requirement.group != group:
            group = requirement.group
            console.print(f"\n[bold]{group}[/]")
        mark = f"[{COLOURS[outcome.result]}]{outcome.result:>9}[/]"
        console.print(f"{mark}  [bold]{requirement.name}[/]", highlight=False)
        _tell(console, requirement.expected)
        if outcome.found:
            _tell(console, f"{'Found' if outcome.result == 'failed' else 'Not tried'}: {outcome.found}")
    failed = [requirement.name for requirement, outcome in tried if outcome.result == "failed"]
    passed = sum(outcome.result == "passed" for _, outcome in tried)
    skipped = len(tried) - passed - len(failed)
    counts = f"{passed} requirements met, {len(failed)} not met, {skipped} not tried"
    console.print(f"\n{backend.spec} {backend.version()}: {counts}.", highlight=False)
    if failed:
        console.print(f"Not met: {', '.join(failed)}.", highlight=False)


def _tell(console: Console, sentence: str) -> None:
    console.print(escape(terminal.indented(sentence, console.width, MARGIN)), highlight=False, soft_wrap=True)


def as_json(backend: backends.Backend, tried: Tried) -> dict[str, Any]:
    """Return what `--json` prints."""
    return {
        "schema_version": SCHEMA_VERSION,
        "backend": backend.spec,
        "version": backend.version(),
        "conforms": all(outcome.result != "failed" for _, outcome in tried),
        "requirements": [
            {
                "group": requirement.group,
                "name": requirement.name,
                "expected": requirement.expected,
                "result": outcome.result,
                "found": outcome.found or None,
            }
            for requirement, outcome in tried
        ],
    }
