"""Which connection a call uses if the test names none."""

from __future__ import annotations

import sys
from enum import Enum
from typing import Final

from steve import JobManager


class Default(Enum):
    """Stands for "not given", since None is a connection of steve's own."""

    DEFAULT = "the manager's default"

    def __repr__(self) -> str:
        return self.value


DEFAULT: Final = Default.DEFAULT


def connection_for(manager: JobManager, given: object) -> object:
    """The caller's connection, or None for one of steve's own. A manager of steve.contrib.django has an alias: then it is the
    connection that Django uses in this thread, in whose transaction a TestCase has its rows."""
    if given is not DEFAULT:
        return given
    alias = getattr(manager, "alias", None)
    django = sys.modules.get("django.db")
    if isinstance(alias, str) and django is not None:
        connection: object = django.connections[alias]
        return connection
    return None
