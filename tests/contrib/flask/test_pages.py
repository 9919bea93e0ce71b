"""A reader types the pages of Flask, FastAPI and Alembic from their beginnings, in empty folders, and gets what they say."""

import json
import os
import re
import shutil
import subprocess
import sys
import urllib.request
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from steve import embedded
from steve.contrib.flask._commands import worker
from steve.contrib.flask._settings import OF_MANAGER, OURS
from tests.conftest import until
from tests.contrib.django.test_page import Typist, commands, wheel
from tests.contrib.django.test_processes import get
from tests.docs.pages import Page, how_to
from tests.ports import free_port

__all__ = ["wheel"]

pytestmark = [
    pytest.mark.skipif(shutil.which("bash") is None, reason="the commands are for a shell"),
    pytest.mark.timeout(600),  # it installs packages
]


MAKE = "python3 -m venv .venv"


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What each page's first command makes: one for all, so that packages are installed once."""
    folder = tmp_path_factory.mktemp("environment")
    subprocess.run(["bash", "-c", MAKE], cwd=folder, check=True, timeout=400)
    return folder / ".venv"


@pytest.fixture
def typist(server: embedded.Server, tmp_path: Path, wheel: Path, environment: Path) -> Typist:
    known = conninfo_to_dict(server.conninfo)
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / ".venv").symlink_to(environment)
    names = ("STEVE", "FLASK", "PYTHON", "VIRTUAL", "COVERAGE")
    environ = {name: value for name, value in os.environ.items() if not name.startswith(names)}
    environ |= {
        "PATH": os.pathsep.join((str(Path(sys.executable).parent), str(server.bin), os.environ["PATH"])),
        "PGHOST": str(known["host"]),
        "PGPORT": str(known["port"]),
        "PGUSER": str(known["user"]),
        "PIP_FIND_LINKS": f"{wheel.parent} {os.environ.get('PIP_FIND_LINKS', '')}".strip(),
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    }
    environ.pop("PIP_PRE", None)
    return Typist(tmp_path / "empty", environ)


def type_page(typist: Typist, page: Page, section: str, until_command: str = "") -> str:
    """Types the section's commands up to that one, and saves its files. Returns what the last block wrote."""
    written = ""
    for block in page.blocks:
        if block.section == section and block.language == "console":
            typed = [one for one in commands(block) if one != MAKE and not (until_command and one.startswith(until_command))]
            written = "".join(typist.type(command) for command in typed)
        elif block.section == section:
            if block.file:
                (typist.folder / block.file).parent.mkdir(parents=True, exist_ok=True)
            typist.save(block)
    return written


def test_the_page_of_flask_does_the_first_job(typist: Typist) -> None:
    page = how_to("flask")
    assert "Welcome, ada@example.com!" in type_page(typist, page, "The first job")
    assert typist.type("flask --app shop steve health") == "ok\n"
    typist.type("dropdb shop --force")


def test_the_page_of_fastapi_serves(typist: Typist, server: embedded.Server) -> None:
    page, port = how_to("fastapi"), free_port()
    type_page(typist, page, "Use steve in FastAPI", until_command="uvicorn")
    (command,) = [
        one for block in page.blocks if block.language == "console" for one in commands(block) if "uvicorn api" in one
    ]
    file = typist.folder / "jobs.py"
    socket = f"postgresql:///shop?host={typist._environ['PGHOST']}"
    file.write_text(file.read_text().replace("postgresql://localhost/shop", socket))
    shell = f". .venv/bin/activate\nexec {command} --port {port}"
    with (typist.folder / "log").open("w") as log:
        web = subprocess.Popen(
            ["bash", "-c", shell], cwd=typist.folder, env=typist._environ, stdout=log, stderr=subprocess.STDOUT, text=True
        )
    try:
        base = f"http://127.0.0.1:{port}"
        until(lambda: get(f"{base}/jobs/0198f000-0000-7000-8000-000000000000"), timeout=60)
        request = urllib.request.Request(f"{base}/quotes/ada", method="POST")
        assert json.load(urllib.request.urlopen(request, timeout=60)) == {"price": 21}
        request = urllib.request.Request(f"{base}/signup?email=ada@example.com", method="POST")
        job = json.load(urllib.request.urlopen(request, timeout=60))["job"]
        until(lambda: get(f"{base}/jobs/{job}") == {"status": "completed"})
        assert "mail to ada@example.com" in (typist.folder / "log").read_text()
        web.terminate()
        web.wait(30)
    finally:
        web.kill()
        web.wait()
    typist.type("dropdb shop --force")


def test_the_page_of_alembic_makes_the_tables_and_leaves_them_alone(typist: Typist, server: embedded.Server) -> None:
    written = type_page(typist, how_to("alembic"), "Use steve with Alembic")
    assert "No new upgrade operations detected." in written
    assert written.endswith("-- nothing to do\n")
    (made,) = (typist.folder / "migrations" / "versions").glob("*_orders.py")
    assert "create_table('orders'" in made.read_text()
    assert "steve" not in made.read_text().replace("0001_steve", "")
    with psycopg.connect(make_conninfo(server.conninfo, dbname="shop")) as connection:
        assert connection.execute("select to_regclass('steve.job'), to_regclass('orders')").fetchone() == (
            "steve.job",
            "orders",
        )
    typist.type("dropdb shop --force")


def test_the_tables_of_the_page_name_what_there_is() -> None:
    page = how_to("flask")
    options = set(re.findall(r"--[a-z-]+", " ".join(row[0] for row in page.table("option"))))
    assert options == {name for parameter in worker.params for name in parameter.opts}
    named = set(re.findall(r"STEVE_\w+", " ".join(row[0] for row in page.table("key"))))
    assert named <= {f"STEVE_{name.upper()}" for name in (*OURS, *OF_MANAGER)}
    assert {f"STEVE_{name}" for name in OURS} <= named
