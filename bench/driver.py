"""The driver of a run: one worker process a backend, cases one after another, samples in rounds that interleave backends."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import random
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable
from dataclasses import asdict
from typing import Any

import backends
from bench.cases import Case
from bench.results import Measurement

ROUNDS = 5
BLOCK_S = 0.02
ANSWER_WITHIN_S = 60.0
SEED = 20240218

SLOW_S, SLOW_ROUNDS = 0.1, 3  # a call this slow is sampled in fewer rounds

Row = dict[str, Any]


class WorkerLostError(Exception):
    """A worker that died or does not answer; `status` is what the row of its case says."""

    def __init__(self, status: str, reason: str) -> None:
        super().__init__(reason)
        self.status, self.reason = status, reason


class WorkerProcess:
    """The driver's end of a worker: started when first asked, and anew after it was lost."""

    def __init__(self, spec: str) -> None:
        self.spec = spec
        self._process: subprocess.Popen[str] | None = None
        self._answers: queue.Queue[str] = queue.Queue()

    def ask(self, request: dict[str, Any]) -> dict[str, Any]:
        """Return the worker's answer; raise WorkerLostError when it dies or takes too long over it."""
        process = self._process or self._start()
        try:
            assert process.stdin is not None
            process.stdin.write(json.dumps(request) + "\n")
            process.stdin.flush()
            line = self._answers.get(timeout=ANSWER_WITHIN_S)
        except queue.Empty:
            self.stop()
            raise WorkerLostError("timed_out", f"no answer in {ANSWER_WITHIN_S:g} s") from None
        except BrokenPipeError:
            line = ""
        if not line:
            code = process.wait()
            self.stop()
            raise WorkerLostError("failed", f"its process ended with status {code}")
        return json.loads(line)

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

    def _start(self) -> subprocess.Popen[str]:
        # A GPU that JAX has filled would leave nothing for CuPy beside it.
        environment = os.environ | {"ARRAY_BACKEND": self.spec, "XLA_PYTHON_CLIENT_PREALLOCATE": "false"}
        command = [sys.executable, "-m", "bench.worker"]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )
        self._answers = queue.Queue()
        self._reader = threading.Thread(target=_read, args=(self._process, self._answers), daemon=True)
        self._reader.start()
        return self._process


def _read(process: subprocess.Popen[str], answers: queue.Queue[str]) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        answers.put(line)
    answers.put("")


def measure(
    cases: Iterable[Case], specs: list[str], budget_s: float, finished: Callable[[Case], None]
) -> tuple[list[Measurement], dict[str, Row]]:
    """Measure every case on every backend, and return the measurements and what each backend says of itself.

    `finished` is called after each case.
    """
    order = random.Random(SEED)
    workers = {spec: WorkerProcess(spec) for spec in specs}
    measurements: list[Measurement] = []
    try:
        descriptions = {spec: worker.ask({"do": "describe"}) for spec, worker in workers.items()}
        for case in cases:
            measurements += _measure_case(case, workers, budget_s, order)
            finished(case)
    finally:
        for worker in workers.values():
            worker.stop()
    return measurements, descriptions


def _measure_case(
    case: Case, workers: dict[str, WorkerProcess], budget_s: float, order: random.Random
) -> list[Measurement]:
    """Prepare the case on every backend, then sample it in rounds that take the backends in random order."""
    measurements = [Measurement(case, spec) for spec in workers]
    for measurement in measurements:
        answer = _ask(workers, measurement, {"do": "prepare", "case": asdict(case), "budget_s": budget_s})
        measurement.facts |= answer
    for number in range(ROUNDS):
        ready = [measurement for measurement in measurements if measurement.status == "ok"]
        order.shuffle(ready)
        for measurement in ready:
            if number >= SLOW_ROUNDS and measurement.samples[0][-1] > SLOW_S:
                continue
            answer = _ask(workers, measurement, {"do": "block", "seconds": BLOCK_S})
            measurement.samples += [(0, number, seconds) for seconds in answer.pop("samples", [])]
            measurement.facts |= answer
    return measurements


def _ask(workers: dict[str, WorkerProcess], measurement: Measurement, request: dict[str, Any]) -> Row:
    """Return the facts of the answer; put the outcome, a lost worker included, into the measurement."""
    try:
        answer = workers[measurement.spec].ask(request)
    except WorkerLostError as lost:
        answer = {"status": lost.status, "reason": lost.reason}
    measurement.status = answer.pop("status", measurement.status)
    measurement.reason = answer.pop("reason", measurement.reason)
    return answer


def usable_specs() -> list[str]:
    """Return every backend on every device that can be timed here, NumPy first."""
    return [f"{found.name}:{device}" for found in backends.status() if found.timed for device in found.devices]
