"""The rules of `why()`: tables of what cannot well be brought about, and the words."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from steve import Pause
from steve._model.why.facts import Ahead, Facts, Held, JobFacts
from steve._model.why.rules import why
from steve._model.why.text import duration, error, held, listed, times
from steve.presence import Pool, Process

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def ago(seconds: float) -> datetime:
    return NOON - timedelta(seconds=seconds)


def job(**columns: Any) -> JobFacts:
    row = JobFacts("pending", "mail", "welcome", 0, ago(1), 0, 0, 3, None, *[None] * 9)
    return row._replace(**columns)


def process(**fields: Any) -> Process:
    values = {"pools": (Pool(None, (), 2, 0),), "types": ("welcome",), "max_crashes": 3} | fields
    return Process(fields.pop("id", 1), "host:1", "1", NOON, NOON, 1.0, 60.0, values.pop("alive", True), **values)


def facts(*processes: Process, **fields: Any) -> Facts:
    return Facts(UUID(int=1), NOON, job(), processes=processes or (process(),))._replace(**fields)


def pause(queue: str | None = None, type: str | None = None, **fields: Any) -> Pause:
    return Pause(queue, type, ago(7200), **({"until": None, "reason": None, "by": None} | fields))


@pytest.mark.parametrize(
    ("one", "text", "remedy"),
    [
        (pause("mail"), 'queue "mail" was paused 2 h ago', "resume(queue='mail') lets it run."),
        (pause(type="welcome"), 'type "welcome" was paused 2 h ago', "resume(type='welcome') lets it run."),
        (
            pause("mail", "welcome", by="ada", reason="the provider is down", until=NOON + timedelta(hours=1)),
            'type "welcome" in queue "mail" was paused by ada 2 h ago, until 2026-01-01 13:00:00 UTC: the provider is down',
            "resume(queue='mail', type='welcome') lets it run.",
        ),
        (pause(), "everything was paused 2 h ago", "resume() lets it run."),
    ],
)
def test_a_paused_queue_or_type(one: Pause, text: str, remedy: str) -> None:
    (reason,) = why(facts(pauses=[one])).reasons
    assert (reason.code, reason.text, reason.remedy) == ("paused", text, remedy)


@pytest.mark.parametrize("one", [pause("other"), pause(type="other"), pause("mail", "other"), pause("mail", until=NOON)])
def test_a_pause_of_others_and_one_that_is_over_keep_nothing(one: Pause) -> None:
    assert why(facts(pauses=[one])).codes == ("ready",)


TWO_POOLS = process(pools=(Pool(("mail",), (), 2, 0), Pool(None, ("mail",), 2, 2)))

CASES: list[tuple[Facts, tuple[str, ...]]] = [
    (facts(process(alive=False)), ("no_process",)),
    (facts(process(types=())), ("no_handler",)),
    (facts(process(types=(), any_type=True)), ("ready",)),
    (facts(process(pools=(Pool(("other",), (), 2, 0),))), ("no_queue",)),
    (facts(process(pools=(Pool(None, ("mail",), 2, 0),))), ("no_queue",)),
    (facts(process(quiet=True)), ("quiet",)),
    (facts(process(quiet=True, pools=())), ("quiet",)),
    (facts(process(pools=(Pool(("mail",), (), 0, 1), Pool(None, (), 2, 0)))), ("ready",)),
    (facts(process(quiet=True), process(stopping=True)), ("quiet",)),
    (facts(process(quiet=True), process()), ("ready",)),
    (facts(process(problems=("no",))), ("unwell",)),
    (facts(process(problems=("no",)), process()), ("ready",)),
    (facts(process(alone=True)), ("alone",)),
    (facts(process(alone=True), process()), ("ready",)),
    (facts(process(pools=(Pool(None, (), 2, 2),))), ("busy",)),
    (facts(process(pools=(Pool(("mail",), (), 2, 2), Pool(None, (), 2, 0)))), ("busy",)),
    (facts(process(pools=(Pool(None, (), 2, 2),)), process()), ("ready",)),
    (facts(job=job(crashes=1)), ("suspect",)),
    (facts(locked_by=[Held("a session", 3.0)]), ("locked",)),
    (facts(claim_lock=Held("a session", 0.5)), ("ready",)),
    (facts(claim_lock=Held("a session", 2.0)), ("claim_lock",)),
    (facts(horizon=[Held("a session", 59.0)]), ("ready",)),
    (facts(horizon=[Held("a session", 61.0)]), ("snapshot",)),
    (facts(process(scan_seconds=0.5), horizon=[Held("a slot", None)]), ("snapshot",)),
    (facts(ahead=Ahead({("mail", "welcome"): 5}, capped=False)), ("behind",)),
    (facts(ahead=Ahead({("mail", "other"): 5}, capped=False), kinds={1: frozenset({"welcome"})}), ("ready",)),
    (facts(ahead=Ahead({("mail", "other"): 5}, capped=False), kinds={1: frozenset({"other"})}), ("behind",)),
    (
        facts(ahead=Ahead({("mail", "other"): 5}, False), kinds={1: frozenset({"other"})}, pauses=[pause(type="other")]),
        ("ready",),
    ),
    (facts(ahead=Ahead({("slow", "welcome"): 5, ("mail", "welcome"): 1}, False), pauses=[pause("slow")]), ("behind",)),
    (facts(ahead=Ahead({("slow", "welcome"): 5}, capped=True), pauses=[pause("slow")]), ("behind",)),
    (facts(TWO_POOLS, ahead=Ahead({("other", "welcome"): 5}, capped=False)), ("ready",)),
    (facts(TWO_POOLS, process(), ahead=Ahead({("other", "welcome"): 5}, capped=False)), ("behind",)),
    (facts(job=job(run_at=NOON + timedelta(1)), locked_by=[Held("a session", 3.0)]), ("not_due",)),
    (facts(process(types=()), job=job(run_at=NOON + timedelta(1))), ("not_due", "no_handler")),
    (facts(job=job(expires_at=ago(1))), ("expired",)),
    (facts(job=job(expires_at=ago(1), started_at=ago(2), error="E", crashes=0)), ("ready",)),
]
"""What is known, and the reasons that follow."""


@pytest.mark.parametrize(("known", "codes"), CASES, ids=[str(number) for number in range(len(CASES))])
def test_what_keeps_a_pending_job(known: Facts, codes: tuple[str, ...]) -> None:
    kinds = known.kinds or {1: frozenset({"welcome"})}
    assert why(known._replace(kinds=kinds)).codes == codes


@pytest.mark.parametrize(
    ("pace", "capped", "text"),
    [
        (
            None,
            False,
            "12,000 jobs that are due before it must be claimed first; none has ended lately, so nobody can tell how long",
        ),
        (300.0, False, "at the fleet's pace of 300.0 jobs a second that takes about 40 s"),
        (300.0, True, "more than 12,000 jobs"),
        (300.0, True, "that takes more than 40 s"),
    ],
)
def test_how_many_come_first_and_how_long_that_takes(pace: float | None, capped: bool, text: str) -> None:
    ahead = Ahead({("mail", "welcome"): 12_000}, capped)
    (reason,) = why(facts(process(pace=pace), ahead=ahead, kinds={1: frozenset({"welcome"})})).reasons
    assert text in reason.text


def test_paused_jobs_do_not_count_as_jobs_that_come_first() -> None:
    ahead = Ahead({("slow", "welcome"): 5, ("mail", "welcome"): 1}, capped=False)
    (reason,) = why(facts(ahead=ahead, kinds={1: frozenset({"welcome"})}, pauses=[pause("slow")])).reasons
    assert reason.text.startswith("1 job that is due before it must be claimed first")
    ahead = Ahead({("slow", "welcome"): 10_000}, capped=True)
    (reason,) = why(facts(ahead=ahead, kinds={1: frozenset({"welcome"})}, pauses=[pause("slow")])).reasons
    assert reason.text.startswith("the first 10,000 jobs that are due before it are paused or for other workers")


@pytest.mark.parametrize(
    ("claimed", "buffered", "code"),
    [
        (0.0, 0, "running"),
        (0.1, 0, "running"),
        (0.1, 3, "buffered"),
        (10.0, 3, "buffered"),
        (1.9, 0, "running"),
        (2.1, 0, "unheld"),
    ],
)
def test_a_claim_was_under_way_when_the_process_sent_its_heartbeat(claimed: float, buffered: int, code: str) -> None:
    """`claimed`: seconds between the claim and the heartbeat, which came ten minutes ago."""
    beat = ago(600)
    holder = replace(process(buffered=buffered), heartbeat_at=beat, heartbeat_age=600.0, lease=3600.0)
    row = job(status="running", claimed_at=beat - timedelta(seconds=claimed), process_id=1)
    assert why(facts(holder, job=row, holder=holder)).codes == (code,)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(-1, "0.0 s"), (0.44, "0.4 s"), (9.96, "10 s"), (119, "119 s"), (120, "2 min"), (7_170, "2 h"), (171_000, "2 days")],
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("names", "text"),
    [(["a"], "a"), (["a", "b"], "a and b"), (["a", "b", "c"], "a, b and c"), (list("abcde"), "a, b, c and 2 more")],
)
def test_lists(names: list[str], text: str) -> None:
    assert listed(names) == text


def test_other_words() -> None:
    assert (times(1, "job"), times(1_200, "job")) == ("1 job", "1,200 jobs")
    assert (held(Held("a", None)), held(Held("a", 3.0))) == ("a", "a, for 3.0 s")
    assert error("one\n\ttwo\x00") == "one two\ufffd"
    assert len(error("x" * 1_000)) == 203
