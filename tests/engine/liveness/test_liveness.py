"""Liveness, given a database that says what this process holds: what it frees, and what it asks for first."""

from __future__ import annotations

from collections.abc import Callable, Collection
from uuid import UUID

import pytest

from steve._database.failures import Transient
from steve._database.statements.processes import Registered, Review
from steve._engine.claim.pauses import Pauses
from steve._engine.liveness.liveness import Liveness
from steve._engine.liveness.reconcile import Held
from steve._engine.settle.awaited import Awaited
from steve._engine.upkeep.outage import Outage
from steve._engine.work.running import RunningJobs
from steve._model.claimed import ClaimKey
from steve._model.settings import Settings
from steve._model.tuning import Tuning

CLAIM = (UUID(int=1), 1)


class Tables:
    """By these, the process holds the claim CLAIM."""

    def __init__(self) -> None:
        self.freed: list[set[ClaimKey]] = []
        self.questions = 0

    def find_held(self, claims: Collection[ClaimKey]) -> set[ClaimKey]:
        """The first question fails. By the answer, a rescue has taken all of these jobs."""
        self.questions += 1
        if self.questions == 1:
            raise Transient("away")
        return set()

    def review(self, held: Callable[[], Held]) -> tuple[Held, Review]:
        return held(), Review([], {CLAIM})

    def free(self, claims: Collection[ClaimKey], reason: str) -> list[object]:
        self.freed.append(set(claims))
        return []


class Process:
    """It knows of nothing that it holds."""

    process = "host:1"
    stopping = False
    awaited = Awaited()
    pauses = Pauses()
    lost_a_reply = False

    def held(self) -> Held:
        return Held(set(), 0, 0)

    def ask_what_was_lost(self) -> bool:
        return self.lost_a_reply

    def on_rescued(self, *_: object) -> None:
        raise AssertionError


class Runs:
    """This process runs the job of CLAIM."""

    def __init__(self) -> None:
        self.lost: list[Collection[ClaimKey]] = []

    def claims(self) -> list[ClaimKey]:
        return [CLAIM]

    def lose(self, claims: Collection[ClaimKey]) -> None:
        self.lost.append(claims)


@pytest.fixture
def tables() -> Tables:
    return Tables()


@pytest.fixture
def process() -> Process:
    return Process()


@pytest.fixture
def work(tables: Tables, process: Process) -> Callable[[], object]:
    """The duty of the scanner, after a cause to look at the tables."""
    liveness = Liveness(
        database=tables,  # type: ignore[arg-type]
        registered=Registered(1, None, 0.0, restricted=False),
        running=RunningJobs(workers=1),
        engine=process,
        outage=Outage(),
        settings=Settings(tuning=Tuning(reconcile_pause=0.0)),
    )
    liveness.doubt_tables()
    (duty,) = liveness.duties()
    return duty.work


def test_a_job_that_is_held_by_the_tables_only_is_freed(tables: Tables, work: Callable[[], object]) -> None:
    for _ in range(3):
        assert tables.freed == []
        work()
    assert tables.freed == [{CLAIM}]


def test_while_the_reply_to_a_claim_is_lost_nothing_is_freed(
    tables: Tables, process: Process, work: Callable[[], object]
) -> None:
    """The job may be one that this claim took: it then runs here, and no crash is counted."""
    process.lost_a_reply = True
    for _ in range(6):
        work()
    assert tables.freed == []
    process.lost_a_reply = False
    work()
    assert tables.freed == [{CLAIM}]


def test_a_question_for_lost_jobs_that_the_database_does_not_answer_is_asked_again(tables: Tables, process: Process) -> None:
    """Otherwise a handler would go on beside the process that has its job now, and never hear of it."""
    runs = Runs()
    liveness = Liveness(
        database=tables,  # type: ignore[arg-type]
        registered=Registered(1, None, 0.0, restricted=False),
        running=runs,
        engine=process,
        outage=Outage(),
        settings=Settings(tuning=Tuning(backoff_first=0.0, reconcile_pause=0.0)),
    )
    liveness.on_doubt()
    (duty,) = liveness.duties()
    duty.work()
    assert (tables.questions, runs.lost) == (1, [])
    duty.work()
    assert (tables.questions, runs.lost) == (2, [{CLAIM}])
    duty.work()
    assert tables.questions == 2, "the doubt is over"
