"""Arrays that come to lie elsewhere: the heap's places change, a case's numbers do not."""

from __future__ import annotations

import subprocess
import sys

import numpy as np

import backends
from bench import measure, workloads
from bench.cases import Case
from bench.placement import BUFFERS, Heap

CASE = Case("step", "digits-64-25-15-10", "matmul", 32)


PLACES = """
import numpy as np
from bench.placement import Heap

heap, places = Heap(1 << 18), set()
for _ in range(40):
    heap.shuffle()
    places.add(np.empty(1 << 16, np.float32).ctypes.data)
print(len(places))
"""


def test_what_is_allocated_next_comes_to_lie_elsewhere(pytestconfig):
    """In a process as a worker is: in one that has run long, a hole of just that size may be taken again and again."""
    command = [sys.executable, "-c", PLACES]
    done = subprocess.run(command, cwd=pytestconfig.rootpath, capture_output=True, text=True, check=True)
    assert int(done.stdout) > 5


def test_no_more_than_so_many_buffers_are_held():
    heap = Heap(64)
    for _ in range(20):
        heap.shuffle()
    assert len(heap._held) == BUFFERS
    assert all(0 < buffer.nbytes <= 128 for buffer in heap._held)


def test_a_moved_call_has_other_arguments_and_the_same_result():
    backend = backends.get("numpy")
    problem = workloads.build(CASE, backend, 32)
    call = measure.Call(problem, backend)
    before, arguments = problem.outputs(call(), backend.to_numpy), call.arguments
    call.move()
    assert call.arguments is not arguments
    for old, new in zip(before, problem.outputs(call(), backend.to_numpy), strict=True):
        np.testing.assert_array_equal(old, new)


def test_a_library_that_places_its_arrays_itself_is_left_alone(backend):
    if backend.name == "numpy":
        return
    call = measure.Call(workloads.build(CASE, backend, 32), backend)
    arguments = call.arguments
    call.move()
    assert call.arguments is arguments
