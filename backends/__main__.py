"""`python -m backends`: print which backends can be used here, and why the others cannot."""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from collections.abc import Sequence

from rich.console import Console
from rich.markup import escape
from rich.table import Table

import backends

EPILOG = "Exit status: 0, 1 when ARRAY_BACKEND names something that cannot be used here, 2 for a wrong call."


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table; return 1, with one sentence, when ARRAY_BACKEND names something unusable."""
    parser = argparse.ArgumentParser(
        prog="python -m backends", description="Which array libraries can be used here.", epilog=EPILOG
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of the table")
    options, unknown = parser.parse_known_args(arguments)
    if unknown:
        print(f"python -m backends: unknown argument {unknown[0]}; there is --json", file=sys.stderr)
        return 2
    in_use, reason = _in_use()
    if options.json:
        every = [dataclasses.asdict(found) for found in backends.status()]
        print(json.dumps({"backends": every, "in_use": in_use, "reason": reason}, indent=2))
    else:
        _show()
        if in_use:
            print(f"In use: {in_use}")
    if reason:
        print(reason, file=sys.stderr)
    return int(in_use is None)


def _in_use() -> tuple[str | None, str | None]:
    """Return the backend that ARRAY_BACKEND names, or the reason why it cannot be used."""
    try:
        return backends.get().spec, None
    except backends.BackendError as error:
        return None, str(error)


def _show() -> None:
    table = Table("backend", "usable", "version", "devices", "why not", title="Array backends on this machine")
    for found in backends.status():
        usable = "[green]yes[/]" if found.usable else "[red]no[/]"
        if not found.timed:
            usable = "tests only"
        table.add_row(found.name, usable, found.version, ", ".join(found.devices), escape(found.reason or ""))
    Console().print(table)


if __name__ == "__main__":
    sys.exit(main())
