"""The layers of steve/: imports point one way, and every file says what it is. Read from the source, nothing is run."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

STEVE = Path(__file__).parent.parent / "steve"

# From the bottom up: a module imports from its own layer and from those before it.
LAYERS = {
    "values": {"errors", "job", "retry", "outcome", "settings", "_json", "_version"},
    "process": {"_log", "_chance", "_exit", "_fork"},
    "database": {"_hints", "_ask", "_store", "_processes", "_literals", "_connection", "_grants", "migrations"},
    "rooms": {
        *("handlers", "listeners", "_enqueue", "_claim", "_run", "_settle", "_worker", "_notifier", "_heartbeat", "_rescue"),
        *("_maintenance", "_outage", "_brake", "_pace", "_marks", "_announce", "_lookup", "_prune", "_registers", "_health"),
        *("_reconcile", "_lost", "_settlement"),
    },
    "front": {"manager", "_engine", "_alive", "_pool", "_calls", "_create", "_watchdog", "_threads"},
    "title": {"__init__"},
    "users": {"__main__", "cli", "demo", "embedded"},
}

# What a layer imports from elsewhere: the standard library but for these ...
FORBIDDEN = {
    "values": {"threading", "time", "random", "concurrent", "socket", "logging"},
    "database": {"threading", "concurrent"},
    "rooms": {"concurrent"},
}
# ... and these.
PACKAGES = {
    "database": {"psycopg"},
    "front": {"psycopg", "psycopg_pool"},
    "users": {"psycopg", "rich"},
}

TITLE = ast.parse((STEVE / "__init__.py").read_text())
FILES = sorted(STEVE.rglob("*.py"))


def module_of(file: Path) -> str:
    """The module, or the package, directly under steve/ that a file belongs to."""
    return file.relative_to(STEVE).parts[0].removesuffix(".py")


def layer_of(module: str) -> str:
    return next((layer for layer, modules in LAYERS.items() if module in modules), "none")


def imports_of(file: Path) -> Iterator[str]:
    """The absolute names that a file imports: `steve._database.statements.store.Store`, `psycopg.sql`, `os`."""
    package = ["steve", *file.relative_to(STEVE).parent.parts]
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            origin = [*above, *([node.module] if node.module else [])]
            yield from (".".join([*origin, alias.name]) for alias in node.names)


def public_names() -> list[list[str]]:
    names = [alias.asname or alias.name for node in ast.walk(TITLE) if isinstance(node, ast.ImportFrom) for alias in node.names]
    return [[name] for name in (*names, "__version__")]


def faults(file: Path) -> Iterator[str]:
    """What a file imports and must not."""
    module = module_of(file)
    layer = layer_of(module)
    below = set().union(*list(LAYERS.values())[: list(LAYERS).index(layer) + 1])
    for name in imports_of(file):
        top, *inside = name.split(".")
        if top != "steve":
            stdlib = top in sys.stdlib_module_names and top not in FORBIDDEN.get(layer, set())
            if not stdlib and top not in PACKAGES.get(layer, set()):
                yield name
        elif layer == "users":
            # As any program would: `from steve import Job`, never `from steve.job import Job`. And one another.
            if inside[0] not in LAYERS["users"] and inside not in public_names():
                yield name
        elif inside[0] not in below:
            yield name


def test_every_module_has_its_place_in_the_table() -> None:
    modules = {module_of(file) for file in FILES}
    table = set().union(*LAYERS.values())
    assert modules - table == set(), "not in the table"
    assert table - modules == set(), "in the table only"


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(STEVE)))
def test_a_module_imports_only_what_its_layer_may(file: Path) -> None:
    assert list(faults(file)) == []


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(STEVE)))
def test_a_file_opens_with_what_it_is(file: Path) -> None:
    source = file.read_text()
    assert ast.get_docstring(ast.parse(source)), "no docstring at its head"
