"""Has Django's test runner run the cases of the project on each version of Django."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from tests.child import ROOT
from tests.contrib.django_tasks.environments import VERSIONS, Version, environment

PROJECT = Path(__file__).parent / "project"
LIBPQ = {"host": "PGHOST", "port": "PGPORT", "user": "PGUSER", "password": "PGPASSWORD"}


@pytest.fixture
def environ(database_url: str) -> Iterator[dict[str, str]]:
    """Variables for the project, which has a database of its own."""
    name = f"shop_{uuid4().hex[:12]}"
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(sql.SQL("create database {}").format(sql.Identifier(name)))
        given = conninfo_to_dict(database_url)
        variables = {variable: str(given[word]) for word, variable in LIBPQ.items() if word in given}
        path = os.pathsep.join([str(PROJECT), str(ROOT)])
        yield os.environ | variables | {"SHOP_DATABASE": name, "DJANGO_SETTINGS_MODULE": "settings", "PYTHONPATH": path}
        connection.execute(sql.SQL("drop database {} with (force)").format(sql.Identifier(name)))


@pytest.mark.timeout(600)
@pytest.mark.parametrize("version", VERSIONS, ids=[version.django for version in VERSIONS])
def test_the_cases_hold(version: Version, environ: dict[str, str]) -> None:
    done = subprocess.run(
        [environment(version), "-W", "error::ResourceWarning", "-m", "django", "test", "--keepdb", "--noinput", "cases"],
        cwd=PROJECT, env=environ, capture_output=True, text=True, timeout=590,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-2_000:] + done.stderr[-20_000:]
