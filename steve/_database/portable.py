"""steve's statements as every driver can send them: the texts in sql/, which are written for psycopg 3, are rewritten here.

- A parameter is text or null, and is cast twice: `cast(cast(:uid as text) as uuid)`. Drivers adapt values in their own ways,
  and some of them refuse text where PostgreSQL infers another type. The type is the one that follows the parameter in the
  file. A parameter without a type is text.
- A row is one text in JSON. Drivers and applications also differ in what they make of a uuid, a time or an array, and in JSON
  all of these look the same under every setting of the session.
- Placeholders are written as the driver wants them.

A file must therefore begin the list of what it returns with a line that begins with `select` or `returning`, and its `from`
must begin a line too. Lists inside of that are indented. tests/database/test_caller.py sends each such statement.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any, NamedTuple, get_args
from uuid import UUID

from steve._database.literals import text_array
from steve.statement import ParamStyle

STYLES: tuple[str, ...] = get_args(ParamStyle)
"""How placeholders are written: %(name)s, :name or $1."""

_ROW = re.compile(r"^(?:select|returning)\b(?P<list>.*?)(?=^(?:from|where)\b|\Z)", re.MULTILINE | re.DOTALL)
_PARAMETER = re.compile(r"%(?:%|\((?P<name>\w+)\)s(?:::(?P<type>(?:pg_catalog\.)?\w+(?: precision)?(?:\[\])?))?)")

_UIDS = {"uid", "asked", "held", "last"}
_UID_LISTS = {"parts", "passed", "cancelled"}


class Portable(NamedTuple):
    """A statement for one style of placeholders."""

    sql: str
    names: tuple[str, ...]
    """The parameters, in the order of their numbers."""


def portable(statement: str, style: str) -> Portable:
    """The statement for this style of placeholders."""
    names: list[str] = []
    written = []
    end = 0
    for found in _PARAMETER.finditer(statement):
        written.append(_escaped(statement[end : found.start()], style))
        end = found.end()
        name = found["name"]
        if name is None:
            written.append("%%" if style == "pyformat" else "%")
            continue
        if name not in names:
            names.append(name)
        mark = {"pyformat": f"%({name})s", "named": f":{name}"}.get(style, f"${names.index(name) + 1}")
        value = f"cast({mark} as pg_catalog.text)"
        written.append(value if found["type"] in (None, "pg_catalog.text") else f"cast({value} as {found['type']})")
    written.append(_escaped(statement[end:], style))
    return Portable("".join(written), tuple(names))


def with_json_rows(text: str) -> str:
    """The text of a file, changed so that the statement returns each row as one text."""
    *_, last = _ROW.finditer(text)
    row = f"(select pg_catalog.row_to_json(answer)::pg_catalog.text from (select {last['list'].strip()}) as answer)\n"
    return text[: last.start("list")] + f" {row}" + text[last.end() :]


def _escaped(text: str, style: str) -> str:
    if style == "pyformat":
        return text.replace("%", "%%")
    # SQLAlchemy's text() takes a colon for the beginning of a parameter, unless there are two of them or a backslash before it.
    return re.sub("(?<!:):(?!:)", r"\\:", text) if style == "named" else text


def as_text(value: object) -> str | None:
    """A parameter as text that PostgreSQL casts to its type, under all settings of a session."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime):
        return value.isoformat(" ")
    if isinstance(value, timedelta):
        return f"{value // timedelta(microseconds=1)} microseconds"
    return text_array(value) if isinstance(value, list) else str(value)


def row_of(text: str) -> tuple[Any, ...]:
    """The values of a row, as psycopg 3 would have returned them. Their kinds follow from the names of the columns."""
    row: tuple[Any, ...] = json.loads(text, object_pairs_hook=_values)
    return row


def _values(pairs: list[tuple[str, Any]]) -> tuple[Any, ...]:
    return tuple([value if value is None else _kind(name)(value) for name, value in pairs])


@lru_cache(maxsize=1_000)
def _kind(name: str) -> Callable[[Any], Any]:
    if name in _UIDS:
        return UUID
    if name in _UID_LISTS:
        return lambda uids: [UUID(uid) for uid in uids]
    if name.endswith("_at"):
        return datetime.fromisoformat
    return float if name == "timeout" else _unchanged


def _unchanged(value: Any) -> Any:
    return value
