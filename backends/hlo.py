"""How many kernels a program of XLA's starts, counted in its optimized HLO: the text that `compiled.as_text()` gives."""

from __future__ import annotations

import re

FREE = ("parameter", "constant", "tuple", "get-tuple-element", "bitcast", "after-all", "opt-barrier")
"""Instructions that start nothing; neither does the second half of one that has two."""
COMPUTATION = re.compile(r"^(?P<entry>ENTRY )?%?(?P<name>\S+) \(.*\{$")
INSTRUCTION = re.compile(r"^\s+(?:ROOT )?\S+ = (?:\(.*?\)|\S+) (?P<opcode>[a-z][\w-]*)\((?P<rest>.*)$")
CALLED = re.compile(r"(?:to_apply|body)=%?([\w.-]+)")

Computation = list[tuple[str, str]]  # an opcode, and what follows it


def launches(text: str) -> int | None:
    """Return how many instructions start a kernel, a library's product or a copy; where there is a loop, in one turn of it.

    None where there are several loops, or one inside another: nobody says how often they turn.
    """
    computations, entry = _read(text)
    try:
        loops = [body for opcode, body in _started(entry, computations) if opcode == "while"]
        started = _started(computations[loops[0]], computations) if loops else _started(entry, computations)
    except KeyError:
        return None
    if len(loops) > 1 or (loops and any(opcode == "while" for opcode, _ in started)):
        return None
    return len(started)


def _read(text: str) -> tuple[dict[str, Computation], Computation]:
    computations: dict[str, Computation] = {}
    entry = computation = Computation()
    for line in text.splitlines():
        if head := COMPUTATION.match(line):
            computation = computations[head["name"]] = []
            entry = computation if head["entry"] else entry
        elif found := INSTRUCTION.match(line):
            computation.append((found["opcode"], found["rest"]))
    return computations, entry


def _started(computation: Computation, computations: dict[str, Computation]) -> Computation:
    """Return what a computation starts and, for a loop, its body; what it calls is started as well."""
    found: Computation = []
    for opcode, rest in computation:
        called = CALLED.search(rest)
        if opcode == "call" and called:
            found += _started(computations[called[1]], computations)
        elif opcode == "while" and called:
            found.append((opcode, called[1]))
        elif opcode not in FREE and not opcode.endswith("-done"):
            found.append((opcode, rest))
    return found
