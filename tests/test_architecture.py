"""The shape of steve/: imports point one way, from folder to folder, and classes stay small. These tests
read the source and run none of it."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

STEVE = Path(__file__).parent.parent / "steve"
FILES = sorted(STEVE.rglob("*.py"))
TITLE = ast.parse((STEVE / "__init__.py").read_text())

# From the bottom up. A part imports only from lower floors, so _client and _engine, which share one, cannot import each other.
# The values on the first floor may.
FLOORS = [
    {
        "errors",
        "failures",
        "job",
        "creation",
        "retry",
        "health",
        "pause",
        "presence",
        "report",
        "run",
        "stats",
        "schedule",
        "statement",
        "why",
        "_version",
    },  # the values that users name
    {"_model"},
    {"_runtime"},
    {"_database"},
    {"_schedules"},
    {"_client", "_engine"},
    {"tasks", "_waits"},
    {"_cron"},
    {"manager", "migrations"},
    {"__init__"},
    # programs, which use only the public names of steve
    {"__main__", "cli", "contrib", "demo", "embedded", "supervisor", "testing"},
]
PROGRAMS = FLOORS[-1]
PUBLIC = {"migrations"}
"""Modules that are public themselves: `from steve import migrations`."""

# Besides steve a part may import the standard library, except these modules ...
FORBIDDEN = {
    "_model": {"threading", "time", "random", "concurrent", "socket", "logging"},
    "_database": {"concurrent"},
    "_client": {"concurrent", "socket"},
}
# ... and these packages.
PACKAGES = {
    "_database": {"psycopg", "psycopg_pool"},
    "_schedules": {"cronsim"},
    "demo": {"psycopg", "rich"},
    "embedded": {"psycopg"},
    "cli": {"psycopg"},
    "contrib": {"click", "django", "flask", "opentelemetry", "prometheus_client", "psycopg", "sentry_sdk", "structlog"},
    "testing": {"psycopg", "pytest", "django"},
}

MOST_LINES, MOST_METHODS, MOST_ARGUMENTS = 200, 15, 6
LARGE = {
    "manager.JobManager": "the front door: a method for each thing that users do, and a keyword for each setting",
    "_model.tuning.Tuning": "a number and what it means, for all parts of the engine, and nothing else",
    "_engine.claim.claimer.Claimer": "claims for its pool, and what the claimers of the other pools ask of it",
    "_engine.upkeep.threads.Threads": "an executor, and how another one takes its place",
    "_engine.work.turns.Turns": "chains and slots are counted together, under one lock",
    "_engine.settle.database.DatabaseSettlement": "all that a settlement takes along: notifications, times, records of runs",
}
"""The classes that may be larger, and why."""


def name_of(file: Path) -> str:
    return ".".join(file.relative_to(STEVE).with_suffix("").parts)


def part_of(module: str) -> str:
    """The module, or the folder, directly under steve/."""
    return module.split(".")[0]


def floor_of(part: str) -> int:
    return next((number for number, floor in enumerate(FLOORS) if part in floor), -1)


def imports_of(file: Path) -> Iterator[str]:
    """The absolute names that a file imports: `steve._model.outcome.judge`, `psycopg.sql`, `os`."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, "a relative import: folders are told apart by absolute ones"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def public_names() -> set[str]:
    imports = [node for node in ast.walk(TITLE) if isinstance(node, ast.ImportFrom) and str(node.module).startswith("steve.")]
    return {alias.asname or alias.name for node in imports for alias in node.names} | {"__version__"}


def faults(file: Path) -> Iterator[str]:
    """What a file imports although it must not."""
    part = part_of(name_of(file))
    floor = floor_of(part)
    for name in imports_of(file):
        top, *inside = name.split(".")
        if top != "steve":
            standard = top in sys.stdlib_module_names and top not in FORBIDDEN.get(part, set())
            if not standard and top not in PACKAGES.get(part, set()):
                yield name
        elif part in PROGRAMS:
            # `from steve import Job`, as any program does, never `from steve.job import Job`. Programs may import each other.
            if inside[0] not in PROGRAMS and not (len(inside) == 1 and inside[0] in public_names() | PUBLIC):
                yield name
        elif inside[0] != part and not 0 <= floor_of(inside[0]) <= floor - (
            inside[0] not in FLOORS[0] or part not in FLOORS[0]
        ):
            yield name


def classes() -> Iterator[tuple[str, ast.ClassDef]]:
    for file in FILES:
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.ClassDef):
                yield f"{name_of(file)}.{node.name}", node


CLASSES = dict(classes())


def methods_of(node: ast.ClassDef) -> list[ast.FunctionDef]:
    return [one for one in node.body if isinstance(one, ast.FunctionDef)]


def sizes(node: ast.ClassDef) -> tuple[int, int, int]:
    """Lines, methods (without the special ones) and the arguments of the constructor (without self)."""
    methods = methods_of(node)
    constructors = [one.args for one in methods if one.name == "__init__"]
    arguments = [len(args.posonlyargs) + len(args.args) + len(args.kwonlyargs) - 1 for args in constructors]
    assert node.end_lineno is not None
    return (
        node.end_lineno - node.lineno + 1,
        len([one for one in methods if not one.name.startswith("__")]),
        max(arguments, default=0),
    )


def test_only_the_manager_knows_what_runs_jobs_for_tests() -> None:
    """`steve._engine.inline` is the one entry of `steve.testing` into the engine, through the manager's attribute `_inline`."""
    users = {name_of(file) for file in FILES for name in imports_of(file) if name.startswith("steve._engine.inline")}
    assert {name for name in users if not name.startswith("_engine.inline")} == {"manager"}
    reached = {name_of(file) for file in FILES if "._inline" in file.read_text()}
    assert {part_of(name) for name in reached} == {"testing"}


def test_every_module_has_its_floor() -> None:
    parts = {part_of(name_of(file)) for file in FILES}
    assert parts - set().union(*FLOORS) == set(), "on no floor"
    assert set().union(*FLOORS) - parts == set(), "on a floor only"


@pytest.mark.parametrize("file", FILES, ids=name_of)
def test_a_module_imports_only_what_its_floor_may(file: Path) -> None:
    assert list(faults(file)) == []


@pytest.mark.parametrize("file", [file for file in FILES if file.stat().st_size], ids=name_of)
def test_a_file_opens_with_what_it_is(file: Path) -> None:
    assert ast.get_docstring(ast.parse(file.read_text())), "no docstring at its head"


@pytest.mark.parametrize(
    "folder", sorted({file.parent for file in FILES} - {STEVE}), ids=lambda path: str(path.relative_to(STEVE))
)
def test_a_folder_says_what_it_is(folder: Path) -> None:
    assert (folder / "__init__.py").stat().st_size, "its __init__.py has no header"


@pytest.mark.parametrize("name", CLASSES)
def test_a_class_stays_small(name: str) -> None:
    lines, methods, arguments = sizes(CLASSES[name])
    if name in LARGE:
        assert lines > MOST_LINES or methods > MOST_METHODS or arguments > MOST_ARGUMENTS, "it is not large any more"
        return
    assert lines <= MOST_LINES
    assert methods <= MOST_METHODS
    assert arguments <= MOST_ARGUMENTS


@pytest.mark.parametrize("name", [name for name in CLASSES if part_of(name) == "_engine"])
def test_a_constructor_of_the_engine_takes_keywords_and_connects_nothing(name: str) -> None:
    for method in methods_of(CLASSES[name]):
        if method.name == "__init__":
            called = {
                node.func.attr
                for node in ast.walk(method)
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
            }
            assert len(method.args.args) - 1 <= 2, "more than two positional arguments"
            assert called.isdisjoint({"call", "execute", "connect", "open"}), "it asks the database"
