"""Which jobs a command is about: the same filters to list them and to change them."""

from __future__ import annotations

import argparse
from typing import Any

from steve import Status
from steve.cli.arguments import moment, tag

NAMES = (
    "status", "type", "queue", "tags", "error", "created_before", "created_after", "ended_before", "ended_after",
)  # fmt: skip


def add_filters(parser: argparse.ArgumentParser, statuses: list[str] | None = None) -> None:
    group = parser.add_argument_group("filters", "A job must match all of them. TIME is a time, or an age such as 24h.")
    group.add_argument("--status", choices=statuses or [status.value for status in Status])
    group.add_argument("--type")
    group.add_argument("--queue")
    group.add_argument("--tag", metavar="NAME=VALUE", type=tag, action="append", dest="tags", help="may be repeated")
    group.add_argument("--error", metavar="TEXT", help="the last error contains it, in the same case")
    group.add_argument("--created-before", metavar="TIME", type=moment)
    group.add_argument("--created-after", metavar="TIME", type=moment)
    group.add_argument("--ended-before", metavar="TIME", type=moment)
    group.add_argument("--ended-after", metavar="TIME", type=moment)


def filters_of(options: argparse.Namespace) -> dict[str, Any]:
    """What was given, as the manager's methods take it."""
    given = {name: value for name in NAMES if (value := getattr(options, name, None)) is not None}
    if "tags" in given:
        given["tags"] = dict(given["tags"])
    return given
