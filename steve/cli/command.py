"""What a command works with: its arguments, its output, a manager; the exit codes; and questions to the user."""

from __future__ import annotations

import argparse
import getpass
import os
import signal
import socket
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING, Any

from steve.cli.output import FORMS, Column, Output
from steve.cli.text import escaped

if TYPE_CHECKING:
    from steve import JobManager

DONE, ERROR, USAGE, NOTHING_FOUND, NOT_MET, PARTLY, INTERRUPTED = 0, 1, 2, 3, 4, 5, 130
BROKEN_PIPE = 141
"""As a shell says of a program that SIGPIPE ended."""


class UsageError(Exception):
    """The arguments do not go together. The program ends with the code 2."""


class Interrupted(Exception):
    """Ctrl-C, between two steps of a long call."""


class Command:
    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.output = Output(getattr(options, "output", "table"), quiet=getattr(options, "quiet", False))

    @contextmanager
    def manager(self) -> Iterator[JobManager]:
        """A manager that is not started. What it changes stands in `audit` under the name of this user."""
        from steve import JobManager  # imported here, as psycopg below: --help needs neither

        options = self.options
        url = getattr(options, "database_url", None)
        refuse_password(url)
        manager = JobManager(url, schema=getattr(options, "schema", "steve"))
        try:
            with manager.acting_as(actor()):
                yield manager
        finally:
            manager.stop()

    def found(self, columns: Sequence[Column], rows: Any, nothing: str) -> int:
        """Print the rows. Returns the exit code. `nothing`: what to say if there are none."""
        if self.output.rows(columns, rows):
            return DONE
        self.output.say(nothing)
        return NOTHING_FOUND

    def confirm(self, question: str) -> bool:
        """Whether the user wants it. Raises UsageError where nobody can be asked."""
        if getattr(self.options, "yes", False):
            return True
        if not (sys.stdin.isatty() and sys.stderr.isatty()):
            raise UsageError(f"{question} Nobody is here to answer: say --yes")
        print(escaped(question), "[y/N] ", end="", file=sys.stderr, flush=True)
        return sys.stdin.readline().strip().lower() in ("y", "yes")


def actor() -> str:
    """user@host, for `audit`."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # no name for this number
        user = str(os.getuid()) if hasattr(os, "getuid") else "unknown"
    return f"{user}@{socket.gethostname()}"[:255]


def refuse_password(url: str | None) -> None:
    """Raises UsageError if the conninfo, which was an argument, has a password."""
    if url is None:
        return
    from psycopg import ProgrammingError
    from psycopg.conninfo import conninfo_to_dict

    try:
        parts = conninfo_to_dict(url)
    except (ProgrammingError, ValueError):
        return  # JobManager says what is wrong with it
    if "password" in parts or "sslpassword" in parts:
        raise UsageError(
            "--database-url has a password, which every user of this machine can read: leave it out, and use ~/.pgpass, "
            "PGPASSWORD, a service file, or STEVE_DATABASE_URL in place of the option"
        )


@contextmanager
def ctrl_c_between_steps() -> Iterator[list[int]]:
    """The first Ctrl-C only notes that it came: the list is not empty then. The second one interrupts at once."""
    came: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        came.append(number)
        if len(came) > 1:
            raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, note)
    try:
        yield came
    finally:
        signal.signal(signal.SIGINT, before)


def add_output(parser: argparse.ArgumentParser) -> None:
    # The defaults are left out: otherwise those of a group (`queues`) would hide what was said to its command (`queues list`).
    missing = argparse.SUPPRESS
    parser.add_argument(
        "-o", "--output", choices=FORMS, default=missing, help="table (the default), json, jsonl (an object a line) or csv"
    )
    parser.add_argument("-q", "--quiet", action="store_true", default=missing, help="say nothing on stderr but errors")


def add_database(parser: argparse.ArgumentParser) -> None:
    missing = argparse.SUPPRESS
    parser.add_argument(
        "--database-url",
        metavar="URL",
        default=missing,
        help="without a password; default: STEVE_DATABASE_URL, else libpq's PG* variables",
    )
    add_schema(parser)


def add_schema(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--schema", metavar="NAME", default=argparse.SUPPRESS, help='where the tables are; default: "steve"')


def add_parser(commands: Any, name: str, help: str, description: str | None = None) -> argparse.ArgumentParser:
    """A command that prints data and asks the database."""
    text = description or f"{help[0].upper()}{help[1:]}."
    parser: argparse.ArgumentParser = commands.add_parser(name, help=help, description=text)
    add_output(parser)
    add_database(parser)
    return parser
