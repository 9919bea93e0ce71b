"""For the owner of the schema: `migrate`, `grants`; and `prune`, for cron."""

from __future__ import annotations

from typing import Any

from steve import Status
from steve.cli.arguments import age, tag
from steve.cli.command import DONE, NOT_MET, Command, add_database, add_parser, add_schema
from steve.cli.output import Column

MIGRATION_COLUMNS = [Column("migration")]
PRUNE_COLUMNS = [Column("deleted")]


def add(commands: Any) -> None:
    migrate = commands.add_parser(
        "migrate",
        help="create the tables in a database, or bring them up to date",
        description="Applies the migrations that the database lacks and prints their names. Run it as the schema's owner.",
    )
    add_database(migrate)
    migrate.add_argument(
        "--contract",
        action="store_true",
        help="also apply the migrations that break older versions of steve, once no process runs one any more",
    )
    what = migrate.add_mutually_exclusive_group()
    what.add_argument("--dry-run", action="store_true", help="change nothing, print the SQL")
    what.add_argument("--check", action="store_true", help="change nothing, end with the code 4 if a migration is lacking")
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
    add_schema(grant)
    grant.set_defaults(run=_grants)

    prune = add_parser(
        commands,
        "prune",
        "delete jobs that ended long ago",
        "Deletes the jobs that ended at least AGE ago, with their attempts, and prints how many.",
    )
    prune.add_argument(
        "--older-than", metavar="AGE", type=age, required=True, help="a number and d, h, m or s: 30d, 12h, 90m, 45s"
    )
    prune.add_argument("--status", choices=[Status.COMPLETED.value, Status.FAILED.value, Status.CANCELLED.value])
    prune.add_argument("--type", help="only jobs of this type")
    prune.add_argument("--tag", metavar="NAME=VALUE", type=tag, action="append", dest="tags", help="may be repeated")
    prune.set_defaults(run=_prune)


def _migrate(command: Command) -> int:
    options, output = command.options, command.output
    with command.manager() as manager:
        if options.check:
            is_lacking = bool(manager.migrate(contract=options.contract, dry_run=True))
            output.line("migrations are lacking: run `steve migrate`" if is_lacking else "the tables are up to date")
            return NOT_MET if is_lacking else DONE
        lines = manager.migrate(contract=options.contract, dry_run=options.dry_run)
    for line in lines or ["-- nothing to do"]:  # an SQL comment, so that psql accepts the output of every dry run
        output.line(line)
    return DONE


def _grants(command: Command) -> int:
    from steve import grants  # imported here: --help does not need it

    options = command.options
    roles = {name: getattr(options, name) for name in ("producer", "worker", "reader", "completer")}
    command.output.stdout.write(grants(getattr(options, "schema", "steve"), **roles, unique=options.unique))
    return DONE


def _prune(command: Command) -> int:
    options = command.options
    tags = dict(options.tags) if options.tags else None
    with command.manager() as manager:
        deleted = manager.prune(older_than=options.older_than, status=options.status, type=options.type, tags=tags)
    if command.output.form == "table":
        command.output.line(f"{deleted:,} jobs deleted")
    else:
        command.output.record(PRUNE_COLUMNS, {"deleted": deleted})
    return DONE
