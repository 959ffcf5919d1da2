"""The driver's end of the workers: processes that are started when first asked, and anew after they were lost."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bench import peers
from bench.clock import Stopwatch

ANSWER_WITHIN_S = 60.0
CALLS = 3  # of a case, each within its budget, until it is prepared
PEER_ANSWERS_WITHIN_S = 300.0  # which may have to import TensorFlow, compile, and train for several seconds a call
END_WITHIN_S = 10.0


ROOT = Path(__file__).parents[1]


def python(module: str, *arguments: str) -> list[str]:
    """Return the command that runs a module of this project in a process of its own.

    Unlike `python -m` it does not look into the current folder first: a user's may hold a `core` or a `bench` of another kind.
    """
    run = f"import runpy, sys; sys.path.insert(0, {str(ROOT)!r}); runpy.run_module({module!r}, None, '__main__', True)"
    return [sys.executable, "-P", "-c", run, *arguments]


class WorkerLostError(Exception):
    """A worker that died or does not answer; `status` is what the row of its case says."""

    def __init__(self, status: str, reason: str) -> None:
        super().__init__(reason)
        self.status, self.reason = status, reason


class WorkerProcess:
    """A worker on one backend. `greeting` is what it said of itself when it started, with `process_start_s` and `import_s`.

    It ends with the thread that asks it first, which is why that is the main one.
    """

    def __init__(self, spec: str, variables: dict[str, str] | None = None, one_cpu: bool = False) -> None:
        self.spec = spec
        self._one_cpu = one_cpu
        self.greeting: dict[str, Any] = {}
        self._variables = variables or {}
        self._process: subprocess.Popen[str] | None = None
        self._answers: queue.Queue[str] = queue.Queue()
        self._broken: WorkerLostError | None = None
        self._memory_kills = 0

    def ask(self, request: dict[str, Any]) -> dict[str, Any]:
        """Return the worker's answer; raise WorkerLostError when it dies or takes too long over it.

        One that could not even start is not started again.
        """
        if self._process is None:
            self._start()
        process = self._process
        assert process is not None
        assert process.stdin is not None
        self._memory_kills = _memory_kills()
        with contextlib.suppress(BrokenPipeError):  # then there is no answer either
            process.stdin.write(json.dumps(request) + "\n")
            process.stdin.flush()
        return self._answer(CALLS * request.get("budget_s", 0.0))

    def _answer(self, longer_s: float = 0.0) -> dict[str, Any]:
        within_s = (PEER_ANSWERS_WITHIN_S if peers.is_peer(self.spec) else ANSWER_WITHIN_S) + longer_s
        try:
            line = self._answers.get(timeout=within_s)
        except queue.Empty:
            self.stop()
            raise WorkerLostError("timed_out", f"no answer in {within_s:g} s") from None
        if not line.endswith("\n"):  # the end, or half of a line before it
            raise self._ended()
        try:
            return json.loads(line)
        except ValueError:
            self.stop()
            raise WorkerLostError("failed", f"its process answered what is no JSON: {line.strip()[:80]}") from None

    def _ended(self) -> WorkerLostError:
        """Return how the process ended, which has closed its end of the pipe."""
        assert self._process is not None
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(END_WITHIN_S)
        code, memory = self._process.returncode, _memory_kills() > self._memory_kills
        self.stop()
        if code == -signal.SIGKILL and memory:
            return WorkerLostError("out_of_memory", "the kernel ended its process, as memory was short")
        return WorkerLostError("failed", f"its process {_ending(code)}")

    def stop(self) -> None:
        """End the process, if there is one."""
        if self._process is None:
            return
        process, self._process = self._process, None
        _kill(process)
        try:
            process.wait(END_WITHIN_S)
        except subprocess.TimeoutExpired:
            return  # not even the kernel can end it, as when a device's driver hangs: the run goes on without
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
        with Stopwatch() as watch:
            try:
                self._launch(os.environ | preset | self._variables)
                greeting = self._answer()
            except (WorkerLostError, OSError) as error:
                status = error.status if isinstance(error, WorkerLostError) else "failed"
                self._broken = WorkerLostError(status, f"a worker on {self.spec} cannot start: {error}")
                raise self._broken from None
        self.greeting = greeting | {"process_start_s": watch.seconds - greeting["import_s"]}

    def _launch(self, environment: dict[str, str]) -> None:
        self._memory_kills = _memory_kills()
        with on_one_cpu() if self._one_cpu else contextlib.nullcontext():
            self._process = subprocess.Popen(
                python("bench.worker", str(os.getpid())),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                encoding="utf-8",
                errors="replace",
                env=environment,
                process_group=0,  # Ctrl-C is for the driver, which then ends its workers
            )
        self._answers = queue.Queue()
        self._reader = threading.Thread(target=_read, args=(self._process, self._answers), daemon=True)
        self._reader.start()


@contextlib.contextmanager
def on_one_cpu() -> Iterator[None]:
    """Let processes that are started inside have one processor, on systems that can bind them."""
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    mine = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(mine)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, mine)


def _kill(process: subprocess.Popen[str]) -> None:
    """Kill a worker with all that it has started, which would go on computing and hold its end of the pipe."""
    if hasattr(os, "killpg"):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    process.kill()


def _read(process: subprocess.Popen[str], answers: queue.Queue[str]) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        answers.put(line)
    answers.put("")


def _ending(code: int | None) -> str:
    if code is None:
        return f"closed its end of the pipe, and was still there {END_WITHIN_S:g} s later"
    if code >= 0:
        return f"ended with status {code}"
    names = {known.value: f" ({known.name})" for known in signal.Signals}
    return f"was ended by signal {-code}{names.get(-code, '')}"


def _memory_kills() -> int:
    """Return how many processes Linux has killed so far because memory was short; 0 where nobody counts."""
    try:
        counts = dict(line.split() for line in Path("/proc/vmstat").read_text().splitlines())
    except OSError:
        return 0
    return int(counts.get("oom_kill", 0))
