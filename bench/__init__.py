"""The measuring half of arraybench: cases, the gate, the clock, the table. `read_results` gives a run as a pandas frame."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bench.table import ResultsError, read_results

__all__ = ["ResultsError", "read_results"]


def __getattr__(name: str) -> Any:
    """Load pandas when the tables are asked for, and not in every worker process."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from bench import table

    return getattr(table, name)
