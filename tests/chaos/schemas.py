"""Migrations: by many processes at once, and by one that is killed in the middle."""

from __future__ import annotations

import signal
import subprocess

from .faults import Site, fault

PROCESSES = 10


@fault(
    "F19", f"{PROCESSES} processes migrate an empty database at once", trial="a round", short=3, long=20,
    expects="all processes succeed, and the schema is the one that a single process makes",
)  # fmt: skip
def migrators(site: Site) -> None:
    processes = site.migrators(PROCESSES)
    wanted = _dump(site, site.schema)
    try:
        for _ in site.each_trial():
            with site.broken("migrate"):
                for process in processes:
                    process.tell("chaos_migrated")
                answers = [process.answer() for process in processes]
            site.expect(answers == [None] * PROCESSES, f"a migration failed: {[a for a in answers if a]}")
            site.expect(_dump(site, "chaos_migrated") == wanted, "the schema is another")
            site.cluster.ask("drop schema if exists chaos_migrated cascade")
    finally:
        for process in processes:
            process.end()


@fault(
    "F20", "the migrating process, or the server, is killed at a random moment", trial="a kill", short=0, long=60,
    expects="the tables say truly which migrations are applied, and the next migration completes them",
)  # fmt: skip
def migration_killed(site: Site) -> None:
    wanted = _dump(site, site.schema)
    for number in site.each_trial():
        (process, other) = site.migrators(2)
        try:
            with site.broken("kill"):
                process.tell("chaos_migrated")
                site.pause(0.0, 0.03)
                if number % 6 == 5:
                    site.cluster.restart("immediate")
                else:
                    process.signal(signal.SIGKILL)
            halfway = site.cluster.ask("select count(*) from pg_namespace where nspname = 'chaos_migrated'")[0][0]
            site.notes["had been committed"] = site.notes.get("had been committed", 0) + halfway
            if halfway:
                site.expect(_dump(site, "chaos_migrated") == wanted, "half a schema was committed")
            other.tell("chaos_migrated")
            error = other.answer()
            site.expect(error is None, f"the next migration failed: {error}")
            site.expect(_dump(site, "chaos_migrated") == wanted, "the schema is another")
            site.cluster.ask("drop schema if exists chaos_migrated cascade")
        finally:
            process.end()
            other.end()


def _dump(site: Site, schema: str) -> str:
    dumped = subprocess.run(
        [str(site.cluster.bin / "pg_dump"), "--schema-only", f"--schema={schema}", site.conninfo()],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    # pg_dump writes a random word into lines that begin with a backslash
    lines = [line for line in dumped.stdout.splitlines() if not line.startswith("\\")]
    return "\n".join(lines).replace(schema, "SCHEMA")
