"""`arraybench doctor`: says what this machine can run and what holds it back, each with a measured gain and the line to type."""

from __future__ import annotations

import argparse
import dataclasses
from typing import Any

from rich.console import Console
from rich.markup import escape

from bench import jsonable, terminal
from bench.arguments import add_help, at_least
from bench.doctor.diagnosis import diagnose
from bench.doctor.examination import Facts, Tell, examine
from bench.doctor.finding import Finding

PROCESSES, FEWEST_PROCESSES = 8, 2
SCHEMA_VERSION = 1
EXAMPLES = (
    ("arraybench doctor", "about a minute"),
    ("arraybench doctor --processes 2", "faster, and sees less"),
    ("arraybench doctor --json", "findings with their evidence, and every measurement"),
)
STATUSES = {0: "nothing is wrong with this machine", 1: "something is: the findings marked wrong"}
MARGIN = " " * 7
COLOURS = {"ok": "green", "note": "yellow", "wrong": "red"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of the command."""
    add_help(parser, EXAMPLES, STATUSES)
    parser.set_defaults(command=run)
    parser.add_argument("--json", action="store_true", help="print facts and findings as JSON")
    parser.add_argument(
        "--processes",
        type=at_least(FEWEST_PROCESSES),
        default=PROCESSES,
        metavar="N",
        help=f"fresh processes of each environment that is compared (default: {PROCESSES}; fewer see less)",
    )


def run(options: argparse.Namespace) -> int:
    """Examine the machine and print what is found; return 1 when something is wrong, else 0."""
    with terminal.bars().status("starting") as status:
        tell: Tell = status.update
        facts = examine(options.processes, tell)
    findings = diagnose(facts)
    if options.json:
        print(jsonable.dumps(as_json(facts, findings)))
    else:
        show(facts, findings, terminal.printer())
    return exit_status(findings)


def exit_status(findings: list[Finding]) -> int:
    """Return 1 when any finding is wrong."""
    return int(any(finding.severity == "wrong" for finding in findings))


def show(facts: Facts, findings: list[Finding], console: Console) -> None:
    """Print the machine, then each finding with its line to type, on a line of its own so that it can be copied."""
    machine = facts.machine
    console.print(
        f"{machine['cpu']}, {machine['cores']} CPUs; {machine['system']}; {machine['python']}", highlight=False
    )
    for finding in findings:
        label = f"[{COLOURS[finding.severity]}]{finding.severity:>5}[/]  "
        console.print()
        console.print(f"{label}[bold]{finding.name}[/]", highlight=False)
        console.print(
            escape(terminal.indented(finding.sentence, console.width, MARGIN)), highlight=False, soft_wrap=True
        )
        if finding.line:
            console.print(f"{MARGIN}[bold]$ {escape(finding.line)}[/]", highlight=False, soft_wrap=True)
    wrong = [finding.name for finding in findings if finding.severity == "wrong"]
    console.print(f"\nWrong here: {', '.join(wrong)}." if wrong else "\nNothing is wrong here.", highlight=False)


def as_json(facts: Facts, findings: list[Finding]) -> dict[str, Any]:
    """Return what `--json` prints: the findings, then the machine and everything that was measured."""
    measured = dataclasses.asdict(facts)
    del measured["variables"]  # the whole environment; those that matter are in machine
    return {
        "schema_version": SCHEMA_VERSION,
        "wrong": exit_status(findings) == 1,
        "findings": jsonable.plain([_fields(finding) for finding in findings]),
        "machine": jsonable.plain(measured.pop("machine")),
        "measured": jsonable.plain(measured),
    }


def _fields(finding: Finding) -> dict[str, Any]:
    return {field.name: getattr(finding, field.name) for field in dataclasses.fields(finding)}
