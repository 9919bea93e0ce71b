"""Versions of steve side by side on the same tables, and tables that are newer than the code.

The earlier version is the oldest commit of this repository that has the same migrations. The programs in tests/ that use it are
those of today.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

from tests.child import ROOT

from .cluster import ended, temporary_directory
from .faults import Site, Skipped, fault

MIGRATIONS = "steve/_database/migrations"

DONE_SECONDS = 20.0

SILENT_SECONDS = 1.0
"""How long the jobs of a type without a handler are watched."""


@fault(
    "F21",
    "an earlier version and this one side by side, with types that only one side knows, and one type that no side knows yet",
    trial="400 jobs", short=0, long=25,
    expects="each job is run by a process that knows its type, and stays pending until there is one",
)  # fmt: skip
def versions(site: Site) -> None:
    commit = _earlier()
    site.notes["the earlier version"] = commit[:7]
    with _checked_out(commit) as directory:
        within = ["env", f"PYTHONPATH={directory}:{ROOT}", "PYTHONSAFEPATH=1"]
        where = subprocess.run([*within, sys.executable, "-c", "import steve; print(steve.__file__)"], capture_output=True)
        site.expect(where.stdout.decode().startswith(str(directory)), f"the earlier version is not used: {where}")
        old = site.work(1, within=within, types=("old", "both"))
        new = site.work(1, types=("new", "both"))
        types = ("old", "both", "new", "later")
        known = f"select count(*) from {site.schema}.job where type <> 'later' and status in ('pending', 'running')"
        for _ in site.each_trial():
            with site.broken("versions"):
                site.create(most=200, every=0.002, types=types)
                site.create(most=200, every=0.002, types=types, within=within)
                site.stop_creators()
                done = site.until(lambda: site.cluster.ask(known) == [(0,)], DONE_SECONDS)
                site.expect(done, f"not done within {DONE_SECONDS:g} s: {site.cluster.ask(known)}")
        site.pause(SILENT_SECONDS, SILENT_SECONDS)
        touched = site.cluster.ask(f"select distinct status, attempts from {site.schema}.job where type = 'later'")
        site.expect(touched == [("pending", 0)], f"jobs of an unknown type were touched: {touched}")
        who = _who(site)
        of_old, of_new = {worker.pid for worker in old}, {worker.pid for worker in new}
        site.expect(who == {"old": of_old, "new": of_new, "both": of_old | of_new}, f"types were done by {who}")
        later = site.work(1, types=("later",))
        site.rest()
        site.expect(_who(site)["later"] == {worker.pid for worker in later}, f"types were done by {_who(site)}")


def _who(site: Site) -> dict[str, set[int]]:
    """Which processes did which types."""
    rows = site.cluster.ask(
        f"select type, array_agg(distinct split_part(process, ':', 2)::integer) from {ended(site.schema)} group by type"
    )
    return {type: set(pids) for type, pids in rows}


def _earlier() -> str:
    ours = {path.name: _git("hash-object", str(path)).strip() for path in (ROOT / MIGRATIONS).glob("*.sql")}
    earlier = None
    for commit in _git("log", "--format=%H", "--", "steve").split():
        tree = [line.split() for line in _git("ls-tree", commit, f"{MIGRATIONS}/").splitlines()]
        theirs = {Path(name).name: blob for _, _, blob, name in tree if name.endswith(".sql")}
        if theirs == ours and _git("diff", "--name-only", commit, "--", "steve"):
            earlier = commit
    if earlier is None:
        raise Skipped("no earlier version has these migrations")
    return earlier


@contextmanager
def _checked_out(commit: str) -> Iterator[Path]:
    """The commit's steve/, in a directory that is removed at the end."""
    directory = temporary_directory()
    archive = subprocess.run(["git", "archive", commit, "steve"], cwd=ROOT, capture_output=True, check=True).stdout
    try:
        with tarfile.open(fileobj=BytesIO(archive)) as files:
            files.extractall(directory, filter="data")
        yield directory
    finally:
        shutil.rmtree(directory)


def _git(*arguments: str) -> str:
    try:
        return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        raise Skipped("this is no git repository: there is no earlier version at hand") from None


@fault(
    "F21b", "a process starts on tables to which a newer version has applied a contract", trial="a start", short=2, long=10,
    expects="the start raises SchemaError and changes nothing; "
    "an expand migration that the process does not know does not matter",
)  # fmt: skip
def newer_tables(site: Site) -> None:
    migration = f"{site.schema}.migration"
    for _ in site.each_trial():
        site.create(most=50)
        site.stop_creators()
        with site.broken("contract"):
            site.cluster.ask(
                f"insert into {migration} (number, name, kind, checksum) values (9998, '9998_expand_x', 'expand', ''), "
                "(9999, '9999_contract_x', 'contract', '')"
            )
            before = _state(site)
            (worker,) = site.work(1)
            code = worker.wait()
            site.expect(code and "steve.SchemaError: the tables are too new" in worker.wrote(), f"it ended with {code}")
            site.expect(_state(site) == before, "it touched something")
            site.workers.remove(worker)
            worker.end()
            site.cluster.ask(f"delete from {migration} where kind = 'contract'")
        (worker,) = site.work(1)
        site.expect(site.drain(DONE_SECONDS), "it did not work with an expand migration that it does not know")
        worker.tell("stop")
        site.workers.remove(worker)
        site.wind_down(worker)
        site.cluster.ask(f"delete from {migration} where number = 9998")


def _state(site: Site) -> object:
    """A checksum of all rows."""
    return [
        site.cluster.ask(f"select md5(string_agg(one::text, '|' order by one::text)) from {site.schema}.{table} one")
        for table in ("job", "attempt", "process", "migration")
    ]
