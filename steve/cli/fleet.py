"""How everything is: `status`, `queues`, `processes`, `check`; and the pauses of queues."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from functools import reduce
from typing import TYPE_CHECKING, Any

from steve import LaneStats, Pause, Process, Stats
from steve.cli.arguments import age, moment, natural
from steve.cli.command import DONE, NOT_MET, Command, UsageError, add_parser
from steve.cli.output import Column, dumped, plain
from steve.cli.text import cut, duration, escaped, time_text

if TYPE_CHECKING:
    from steve import JobManager

LANE_COLUMNS = [
    Column("queue"),
    Column("type"),
    Column("pending", is_number=True),
    Column("running", is_number=True),
    Column("lag", duration, is_number=True),
    Column("completed", is_number=True),
    Column("failed", is_number=True),
    Column("cancelled", is_number=True, in_table=False),
    Column("retried", is_number=True, in_table=False),
    Column("crashed", is_number=True, in_table=False),
    Column("run_p95", duration, is_number=True),
    Column("run_p50", duration, is_number=True),
    Column("wait_p95", duration, is_number=True, in_table=False),
]
STATUS_COLUMNS = [
    Column("at"),
    Column("since"),
    *(column for column in LANE_COLUMNS if column.name not in ("queue", "type")),
    Column("per_minute"),
    Column("processes"),
    Column("dead_processes"),
    Column("workers"),
    Column("busy"),
    Column("problems"),
    Column("pauses"),
    Column("lanes"),
]
QUEUE_COLUMNS = [
    Column("queue"),
    Column("pending", is_number=True),
    Column("running", is_number=True),
    Column("lag", duration, is_number=True),
    Column("completed", is_number=True),
    Column("failed", is_number=True),
    Column("workers", is_number=True),
    Column("paused"),
    Column("paused_until", in_table=False),
    Column("reason"),
    Column("by"),
]
PAUSE_COLUMNS = [Column("queue"), Column("type"), Column("since", is_whole=True), *map(Column, ("until", "reason", "by"))]
PROCESS_COLUMNS = [
    Column("process"),
    Column("state", is_whole=True),
    Column("started_at", is_whole=True),
    Column("heartbeat", duration, is_number=True),
    Column("busy", is_number=True),
    Column("workers", is_number=True),
    Column("version", in_table=False),
    Column("queues"),
    Column("types"),
    Column("running", in_table=False),
    Column("stuck", in_table=False),
    Column("problems", lambda problems: "; ".join(problems) or "-"),
]
CHECK_COLUMNS = [Column("ok"), Column("problems")]
HOUR = timedelta(hours=1)


def add_status(commands: Any) -> None:
    status = add_parser(commands, "status", "show at a glance how the jobs and processes are")
    status.add_argument("--watch", action="store_true", help="show it again and again, until Ctrl-C")
    status.add_argument("--interval", metavar="AGE", type=age, default=timedelta(seconds=2), help="with --watch; default: 2s")
    _add_span(status)
    status.set_defaults(run=_status)


def add(commands: Any) -> None:
    queues = add_parser(commands, "queues", "list queues, pause and resume them")
    _add_span(queues)
    queues.set_defaults(run=_queues)
    of_queues = queues.add_subparsers(title="commands", metavar="COMMAND")
    listed = add_parser(of_queues, "list", "list the queues that have jobs, lately had some, or are paused")
    _add_span(listed)
    listed.set_defaults(run=_queues)
    paused = add_parser(of_queues, "paused", "list what is paused")
    paused.set_defaults(run=_paused)
    pause = add_parser(of_queues, "pause", "begin no more jobs of a queue or of a type, or, with --all, none")
    resume = add_parser(of_queues, "resume", "end such a pause")
    for parser in (pause, resume):
        parser.add_argument("queue", metavar="QUEUE", nargs="?")
        parser.add_argument("--type", help="only jobs of this type")
        parser.add_argument("--all", action="store_true", help="in place of QUEUE and --type: the pause of all jobs")
    pause.add_argument("--until", metavar="TIME", type=moment, help="when they go on by themselves: 2030-01-31T12:00Z")
    pause.add_argument("--for", metavar="AGE", type=age, dest="duration", help="for so long: 30m")
    pause.add_argument("--reason", help="shown to all who ask why")
    pause.set_defaults(run=_pause)
    resume.set_defaults(run=_resume)

    processes = add_parser(commands, "processes", "list the processes that run jobs, and what is wrong with them")
    processes.set_defaults(run=_processes)

    check = add_parser(commands, "check", "for monitoring: one line, and the code 4 if something is not as it should be")
    check.add_argument("--max-lag", metavar="AGE", type=age, help="no job has been due for longer: 60s")
    check.add_argument("--max-failed", metavar="N", type=natural, help="no more jobs have failed within --over")
    check.add_argument("--min-processes", metavar="N", type=natural, help="at least so many are alive and without problems")
    check.add_argument("--unserved", action="store_true", help="each queue and type with jobs has a process for them")
    check.add_argument("--queue", help="only jobs of this queue")
    _add_span(check)
    check.set_defaults(run=_check)


def _add_span(parser: Any) -> None:
    parser.add_argument("--over", metavar="AGE", type=age, default=HOUR, help="the span of the figures: 24h; default: 1h")


# -- status ------------------------------------------------------------------------------------------------------------------


def _status(command: Command) -> int:
    options, output = command.options, command.output
    with command.manager() as manager:
        if not options.watch:
            _show(command, _read(manager, options.over))
            return DONE
        redraw = output.form == "table" and output.is_terminal
        while True:
            row = _read(manager, options.over)
            if redraw:
                _redraw(command, row)
            elif output.form == "json":
                output.line(dumped(row))
            else:
                _show(command, row)
            output.stdout.flush()
            time.sleep(max(options.interval.total_seconds(), 0.1))


def _read(manager: JobManager, over: timedelta) -> dict[str, Any]:
    stats, processes, pauses = manager.stats(over), manager.processes(), manager.paused()
    alive = [process for process in processes if process.alive]
    total = lane_row(stats.total())
    del total["queue"], total["type"]
    return {
        "at": stats.at,
        "since": stats.since,
        **total,
        "pending": stats.pending,
        "per_minute": round(stats.throughput * 60, 1),
        "processes": len(alive),
        "dead_processes": len(processes) - len(alive),
        "workers": sum(process.workers for process in alive),
        "busy": sum(
            max(0, process.busy - len(process.stuck)) for process in alive
        ),  # others work in the place of those that are stuck
        "problems": [f"{process.name}: {problem}" for process in processes for problem in problems_of(process)],
        "pauses": [_pause_row(pause) for pause in pauses],
        "lanes": [lane_row(lane) for lane in stats.lanes],
    }


def lane_row(lane: LaneStats) -> dict[str, Any]:
    row = {name: getattr(lane, name, None) for name in (column.name for column in LANE_COLUMNS)}
    return row | {
        "lag": lane.latency,
        "run_p50": lane.run.p50,
        "run_p95": lane.run.p95,
        "wait_p95": lane.wait.p95,
    }


def _show(command: Command, row: dict[str, Any]) -> None:
    output = command.output
    if output.form == "csv":
        output.rows(LANE_COLUMNS, row["lanes"])
    elif output.form == "table":
        for line in _lines(command, row, None):
            output.line(line)
    else:
        output.record(STATUS_COLUMNS, row)


def _lines(command: Command, row: dict[str, Any], room: int | None) -> list[str]:
    span = duration(row["at"] - row["since"])
    processes = "1 process" if row["processes"] == 1 else f"{row['processes']} processes"
    late = f"oldest due {duration(row['lag'])} ago" if row["lag"] else "none is due"
    lines = [
        f"{plain(row['pending'])} pending, {plain(row['running'])} running, {late}",
        "in {}: {:,} completed ({:g} a minute), {:,} failed, {:,} cancelled, {:,} retried".format(
            span, *(row[name] for name in ("completed", "per_minute", "failed", "cancelled", "retried"))
        ),
        f"{processes}, {row['busy']} of {row['workers']} workers busy, {row['dead_processes']} dead",
        *(f"paused: {_what(pause)}" for pause in row["pauses"]),
        *(f"problem: {problem}" for problem in row["problems"]),
    ]
    lines = [escaped(line) if room is None else cut(line, room) for line in lines]
    if row["lanes"]:
        lines += ["", *command.output.table(LANE_COLUMNS, row["lanes"], room)]
    return lines


def _what(pause: dict[str, Any]) -> str:
    parts = [f"{name} {pause[name]}" for name in ("queue", "type") if pause[name] is not None]
    return (", ".join(parts) or "all jobs") + (f" ({pause['reason']})" if pause["reason"] else "")


def _redraw(command: Command, row: dict[str, Any]) -> None:
    """Write over what is there, line by line: to clear the screen first would flicker."""
    columns, height = shutil.get_terminal_size()
    lines = [cut(f"steve status, {time_text(row['at'])}; Ctrl-C ends it", columns), *_lines(command, row, columns)]
    if len(lines) > height - 1:
        lines = [*lines[: height - 2], f"... {len(lines) - height + 2} more lines"]
    text = "".join(f"{line}\x1b[K\n" for line in lines)
    command.output.stdout.write(f"\x1b[H{text}\x1b[J")


# -- queues and processes ----------------------------------------------------------------------------------------------------


def _queues(command: Command) -> int:
    with command.manager() as manager:
        stats, pauses, processes = manager.stats(command.options.over), manager.paused(), manager.processes()
    by_name: dict[str, list[LaneStats]] = {}
    for lane in stats.lanes:
        by_name.setdefault(str(lane.queue), []).append(lane)
    paused = {pause.queue: pause for pause in pauses if pause.type is None}
    names = sorted({*by_name, *(name for name in paused if name is not None)})
    rows = []
    for name in names:
        row = lane_row(reduce(LaneStats.plus, by_name.get(name, []), LaneStats(name, None)))
        pause = paused.get(name) or paused.get(None)
        row |= {
            "queue": name,
            "workers": sum(_workers_for(process, name) for process in processes if process.alive),
            "paused": pause is not None,
            "paused_until": pause and pause.until,
            "reason": pause and pause.reason,
            "by": pause and pause.by,
        }
        rows.append(row)
    return command.found(QUEUE_COLUMNS, rows, "no queue has jobs or lately had some")


def _workers_for(process: Process, queue: str) -> int:
    pool = process.pool_for(queue)
    return 0 if pool is None or process.quiet else pool.workers


def _paused(command: Command) -> int:
    with command.manager() as manager:
        return command.found(PAUSE_COLUMNS, map(_pause_row, manager.paused()), "nothing is paused")


def _pause_row(pause: Pause) -> dict[str, Any]:
    return {column.name: getattr(pause, column.name) for column in PAUSE_COLUMNS}


def _check_which(options: Any) -> None:
    named = options.queue is not None or options.type is not None
    if options.all == named:
        raise UsageError("name a QUEUE or a --type, or say --all to mean all jobs")


def _pause(command: Command) -> int:
    options = command.options
    _check_which(options)
    if options.until is not None and options.duration is not None:
        raise UsageError("--until and --for do not go together")
    until = options.until if options.duration is None else datetime.now(UTC) + options.duration
    with command.manager() as manager:
        pause = manager.pause(options.queue, options.type, until, options.reason)
    command.output.rows(PAUSE_COLUMNS, [_pause_row(pause)])
    return DONE


def _resume(command: Command) -> int:
    options = command.options
    _check_which(options)
    with command.manager() as manager:
        pause = manager.resume(options.queue, options.type)
    return command.found(PAUSE_COLUMNS, [] if pause is None else [_pause_row(pause)], "there is no such pause")


def state_of(process: Process) -> str:
    if not process.alive:
        return "dead"
    return "stopping" if process.stopping else "quiet" if process.quiet else "working"


def problems_of(process: Process) -> list[str]:
    found = list(process.problems)
    if process.stuck and not any("are stuck" in problem for problem in found):
        found.append(f"{len(process.stuck)} handlers are stuck")
    return found


def _processes(command: Command) -> int:
    with command.manager() as manager:
        rows = [_process_row(process) for process in manager.processes()]
    code = command.found(PROCESS_COLUMNS, rows, "no process runs jobs")
    if stuck := next((row["stuck"][0] for row in rows if row["stuck"]), None):
        command.output.say(
            f"a handler is stuck if it has not returned long after its timeout: `steve why {stuck}` says what to do"
        )
    return code


def _process_row(process: Process) -> dict[str, Any]:
    return {
        "process": process.name,
        "state": state_of(process),
        "started_at": process.started_at,
        "heartbeat": process.heartbeat_age,
        "busy": process.busy,
        "workers": process.workers,
        "version": process.version,
        "queues": [_queues_text(pool.queues, pool.excluded) + f":{pool.workers}" for pool in process.pools],
        "types": [*process.types, *(["*"] if process.any_type else [])],
        "running": [{"uid": run.uid, "type": run.type, "begun": run.begun} for run in process.running],
        "stuck": list(map(str, process.stuck)),
        "problems": problems_of(process),
    }


def _queues_text(queues: Iterable[str] | None, excluded: Iterable[str]) -> str:
    return ",".join([*(["*"] if queues is None else queues), *(f"-{name}" for name in excluded)])


# -- check -------------------------------------------------------------------------------------------------------------------


def _check(command: Command) -> int:
    options = command.options
    if all(one is None for one in (options.max_lag, options.max_failed, options.min_processes)) and not options.unserved:
        raise UsageError("say what to check: --max-lag, --max-failed, --min-processes, --unserved")
    with command.manager() as manager:
        stats, processes = manager.stats(options.over, queue=options.queue), manager.processes()
    problems = [*_flaws(stats, [one for one in processes if one.alive], options)]
    row = {"ok": not problems, "problems": problems}
    if command.output.form == "table":
        command.output.line(escaped("; ".join(problems)) or "ok")
    else:
        command.output.record(CHECK_COLUMNS, row) if command.output.form != "csv" else command.output.rows(CHECK_COLUMNS, [row])
    return NOT_MET if problems else DONE


def _flaws(stats: Stats, alive: list[Process], options: Any) -> Iterable[str]:
    total = stats.total()
    if options.max_lag is not None and total.latency > options.max_lag.total_seconds():
        yield f"a job has been due for {duration(total.latency)}, more than {duration(options.max_lag)}"
    if options.max_failed is not None and total.failed > options.max_failed:
        yield f"{total.failed:,} jobs failed in {duration(stats.seconds)}, more than {options.max_failed:,}"
    well = [process for process in alive if not problems_of(process)]
    if options.min_processes is not None and len(well) < options.min_processes:
        yield f"processes that are well: {len(well)}, fewer than {options.min_processes}"
    if options.unserved:
        for lane in stats.lanes:
            if lane.pending and not _is_served(lane, alive):
                yield f"no process serves type {lane.type} in queue {lane.queue}, with {lane.pending!s} jobs pending"


def _is_served(lane: LaneStats, alive: Iterable[Process]) -> bool:
    return any(process.has_handler(str(lane.type)) and _workers_for(process, str(lane.queue)) for process in alive)
