"""Where Keras has its models: `from core.models import Sequential`."""

from __future__ import annotations

from core.sequential import Sequential

__all__ = ["Sequential"]
