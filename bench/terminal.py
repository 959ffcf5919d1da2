"""Where commands write: what they print, and what moves while they run."""

from __future__ import annotations

import sys
import textwrap

from rich.console import Console

NARROWEST = 80
"""Columns that every table fits into."""


class _Printer(Console):
    """A console that leaves a closed pipe to who called: Rich would end the process with status 1, which means something else."""

    def on_broken_pipe(self) -> None:
        raise BrokenPipeError


def printer() -> Console:
    """Return the console for what a command prints. On a narrower terminal the lines go on below, and no number is cut off."""
    printer = _Printer()
    return printer if printer.width >= NARROWEST else _Printer(width=NARROWEST)


def indented(text: str, width: int, margin: str) -> str:
    """Return a text in lines of that width at most, each behind the margin; a long word, such as a path, is not broken."""
    return textwrap.fill(
        text, width, initial_indent=margin, subsequent_indent=margin, break_long_words=False, break_on_hyphens=False
    )


def bars() -> Console:
    """Return the console for bars and spinners, on stderr: a pipe gets none of them, even where FORCE_COLOR asks for colours."""
    return Console(stderr=True, quiet=not sys.stderr.isatty())
