"""The list of all requirements."""

from __future__ import annotations

from bench.conform import agreement, devices, doors, dtypes, functions, namespace, protocol, waiting
from bench.conform.requirement import Requirement

MODULES = (protocol, doors, namespace, dtypes, devices, functions, waiting, agreement)
REQUIREMENTS = tuple(own for module in MODULES for own in vars(module).values() if isinstance(own, Requirement))
