"""A reader types the page of Django from its beginning, in an empty folder, and gets what it says."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from psycopg.conninfo import conninfo_to_dict

from steve import embedded
from tests.child import ROOT
from tests.docs.pages import Block, how_to

pytestmark = pytest.mark.timeout(600)  # it builds and installs packages

PAGE = how_to("django")


def commands(block: Block) -> list[str]:
    lines = block.text.splitlines()
    assert all(line.startswith("$ ") for line in lines)
    return [line[2:] for line in lines]


class Typist:
    """One shell, as the reader's: what `activate` sets stays."""

    def __init__(self, folder: Path, environ: dict[str, str]) -> None:
        self.folder = folder
        self._environ = environ
        self._typed: list[str] = []

    def type(self, command: str) -> str:
        """Returns what the command wrote."""
        activate = "" if not (self.folder / ".venv").exists() else ". .venv/bin/activate\n"
        done = subprocess.run(
            ["bash", "-c", activate + command],
            cwd=self.folder,
            env=self._environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=400,
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}"
        return done.stdout

    def save(self, block: Block) -> None:
        if block.end_of:
            with (self.folder / block.end_of).open("a") as file:
                file.write(block.text)
        elif block.file:
            (self.folder / block.file).write_text(block.text)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """steve as it will be published."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(folder), str(ROOT)]
    subprocess.run(command, check=True, capture_output=True, timeout=400)
    (file,) = folder.glob("*.whl")
    return file


@pytest.mark.skipif(shutil.which("bash") is None, reason="the commands are for a shell")
def test_the_commands_of_the_page_do_the_first_job_in_an_empty_folder(
    server: embedded.Server, tmp_path: Path, wheel: Path
) -> None:
    known = conninfo_to_dict(server.conninfo)
    folder = tmp_path / "empty"
    folder.mkdir()
    environ = {
        name: value for name, value in os.environ.items() if not name.startswith(("STEVE", "DJANGO", "PYTHON", "VIRTUAL"))
    }
    environ |= {
        "PATH": os.pathsep.join((str(Path(sys.executable).parent), str(server.bin), os.environ["PATH"])),
        "PGHOST": str(known["host"]),
        "PGPORT": str(known["port"]),
        "PGUSER": str(known["user"]),
        "PIP_FIND_LINKS": f"{wheel.parent} {os.environ.get('PIP_FIND_LINKS', '')}".strip(),
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    }
    typist = Typist(folder, environ)
    written = ""
    for block in PAGE.blocks:
        if block.section == "The first job" and block.language == "console":
            written = "".join(typist.type(command) for command in commands(block))
        else:
            typist.save(block)
    assert "To: ada@example.com" in written
    assert "Hello ada, good to have you." in written
    typist.type("dropdb shop --force")


def test_the_view_of_the_page_and_the_reports_can_be_imported_and_the_options_exist() -> None:
    table = PAGE.table("option")
    options = set(re.findall(r"--[a-z-]+", " ".join(row[0] for row in table)))
    from steve.contrib.django.management.commands.steve import Command

    parser = Command().create_parser("manage.py", "steve")
    helped = parser.parse_args(["worker", "--workers", "2"])
    assert {option[2:].replace("-", "_") for option in options} <= set(vars(helped))
