"""Claims whose reply was lost: the jobs that they took are asked for, twice, and given back at the end."""

import contextlib
from collections.abc import Iterator
from datetime import timedelta

import pytest

from steve._database.failures import InDoubt, Misconfigured, Refused, Transient
from steve._engine.claim.in_doubt import InDoubtClaims
from steve._model.tuning import Tuning
from tests.engine.claim.harness import TUNING, Clock, Harness, claimed, raising, reply

LOST = InDoubt("the connection is lost")

BRIEF = Tuning(backoff_first=0.001, backoff_most=0.001)
"""For the end, which really sleeps between its questions."""


def lose_a_claim(harness: Harness, *numbers: int) -> None:
    """The next claim takes these jobs, and its reply does not arrive."""
    harness.database.answer = raising(LOST)
    harness.claimer.wake()
    assert harness.claimer.refill(2) == 0
    harness.database.held = [claimed(number) for number in numbers]
    harness.database.answer = reply


# -- the next claim asks what was lost ------------------------------------------------------------------------------------


def test_the_next_claim_takes_up_the_jobs_of_a_claim_whose_reply_was_lost(
    harness: Harness, caplog: pytest.LogCaptureFixture
) -> None:
    harness.fill(1)
    lose_a_claim(harness, 2, 3)
    harness.seconds_to_next_claim()
    assert harness.database.questions == [[claimed(1).claimed_at]]
    assert harness.take_all() == [1, 2, 3]
    assert "the reply to a claim was lost; the 2 jobs that it took are taken up" in caplog.text
    harness.claimer.wake()
    assert harness.claims()
    assert len(harness.database.questions) == 1, "only after a loss"


def test_where_no_claim_was_answered_before_all_that_this_process_holds_is_taken_up(harness: Harness) -> None:
    lose_a_claim(harness, 1)
    harness.seconds_to_next_claim()
    assert harness.database.questions == [[]]
    assert len(harness.buffer) == 1


def test_a_question_that_fails_is_asked_again(harness: Harness) -> None:
    lose_a_claim(harness, 1)
    harness.database.errors = iter([Transient("away"), LOST])
    harness.seconds_to_next_claim()
    assert len(harness.database.questions) == 3
    assert len(harness.buffer) == 1


@pytest.mark.parametrize("error", [Refused("a row cannot be read"), MemoryError()], ids=repr)
def test_a_reply_that_cannot_be_read_is_lost_too(harness: Harness, error: Exception) -> None:
    harness.database.answer = raising(error)
    with contextlib.suppress(MemoryError):
        harness.claimer.refill(2)
    harness.database.held, harness.database.answer = [claimed(1)], reply
    harness.seconds_to_next_claim()
    assert len(harness.buffer) == 1


def test_a_claim_that_took_nothing_leaves_nothing_to_ask_for(harness: Harness) -> None:
    for error in (Transient("away"), Misconfigured("no table")):
        harness.database.answer = raising(error)
        harness.seconds_to_next_claim()
    harness.database.answer = reply
    harness.seconds_to_next_claim()
    assert harness.database.questions == []


def test_claims_go_on_where_the_lost_jobs_cannot_be_read_either(harness: Harness) -> None:
    lose_a_claim(harness, 1)
    harness.database.errors = iter([Refused("a row cannot be read")])
    harness.seconds_to_next_claim()
    assert len(harness.database.questions) == 1
    assert len(harness.buffer) == 0
    assert harness.claimer.in_doubt.exist()  # it is tried again in a minute


# -- the second question --------------------------------------------------------------------------------------------------


def test_what_was_lost_is_asked_for_once_more_after_a_while(harness: Harness) -> None:
    """The server may notice late that its client is gone, and commit after the first question."""
    lose_a_claim(harness)
    harness.seconds_to_next_claim()
    assert (len(harness.database.questions), harness.claimer.in_doubt.exist()) == (1, True)
    harness.database.held = [claimed(2)]
    harness.clock.now += TUNING.second_look - 0.1
    assert harness.claimer.recover() == 0
    assert len(harness.database.questions) == 1
    harness.clock.now += 0.2
    assert harness.claimer.recover() == 1
    assert (len(harness.database.questions), harness.claimer.in_doubt.exist()) == (2, False)
    assert harness.buffer.take() == claimed(2)
    harness.clock.now += TUNING.second_look * 2
    assert harness.claimer.recover() == 0
    assert len(harness.database.questions) == 2, "only once more"


def test_until_the_second_question_the_times_of_all_answered_claims_are_kept() -> None:
    harness = Harness(tuning=Tuning(answered_most=3))
    first = claimed(0).claimed_at

    def answer_claims(*numbers: int) -> None:
        for number in numbers:
            job = claimed(number)._replace(claimed_at=first + timedelta(seconds=number))
            harness.database.answer = lambda job=job: reply()._replace(jobs=[job])
            harness.claimer.wake()
            harness.claimer.refill(2)

    def last_question() -> list[int]:
        return [(time - first).seconds for time in harness.database.questions[-1]]

    answer_claims(*range(5))
    lose_a_claim(harness)
    harness.seconds_to_next_claim()
    assert last_question() == [2, 3, 4], "without a loss, only the last are kept"
    answer_claims(*range(5, 10))
    harness.clock.now += TUNING.second_look
    harness.claimer.recover()
    assert last_question() == list(range(2, 10))
    lose_a_claim(harness)
    harness.seconds_to_next_claim()
    assert last_question() == [7, 8, 9]


def test_a_loss_while_a_question_is_under_way_is_left_to_the_next_question() -> None:
    clock = Clock()
    claims = InDoubtClaims(tuning=TUNING, clock=clock)
    claims.lose()
    first, answered = claims.begin()
    assert (first, answered, claims.is_due()) == (True, [], False)
    claims.lose()
    claims.end(first)
    assert claims.are_new()
    assert claims.is_due()


def test_the_jobs_of_lost_replies_may_have_several_times() -> None:
    claims = InDoubtClaims(tuning=TUNING, clock=Clock())
    times = [claimed(0).claimed_at + timedelta(seconds=seconds) for seconds in (3, 1, 3)]
    claims.answered([claimed(number)._replace(claimed_at=time) for number, time in enumerate(times)])
    assert claims.begin()[1] == sorted(set(times))


# -- the end --------------------------------------------------------------------------------------------------------------


def test_the_end_gives_back_what_a_lost_claim_took() -> None:
    harness = Harness(tuning=BRIEF)
    lose_a_claim(harness, 1, 2)
    harness.database.errors = iter([Transient("away"), LOST])
    harness.claimer.end()
    assert [verdict.job.uid.int for verdict in harness.returned] == [1, 2]
    assert harness.claimer.in_doubt.exist(), "that claim may still be committed: a rescue must find this process"


def test_the_end_comes_though_the_database_stays_away() -> None:
    harness = Harness(tuning=BRIEF)
    harness.fill(1)
    lose_a_claim(harness)

    def away() -> Iterator[Exception]:
        while True:
            harness.clock.now += BRIEF.shutdown_grace / 4  # how long each question takes
            yield Transient("away")

    harness.database.errors = away()
    harness.claimer.end()
    assert [verdict.job.uid.int for verdict in harness.returned] == [1]
    assert harness.claimer.in_doubt.exist()
    assert 2 <= len(harness.database.questions) <= 5


def test_an_end_without_a_loss_asks_nothing(harness: Harness) -> None:
    harness.fill(1)
    harness.claimer.end()
    assert [verdict.job.uid.int for verdict in harness.returned] == [1]
    assert harness.database.questions == []
    assert not harness.claimer.in_doubt.exist()


def test_the_end_comes_though_the_lost_jobs_cannot_be_read(harness: Harness, caplog: pytest.LogCaptureFixture) -> None:
    harness.fill(1)
    lose_a_claim(harness)
    harness.database.errors = iter([ValueError("a row cannot be read")])
    harness.claimer.end()
    assert [verdict.job.uid.int for verdict in harness.returned] == [1]
    assert "the jobs of a claim whose reply was lost cannot be read" in caplog.text
