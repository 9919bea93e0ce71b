"""`flask steve worker`, `migrate`, `prune` and `health`."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import click
from flask import current_app
from flask.cli import AppGroup

from steve import Status, SteveError
from steve.contrib.flask import _settings
from steve.contrib.flask._manager import FlaskManager
from steve.supervisor import FileWatch, Supervisor, is_child, same_command, stop_when_alone

commands = AppGroup("steve", help="Background jobs: run them, delete old ones, ask how they are, and make the tables.")


def _age(context: click.Context, parameter: click.Parameter, text: str) -> timedelta:
    try:
        return _settings.age(text)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


@contextmanager
def _manager() -> Iterator[FlaskManager]:
    """The app's. Errors become a line."""
    try:
        yield current_app.extensions["steve"]
    except (SteveError, TypeError, ValueError) as error:
        raise click.ClickException("\n".join([str(error), *getattr(error, "__notes__", ())])) from error


@commands.command("worker", help="Run jobs until SIGTERM or Ctrl-C.")
@click.option("--workers", metavar="N", help='How many jobs at a time, or pools: "mail:4;*:2"; otherwise STEVE_WORKERS, or 2.')
@click.option("--queues", metavar="Q,...", help="Only jobs of these queues; --queues=-Q: of all but Q.")
@click.option(
    "--processes", metavar="N", type=click.IntRange(1), default=1, help="So many processes; one that dies is replaced."
)
@click.option("--burst", is_flag=True, help="End when no job is due.")
@click.option("--max-jobs", metavar="N", type=int, help="End, with the code 75, after so many jobs.")
@click.option("--max-memory", metavar="MIB", type=float, help="End, with the code 75, with so much memory in use.")
@click.option("--reload", is_flag=True, help="For development: begin anew when a Python file under this folder changes.")
@click.option(
    "--stop-timeout", metavar="SECONDS", type=float, default=30.0, show_default=True, help="How long to wait for handlers."
)
def worker(workers: str | None, queues: str | None, processes: int, reload: bool, **options: Any) -> None:
    _show_log()
    with _manager() as manager:
        chosen = _workers(workers, queues)
        if (processes > 1 or reload) and not is_child():
            watch = FileWatch(Path.cwd()) if reload else None
            timeout = options["stop_timeout"]
            code = Supervisor(same_command(), number=processes, stop_timeout=timeout, has_changed=watch).run()
        else:
            stop_when_alone(manager.request_stop)
            code = manager.run(chosen, **options).exit_code
    sys.exit(code)


@commands.command("migrate", help="Create the tables, or bring them up to date.")
@click.option(
    "--contract", is_flag=True, help="Also apply what breaks older versions of steve, once no process runs one any more."
)
@click.option("--dry-run", is_flag=True, help="Change nothing, print the SQL.")
def migrate(contract: bool, dry_run: bool) -> None:
    with _manager() as manager:
        lines = manager.migrate(contract=contract, dry_run=dry_run)
    for line in lines or ["-- nothing to do"]:
        click.echo(line)


@commands.command("prune", help="Delete jobs that ended long ago.")
@click.option(
    "--older-than", metavar="AGE", callback=_age, required=True, help="A number and d, h, m or s: 30d, 12h, 90m, 45s."
)
@click.option(
    "--status",
    type=click.Choice([Status.COMPLETED.value, Status.FAILED.value, Status.CANCELLED.value]),
    help="Only jobs with this status.",
)
@click.option("--type", help="Only jobs of this type.")
def prune(older_than: timedelta, status: str | None, type: str | None) -> None:
    with _manager() as manager:
        count = manager.prune(older_than=older_than, status=status, type=type)
    click.echo(f"{count:,} jobs deleted")


@commands.command("health", help="Ask the database whether it can be reached and has tables that fit.")
def health() -> None:
    with _manager() as manager:
        found = manager.check_health()
    for problem in found.problems:
        click.echo(problem)
    if not found.ok:
        sys.exit(1)
    click.echo("ok")


def _workers(workers: str | None, queues: str | None) -> Any:
    """What the manager takes as `workers`. None: what the config says."""
    number = int(workers) if workers is not None and workers.isdigit() else workers
    if queues is None:
        return number
    if isinstance(number, str):
        raise click.UsageError("--workers names the queues of its pools: leave out --queues, or give a number of workers")
    return {queues: 2 if number is None else number}


def _show_log() -> None:
    """Have the worker say what it does, unless the program's logging says where to."""
    logger = logging.getLogger("steve")
    if not logger.hasHandlers():
        handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
        logger.addHandler(handler)
        logger.setLevel(logging.INFO)
