"""The pile and the settler, given functions in place of the database: groups, every kind of trouble, and the end."""

import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from steve import AttemptStatus, Status
from steve._engine.upkeep.outage import Outage
from steve._engine.settle.settler import Landed, SettleQueue, Settler
from steve._database.failures import Misconfigured, Refused, DatabaseFailure, Unexplained, InDoubt, Transient
from steve._model.claimed import Claimed, Settled
from steve._engine.events.listeners import Event
from steve._model.outcome import NotBegun, Outcome, Raised, Returned, Snoozed, Verdict, judge
from tests.conftest import until

AT = datetime(2026, 1, 1, tzinfo=UTC)


def verdict(number: int, result: str = "1") -> Verdict:
    retry = (3, "exp", 2.0, 3600.0, 0.0)
    job = Claimed(
        number, UUID(int=number), "default", "a", 0, "{}", None, 1, 0, *retry, lease_no=7,
        claimed_at=AT, created_at=AT, run_at=AT, started_at=None,
    )  # fmt: skip
    return judge(job, Returned(result), begun=0.0)


class Ledger:
    """What the settler believes to be the database: takes every group, unless a test says otherwise."""

    def __init__(self) -> None:
        self.rows: dict[int, Verdict] = {}
        self.groups: list[list[int]] = []
        self.witnessed: list[list[int]] = []
        self.told: list[Verdict] = []
        self.ended = threading.Event()
        self.on_write: Callable[[Sequence[Verdict]], None] = lambda group: None
        self.answer: Callable[[Landed], Landed] = lambda landed: landed
        self.pile = SettleQueue()
        self.begun: list[Event] = []
        self.rehearsed: list[Verdict] = []
        self.log: set[int] = set()  # jobs with a row of the log under their lease, of another life
        self.dropped = 0
        self.outage = Outage()
        self.settler = Settler(self.pile, self, self._told, self._drop, self.begun.append, self.outage, self.ended.set)
        self.thread = threading.Thread(target=self.settler.run)

    def _drop(self) -> None:
        self.dropped += 1

    def rehearse(self, verdict: Verdict) -> None:
        self.rehearsed.append(verdict)
        self.on_write([verdict])

    def forget_attempt(self, verdict: Verdict) -> None:
        self.log.discard(verdict.job.id)

    def write(self, group: Sequence[Verdict], now: float) -> Landed:
        self.groups.append([one.job.id for one in group])
        self.on_write(group)
        if self.log.intersection(one.job.id for one in group):
            raise Refused("duplicate key", "23505", "attempt_pkey")
        new = {place: one for place, one in enumerate(group, 1) if one.job.id not in self.rows}  # nobody is settled twice
        self.rows |= {one.job.id: one for one in new.values()}
        return self.answer({place: settled(one) for place, one in new.items()})

    def witness(self, group: Sequence[Verdict]) -> Landed:
        self.witnessed.append([one.job.id for one in group])
        return {place: settled(one) for place, one in enumerate(group, 1) if self.rows.get(one.job.id) == one}

    def _told(self, verdict: Verdict, row: Settled | None) -> None:
        assert row is None or (row.id, row.lease_no) == (verdict.job.id, verdict.job.lease_no)
        self.told.append(verdict)

    def put(self, *verdicts: Verdict) -> None:
        for one in verdicts:
            self.pile.put(one)

    def settle(self, *verdicts: Verdict) -> list[int]:
        """Puts these down, waits until the settler has ended, and returns who was told."""
        self.put(*verdicts)
        self.pile.end()
        self.start()
        self.thread.join(20)
        assert not self.thread.is_alive()
        assert self.ended.is_set()
        return [one.job.id for one in self.told]

    def start(self) -> None:
        if not self.thread.is_alive():
            self.thread.start()


def settled(verdict: Verdict) -> Settled:
    return Settled(verdict.job.id, verdict.job.lease_no, AT, AT, AT, AT, AT)


def trouble_times(times: int, error: Exception, *, written: bool = False) -> Callable[..., Any]:
    """Raises so often, and then lets pass. `written`: only after the rows were written."""
    left = [times]

    def raise_or_pass(value: Any) -> Any:
        if left[0] > 0 and (value or not written):
            left[0] -= 1
            raise error
        return value

    return raise_or_pass


def refuse(*numbers: int, error: Exception | None = None) -> Callable[[Sequence[Verdict]], None]:
    """Refuses every group in which one of these jobs has a result."""

    def check(group: Sequence[Verdict]) -> None:
        if any(one.job.id in numbers and one.result is not None for one in group):
            raise error or Refused("it says more than we may: the data", "22P05")

    return check


class Barrier:
    """Refuses every group with one of these jobs, whatever its outcome, until it is let down: no data is the cause."""

    def __init__(self, *numbers: int, error: Exception) -> None:
        self.numbers = set(numbers)
        self.error = error

    def __call__(self, group: Sequence[Verdict]) -> None:
        if self.numbers.intersection(one.job.id for one in group):
            raise self.error


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same waits, a hundredth as long."""
    monkeypatch.setattr("steve._engine.upkeep.outage.BACKOFF_FIRST", 0.001)
    monkeypatch.setattr("steve._engine.upkeep.outage.BACKOFF_MOST", 0.02)


@pytest.fixture
def ledger() -> Iterator[Ledger]:
    ledger = Ledger()
    yield ledger
    ledger.pile.end()
    if ledger.thread.is_alive():
        ledger.thread.join(20)


# -- groups ---------------------------------------------------------------------------------------------------------------


def test_a_lone_verdict_is_settled_at_once(ledger: Ledger) -> None:
    ledger.start()
    ledger.put(verdict(1))
    until(lambda: ledger.told == [verdict(1)])
    ledger.put(verdict(2))
    until(lambda: ledger.told == [verdict(1), verdict(2)])
    assert ledger.groups == [[1], [2]]
    assert ledger.settler.waiting() == 0


def test_what_comes_while_a_group_is_written_is_the_next_group(ledger: Ledger) -> None:
    written, sent = threading.Event(), threading.Event()

    def slow(group: Sequence[Verdict]) -> None:
        sent.set()
        assert written.wait(20)

    ledger.on_write = slow
    ledger.start()
    ledger.put(verdict(1))
    assert sent.wait(10)
    ledger.put(verdict(2), verdict(3), verdict(4))
    assert ledger.settler.waiting() == 4
    written.set()
    until(lambda: len(ledger.told) == 4)
    assert ledger.groups == [[1], [2, 3, 4]]


def test_a_group_has_at_most_so_many_verdicts(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("steve._engine.settle.settler.GROUP_MOST", 10)
    assert ledger.settle(*map(verdict, range(25))) == list(range(25))
    assert [len(group) for group in ledger.groups] == [10, 10, 5]


def test_a_group_has_at_most_so_many_bytes_and_one_that_has_more_by_itself_goes_alone(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("steve._engine.settle.settler.GROUP_BYTES", 10_000)
    sizes = [4_000, 4_000, 4_000, 20_000, 10, 10]
    assert ledger.settle(*[verdict(number, "x" * size) for number, size in enumerate(sizes)]) == list(range(6))
    assert ledger.groups == [[0, 1, 2], [3], [4, 5]]


def test_all_that_was_put_down_before_the_end_is_settled_and_the_end_is_told_once_after_it(ledger: Ledger) -> None:
    assert ledger.settle(*map(verdict, range(2_000))) == list(range(2_000))
    assert ledger.settler.waiting() == 0


def test_that_a_run_begins_is_told_after_the_end_of_the_one_before_and_before_its_own(ledger: Ledger) -> None:
    order: list[str] = []
    first, second = (
        Event(verdict(1).job, "host:1", None, None),
        Event(verdict(1).job._replace(attempts=2), "host:1", None, None),
    )
    written, sent = threading.Event(), threading.Event()

    def slow(group: Sequence[Verdict]) -> None:
        sent.set()
        assert written.wait(20)

    ledger.on_write = slow
    ledger.settler._told = lambda verdict, row: order.append(f"end of {verdict.job.attempts}")
    ledger.settler._tell_begun = lambda event: order.append(f"beginning of {event.job.attempts}")
    ledger.pile.announce(first)
    ledger.put(verdict(1))
    ledger.start()
    assert sent.wait(10)
    ledger.pile.announce(second)  # a worker has it again before the settler has heard that it is committed
    ledger.put(verdict(2)._replace(job=second.job._replace(id=2)))
    written.set()
    until(lambda: len(order) == 4)
    assert order == ["beginning of 1", "end of 1", "beginning of 2", "end of 2"]


def test_a_beginning_that_is_not_told_yet_is_no_outcome_that_waits(ledger: Ledger) -> None:
    for _ in range(3):
        ledger.pile.announce(Event(verdict(1).job, "host:1", None, None))
    ledger.put(verdict(1))
    assert ledger.settler.waiting() == 1


# -- the brake on the workers ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("most", "size", "expected"),
    [(("PILE_MOST", 10), 1, 10), (("PILE_BYTES", 11_000), 1_000, 10)],
    ids=["verdicts", "bytes"],
)
def test_the_brake_is_on_while_too_much_waits_and_off_when_half_of_it_is_settled(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch, most: tuple[str, int], size: int, expected: int
) -> None:
    monkeypatch.setattr(f"steve._engine.settle.settler.{most[0]}", most[1])
    monkeypatch.setattr("steve._engine.settle.settler.GROUP_MOST", 1)
    on = []
    for number in range(12):
        on.append(ledger.pile.brake.check())
        ledger.put(verdict(number, "x" * size))
    assert on == [False] * expected + [True] * (12 - expected)
    on = []
    while len(ledger.pile):
        ledger.pile.take()
        on.append(ledger.pile.brake.check())
    assert on == [True] * 6 + [False] * 6


# -- trouble that passes --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "error", [Transient("away"), Transient("read-only", "25006"), Misconfigured("no table", "42P01")], ids=str
)
def test_a_write_that_cannot_be_done_now_is_done_when_it_can(
    ledger: Ledger, caplog: pytest.LogCaptureFixture, error: DatabaseFailure
) -> None:
    ledger.on_write = trouble_times(8, error)
    assert ledger.settle(verdict(1), verdict(2)) == [1, 2]
    assert ledger.groups == [[1, 2]] * 9
    assert ledger.witnessed == []
    assert [record.message for record in caplog.records if "is back" in record.message]


def test_what_waits_meanwhile_is_settled_in_its_order(ledger: Ledger) -> None:
    ledger.on_write = trouble_times(3, Transient("away"))
    ledger.start()
    ledger.put(verdict(1))
    until(lambda: len(ledger.groups) >= 1)
    ledger.put(*map(verdict, range(2, 50)))
    until(lambda: len(ledger.told) == 49)
    assert [one.job.id for one in ledger.told] == list(range(1, 50))


# -- sent, no answer ------------------------------------------------------------------------------------------------------


def test_a_write_whose_answer_is_lost_is_found_by_the_witness_and_told_once(
    ledger: Ledger, caplog: pytest.LogCaptureFixture
) -> None:
    ledger.answer = trouble_times(1, InDoubt("the connection is lost"), written=True)
    assert ledger.settle(verdict(1), verdict(2)) == [1, 2]
    assert ledger.groups == [[1, 2], [1, 2]]
    assert ledger.witnessed == [[1, 2]]
    assert "was taken from this process" not in caplog.text


def test_a_write_that_was_lost_with_its_connection_is_written_again_without_a_witness(ledger: Ledger) -> None:
    ledger.on_write = trouble_times(2, InDoubt("the connection is lost"))
    assert ledger.settle(verdict(1), verdict(2)) == [1, 2]
    assert ledger.witnessed == []


def test_what_landed_without_its_times_was_taken_from_nobody(ledger: Ledger, caplog: pytest.LogCaptureFixture) -> None:
    """Nobody wanted to hear of it."""
    ledger.answer = lambda landed: dict.fromkeys(landed)
    assert ledger.settle(verdict(1), verdict(2)) == [1, 2]
    assert "was taken" not in caplog.text


def test_after_a_lost_answer_the_doubt_lasts_until_the_group_is_settled(ledger: Ledger) -> None:
    """A second loss, bad weather, a refusal: the first try may have written it all the same."""
    answers = iter([InDoubt("lost"), Transient("away"), InDoubt("lost")])

    def answer(landed: Landed) -> Landed:
        if (error := next(answers, None)) is not None:
            raise error
        return landed

    ledger.answer = answer
    assert ledger.settle(*map(verdict, range(8))) == list(range(8))
    assert ledger.groups == [list(range(8))] * 4


def test_after_a_lost_answer_halves_are_doubtful_too(ledger: Ledger, caplog: pytest.LogCaptureFixture) -> None:
    errors = iter([None, Refused("for once", "22P05")])

    def check(group: Sequence[Verdict]) -> None:
        if (error := next(errors, None)) is not None:
            raise error

    ledger.on_write = check
    ledger.answer = trouble_times(1, InDoubt("lost"), written=True)
    assert ledger.settle(*map(verdict, range(4))) == list(range(4))
    assert ledger.groups == [[0, 1, 2, 3], [0, 1, 2, 3], [0, 1], [2, 3]]
    assert ledger.witnessed == [[0, 1], [2, 3]]
    assert "was taken" not in caplog.text


def test_what_neither_the_write_nor_the_witness_finds_was_taken_away(ledger: Ledger, caplog: pytest.LogCaptureFixture) -> None:
    ledger.rows[2] = verdict(2, "somebody else's")
    ledger.on_write = trouble_times(1, InDoubt("lost"))
    assert ledger.settle(verdict(1), verdict(2), verdict(3)) == [1, 3]
    assert ledger.witnessed == [[1, 2, 3]]
    assert caplog.text.count("was taken from this process") == 1


# -- the fence ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("outcome", [Returned("1"), Raised("no", "details"), Snoozed(1.0)], ids=lambda o: type(o).__name__)
def test_what_is_not_ours_any_more_is_dropped_with_a_warning_and_nobody_is_told(
    ledger: Ledger, caplog: pytest.LogCaptureFixture, outcome: Any
) -> None:
    taken = judge(verdict(2).job, outcome, begun=0.0)
    ledger.rows[2] = verdict(2, "somebody else's")
    assert ledger.settle(verdict(1), taken, verdict(3)) == [1, 3]
    (record,) = caplog.records
    assert record.levelname == "WARNING"
    assert record.message == (
        f"job {taken.job.uid} was taken from this process while attempt 1 ran: its outcome ({taken.status}) is dropped"
    )
    assert (record.job_uid, record.job_type, record.job_attempt) == (str(taken.job.uid), "a", 1)  # type: ignore[attr-defined]
    assert ledger.witnessed == []

    assert ledger.dropped == 1, "by the tables this process may hold the job still"


def test_a_row_of_the_log_under_the_same_lease_is_of_another_life_and_keeps_no_outcome_from_being_written(
    ledger: Ledger, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a truncate, a restore or a failover ids and lease_nos are given out again; or somebody wrote it by hand."""
    monkeypatch.setattr("steve._engine.settle.settler.SETTLE_SECONDS", 1.0)
    ledger.settler.last_chance()
    ledger.log = {1, 2}
    assert ledger.settle(*map(verdict, range(4))) == [0, 1, 2, 3]
    assert {one.status for one in ledger.told} == {Status.COMPLETED}
    assert caplog.records == []


# -- what PostgreSQL will never take --------------------------------------------------------------------------------------


@pytest.mark.parametrize("poisoned", [[0], [7], [3], [0, 7], [2, 3], list(range(8))], ids=str)
def test_a_group_that_is_refused_is_halved_until_the_poisoned_ones_fail_alone(
    ledger: Ledger, caplog: pytest.LogCaptureFixture, poisoned: list[int]
) -> None:
    ledger.on_write = refuse(*poisoned)
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
def test_whatever_else_a_write_raises_hurts_only_the_verdict_that_causes_it(ledger: Ledger, error: Exception) -> None:
    ledger.on_write = refuse(5, error=error)
    assert ledger.settle(*map(verdict, range(8))) == list(range(8))
    assert [one.job.id for one in ledger.told if one.status is Status.FAILED] == [5]
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


def test_an_error_keeps_its_words_where_only_their_letters_cannot_be_stored(ledger: Ledger) -> None:
    raised = judge(verdict(1).job, Raised("refused \u2192 giving up", "Traceback: \u2192"), begun=0.0)

    def check(group: Sequence[Verdict]) -> None:
        if not (group[0].error or "").isascii() or not (group[0].details or "").isascii():
            raise Refused("no such letter in LATIN1", "22P05")

    ledger.on_write = check
    assert ledger.settle(raised) == [1]
    assert (ledger.told[0].error, ledger.told[0].details) == (r"refused \u2192 giving up", r"Traceback: \u2192")
    assert ledger.told[0].status is Status.PENDING


# -- what PostgreSQL does not take, and no data is the cause --------------------------------------------------------------

CAUSES = [
    Refused("a trigger raises", "P0001"),
    Refused("a constraint of the house's", "23514"),
    Unexplained("too many notifications, or the wraparound of transaction ids", "54000"),
    Unexplained("internal error", "XX000"),
    MemoryError(),
]
OUTCOMES = [Returned('"a result"'), Returned(None), Raised("no", "details"), Snoozed(0.0), NotBegun()]


@pytest.mark.parametrize("error", CAUSES, ids=str)
@pytest.mark.parametrize("outcome", OUTCOMES, ids=lambda outcome: type(outcome).__name__)
def test_an_outcome_is_kept_as_it_is_until_it_is_taken(ledger: Ledger, error: Exception, outcome: Outcome) -> None:
    kept = judge(verdict(2).job, outcome, begun=0.0)
    barrier = ledger.on_write = Barrier(2, error=error)
    ledger.start()
    ledger.put(verdict(1), kept, verdict(3))
    until(lambda: ledger.groups.count([2]) >= 3)
    assert sorted(one.job.id for one in ledger.told) == [1, 3], "the others do not wait for it"
    assert ledger.settler.waiting() == 1
    assert ledger.settler.claims() >= {(2, 7)}
    assert ledger.settler.oldest() > 0
    barrier.numbers = set()
    until(lambda: len(ledger.told) == 3)
    assert ledger.told[-1] == kept
    assert ledger.settler.waiting() == 0


def test_what_lies_aside_is_said_once_and_counts_as_waiting(ledger: Ledger, caplog: pytest.LogCaptureFixture) -> None:
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
    assert ledger.outage.now()[0] == [], "the database takes outcomes"
    ledger.on_write = lambda group: None


def test_where_nothing_is_taken_not_each_is_tried(ledger: Ledger) -> None:
    barrier = ledger.on_write = Barrier(*range(500), error=CAUSES[2])
    ledger.start()
    ledger.put(*map(verdict, range(500)))
    until(lambda: ledger.settler.waiting() == 500 and not len(ledger.pile) and len(ledger.pile.aside) == 500)
    assert len(ledger.groups) < 50
    barrier.numbers = set()
    until(lambda: len(ledger.told) == 500)
    assert {one.status for one in ledger.told} == {Status.COMPLETED}


def test_however_many_are_not_taken_the_others_are(ledger: Ledger) -> None:
    barrier = ledger.on_write = Barrier(*range(40), error=CAUSES[1])
    ledger.start()
    ledger.put(*map(verdict, range(80)))
    until(lambda: len(ledger.told) == 40, 30)
    assert {one.job.id for one in ledger.told} == set(range(40, 80))
    barrier.numbers = set()
    until(lambda: len(ledger.told) == 80)


def test_too_much_that_lies_aside_puts_the_brake_on(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("steve._engine.settle.settler.PILE_MOST", 10)
    barrier = ledger.on_write = Barrier(*range(10), error=CAUSES[0])
    ledger.start()
    ledger.put(*map(verdict, range(10)))
    until(lambda: len(ledger.pile.aside) == 10)
    assert ledger.pile.brake.check()
    barrier.numbers = set()
    until(lambda: not ledger.pile.brake.check())


def test_a_cause_that_passes_while_it_is_looked_for_is_not_the_data(ledger: Ledger) -> None:
    """The outcome without its result can be written, and by then the one with it can be, too."""
    ledger.on_write = trouble_times(1, Refused("for once", "22012"))
    assert ledger.settle(verdict(1)) == [1]
    assert ledger.told == [verdict(1)]
    assert [one.result for one in ledger.rehearsed] == [None, "1"]


def test_a_connection_that_is_lost_while_the_cause_is_looked_for_proves_nothing(ledger: Ledger) -> None:
    errors = iter([Refused("no", "22012"), None, InDoubt("lost")])

    def check(group: Sequence[Verdict]) -> None:
        if (error := next(errors, None)) is not None:
            raise error

    ledger.on_write = check
    assert ledger.settle(verdict(1)) == [1]
    assert ledger.told == [verdict(1)]


def test_the_end_waits_for_what_lies_aside(ledger: Ledger) -> None:
    barrier = ledger.on_write = Barrier(1, error=CAUSES[0])
    ledger.start()
    ledger.put(verdict(1), verdict(2))
    ledger.pile.end()
    until(lambda: ledger.groups.count([1]) >= 3)
    assert not ledger.ended.is_set()
    barrier.numbers = set()
    until(ledger.ended.is_set)
    assert {one.job.id for one in ledger.told} == {1, 2}


def test_but_not_for_ever(ledger: Ledger, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr("steve._engine.settle.settler.SETTLE_SECONDS", 0.1)
    ledger.on_write = Barrier(1, error=CAUSES[0])
    ledger.settler.last_chance()
    assert ledger.settle(verdict(1), verdict(2)) == [2]
    assert ledger.settler.waiting() == 1, "its process's row stays for that, and others rescue the job"
    assert "did not take the outcome of 1 attempts" in caplog.text


def test_the_settler_goes_on_after_a_refusal(ledger: Ledger) -> None:
    ledger.on_write = refuse(1)
    ledger.start()
    ledger.put(verdict(1))
    until(lambda: len(ledger.told) == 1)
    ledger.put(verdict(2))
    until(lambda: len(ledger.told) == 2)
    assert [one.status for one in ledger.told] == [Status.FAILED, Status.COMPLETED]


# -- the end --------------------------------------------------------------------------------------------------------------


def test_a_manager_that_stops_while_the_database_is_away_gives_up_after_a_while(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("steve._engine.settle.settler.SETTLE_SECONDS", 0.1)
    monkeypatch.setattr("steve._engine.settle.settler.GROUP_MOST", 3)
    ledger.on_write = trouble_times(1_000_000, Transient("away"))
    ledger.settler.last_chance()
    assert ledger.settle(*map(verdict, range(5))) == []
    assert ledger.settler.waiting() == 5
    assert "did not take the outcome of 5 attempts" in caplog.text


def test_what_was_settled_before_it_gave_up_is_not_counted_as_lost(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("steve._engine.settle.settler.SETTLE_SECONDS", 0.1)

    def check(group: Sequence[Verdict]) -> None:
        if len(group) > 2:
            raise Refused("for some reason", "22P05")
        if group[0].job.id >= 2:
            raise Transient("away")

    ledger.on_write = check
    ledger.settler.last_chance()
    assert ledger.settle(*map(verdict, range(4))) == [0, 1]
    assert ledger.settler.waiting() == 2


def test_the_last_chance_ends_nothing_while_the_database_works(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("steve._engine.settle.settler.SETTLE_SECONDS", 0.0)
    monkeypatch.setattr("steve._engine.settle.settler.GROUP_MOST", 1)
    ledger.settler.last_chance()
    assert ledger.settle(*map(verdict, range(100))) == list(range(100))


def test_without_a_stop_it_never_gives_up(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("steve._engine.settle.settler.SETTLE_SECONDS", 0.0)
    ledger.on_write = trouble_times(30, Transient("away"))
    assert ledger.settle(verdict(1)) == [1]


def test_who_was_broken_off_with_the_end_in_his_hands_comes_to_the_end() -> None:
    """The item that a thread waits for is gone when something breaks it off just then."""
    pile = SettleQueue()
    pile.put(verdict(1))
    pile.end()
    assert len(pile.take().verdicts) == 1
    assert pile._verdicts.empty()
    ended: list[bool] = []
    taker = threading.Thread(target=lambda: ended.append(pile.take().ended), daemon=True)
    taker.start()
    taker.join(5)
    assert ended == [True]


def test_what_was_lost_with_who_took_it_does_not_wait_for_ever() -> None:
    pile = SettleQueue()
    pile.put(verdict(1))
    pile._verdicts.get()
    assert not pile.is_settled()
    pile.recount()
    assert pile.is_settled()
    pile.put(verdict(2))
    pile.recount()
    assert len(pile) == 1
