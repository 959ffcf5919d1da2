"""A folder of baselines: the run that each machine is compared with, in a folder named by the machine."""

from __future__ import annotations

import shutil
from pathlib import Path

from bench.table import FILES, ResultsError, make_folder


def is_shelf(folder: Path) -> bool:
    """Tell whether a folder keeps baselines, and is no run itself: it holds folders alone, or is not there yet."""
    return not folder.exists() or (folder.is_dir() and all(each.is_dir() for each in _seen(folder)))


def of(shelf: Path, machine_id: str) -> Path | None:
    """Return the folder of a machine's baseline, or None where there is none yet."""
    folder = shelf / machine_id
    return folder if (folder / "summary.csv").exists() else None


def keep(run: Path, shelf: Path, machine_id: str) -> Path:
    """Make a run the baseline of its machine; the one before goes when the new one is whole. Return its folder."""
    make_folder(shelf, new=False)
    folder, partial = shelf / machine_id, shelf / f".{machine_id}.partial"
    try:
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir()
        for name in FILES:
            shutil.copyfile(run / name, partial / name)
        if folder.exists():
            shutil.rmtree(folder)
        partial.rename(folder)
    except OSError as error:
        raise ResultsError(f"cannot keep {run} as {folder}: {error.strerror}") from error
    return folder


def _seen(folder: Path) -> list[Path]:
    return [each for each in folder.iterdir() if not each.name.startswith(".")]
