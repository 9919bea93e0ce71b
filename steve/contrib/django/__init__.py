"""steve as an app of Django: put "steve.contrib.django" into INSTALLED_APPS.

    from steve.contrib.django import manager

    @manager.handler("welcome")
    def welcome(job): ...

`manager` may be imported anywhere, also before Django is set up: the manager behind it is made when it is first used
(_managers.py). apps.py has the AppConfig, _settings.py reads the setting STEVE, _conninfo.py asks Django where its database is,
_around.py does around each job what Django does around a request. _schema.py makes the tables, models.py and admin.py show the
jobs, _checks.py warns, _teardown.py ends what is open when a test's database is dropped, and management/ has `manage.py steve`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from steve.contrib.django import _checks
from steve.contrib.django._managers import Lazy, manager_for

_checks.register()

if TYPE_CHECKING:
    from steve import JobManager

    manager: JobManager
else:
    manager = Lazy()

__all__ = ["manager", "manager_for"]
