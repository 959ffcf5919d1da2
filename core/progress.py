"""What `fit` shows while it trains: a moving bar on a terminal, and one line for every finished epoch."""

from __future__ import annotations

import time
from types import TracebackType

from core.history import Logs


class EpochProgress:
    """Shows one epoch of that many steps, None where nobody knows.

    `verbose` is Keras's: 0 nothing, 1 a bar (only the line where there is no terminal), 2 the line.
    """

    def __init__(self, title: str, steps: int | None, verbose: int) -> None:
        self.title, self.steps, self.verbose = title, steps, verbose
        self._logs: Logs = {}
        self._done = 0

    def __enter__(self) -> EpochProgress:
        self._started = time.perf_counter()
        self._bar = None
        if self.verbose:
            from rich.console import Console

            self._console = Console(highlight=False, soft_wrap=True)
            if self.verbose == 1 and self._console.is_terminal:
                from rich.progress import BarColumn, Progress, TextColumn

                columns = (
                    TextColumn(self.title),
                    BarColumn(),
                    TextColumn("{task.description}", markup=False),
                )
                self._bar = Progress(*columns, console=self._console, transient=True)
                self._task = self._bar.add_task("", total=self.steps)
                self._bar.start()
        return self

    def update(self, steps: int, logs: Logs) -> None:
        """Show that so many more steps are done, and the epoch's values so far."""
        self._done, self._logs = self._done + steps, logs
        if self._bar:
            self._bar.update(self._task, completed=self._done, description=f"{self._count()} {self._text()}")

    def finish(self, logs: Logs) -> None:
        """Take the values of the whole epoch, validation included."""
        self._logs = logs

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar:
            self._bar.stop()
        if self.verbose and error is None:
            self._console.print(f"{self.title}  {self._count()}  {self._text()}", markup=False)

    def _count(self) -> str:
        return f"{self._done}" if self.steps is None else f"{self._done}/{self.steps}"

    def _text(self) -> str:
        elapsed = time.perf_counter() - self._started
        pace = f"{elapsed:.1f}s {1e6 * elapsed / max(self._done, 1):.0f}us/step"
        return "  ".join([pace, *(f"{name}: {value:.4f}" for name, value in self._logs.items())])
