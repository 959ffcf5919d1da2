"""The driver's end of the workers: processes that are started when first asked, and anew after they were lost."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import subprocess
import sys
import threading
from typing import Any

from bench.measure import Stopwatch

ANSWER_WITHIN_S = 60.0


class WorkerLostError(Exception):
    """A worker that died or does not answer; `status` is what the row of its case says."""

    def __init__(self, status: str, reason: str) -> None:
        super().__init__(reason)
        self.status, self.reason = status, reason


class WorkerProcess:
    """A worker on one backend. `greeting` is what it said of itself when it started, with `process_start_s` and `import_s`."""

    def __init__(self, spec: str, variables: dict[str, str] | None = None) -> None:
        self.spec = spec
        self.greeting: dict[str, Any] = {}
        self._variables = variables or {}
        self._process: subprocess.Popen[str] | None = None
        self._answers: queue.Queue[str] = queue.Queue()
        self._broken: WorkerLostError | None = None

    def ask(self, request: dict[str, Any]) -> dict[str, Any]:
        """Return the worker's answer; raise WorkerLostError when it dies or takes too long over it.

        One that could not even start is not started again.
        """
        if self._process is None:
            self._start()
        process = self._process
        assert process is not None
        assert process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # then there is no answer either
            process.stdin.write(json.dumps(request) + "\n")
            process.stdin.flush()
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        try:
            line = self._answers.get(timeout=ANSWER_WITHIN_S)
        except queue.Empty:
            self.stop()
            raise WorkerLostError("timed_out", f"no answer in {ANSWER_WITHIN_S:g} s") from None
        if line:
            return json.loads(line)
        assert self._process is not None
        code = self._process.wait()
        self.stop()
        raise WorkerLostError("failed", f"its process {_ending(code)}")

    def stop(self) -> None:
        """End the process, if there is one."""
        if self._process is None:
            return
        process, self._process = self._process, None
        process.kill()
        process.wait()
        self._reader.join()  # it reads until the process's end of the pipe is closed
        for pipe in (process.stdin, process.stdout):
            with contextlib.suppress(BrokenPipeError):  # what could not be delivered any more
                assert pipe is not None
                pipe.close()

    def _start(self) -> None:
        if self._broken:
            raise self._broken
        # A GPU that JAX has filled would leave nothing for CuPy beside it.
        preset = {"ARRAY_BACKEND": self.spec, "XLA_PYTHON_CLIENT_PREALLOCATE": "false"}
        command = [sys.executable, "-m", "bench.worker"]
        with Stopwatch() as watch:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                env=os.environ | preset | self._variables,
            )
            self._answers = queue.Queue()
            self._reader = threading.Thread(target=_read, args=(self._process, self._answers), daemon=True)
            self._reader.start()
            try:
                greeting = self._answer()
            except WorkerLostError as lost:
                self._broken = WorkerLostError(lost.status, f"a worker on {self.spec} cannot start: {lost.reason}")
                raise self._broken from None
        self.greeting = greeting | {"process_start_s": watch.seconds - greeting["import_s"]}


def _read(process: subprocess.Popen[str], answers: queue.Queue[str]) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        answers.put(line)
    answers.put("")


def _ending(code: int) -> str:
    return f"was ended by signal {-code}" if code < 0 else f"ended with status {code}"
