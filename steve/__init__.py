"""steve: background jobs for synchronous Python, kept in the PostgreSQL that an application already has.

Start reading at manager.py, the front door: it holds JobManager, whose methods call _client/ or _engine/. The other files
beside this one hold the public values: job.py (Job, Progress, LogLine, Attempt, NewJob), creation.py (Creation), retry.py
(RetryPolicy), pause.py (Pause), schedule.py (Schedule), run.py (Run: what a handler sees of its own run), report.py
(StopReport, Changed), health.py (Health), presence.py (Process, Pool, RunningJob: what the fleet is at), why.py (Why, Reason),
stats.py (Stats), failures.py (Failures), errors.py, and tasks.py (Task: a function that jobs call); _cron.py is the decorator
`manager.cron`.

A folder imports only from folders named before it in this list, except that _engine/ does not import from _client/:

    _model/       pure rules: what becomes of a job, whether a process is alive, which names, settings and JSON are valid
    _runtime/     what exists once in a process, even with several managers: the logger, random numbers, the hooks for exit
                  and fork
    _database/    everything about PostgreSQL: connections, statements, migrations, rights, the meaning of errors
    _schedules/   what runs on a clock: the ticks of schedules, and how processes fire them
    _client/      what callers ask for: create, find, control, prune, migrate
    _engine/      what works between start() and stop(): wiring.py first, then claim/ work/ settle/ events/
                  records/ figures/ liveness/ upkeep/
    _waits/       wait, wait_all and future: one thread that waits for jobs to end

migrations.py has the migrations as SQL, for other tools. cli/, supervisor.py (keeps worker processes alive), demo/, embedded.py
(a throw-away PostgreSQL) and contrib/ (packages for frameworks) use steve as any other program would. So does testing/, for the
tests of such programs. It has one entry into the engine, `_engine/inline/`, through the manager.
"""

from typing import TYPE_CHECKING, Any

from steve._version import __version__
from steve.creation import Creation
from steve.errors import (
    AlreadyExists,
    Cancel,
    Cancelled,
    Crashed,
    Expired,
    Fail,
    ForkedProcessError,
    InvalidJob,
    JobCancelled,
    JobFailed,
    JobGone,
    LeaseLost,
    NotPossible,
    NotRunning,
    OutcomeUnknown,
    Retry,
    SchemaError,
    Snooze,
    SteveError,
    Stopped,
    TimedOut,
    TimeLimit,
    Unavailable,
)
from steve.failures import Failures
from steve.health import Health
from steve.job import Attempt, AttemptStatus, Job, LogLine, NewJob, Progress, Status
from steve.pause import Pause
from steve.presence import Pool, Process, RunningJob
from steve.report import Changed, StopReport
from steve.retry import RetryPolicy
from steve.run import Run, current_run
from steve.schedule import Schedule
from steve.statement import Statement
from steve.stats import Count, LaneStats, QueueLatency, Stats, Times
from steve.why import Reason, Why

if TYPE_CHECKING:
    from steve._database.grants import grants
    from steve.manager import JobManager
    from steve.tasks import Task

__all__ = [
    "AlreadyExists",
    "Attempt",
    "AttemptStatus",
    "Cancel",
    "Cancelled",
    "Changed",
    "Count",
    "Crashed",
    "Creation",
    "Expired",
    "Fail",
    "Failures",
    "ForkedProcessError",
    "Health",
    "InvalidJob",
    "Job",
    "JobCancelled",
    "JobFailed",
    "JobGone",
    "JobManager",
    "LaneStats",
    "LeaseLost",
    "LogLine",
    "NewJob",
    "NotPossible",
    "NotRunning",
    "OutcomeUnknown",
    "Pause",
    "Pool",
    "Process",
    "Progress",
    "QueueLatency",
    "Reason",
    "Retry",
    "RetryPolicy",
    "Run",
    "RunningJob",
    "Schedule",
    "SchemaError",
    "Snooze",
    "Statement",
    "Stats",
    "Status",
    "SteveError",
    "StopReport",
    "Stopped",
    "Task",
    "TimeLimit",
    "TimedOut",
    "Times",
    "Unavailable",
    "Why",
    "__version__",
    "current_run",
    "grants",
]

_LATER = ("JobManager", "Task", "grants")
"""The names that need psycopg. They are imported when one of them is used first, so that `steve --help` starts at once."""

for _name in __all__:
    if _name != "__version__" and _name not in _LATER:
        globals()[_name].__module__ = "steve"  # so a traceback says steve.InvalidJob, the name that users import

if not TYPE_CHECKING:  # type checkers would take a function of this name to say that any name is there

    def __getattr__(name: str) -> Any:
        if name not in _LATER:
            raise AttributeError(f"module 'steve' has no attribute {name!r}", name=name)
        from steve._database.grants import grants
        from steve.manager import JobManager
        from steve.tasks import Task

        for one in (grants, JobManager, Task):
            one.__module__ = "steve"
            globals()[one.__name__] = one
        return globals()[name]


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
