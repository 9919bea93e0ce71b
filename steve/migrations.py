"""The migrations as SQL, for tools that apply migrations themselves, such as Django and Alembic.

`JobManager.migrate` applies them without any such tool, and both ways may be used side by side: each records in the table
`migration` what it has applied, and passes by what is recorded.
"""

from __future__ import annotations

from steve._database import migrations as _migrations
from steve._model.names import check_schema


def names(*, contract: bool = False) -> list[str]:
    """The names of the migrations that this version has, in order. `contract`: also of those that break older versions."""
    return [one.name for one in _migrations.load() if contract or one.kind == "expand"]


def sql(name: str | None = None, *, schema: str = "steve") -> str:
    """One statement that applies the migration `name` in the schema, which it creates if need be. None: all that older versions
    bear, in order. It changes nothing where they are applied already, and fails if one was applied with another text.

    It may run in a transaction, on any driver, without parameters. Raises ValueError for a name that this version does not
    have, and TypeError and ValueError for a schema that cannot be.
    """
    check_schema(schema)
    chosen = [one for one in _migrations.load() if (one.kind == "expand" if name is None else one.name == name)]
    if not chosen:
        raise ValueError(f"there is no migration {name!r}: there are {', '.join(names(contract=True))}")
    return _migrations.as_one_statement(chosen, schema)
