"""The project in project/, with a database of its own, as processes."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from psycopg.conninfo import conninfo_to_dict

from steve import JobManager
from tests.child import ROOT
from tests.contrib.django.projects import Project, database

HOME = Path(__file__).parent / "project"


def uri_of(conninfo: str, driver: str = "psycopg") -> str:
    """As SQLAlchemy takes it."""
    parts = conninfo_to_dict(conninfo)
    user, password = quote(str(parts.pop("user")), safe=""), quote(str(parts.pop("password", "")), safe="")
    parts.pop("application_name", None)
    login = f"{user}:{password}" if password else user
    return f"postgresql+{driver}://{login}@/{parts.pop('dbname')}?{urlencode(parts, quote_via=quote)}"


class FlaskProject(Project):
    def environ(self, **settings: Any) -> dict[str, str]:
        own = {
            "SHOP_URI": uri_of(self.conninfo),
            "PYTHONPATH": os.pathsep.join((str(self.home), str(ROOT))),
            "PYTHONUNBUFFERED": "1",
            **{f"SHOP_CONFIG_{name}": json.dumps(value) for name, value in {**self.settings, **settings}.items()},
        }
        return os.environ | own


@contextmanager
def project(url: str) -> Iterator[FlaskProject]:
    with database(url) as conninfo:
        one = FlaskProject(conninfo, home=HOME)
        try:
            one.execute("create table shop_order (id serial primary key, name text not null, shipped integer not null)")
            JobManager(conninfo).migrate()
            yield one
        finally:
            one.end()
