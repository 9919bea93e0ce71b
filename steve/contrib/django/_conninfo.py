"""Where Django's database is, in libpq's words."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.db import connections
from psycopg import pq
from psycopg.conninfo import make_conninfo


def conninfo(alias: str) -> str:
    """The conninfo of the database with this alias, as it is at present: tests rename the database after everything is
    imported, and a backend may make passwords that expire. Opens no connection. Raises ImproperlyConfigured."""
    connection = connections[alias]
    check_vendor(connection)
    return make_conninfo(**of_libpq(connection.get_connection_params(), connection.settings_dict.get("OPTIONS", {})))


def check_vendor(connection: Any) -> None:
    """Raises ImproperlyConfigured if the database is not PostgreSQL. The vendor says that, for ENGINE may name any backend that
    is built on Django's."""
    if connection.vendor != "postgresql":
        raise ImproperlyConfigured(
            f"DATABASES[{connection.alias!r}] is {connection.vendor}, and steve keeps jobs in PostgreSQL: name the alias of a "
            'PostgreSQL database as STEVE["database"]'
        )


def of_libpq(parameters: dict[str, Any], options: dict[str, Any]) -> dict[str, Any]:
    """Of Django's connection parameters, those that libpq has: the others are for psycopg and Django. `options`: OPTIONS of the
    database, whose role Django assumes after it has connected."""
    keywords = {option.keyword.decode() for option in pq.Conninfo.get_defaults()}
    ours = {name: value for name, value in parameters.items() if name in keywords and value is not None}
    if role := options.get("assume_role"):
        quoted = str(role).replace("\\", "\\\\").replace(" ", "\\ ")
        ours["options"] = f"{ours.get('options', '')} -c role={quoted}".strip()
    return ours
