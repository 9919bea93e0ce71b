"""`manage.py steve worker`, `prune`, `health` and `migrate`."""

from __future__ import annotations

import argparse
import logging
import re
import sys
from datetime import timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import autoreload

from steve import SchemaError, Status, SteveError
from steve.contrib.django import manager
from steve.contrib.django._reload import work_until_reload
from steve.supervisor import Supervisor, is_child, same_command, stop_when_alone

UNITS = {"d": "days", "h": "hours", "m": "minutes", "s": "seconds"}


class Command(BaseCommand):
    help = "Background jobs: run them, delete old ones, ask how they are, and make the tables."

    def add_arguments(self, parser: Any) -> None:
        commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
        _add_worker(commands.add_parser("worker", help="run jobs until SIGTERM or Ctrl-C"))

        prune = commands.add_parser("prune", help="delete jobs that ended long ago")
        prune.add_argument(
            "--older-than", metavar="AGE", type=_age, required=True, help="a number and d, h, m or s: 30d, 12h, 90m, 45s"
        )
        ended = [Status.COMPLETED.value, Status.FAILED.value, Status.CANCELLED.value]
        prune.add_argument("--status", choices=ended, help="only jobs with this status")
        prune.add_argument("--type", help="only jobs of this type")

        commands.add_parser("health", help="ask the database whether it can be reached and has tables that fit")

        migrate = commands.add_parser("migrate", help="apply steve's migrations; `manage.py migrate` does it, too")
        migrate.add_argument(
            "--contract",
            action="store_true",
            help="also apply the migrations that break older versions of steve, once no process runs one any more",
        )
        migrate.add_argument("--dry-run", action="store_true", help="change nothing, print the SQL")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            getattr(self, options["command"])(options)
        except SchemaError as error:
            raise CommandError("\n".join([str(error), *getattr(error, "__notes__", ())])) from error
        except (SteveError, TypeError, ValueError) as error:
            raise CommandError(str(error)) from error

    def worker(self, options: dict[str, Any]) -> None:
        _show_log(options["verbosity"])
        workers = _workers(options)
        if options["processes"] > 1 and not is_child():
            if options["reload"]:
                raise CommandError("--reload is for development, with a single process: leave out --processes")
            code = Supervisor(same_command(), number=options["processes"], stop_timeout=options["stop_timeout"]).run()
        elif options["reload"]:
            autoreload.run_with_reloader(work_until_reload, workers, options["stop_timeout"])
            code = 0
        else:
            stop_when_alone(manager.request_stop)
            report = manager.run(
                workers,
                stop_timeout=options["stop_timeout"],
                max_jobs=options["max_jobs"],
                max_memory=options["max_memory"],
                burst=options["burst"],
                migrate=False,
            )
            code = report.exit_code
        sys.exit(code)

    def prune(self, options: dict[str, Any]) -> None:
        count = manager.prune(older_than=options["older_than"], status=options["status"], type=options["type"])
        self.stdout.write(f"{count:,} jobs deleted")

    def health(self, options: dict[str, Any]) -> None:
        health = manager.check_health()
        for problem in health.problems:
            self.stdout.write(problem)
        if not health.ok:
            sys.exit(1)
        self.stdout.write("ok")

    def migrate(self, options: dict[str, Any]) -> None:
        lines = manager.migrate(contract=options["contract"], dry_run=options["dry_run"])
        for line in lines or ["-- nothing to do"]:
            self.stdout.write(line)


def _show_log(verbosity: int) -> None:
    """Have the worker say what it does, unless the project's LOGGING says where to."""
    logger = logging.getLogger("steve")
    if not logger.hasHandlers() and verbosity > 0:
        handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
        logger.addHandler(handler)
        logger.setLevel(logging.INFO if verbosity == 1 else logging.DEBUG)


def _add_worker(worker: argparse.ArgumentParser) -> None:
    worker.add_argument(
        "--workers", metavar="N", help='how many jobs at a time, or pools: "mail:4;*:2"; default: STEVE["workers"], else 2'
    )
    worker.add_argument("--queues", metavar="Q,...", help="only jobs of these queues; --queues=-Q: of all but Q")
    worker.add_argument(
        "--processes", metavar="N", type=int, default=1, help="so many such processes; one that dies is replaced"
    )
    worker.add_argument("--burst", action="store_true", help="end when no job is due")
    worker.add_argument("--max-jobs", metavar="N", type=int, help="end, with the code 75, after so many jobs")
    worker.add_argument("--max-memory", metavar="MIB", type=float, help="end, with the code 75, with so much memory in use")
    worker.add_argument("--reload", action="store_true", help="for development: begin anew when the code changes")
    worker.add_argument(
        "--stop-timeout", metavar="SECONDS", type=float, default=30.0, help="for how long to wait for handlers; default: 30"
    )


def _workers(options: dict[str, Any]) -> Any:
    """What the manager takes as `workers`. None: what the settings say."""
    workers, queues = options["workers"], options["queues"]
    if workers is not None and workers.isdigit():
        workers = int(workers)
    if queues is None:
        return workers
    if isinstance(workers, str):
        raise CommandError("--workers names the queues of its pools: leave out --queues, or give a number of workers")
    return {queues: 2 if workers is None else workers}


def _age(text: str) -> timedelta:
    match = re.fullmatch("([0-9]{1,9})([dhms])", text)
    if match is None:
        raise argparse.ArgumentTypeError(f"must be a number and d, h, m or s, such as 30d or 12h, not {text!r}")
    return timedelta(**{UNITS[match[2]]: int(match[1])})
