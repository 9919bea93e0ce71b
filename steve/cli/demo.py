"""`demo`: watch it work."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from steve import SteveError
from steve.cli.command import Command


def add(commands: Any) -> None:
    demo = commands.add_parser(
        "demo",
        help="watch it work: one job for every text file under a folder",
        description="Hashes every text file under a folder and counts its words, one job each, on a throw-away PostgreSQL. "
        "Shows how jobs are retried, which of them fail and why, and how long they take.",
    )
    demo.add_argument("path", metavar="PATH", nargs="?", type=Path, help="default: Python's standard library")
    demo.add_argument("--database-url", metavar="URL", help="this PostgreSQL instead of a throw-away one; without a password")
    demo.add_argument(
        "--schema", metavar="NAME", default="steve_demo", help='created for the demo, then dropped; default: "steve_demo"'
    )
    demo.add_argument("--workers", metavar="N", type=int, default=4, help="jobs that run at a time; default: 4")
    demo.set_defaults(run=_demo)


def _demo(command: Command) -> int:
    options = command.options
    try:
        from steve import demo  # imported here: only the demo needs these extra packages
    except ModuleNotFoundError as missing:
        raise SteveError(f"the demo needs {missing.name}: pip install 'steve-jobs[demo]'") from missing
    return demo.run(options.path, options.database_url, schema=options.schema, workers=options.workers)
