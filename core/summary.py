"""The table that `Sequential.summary` prints."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from core.layers import Layer

BYTES = {"float32": 4, "float64": 8}


def summary(name: str, layers: Sequence[Layer], features: int | None, dtype: str) -> str:
    """Return the table of a model's layers, their output shapes and numbers of weights, and the totals."""
    table = Table(title=f'Model: "{escape(name)}"', title_justify="left", title_style="bold")
    table.add_column("Layer (type)")
    table.add_column("Output Shape")
    table.add_column("Param #", justify="right")
    for layer in layers:
        if features is not None:
            features = layer.output_features(features)
        shape = "?" if features is None else f"(None, {features})"
        table.add_row(escape(f"{layer.name} ({type(layer).__name__})"), shape, f"{layer.count_params():,}")
    trainable = sum(layer.count_params() for layer in layers if layer.trainable)
    total = sum(layer.count_params() for layer in layers)
    console = Console(width=80, highlight=False)
    with console.capture() as capture:
        console.print(table)
        for label, count in (("Total", total), ("Trainable", trainable), ("Non-trainable", total - trainable)):
            console.print(f" {label} params: {count:,} ({_size(count * BYTES[dtype])})", markup=False)
    return capture.get().rstrip()


def _size(size: float) -> str:
    for unit in ("B", "KB", "MB"):
        if size < 1024:
            return f"{size:.2f} {unit}"
        size /= 1024
    return f"{size:.2f} GB"
