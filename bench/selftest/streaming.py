"""The experiment behind training from disk: what many rows cost in memory and speed.

The coffee network is trained on files of features and labels, each variant in a process of its own: few rows and many, read
into memory as a whole before, or mapped and left on disk. The rate is that of the fastest epoch but the first, which compiles.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import backends
from backends import ArraybenchError
from bench.clock import Stopwatch
from bench.processes import python
from core import Dense, Input, Sequential, utils
from core.data import slices

ROWS = 100_000, 10_000_000
PLACES = "memory", "disk"
EPOCHS = 3
WRITTEN_AT_ONCE = 1 << 18  # rows
MOST_GROWTH_MB, LEAST_RATE = 200.0, 0.8  # goals: of many rows over few, and of the rate in memory

Row = dict[str, Any]


def write_files(folder: Path, rows: int) -> None:
    """Write float32 features, shape (rows, 2), and labels, shape (rows, 1), a piece at a time."""
    generator = np.random.default_rng(0)
    with (folder / f"x-{rows}").open("wb") as x_file, (folder / f"y-{rows}").open("wb") as y_file:
        for piece in slices(rows, WRITTEN_AT_ONCE):
            x = generator.standard_normal((piece.stop - piece.start, 2), dtype="float32")
            x.tofile(x_file)
            (x[:, :1] > x[:, 1:]).astype("float32").tofile(y_file)


def experiment(folder: Path, specs: Iterable[str], rows: Iterable[int] = ROWS) -> Iterator[Row]:
    """Yield what each variant took, in turn; the files are made in the folder, and removed."""
    specs = tuple(specs)
    for count in rows:
        try:
            write_files(folder, count)
            for spec in specs:
                for place in PLACES:
                    yield _in_a_process(folder, spec, count, place)
        finally:
            for name in "xy":
                (folder / f"{name}-{count}").unlink(missing_ok=True)


def missed(frame: pd.DataFrame) -> list[str]:
    """Return the goals that were missed, a sentence each."""
    sentences = []
    for spec, own in frame.groupby("backend", sort=False):
        few, many = own["rows"].min(), own["rows"].max()
        at = own.set_index(["rows", "place"])
        growth = at.loc[(many, "disk"), "peak_mb"] - at.loc[(few, "disk"), "peak_mb"]
        share = at.loc[(many, "disk"), "rows_per_s"] / at.loc[(many, "memory"), "rows_per_s"]
        if growth > MOST_GROWTH_MB:
            sentences.append(f"{spec}: {many:,} rows on disk took {growth:.0f} MB more than {few:,}")
        if share < LEAST_RATE:
            sentences.append(f"{spec}: {many:,} rows on disk were trained on at {share:.0%} of the rate in memory")
    return sentences


def _in_a_process(folder: Path, spec: str, rows: int, place: str) -> Row:
    command = python("bench.selftest.streaming", str(folder), spec, str(rows), place)
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ArraybenchError(f"{spec}, {rows} rows in {place}: {done.stderr.strip().splitlines()[-1]}")
    return json.loads(done.stdout)


def train(folder: Path, spec: str, rows: int, place: str) -> Row:
    """Train; return the rates of the first epoch and the fastest other one, the loss, and the most memory of this process."""
    files = {"x": (rows, 2), "y": (rows, 1)}
    x, y = (np.memmap(folder / f"{name}-{rows}", "float32", "r", shape=shape) for name, shape in files.items())
    if place == "memory":
        x, y = np.array(x), np.array(y)  # type: ignore[assignment]
    utils.set_random_seed(0)
    model = Sequential([Input((2,)), Dense(3, "sigmoid"), Dense(1, "sigmoid")], backend=spec)
    model.compile("adam", "binary_crossentropy")
    seconds, losses = [], []
    for _ in range(EPOCHS):
        with Stopwatch() as watch:
            losses += model.fit(x, y, verbose=0).history["loss"]
        seconds.append(watch.seconds)
    return {
        "backend": spec,
        "rows": rows,
        "place": place,
        "first_rows_per_s": round(rows / seconds[0]),
        "rows_per_s": round(rows / min(seconds[1:])),
        "loss": losses[-1],
        **_memory(backends.get(spec)),
    }


def _memory(backend: backends.Backend) -> Row:
    """Return the most memory that the process had, and what of it are now pages of files, which the kernel may take back."""
    status = Path("/proc/self/status")
    if not status.exists():
        return {"peak_mb": round(backend.peak_memory() / 1e6), "of_files_mb": None}
    sizes = dict(line.split(":") for line in status.read_text().splitlines() if line.endswith(" kB"))
    peak, files = (int(sizes[name].removesuffix("kB")) * 1024 for name in ("VmHWM", "RssFile"))
    return {"peak_mb": round(peak / 1e6), "of_files_mb": round(files / 1e6)}


if __name__ == "__main__":
    _, given_folder, given_spec, given_rows, given_place = sys.argv
    print(json.dumps(train(Path(given_folder), given_spec, int(given_rows), given_place)))
