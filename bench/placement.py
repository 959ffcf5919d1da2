"""Where arrays lie on the heap, drawn anew for every sample.

NumPy gets its results from malloc, which gives a call the same place again and again: a process is lucky or unlucky for life,
and a product may be a quarter slower in one than in the next. Among buffers of random sizes that come and go, the place changes,
and within a process chance averages out, as Curtsinger and Berger have it for code and data ("STABILIZER: Statistically Sound
Performance Evaluation", ASPLOS 2013). Libraries that align their arrays themselves, as XLA does, do not need it.
"""

from __future__ import annotations

import random
from typing import Any

import numpy as np

BUFFERS, REPLACED = 24, 6
ALIGNMENT = 16  # malloc's; vector instructions want 64


class Heap:
    """Buffers of up to twice the size of the largest array. Nobody writes to them: they take addresses, and hardly memory."""

    def __init__(self, largest_bytes: int) -> None:
        self._random = random.Random()
        self._places = max(1, 2 * largest_bytes // ALIGNMENT)
        self._held: list[Any] = []

    def shuffle(self) -> None:
        """Free some of the buffers, and allocate others."""
        new = [np.empty(ALIGNMENT * self._random.randint(1, self._places), np.uint8) for _ in range(REPLACED)]
        self._random.shuffle(self._held)
        self._held = [*self._held[: BUFFERS - REPLACED], *new]
