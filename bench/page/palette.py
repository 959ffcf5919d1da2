"""Colours, in light and in dark. Charts and page name them as custom properties of CSS, so that a scheme is changed by CSS alone.

No colour tells anything alone: backends have shapes, verdicts marks and words, parts of a bar their order.
"""

from __future__ import annotations

import re

SERIES = (
    *(("#0b62a8", "#6cb6ff"), ("#b8400b", "#ff9d5c"), ("#15803d", "#5ddb8b"), ("#8b2fd6", "#c99bff")),
    *(("#be123c", "#ff8aa0"), ("#0e7490", "#4fd8ee"), ("#854d0e", "#e0b060"), ("#4d7c0f", "#b5d65c")),
    *(("#a21caf", "#f09cf5"), ("#475569", "#a9b8cc")),
)
PARTS = (("#12395b", "#f2f6fa"), ("#2f7fb8", "#8ec7ee"), ("#e0a526", "#c98a1b"), ("#b9c3cd", "#5d6b7a"))
"""From dark to light or from light to dark, so that they differ in print without colours too."""
VERDICTS = {
    "FASTER": ("#15803d", "#5ddb8b"),
    "SLOWER": ("#be123c", "#ff8aa0"),
    "SAME": ("#0b62a8", "#6cb6ff"),
    "UNRESOLVED": ("#854d0e", "#e0b060"),
}
COLOURS = {
    "paper": ("#ffffff", "#14181d"),
    "raised": ("#f4f6f8", "#1e242b"),
    "ink": ("#1a1f24", "#e8edf2"),
    "soft": ("#4d5863", "#b0bac4"),
    "line": ("#d5dbe1", "#39424c"),
    "focus": ("#0b62a8", "#6cb6ff"),
    **{f"series-{number}": pair for number, pair in enumerate(SERIES)},
    **{f"part-{number}": pair for number, pair in enumerate(PARTS)},
    **{verdict.lower(): pair for verdict, pair in VERDICTS.items()},
}
"""Each by its name, in light and in dark."""


def colour(name: str) -> str:
    """Return how a chart or a style sheet names a colour."""
    assert name in COLOURS, name
    return f"var(--{name})"


def declared(scheme: int) -> str:
    """Return the declarations of all colours for a style sheet: of the light scheme (0) or the dark one (1)."""
    return " ".join(f"--{name}: {pair[scheme]};" for name, pair in COLOURS.items())


def resolved(text: str) -> str:
    """Return a text in which every colour that it names stands as it is in light."""
    return re.sub(r"var\(--([a-z0-9-]+)\)", lambda found: COLOURS[found[1]][0], text)
