"""The registry of listeners: which of them is told of an event, and what it is given."""

from uuid import UUID

import pytest

from steve import Attempt, Job
from steve._engine.events.listeners import Kind, Listeners
from steve._model.outcome import Outcome, Unusable
from tests.engine.events.events import AGAIN, BEGUN, DONE, FAILED, GIVEN_BACK, SNOOZED, claimed, event

# -- who is told ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "outcomes"),
    [
        ("success", [DONE]),
        ("failure", [FAILED]),
        ("done", [DONE, FAILED]),
        ("attempt", [BEGUN, DONE, AGAIN, FAILED]),
    ],
)
def test_a_listener_is_told_of_the_events_of_its_kind_and_type_only(kind: Kind, outcomes: list[Outcome]) -> None:
    listeners = Listeners()
    told: list[Job] = []
    listeners.add(kind, "a", lambda job, *attempt: told.append(job))
    for outcome in (BEGUN, DONE, AGAIN, FAILED, SNOOZED, GIVEN_BACK):
        happened = event(outcome)
        wanted = listeners.want_begin("a") if happened.verdict is None else listeners.want(happened.verdict)
        listeners.tell(happened)
        assert bool(told) == wanted == (outcome in outcomes), outcome
        told.clear()
        listeners.tell(event(outcome, claimed(type="b")))
        assert told == []


def test_an_event_without_a_listener_for_its_type_is_not_wanted() -> None:
    listeners = Listeners()
    remove = listeners.add("attempt", "b", print)
    verdict = event(DONE).verdict
    assert verdict is not None
    assert not listeners.want_begin("a")
    assert not listeners.want(verdict)
    assert listeners.want_begin("b")
    remove()
    assert not listeners.want_begin("b")


def test_the_listener_of_one_job_is_told_once_at_its_end() -> None:
    listeners = Listeners()
    told: list[str] = []
    listeners.add_once(UUID(int=1), lambda job: told.append(job.status))
    for outcome in (BEGUN, AGAIN, SNOOZED, GIVEN_BACK):
        verdict = event(outcome).verdict
        assert verdict is None or not listeners.want(verdict)
        listeners.tell(event(outcome))
    listeners.tell(event(DONE, claimed(2)))  # another job
    assert told == []
    done = event(DONE)
    assert done.verdict is not None
    assert listeners.want(done.verdict)
    listeners.tell(done)
    listeners.tell(done)
    assert told == ["completed"]
    assert not listeners.want(done.verdict)


def test_the_listener_of_one_job_may_be_dropped_before_its_end() -> None:
    listeners = Listeners()
    told: list[Job] = []
    for number in (1, 2, 3):
        listeners.add_once(UUID(int=number), told.append)
    listeners.drop_once(UUID(int=1))
    listeners.drop_once(UUID(int=1))
    listeners.tell(event(DONE, claimed(1)))
    assert told == []
    assert listeners.waiting_once() == [UUID(int=2), UUID(int=3)]
    listeners.drop_once(*listeners.waiting_once())
    assert listeners.waiting_once() == []
    for number in (2, 3):
        listeners.tell(event(FAILED, claimed(number)))
    assert told == []


def test_the_listener_of_a_job_is_dropped_when_it_is_found_ended_twice() -> None:
    """Between the two looks, an end in this process would have been told."""
    listeners = Listeners()
    for number in (1, 2):
        listeners.add_once(UUID(int=number), print)
    listeners.drop_ended({UUID(int=1)})
    assert listeners.waiting_once() == [UUID(int=1), UUID(int=2)]
    listeners.drop_ended({UUID(int=1), UUID(int=2)})
    assert listeners.waiting_once() == [UUID(int=2)]


def test_a_listener_removed_by_an_earlier_one_is_not_told() -> None:
    listeners = Listeners()
    told: list[str] = []
    listeners.add("done", None, lambda job: (told.append("first"), second()))
    second = listeners.add("done", None, lambda job: told.append("second"))
    listeners.add("done", None, lambda job: told.append("third"))
    listeners.tell(event(DONE))
    assert told == ["first", "third"]


def test_a_listener_added_while_an_event_is_told_hears_of_the_next_one() -> None:
    listeners = Listeners()
    told: list[int] = []
    listeners.add("done", None, lambda job: listeners.add("done", None, lambda job: told.append(job.uid.int)))
    listeners.tell(event(DONE, claimed(1)))
    assert told == []
    listeners.tell(event(DONE, claimed(2)))
    assert told == [2]


# -- what they are given --------------------------------------------------------------------------------------------------


def test_each_listener_gets_a_job_of_its_own() -> None:
    listeners = Listeners()
    told: list[Job] = []

    def spoil(job: Job, attempt: Attempt | None = None) -> None:
        told.append(job)
        job.payload["list"].clear()
        job.result.clear()

    for kind in ("success", "done", "attempt"):
        listeners.add(kind, None, spoil)
    listeners.add("success", None, told.append)
    listeners.add_once(UUID(int=1), told.append)
    listeners.tell(event(DONE))
    assert [(job.payload, job.result) for job in told[3:]] == [({"list": [1]}, {"n": 1})] * 2
    assert len({id(job.payload) for job in told}) == 5


def test_a_payload_that_python_cannot_hold_is_told_as_text() -> None:
    """The job failed because of that, and the listeners for failures must hear of it."""
    text = '{"n": 1' + "0" * 5000 + "}"
    listeners = Listeners()
    told: list[Job] = []
    listeners.add("failure", None, told.append)
    listeners.tell(event(Unusable("PayloadNotDecodable"), claimed(payload=text)))
    assert [job.payload for job in told] == [text]
