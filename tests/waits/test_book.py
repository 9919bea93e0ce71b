"""When the waits' thread looks at which jobs, and what it makes of the reply."""

import itertools
from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID

import pytest

from steve import Job, JobCancelled, JobFailed, JobGone, Status
from steve._database.statements.waits import Ended
from steve._model.tuning import Tuning
from steve._waits.book import EVERYTHING, Book, Wait
from steve._waits.futures import JobFuture

TUNING = Tuning(wait_first=0.003, wait_look_first=0.02, wait_look_most=0.5, wait_unseen=10.0)
NOON = datetime(2025, 1, 1, 12, tzinfo=UTC)
A, B, C = UUID(int=1), UUID(int=2), UUID(int=3)
NOTHING = Ended([], set())


def job(uid: UUID, status: Status = Status.COMPLETED, error: str | None = None) -> Job:
    return Job(
        uid, "default", "a", 0, {}, None, error, status, 1, 0, 3, "exp", NOON, NOON, NOON, None, None, NOON,
    )  # fmt: skip


def wait(uid: UUID, *, raises: bool = True) -> Wait:
    return Wait(uid, JobFuture(raises=raises), 0, None)


def book_with(*waits: Wait, now: float = 0.0) -> Book:
    book = Book(TUNING)
    for one in waits:
        book.add(one, now)
    return book


def test_a_new_wait_is_looked_at_soon_and_then_less_and_less_often() -> None:
    book = book_with(wait(A))
    now, pauses = 0.0, []
    while now < 5.0:
        assert book.due(book.next_due()) == [A]
        pauses.append(book.next_due() - now)
        now = book.next_due()
        book.found([A], NOTHING, now)
    assert pauses[:2] == pytest.approx([0.003, 0.02])
    assert all(later > earlier - 1e-9 for earlier, later in itertools.pairwise(pauses))
    assert pauses[-1] == pytest.approx(0.5)
    assert len(pauses) < 30


def test_a_second_wait_for_a_job_makes_it_due_soon_and_both_get_the_answer() -> None:
    first, second = wait(A), wait(A)
    book = book_with(first)
    book.found([A], NOTHING, 0.0)
    book.add(second, 3.0)
    assert book.next_due() <= 3.003 + 1e-9
    book.found([A], Ended([job(A)], set()), 3.1)
    assert first.future.result(0) == second.future.result(0) == job(A)
    assert len(book) == 0


def test_a_look_that_is_due_takes_those_along_that_are_due_soon_and_a_hint_takes_all() -> None:
    book = book_with(wait(A))
    for now in (0.0, 2.0, 4.0):
        book.found([A], NOTHING, now)  # due at 4.5
    book.add(wait(B), 4.35)
    book.add(wait(C), 4.1)
    book.found([C], NOTHING, 4.1)
    book.found([C], NOTHING, 4.3)  # due at 4.35
    assert set(book.due(4.35)) == {A, B, C}
    book.found([A, B, C], NOTHING, 4.35)
    assert book.due(4.355) == []
    assert set(book.due(4.355, EVERYTHING)) == {A, B, C}


def test_a_function_of_the_users_may_give_up_other_futures_of_the_same_look() -> None:
    waits = [wait(A), wait(B), wait(C)]
    book = book_with(*waits)
    book.found([A, B, C], NOTHING, 1.0)  # all are there
    for one in waits:
        one.future.add_done_callback(lambda _: [other.future.cancel() for other in waits])
    book.found([A, B, C], Ended([], {A, B, C}), 2.0)  # all are gone
    assert len(book) == 0
    assert sum(one.future.cancelled() for one in waits) == 2
    book.found([A, B, C], Ended([job(A)], {B}), 3.0)  # the reply of a look that began before


def test_a_notification_is_about_the_jobs_that_it_names_and_about_all_if_it_is_empty() -> None:
    book = book_with(wait(A), wait(B))
    book.found([A, B], NOTHING, 1.0)
    book.hear([f"{C} {A}", "no uid"], 1.0)
    assert book.hints
    hints = book.take_hints()
    assert book.due(1.0, hints) == [A]
    assert not book.hints
    book.hear([str(C), "wait 15"], 1.0)
    assert not book.hints
    book.hear([str(B), ""], 1.0)
    assert book.due(1.0, book.take_hints()) == [A, B]


def test_a_job_that_nobody_waits_for_any_more_is_not_looked_at_though_it_was_named() -> None:
    book = book_with(wait(A), wait(B))
    book.found([A, B], NOTHING, 1.0)
    book.hear([str(A)], 1.0)
    book.found([A], Ended([job(A)], set()), 1.0)
    book.hear([str(A)], 1.0)
    assert book.due(1.0, book.take_hints()) == []


def test_while_notifications_name_jobs_others_are_looked_at_less_often() -> None:
    book = book_with(wait(A))
    book.hear([str(B)], 0.0)
    book.found([A], NOTHING, 0.003)
    assert book.next_due() == pytest.approx(0.103)
    book.found([A], NOTHING, 1.1)  # none has come for a second
    assert book.next_due() == pytest.approx(1.1 + 1.1 / 4)
    second = book_with(wait(B))
    second.found([B], NOTHING, 0.003)
    assert second.next_due() == pytest.approx(0.023)


def test_a_job_that_was_just_created_is_first_looked_at_when_it_is_a_little_older() -> None:
    book = Book(TUNING)
    book.add(wait(B), 0.0, 0.005)
    assert book.next_due() == pytest.approx(0.015)
    book.add(wait(C), 0.0, 3.0)  # it is older already
    assert book.next_due() == pytest.approx(0.003)


@pytest.mark.parametrize(("said", "due_at"), [(str(B), 1.0), (f"{C} {B}", 1.0), ("", 1.003), (str(C), 1.015)])
def test_the_end_of_a_new_job_may_have_been_told_before_somebody_waits_for_it(said: str, due_at: float) -> None:
    book = Book(TUNING)
    book.hear([said], 0.99)
    book.add(wait(B), 1.0, 0.005)
    assert book.next_due() == pytest.approx(due_at)


def test_of_very_many_notifications_some_may_have_been_forgotten() -> None:
    book = Book(TUNING)
    book.hear([str(C)] * 100, 0.99)
    book.add(wait(B), 1.0, 0.005)
    assert book.next_due() == pytest.approx(1.003)


@pytest.mark.parametrize(
    ("status", "kind"),
    [(Status.COMPLETED, None), (Status.FAILED, JobFailed), (Status.CANCELLED, JobCancelled)],
)
def test_a_future_raises_unless_the_job_is_completed_and_a_wait_never(status: Status, kind: type[Exception] | None) -> None:
    future, plain = wait(A), wait(A, raises=False)
    ended = job(A, status, None if kind is None else "ValueError: no")
    book_with(future, plain).found([A], Ended([ended], set()), 0.1)
    assert plain.future.result(0) == ended
    if kind is None:
        assert future.future.result(0) == ended
        return
    error = future.future.exception(0)
    assert type(error) is kind
    assert error.job == ended  # type: ignore[union-attr]
    assert str(error) == f"job {A} (a) ended {status}: ValueError: no"


def test_a_job_that_nobody_has_seen_is_gone_after_ten_seconds() -> None:
    one = wait(A)
    book = book_with(one)
    for now in (0.0, 5.0, 9.9):
        book.found([A], Ended([], {A}), now)
        assert not one.future.done()
    book.found([A], Ended([], {A}), 10.1)
    with pytest.raises(JobGone, match=str(A)):
        one.future.result(0)
    assert len(book) == 0


def test_the_ten_seconds_count_from_the_first_look_that_was_answered() -> None:
    """The database may have been away before."""
    one = wait(A)
    book = book_with(one)
    book.found([A], Ended([], {A}), 60.0)
    book.found([A], Ended([], {A}), 69.0)
    assert not one.future.done()
    book.found([A], Ended([], {A}), 70.0)
    assert isinstance(one.future.exception(0), JobGone)


def test_a_job_that_was_seen_is_gone_at_once() -> None:
    one = wait(A)
    book = book_with(one)
    book.found([A], NOTHING, 0.0)
    book.found([A], Ended([], {A}), 0.1)
    assert isinstance(one.future.exception(0), JobGone)


def test_a_job_that_appears_late_is_waited_for() -> None:
    one = wait(A)
    book = book_with(one)
    book.found([A], Ended([], {A}), 0.0)
    book.found([A], NOTHING, 9.0)
    book.found([A], Ended([job(A)], set()), 20.0)
    assert one.future.result(0) == job(A)


def test_a_wait_that_was_given_up_is_forgotten_and_the_other_one_stays() -> None:
    first, second, other = wait(A), wait(A), wait(B)
    book = book_with(first, second, other)
    assert first.future.cancel()
    assert other.future.cancel()
    book.drop_done()
    assert list(book.waits()) == [second]
    book.found([A], Ended([job(A)], set()), 1.0)
    assert second.future.result(0) == job(A)
    assert first.future.cancelled()


def test_a_future_that_is_given_up_while_the_answer_comes_does_no_harm() -> None:
    given_up, kept = wait(A), wait(A)
    book = book_with(given_up, kept)
    given_up.future.cancel()
    book.found([A], Ended([replace(job(A))], set()), 1.0)
    assert kept.future.result(0) == job(A)


def test_all_waits_or_some_can_be_ended_with_an_error() -> None:
    one, other = wait(A), wait(B)
    book = book_with(one, other)
    error = LookupError("no")
    book.fail(error, [one])
    assert one.future.exception(0) is error
    assert list(book.waits()) == [other]
    book.fail(error)
    assert other.future.exception(0) is error
    assert len(book) == 0
