"""Turns the URI that SQLAlchemy takes into one that libpq takes."""

from __future__ import annotations

import re
from urllib.parse import parse_qsl, quote, unquote, urlencode

import psycopg
from psycopg.conninfo import conninfo_to_dict

NAME = "SQLALCHEMY_DATABASE_URI"


def without_driver(uri: object) -> str:
    """`uri`: a text, or a URL of SQLAlchemy's. Raises TypeError and ValueError, without a word of the password."""
    render = getattr(uri, "render_as_string", None)
    text = render(hide_password=False) if callable(render) else uri
    if not isinstance(text, str):
        raise TypeError(f"{NAME} must be a string or a URL of SQLAlchemy's, not {type(uri).__name__}")
    scheme, found, rest = text.partition("://")
    dialect = scheme.partition("+")[0]
    if not found or dialect not in ("postgresql", "postgres"):
        named = dialect if found else "no dialect"
        raise ValueError(f"{NAME} names {named}, and steve needs PostgreSQL: set STEVE_DATABASE_URI")
    place, _, query = rest.partition("?")
    conninfo = f"postgresql://{_with_login(place)}" + _with_hosts(query)
    try:
        conninfo_to_dict(conninfo)
    except psycopg.ProgrammingError as error:
        unknown = re.search(r'invalid URI query parameter: "(\w+)"', str(error))
        cause = f"libpq has no parameter {unknown[1]!r}" if unknown else "libpq cannot read it"
        raise ValueError(f"{NAME}: {cause}: set STEVE_DATABASE_URI") from None
    return conninfo


def _with_login(place: str) -> str:
    """SQLAlchemy allows a slash in a password; libpq does not."""
    match = re.match(r"([^:/@]*)(?::([^@]*))?@", place)
    if match is None:
        return place
    user, password = (quote(unquote(part), safe="") if part is not None else None for part in match.groups())
    return f"{user}{'' if password is None else f':{password}'}@{place[match.end() :]}"


def _with_hosts(query: str) -> str:
    """SQLAlchemy writes several hosts as host=a:1&host=b:2, and libpq as host=a,b&port=1,2."""
    pairs = parse_qsl(query, keep_blank_values=True)
    hosts = [value for name, value in pairs if name == "host"]
    pairs = [(name, value) for name, value in pairs if name != "host"]
    if any(":" in host for host in hosts):
        parts = [host.rpartition(":") if ":" in host else (host, "", "") for host in hosts]
        pairs += [("host", ",".join(host for host, _, _ in parts)), ("port", ",".join(port for _, _, port in parts))]
    elif hosts:
        pairs.append(("host", ",".join(hosts)))
    return f"?{urlencode(pairs, quote_via=quote)}" if pairs else ""
