"""Processes that fire schedules are killed, frozen and cut off, while an hour of minutes goes by."""

from __future__ import annotations

import signal
import time
from collections import Counter
from datetime import UTC, datetime, timedelta

from steve import JobManager

from .faults import Site, fault
from .options import TickerOptions
from .processes import Process

START = datetime(2040, 1, 1, tzinfo=UTC)
MINUTES = 60
SECONDS = 2.0
"""How long a trial takes, about."""


@fault(
    "S1", "processes that fire schedules are killed, frozen and cut off; schedules are paused", trial="a death",
    short=10, long=80,
    expects="each of 60 minutes is one job of each of 100 schedules (long: 1,000, and 20 processes), and no other job",
)  # fmt: skip
def minutes(site: Site) -> None:
    is_long = site.trials > 20
    names = [f"s{number}" for number in range(1_000 if is_long else 100)]
    manager = JobManager(site.cluster.conninfo("setup"), schema=site.schema)
    for name in names:
        manager.set_schedule(name, "* * * * *", "tick", {"k": name}, catch_up=timedelta(hours=2 * site.patience))
    site.cluster.ask(f"update {site.schema}.schedule set last_tick = %s", [START])
    site.steered |= set(names)
    rate = MINUTES * 60 / (site.trials * SECONDS)
    options = TickerOptions(site.conninfo(), site.schema, START.isoformat(), time.time(), rate, MINUTES)

    def begin() -> Process:
        return Process("ticker", options, site.warden)

    tickers = [begin() for _ in range(20 if is_long else 6)]
    for ticker in tickers:
        ticker.answer()
    frozen: list[Process] = []
    for _ in site.each_trial():
        begun = time.monotonic()
        with site.broken("ticker"):
            for ticker in frozen:
                ticker.signal(signal.SIGCONT)
            killed = tickers.pop(site.chance.randrange(len(tickers)))
            killed.signal(signal.SIGKILL)
            killed.end()
            frozen = site.chance.sample(tickers, len(tickers) // 4)
            for ticker in frozen:
                ticker.signal(signal.SIGSTOP)
            site.cluster.terminate(site.application, share=0.3)
            some = site.chance.sample(names, 5)
            for name in some:
                manager.pause_schedule(name)
            tickers.append(begin())
            tickers[-1].answer()
            for name in some:
                manager.resume_schedule(name)
        site.pause(max(0.0, SECONDS - (time.monotonic() - begun)), SECONDS)
    for ticker in frozen:
        ticker.signal(signal.SIGCONT)
    for ticker in tickers:
        ticker.answer(120 * site.patience)
        ticker.end()
    manager.stop()
    _check(site, names)


def _check(site: Site, names: list[str]) -> None:
    rows = site.cluster.ask(f"select metadata ->> '_schedule', metadata ->> '_scheduled_for' from {site.schema}.job")
    found = Counter((name, datetime.fromisoformat(at)) for name, at in rows)
    expected = {(name, START + timedelta(minutes=number)) for name in names for number in range(1, MINUTES + 1)}
    late = {tick for tick in found if tick[1] > START + timedelta(minutes=MINUTES)}  # of processes that were slow to end
    twice = [tick for tick, count in found.items() if count > 1]
    site.expect(not twice, f"{len(twice)} ticks were fired twice: {twice[:3]}")
    lost = expected - found.keys()
    site.expect(not lost, f"{len(lost)} ticks were lost: {sorted(lost)[:3]}")
    wrong = found.keys() - expected - late
    site.expect(not wrong, f"{len(wrong)} jobs are of no tick: {sorted(wrong)[:3]}")
    site.notes["ticks"] = len(expected)
    site.cluster.ask(f"delete from {site.schema}.job")  # nobody runs them
