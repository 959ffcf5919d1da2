"""The measuring half of arraybench: cases, the gate, the clock, the table.

`case` declares a function of your own as a case, `read_results` gives a run as a pandas frame.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bench.functions import case
    from bench.table import ResultsError, read_results

__all__ = ["ResultsError", "case", "read_results"]
_ROOMS = {"ResultsError": "bench.table", "case": "bench.functions", "read_results": "bench.table"}


def __getattr__(name: str) -> Any:
    """Load what is asked for when it is: pandas is not wanted in every worker process."""
    if name not in _ROOMS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_ROOMS[name]), name)
