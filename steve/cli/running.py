"""`run`: the worker that is deployed. It imports a manager, says what it serves, and runs jobs until SIGTERM or Ctrl-C."""

from __future__ import annotations

import argparse
import importlib
import json
import logging
import os
import sys
import traceback
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from steve import __version__
from steve.cli.arguments import count, positive
from steve.cli.command import ERROR, Command, UsageError
from steve.cli.text import escaped
from steve.supervisor import FileWatch, Supervisor, stop_when_alone

if TYPE_CHECKING:
    from steve import JobManager

LEVELS = ("debug", "info", "warning", "error", "critical")
FIELDS = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
"""What every log record has. The rest was given as `extra`."""

logger = logging.getLogger("steve")


def add(commands: Any) -> None:
    run = commands.add_parser(
        "run",
        help="run jobs until SIGTERM or Ctrl-C",
        description="Imports a manager and runs jobs. SIGTERM and Ctrl-C end it after the handlers that run; a second one does "
        "not wait for them. SIGTSTP makes it quiet: it claims no more jobs.",
        epilog="exit codes: 0 ended in order; 1 an error, or handlers did not end in time; 2 cannot start: do not try again; "
        "75 --max-jobs or --max-memory is reached: begin anew.",
    )
    run.add_argument("target", metavar="MODULE:NAME", help="a JobManager, or a function that returns one")
    run.add_argument("--import", metavar="MODULE", action="append", default=[], dest="imports", help="import it, too: handlers")
    run.add_argument("--workers", metavar="N", default="2", help='jobs at a time, or pools: "mail:4;*:2"; default: 2')
    run.add_argument("--processes", metavar="N", type=count, default=1, help="so many processes; one that dies is replaced")
    run.add_argument(
        "--stop-timeout", metavar="SECONDS", type=positive, default=30.0, help="for how long to wait for handlers; default: 30"
    )
    run.add_argument("--max-jobs", metavar="N", type=count, help="end, with the code 75, after so many jobs")
    run.add_argument("--max-memory", metavar="MIB", type=positive, help="end, with the code 75, with so much memory in use")
    run.add_argument("--burst", action="store_true", help="end when no job is due any more")
    run.add_argument(
        "--no-migrate", action="store_false", dest="migrate", help="leave the tables as they are: another role migrates"
    )
    run.add_argument("--reload", action="store_true", help="for development: begin anew when a file under this folder changes")
    run.add_argument("--log-level", choices=LEVELS, default="info", help="default: info")
    run.add_argument("--log-format", choices=("text", "json"), default="text", help="json: an object a line")
    run.set_defaults(run=_run)


def _run(command: Command) -> int:
    options = command.options
    set_up_logging(options.log_level, options.log_format)
    if options.processes > 1 or options.reload:
        has_changed = FileWatch(os.getcwd()) if options.reload else None
        one = worker_command(options)
        return Supervisor(one, number=options.processes, stop_timeout=options.stop_timeout, has_changed=has_changed).run()
    try:
        manager = load(options.target, options.imports)
    except UsageError:
        raise
    except Exception:
        traceback.print_exc()
        return ERROR
    stop_when_alone(manager.request_stop)
    workers = int(options.workers) if options.workers.isdigit() else options.workers
    for line in banner(manager, options):
        logger.info("%s", line)
    report = manager.run(
        workers,
        stop_timeout=options.stop_timeout,
        max_jobs=options.max_jobs,
        max_memory=options.max_memory,
        burst=options.burst,
        migrate=options.migrate,
    )
    return report.exit_code


def worker_command(options: argparse.Namespace) -> list[str]:
    """The command line of one process of several."""
    words = [sys.executable, "-m", "steve", "run", options.target]
    for module in options.imports:
        words += ["--import", module]
    words += ["--workers", options.workers, "--stop-timeout", str(options.stop_timeout)]
    if options.max_jobs is not None:
        words += ["--max-jobs", str(options.max_jobs)]
    if options.max_memory is not None:
        words += ["--max-memory", str(options.max_memory)]
    words += [*(["--burst"] if options.burst else []), *([] if options.migrate else ["--no-migrate"])]
    return [*words, "--log-level", options.log_level, "--log-format", options.log_format]


def load(target: str, imports: list[str]) -> JobManager:
    """The manager that MODULE:NAME names. Raises UsageError if there is none; what the modules raise comes through."""
    from steve import JobManager  # imported here: neither --help nor the parent of several processes needs it

    folder = os.getcwd()
    if folder not in sys.path:
        sys.path.insert(0, folder)
    module_name, colon, name = target.partition(":")
    if not colon or not module_name or not name:
        raise UsageError(f"{target!r} is not MODULE:NAME, such as shop.jobs:manager")
    found: Any = _imported(module_name)
    for part in name.split("."):
        try:
            found = getattr(found, part)
        except AttributeError:
            raise UsageError(f"module {module_name} has no {name!r}") from None
    for other in imports:
        _imported(other)
    if not isinstance(found, JobManager) and callable(found):
        found = found()
    if not isinstance(found, JobManager):
        raise UsageError(f"{target} must be a JobManager or a function that returns one, not {type(found).__name__}")
    return found


def _imported(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise  # a module of theirs lacks another one
        raise UsageError(f"there is no module {name!r} here ({os.getcwd()})") from None


def banner(manager: JobManager, options: argparse.Namespace) -> list[str]:
    """What it serves: a line each."""
    types = ", ".join(manager.types()) or "those of the fallback"
    modules = ", ".join([options.target, *options.imports])
    return [f"steve {__version__}: {escaped(modules)}", f"workers {options.workers}, types {escaped(types)}"]


# -- logs --------------------------------------------------------------------------------------------------------------------


def set_up_logging(level: str, form: str) -> None:
    """Log to stderr, unless the program has said already where to."""
    root = logging.getLogger()
    if root.handlers:
        return
    handler = logging.StreamHandler()
    handler.setFormatter(
        JsonFormatter() if form == "json" else logging.Formatter("%(asctime)s %(process)d %(levelname)s %(name)s: %(message)s")
    )
    root.addHandler(handler)
    root.setLevel(level.upper())


class JsonFormatter(logging.Formatter):
    """An object a line, in ASCII."""

    def format(self, record: logging.LogRecord) -> str:
        fields: dict[str, Any] = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            "process": record.process,
            "thread": record.threadName,
        }
        if record.exc_info:
            fields["exception"] = self.formatException(record.exc_info)
        fields |= {name: value for name, value in vars(record).items() if name not in FIELDS and name not in fields}
        return json.dumps(fields, default=str)
