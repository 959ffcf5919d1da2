"""A process that measures on one backend: it answers requests, a line of JSON each, and nothing else prints there.

Requests: `prepare` a case, take a `block` of samples of the case prepared last, `describe` the backend.
"""

from __future__ import annotations

import json
import os
import sys
import time
from typing import Any, TextIO

import backends
from bench.cases import Case
from bench.measure import Subject, UnmeasuredError, prepare

MOST_SAMPLES = 200  # of a block


class Worker:
    """The state of a worker: its backend and the case that is ready."""

    def __init__(self, backend: backends.Backend) -> None:
        self.backend = backend
        self.subject: Subject | None = None

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        """Return the answer to a request; a case that fails is an answer, not an end."""
        if request["do"] == "describe":
            return self.backend.describe()
        if request["do"] == "block":
            return self._block(request["seconds"])
        return self._prepare(Case(**request["case"]), request["budget_s"])

    def _prepare(self, case: Case, budget_s: float) -> dict[str, Any]:
        self.subject = None  # let go of the last case's arrays first
        try:
            self.subject = prepare(case, self.backend, budget_s)
        except UnmeasuredError as error:
            return {"status": error.status, "reason": error.reason}
        except MemoryError:
            return {"status": "out_of_memory", "reason": "the host's memory did not suffice"}
        except Exception as error:
            memory = "OutOfMemory" in type(error).__name__ or "RESOURCE_EXHAUSTED" in str(error)
            return {"status": "out_of_memory" if memory else "failed", "reason": f"{type(error).__name__}: {error}"}
        return {"status": "ok", **self.subject.facts}

    def _block(self, seconds: float) -> dict[str, Any]:
        assert self.subject is not None, "a block was asked for before a case was prepared"
        samples: list[float] = []
        end = time.perf_counter() + seconds
        while not samples or (time.perf_counter() < end and len(samples) < MOST_SAMPLES):
            samples.append(self.subject.sample())
        return {"samples": samples, "peak_memory_bytes": self.backend.peak_memory()}


def serve(requests: TextIO, answers: TextIO) -> None:
    """Answer until the requests end."""
    worker = Worker(backends.get())
    for line in requests:
        print(json.dumps(worker.answer(json.loads(line))), file=answers, flush=True)


if __name__ == "__main__":
    # The answers keep the pipe; whatever a library prints goes to standard error.
    pipe = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    serve(sys.stdin, pipe)
