"""Who may import whom: the arrows of ARCHITECTURE.md, read from the source."""

from __future__ import annotations

import ast
import fnmatch
import graphlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ROOMS = ("backends", "core", "bench")
STANDARD = {"array_api_compat", "array_api_extra"}
MATHEMATICS = "core.activations", "core.layout", "core.losses", "core.metrics", "core.optimizers"

# What a module may import beside Python's own library. The first row that fits a module counts.
ARROWS = {
    "backends.__main__": {"backends", "rich"},
    "backends": {"backends.base", "backends.registry"},
    "backends.base": set(),
    "backends.registry": {"backends.base"},
    "backends.host": {"numpy"},
    "backends.numpy": {"backends.base", "numpy", "array_api_compat", "threadpoolctl"},
    "backends.cupy": {"backends.base", "cupy", "array_api_compat"},
    "backends.jax": {"backends.base", "jax"},
    "backends.strict": {"backends.base", "array_api_strict", "numpy"},
    **dict.fromkeys(MATHEMATICS, {*MATHEMATICS, *STANDARD}),
    "core.initializers": {"backends.host"},
    "core.utils": {"backends.host"},
    "core.datasets": {"backends.host", "sklearn"},
    **{f"core.{n}": {"backends", "core.*", *STANDARD} for n in ("variables", "layers", "data", "training")},
    "core.sequential": {"backends", "core.*"},
    "core.summary": {"core.*", "rich"},
    "core.progress": {"core.*", "rich"},
    "core*": {"core.*", *STANDARD},
    "bench*": {"*"},
}
ONLY_INSIDE_FUNCTIONS = {"sklearn": set(), "rich": {"core.summary", "backends.__main__"}}  # and where it is not


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path): path for room in ROOMS for path in sorted((ROOT / room).rglob("*.py"))}


def imports(tree: ast.AST, modules=MODULES) -> set[str]:
    """Return the modules that a tree imports; `from core import losses` is core.losses, as losses is a module."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, "imports are absolute, so that this test can read them"
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {name if name in modules else node.module for name in names}
    return found - {"__future__"}


def when_imported(tree: ast.Module) -> set[str]:
    """Return the modules that come with this one: those of imports outside functions."""
    functions = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda

    def outside(node):
        for child in ast.iter_child_nodes(node):
            if not isinstance(child, functions):
                yield child
                yield from outside(child)

    statements = [node for node in outside(tree) if isinstance(node, ast.Import | ast.ImportFrom)]
    return imports(ast.Module(statements, []))


SOURCES = {name: ast.parse(path.read_text(encoding="utf-8")) for name, path in MODULES.items()}
IMPORTS = {name: imports(tree) for name, tree in SOURCES.items()}


def wrong_arrows(module: str, targets: set[str]) -> set[str]:
    allowed = next(row for pattern, row in ARROWS.items() if fnmatch.fnmatchcase(module, pattern))
    # A library's submodules come with it; of our own rooms only the module that is named does.
    patterns = allowed | {f"{name}.*" for name in allowed if name.split(".")[0] not in ROOMS}
    outside = {name for name in targets if name.split(".")[0] not in sys.stdlib_module_names}
    return {name for name in outside if not any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)}


@pytest.mark.parametrize("module", MODULES)
def test_a_module_imports_only_what_its_arrows_allow(module):
    if module == "core":
        assert all(target.startswith("core.") for target in IMPORTS[module])
    elif module in ("core.variables", "core.layers", "core.data", "core.training", "core.sequential"):
        assert not wrong_arrows(module, IMPORTS[module] - {"backends.host"})
    else:
        assert not wrong_arrows(module, IMPORTS[module])
