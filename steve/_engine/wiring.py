"""Puts an engine together: the stages that a job passes, their threads and their connections.

    claim/  --Claimed-->   work/  --Verdict-->   settle/  --Event-->   events/
    Claimer, JobBuffer     Worker: run, judge    SettleQueue, Settler  Dispatcher, Listeners

Each arrow is a queue; the thread that fills it does not wait for an answer. No lock is held while a user's function runs.

The stages end in the same order. The last worker gives back the buffer and ends the settler's queue. The settler writes the
remaining verdicts and ends the dispatcher. The dispatcher tells the remaining events and ends all other components.

Workers, settler and dispatcher are not daemon threads: an interpreter that exits without `stop()` waits until every job that
was begun is settled and the listeners are told. The other threads are daemons:

    steve-notifier       reads notifications
    steve-scanner        the duties that use the database, which may take long; writes what runs leave behind
    steve-watcher        the health watch, whose listeners may be slow
    steve-heartbeat      the heartbeats, which go on while a last handler runs
    steve-maintenance    the duties that never wait for the database
    steve-deadlines      the timeouts; started by the first job that has one

The order of locks: a thread that holds one lock may take only those below it. Each is described where it is made.

    Runner._starting             one start at a time; nothing else waits for it
    Claimer._claiming            one claim at a time; held across the statement
    JobBuffer._giving_back       one thread gives back at a time
    Heartbeat._beating           one beat at a time; held across the statement
    FigureWriter._writing        one write at a time; held across the statement
    LoopConnection: no lock      the locks above and the loops ensure that one thread at a time uses it
    _Block._sending              one cancel of a handler's statement at a time; held while it is sent
    Turns._counting, RunSignals._changed, ClaimSchedule._expecting, SettleQueue._weighing, Outage._lock,
    Threads._counting, Backpressure._lock, CopyOnWrite._lock, Watchdog._lock, Deadlines._changed, Limit._lock, Window._lock,
    AttemptLog._changing, Figures._counting
                                 held to move data; no other lock is taken under one of these
"""

from __future__ import annotations

import os
import socket

from steve._database.connections import Connections
from steve._database.failures import Connection
from steve._database.loop_connection import LoopConnections
from steve._database.statements import Statements
from steve._database.statements.processes import Registered
from steve._engine.claim.buffer import JobBuffer
from steve._engine.claim.claimer import Claimer
from steve._engine.claim.database import DatabaseClaims, DatabaseScans
from steve._engine.claim.expiry import Expiry
from steve._engine.claim.full_scans import FullScans
from steve._engine.claim.notifier import DatabaseListener, Notifier
from steve._engine.claim.schedule import ClaimSchedule
from steve._engine.claim.sizer import ClaimSizer
from steve._engine.engine import Engine
from steve._engine.events.dispatcher import Dispatcher
from steve._engine.events.on_done import ForgetEndedElsewhere
from steve._engine.figures.figures import Figures
from steve._engine.figures.latency import QueueLatencies
from steve._engine.figures.merging import MergeFigures
from steve._engine.figures.writer import FigureWriter
from steve._engine.liveness.cancels import AskedCancels
from steve._engine.liveness.database import DatabaseLiveness
from steve._engine.liveness.liveness import Liveness
from steve._engine.parts import Component, Parts
from steve._engine.records.recorder import Recorder
from steve._engine.records.records import Records
from steve._engine.registry import Registry
from steve._engine.settle.commits import AfterCommit, Commits
from steve._engine.settle.database import DatabaseSettlement
from steve._engine.settle.queue import SettleQueue
from steve._engine.settle.settler import Settler
from steve._engine.upkeep.abandonment import Abandonment
from steve._engine.upkeep.health_watch import HealthWatch
from steve._engine.upkeep.outage import Outage
from steve._engine.upkeep.periodic import Duty, Periodic
from steve._engine.upkeep.pruning import Pruning
from steve._engine.upkeep.replacement import Replacement
from steve._engine.upkeep.threads import Threads
from steve._engine.upkeep.windows import CleanWindows
from steve._engine.work.completions import Completions
from steve._engine.work.deadlines import Deadlines
from steve._engine.work.limit import Limits
from steve._engine.work.pool import WorkerPool
from steve._engine.work.running import RunningJobs
from steve._engine.work.stuck import StuckHandlers
from steve._engine.work.turns import Turns
from steve._engine.work.worker import Worker
from steve._model.settings import Settings
from steve.errors import SchemaError


def register(id: int, settings: Settings, statements: Statements, connections: LoopConnections) -> tuple[str, Registered]:
    """Write the row of this process. Returns the name of the process, and what the database said about it. Raises
    DatabaseFailure and SchemaError; even then the row may have been written."""
    # In ASCII: a database in LATIN1, for example, cannot store every host name.
    host = socket.gethostname().encode("ascii", "backslashreplace").decode()
    name = f"{host}:{os.getpid()}"
    heartbeat, claim = connections.heartbeat, connections.claim

    def write(connection: Connection) -> Registered:
        return statements.processes.register_process(connection, id, name, settings.lease, heartbeat.session(connection))

    registered = heartbeat.call(write)
    flaw = ""
    if claim.route is not heartbeat.route and not claim.call(lambda ours: statements.processes.is_registered(ours, id)):
        flaw = "listen_db leads to another database than db: the row that this process wrote there is not here"
    elif registered.restricted and (problems := claim.call(lambda ours: statements.checks.check_access(ours, worker=True))):
        flaw = f'schema "{settings.schema}" cannot be worked on: {"; ".join(problems)}'
    if flaw:
        raise SchemaError(flaw)
    return name, registered


def build(
    *,
    settings: Settings,
    statements: Statements,
    registry: Registry,
    connections: LoopConnections,
    callers: Connections,
    process: str,
    registered: Registered,
    threads: Threads,
) -> Engine:
    """Returns an engine that is not started yet. `process`: the name of this process. `callers`: for what handlers send."""
    tuning = settings.tuning
    workers = threads.workers
    engine = Engine(process=process, process_id=registered.id, settings=settings, own_threads=threads.own_threads)
    outage = Outage()

    records = Records(
        capture_of=lambda name: registry.capture_of(name, settings),
        captures_any=lambda: settings.captures or registry.handlers.captures,
        tuning=tuning,
    )
    recorder = Recorder(
        records=records,
        statements=statements.records,
        scan=connections.scan,
        settle=connections.settle,
        tuning=tuning,
    )

    figures = Figures(tuning=tuning)
    figure_writer = FigureWriter(
        figures=figures, statements=statements, connection=connections.scan, process_id=registered.id, tuning=tuning
    )

    # events and settle, which claim and work feed
    dispatcher = Dispatcher(
        listeners=registry.listeners,
        on_all_told=engine.ending.on_all_told,
        tuning=tuning,
        hooks=registry.around_thread,
    )
    schedule = ClaimSchedule(
        poll_interval=settings.poll_interval, tuning=tuning, processes=lambda: liveness.heartbeat.processes
    )
    commits = Commits(
        process=process,
        schedule=schedule,
        listeners=registry.listeners,
        dispatcher=dispatcher,
        doubt_tables=lambda: liveness.doubt_tables(),
        after=AfterCommit(records, figures),
    )
    queue = SettleQueue(tuning=tuning)
    settlement = DatabaseSettlement(
        connection=connections.settle,
        statements=statements.settlement,
        process=process,
        notify=settings.notify,
        is_wanted=registry.listeners.want,
        awaited=engine.awaited,
        write_before=recorder.write_ended,
    )
    settler = Settler(queue=queue, database=settlement, commits=commits, outage=outage, tuning=tuning)

    # claim
    claims = DatabaseClaims(statements=statements.claims, connections=connections, process_id=registered.id, settings=settings)
    claimer = Claimer(
        database=claims,
        buffer=JobBuffer(put_verdict=queue.put, tuning=tuning),
        schedule=schedule,
        sizer=ClaimSizer(handlers=registry.handlers, workers=workers, tuning=tuning),
        outage=outage,
        tuning=tuning,
    )

    # work
    completions = Completions(
        process=process,
        statements=statements.completion,
        connections=callers,
        max_result_bytes=settings.max_result_bytes,
        workers=workers,
    )
    deadlines = Deadlines(start=lambda run: threads.loop("steve-deadlines", run, daemon=True))
    running = RunningJobs(workers=workers, deadlines=deadlines, completions=completions, records=records)
    turns = Turns(threads=threads, signals=running.signals, engine=engine)
    stuck = StuckHandlers(
        turns=turns,
        running=running,
        claimer=claimer,
        listeners=registry.stuck_listeners,
        soon=lambda duty: watcher.soon(duty),
    )
    limits = Limits(handlers=registry.handlers, settings=settings, deadlines=deadlines, stuck=stuck)
    worker = Worker(
        process=process,
        registry=registry,
        claimer=claimer,
        queue=queue,
        running=running,
        limits=limits,
    )
    pool = WorkerPool(
        claimer=claimer,
        worker=worker,
        turns=turns,
        outcomes=queue,
        events=dispatcher.backpressure,
        tuning=tuning,
    )

    # liveness and upkeep
    presence = DatabaseLiveness(
        statements=statements, connections=connections, process_id=registered.id, name=process, settings=settings
    )
    liveness = Liveness(
        database=presence,
        registered=registered,
        running=running,
        engine=engine,
        outage=outage,
        settings=settings,
    )
    full_scans = FullScans(
        database=DatabaseScans(statements=statements.claims, connection=connections.scan),
        claimer=claimer,
        take_up_lost=pool.take_up_lost,
        outage=outage,
        tuning=tuning,
    )
    expiry = Expiry(database=claims, claimer=claimer, events=commits, outage=outage, tuning=tuning)
    on_done = ForgetEndedElsewhere(
        listeners=registry.listeners,
        dispatcher=dispatcher,
        connection=connections.scan,
        statements=statements.jobs,
        settings=settings,
    )
    cancels = AskedCancels(
        connection=connections.scan,
        statements=statements.control,
        process_id=registered.id,
        settings=settings,
        holds_jobs=lambda: bool(len(running) or claimer.buffer.jobs()),
        cancel_asked=engine.cancel_asked,
    )
    pruning = Pruning(connection=connections.scan, statements=statements, settings=settings)
    health_watch = HealthWatch(engine=engine, listeners=registry.health_listeners, tuning=tuning)
    replacement = Replacement(threads=threads, turns=turns, doubt_everything=liveness.doubt_everything, tuning=tuning)
    abandonment = Abandonment(connections=connections, is_anything_owed=engine.ending.is_anything_owed, tuning=tuning)
    give_back_old = Duty("give back old jobs", tuning.buffer_age / 4, claimer.buffer.give_back_old)
    merging = MergeFigures(statements=statements, connection=connections.scan, tuning=tuning)
    latencies = QueueLatencies(
        listeners=registry.latency_listeners,
        statements=statements.stats,
        connection=connections.scan,
        soon=lambda duty: watcher.soon(duty),
        tuning=tuning,
    )
    periodic = Periodic(duties=[give_back_old, *abandonment.duties(), *replacement.duties()], on_stop=engine.ending.on_stop)
    windows = CleanWindows(statements=statements.unique, connection=connections.scan, tuning=tuning)
    scanner = Periodic(
        duties=[
            *full_scans.duties(),
            *liveness.duties(),
            *cancels.duties(),
            *on_done.duties(),
            *expiry.duties(),
            *windows.duties(),
            *pruning.duties(),
            *recorder.duties(),
            *figure_writer.duties(),
            *merging.duties(),
            *latencies.duties(),
        ]
    )
    watcher = Periodic(duties=health_watch.duties())

    def scan() -> None:
        scanner.run()
        recorder.write_logs()  # of runs whose outcomes were dropped, or that these tables have not taken before
        connections.scan.close()

    heartbeat = liveness.heartbeat
    components = [  # in the order in which they end
        Component("steve-settler", settler.run, None, daemon=False, vitals=settler.vitals),
        Component("steve-dispatcher", dispatcher.run, None, daemon=False),
    ]
    if settings.notify:
        notifier = Notifier(
            database=DatabaseListener(connection=connections.listen, statements=statements.notifications),
            claimer=claimer,
            stand_back=schedule.crowd.stand_back_seconds,
            engine=engine,
            outage=outage,
            tuning=tuning,
        )

        def listening() -> dict[str, object]:
            return {"listening": None if connections.listen.route.has_pooler else notifier.is_listening}

        components.append(Component("steve-notifier", notifier.run, notifier.end, vitals=listening))
    components += [
        Component("steve-scanner", scan, scanner.end, vitals=lambda: {"scan_seconds": claimer.watermarks.scan_seconds}),
        Component("steve-watcher", watcher.run, watcher.end),
        # ends before the row of the process is deleted: a heartbeat would insert it again
        Component("steve-heartbeat", heartbeat.run, heartbeat.end, vitals=lambda: {"heartbeat_age": heartbeat.age()}),
        Component("steve-maintenance", periodic.run, periodic.end),
    ]
    engine.assemble(
        Parts(
            components=components,
            threads=threads,
            connections=connections,
            processes=statements.processes,
            claimer=claimer,
            workers=pool,
            running=running,
            deadlines=deadlines,
            stuck=stuck,
            queue=queue,
            settler=settler,
            commits=commits,
            dispatcher=dispatcher,
            liveness=liveness,
            periodic=periodic,
            replacement=replacement,
            abandonment=abandonment,
            outage=outage,
            figure_writer=figure_writer,
        )
    )
    return engine
