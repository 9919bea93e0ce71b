"""The settler with a dict in place of the database: groups, every kind of failure, and the end."""

import logging
import threading
from collections.abc import Callable, Sequence
from typing import Any
from uuid import UUID

import pytest

from steve import AttemptStatus, Status
from steve._database.failures import DatabaseFailure, InDoubt, Misconfigured, Refused, Transient, Unexplained
from steve._model.outcome import NotBegun, Outcome, Raised, Returned, Snoozed, Verdict, judge
from tests.conftest import until
from tests.engine.settle.ledger import Barrier, Ledger, begun, fails, in_turn, refuses, verdict

MakeLedger = Callable[..., Ledger]


class Slow:
    """A write that says when it has begun, and then waits until it is let go."""

    def __init__(self) -> None:
        self.sent = threading.Event()
        self.go_on = threading.Event()

    def __call__(self, group: Sequence[Verdict]) -> None:
        self.sent.set()
        assert self.go_on.wait(60)


# -- groups ---------------------------------------------------------------------------------------------------------------


def test_a_lone_verdict_is_settled_at_once(ledger: Ledger) -> None:
    ledger.start()
    ledger.put(verdict(1))
    until(lambda: ledger.told == [verdict(1)])
    ledger.put(verdict(2))
    until(lambda: ledger.told == [verdict(1), verdict(2)])
    assert ledger.groups == [[1], [2]]
    assert ledger.settler.waiting() == 0


def test_verdicts_that_come_while_a_group_is_written_are_the_next_group(ledger: Ledger) -> None:
    slow = ledger.on_write = Slow()
    ledger.start()
    ledger.put(verdict(1))
    assert slow.sent.wait(60)
    ledger.put(verdict(2), verdict(3), verdict(4))
    assert ledger.settler.waiting() == 4
    slow.go_on.set()
    until(lambda: len(ledger.told) == 4)
    assert ledger.groups == [[1], [2, 3, 4]]


def test_a_group_has_at_most_so_many_verdicts(make_ledger: MakeLedger) -> None:
    ledger = make_ledger(group_most=10)
    assert ledger.settle(*map(verdict, range(25))) == list(range(25))
    assert [len(group) for group in ledger.groups] == [10, 10, 5]


def test_a_group_has_about_so_many_bytes_and_a_larger_verdict_goes_alone(make_ledger: MakeLedger) -> None:
    ledger = make_ledger(group_bytes=10_000)
    sizes = [4_000, 4_000, 4_000, 20_000, 10, 10]
    assert ledger.settle(*[verdict(number, "x" * size) for number, size in enumerate(sizes)]) == list(range(6))
    assert ledger.groups == [[0, 1, 2], [3], [4, 5]]


def test_all_verdicts_put_before_the_end_are_settled_before_it_is_told(ledger: Ledger) -> None:
    assert ledger.settle(*map(verdict, range(2_000))) == list(range(2_000))
    assert ledger.settler.waiting() == 0


def test_a_beginning_is_told_after_the_end_of_the_attempt_before(ledger: Ledger) -> None:
    """A worker may have the job again before the settler has heard that the attempt before is committed."""
    slow = ledger.on_write = Slow()
    ledger.queue.announce(begun(verdict(1), attempts=1))
    ledger.put(verdict(1))
    ledger.start()
    assert slow.sent.wait(60)
    ledger.queue.announce(begun(verdict(1), attempts=2))
    again = verdict(2)
    ledger.put(again._replace(job=again.job._replace(attempts=2)))
    slow.go_on.set()
    until(lambda: len(ledger.order) == 4)
    assert ledger.order == ["beginning of 1", "end of 1", "beginning of 2", "end of 2"]


def test_a_beginning_that_is_not_told_yet_is_no_outcome_that_waits(ledger: Ledger) -> None:
    for _ in range(3):
        ledger.queue.announce(begun(verdict(1)))
    ledger.put(verdict(1))
    assert ledger.settler.waiting() == 1


# -- failures that pass -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "error", [Transient("away"), Transient("read-only", "25006"), Misconfigured("no table", "42P01")], ids=str
)
def test_a_write_that_cannot_be_done_now_is_done_when_it_can(
    ledger: Ledger, caplog: pytest.LogCaptureFixture, error: DatabaseFailure
) -> None:
    ledger.on_write = fails(8, error)
    assert ledger.settle(verdict(1), verdict(2)) == [1, 2]
    assert ledger.groups == [[1, 2]] * 9
    assert ledger.looked_up == []
    assert [record.message for record in caplog.records if "is back" in record.message]


def test_verdicts_that_come_during_an_outage_are_settled_in_their_order(ledger: Ledger) -> None:
    ledger.on_write = fails(3, Transient("away"))
    ledger.start()
    ledger.put(verdict(1))
    until(lambda: len(ledger.groups) >= 1)
    ledger.put(*map(verdict, range(2, 50)))
    until(lambda: len(ledger.told) == 49)
    assert [one.job.uid.int for one in ledger.told] == list(range(1, 50))


# -- replies that are lost ------------------------------------------------------------------------------------------------


def test_a_write_whose_reply_was_lost_is_looked_up_and_told_once(ledger: Ledger, caplog: pytest.LogCaptureFixture) -> None:
    ledger.answer = fails(1, InDoubt("the connection is lost"), written=True)
    assert ledger.settle(verdict(1), verdict(2)) == [1, 2]
    assert ledger.groups == [[1, 2], [1, 2]]
    assert ledger.looked_up == [[1, 2]]
    assert "was taken from this process" not in caplog.text


def test_a_write_that_was_lost_with_its_connection_is_made_again(ledger: Ledger) -> None:
    ledger.on_write = fails(2, InDoubt("the connection is lost"))
    assert ledger.settle(verdict(1), verdict(2)) == [1, 2]
    assert ledger.looked_up == [], "the second write has written all, so that nothing is left to look up"


def test_a_verdict_that_was_written_without_its_times_counts_as_written(
    ledger: Ledger, caplog: pytest.LogCaptureFixture
) -> None:
    """No listener wanted to hear of it."""
    ledger.answer = lambda landed: dict.fromkeys(landed)
    assert ledger.settle(verdict(1), verdict(2)) == [1, 2]
    assert "was taken" not in caplog.text


def test_after_a_lost_reply_the_doubt_lasts_until_the_group_is_settled(
    ledger: Ledger, caplog: pytest.LogCaptureFixture
) -> None:
    """The reply is lost again, or the database is away: the first try may have written it all the same."""
    ledger.answer = in_turn(InDoubt("lost"), Transient("away"), InDoubt("lost"))
    assert ledger.settle(*map(verdict, range(8))) == list(range(8))
    assert ledger.groups == [list(range(8))] * 4
    assert "was taken" not in caplog.text


def test_after_a_lost_reply_the_halves_of_the_group_are_in_doubt_too(ledger: Ledger, caplog: pytest.LogCaptureFixture) -> None:
    ledger.on_write = in_turn(None, Refused("once", "22P05"))
    ledger.answer = fails(1, InDoubt("lost"), written=True)
    assert ledger.settle(*map(verdict, range(4))) == list(range(4))
    assert ledger.groups == [[0, 1, 2, 3], [0, 1, 2, 3], [0, 1], [2, 3]]
    assert ledger.looked_up == [[0, 1], [2, 3]]
    assert "was taken" not in caplog.text


def test_a_verdict_in_doubt_that_is_found_nowhere_was_taken_away(ledger: Ledger, caplog: pytest.LogCaptureFixture) -> None:
    ledger.rows[2] = verdict(2, "another process's")
    ledger.on_write = fails(1, InDoubt("lost"))
    assert ledger.settle(verdict(1), verdict(2), verdict(3)) == [1, 3]
    assert ledger.looked_up == [[1, 2, 3]]
    assert caplog.text.count("was taken from this process") == 1


# -- the fence ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("outcome", [Returned("1"), Raised("no", "details"), Snoozed(1.0)], ids=lambda o: type(o).__name__)
def test_a_verdict_on_a_job_that_was_taken_away_is_dropped_with_a_warning(
    ledger: Ledger, caplog: pytest.LogCaptureFixture, outcome: Any
) -> None:
    taken = judge(verdict(2).job, outcome, begun=0.0)
    ledger.rows[2] = verdict(2, "another process's")
    assert ledger.settle(verdict(1), taken, verdict(3)) == [1, 3]
    (record,) = caplog.records
    assert record.levelname == "WARNING"
    assert record.message == (
        f"job {taken.job.uid} was taken from this process while attempt 1 ran: its outcome ({taken.status}) is dropped"
    )
    assert (record.job_uid, record.job_type, record.job_attempt) == (str(taken.job.uid), "a", 1)  # type: ignore[attr-defined]
    assert ledger.looked_up == []
    assert ledger.dropped == 1, "by the tables this process may still hold the job"


def test_a_row_of_the_log_from_another_life_of_the_job_is_removed(
    make_ledger: MakeLedger, caplog: pytest.LogCaptureFixture
) -> None:
    """The job's row was put back from a dump, and the log was not; or a row was inserted by hand."""
    ledger = make_ledger(settle_deadline=1.0)
    ledger.settler.set_deadline()
    ledger.log = {1, 2}
    assert ledger.settle(*map(verdict, range(4))) == [0, 1, 2, 3]
    assert {one.status for one in ledger.told} == {Status.COMPLETED}
    assert caplog.records == []


# -- data that PostgreSQL will never take -----------------------------------------------------------------------------------


@pytest.mark.parametrize("poisoned", [[0], [7], [3], [0, 7], [2, 3], list(range(8))], ids=str)
def test_a_group_that_is_refused_is_halved_until_each_poisoned_verdict_is_alone(
    ledger: Ledger, caplog: pytest.LogCaptureFixture, poisoned: list[int]
) -> None:
    ledger.on_write = refuses(*poisoned)
    assert ledger.settle(*map(verdict, range(8))) == list(range(8))
    assert len(ledger.groups) <= 31
    for number, told in enumerate(ledger.told):
        if number not in poisoned:
            assert told == verdict(number)
            continue
        assert (told.status, told.attempt_status, told.result) == (Status.FAILED, AttemptStatus.ERROR, None)
        assert told.begun == verdict(number).begun
        assert told.error == (
            "ResultNotStorable: the handler finished, but its result cannot be stored: PostgreSQL refused it (SQLSTATE 22P05)"
        )
    errors = [record.message for record in caplog.records if record.levelno == logging.ERROR]
    assert len(errors) == len(poisoned)
    assert "the data" not in caplog.text, "PostgreSQL quotes what it refuses"


@pytest.mark.parametrize("error", [MemoryError(), TypeError("a driver's defect"), OverflowError("too large")], ids=repr)
def test_any_other_error_of_a_write_harms_only_the_verdict_that_causes_it(ledger: Ledger, error: Exception) -> None:
    ledger.on_write = refuses(5, error=error)
    assert ledger.settle(*map(verdict, range(8))) == list(range(8))
    assert [one.job.uid.int for one in ledger.told if one.status is Status.FAILED] == [5]
    assert (ledger.told[5].error or "").endswith(f"cannot be stored: {type(error).__name__}")


def test_an_error_that_is_refused_is_left_out_and_the_job_is_tried_again(ledger: Ledger) -> None:
    raised = judge(verdict(1).job, Raised("the error", "its details"), begun=0.0)

    def check(group: Sequence[Verdict]) -> None:
        if group[0].error == "the error":
            raise Refused("no", "22P05")

    ledger.on_write = check
    assert ledger.settle(raised) == [1]
    (told,) = ledger.told
    assert (told.status, told.attempt_status, told.delay) == (Status.PENDING, AttemptStatus.ERROR, raised.delay)
    assert told.error == (
        "ErrorNotStorable: the attempt failed, but its error cannot be stored: PostgreSQL refused it (SQLSTATE 22P05)"
    )


def test_an_error_keeps_its_words_where_only_its_letters_cannot_be_stored(ledger: Ledger) -> None:
    raised = judge(verdict(1).job, Raised("refused \u2192 giving up", "Traceback: \u2192"), begun=0.0)

    def check(group: Sequence[Verdict]) -> None:
        if not (group[0].error or "").isascii() or not (group[0].details or "").isascii():
            raise Refused("no such letter in LATIN1", "22P05")

    ledger.on_write = check
    assert ledger.settle(raised) == [1]
    assert (ledger.told[0].error, ledger.told[0].details) == (r"refused \u2192 giving up", r"Traceback: \u2192")
    assert ledger.told[0].status is Status.PENDING


# -- verdicts that are deferred -------------------------------------------------------------------------------------------

CAUSES = [
    Refused("a trigger raises", "P0001"),
    Refused("a constraint of the application's", "23514"),
    Unexplained("too many notifications, or the wraparound of transaction ids", "54000"),
    Unexplained("internal error", "XX000"),
    MemoryError(),
]
OUTCOMES = [Returned('"a result"'), Returned(None), Raised("no", "details"), Snoozed(0.0), NotBegun()]


@pytest.mark.parametrize("error", CAUSES, ids=lambda error: str(error) or type(error).__name__)
@pytest.mark.parametrize("outcome", OUTCOMES, ids=lambda outcome: type(outcome).__name__)
def test_an_outcome_that_is_not_taken_is_kept_as_it_is_until_it_is(ledger: Ledger, error: Exception, outcome: Outcome) -> None:
    kept = judge(verdict(2).job, outcome, begun=0.0)
    barrier = ledger.on_write = Barrier(2, error=error)
    ledger.start()
    ledger.put(verdict(1), kept, verdict(3))
    until(lambda: ledger.groups.count([2]) >= 3)
    assert sorted(one.job.uid.int for one in ledger.told) == [1, 3], "the others do not wait for it"
    # It goes back and forth between the deferred verdicts and those that are being written: a look may come in between.
    until(lambda: ledger.settler.waiting() == 1)
    until(lambda: kept.job.key() in ledger.settler.claims())
    until(lambda: ledger.settler.vitals()["oldest_unsettled"])
    barrier.numbers = set()
    until(lambda: len(ledger.told) == 3)
    assert ledger.told[-1] == kept
    assert ledger.settler.waiting() == 0


def test_a_deferred_verdict_is_logged_once_and_counts_as_an_outage(ledger: Ledger, caplog: pytest.LogCaptureFixture) -> None:
    ledger.on_write = Barrier(2, error=CAUSES[0])
    ledger.start()
    ledger.put(verdict(2))
    until(lambda: ledger.groups.count([2]) >= 5)
    lines = [record.getMessage() for record in caplog.records if "cannot be written now" in record.getMessage()]
    assert lines == [
        f"job {UUID(int=2)}: the outcome of attempt 1 cannot be written now and will be tried again: a trigger raises"
    ]
    assert ledger.outage.now()[0] == ["settling"]
    ledger.put(verdict(1))
    until(lambda: ledger.told == [verdict(1)])
    assert ledger.failing == [[]], "the database takes outcomes"


def test_where_nothing_is_taken_only_a_few_of_a_group_are_tried_alone(ledger: Ledger) -> None:
    barrier = ledger.on_write = Barrier(*range(500), error=CAUSES[2])
    ledger.put(*map(verdict, range(500)))
    ledger.start()

    def rounds() -> list[int]:
        """Where each round of tries begins in the list of groups."""
        return [place for place, group in enumerate(ledger.groups) if len(group) == 500]

    until(lambda: len(rounds()) >= 3)
    _, first_end, second_end, *_ = rounds()
    assert first_end < 50
    assert second_end - first_end < 50
    barrier.numbers = set()
    until(lambda: len(ledger.told) == 500)
    assert {one.status for one in ledger.told} == {Status.COMPLETED}


def test_however_many_verdicts_are_not_taken_the_others_are(ledger: Ledger) -> None:
    barrier = ledger.on_write = Barrier(*range(40), error=CAUSES[1])
    ledger.start()
    ledger.put(*map(verdict, range(80)))
    until(lambda: len(ledger.told) == 40, 60)
    assert {one.job.uid.int for one in ledger.told} == set(range(40, 80))
    barrier.numbers = set()
    until(lambda: len(ledger.told) == 80)


def test_too_many_deferred_verdicts_engage_the_backpressure(make_ledger: MakeLedger) -> None:
    ledger = make_ledger(unsettled_most=10)
    barrier = ledger.on_write = Barrier(*range(10), error=CAUSES[0])
    ledger.start()
    ledger.put(*map(verdict, range(10)))
    until(lambda: len(ledger.queue.deferred) == 10 and ledger.queue.backpressure.engage_if_full())
    barrier.numbers = set()
    until(lambda: len(ledger.told) == 10)
    until(lambda: not ledger.queue.backpressure.is_engaged())


def test_a_cause_that_passes_while_it_is_looked_for_is_not_the_data(ledger: Ledger) -> None:
    """The outcome without its result can be written, and by then the one with it can be, too."""
    ledger.on_write = fails(1, Refused("once", "22012"))
    assert ledger.settle(verdict(1)) == [1]
    assert ledger.told == [verdict(1)]
    assert [one.result for one in ledger.rehearsed] == [None, "1"]


def test_a_connection_lost_while_the_cause_is_looked_for_proves_nothing(ledger: Ledger) -> None:
    ledger.on_write = in_turn(Refused("no", "22012"), None, InDoubt("lost"))
    assert ledger.settle(verdict(1)) == [1]
    assert ledger.told == [verdict(1)]


def test_the_settler_goes_on_after_a_refusal(ledger: Ledger) -> None:
    ledger.on_write = refuses(1)
    ledger.start()
    ledger.put(verdict(1))
    until(lambda: len(ledger.told) == 1)
    ledger.put(verdict(2))
    until(lambda: len(ledger.told) == 2)
    assert [one.status for one in ledger.told] == [Status.FAILED, Status.COMPLETED]


# -- the end --------------------------------------------------------------------------------------------------------------


def test_the_end_waits_for_deferred_verdicts(ledger: Ledger) -> None:
    barrier = ledger.on_write = Barrier(1, error=CAUSES[0])
    ledger.start()
    ledger.put(verdict(1), verdict(2))
    ledger.queue.end()
    until(lambda: ledger.groups.count([1]) >= 3)
    assert not ledger.ended.is_set()
    barrier.numbers = set()
    until(ledger.ended.is_set)
    assert {one.job.uid.int for one in ledger.told} == {1, 2}


def test_the_end_does_not_wait_for_deferred_verdicts_for_ever(
    make_ledger: MakeLedger, caplog: pytest.LogCaptureFixture
) -> None:
    ledger = make_ledger(settle_deadline=0.1)
    ledger.on_write = Barrier(1, error=CAUSES[0])
    ledger.settler.set_deadline()
    assert ledger.settle(verdict(1), verdict(2)) == [2]
    assert ledger.settler.waiting() == 1, "the row of its process stays for that, and others rescue the job"
    assert "did not take the outcome of 1 attempts" in caplog.text


def test_a_stopping_manager_gives_up_when_the_database_stays_away(
    make_ledger: MakeLedger, caplog: pytest.LogCaptureFixture
) -> None:
    ledger = make_ledger(settle_deadline=0.1, group_most=3)
    ledger.on_write = fails(1_000_000, Transient("away"))
    ledger.settler.set_deadline()
    assert ledger.settle(*map(verdict, range(5))) == []
    assert ledger.settler.waiting() == 5
    assert "did not take the outcome of 5 attempts" in caplog.text


def test_verdicts_settled_before_it_gave_up_are_not_counted_as_lost(make_ledger: MakeLedger) -> None:
    def check(group: Sequence[Verdict]) -> None:
        if len(group) > 2:
            raise Refused("for some reason", "22P05")
        if group[0].job.uid.int >= 2:
            raise Transient("away")

    ledger = make_ledger(settle_deadline=0.1)
    ledger.on_write = check
    ledger.settler.set_deadline()
    assert ledger.settle(*map(verdict, range(4))) == [0, 1]
    assert ledger.settler.waiting() == 2


def test_the_deadline_ends_nothing_while_the_database_works(make_ledger: MakeLedger) -> None:
    ledger = make_ledger(settle_deadline=0.0, group_most=1)
    ledger.settler.set_deadline()
    assert ledger.settle(*map(verdict, range(100))) == list(range(100))


def test_without_a_deadline_it_never_gives_up(make_ledger: MakeLedger) -> None:
    ledger = make_ledger(settle_deadline=0.0)
    ledger.on_write = fails(30, Transient("away"))
    assert ledger.settle(verdict(1)) == [1]


def test_a_settler_that_was_broken_off_goes_on_with_what_it_had_taken(ledger: Ledger) -> None:
    """It may have written them: they are in doubt."""
    ledger.answer = fails(1, SystemExit(), written=True)  # type: ignore[arg-type]
    ledger.put(verdict(1), verdict(2))
    ledger.queue.end()
    with pytest.raises(SystemExit):
        ledger.settler.run()
    assert ledger.settler.waiting() == 2
    ledger.settler.run()
    assert [one.job.uid.int for one in ledger.told] == [1, 2]
    assert ledger.looked_up == [[1, 2]]
    assert ledger.ended.is_set()


# -- rows that somebody else has locked ---------------------------------------------------------------------------------


def test_a_verdict_whose_row_is_locked_is_set_aside_and_the_others_are_written(ledger: Ledger) -> None:
    ledger.locked = {2}
    ledger.start()
    ledger.put(verdict(1), verdict(2), verdict(3))
    until(lambda: {1, 3} <= ledger.rows.keys())
    until(lambda: len(ledger.careful_groups) > 3)
    assert ledger.groups[0] == [1, 2, 3]
    assert ledger.careful_groups[0] == [1, 2, 3]
    assert ledger.careful_groups[1:4] == [[2]] * 3
    assert ledger.settler.waiting() == 1
    assert ledger.settler.claims() == {verdict(2).job.key()}, "so that the look for unknown jobs does not free it"
    ledger.locked = set()
    until(lambda: 2 in ledger.rows)
    until(lambda: not ledger.settler.waiting())
    assert [one.job.uid.int for one in ledger.told] == [1, 3, 2]
    assert ledger.dropped == 0
    assert ledger.outage.now()[0] == []


def test_a_verdict_counts_once_and_only_when_it_is_committed(ledger: Ledger) -> None:
    """Also one that was set aside, or whose reply was lost."""
    ledger.locked = {2}
    counted_when_written: list[int] = []
    ledger.on_write = lambda group: counted_when_written.append(len(ledger.counted))
    ledger.put(verdict(1), verdict(2), verdict(3))
    ledger.start()
    until(lambda: [one.job.uid.int for one in ledger.counted] == [1, 3])
    assert set(counted_when_written[:2]) == {0}
    ledger.answer = fails(1, InDoubt("no reply"), written=True)
    ledger.locked = set()
    until(lambda: len(ledger.counted) == 3)
    ledger.queue.end()
    ledger.thread.join(60)
    assert [one.job.uid.int for one in ledger.counted] == [1, 3, 2]


def test_after_a_locked_row_no_settlement_waits_for_another_one(make_ledger: MakeLedger) -> None:
    ledger = make_ledger(aside_silent=60.0)
    ledger.locked = {2, 5, 8}
    ledger.lock_patience = 0.05
    ledger.start()
    for number in range(10):
        ledger.put(verdict(number))
        until(lambda number=number: number in ledger.rows or number in ledger.locked)
    until(lambda: len(ledger.queue.aside) == 3)
    waits = [group for group in ledger.groups if ledger.locked.intersection(group)]
    assert len(waits) == 1, "only for the first"
    assert waits[0][0] == 2
    ledger.locked = set()
    until(lambda: len(ledger.told) == 10)


def test_when_no_row_was_locked_for_a_while_settlements_are_written_as_usual(make_ledger: MakeLedger) -> None:
    ledger = make_ledger(aside_silent=0.02)
    ledger.locked = {1}
    ledger.start()
    ledger.put(verdict(1))
    until(lambda: ledger.queue.aside)
    ledger.locked = set()
    until(lambda: ledger.told == [verdict(1)])
    until(lambda: not ledger.settler.aside.is_careful())
    before = len(ledger.careful_groups)
    ledger.put(verdict(2))
    until(lambda: len(ledger.told) == 2)
    assert len(ledger.careful_groups) == before


def test_the_sessions_that_hold_the_locks_are_named_once_and_forgotten(
    make_ledger: MakeLedger, caplog: pytest.LogCaptureFixture
) -> None:
    ledger = make_ledger(aside_silent=0.02, aside_again=0.02)
    ledger.locked = {1, 2}
    ledger.blockers = [("process 42", 3.0), ("process 43", None)]
    ledger.put(verdict(1), verdict(2))  # before the start, so that both are met at once
    ledger.start()
    until(lambda: ledger.settler.vitals()["blockers"] == ("process 42", "process 43"))
    assert ledger.settler.vitals()["oldest_unsettled"] >= 0.02
    tries = len(ledger.careful_groups)
    until(lambda: len(ledger.careful_groups) > tries + 10)
    ledger.blockers = [("process 44", 1.0)]
    until(lambda: ledger.settler.vitals()["blockers"] == ("process 44",))
    ledger.locked = set()
    until(lambda: len(ledger.told) == 2)
    until(lambda: not ledger.settler.vitals()["blockers"])
    warnings = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert len(warnings) == 2
    assert "their rows are locked by process 42, whose transaction is 3 s old; process 43;" in warnings[0]
    assert "the outcomes of 2 jobs" in warnings[0]
    assert "process 44" in warnings[1]


def test_a_settlement_that_waits_for_the_table_is_tried_again_as_a_whole(ledger: Ledger) -> None:
    ledger.on_write = fails(3, Transient("canceling statement due to lock timeout", "55P03"))
    assert ledger.settle(verdict(1), verdict(2)) == [1, 2]
    assert ledger.groups == [[1, 2]] * 4
    assert ledger.careful_groups == [[1, 2]] * 3


def test_a_row_that_was_locked_by_a_try_whose_reply_was_lost_is_looked_up(ledger: Ledger) -> None:
    """The server goes on with that try, and holds the row until it has committed."""
    ledger.answer = fails(1, InDoubt("no reply"), written=True)
    ledger.locked = set()

    def lock(group: Sequence[Verdict]) -> None:
        if ledger.rows:
            ledger.locked = {1}

    ledger.on_write = lock
    ledger.start()
    ledger.put(verdict(1))
    until(lambda: ledger.queue.aside)
    ledger.on_write = lambda group: None
    ledger.locked = set()
    until(lambda: ledger.told == [verdict(1)])
    assert ledger.dropped == 0


def test_the_end_waits_for_verdicts_that_are_set_aside(ledger: Ledger) -> None:
    ledger.locked = {1}
    ledger.start()
    ledger.put(verdict(1), verdict(2))
    ledger.queue.end()
    until(lambda: ledger.careful_groups.count([1]) >= 3)
    assert not ledger.ended.is_set()
    ledger.locked = set()
    until(ledger.ended.is_set)
    assert {one.job.uid.int for one in ledger.told} == {1, 2}


def test_the_end_does_not_wait_for_locked_rows_for_ever(make_ledger: MakeLedger, caplog: pytest.LogCaptureFixture) -> None:
    ledger = make_ledger(settle_deadline=0.1)
    ledger.locked = {1}
    ledger.settler.set_deadline()
    assert ledger.settle(verdict(1), verdict(2)) == [2]
    assert ledger.settler.waiting() == 1
    assert "did not take the outcome of 1 attempts" in caplog.text


def test_too_many_verdicts_that_are_set_aside_engage_the_backpressure(make_ledger: MakeLedger) -> None:
    ledger = make_ledger(unsettled_most=5)
    ledger.locked = set(range(5))
    ledger.start()
    ledger.put(*map(verdict, range(5)))
    until(lambda: len(ledger.queue.aside) == 5)
    assert ledger.queue.backpressure.engage_if_full()
    ledger.locked = set()
    until(lambda: len(ledger.told) == 5)
    until(lambda: not ledger.queue.backpressure.engage_if_full())


# -- jobs that are to be cancelled --------------------------------------------------------------------------------------


@pytest.mark.parametrize("outcome", [Raised("no", "why"), Snoozed(5.0), NotBegun()], ids=lambda outcome: type(outcome).__name__)
def test_what_was_written_is_told_if_somebody_had_asked_to_cancel_the_job(
    ledger: Ledger, outcome: Outcome, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    judged = judge(verdict(1).job, outcome, begun=0.0)
    ledger.asked = {1: "Cancelled: not needed"}
    ledger.settle(judged)
    assert ledger.told == [judged.cancelled("Cancelled: not needed")]
    assert ledger.told[0].status is Status.CANCELLED
    assert f"job {judged.job.uid} was to be cancelled, and is" in caplog.text


def test_a_cancelled_job_whose_settlement_had_no_reply_is_told_as_cancelled(ledger: Ledger) -> None:
    judged = judge(verdict(1).job, Raised("no", "why"), begun=0.0)
    ledger.asked = {1: "Cancelled"}
    ledger.answer = fails(1, InDoubt("no reply"), written=True)
    ledger.settle(judged)
    assert ledger.told == [judged.cancelled("Cancelled")]


def test_a_job_that_completed_all_the_same_is_told_as_completed(ledger: Ledger) -> None:
    ledger.asked = {1: "Cancelled"}
    ledger.settle(verdict(1))
    assert ledger.told == [verdict(1)]
