"""The engine's own numbers. Only tests change them, to see in a moment what otherwise takes minutes."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Tuning:
    """Times are in seconds."""

    # Claiming
    claim_most: int = 500
    """Jobs that one claim asks for, at most: a larger claim is not cheaper per job."""
    claim_bytes: int = 8 << 20
    """Bytes of payload that one claim asks for, at most, by the mean size seen so far."""
    claim_ahead: float = 0.05
    """A claim brings as many jobs as all workers together begin in this time."""
    buffer_age: float = 1.0
    """A job that was claimed so long ago and has not begun is given back."""
    stand_back: float = 0.0004
    """For each wake-up in a row that brought nothing, the notifier waits so much longer before it reads the next notification;
    by chance half to all of it."""
    stand_back_most: float = 0.004
    """The longest such wait."""
    answered_most: int = 1_000
    """Claims whose time is kept, so that they are not mistaken for one whose reply was lost."""
    second_look: float = 60.0
    """After the reply to a claim was lost, the claimer asks at once what that claim took, and again after this time: the server
    may have committed the claim later."""
    in_doubt_check: float = 1.0
    """How often the scanner looks whether such a question is due while all workers are busy."""
    full_scan_every: int = 20
    """A full scan is due again after so many times its own duration."""
    slow_scan: float = 0.02
    """No claim makes a full scan that takes longer. The scanner looks for jobs below the watermarks instead."""
    measure_scan: float = 10.0
    """How often the scanner measures, at most, whether full scans are still slow."""
    scan_check: float = 0.25
    """How often the scanner looks whether a full scan or a rescue is due."""
    warn_scan: float = 0.1
    """A full scan that takes longer is worth a warning that names the sessions that hold back the cleaning up."""
    full_scan_overdue: float = 5.0
    """If the scanner is so late with its look, the next claim is a full scan."""
    types_most: int = 1_000
    """Types whose mean duration is kept: with a fallback handler there may be any number of types."""
    work_per_worker: float = 0.005
    """A further worker joins in for every so much work in the buffer."""
    tick: float = 0.002
    """How often the idle worker looks whether the others still take jobs from the buffer."""

    # Working
    turn: float = 0.05
    """A turn begins no further job after this time: between turns a chain learns that the interpreter exits."""
    idle_wait: float = 0.5
    """The longest wait of an idle turn, for the same reason."""

    # Settling
    group_most: int = 500
    """Verdicts in one statement, at most."""
    group_bytes: int = 8 << 20
    """About how many bytes their results and errors have together, at most."""
    unsettled_most: int = 2_000
    """When so many verdicts wait, workers begin nothing until half of them are settled."""
    unsettled_bytes: int = 32 << 20
    """The same for the size of the waiting verdicts."""
    refusals_in_a_row: int = 3
    """After so many verdicts of a group were refused one by one, the rest of the group is deferred without a try."""
    settle_deadline: float = 30.0
    """A stopping manager goes on trying so long to write down outcomes while the database is away."""
    shutdown_grace: float = 1.0
    """A stopping manager that has no outcome to write down waits so long for a statement without an answer, and for the jobs of
    a claim whose reply was lost: other processes see in the tables which jobs it held."""

    # Telling
    events_most: int = 10_000
    """When so many events wait for slow listeners, nothing is claimed until half of them are told."""
    on_done_most: int = 10_000
    """Of the jobs with an on_done= of their own, so many are looked up at a time, to forget those that ended elsewhere."""

    # Threads and health
    restart_pause: float = 0.1
    """A loop that broke off begins again after this pause, which doubles while it goes on breaking off..."""
    restart_pause_most: float = 5.0
    """... up to this."""
    replace_check: float = 0.5
    """How often the manager looks for dead worker threads."""
    log_patience: float = 0.5
    """A stop waits so long for its own line in the log, which may be a pipe that nobody reads."""
    health_check: float = 1.0
    """How often the manager looks at its own health, for the listeners."""
    unhealthy_after: float = 10.0
    """A loop without the database, or an outcome unwritten, for longer than this makes the manager unhealthy."""
    notify_pause: float = 10.0
    """After a notification that PostgreSQL did not take, none is sent for so long."""
    listen_check: float = 60.0
    """After so much silence the notifier asks the server whether the connection is alive."""

    # Liveness of processes
    look_interval: float = 2.0
    """How often each process looks at the others, by chance a quarter more or less."""
    suspicion: float = 3.0
    """Between the suspicion that a process is dead and its rescue: time for it to open a lost connection again."""
    observer_age: float = 5.0
    """A process's own heartbeat connection must be so old before it suspects others."""
    silent_leases: int = 10
    """A process without a session of its own, behind a pooler, counts as dead after so many leases of silence."""
    server_age: float = 15.0
    """The server must have run so long before a process is suspected: after a restart all processes have to connect again."""
    reconcile_looks: int = 3
    """A process frees a job that the tables say it runs, and that it does not run, after it has found it so many times in a
    row..."""
    reconcile_pause: float = 1.0
    """... with so much time between the looks."""
    rescue_most: int = 500
    """Jobs rescued in one statement, at most."""

    # Connections
    answer_within: float = 30.0
    """A connection whose statement has no answer for so long counts as dead. A loop allows twice what its last statement took,
    and twice as long after each cut."""
    create_rate: int = 1_000
    """Jobs that `create_many` stores in a second in the worst case: it may take so much longer."""
    late_notify: float = 1.0
    """A notification that is sent after its job waits so long for a connection; the poll finds the job meanwhile."""
    carry_most: float = 10.0
    """An INSERT that carries the notification for others counts as lost after so long, and another one carries it."""
    backoff_first: float = 0.1
    """A loop that cannot reach the database waits so long before its next try, twice as long after each..."""
    backoff_most: float = 2.0
    """... up to this; by chance half more or less."""
    migrate_patience: float = 60.0
    """A migration waits so long for another process that migrates, or for a lock on a table."""
    prune_most: int = 1_000
    """Jobs that one batch of `prune` looks at."""
