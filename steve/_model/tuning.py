"""The numbers that the engine works by. Only tests change them, to shorten waits that normally take minutes."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Tuning:
    """Times are in seconds."""

    # Claiming
    claim_most: int = 500
    """How many jobs one claim asks for, at most. A larger claim would not be cheaper per job."""
    claim_bytes: int = 8 << 20
    """How many bytes of payload one claim asks for, at most, estimated by the mean size seen so far."""
    claim_ahead: float = 0.05
    """A claim asks for as many jobs as all workers together begin in this time."""
    buffer_age: float = 1.0
    """A job that has not begun so long after its claim is given back."""
    stand_back: float = 0.0004
    """For each wake-up in a row that brought no job, the notifier waits so much longer before it reads the next notification.
    The wait is by chance between half and all of that."""
    stand_back_most: float = 0.004
    """The longest such wait."""
    answered_most: int = 1_000
    """How many answered claims are remembered by their time, so that none is mistaken for a claim whose reply was lost."""
    second_look: float = 60.0
    """After the reply to a claim was lost, the claimer asks at once which jobs that claim took. It asks again after this time,
    because the server may have committed the claim later."""
    in_doubt_check: float = 1.0
    """How often the scanner looks whether such a question is due while all workers are busy."""
    lane_least: int = 16
    """A claim looks for at least so many jobs in each lane. If a lane yields fewer, and no other limit applies, it is empty."""
    full_scan_every: int = 20
    """The next full scan is due after so many times the duration of the last one."""
    slow_scan: float = 0.02
    """If full scans take longer, the scanner makes them, beside the claims."""
    scan_check: float = 0.25
    """How often the scanner looks whether a full scan or a rescue is due."""
    warn_scan: float = 0.1
    """If a full scan takes longer, a warning names the sessions that keep PostgreSQL from removing dead rows."""
    full_scan_overdue: float = 5.0
    """If the scanner is so late with a full scan, the next claim makes it instead."""
    lanes_most: int = 1_000
    """How many lanes have their watermarks kept."""
    types_most: int = 1_000
    """How many types have their mean duration kept. With a fallback handler there may be any number of types."""
    work_per_worker: float = 0.005
    """One more worker joins in for every so many seconds of work in the buffer."""
    tick: float = 0.002
    """How often the idle worker checks that the others still take jobs from the buffer."""

    # Working
    turn: float = 0.05
    """A worker's turn begins no further job after this time. Between two turns the worker learns that the interpreter exits."""
    idle_wait: float = 0.5
    """An idle turn waits at most so long, for the same reason."""

    # Settling
    group_most: int = 500
    """How many verdicts are in one statement, at most."""
    group_bytes: int = 8 << 20
    """How many bytes, roughly, the results and errors of one statement have together, at most."""
    unsettled_most: int = 2_000
    """When so many verdicts wait, workers begin no job until half of them are settled."""
    unsettled_bytes: int = 32 << 20
    """The same limit for the size of the waiting verdicts."""
    refusals_in_a_row: int = 3
    """When PostgreSQL has refused so many verdicts of a group in a row, the rest of the group is deferred without a try."""
    settle_deadline: float = 30.0
    """While the database is away, a stopping manager goes on trying for so long to write its outcomes."""
    shutdown_grace: float = 1.0
    """A stopping manager that has no outcome to write waits so long for the answer to a statement, and for the jobs of a claim
    whose reply was lost. It need not wait longer: other processes see in the tables which jobs it held."""

    # Telling
    events_most: int = 10_000
    """When so many events wait for slow listeners, no job is claimed until half of them are told."""
    on_done_most: int = 10_000
    """So many jobs that have an on_done= are looked up at a time, to forget the jobs that ended in other processes."""

    # Threads and health
    restart_pause: float = 0.1
    """A loop that failed begins again after this pause, which doubles with each further failure..."""
    restart_pause_most: float = 5.0
    """... up to this length."""
    replace_check: float = 0.5
    """How often the manager looks for dead worker threads."""
    log_patience: float = 0.5
    """A stop waits at most so long until its line is in the log, which may be a pipe that is not read."""
    health_check: float = 1.0
    """How often the manager checks its own health, to tell the listeners of changes."""
    unhealthy_after: float = 10.0
    """A manager is unhealthy when a loop cannot reach the database, or an outcome is not written, for longer than this."""
    notify_pause: float = 10.0
    """When PostgreSQL has refused a notification, none is sent for so long."""
    listen_check: float = 60.0
    """When the server has sent nothing for so long, the notifier checks that the connection is alive."""

    # Liveness of processes
    look_interval: float = 2.0
    """How often each process looks at the others. The time is by chance up to a quarter longer or shorter."""
    look_most: int = 16
    """At how many of them it looks, unless most of these are dead."""
    suspicion: float = 3.0
    """A process is taken for dead so long after it was suspected. Until then it may open a lost connection again."""
    observer_age: float = 5.0
    """A process suspects others only when its own heartbeat connection is so old."""
    silent_leases: int = 10
    """Behind a pooler a process has no session of its own. It counts as dead after so many leases without a heartbeat."""
    server_age: float = 15.0
    """No process is suspected before the server has run so long: after a restart all processes have to connect again."""
    reconcile_looks: int = 3
    """If the tables say that a process holds a job, and it does not, the process frees the job after it has seen that so many
    times in a row..."""
    reconcile_pause: float = 1.0
    """... with so much time between the looks."""
    rescue_most: int = 500
    """How many jobs one statement rescues, at most."""

    # Connections
    answer_within: float = 30.0
    """A connection counts as dead when a statement has no answer for so long. A loop allows at least this time, or twice what
    its last statement took, and doubles that each time a statement exceeds it."""
    create_rate: int = 1_000
    """How many jobs `create_many` stores in a second in the worst case. Its connection gets that much more time to answer."""
    late_notify: float = 1.0
    """A notification that is sent after its job waits at most so long for a connection. The poll finds the job anyway."""
    carry_most: float = 10.0
    """An INSERT that carries the notification for others counts as lost after so long. Then another INSERT carries one."""
    backoff_first: float = 0.1
    """A loop that cannot reach the database waits so long before its next try. The wait doubles after each try..."""
    backoff_most: float = 2.0
    """... up to this length. Each wait is by chance up to half longer or shorter."""
    migrate_patience: float = 60.0
    """A migration waits at most so long for another process that migrates, or for a lock on a table."""
    prune_most: int = 1_000
    """How many jobs one batch of `prune` looks at."""
