"""`python -m backends`: print which backends can be used here, and why the others cannot."""

from __future__ import annotations

import sys

from rich.console import Console
from rich.markup import escape
from rich.table import Table

import backends


def main() -> int:
    """Print the table; return 1, with one sentence, when ARRAY_BACKEND names something unusable."""
    table = Table("backend", "usable", "version", "devices", "why not", title="Array backends on this machine")
    for found in backends.status():
        usable = "[green]yes[/]" if found.usable else "[red]no[/]"
        if not found.timed:
            usable = "tests only"
        table.add_row(found.name, usable, found.version, ", ".join(found.devices), escape(found.reason or ""))
    Console().print(table)
    try:
        print(f"In use: {backends.get().spec}")
    except backends.BackendError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
