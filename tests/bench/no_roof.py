"""Real runs that leave out the roof: probing the machine's rates takes seconds on one core, which `test_commands` spends once."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from unittest.mock import patch

from bench import processes
from bench.cli import main
from bench.processes import WorkerProcess

RATES = {"gflop_per_s": {"float32": 100.0, "float64": 50.0}, "gb_per_s": 10.0}


@contextmanager
def no_roof() -> Iterator[None]:
    """Answer in the workers' place where one is asked for its rates, and only there."""
    ask = WorkerProcess.ask
    with patch.object(
        WorkerProcess, "ask", lambda own, request: RATES if request["do"] == "roof" else ask(own, request)
    ):
        yield


def python(module: str, *arguments: str) -> list[str]:
    """Return the command that runs `arraybench` in a process of its own, as `processes.python("bench", ...)` does."""
    assert module == "bench"
    return processes.python(__name__, *arguments)


if __name__ == "__main__":
    with no_roof():
        sys.exit(main(sys.argv[1:]))
