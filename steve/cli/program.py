"""Reads the command line, calls the command, and turns what it raises into a line on stderr and an exit code."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Sequence

from steve import SteveError, __version__
from steve.cli import completion, demo, fleet, jobs, jobs_acting, running, schedules, tables
from steve.cli.command import (
    BROKEN_PIPE,
    ERROR,
    INTERRUPTED,
    NOTHING_FOUND,
    USAGE,
    Command,
    Interrupted,
    UsageError,
    refuse_password,
)
from steve.cli.text import escaped

EPILOG = """\
exit codes: 0 done; 1 an error; 2 wrong arguments, or nobody to confirm; 3 nothing found; 4 a condition is not met;
5 partly done; 130 interrupted. Data goes to stdout, everything else to stderr."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit code. `arguments`: None stands for the program's own command line."""
    options = parser().parse_args(arguments)
    # psycopg logs a warning for each refused connection. Without a handler Python would print it to stderr.
    logging.getLogger("psycopg").addHandler(logging.NullHandler())
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="backslashreplace")  # where the locale knows fewer characters
    try:
        refuse_password(getattr(options, "database_url", None))
        code: int = options.run(Command(options))
        sys.stdout.flush()
    except BrokenPipeError:
        # Otherwise Python would complain when it flushes stdout at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE
    except (KeyboardInterrupt, Interrupted) as error:
        return _ended(str(error) or "interrupted", INTERRUPTED)
    except UsageError as error:
        return _ended(error, USAGE)
    except LookupError as error:  # no such job, no such schedule
        return _ended(error.args[0] if error.args else error, NOTHING_FOUND)
    except (SteveError, ValueError, TypeError) as error:
        return _ended(error, ERROR)
    return code


def _ended(error: object, code: int) -> int:
    print("steve:", escaped(" ".join(str(error).split())), file=sys.stderr)  # libpq's messages have several lines
    return code


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        prog="steve",
        description="Background jobs on PostgreSQL.",
        epilog=EPILOG,
        allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument("--version", action="version", version=f"steve {__version__}")
    commands = made.add_subparsers(title="commands", required=True, metavar="COMMAND")
    fleet.add_status(commands)
    jobs_commands = jobs.add(commands)
    jobs_acting.add(jobs_commands)
    jobs.add_why(commands)
    jobs.add_failures(commands)
    fleet.add(commands)
    schedules.add(commands)
    jobs.add_wait(commands)
    running.add(commands)
    tables.add(commands)
    demo.add(commands)
    completion.add(commands, parser)
    return made
