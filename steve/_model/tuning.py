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
    """How many bytes of payload one claim asks for, at most, as estimated from the mean size seen so far."""
    claim_ahead: float = 0.05
    """A claim asks for as many jobs as all workers together begin in this time."""
    buffer_age: float = 1.0
    """A job that has not begun this long after its claim is given back."""
    stand_back: float = 0.0004
    """The notifier waits before it reads the next notification: at most this long for each wake-up in a row that brought no
    job, and for each process that there is. Chance decides how much of it."""
    stand_back_most: float = 0.008
    """The longest such wait for each process that there is."""
    stand_back_longest: float = 0.16
    """The longest such wait. A notification that a job is to be cancelled waits as long."""
    crowd: int = 4
    """From this many processes on, one claims at a time while more jobs are due than they take..."""
    crowd_assumed: int = 16
    """... and so many are assumed until the first look. A process whose turn it is not tries again after a pause..."""
    refused_first: float = 0.002
    """... of so long for each process that there is, which doubles with each try in vain..."""
    refused_most: float = 0.005
    """... up to this for each process..."""
    refused_pause_longest: float = 0.25
    """... and up to this in all. Chance makes it up to half longer or shorter."""
    refused_longest: float = 10.0
    """After so long without a turn, a process claims all the same."""
    answered_most: int = 1_000
    """The claimer remembers the times of this many answered claims, so that it mistakes none for a claim whose reply was
    lost."""
    second_look: float = 60.0
    """After the reply to a claim was lost, the claimer asks at once which jobs that claim took. It asks again after this time,
    because the server may have committed the claim later."""
    in_doubt_check: float = 1.0
    """How often the scanner checks whether such a question is due, because all workers may be busy."""
    full_scan_every: int = 20
    """The wait until the next full scan, as a multiple of the time that the last one took."""
    slow_scan: float = 0.02
    """If full scans take longer than this, no claim makes one. The scanner looks for jobs below the watermarks instead."""
    measure_scan: float = 10.0
    """How often, at most, the scanner measures whether full scans are still slow."""
    scan_check: float = 0.25
    """How often the scanner checks whether a full scan or a rescue is due."""
    warn_scan: float = 0.1
    """If a full scan takes longer than this, a warning names the sessions that keep PostgreSQL from removing dead rows."""
    full_scan_overdue: float = 5.0
    """If the scanner is this late with its look, the next claim is a full scan instead."""
    types_most: int = 1_000
    """The claimer keeps the mean durations of at most this many types. With a fallback handler there may be any number of
    types."""
    work_per_worker: float = 0.005
    """How many seconds of work in the buffer one worker is enough for. For each further such amount, one more worker joins
    in."""
    tick: float = 0.002
    """How often the idle worker checks that the others still take jobs from the buffer."""

    expiry_check: float = 4.0
    """How often each process looks for jobs that have not begun in time and that nobody claims."""
    expire_most: int = 1_000
    """How many of them one statement cancels, at most."""

    # Working
    turn: float = 0.05
    """A worker's turn begins no further job after this time. Between two turns the worker learns that the interpreter exits."""
    idle_wait: float = 0.5
    """An idle turn waits at most this long, for the same reason."""

    # Settling
    group_most: int = 500
    """How many verdicts are in one statement, at most."""
    gather: float = 0.002
    """While a process is busy, the settler waits this long between two statements, so that more verdicts go into one..."""
    gather_after: int = 4
    """... that is, after a statement with at least so many, ..."""
    gathered: int = 60
    """... unless so many wait already. A lone verdict is written at once."""
    group_bytes: int = 8 << 20
    """Roughly the most bytes that the results and errors of one statement may have together."""
    unsettled_most: int = 2_000
    """When this many verdicts wait, workers begin no job until half of them are settled."""
    unsettled_bytes: int = 32 << 20
    """The same limit for the size of the waiting verdicts."""
    refusals_in_a_row: int = 3
    """When PostgreSQL has refused this many verdicts of a group in a row, the settler defers the rest without trying them."""
    lock_patience: float = 0.2
    """A settlement waits at most this long for a lock. Then the jobs whose rows are locked are set aside..."""
    aside_check: float = 0.1
    """... and tried again this often..."""
    aside_silent: float = 1.0
    """... and after this long a warning names the sessions that hold the locks. As long, no settlement waits for a lock..."""
    aside_again: float = 5.0
    """... and so often the sessions are looked for again."""
    settle_deadline: float = 30.0
    """How long a stopping manager goes on trying to write its outcomes while the database is away."""
    shutdown_grace: float = 1.0
    """A stopping manager that has no outcome to write waits this long for the answer to a statement, and for the jobs of a
    claim whose reply was lost. It need not wait longer: other processes see in the tables which jobs it held."""

    # Figures
    stat_every: float = 10.0
    """How often a process writes what it has counted..."""
    stat_lanes: int = 200
    """... in rows for at most so many lanes, of which the last one is `other`."""
    stat_merge: float = 60.0
    """How often the fleet merges these rows..."""
    stat_merge_most: int = 2_000
    """... so many in a statement, at most..."""
    stat_turn: float = 0.05
    """... and for so long before the scanner does its other duties."""
    stats_timeout: float = 2.0
    """PostgreSQL ends a statement of `stats()` after this time."""
    stats_most: int = 100_000
    """How many pending jobs, and how many running ones, a call of `stats()` counts at most."""
    stats_lanes: int = 5_000
    """If more are pending, it looks at so many lanes at most..."""
    stats_least: int = 10
    """... and counts at least so many jobs of each before it says that there may be more..."""
    stats_lane_cost: int = 40
    """... and as many more as fit into `stats_most`, where to look at a lane costs as much as to count so many jobs."""
    latency_check: float = 5.0
    """How often it is checked how long jobs have been due, while somebody listens."""

    # What runs leave behind
    log_every: float = 1.5
    """How often the lines that runs have logged are written. A line is there two seconds after it was logged, and the rest is
    for the statement."""
    progress_every: float = 2.0
    """How often it is written how far runs are."""
    log_bytes: int = 8 << 20
    """How many bytes of unwritten lines a process keeps, at most, for all runs together."""
    records_most: int = 2_000
    """Of how many ended runs, at most, it is kept what cannot be written."""
    shift_least: float = 0.05
    """A difference of the clocks is corrected if it has changed by this much."""
    follow_check: float = 0.5
    """How often `tail()` looks for new lines."""

    # Telling
    events_most: int = 10_000
    """When this many events wait for slow listeners, no job is claimed until half of them are told."""
    on_done_most: int = 10_000
    """To forget the on_done= of jobs that ended in other processes, the scanner looks up this many jobs at a time."""

    # Waiting for jobs to end
    wait_first: float = 0.003
    """A wait looks this soon after it began whether the job has ended. A look at once would only compete with the process that
    runs a job which was just created."""
    wait_new: float = 0.02
    """Where notifications come, the first look at a job comes when the job is this old, unless it is older already: a look
    before that would still compete with the process that runs the job."""
    wait_look_first: float = 0.02
    """If no notification comes, it looks again after this time..."""
    wait_look_told: float = 0.1
    """... or after this time, if a notification has named other jobs within the last second, so that notifications come..."""
    wait_look_most: float = 0.5
    """... and then less and less often, but at least this often."""
    wait_looks: int = 50
    """How many looks a second a process makes for all its waits, at most: see `_waits/pace.py`."""
    wait_share: float = 0.25
    """Looks take at most this share of the time: after one that took long, the next comes later."""
    wait_unseen: float = 10.0
    """A job that does not exist is waited for this long, since the transaction that creates it may still be open."""
    wait_announced: int = 15
    """For how many seconds it is announced that somebody waits..."""
    wait_renewal: float = 5.0
    """... and how often it is announced again while somebody does."""
    wait_linger: float = 30.0
    """The thread of the waits ends when nobody has waited for this long."""
    wait_stopping: float = 30.0
    """A handler may go on waiting for another job for this long after its manager was asked to stop."""

    # Schedules
    schedule_check: float = 60.0
    """While there are schedules, a process looks at them at least this often, in case the database's clock was set..."""
    schedule_blind: float = 30.0
    """... and this often if no notification tells it of changes, whether there are schedules or not."""
    schedule_spread: float = 0.008
    """Processes look up to so many seconds after a tick, at random. So most of them find that another one has fired it."""
    schedule_pause: float = 0.01
    """When another process is firing a tick, this one looks again after this pause, which doubles each time..."""
    schedule_pause_most: float = 1.0
    """... up to this length: a transaction of a user's may have locked the row."""

    # Threads and health
    restart_pause: float = 0.1
    """A loop that failed begins again after this pause, which doubles with each further failure..."""
    restart_pause_most: float = 5.0
    """... up to this length."""
    replace_check: float = 0.5
    """How often the manager looks for dead worker threads."""
    log_patience: float = 0.5
    """A stop waits at most this long for its line to reach the log, which may be a pipe that nobody reads."""
    health_check: float = 1.0
    """How often the manager checks its own health, to tell the listeners of changes."""
    unhealthy_after: float = 10.0
    """A manager is unhealthy when a loop cannot reach the database, or an outcome is not written, for longer than this."""
    notify_pause: float = 10.0
    """After PostgreSQL has refused a notification, none is sent for this long."""
    listen_check: float = 60.0
    """When the server has sent nothing for this long, the notifier checks that the connection is alive."""

    # Liveness of processes
    look_interval: float = 2.0
    """How often each of up to three processes looks at the others; of more, less often: see `how_often` in
    `_engine/liveness/heartbeat.py`. Each time is up to a quarter longer or shorter, at random."""
    look_most: int = 16
    """At how many of them it looks, and at two more for each of these that seems dead."""
    suspicion: float = 3.0
    """Others take a process for dead this long after it was suspected. Until then it may open a lost connection again."""
    observer_age: float = 5.0
    """A process suspects others only when its own heartbeat connection has been open for this long."""
    silent_leases: int = 10
    """Behind a pooler a process has no session of its own. It counts as dead after this many leases without a heartbeat."""
    server_age: float = 15.0
    """No process is suspected until the server has run for this long: after a restart all processes have to connect again."""
    reconcile_looks: int = 3
    """If the tables say that a process holds a job that it does not hold, the process frees the job after it has seen that this
    many times in a row..."""
    reconcile_pause: float = 1.0
    """... with this much time between the looks."""
    rescue_most: int = 500
    """How many jobs one statement rescues, at most."""

    # Connections
    answer_within: float = 30.0
    """A connection counts as dead when a statement has had no answer for this long. A loop whose last statement was slow allows
    twice the time of that statement, if this is more. Each time a statement exceeds what the loop allows, the loop doubles
    it."""
    create_rate: int = 1_000
    """How many jobs `create_many` stores in a second, even in the worst case. Its connection gets the time for its jobs at this
    rate in addition to `answer_within`."""
    late_notify: float = 1.0
    """A notification that is sent after its job waits at most this long for a connection. The poll finds the job anyway."""
    carry_most: float = 10.0
    """An INSERT that carries the notification for others counts as lost after this long. Then another INSERT carries one."""
    backoff_first: float = 0.1
    """A loop that cannot reach the database waits this long before its next try. The wait doubles after each try..."""
    backoff_most: float = 2.0
    """... up to this length. Each wait is up to half longer or shorter, at random."""
    migrate_patience: float = 60.0
    """A migration waits at most this long for another process that migrates, or for a lock on a table."""
    prune_most: int = 1_000
    """How many jobs one batch of `prune` looks at."""
    clean_windows: float = 60.0
    """How often a process deletes the windows of `unique_for` that are over."""
    clean_most: int = 1_000
    """How many of them one statement deletes, at most."""
    prune_every: float = 60.0
    """How often the fleet prunes by `JobManager(prune=...)`."""
    prune_turn: float = 0.05
    """For so long a prune goes on before the scanner does its other duties."""
    young_plan: float = 10.0
    """How long the plan of a statement that looks for a unique key is kept, on connections for callers."""
    bulk_most: int = 1_000
    """How many jobs one batch of `cancel_all` and its siblings changes, at most..."""
    bulk_look: int = 20_000
    """... and how many it looks at."""
    bulk_rest: float = 0.25
    """After each batch it pauses for this part of the time that the batch took, so that the processes that run jobs get their
    share of the server."""
    audit_days: int = 90
    """How long the audit is kept."""
    served_check: float = 2.0
    """How often a process looks whether it is to be noted which types it has handlers for..."""
    served_renewal: float = 600.0
    """... which is noted again after this time."""
    audit_check: float = 600.0
    """How often a process asks whether the audit is to be pruned, which one process does once an hour."""

    # Asking why
    look_patience: float = 2.0
    """A statement that looks at the fleet for people takes at most so long."""
    count_most: int = 10_000
    """`why` counts at most so many jobs before one."""
