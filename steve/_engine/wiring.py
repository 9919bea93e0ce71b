"""Puts an engine together: the stages that a job passes, their threads and their connections.

    claim/  --Claimed-->   work/  --Verdict-->   settle/  --Event-->   events/
    Claimer, JobBuffer     Worker: run, judge    SettleQueue, Settler  Dispatcher, Listeners

The first two stages are there once for each pool of workers: pools/wiring.py puts them together.

Each arrow is a queue; the thread that fills it does not wait for an answer. No lock is held while a user's function runs.

The stages end in the same order. The last worker of each pool gives back its buffer, and that of the last pool ends the
settler's queue. The settler writes the remaining verdicts and ends the dispatcher. The dispatcher tells the remaining events
and ends all other components.

Workers, settler and dispatcher are not daemon threads: an interpreter that exits without `stop()` waits until every job that
was begun is settled and the listeners are told. The other threads are daemons:

    steve-notifier       reads notifications
    steve-scanner        the duties that use the database, which may take long; writes what runs leave behind
    steve-watcher        the health watch, whose listeners may be slow
    steve-heartbeat      the heartbeats, which go on while a last handler runs
    steve-schedules      fires schedules; sleeps where there are none
    steve-maintenance    the duties that never wait for the database
    steve-deadlines      the timeouts; started by the first job that has one

The order of locks: a thread that holds one lock may take only those below it. Each is described where it is made.

    Runner._starting             one start at a time; nothing else waits for it
    Pools._scaling               one thread at a time changes the pools; held while connections open and threads start
    Pools._ending                one pool ends at a time; held while its claims end
    Threads._replacing           an executor is replaced, which starts threads
    Claimer._claiming            one claim of a pool at a time; held across the statement. A thread that holds it takes that of
                                 another pool only if that is free
    JobBuffer._giving_back       one thread gives back at a time
    Heartbeat._beating           one beat at a time; held across the statement
    Scheduler._turning           one turn at a time; held across its statements
    FigureWriter._writing        one write at a time; held across the statement
    LoopConnection: no lock      the locks above and the loops ensure that one thread at a time uses it
    StuckHandlers._fitting       the number of workers changes; held while slots open
    _Block._sending              one cancel of a handler's statement at a time; held while it is sent
    Turns._counting, RunSignals._changed, ClaimSchedule._expecting, SettleQueue._weighing, Outage._lock,
    Threads._counting, Backpressure._lock, CopyOnWrite._lock, Watchdog._lock, Deadlines._changed, Limit._lock, Window._lock,
    AttemptLog._changing, Pools._changing, ClaimConnections._lock, LastChance._changing, Neighbours._joining, Pauses._changing,
    Figures._counting
                                 held to move data; no other lock is taken under one of these
"""

from __future__ import annotations

from collections.abc import Sequence

from steve._database.connections import Connections
from steve._database.failures import Connection
from steve._database.loop_connection import ClaimConnections, LoopConnection, LoopConnections
from steve._database.statements import Statements
from steve._database.statements.processes import Registered
from steve._engine.claim.database import DatabaseClaims
from steve._engine.claim.expiry import Expiry
from steve._engine.claim.neighbours import Neighbours
from steve._engine.claim.notifier import DatabaseListener, Notifier
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
from steve._engine.liveness.presence import DescribeProcess, Working, process_name
from steve._engine.liveness.served import NoteServed
from steve._engine.parts import Component, Parts
from steve._engine.pools.duties import PoolDuties
from steve._engine.pools.pools import Pools
from steve._engine.pools.wiring import Shared, make_pool
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
from steve._engine.upkeep.scheduler import Lender, Links, Scheduler, Scout
from steve._engine.upkeep.threads import Threads
from steve._engine.upkeep.windows import CleanWindows
from steve._engine.work.completions import Completions
from steve._engine.work.deadlines import Deadlines
from steve._engine.work.running import AllRunning
from steve._model.pools import PoolSpec
from steve._model.presence import Presence
from steve._model.settings import Settings
from steve._schedules.database import DatabaseSchedules
from steve._schedules.firing import Firing
from steve.errors import SchemaError


def register(
    id: int, settings: Settings, statements: Statements, connections: LoopConnections, presence: Presence
) -> tuple[str, Registered]:
    """Write the row of this process, which says this `presence` of itself. Returns the name of the process, and what the
    database said about it. Raises DatabaseFailure and SchemaError; even then the row may have been written."""
    name = process_name()
    heartbeat, claim = connections.heartbeat, connections.claim

    def write(connection: Connection) -> Registered:
        session = heartbeat.session(connection)
        return statements.processes.register_process(connection, id, name, settings.lease, session, presence)

    registered = heartbeat.call(write)
    flaw = ""
    if claim.route is not heartbeat.route and not claim.call(lambda ours: statements.processes.is_registered(ours, id)):
        flaw = "listen_db leads to another database than db: the row that this process wrote there is not here"
    elif registered.restricted and (problems := claim.call(lambda ours: statements.checks.check_access(ours, worker=True))):
        flaw = f'schema "{settings.schema}" cannot be worked on: {"; ".join(problems)}'
    if flaw:
        raise SchemaError(flaw)
    return name, registered._replace(pauses=claim.call(statements.pauses.find_pauses))


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
    specs: Sequence[PoolSpec],
    claim_connections: ClaimConnections,
) -> Engine:
    """Returns an engine that is not started yet, with pools of these kinds. `process`: the name of this process. `callers`: for
    what handlers send. `threads`: for the loops."""
    tuning = settings.tuning
    engine = Engine(process=process, process_id=registered.id, settings=settings, own_threads=threads.own_threads)
    outage = Outage()

    records = Records(capture_of=lambda name: registry.capture_of(name, settings), tuning=tuning)
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
    commits = Commits(
        process=process,
        expect=lambda queue, seconds: duties.expect(queue, seconds),
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
        are_wanted=registry.listeners.want_any,
        awaited=engine.awaited,
        write_before=recorder.write_ended,
    )
    settler = Settler(queue=queue, database=settlement, commits=commits, outage=outage, tuning=tuning)

    # claim and work: the pools
    pauses = engine.pauses
    pauses.hear(registered.pauses)  # before the first claim
    completions = Completions(
        process=process,
        statements=statements.completion,
        connections=callers,
        max_result_bytes=settings.max_result_bytes,
        workers=lambda: running.workers,
        awaited=lambda: settings.notify and engine.awaited.now(),
    )
    deadlines = Deadlines(start=lambda run: threads.loop("steve-deadlines", run, daemon=True))
    running = AllRunning(deadlines=deadlines, completions=completions, records=records, pauses=pauses)
    neighbours = Neighbours(tuning=tuning)
    neighbours.is_settled = queue.is_settled

    def on_exit() -> None:
        running.signals.stop()
        engine.ask_to_stop()

    shared = Shared(
        settings=settings,
        statements=statements.claims,
        connections=connections,
        process=process,
        process_id=registered.id,
        registry=registry,
        queue=queue,
        events=dispatcher.backpressure,
        running=running,
        pauses=pauses,
        deadlines=deadlines,
        outage=outage,
        loops=threads,
        processes=lambda: liveness.heartbeat.processes,
        soon=lambda duty: watcher.soon(duty),
        close_scan=lambda: duties.close_scan(),
        on_exit=on_exit,
    )
    pools = Pools(
        make=lambda spec: make_pool(spec, pools, shared),
        connections=claim_connections,
        neighbours=neighbours,
        running=running,
        on_last_worker=engine.ending.on_last_worker,
        on_all_ended=engine.ending.on_pools_ended,
    )

    def claims(connection: LoopConnection) -> DatabaseClaims:
        return DatabaseClaims(
            statements=statements.claims,
            connection=connection,
            process_id=registered.id,
            settings=settings,
            pauses=pauses,
        )

    duties = PoolDuties(
        pools=pools,
        database=claims,
        put_verdict=queue.put,
        outage=outage,
        close_scan=connections.scan.close,
        tuning=tuning,
    )
    pools.add(specs)

    # liveness and upkeep

    def working() -> Working:
        is_quiet = not pools.live() and not engine.stopping
        return Working(engine.pools(), len(duties.buffered()), pools.neighbours.last_chance.is_due, is_quiet)

    describe = DescribeProcess(
        settings=settings,
        handlers=registry.handlers,
        running=running,
        engine=engine,
        working=working,
        ended=lambda: queue.progress()[1],
    )
    presence = DatabaseLiveness(
        statements=statements,
        connections=connections,
        process_id=registered.id,
        name=process,
        settings=settings,
        describe=describe.now,
    )
    liveness = Liveness(
        database=presence,
        registered=registered,
        running=running,
        engine=engine,
        outage=outage,
        settings=settings,
    )
    expiry = Expiry(
        database=claims(claim_connections.first),
        between_claims=lambda call: None if engine.stopping else duties.between_claims(call),
        events=commits,
        tuning=tuning,
    )
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
        holds_jobs=lambda: bool(len(running) or duties.buffered()),
        cancel_asked=engine.cancel_asked,
    )
    pruning = Pruning(connection=connections.scan, statements=statements, settings=settings)
    health_watch = HealthWatch(engine=engine, listeners=registry.health_listeners, tuning=tuning)
    replacement = Replacement(
        threads=threads, pools=lambda: pools.all, doubt_everything=liveness.doubt_everything, tuning=tuning
    )
    pools.on_ended = replacement.on_pool_ended
    abandonment = Abandonment(
        connections=lambda: [*claim_connections.all(), connections.scan, connections.settle],
        is_anything_owed=engine.ending.is_anything_owed,
        tuning=tuning,
    )
    periodic = Periodic(duties=[*duties.upkeep(), *abandonment.duties(), *replacement.duties()], on_stop=engine.ending.on_stop)
    merging = MergeFigures(statements=statements, connection=connections.scan, tuning=tuning)
    latencies = QueueLatencies(
        listeners=registry.latency_listeners,
        statements=statements.stats,
        connection=connections.scan,
        soon=lambda duty: watcher.soon(duty),
        tuning=tuning,
    )
    windows = CleanWindows(statements=statements.unique, connection=connections.scan, tuning=tuning)
    served = NoteServed(
        statements=statements.fleet,
        connection=connections.scan,
        process=process,
        types=registry.handlers.types,
        tuning=tuning,
    )
    scout = Scout(
        connection=connections.scan,
        between_claims=lambda call: None if engine.stopping else duties.between_claims(call),
        statements=statements.schedules,
        bell=engine.schedules,
        is_listening=lambda: notifier is not None and notifier.is_listening,
        tuning=tuning,
    )
    scanner = Periodic(
        duties=[
            *duties.scans(),
            *liveness.duties(),
            *cancels.duties(),
            *on_done.duties(),
            *expiry.duties(),
            *windows.duties(),
            *served.duties(),
            *scout.duties(),
            *pruning.duties(),
            *recorder.duties(),
            *figure_writer.duties(),
            *merging.duties(),
            *latencies.duties(),
        ]
    )
    engine.schedules.send_scout = lambda: scanner.soon(Duty("look for schedules", 0.0, scout.look))
    watcher = Periodic(duties=health_watch.duties())
    lender = Lender(connections=callers)
    schedules = DatabaseSchedules(connections=lender, statements=statements.schedules, notify=settings.notify)
    firing = Firing(database=schedules, in_code=registry.schedules.all)
    links = Links(
        is_stopping=lambda: engine.stopping,
        is_listening=lambda: notifier is not None and notifier.is_listening,
        is_alone=lambda: liveness.heartbeat.processes == 1,
        jobs_fired=duties.wake,
    )
    scheduler = Scheduler(firing=firing, lender=lender, bell=engine.schedules, links=links, outage=outage, tuning=tuning)

    def scan() -> None:
        scanner.run()
        recorder.write_logs()  # of runs whose outcomes were dropped, or that these tables have not taken before
        connections.scan.close()

    heartbeat = liveness.heartbeat

    pauses.on_paused, pauses.on_resumed = lambda: duties.give_back_if(pauses.cover), lambda: duties.wake(full_scan=True)
    presence.on_pause = heartbeat.look_soon
    heartbeat.look_soon()  # so that it listens to what is paused from now on
    components = [  # in the order in which they end
        Component("steve-settler", settler.run, None, daemon=False, vitals=settler.vitals),
        Component("steve-dispatcher", dispatcher.run, None, daemon=False),
    ]
    notifier: Notifier | None = None
    if settings.notify:
        notifier = hearing = Notifier(
            database=DatabaseListener(connection=connections.listen, statements=statements.notifications),
            claimer=duties,
            stand_back=duties.stand_back_seconds,
            engine=engine,
            outage=outage,
            tuning=tuning,
        )

        def listening() -> dict[str, object]:
            return {"listening": None if connections.listen.route.has_pooler else hearing.is_listening}

        components.append(Component("steve-notifier", notifier.run, notifier.end, vitals=listening))
    components += [
        Component("steve-scanner", scan, scanner.end, vitals=duties.vitals),
        Component("steve-watcher", watcher.run, watcher.end),
        Component("steve-schedules", scheduler.run, scheduler.end),
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
            pools=pools,
            duties=duties,
            running=running,
            deadlines=deadlines,
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
