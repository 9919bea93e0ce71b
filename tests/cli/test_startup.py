"""What starts at once does so because it imports little."""

import subprocess
import sys

import pytest

PROGRAM = """
import sys
{program}
print(*(name for name in sys.modules if name in ("psycopg", "steve.manager", "steve._engine.engine")))
"""


def imported_by(program: str) -> list[str]:
    done = subprocess.run([sys.executable, "-c", PROGRAM.format(program=program)], capture_output=True, text=True, check=True)
    return done.stdout.splitlines()[-1].split()


@pytest.mark.parametrize(
    "words", [["--help"], ["jobs", "retry", "--help"], ["completion", "words", "--", "jobs", ""]], ids=" ".join
)
def test_help_and_completion_import_neither_psycopg_nor_the_manager(words: list[str]) -> None:
    assert imported_by(f"from steve.cli import main\ntry: main({words})\nexcept SystemExit: pass") == []


def test_a_manager_that_is_not_started_imports_no_engine() -> None:
    assert imported_by("from steve import JobManager; JobManager('host=nowhere').health()") == ["psycopg", "steve.manager"]


def test_all_public_names_are_there_before_they_are_used_first() -> None:
    assert imported_by("import steve; assert set(steve.__all__) <= set(dir(steve))") == []
    assert "steve.manager" in imported_by("from steve import *; JobManager, Task, grants")
