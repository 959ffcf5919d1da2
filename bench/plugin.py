"""The pytest plugin: fixtures `backend`, `xp` and `array_benchmark`, loaded with the package and silent until they are used.

pytest-benchmark measures and its options work; what it is given has passed the gate and is warm, and is waited for. A session's
figures are written as a run's. `--array-backends` makes it many sessions, each in a process of its own (`bench.sessions`).
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pytest_benchmark.fixture import BenchmarkFixture

    from backends import Backend
    from bench.measurement import Measurement

MEASURED = pytest.StashKey["list[Measurement]"]()
IN_SEVERAL_FILES = pytest.StashKey[set[str]]()
"""The names that tests of several files have, in which the table adds the file."""
MEASURES = "array_measurements"
"""The fixture that every test which measures has asked for."""
ONCE = ("autosave", "save", "save_data", "compare", "compare_fail", "histogram", "json")
"""The options of pytest-benchmark that a session which only repeats another must not act on."""
TOGETHER = "tests that run at once slow each other down, and their times would lie: leave out -n of pytest-xdist"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Declare the options."""
    group = parser.getgroup("arraybench", "measuring on array libraries (arraybench)")
    group.addoption(
        "--array-backends",
        metavar="all|A,B",
        help="measure on each of these backends, each in processes of its own, and compare them",
    )
    group.addoption(
        "--array-passes",
        type=_one_or_more,
        default=3,
        metavar="N",
        help="processes of each backend, for the intervals (default: %(default)s)",
    )
    group.addoption(
        "--array-results", type=Path, default=Path("results"), metavar="DIR", help="where the run's folder is made"
    )
    group.addoption("--array-session", type=Path, metavar="FILE", help="write what was measured there, and no run")
    group.addoption("--array-again", action="store_true", help="repeat only what measures, and save nothing else")


def _one_or_more(text: str) -> float:
    from bench.arguments import at_least

    return at_least(1)(text)


def pytest_cmdline_main(config: pytest.Config) -> int | None:
    """Make it a session for each backend, where that is asked for; else let it go on as ever."""
    asked, inner = config.getoption("--array-backends"), config.getoption("--array-session")
    if asked is None or inner or config.option.help or config.option.version or config.option.collectonly:
        return None
    if config.getoption("numprocesses", None):
        raise pytest.UsageError(TOGETHER)
    from backends import ArraybenchError
    from bench import sessions

    try:
        return sessions.run_all(config, asked)
    except ArraybenchError as error:
        raise pytest.UsageError(str(error)) from None


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Begin with no measurement; keep pytest-benchmark from saving what only repeats."""
    config.stash[MEASURED] = []
    if config.getoption("--array-again"):
        for name in ONCE:
            setattr(config.option, f"benchmark_{name}", None)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Let a test measure its function as it is, and compiled where the backend compiles."""
    if "array_benchmark" not in metafunc.fixturenames:
        return
    try:
        spec, compiles = _chosen().spec, _chosen().compiles
    except pytest.UsageError:  # told when all is collected, as a sentence
        spec, compiles = "unusable", False
    forms = ("eager", "compiled") if compiles else ("eager",)
    metafunc.parametrize("array_benchmark", forms, indirect=True, ids=[f"{spec}-{form}" for form in forms])


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what does not measure, where a session only repeats another."""
    if config.getoption("--array-again"):
        items[:] = filter(_measures, items)
    for item in filter(_measures, items):  # a test that the gate fails has not come to its benchmark
        item.add_marker(pytest.mark.filterwarnings("ignore:Benchmark fixture was not used"))


def pytest_collection_finish(session: pytest.Session) -> None:
    """Refuse a backend whose times mean nothing, and a folder that cannot be written, before anything is measured."""
    config = session.config
    places = {(_name(item), item.path) for item in session.items if _measures(item)}
    names = [name for name, _ in places]
    config.stash[IN_SEVERAL_FILES] = {name for name in names if names.count(name) > 1}
    parallel = hasattr(config, "workerinput")  # then every test says why not
    if config.option.collectonly or parallel or not any(map(_measures, session.items)):
        return
    if not _chosen().timed:
        raise pytest.UsageError(f"{_chosen().name} is for tests only: its times mean nothing")
    if not config.getoption("--array-session"):
        from backends import ArraybenchError
        from bench.journal import sole_writer

        hold = contextlib.ExitStack()
        config.add_cleanup(hold.close)
        try:
            hold.enter_context(sole_writer(config.getoption("--array-results")))
        except ArraybenchError as error:
            raise pytest.UsageError(str(error)) from None


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Write what was measured, and say where it is."""
    if not (measured := config.stash[MEASURED]):
        return
    from backends import ArraybenchError
    from bench import sessions

    try:
        if file := config.getoption("--array-session"):
            sessions.hand_over(file, measured, _chosen())
        else:
            folder = sessions.write(config.getoption("--array-results"), measured, _chosen())
            terminalreporter.write_line(f"results: {folder / 'summary.csv'}")
    except ArraybenchError as error:
        pytest.exit(str(error), returncode=pytest.ExitCode.INTERNAL_ERROR)


@pytest.fixture(scope="session")
def backend() -> Backend:
    """Return the backend that ARRAY_BACKEND names."""
    return _chosen()


@pytest.fixture(scope="session")
def xp(backend: Backend) -> Any:
    """Return the array API namespace of the backend."""
    return backend.xp


@pytest.fixture(scope="session")
def array_measurements(request: pytest.FixtureRequest) -> list[Measurement]:
    """Return what the session has measured, which is written as a run when it ends."""
    return request.config.stash[MEASURED]


@pytest.fixture
def array_benchmark(
    request: pytest.FixtureRequest,
    benchmark: BenchmarkFixture,
    array_measurements: list[Measurement],
) -> Callable[..., Any]:
    """Return `measure(function, *arguments, oracle=None, tolerance=None, flops=None, bytes=None, compiled=True)`.

    It measures `function(*arguments)`, NumPy arrays among them placed on the backend, and returns its result. The other words
    mean what they mean to `bench.case`. The test fails where the result is not the oracle's.
    """
    if hasattr(request.config, "workerinput"):
        pytest.fail(TOGETHER, pytrace=False)
    from bench import sessions

    own = f"{_chosen().spec}-{request.param}"
    variant = request.node.callspec.id.replace(own, "").replace("--", "-").strip("-") or "-"
    subject = _name(request.node)
    if subject in request.config.stash[IN_SEVERAL_FILES]:
        subject = f"{request.node.nodeid.partition('::')[0].removesuffix('.py')}:{subject}"

    def measure(function: Callable[..., Any], *arguments: Any, compiled: bool = True, **options: Any) -> Any:
        if request.param == "compiled" and not compiled:
            pytest.skip("the test leaves out the compiled form")
        case, problem = sessions.problem(
            (subject, variant, request.param), str(request.path), function, arguments, options, _chosen()
        )
        return sessions.measure(case, _chosen(), benchmark, array_measurements, problem)

    return measure


def _name(item: pytest.Item) -> str:
    """Return what a test measures, as the table calls it: the test's name, behind that of its class."""
    assert isinstance(item, pytest.Function)
    within = f"{item.cls.__name__}." if item.cls else ""
    return f"{within}{item.originalname.removeprefix('test_')}"


def _measures(item: pytest.Item) -> bool:
    return MEASURES in getattr(item, "fixturenames", ())


def _chosen() -> Backend:
    """Return the session's backend; raise what pytest prints as a sentence where it cannot be used."""
    import backends

    try:
        return backends.get()
    except backends.BackendError as error:
        raise pytest.UsageError(str(error)) from None
