"""A long run under load: does a process, or a table, grow?"""

from __future__ import annotations

import time
from pathlib import Path
from typing import NamedTuple

from .cluster import opened
from .faults import Site, Skipped, fault
from .processes import Process

WARM_MINUTES = 5
"""After so many minutes a process may hardly grow any more."""

RATE = 200
"""Jobs a second."""

NAPTIME = 20
"""Seconds between two runs of autovacuum."""

DEAD_ROWS = "select n_dead_tup from pg_stat_all_tables where schemaname = %s and relname = 'job'"


class Held(NamedTuple):
    """What a process holds, or by how much each may grow."""

    memory: float
    """Resident, in MiB."""
    files: int
    threads: int
    connections: int


MAY_GROW = Held(5.0, 2, 0, 1)


@fault(
    "F23", f"a long run: {RATE} jobs/s; now and then sessions are terminated and a process is killed",
    trial="a minute", short=0, long=20, open=lambda warden: opened(warden, autovacuum_naptime=f"{NAPTIME}s"),
    expects=f"from minute {WARM_MINUTES} on a process grows by less than {MAY_GROW.memory:g} MiB, {MAY_GROW.files} files, no "
    f"thread, {MAY_GROW.connections} connection; there are fewer dead rows than three times what is settled between two "
    "autovacuums",
)  # fmt: skip
def soak(site: Site) -> None:
    if not Path("/proc/self/statm").exists():
        raise Skipped("needs /proc")
    lasting = site.work(2)
    site.work(1)
    site.create(threads=4, every=4 / RATE, many=0, own=0)
    samples: list[list[Held]] = []
    dead: list[int] = []
    for number in site.each_trial():
        for _ in range(3):
            time.sleep(15)
            if number >= WARM_MINUTES:
                dead.append(site.cluster.ask(DEAD_ROWS, [site.schema])[0][0])
            with site.broken("sessions end"):
                site.cluster.terminate(site.application, 0.3)
        if number % 3 == 2:
            (third,) = [worker for worker in site.workers if worker not in lasting]
            site.kill(third)
            site.respawn(third).answer()
            site.note("healed")
        time.sleep(10)  # by then lost connections are open again
        samples.append([_held(site, worker) for worker in lasting])
    if len(samples) <= WARM_MINUTES:
        raise Skipped(f"needs more than {WARM_MINUTES} minutes: --trials")
    first, last = samples[WARM_MINUTES - 1], samples[-1]
    for worker, before, after in zip(lasting, first, last, strict=True):
        grown = Held(*(round(now - then, 1) for then, now in zip(before, after, strict=True)))
        site.notes[f"worker {worker.pid} grew"] = dict(grown._asdict())
        for what, most in MAY_GROW._asdict().items():
            site.expect(getattr(grown, what) <= most, f"worker {worker.pid} grew by {getattr(grown, what)} {what}")
    site.notes["dead rows at most"] = max(dead)
    site.expect(max(dead) < 3 * RATE * NAPTIME, f"{max(dead)} dead rows")


def _held(site: Site, worker: Process) -> Held:
    proc = Path("/proc") / str(worker.pid)
    status = dict(line.split(":", 1) for line in (proc / "status").read_text().splitlines())
    sockets = site.cluster.ask(
        "select count(*) from pg_stat_activity where application_name = %s and client_port = any(%s)",
        [site.application, _ports(proc)],
    )
    files = len(list((proc / "fd").iterdir()))
    return Held(int(status["VmRSS"].split()[0]) / 1024, files, int(status["Threads"]), sockets[0][0])


def _ports(proc: Path) -> list[int]:
    """The local ports of the process's TCP connections."""
    inodes = {link.readlink().name for link in (proc / "fd").iterdir() if str(link.readlink()).startswith("socket:")}
    ports = []
    for line in (proc / "net" / "tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if f"socket:[{fields[9]}]" in inodes:
            ports.append(int(fields[1].split(":")[1], 16))
    return ports
