"""What a running handler learns: that the manager stops, and that another process has taken its job."""

import threading

from steve import Job, current_run
from steve._engine.work.handlers import Handler
from steve._engine.work.run import run
from steve._engine.work.signals import RunSignals
from steve._model.claimed import Claimed
from steve._model.outcome import Returned
from tests.conftest import until
from tests.engine.claim.harness import Clock, claimed
from tests.engine.work.harness import is_inside


def test_a_handler_learns_that_the_manager_stops() -> None:
    signals = RunSignals()
    seen: list[bool] = []

    def handler(job: Job) -> None:
        this = current_run()
        seen.append(this.stopping)
        seen.append(this.wait(0.0))
        signals.stop()
        seen.append(this.stopping)
        seen.append(this.wait(60))

    assert run(claimed(7), handler, signals, 100) == Returned(None)
    assert seen == [False, False, True, True]


def when_waiting(thread: int, signal: threading.Thread) -> None:
    """Start the other thread when this one waits for a signal."""
    until(lambda: is_inside(thread, "wait_for"), timeout=30)
    signal.start()
    signal.join()


def test_a_handler_that_waits_is_woken_when_the_manager_stops() -> None:
    signals = RunSignals()

    def handler(job: Job) -> bool:
        stopping = threading.Thread(target=signals.stop)
        threading.Thread(target=when_waiting, args=(threading.get_ident(), stopping)).start()
        return current_run().wait(60)

    assert run(claimed(7), handler, signals, 100) == Returned("true")


def test_a_handler_learns_that_its_job_was_taken_and_others_do_not() -> None:
    signals = RunSignals()
    seen: list[tuple[bool, bool, bool]] = []

    def handler(job: Job) -> None:
        this = current_run()
        seen.append((this.lost, this.wait(0.0), this.stopping))
        losing = threading.Thread(target=signals.lose, args=({claimed(7).key()}, {claimed(7).key(), claimed(8).key()}))
        threading.Thread(target=when_waiting, args=(threading.get_ident(), losing)).start()
        seen.append((this.wait(60), this.lost, this.stopping))

    def look(job: Job) -> None:
        seen.append((current_run().lost, current_run().wait(0.0), current_run().stopping))

    def call(handler: Handler, job: Claimed) -> None:
        assert run(job, handler, signals, 100) == Returned(None)

    call(handler, claimed(7))
    call(look, claimed(8))
    call(look, claimed(7)._replace(lease_no=2))  # the next claim of the same job
    assert seen == [(False, False, False), (True, True, False), (False, False, False), (False, False, False)]


def test_a_lost_claim_is_forgotten_when_its_run_is_over() -> None:
    signals = RunSignals()
    signals.lose({claimed(7).key()}, {claimed(7).key(), claimed(8).key()})
    signals.lose({claimed(9).key()}, {claimed(7).key(), claimed(8).key()})
    assert signals.is_lost(claimed(7).key())
    signals.lose(set(), {claimed(8).key()})
    assert not signals.is_lost(claimed(7).key())


def test_a_run_belongs_to_the_signals_of_its_engine() -> None:
    signals, others = RunSignals(), RunSignals()
    seen: list[bool] = []
    run(claimed(7), lambda job: seen.extend([signals.are_of_this_run(), others.are_of_this_run()]), signals, 100)
    assert seen == [True, False]
    assert not signals.are_of_this_run()


# -- cancels ------------------------------------------------------------------------------------------------------------

SEVEN, EIGHT = claimed(7), claimed(8)


def test_a_handler_that_waits_is_woken_when_its_job_is_to_be_cancelled_and_others_are_not() -> None:
    signals = RunSignals()
    seen: list[tuple[bool, bool, bool]] = []

    def handler(job: Job) -> None:
        this = current_run()
        seen.append((this.cancelled, this.wait(0.0), this.lost))
        asking = threading.Thread(target=signals.cancel, args=([SEVEN.uid], [SEVEN.key(), EIGHT.key()]))
        threading.Thread(target=when_waiting, args=(threading.get_ident(), asking)).start()
        seen.append((this.wait(60), this.cancelled, this.lost or this.stopping))

    def look(job: Job) -> None:
        seen.append((current_run().cancelled, current_run().wait(0.0), current_run().lost))

    for job, what in ((SEVEN, handler), (EIGHT, look), (SEVEN._replace(lease_no=2), look)):  # the last: its next claim
        assert run(job, what, signals, 100) == Returned(None)
    assert seen == [(False, False, False), (True, True, False), (False, False, False), (False, False, False)]


def test_a_job_that_is_to_be_cancelled_must_not_begin() -> None:
    signals = RunSignals()
    assert not signals.must_not_begin(SEVEN)
    signals.cancel([SEVEN.uid], [SEVEN.key(), EIGHT.key()])
    assert signals.must_not_begin(SEVEN)
    assert not signals.must_not_begin(EIGHT)
    assert not signals.must_not_begin(SEVEN._replace(lease_no=2)), "a later claim: the row will say"


def test_a_cancel_that_comes_before_the_reply_to_the_claim_counts_for_a_moment() -> None:
    clock = Clock()
    signals = RunSignals(clock=clock)
    signals.cancel([SEVEN.uid], [EIGHT.key()])
    assert signals.must_not_begin(SEVEN)
    assert not signals.is_cancelled(SEVEN.key())
    clock.now += 2.0
    assert not signals.must_not_begin(SEVEN)


def test_a_cancel_is_forgotten_when_the_claim_is_over() -> None:
    signals = RunSignals()
    signals.cancel([SEVEN.uid], [SEVEN.key()])
    signals.cancel([EIGHT.uid], [SEVEN.key(), EIGHT.key()])
    assert signals.is_cancelled(SEVEN.key())
    signals.cancel([], [EIGHT.key()])
    assert not signals.is_cancelled(SEVEN.key())
    assert signals.is_cancelled(EIGHT.key())
