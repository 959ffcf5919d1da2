"""Where what moves while a command runs is shown: on stderr, and only when that is a terminal."""

from __future__ import annotations

import sys

from rich.console import Console


def console() -> Console:
    """Return the console for bars and spinners; a pipe gets nothing of them, even where FORCE_COLOR asks for colours."""
    return Console(stderr=True, quiet=not sys.stderr.isatty())
