"""The measuring half of arraybench: cases, the gate, the clock, the table. `read_results` gives a run as a pandas frame."""

from bench.table import ResultsError, read_results

__all__ = ["ResultsError", "read_results"]
