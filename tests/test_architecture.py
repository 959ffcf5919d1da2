"""Who may import whom, read from the source with `ast`."""

from __future__ import annotations

import ast
import fnmatch
import graphlib
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ROOMS = ("backends", "core", "bench")
MATHEMATICS = {f"core.{name}" for name in ("activations", "layout", "losses", "metrics", "optimizers")}
STANDARD = {"array_api_compat", "array_api_extra"}

# What a module may import beside Python's own library; the first row that fits its name counts.
ARROWS = {
    "backends": {"backends.base", "backends.registry"},
    "backends.__main__": {"backends", "rich"},
    "backends.base": set(),
    "backends.registry": {"backends.base"},
    "backends.host": {"backends.base", "numpy", "ml_dtypes"},
    "backends.recording": {"backends.base", "numpy"},
    "backends.replay": {"backends.base", "backends.recording", "numpy"},
    "backends.numpy": {"backends.base", "backends.replay", "numpy", "array_api_compat", "threadpoolctl"},
    "backends.formulas": {"backends.base", "numpy"},
    "backends.launches": {"backends.base", "backends.formulas", "backends.recording", "numpy"},
    "backends.fusing": {"backends.base", "backends.recording"},
    "backends.kernels": {
        *("backends.base", "backends.formulas", "backends.fusing", "backends.launches", "backends.recording"),
    },
    "backends.nests": {"backends.base", "backends.fusing", "backends.recording", "backends.replay", "numpy"},
    "backends.exponential": {"numpy"},
    "backends.loopnests": {
        *("backends.base", "backends.exponential", "backends.fusing", "backends.nests"),
        *("backends.recording", "backends.replay"),
        *("numba", "numpy"),
    },
    "backends.numba": {
        *("backends.base", "backends.loopnests", "backends.numpy", "backends.recording", "backends.replay"),
        *("numba", "numpy"),
    },
    "backends.cupy": {
        *("backends.base", "backends.host", "backends.kernels", "backends.launches", "backends.recording"),
        *("cupy", "array_api_compat"),
    },
    "backends.hlo": set(),
    "backends.jax": {"backends.base", "backends.hlo", "jax", "numpy"},
    "backends.torch": {"backends.base", "backends.host", "torch", "numpy", "array_api_compat"},
    "backends.strict": {"backends.base", "array_api_strict", "numpy"},
    **dict.fromkeys(sorted(MATHEMATICS), MATHEMATICS | STANDARD),
    "core.initializers": {"backends.host"},
    "core.utils": {"backends.host", "core.options"},
    "core.datasets": {"backends.host"},
    "core.variables": {"backends", "backends.host"},
    "core.layers": {"backends", "backends.host", "core.*"},
    "core.data": {"backends", "backends.host", "core.*", *STANDARD},
    "core.batches": {"backends", "backends.host", "core.*"},
    "core.training": {"backends", "core.*"},
    "core.sequential": {"backends", "backends.host", "core.*"},
    "core.history": {"backends.host"},
    "core.summary": {"core.*", "rich"},
    "core.progress": {"core.*", "rich"},
    "core*": {"core.*", *STANDARD},
    "bench*": {"*"},
}
NOT_AT_IMPORT = {"core.progress": "rich", "backends.host": "ml_dtypes"}  # only inside functions


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path): path for room in ROOMS for path in sorted((ROOT / room).rglob("*.py"))}


def statements(node: ast.AST, inside_functions: bool = True) -> Iterator[ast.AST]:
    for child in ast.iter_child_nodes(node):
        if inside_functions or not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            yield child
            yield from statements(child, inside_functions)


def imports(source: str, inside_functions: bool = True) -> set[str]:
    """Return what a source imports; `from core import losses` is core.losses, as that is a module."""
    found = set()
    for node in statements(ast.parse(source), inside_functions):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, "a relative import: the table's names are absolute"
            full = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {name if name in MODULES else str(node.module) for name in full}
    return found


def read(module: str, inside_functions: bool = True) -> set[str]:
    return imports(MODULES[module].read_text(encoding="utf-8"), inside_functions)


def forbidden(module: str, targets: set[str]) -> set[str]:
    """Return those of the targets that the table does not give to the module; `tests` are nobody's."""
    row = next(allowed for pattern, allowed in ARROWS.items() if fnmatch.fnmatchcase(module, pattern))
    roots = {name: name if name.partition(".")[0] in ROOMS else name.partition(".")[0] for name in targets}
    outside = {name for name, root in roots.items() if root not in sys.stdlib_module_names}
    allowed = {name for name in outside if any(fnmatch.fnmatchcase(roots[name], pattern) for pattern in row)}
    return outside - {name for name in allowed if roots[name] != "tests"}


@pytest.mark.parametrize("module", MODULES)
def test_a_module_imports_only_what_its_arrows_allow(module):
    assert forbidden(module, read(module)) == set()


WRONG = [
    ("backends.numpy", "import core"),
    ("backends.jax", "from backends import host"),
    ("backends.cupy", "import jax"),
    ("backends.base", "from bench import cases"),
    ("core.losses", "from backends import host"),
    ("core.losses", "from core import layers"),
    ("core.activations", "def f():\n    import numpy as np"),
    ("core.initializers", "import backends"),
    ("core.initializers", "import numpy"),
    ("core.step", "import backends"),
    ("core.step", "if TYPE_CHECKING:\n    from jax import numpy"),
    ("core.layers", "import torch.nn"),
    ("core.sequential", "import bench.cases"),
    ("core.sequential", "from backends.jax import JaxBackend"),
    ("core.a_new_module", "import pandas"),
    ("core.layers", "from tests import conftest"),
    ("bench.cases", "import tests.conftest"),
]


@pytest.mark.parametrize(("module", "source"), WRONG)
def test_an_arrow_that_is_not_in_the_table_is_found(module, source):
    assert forbidden(module, imports(source))


@pytest.mark.parametrize(("module", "library"), NOT_AT_IMPORT.items())
def test_a_library_that_few_need_is_imported_inside_the_functions_that_need_it(module, library):
    assert library in {name.partition(".")[0] for name in read(module)}
    assert library not in {name.partition(".")[0] for name in read(module, inside_functions=False)}


@pytest.mark.parametrize("room", ROOMS)
def test_the_modules_of_a_room_do_not_import_each_other_in_a_circle(room):
    own = [module for module in MODULES if module.partition(".")[0] == room]
    arrows = {module: {name for name in read(module) if name in own} for module in own}
    assert sorted(graphlib.TopologicalSorter(arrows).static_order()) == sorted(own)


# What really happens at import

HEAVY = {"pandas", "pytest", "matplotlib", "sklearn", "rich", "scipy"}
ARRAY_LIBRARIES = {"jax", "cupy", "torch", "array_api_strict", "dask"}


def python(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *arguments], cwd=ROOT, capture_output=True, text=True, check=True)


@pytest.mark.parametrize("room", ["core", "backends"])
def test_importing_a_room_loads_no_array_library_but_numpy_and_nothing_heavy(room):
    loaded = python("-c", f"import {room}, sys; print(*sys.modules)").stdout.split()
    assert {name.partition(".")[0] for name in loaded} & (HEAVY | ARRAY_LIBRARIES) == set()
    assert room in loaded


def test_the_import_times_of_core_have_no_line_for_a_heavy_library():
    lines = python("-X", "importtime", "-c", "import core").stderr.splitlines()
    loaded = {line.rpartition("|")[2].strip().partition(".")[0] for line in lines}
    assert "core" in loaded
    assert loaded & (HEAVY | ARRAY_LIBRARIES) == set()


@pytest.mark.parametrize("spec", ["numpy", "strict"])
def test_a_backend_loads_its_own_library_and_no_other(spec):
    source = f"import backends, sys; backends.get({spec!r}); print(*sys.modules)"
    loaded = set(python("-c", source).stdout.split())
    assert loaded & ARRAY_LIBRARIES == ({"array_api_strict"} if spec == "strict" else set())


def test_the_wheel_has_every_package_and_what_lies_beside_its_modules():
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    packages = {
        ".".join(path.parent.relative_to(ROOT).parts) for room in ROOMS for path in (ROOT / room).rglob("__init__.py")
    }
    assert set(declared["packages"]) == packages
    for package in packages:
        folder = ROOT / package.replace(".", "/")
        files = {path.name for path in folder.iterdir() if path.is_file() and path.suffix not in (".py", ".pyc")}
        assert files <= {*declared["package-data"]["*"], *declared["package-data"].get(package, [])}
