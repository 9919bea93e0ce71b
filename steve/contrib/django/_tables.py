"""The names of steve's tables, as Django is to write them."""

from __future__ import annotations

from steve.contrib.django import _settings


def table(name: str) -> str:
    """The table with its schema: '"steve"."job"'. Django takes a name that begins and ends with quotes as it is.

    The models and their migration both call this, so that `makemigrations` finds no difference, whatever the schema is.
    """
    schema = _settings.schema().replace('"', '""')
    return f'"{schema}"."{name}"'
