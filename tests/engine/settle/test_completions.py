"""What becomes of jobs whose handlers called `run.complete()`: committed, rolled back or open, and with every lost reply."""

import logging
from collections.abc import Callable

import pytest

from steve._database.failures import InDoubt, Refused, Transient
from steve._model.outcome import Completing, Outcome, Raised, Returned, Snoozed, Verdict, judge
from tests.conftest import until
from tests.engine.settle.ledger import Ledger, fails, refuses, verdict

MakeLedger = Callable[..., Ledger]

RAISED = Raised("ValueError: no", "why", is_final=True)


def completing(number: int, otherwise: Outcome = RAISED, result: str = "9") -> Verdict:
    """On the job with this number: its handler completed it with `result`, and then did something else."""
    return judge(verdict(number).job, Completing(otherwise, result), begun=0.0)  # type: ignore[arg-type]


def commit(ledger: Ledger, one: Verdict) -> Verdict:
    """The handler's transaction is committed. Returns what is to be told."""
    assert one.completed is not None
    ledger.rows[one.job.uid.int] = one.completion(one.completed.result)
    return ledger.rows[one.job.uid.int]


@pytest.mark.parametrize("otherwise", [RAISED, Returned("1"), Snoozed(5.0)], ids=["raised", "returned", "snoozed"])
def test_what_was_committed_is_told_whatever_the_handler_did_then(ledger: Ledger, otherwise: Outcome) -> None:
    one = completing(1, otherwise)
    written = commit(ledger, one)
    assert ledger.settle(one) == [1]
    assert ledger.told == [written]
    assert ledger.dropped == 0


@pytest.mark.parametrize("otherwise", [RAISED, Returned("1"), Snoozed(5.0)], ids=["raised", "returned", "snoozed"])
def test_what_was_rolled_back_leaves_what_the_handler_did(ledger: Ledger, otherwise: Outcome) -> None:
    one = completing(1, otherwise)
    assert ledger.settle(one) == [1]
    assert ledger.told == [one]
    assert ledger.asked_completed == []


@pytest.mark.parametrize("is_committed", [True, False])
def test_what_is_open_is_set_aside_until_it_is_decided_and_holds_up_no_other(ledger: Ledger, is_committed: bool) -> None:
    one = completing(1)
    ledger.locked = {1}
    ledger.start()
    ledger.put(one, verdict(2))
    until(lambda: ledger.told == [verdict(2)])
    until(lambda: len(ledger.careful_groups) > 3)
    expected = commit(ledger, one) if is_committed else one
    ledger.locked = set()
    until(lambda: len(ledger.told) == 2)
    assert ledger.told[1] == expected


def test_no_completion_waits_for_a_lock(make_ledger: MakeLedger) -> None:
    ledger = make_ledger()
    ledger.locked = {1}
    ledger.start()
    ledger.put(completing(1))
    until(lambda: ledger.careful_groups)
    until(lambda: ledger.groups)
    assert all(group == [] for group in ledger.groups), "nothing was written but by the statement that passes locked rows by"
    ledger.locked = set()


def test_plain_verdicts_are_written_first_by_their_own_statement(ledger: Ledger) -> None:
    assert sorted(ledger.settle(verdict(1), completing(2), verdict(3))) == [1, 2, 3]
    assert ledger.groups == [[1, 3], [2]]
    assert ledger.careful_groups == [[2]]


def test_a_job_that_is_not_held_any_more_is_dropped(ledger: Ledger, caplog: pytest.LogCaptureFixture) -> None:
    ledger.rows[1] = verdict(1)._replace(job=verdict(1).job._replace(lease_no=8))
    assert ledger.settle(completing(1)) == []
    assert ledger.dropped == 1
    assert "was taken from this process" in caplog.text


def test_a_commit_that_overrules_an_error_is_logged(ledger: Ledger, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    one = completing(1)
    commit(ledger, one)
    ledger.settle(one)
    assert "has completed: the transaction of attempt 1 was committed" in caplog.text


def test_after_a_lost_reply_the_row_says_which_result_was_stored(ledger: Ledger) -> None:
    """The transaction was rolled back, and the settlement with the return value was carried out though its reply was lost."""
    ledger.answer = fails(1, InDoubt("cut"), written=True)
    one = completing(1, Returned("1"))
    assert ledger.settle(one) == [1]
    assert [told.result for told in ledger.told] == ["1"]


def test_after_a_lost_reply_an_error_that_was_stored_is_found(ledger: Ledger) -> None:
    ledger.answer = fails(1, InDoubt("cut"), written=True)
    one = completing(1)
    assert ledger.settle(one) == [1]
    assert ledger.told == [one]
    assert ledger.dropped == 0


def test_if_the_job_was_retried_since_its_result_is_that_of_the_handler(ledger: Ledger) -> None:
    one = completing(1)
    ledger.rows[1] = one.completion(None)
    ledger.retried = {1}
    ledger.settle(one)
    assert [told.result for told in ledger.told] == ["9"]


@pytest.mark.parametrize("error", [Transient("away"), InDoubt("cut")], ids=str)
def test_if_the_look_fails_nothing_that_was_written_before_is_dropped(ledger: Ledger, error: Exception) -> None:
    committed, rolled_back = completing(1), completing(2)
    commit(ledger, committed)
    ledger.on_find_completed = fails(1, error)
    assert ledger.settle(committed, rolled_back) == [1, 2]
    assert ledger.dropped == 0


def test_a_result_that_cannot_be_stored_fails_a_job_that_was_rolled_back(ledger: Ledger) -> None:
    ledger.on_write = refuses(1)
    assert ledger.settle(completing(1, Returned("1"))) == [1]
    assert [str(told.status) for told in ledger.told] == ["failed"]


def test_a_group_that_is_refused_is_halved_and_each_is_decided(ledger: Ledger) -> None:
    group = [completing(number, Returned("1")) for number in range(1, 5)]
    commit(ledger, group[2])
    ledger.on_write = refuses(2, error=Refused("no", "22P05"))
    assert ledger.settle(*group) == [1, 2, 3, 4]
    assert [(told.job.uid.int, str(told.status), told.result) for told in ledger.told] == [
        (1, "completed", "1"), (2, "failed", None), (3, "completed", "9"), (4, "completed", "1"),
    ]  # fmt: skip
