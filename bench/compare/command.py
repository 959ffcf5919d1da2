"""The command `arraybench compare`."""

from __future__ import annotations

import argparse
from pathlib import Path

from backends import ArraybenchError
from bench import terminal
from bench.arguments import add_help
from bench.compare import baselines, changes, report

EXAMPLES = (
    ("arraybench compare results/old results/new", "what is slower or faster now"),
    ("arraybench compare results/old results/new --only 'forward/*'", "of some cases"),
    ("arraybench compare results/old results/new --markdown", "for a pull request"),
    ("arraybench compare baselines results/new --keep", "with this machine's baseline; becomes it unless slower"),
)
STATUSES = {0: "nothing is slower beyond doubt", 1: "a case is slower beyond doubt, or no longer right"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of the command."""
    add_help(parser, EXAMPLES, STATUSES)
    parser.set_defaults(command=run)
    parser.add_argument(
        "old",
        type=Path,
        metavar="OLD",
        help="folder of the old run, or its summary.csv; or a folder of baselines, with a folder in it for each machine, "
        "of which NEW is compared with its own machine's",
    )
    parser.add_argument("new", type=Path, metavar="NEW", help="folder of the new run, or its summary.csv")
    told = parser.add_mutually_exclusive_group()
    told.add_argument("--json", action="store_true", help="print one JSON object instead of the table")
    told.add_argument("--markdown", action="store_true", help="print Markdown, for a pull request")
    parser.add_argument(
        "--keep", action="store_true", help="make NEW its machine's baseline, unless something is slower"
    )
    parser.add_argument("--other-machine", action="store_true", help="compare runs of two machines all the same")
    parser.add_argument("--only", metavar="PATTERN", help="cases to compare, as for run")


def run(options: argparse.Namespace) -> int:
    """Compare and print; return the exit status."""
    if options.keep and options.only:
        raise ArraybenchError("--keep: a baseline is a whole run; leave out --only")
    new = changes.Tables.read(options.new)
    shelf = options.old if baselines.is_shelf(options.old) else None
    if options.keep and not shelf:
        raise ArraybenchError(
            f"--keep: {options.old} is a run; name a folder that keeps baselines, which may be a new one"
        )
    if shelf and not shelf.exists() and not options.keep:
        raise ArraybenchError(
            f"{shelf} does not exist; give the folder of a run, or a new one for baselines with --keep"
        )
    old = baselines.of(shelf, new.machine_id) if shelf else options.old
    if old is None:
        if not options.keep:
            raise ArraybenchError(
                f"{shelf} has no baseline of machine {new.machine_id}; --keep makes {options.new} the first"
            )
        kept = baselines.keep(new.folder, options.old, new.machine_id)
        print(report.as_first(new, kept, options.json))
        return 0
    found = changes.compare(changes.Tables.read(old), new, options.only, options.other_machine)
    if options.json:
        print(report.as_json(found))
    elif options.markdown:
        print(report.as_markdown(found))
    else:
        report.show(found, terminal.printer())
    if options.keep and not found.exit_status:
        baselines.keep(new.folder, options.old, new.machine_id)
    return found.exit_status
