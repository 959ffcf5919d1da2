"""How times, speed-ups and cases are written, wherever a person reads them."""

from __future__ import annotations

import re

from bench.statistics import CONFIDENCE, Estimate

ONE_EXAMPLE = ("forward", "backward", "step")
"""The kinds of work whose times are told for one example."""
TITLES = {"forward": "forward", "backward": "backward", "step": "training step"}
EPOCH, PRODUCT = "time for one epoch", "square matrix product"
PEER_TITLES = {
    "epoch": EPOCH,
    "predict": "time to predict all rows, from host to host",
    "row": "time to predict one row, from host to host",
}
MARKS = {"FASTER": "[green]▲[/]", "SLOWER": "[red]▼[/]", "SAME": "[blue]=[/]", "UNRESOLVED": "[yellow]?[/]"}
LEGEND = (
    f"±, ×÷ and […] are {CONFIDENCE:.0%} intervals over processes. ▲ faster, ▼ slower, = the same within 5 %, "
    "? cannot be told, ≠ not like for like."
)
ROOMY = 120  # columns of a terminal from which on intervals are spelled out


def without_blanks(*names: str) -> str:
    """Return names in a row, but those that say that there is none."""
    return " ".join(name for name in names if name != "-")


def unit(kind: str) -> str:
    """Return what a time of that kind of work is shown of."""
    return "example" if kind in ONE_EXAMPLE else {"epoch": "epoch", "matmul": "product"}.get(kind, "call")


def scaled(seconds: float) -> str:
    """Return a time with three digits and the unit that fits."""
    for factor, unit in ((1.0, "s"), (1e3, "ms"), (1e6, "µs")):
        if seconds * factor >= 1:
            return f"{seconds * factor:.3g} {unit}"
    return f"{seconds * 1e9:.3g} ns"


def times(ratio: float) -> str:
    """Return a speed-up as `12.3x`, with three digits at most."""
    return f"{ratio:,.0f}x" if ratio >= 100 else f"{ratio:.3g}x" if ratio >= 1 else f"{ratio:.2g}x"


def with_interval(speedup: Estimate, roomy: bool) -> str:
    """Return a speed-up with its interval: `12.3x ±4%`, or `12.3x [11.8, 12.8]` where there is room."""
    if roomy:
        return f"{times(speedup.value)} \\[{times(speedup.low)[:-1]}, {times(speedup.high)[:-1]}]"
    reach = speedup.half_width
    return f"{times(speedup.value)} " + (f"±{reach:.0%}" if reach < 0.995 else f"×÷{1 + reach:.2g}")


def escaped(text: str) -> str:
    """Return a text as Markdown shows it on one line: no cell ends in it, nothing is a tag, a link or a mention.

    Two stars around the whole are left: they are ours.
    """
    bold = re.fullmatch(r"\*\*(.+)\*\*", text)
    inner = " ".join((bold[1] if bold else text).split())
    inner = (
        re.sub(r"([\\`*_\[\]|~#])", r"\\\1", inner).replace("&", "&amp;").replace("<", "&lt;").replace("@", "@\u200b")
    )
    return f"**{inner}**" if bold else inner
