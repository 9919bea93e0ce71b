"""The scout, which looks whether there are schedules for a scheduler that sleeps."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from steve._database.failures import Transient
from steve._engine.upkeep.scheduler import ScheduleBell, Scout
from steve._model.tuning import Tuning


class Bell(ScheduleBell):
    def __init__(self) -> None:
        super().__init__()
        self.rings = 0

    def wake(self) -> None:
        self.rings += 1


class Looks:
    """A database with some schedules, and on which connections somebody has looked for them."""

    def __init__(self) -> None:
        self.schedules: list[str] = []
        self.on: list[str] = []
        self.is_claiming = False
        self.is_listening = True
        self.is_away = False
        self.bell = Bell()
        statements: Any = self
        self.scout = Scout(
            connection=self.line("scanner"),
            between_claims=lambda call: None if self.is_claiming else call(self.line("claim")),
            statements=statements,
            bell=self.bell,
            is_listening=lambda: self.is_listening,
            tuning=Tuning(),
        )

    def line(self, name: str) -> Any:
        looks = self

        class Line:
            def call(self, statement: Callable[[Any], Any]) -> Any:
                if looks.is_away:
                    raise Transient("away")
                looks.on.append(name)
                return statement(None)

        return Line()

    def look_at_schedules(self, connection: object) -> tuple[datetime, list[str]]:
        return datetime.now(UTC), self.schedules

    def do(self, interval: float) -> None:
        """The duties with this interval."""
        for duty in self.scout.duties():
            if duty.interval == interval:
                duty.work()


@pytest.fixture
def looks() -> Looks:
    return Looks()


def test_a_schedule_of_which_no_notification_told_is_found_within_a_minute(looks: Looks) -> None:
    looks.do(60.0)
    assert (looks.on, looks.bell.rings) == (["claim"], 0)
    looks.schedules = ["nightly"]
    looks.do(30.0)
    assert (looks.on, looks.bell.rings) == (["claim"], 0), "it listens, so it does not look so often"
    looks.do(60.0)
    assert (looks.on, looks.bell.rings) == (["claim"] * 2, 1)


def test_a_scheduler_that_is_awake_needs_no_scout(looks: Looks) -> None:
    looks.bell.is_dormant = False
    looks.schedules = ["nightly"]
    looks.do(30.0)
    looks.do(60.0)
    assert (looks.on, looks.bell.rings) == ([], 0)


def test_a_look_that_cannot_be_made_now_is_made_later(looks: Looks) -> None:
    looks.schedules = ["nightly"]
    looks.is_claiming = True
    looks.do(60.0)
    looks.is_claiming, looks.is_away = False, True
    looks.do(60.0)
    looks.scout.look()
    assert (looks.on, looks.bell.rings) == ([], 0)
    looks.is_away = False
    looks.do(30.0)
    assert (looks.on, looks.bell.rings) == (["scanner"], 1), "a look that a notification caused is still owed"
