"""A process that measures on one backend or peer: it answers requests, a line of JSON each, and nothing else prints there.

The first line it prints is its greeting: what starting took, and what the backend says of itself. Requests: `prepare` a case
under a key, take a `block` of samples of the case of that key, find the `roof`, `forget` every case.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any, TextIO

import backends
from backends.base import first_line
from backends.registry import VARIABLE
from bench import peers, roof
from bench.cases import Case
from bench.clock import Stopwatch, settle
from bench.measure import Subject
from bench.preparation import UnmeasuredError, prepare

PR_SET_PDEATHSIG = 1  # of Linux's prctl.h


class Worker:
    """The state of a worker: its backend and the cases that are ready."""

    def __init__(self, backend: backends.Backend) -> None:
        self.backend = backend
        self.subjects: dict[str, Subject] = {}

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        """Return the answer to a request, when nothing computes here any more; a case that fails is an answer, not an end."""
        try:
            return self._do(request)
        except UnmeasuredError as error:
            return {"status": error.status, "reason": error.reason}
        except MemoryError:
            return {"status": "out_of_memory", "reason": "the host's memory did not suffice"}
        except Exception as error:
            memory = "OutOfMemory" in type(error).__name__ or "RESOURCE_EXHAUSTED" in str(error)
            return {
                "status": "out_of_memory" if memory else "failed",
                "reason": f"{type(error).__name__}: {first_line(error)}",
            }
        finally:
            settle()

    def _do(self, request: dict[str, Any]) -> dict[str, Any]:
        match request["do"]:
            case "prepare":
                subject = prepare(
                    Case(**request["case"]),
                    self.backend,
                    request["budget_s"],
                    request.get("examples"),
                    request.get("slow_down", 0.0),
                )
                self.subjects[request["key"]] = subject
                return {"status": "ok", "costs_s": subject.costs_s, "facts": subject.facts}
            case "block":
                block = self.subjects[request["key"]].block(request["seconds"])
                return block | {"peak_memory_bytes": self.backend.peak_memory()}
            case "roof":
                return roof.probe(self.backend)
            case "forget":
                self.subjects.clear()
                return {}
            case unknown:
                raise ValueError(f"no such request: {unknown}")


def main() -> None:
    """Greet, then answer until the requests end, or the driver does."""
    end_with(int(sys.argv[1]))
    # The answers keep the pipe; whatever a library prints goes to standard error.
    pipe = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    with Stopwatch() as watch:
        spec = os.environ.get(VARIABLE, "")
        backend = peers.open_peer(spec) if peers.is_peer(spec) else backends.get()
    try:
        serve(backend, {"import_s": watch.seconds, "describe": backend.describe()}, sys.stdin, pipe)
    except BrokenPipeError:
        os._exit(1)  # the driver is gone, and leaving in the usual way would write to it again


def end_with(driver: int) -> None:
    """End this process when the driver ends, however it ends and in whatever this process is stuck then.

    Only Linux can do that; elsewhere the end of the requests must do, which is seen between two of them. And where memory is
    short, Linux is to take this process: the driver lives on and says so.
    """
    if sys.platform != "linux":
        return
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != driver:  # it ended before it could be watched
        sys.exit(1)
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")


def serve(backend: backends.Backend, greeting: dict[str, Any], requests: TextIO, answers: TextIO) -> None:
    """Print the greeting, and an answer to each request until they end."""
    worker = Worker(backend)
    print(json.dumps(greeting), file=answers, flush=True)
    for line in requests:
        print(json.dumps(worker.answer(json.loads(line))), file=answers, flush=True)


if __name__ == "__main__":
    main()
