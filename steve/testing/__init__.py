"""For the tests of programs that use steve. Everything runs real SQL on a real PostgreSQL.

    drain            runs the jobs that are due on the calling thread, in the caller's transaction if wanted
    perform          calls one handler as a worker would, without a database
    enqueued, assert_enqueued, refute_enqueued
                     which jobs were created
    crash_point      kills the process at a moment at which a machine may fail
    clear            deletes all jobs

django.py has a mixin for Django's test cases, and plugin.py is the plugin for pytest. Neither is imported from here.

The functions of this package use public names of steve, and one entry that is there for them alone: the attribute `_inline` of
a manager (steve/_engine/inline/).
"""

from steve.testing.crashes import CrashPoint, crash_point
from steve.testing.drains import DrainLimitExceeded, Ran, clear, drain
from steve.testing.enqueues import assert_enqueued, enqueued, refute_enqueued
from steve.testing.performs import perform

__all__ = [
    "CrashPoint",
    "DrainLimitExceeded",
    "Ran",
    "assert_enqueued",
    "clear",
    "crash_point",
    "drain",
    "enqueued",
    "perform",
    "refute_enqueued",
]

for _name in __all__:
    if hasattr(globals()[_name], "__module__"):
        globals()[_name].__module__ = "steve.testing"  # the name that users import
