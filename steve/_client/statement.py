"""Makes the statement that stores a job, for drivers with which steve sends nothing itself, such as asyncpg."""

from __future__ import annotations

from typing import Any

from steve._client.create import in_ascii
from steve._database.portable import STYLES, as_text
from steve._database.statements import Statements
from steve._database.statements.jobs import Insert
from steve.errors import shown
from steve.statement import Statement


def check_style(paramstyle: object, on_conflict: object) -> str:
    """Returns the paramstyle. Raises TypeError and ValueError."""
    if not isinstance(paramstyle, str):
        raise TypeError(f"paramstyle must be a str, not {paramstyle.__class__.__name__}")
    if paramstyle not in STYLES:
        raise ValueError(f"paramstyle must be one of {', '.join(STYLES)}, not {shown(paramstyle)}")
    if on_conflict != "return":
        raise TypeError(
            f"a statement only stores a job if its key is free, so on_conflict must be 'return', not {shown(on_conflict)}: "
            "whether the statement returned a row tells whether the job was stored"
        )
    return paramstyle


def make_statement(statements: Statements, insert: Insert, wake: bool, style: str) -> Statement:
    makes = statements.jobs if insert.window is None else statements.unique
    text, values = makes.insert_statement(in_ascii(insert), wake, style)
    texts = {name: as_text(values[name]) for name in text.names}
    parameters: Any = list(texts.values()) if style == "numeric_dollar" else texts
    return Statement(text.sql, parameters, insert.uid)
