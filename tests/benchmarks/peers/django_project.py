"""The project of the peers that are backends of Django's tasks."""

from __future__ import annotations

import os
from typing import Any


def set_up(backend: dict[str, Any], apps: list[str], **settings: Any) -> None:
    """Have Django use this backend, on the database that libpq's variables name. Connections stay open."""
    import django
    from django.conf import settings as of_django

    of_django.configure(
        DATABASES={
            "default": {
                "ENGINE": "django.db.backends.postgresql",
                "NAME": os.environ["PGDATABASE"],  # libpq's variables name the rest
                "CONN_MAX_AGE": None,
            }
        },
        INSTALLED_APPS=apps,
        TASKS={"default": backend},
        USE_TZ=True,
        LOGGING_CONFIG=None,
        **settings,
    )
    django.setup()
