"""The command line, `python -m steve`: `migrate` and `grants` for the owner of the schema, `prune` for cron, and `demo`.

It reads the arguments, calls public functions and prints. An error is printed as one line on stderr, with the exit code 1 (2 if
the arguments are wrong).
"""

import argparse
import logging
import re
import sys
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

from steve import JobManager, SteveError, __version__, grants

UNITS = {"d": "days", "h": "hours", "m": "minutes", "s": "seconds"}


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit code. `arguments`: None stands for the program's own command line."""
    options = _parser().parse_args(arguments)
    # psycopg logs a warning for each refused connection. Without a handler Python would print it to stderr.
    logging.getLogger("psycopg").addHandler(logging.NullHandler())
    try:
        code: int = options.run(options)
    except (SteveError, ValueError) as error:
        print("steve:", " ".join(str(error).split()), file=sys.stderr)  # libpq's messages have several lines
        return 1
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m steve", description="Background jobs on PostgreSQL.")
    parser.add_argument("--version", action="version", version=f"steve {__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")

    migrate = commands.add_parser(
        "migrate",
        help="create the tables in a database, or bring them up to date",
        description="Applies the migrations that the database lacks and prints their names. Run it as the schema's owner.",
    )
    _add_database(migrate)
    _add_schema(migrate)
    migrate.add_argument(
        "--contract",
        action="store_true",
        help="also apply the migrations that break older versions of steve, once no process runs one any more",
    )
    migrate.add_argument("--dry-run", action="store_true", help="change nothing, print the SQL")
    migrate.set_defaults(run=_migrate)

    grant = commands.add_parser(
        "grants",
        help="print the SQL that gives roles the rights they need, and no others",
        description="Prints GRANT statements, to be run as the schema's owner. Create the roles yourself.",
    )
    grant.add_argument("--producer", metavar="ROLE", help="creates jobs; cannot read, run, change or delete any")
    grant.add_argument("--worker", metavar="ROLE", help="creates, runs, looks at and prunes jobs")
    grant.add_argument("--reader", metavar="ROLE", help="looks at jobs")
    grant.add_argument("--completer", metavar="ROLE", help="completes jobs in the transactions of their handlers")
    grant.add_argument("--unique", action="store_true", help="the producer and the worker may also create jobs with a key")
    _add_schema(grant)
    grant.set_defaults(run=_grants)

    prune = commands.add_parser(
        "prune",
        help="delete jobs that ended long ago",
        description="Deletes the jobs that ended at least AGE ago, with their attempts, and prints how many.",
    )
    prune.add_argument(
        "--older-than", metavar="AGE", type=_age, required=True, help="a number and d, h, m or s: 30d, 12h, 90m, 45s"
    )
    _add_database(prune)
    _add_schema(prune)
    prune.set_defaults(run=_prune)

    demo = commands.add_parser(
        "demo",
        help="watch it work: one job for every text file under a folder",
        description="Hashes every text file under a folder and counts its words, one job each, on a throw-away PostgreSQL. "
        "Shows how jobs are retried, which of them fail and why, and how long they take.",
    )
    demo.add_argument("path", metavar="PATH", nargs="?", type=Path, help="default: Python's standard library")
    demo.add_argument("--database-url", metavar="URL", help="this PostgreSQL instead of a throw-away one")
    demo.add_argument(
        "--schema", metavar="NAME", default="steve_demo", help='created for the demo, then dropped; default: "steve_demo"'
    )
    demo.add_argument("--workers", metavar="N", type=int, default=4, help="jobs that run at a time; default: 4")
    demo.set_defaults(run=_demo)
    return parser


def _add_database(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--database-url", metavar="URL", help="default: STEVE_DATABASE_URL, else libpq's PG* variables")


def _add_schema(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--schema", metavar="NAME", default="steve", help='where the tables are; default: "steve"')


def _age(text: str) -> timedelta:
    match = re.fullmatch("([0-9]{1,9})([dhms])", text)
    if match is None:
        raise argparse.ArgumentTypeError(f"must be a number and d, h, m or s, such as 30d or 12h, not {text!r}")
    return timedelta(**{UNITS[match[2]]: int(match[1])})


def _migrate(options: argparse.Namespace) -> int:
    manager = JobManager(options.database_url, schema=options.schema)
    try:
        lines = manager.migrate(contract=options.contract, dry_run=options.dry_run)
    finally:
        manager.stop()
    for line in lines or ["-- nothing to do"]:  # an SQL comment, so that psql accepts the output of every dry run
        print(line)
    return 0


def _grants(options: argparse.Namespace) -> int:
    roles = {name: getattr(options, name) for name in ("producer", "worker", "reader", "completer")}
    print(grants(options.schema, **roles, unique=options.unique), end="")
    return 0


def _prune(options: argparse.Namespace) -> int:
    manager = JobManager(options.database_url, schema=options.schema)
    try:
        count = manager.prune(older_than=options.older_than)
    finally:
        manager.stop()
    print(f"{count:,} jobs deleted")
    return 0


def _demo(options: argparse.Namespace) -> int:
    try:
        from steve import demo  # imported here: only the demo needs these extra packages
    except ModuleNotFoundError as missing:
        raise SteveError(f"the demo needs {missing.name}: pip install 'steve-jobs[demo]'") from missing
    return demo.run(options.path, options.database_url, schema=options.schema, workers=options.workers)
