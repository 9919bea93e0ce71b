"""steve: background jobs for synchronous Python, kept in the PostgreSQL that an application already has.

Where to read, in the order of a job's life. A job is created: manager.py, _enqueue.py, sql/insert_job.sql. It is claimed:
_claim.py, sql/claim_jobs.sql. It is run: _worker.py, _run.py. What becomes of it: outcome.py, retry.py. That is written down:
_settle.py, sql/settle_jobs.sql. Who wants to know is told: listeners.py. How these are wired, and how they end: _engine.py.
"""

from ._engine import StopReport
from ._grants import grants
from ._health import Health
from ._run import Run, current_run
from ._version import __version__
from .errors import ForkedProcessError, InvalidJob, NotRunning, OutcomeUnknown, SchemaError, Snooze, SteveError, Unavailable
from .job import Attempt, AttemptStatus, Job, NewJob, Status
from .manager import JobManager
from .retry import RetryPolicy

JobManager.__module__ = grants.__module__ = "steve"

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
