"""An environment for each version of Django, with the Python that it needs. They are kept in .cache/ of the checkout."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

from tests.child import ROOT
from tests.environments import made

HOME = Path(os.environ.get("STEVE_TEST_ENVIRONMENTS", ROOT / ".cache"))
"""The mutants' tests, which run on a copy of the checkout, use those of the checkout."""


class Version(NamedTuple):
    django: str
    python: tuple[int, int]
    """The oldest Python that it runs on."""
    packages: tuple[str, ...]


VERSIONS = (
    Version("6.1", (3, 12), ("django>=6.1,<6.2",)),
    Version("6.0", (3, 12), ("django>=6.0,<6.1",)),
    Version("5.2", (3, 11), ("django>=5.2,<5.3", "django-tasks>=0.12")),
)


def environment(version: Version) -> str:
    """The Python of the environment. Skips the test if no Python is new enough."""
    packages = (*version.packages, "psycopg[binary,pool]>=3.2")
    return made(HOME / f"django-tasks-{version.django}", f"Django {version.django}", packages, version.python)
