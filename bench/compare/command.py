"""The command `arraybench compare`."""

from __future__ import annotations

import argparse
from pathlib import Path

from rich.console import Console

from bench.compare import changes, report

EPILOG = "Exit status: 0 when nothing is slower, 1 when a case is slower beyond doubt or no longer right, 2 for a wrong call."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of the command."""
    parser.epilog = EPILOG
    parser.set_defaults(command=run)
    for name in ("old", "new"):
        parser.add_argument(name, type=Path, metavar=name.upper(), help=f"folder of the {name} run, or its summary.csv")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of the table")
    parser.add_argument("--other-machine", action="store_true", help="compare runs of two machines all the same")
    parser.add_argument("--only", metavar="PATTERN", help="cases to compare, as for run")


def run(options: argparse.Namespace) -> int:
    """Compare and print; return the exit status."""
    old, new = changes.Tables.read(options.old), changes.Tables.read(options.new)
    found = changes.compare(old, new, options.only, options.other_machine)
    if options.json:
        print(report.as_json(found))
    else:
        report.show(found, Console())
    return found.exit_status
