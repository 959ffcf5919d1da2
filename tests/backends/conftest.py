"""What the tests of backends share."""

from __future__ import annotations

import functools
import sys

import pytest

from backends import registry


@pytest.fixture
def registry_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give a test a registry that has seen nothing yet, no ARRAY_BACKEND, and its own hook for uncaught errors."""
    for name in ("_open", "_opened", "_known", "_status"):
        monkeypatch.setattr(registry, name, functools.cache(getattr(registry, name).__wrapped__))
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    monkeypatch.delenv("ARRAY_BACKEND", raising=False)
