"""What the claimers of an engine share: the last chance, and the question after a lost reply."""

from datetime import timedelta

import pytest

from steve._database.failures import InDoubt
from steve._engine.claim.buffer import JobBuffer
from steve._engine.claim.claimer import Claimer
from steve._engine.claim.in_doubt import BEFORE_ALL
from steve._engine.claim.neighbours import Neighbours
from steve._engine.claim.schedule import ClaimSchedule
from steve._engine.claim.sizer import ClaimSizer
from steve._engine.upkeep.outage import Outage
from steve._engine.work.handlers import Handlers
from steve._model.claimed import Claimed
from steve._model.outcome import Verdict
from steve._model.tuning import Tuning
from tests.engine.claim.harness import FAR, Clock, FakeDatabase, claimed, raising, reply

LOST = InDoubt("the connection is lost")


class Pools:
    """Two claimers of one engine, on a simulated clock."""

    def __init__(self) -> None:
        self.tuning = Tuning(answered_most=2)
        self.clock = Clock()
        self.neighbours = Neighbours(tuning=self.tuning, clock=self.clock)
        self.returned: list[Verdict] = []
        self.databases = FakeDatabase(), FakeDatabase()
        self.claimers = self._claimer(0), self._claimer(1)

    def _claimer(self, number: int) -> Claimer:
        return Claimer(
            database=self.databases[number],
            buffer=JobBuffer(put_verdict=self.returned.append, tuning=self.tuning, clock=self.clock),
            schedule=ClaimSchedule(poll_interval=FAR, tuning=self.tuning, clock=self.clock),
            sizer=ClaimSizer(handlers=Handlers(None, {"a": print}), workers=2, tuning=self.tuning),
            outage=Outage(),
            neighbours=self.neighbours,
        )

    def claim(self, number: int, *jobs: Claimed) -> None:
        self.databases[number].answer = lambda: reply()._replace(jobs=list(jobs))
        self.claimers[number].wake()
        assert self.claimers[number].refill(2) == len(jobs)
        self.databases[number].answer = reply

    def lose(self, number: int) -> None:
        self.databases[number].answer = raising(LOST)
        self.claimers[number].wake()
        assert self.claimers[number].refill(2) == 0
        self.databases[number].answer = reply
        self.clock.now += 60


@pytest.fixture
def pools() -> Pools:
    return Pools()


def at(seconds: int) -> Claimed:
    return claimed(seconds)._replace(claimed_at=claimed(0).claimed_at + timedelta(seconds=seconds))


# -- after a lost reply ---------------------------------------------------------------------------------------------------


def test_a_question_leaves_out_what_any_claimer_has_claimed(pools: Pools) -> None:
    pools.claim(0, at(1))
    pools.claim(1, at(2))
    pools.lose(0)
    assert pools.claimers[0].recover() == 0
    assert pools.databases[0].questions == [[BEFORE_ALL, at(1).claimed_at, at(2).claimed_at]]


def test_while_another_claim_is_under_way_nothing_is_asked_and_the_question_stays_due(pools: Pools) -> None:
    pools.lose(0)
    go_on = pools.claimers[1].pause()
    assert go_on is not None
    assert pools.claimers[0].recover() == 0
    assert pools.databases[0].questions == []
    go_on()
    pools.claimers[0].recover()
    assert len(pools.databases[0].questions) == 1


def test_any_claimer_may_ask_and_gives_back_what_is_of_another_pool(pools: Pools) -> None:
    pools.lose(0)
    ours, others = at(5), at(6)._replace(queue="other")
    pools.databases[1].held = [ours, others]
    pools.databases[1].others = {"other"}
    assert pools.claimers[1].recover() == 2
    assert pools.claimers[1].buffer.jobs() == [ours]
    assert [(verdict.job, verdict.goes_back) for verdict in pools.returned] == [(others, True)]


def test_what_was_answered_while_a_claim_is_under_way_is_not_forgotten(pools: Pools) -> None:
    """The reply to that claim may be lost, and it may be older than the others."""
    go_on = pools.claimers[1].pause()
    assert go_on is not None
    pools.clock.now += 1
    for number in range(5):
        pools.claim(0, at(number))
    pools.clock.now += 1
    go_on()
    pools.neighbours.in_doubt.lose()
    pools.claimers[0].recover()
    assert pools.databases[0].questions == [[BEFORE_ALL, *(at(number).claimed_at for number in range(5))]]


def test_what_is_forgotten_bounds_the_question(pools: Pools) -> None:
    for number in range(5):
        pools.clock.now += 1
        pools.claim(number % 2, at(number))
    pools.neighbours.in_doubt.lose()
    pools.clock.now += 60
    pools.claimers[0].recover()
    assert pools.databases[0].questions == [[at(2).claimed_at, at(3).claimed_at, at(4).claimed_at]]


def test_a_claimer_that_follows_another_knows_of_its_claims(pools: Pools) -> None:
    pools.claim(0, at(1))
    pools.claimers[0].end(is_last=False)
    pools.lose(1)
    pools.claimers[1].recover()
    assert pools.databases[1].questions == [[BEFORE_ALL, at(1).claimed_at]]


def test_a_claimer_that_ends_while_others_go_on_leaves_the_question_to_them(pools: Pools) -> None:
    pools.lose(0)
    pools.claimers[0].end(is_last=False)
    assert pools.databases[0].questions == []
    assert pools.neighbours.in_doubt.exist()
    pools.claimers[1].recover()
    assert len(pools.databases[1].questions) == 1


# -- the last chance ------------------------------------------------------------------------------------------------------


def test_one_claimer_at_a_time_has_a_job_on_its_last_chance_and_no_other_claims(pools: Pools) -> None:
    first, second = pools.claimers
    last_chance = pools.neighbours.last_chance
    assert (last_chance.begin(first), last_chance.begin(second)) == (True, False)
    second.wake()
    assert second.refill(2) == 0
    assert pools.databases[1].demands == []
    pools.neighbours.end_last_chance(second)
    assert last_chance.is_due, "it is not that one's"
    pools.neighbours.end_last_chance(first)
    assert not last_chance.is_due
    second.refill(2)
    assert len(pools.databases[1].demands) == 1


def test_a_neighbour_with_a_claim_under_way_or_a_full_buffer_may_hold_jobs(pools: Pools) -> None:
    first, second = pools.claimers
    assert not first.others_may_hold_jobs()
    go_on = second.pause()
    assert go_on is not None
    assert first.others_may_hold_jobs()
    go_on()
    pools.claim(1, at(1))
    assert first.others_may_hold_jobs()
    second.buffer.give_back()
    assert not first.others_may_hold_jobs()


def test_the_last_chance_ends_with_the_claimer_that_has_seen_it(pools: Pools) -> None:
    pools.neighbours.last_chance.begin(pools.claimers[0])
    pools.claimers[0].end(is_last=False)
    assert not pools.neighbours.last_chance.is_due
    assert pools.claimers[1].schedule.is_due()


def test_the_last_chance_of_a_pool_that_has_ended_lasts_until_all_outcomes_are_written(pools: Pools) -> None:
    is_settled = False
    pools.neighbours.is_settled = lambda: is_settled
    pools.neighbours.last_chance.begin(pools.claimers[0])
    pools.neighbours.end_left_last_chance()
    pools.claimers[0].end(is_last=False)
    pools.neighbours.end_left_last_chance()
    assert pools.neighbours.last_chance.is_due
    is_settled = True
    pools.neighbours.end_left_last_chance()
    assert not pools.neighbours.last_chance.is_due
    assert pools.claimers[1].schedule.is_due()
