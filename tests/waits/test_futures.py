"""JobFuture keeps the promises of the standard library's futures."""

import asyncio
import concurrent.futures as standard
import threading

import pytest

from steve import NotRunning
from steve._waits.futures import JobFuture
from tests.waits.test_book import A, job


def test_a_future_that_is_cancelled_says_so_once() -> None:
    cancelled: list[int] = []
    future = JobFuture(lambda: cancelled.append(1))
    assert future.cancel()
    assert future.cancel()
    assert future.cancelled()
    assert cancelled == [1]
    with pytest.raises(standard.CancelledError):
        future.result(0)


def test_a_future_that_is_done_cannot_be_cancelled() -> None:
    cancelled: list[int] = []
    future = JobFuture(lambda: cancelled.append(1))
    future.end(job(A))
    assert not future.cancel()
    assert cancelled == []
    future.fail(LookupError())  # too late, and it does no harm
    assert future.result(0) == job(A)


@pytest.mark.parametrize("end", ["end", "fail", "cancel"])
def test_those_who_wait_with_the_standard_library_learn_of_each_end(end: str) -> None:
    future = JobFuture()
    ends = {"end": lambda: future.end(job(A)), "fail": lambda: future.fail(LookupError()), "cancel": future.cancel}
    called: list[object] = []
    future.add_done_callback(called.append)
    threading.Timer(0.02, ends[end]).start()
    done, left = standard.wait([future], 30)
    assert (done, left) == ({future}, set())
    assert list(standard.as_completed([future], 30)) == [future]
    assert called == [future]


def test_asyncio_can_await_it_and_give_it_up() -> None:
    cancelled = threading.Event()

    async def main() -> None:
        future = JobFuture()
        threading.Timer(0.02, lambda: future.end(job(A))).start()
        assert await asyncio.wait_for(asyncio.wrap_future(future), 30) == job(A)
        given_up = JobFuture(cancelled.set)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.wrap_future(given_up), 0.01)

    asyncio.run(main())
    assert cancelled.wait(30)


def test_the_functions_that_wait_for_its_end_are_not_called_under_its_lock() -> None:
    """Otherwise one of them that waits for another thread could wait for ever."""
    future = JobFuture()
    asked: list[bool] = []
    answered: list[bool] = []

    def ask_elsewhere(_: object) -> None:
        thread = threading.Thread(target=lambda: asked.append(future.done()))
        thread.start()
        thread.join(30)
        answered.extend(asked)  # what it is told after the function has returned does not count

    future.add_done_callback(ask_elsewhere)
    future.cancel()
    assert answered == [True]


def test_in_the_child_of_a_fork_it_fails_and_calls_nobody() -> None:
    future = JobFuture()
    called: list[object] = []
    future.add_done_callback(called.append)
    future._condition.acquire()  # as a thread may have it that does not exist in the child
    held = future._condition
    future.abandon_after_fork()
    held.release()
    with pytest.raises(NotRunning, match="forked"):
        future.result(0)
    assert called == []
