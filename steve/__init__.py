"""steve: background jobs for synchronous Python, kept in the PostgreSQL that an application already has.

Where to read. The values that users name are the files beside this one. The rest, in the order in which each builds on the one
before:

    _model/       the rules, pure: what becomes of a job (outcome.py), who is alive (process.py), names, JSON, settings
    _runtime/     what a process has once: its log, its source of chance, its exit, its forks
    _database/    the only SQL: connections, statements and their files, migrations, rights, failures
    _client/      what callers ask: create, find, prune, migrate
    _engine/      what works between start() and stop(): wiring.py first, then claim/ work/ settle/ events/ liveness/ upkeep/
    manager.py    JobManager, the front door
    cli.py demo/ embedded.py    programs that use steve as any other would
"""

from steve._database.grants import grants
from steve._version import __version__
from steve.errors import (
    ForkedProcessError,
    InvalidJob,
    NotRunning,
    OutcomeUnknown,
    SchemaError,
    Snooze,
    SteveError,
    Unavailable,
)
from steve.health import Health
from steve.job import Attempt, AttemptStatus, Job, NewJob, Status
from steve.manager import JobManager
from steve.report import StopReport
from steve.retry import RetryPolicy
from steve.run import Run, current_run

__all__ = [
    "Attempt",
    "AttemptStatus",
    "ForkedProcessError",
    "Health",
    "InvalidJob",
    "Job",
    "JobManager",
    "NewJob",
    "NotRunning",
    "OutcomeUnknown",
    "RetryPolicy",
    "Run",
    "SchemaError",
    "Snooze",
    "Status",
    "SteveError",
    "StopReport",
    "Unavailable",
    "__version__",
    "current_run",
    "grants",
]

for _name in __all__:
    if _name != "__version__":
        globals()[_name].__module__ = "steve"  # a traceback says steve.InvalidJob, the name that users import
