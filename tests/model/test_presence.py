"""What a process says of itself: its size is limited, PostgreSQL can always hold it, and what is read back is what was said."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from steve._model.presence import NAMES_MOST, Presence, ProcessRow, Run, process_of, text_of
from steve.presence import Pool, Process

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def presence(**fields: Any) -> Presence:
    return Presence([Pool(None, (), 2, 1)], ["a"], False, 3)._replace(**fields)


def read(info: str | None, **columns: Any) -> Process:
    return process_of(ProcessRow(7, "host:1", "1.0", NOON, NOON, 2.0, 60.0, False, info)._replace(**columns))


def test_what_is_read_is_what_was_said() -> None:
    pools = [Pool(("a", "b"), (), 2, 1), Pool(None, ("c",), 3, 0)]
    runs = [Run(UUID(int=1), "a", 3.5)]
    said = presence(
        pools=pools, types=["a", "b"], any_type=True, max_crashes=5, runs=runs, buffered=4, stuck=[UUID(int=1)], alone=True,
        quiet=True, stopping=True, problems=["no"], pace=12.5, scan_seconds=0.25,
    )  # fmt: skip
    process = read(text_of(said))
    assert process.pools == tuple(pools)
    assert (process.types, process.any_type, process.max_crashes, process.buffered) == (("a", "b"), True, 5, 4)
    assert (process.stuck, process.alone, process.quiet, process.stopping) == ((UUID(int=1),), True, True, True)
    assert (process.problems, process.pace, process.scan_seconds) == (("no",), 12.5, 0.25)
    assert [(run.uid, run.type, run.begun) for run in process.running] == [(UUID(int=1), "a", NOON - timedelta(seconds=3.5))]


def test_the_fifty_runs_that_began_first_are_said_and_the_others_counted() -> None:
    process = read(text_of(presence(runs=[Run(UUID(int=n), "a", float(n)) for n in range(60)])))
    assert [run.uid.int for run in process.running] == [*range(59, 9, -1)]
    assert process.not_shown == 10


def test_if_the_names_of_the_types_do_not_fit_the_process_may_have_any_type() -> None:
    process = read(text_of(presence(types=[f"{n:0255}" for n in range(1_000)])))
    assert sum(map(len, process.types)) <= NAMES_MOST
    assert process.any_type


def test_problems_are_cut() -> None:
    assert len(text_of(presence(problems=["x" * 10_000] * 100))) < 5_000


@pytest.mark.parametrize("ascii", [False, True])
def test_the_database_can_hold_every_character(ascii: bool) -> None:
    text = text_of(presence(types=["caf\xe9"], problems=["a\x00b\ud800c"]), ascii=ascii)
    text.encode()
    assert "\\u" not in json.loads(text)["types"][0]
    assert "\x00" not in json.loads(text)["problems"][0]
    assert text.isascii() is ascii


POOL = Pool(None, ("c",), 2, 0)


@pytest.mark.parametrize(
    ("pools", "queue", "found"),
    [
        ([], "a", None),
        ([POOL], "a", POOL),
        ([POOL], "c", None),
        ([POOL, Pool(("a",), (), 1, 1)], "a", Pool(("a",), (), 1, 1)),
        ([POOL, Pool(("a",), (), 1, 1)], "b", POOL),
        ([Pool(("a",), (), 1, 1)], "b", None),
    ],
)
def test_the_pool_that_names_a_queue_serves_it(pools: list[Pool], queue: str, found: Pool | None) -> None:
    assert read(text_of(presence(pools=pools))).pool_for(queue) == found


@pytest.mark.parametrize(
    ("columns", "alive"),
    [({}, True), ({"suspected": True}, False), ({"heartbeat_age": 60.0}, False), ({"heartbeat_age": 59.9}, True)],
)
def test_a_process_is_alive_until_its_lease_is_over_or_others_suspect_it(columns: dict[str, Any], alive: bool) -> None:
    assert read("{}", **columns).alive is alive


@pytest.mark.parametrize(
    "info",
    [None, "", "[", "7", "null", '{"pools": [7, {}], "running": [7, [1, 2], ["x", "a", 1]], "stuck": ["x"], "problems": {}}',
     '{"pace": -1, "buffered": "3", "max_crashes": true, "types": "a", "any_type": 1, "scan_seconds": []}', "[" * 100_000],
)  # fmt: skip
def test_nonsense_is_left_out(info: str | None) -> None:
    assert read(info) == Process(7, "host:1", "1.0", NOON, NOON, 2.0, 60.0, True)
    assert read(info).running == ()
