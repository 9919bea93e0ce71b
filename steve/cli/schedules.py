"""`schedules list`, `pause`, `resume`, `run-now`, `next`."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from steve import Schedule
from steve.cli.arguments import count
from steve.cli.command import DONE, NOTHING_FOUND, Command, add_parser
from steve.cli.jobs import JOB_COLUMNS, row_of
from steve.cli.output import Column, plain


def local(at: datetime) -> str:
    """A time in the schedule's own zone, with its offset."""
    return at.strftime("%Y-%m-%d %H:%M:%S%z")


COLUMNS = [
    Column("name"),
    Column("when"),
    Column("timezone"),
    Column("type"),
    Column("stored", in_table=False),
    Column("paused_at", lambda at: "paused" if at else "-"),
    Column("last_run", local, is_whole=True),
    Column("last_status"),
    Column("last_job", in_table=False),
    Column("next_run", local, is_whole=True),
]
TICK_COLUMNS = [Column("schedule"), Column("at", local, is_whole=True)]


def add(commands: Any) -> None:
    group = add_parser(commands, "schedules", "list schedules, pause, resume and run them")
    group.set_defaults(run=_list)
    schedules = group.add_subparsers(title="commands", metavar="COMMAND")
    add_parser(schedules, "list", "list the schedules, with their last and next runs").set_defaults(run=_list)
    for name, help, run in (
        ("pause", "fire no tick of a schedule until it is resumed", _pause),
        ("resume", "fire the ticks of a schedule again", _resume),
        ("run-now", "create a job of a schedule now", _run_now),
        ("next", "list the next ticks of a schedule", _next),
    ):
        parser = add_parser(schedules, name, help)
        parser.add_argument("name", metavar="NAME")
        parser.set_defaults(run=run)
        if name == "next":
            parser.add_argument("--count", metavar="N", type=count, default=5, help="default: 5")


def row_of_schedule(schedule: Schedule) -> dict[str, Any]:
    row = {column.name: getattr(schedule, column.name, None) for column in COLUMNS}
    return row | {"when": schedule.cron or f"every {plain(schedule.every)}"}


def _list(command: Command) -> int:
    with command.manager() as manager:
        return command.found(COLUMNS, map(row_of_schedule, manager.schedules()), "there are no schedules")


def _pause(command: Command) -> int:
    with command.manager() as manager:
        schedule = manager.pause_schedule(command.options.name)
    command.output.rows(COLUMNS, [row_of_schedule(schedule)])
    return DONE


def _resume(command: Command) -> int:
    with command.manager() as manager:
        schedule = manager.resume_schedule(command.options.name)
    command.output.rows(COLUMNS, [row_of_schedule(schedule)])
    return DONE


def _run_now(command: Command) -> int:
    with command.manager() as manager:
        job = manager.run_now(command.options.name)
    command.output.rows(JOB_COLUMNS, [row_of(job)])
    return DONE


def _next(command: Command) -> int:
    name = command.options.name
    with command.manager() as manager:
        found = [schedule for schedule in manager.schedules() if schedule.name == name]
    if not found:
        command.output.rows(TICK_COLUMNS, [])
        command.output.say(f"there is no schedule {name!r}")
        return NOTHING_FOUND
    ticks = found[0].next_runs(command.options.count)
    return command.found(TICK_COLUMNS, [{"schedule": name, "at": tick} for tick in ticks], "it has no further tick")
