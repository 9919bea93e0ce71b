"""Of all processes one prunes: it takes the turn and keeps it while it is at work (steve/_engine/upkeep/pruning.py)."""

from collections.abc import Callable
from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import psycopg
import pytest

from steve import JobManager
from steve._database.failures import Transient
from steve._database.statements import statements_for
from steve._database.statements.jobs import Old, Pruned
from steve._engine.upkeep.pruning import Pruning
from steve._model.settings import Settings
from steve._model.tuning import Tuning

EVERY = 60.0


class Process:
    """The duty of one process, with a clock of its own, on one turn of the fleet."""

    def __init__(self, fleet: "Fleet") -> None:
        self.now = 1_000.0
        self.fleet = fleet
        self.walked: list[UUID | None] = []
        statements = SimpleNamespace(jobs=self, audit=fleet)
        settings = Settings(prune={"completed": timedelta(days=1)}, tuning=Tuning(prune_every=EVERY, prune_turn=0.5))
        pruning = Pruning(
            connection=self,  # type: ignore[arg-type]
            statements=statements,  # type: ignore[arg-type]
            settings=settings,
            clock=lambda: self.now,
        )
        _, duty = pruning.duties()
        self.work = duty.work
        self.batches = 3
        """How many batches a walk takes."""

    def call(self, statement: Callable[[object], Any]) -> Any:
        if self.fleet.is_away:
            raise Transient("away")
        return statement(None)

    def prune_jobs(self, connection: object, old: Old, after: UUID | None, most: int) -> Pruned:
        self.now += 1.0  # more than prune_turn: one batch each time
        self.fleet.now += 1.0
        self.walked.append(after)
        return Pruned(0, UUID(int=len(self.walked)) if len(self.walked) % self.batches else None, False)


class Fleet:
    """The row of the table `duty`."""

    def __init__(self) -> None:
        self.now = 0.0
        self.kept_at: float | None = None
        self.is_away = False

    def take_turn(self, connection: object, name: str, every: timedelta, mine: Any = None) -> Any:
        if self.kept_at in (None, mine) or self.kept_at <= self.now - every.total_seconds():  # type: ignore[operator]
            self.kept_at = self.now
            return self.now
        return None


@pytest.fixture
def fleet() -> Fleet:
    return Fleet()


def test_a_walk_goes_on_from_turn_to_turn_and_the_next_begins_later(fleet: Fleet) -> None:
    process = Process(fleet)
    for _ in range(5):
        process.work()
    assert process.walked == [None, UUID(int=1), UUID(int=2)]
    process.now += EVERY
    fleet.now += EVERY
    process.work()
    assert process.walked[3:] == [None]


def test_another_process_does_not_begin_while_a_long_walk_goes_on(fleet: Fleet) -> None:
    one, another = Process(fleet), Process(fleet)
    one.batches = 1_000
    for _ in range(200):
        one.work()
        another.now += 1.0
        another.work()
    assert len(one.walked) == 200
    assert another.walked == []


def test_the_walk_of_a_process_that_died_is_begun_anew_by_another(fleet: Fleet) -> None:
    one, another = Process(fleet), Process(fleet)
    one.work()
    for _ in range(130):
        fleet.now += 1.0
        another.now += 1.0
        another.work()
    assert one.walked == [None]
    assert another.walked[0] is None
    assert len(another.walked) >= 3


def test_a_process_that_was_held_up_for_long_has_lost_its_turn(fleet: Fleet) -> None:
    one, another = Process(fleet), Process(fleet)
    one.work()
    fleet.now += EVERY
    another.work()
    one.now += EVERY
    one.work()
    assert one.walked == [None]
    assert another.walked == [None]


def test_an_outage_ends_the_walk(fleet: Fleet) -> None:
    process = Process(fleet)
    process.work()
    fleet.is_away = True
    process.work()
    fleet.is_away = False
    process.work()
    assert process.walked == [None]


def test_the_turn_goes_to_one_and_is_kept_by_that_one_alone(manager: JobManager, conn: psycopg.Connection, schema: str) -> None:
    turns = statements_for(Settings(schema=schema)).audit
    hour = timedelta(hours=1)
    mine = turns.take_turn(conn, "walk", hour)
    assert isinstance(mine, datetime)
    assert turns.take_turn(conn, "walk", hour) is None
    assert turns.take_turn(conn, "walk", hour, mine - timedelta(microseconds=1)) is None
    assert turns.take_turn(conn, "another", hour) is not None
    kept = turns.take_turn(conn, "walk", hour, mine)
    assert kept is not None
    assert kept > mine
    assert turns.take_turn(conn, "walk", hour, mine) is None
    for other in ("-", "+"):  # for an hour nobody has kept it; the server's clock was set back
        conn.execute(f"update {schema}.duty set kept_at = now() {other} interval '61 minutes' where name = 'walk'")
        assert turns.take_turn(conn, "walk", hour) is not None
