"""Checks the names of schemas, roles, types and queues."""

from __future__ import annotations

from collections.abc import Iterable

from steve.errors import shown


def check_schema(schema: object) -> str:
    """Returns the name. Raises TypeError or ValueError if it cannot be the name of a PostgreSQL schema."""
    name = check_identifier("schema", schema)
    if name.startswith("pg_"):
        raise ValueError(f'schema must not begin with "pg_", which PostgreSQL keeps for itself: {name!r}')
    return name


def check_identifier(what: str, name: object) -> str:
    """Returns the name. Raises TypeError or ValueError if PostgreSQL would change it. `what`: the word for it in errors."""
    if not isinstance(name, str):
        raise TypeError(f"{what} must be a str, not {type(name).__name__}")
    if "\x00" in name or any("\ud800" <= c <= "\udfff" for c in name):
        raise ValueError(f"{what} contains a NUL character or a lone surrogate")
    if not 1 <= len(name.encode()) <= 63:
        raise ValueError(f"{what} must be 1 to 63 bytes of UTF-8, not {len(name.encode())}: PostgreSQL would cut it off")
    return name


def name_flaw(name: object) -> str | None:
    """What is wrong with the name of a type or a queue, as the end of a sentence. None: nothing is wrong."""
    if not isinstance(name, str):
        return f"must be a str, not {type(name).__name__}"
    if not 1 <= len(name) <= 255:
        return f"must have 1 to 255 characters, not {len(name)}"
    if not name.isprintable() and any(c < " " or "\x7f" <= c <= "\x9f" or "\ud800" <= c <= "\udfff" for c in name):
        return f"must not contain control characters or lone surrogates: {shown(name)}"
    if name.strip() != name:
        return f"must not begin or end with a blank: {shown(name)}"
    return None


def check_name(what: str, name: object) -> str:
    """Returns the name of a type or a queue. Raises TypeError or ValueError. `what`: the word for it in errors."""
    if flaw := name_flaw(name):
        raise (ValueError if isinstance(name, str) else TypeError)(f"{what} {flaw}")
    assert isinstance(name, str)
    return str.__str__(name)  # not str(): for a str that is an Enum, it may return another text


def check_types(what: str, types: str | Iterable[str] | None) -> frozenset[str] | None:
    """Returns the types as a set; None: all types. Raises TypeError or ValueError. `what`: the word for a type in errors."""
    if types is None:
        return None
    names = frozenset([types] if isinstance(types, str) else types)
    for name in names:
        check_name(what, name)
    return names
