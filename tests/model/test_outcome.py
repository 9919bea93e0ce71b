"""judge(): every rule about what becomes of a job, as a table: what the handler did, and the verdict."""

import json
from datetime import timedelta
from typing import Any

import pytest

from steve import AttemptStatus, RetryPolicy, Status
from steve._model.outcome import (
    CancelRaised,
    Completing,
    NotBegun,
    Outcome,
    Overdue,
    Raised,
    Returned,
    Snoozed,
    Unusable,
    Verdict,
    is_last_attempt,
    is_overdue,
    judge,
)
from tests.rows import NOON, claimed

BEGUN = 123.0
ERROR = Raised("ValueError: no", "Traceback ...", error_type="builtins.ValueError")
FINAL = ERROR._replace(is_final=True)
LATER = ERROR._replace(delay=90.0)
CANCEL = CancelRaised("Cancelled: not needed", None)


def extras(**more: Any) -> dict[str, Any]:
    """The column of a job that has some of what most jobs have none of."""
    return {"extras": json.dumps(more)}


def verdict(status: Status, attempt_status: AttemptStatus | None, **more: Any) -> dict[str, Any]:
    """The fields of a verdict except the job."""
    nothing = {
        "begun": BEGUN, "result": None, "error": None, "details": None, "delay": 0.0, "error_type": None, "completed": None,
        "seconds": None,
    }  # fmt: skip
    return nothing | {"status": status, "attempt_status": attempt_status} | more


def completed(result: str | None) -> dict[str, Any]:
    return verdict(Status.COMPLETED, AttemptStatus.SUCCESS, result=result)


def again(delay: float) -> dict[str, Any]:
    return verdict(Status.PENDING, AttemptStatus.ERROR, **IN_LOG, delay=delay)


IN_LOG = {"error": ERROR.message, "details": ERROR.details, "error_type": ERROR.error_type}
FAILED = verdict(Status.FAILED, AttemptStatus.ERROR, **IN_LOG)
CANCELLED = verdict(Status.CANCELLED, AttemptStatus.CANCELLED, error="Cancelled: not needed", error_type="steve.Cancelled")
BACK = verdict(Status.PENDING, None, begun=None, delay=None)

RULES: dict[str, tuple[dict[str, Any], Outcome, dict[str, Any]]] = {
    # the job, what the handler did, the verdict
    "it returned": ({}, Returned('{"a":1}'), completed('{"a":1}')),
    "it returned None": ({}, Returned(None), completed(None)),
    "it returned at the last attempt": ({"attempts": 3}, Returned("1"), completed("1")),
    "it returned beyond the last attempt": ({"attempts": 9}, Returned("1"), completed("1")),
    "it returned after an error": ({"attempts": 2, "error": "before"}, Returned(None), completed(None)),
    "exp, first failure": ({}, ERROR, again(2.0)),
    "exp, second failure": ({"attempts": 2}, ERROR, again(4.0)),
    "exp, third and last": ({"attempts": 3}, ERROR, FAILED),
    "exp, more than the last": ({"attempts": 4}, ERROR, FAILED),
    "exp, eleventh failure": ({"attempts": 11, "max_attempts": 99}, ERROR, again(2048.0)),
    "exp, an hour at most": ({"attempts": 12, "max_attempts": 99}, ERROR, again(3600.0)),
    "exp, an hour at most, also far out": ({"attempts": 9_999, "max_attempts": 10_000}, ERROR, again(3600.0)),
    "exp, the last of ten thousand": ({"attempts": 10_000, "max_attempts": 10_000}, ERROR, FAILED),
    "none, first failure": ({"backoff_strategy": "none"}, ERROR, again(0.0)),
    "none, second failure": ({"backoff_strategy": "none", "attempts": 2}, ERROR, again(0.0)),
    "none, third and last": ({"backoff_strategy": "none", "attempts": 3}, ERROR, FAILED),
    "one attempt only": ({"max_attempts": 1}, ERROR, FAILED),
    "one attempt only, none": ({"max_attempts": 1, "backoff_strategy": "none"}, ERROR, FAILED),
    "numbers of its own": ({"attempts": 2, "backoff_base": 3.0}, ERROR, again(9.0)),
    "a cap of its own": ({"attempts": 2, "backoff_max": 1.5}, ERROR, again(1.5)),
    "jitter, by chance in the middle": ({"backoff_jitter": 0.5}, ERROR, again(2.0)),
    "a crash spends no attempt": ({"attempts": 3, "crashes": 1}, ERROR, again(4.0)),
    "nor do two": ({"attempts": 3, "crashes": 2}, ERROR, again(2.0)),
    "the last attempt after two crashes": ({"attempts": 5, "crashes": 2}, ERROR, FAILED),
    "the only attempt after a crash": ({"attempts": 2, "crashes": 1, "max_attempts": 1}, ERROR, FAILED),
    "four failures are forgiven": ({"attempts": 5, **extras(forgiven=4)}, ERROR, again(2.0)),
    "four are forgiven, and the second since": ({"attempts": 6, **extras(forgiven=4)}, ERROR, again(4.0)),
    "four are forgiven, and the third since is the last": ({"attempts": 7, **extras(forgiven=4)}, ERROR, FAILED),
    "forgiven failures are no crashes": ({"attempts": 7, "crashes": 1, **extras(forgiven=4)}, ERROR, again(4.0)),
    "nothing is forgiven": ({"attempts": 3, **extras(tags={"a": 1})}, ERROR, FAILED),
    "more is forgiven than has failed": ({"attempts": 1, **extras(forgiven=4)}, ERROR, again(0.125)),
    "it said that it fails": ({}, FINAL, FAILED),
    "it said that it fails at the last attempt": ({"attempts": 3}, FINAL, FAILED),
    "it said when to try again": ({}, LATER, again(90.0)),
    "it said when, whatever the policy": ({"backoff_strategy": "none", "backoff_jitter": 1.0}, LATER, again(90.0)),
    "it said to try again at once": ({}, ERROR._replace(delay=0.0), again(0.0)),
    "it said when to try again at the last attempt": ({"attempts": 3}, LATER, FAILED),
    "it cancelled its job": ({}, CANCEL, CANCELLED),
    "it cancelled its job at the last attempt": ({"attempts": 3}, CANCEL, CANCELLED),
    "it cancelled its job while it handled an error": ({}, CANCEL._replace(details="why"), CANCELLED | {"details": "why"}),
    "its time to begin was over": (
        extras(expires_at="2025-01-01T11:00:00+00:00"),
        Overdue(),
        verdict(
            Status.CANCELLED,
            AttemptStatus.CANCELLED,
            begun=None,
            error="Expired: the job had not begun by 2025-01-01T11:00:00+00:00",
            error_type="steve.Expired",
        ),
    ),
    "it snoozed": ({}, Snoozed(90.0), verdict(Status.PENDING, None, delay=90.0)),
    "it snoozed, and said why": ({}, Snoozed(9.0, "why"), verdict(Status.PENDING, None, error="why", delay=9.0)),
    "it snoozed for no time": ({}, Snoozed(0.0), verdict(Status.PENDING, None, delay=0.0)),
    "it snoozed at the last attempt": ({"attempts": 3}, Snoozed(5.0), verdict(Status.PENDING, None, delay=5.0)),
    "it snoozed beyond the last attempt": ({"attempts": 9}, Snoozed(5.0), verdict(Status.PENDING, None, delay=5.0)),
    "it was not begun": ({}, NotBegun(), BACK),
    "it was not begun at the last attempt": ({"attempts": 3}, NotBegun(), BACK),
    "it completed its job in a transaction, and returned": (
        {},
        Completing(Returned("1"), "2"),
        completed("1") | {"completed": Returned("2")},
    ),
    "it completed its job without a result, and raised": (
        {},
        Completing(ERROR, None),
        again(2.0) | {"completed": Returned(None)},
    ),
    "it completed its job, and raised at the last attempt": (
        {"attempts": 3},
        Completing(ERROR, None),
        FAILED | {"completed": Returned(None)},
    ),
    "it completed its job, and snoozed": (
        {},
        Completing(Snoozed(90.0), "2"),
        verdict(Status.PENDING, None, delay=90.0, completed=Returned("2")),
    ),
    "it completed its job, and cancelled it": ({}, Completing(CANCEL, "2"), CANCELLED | {"completed": Returned("2")}),
    "unusable is final at the first attempt": (
        {},
        Unusable("ResultNotStorable: no"),
        verdict(Status.FAILED, AttemptStatus.ERROR, error="ResultNotStorable: no"),
    ),
    "unusable is final however many are left": (
        {"max_attempts": 10_000, "backoff_strategy": "none"},
        Unusable("PayloadNotDecodable: no", "why"),
        verdict(Status.FAILED, AttemptStatus.ERROR, error="PayloadNotDecodable: no", details="why"),
    ),
}


@pytest.mark.parametrize(("columns", "outcome", "expected"), RULES.values(), ids=RULES)
def test_the_verdict_follows_from_the_job_and_the_outcome(
    columns: dict[str, Any], outcome: Outcome, expected: dict[str, Any]
) -> None:
    job = claimed(**columns)
    judged = judge(job, outcome, BEGUN)
    assert judged._asdict() == {"job": job} | expected


@pytest.mark.parametrize(
    "outcome", [Returned("1"), ERROR, Snoozed(1.0), Completing(ERROR, "2"), Completing(Returned("1"), None)]
)
def test_a_verdict_says_how_long_the_handler_took(outcome: Outcome) -> None:
    judged = judge(claimed(), outcome, BEGUN, seconds=3.0)
    assert judged.seconds == judged.completion("1").seconds == judged.cancelled("no").seconds == 3.0
    assert judged._replace(seconds=None) == judge(claimed(), outcome, BEGUN)


@pytest.mark.parametrize(("chance", "delay"), [(0.0, 3.0), (0.25, 3.5), (0.5, 4.0), (1.0, 5.0)])
def test_chance_places_a_retry_within_the_jobs_jitter(chance: float, delay: float) -> None:
    assert judge(claimed(attempts=2, backoff_jitter=0.25), ERROR, BEGUN, chance).delay == delay


def test_a_job_is_tried_and_waits_as_its_policy_says() -> None:
    policy = RetryPolicy(max_attempts=5, base=3.0, max_delay=30.0)
    job = claimed(max_attempts=5, backoff_base=3.0, backoff_max=30.0)
    delays = []
    while (judged := judge(job, ERROR, BEGUN)).status is Status.PENDING:
        delays.append(judged.delay)
        job = job._replace(attempts=job.attempts + 1)
    assert judged.status is Status.FAILED
    assert job.attempts == 5
    assert delays == [policy.delay(failures) for failures in (1, 2, 3, 4)]


@pytest.mark.parametrize(
    "numbers",
    [
        {"backoff_jitter": 0.10000000149011612},  # what a real in PostgreSQL makes of 0.1
        {"backoff_base": 1.0, "backoff_max": 0.0},
        {"backoff_base": 1000.0, "backoff_max": 31_536_000.0, "backoff_jitter": 1.0},
    ],
)
def test_any_policy_that_the_table_may_hold_can_be_judged(numbers: dict[str, float]) -> None:
    assert judge(claimed(**numbers), ERROR, BEGUN).status is Status.PENDING


def test_only_a_job_that_was_not_begun_goes_back() -> None:
    given_back = {name for name, (columns, outcome, _) in RULES.items() if judge(claimed(**columns), outcome, BEGUN).goes_back}
    assert given_back == {"it was not begun", "it was not begun at the last attempt"}


EXPIRES_AT_NOON = extras(expires_at=NOON.isoformat())
OVERDUE: dict[str, tuple[dict[str, Any], float, bool]] = {
    # the job, how many seconds ago it was claimed, and whether it must not begin any more
    "it does not expire": ({}, 1e9, False),
    "it has something else": (extras(tags={"a": 1}), 1e9, False),
    "claimed a second before": (EXPIRES_AT_NOON | {"claimed_at": NOON - timedelta(seconds=1)}, 0.5, False),
    "claimed a second before, a second ago": (EXPIRES_AT_NOON | {"claimed_at": NOON - timedelta(seconds=1)}, 1.0, True),
    "claimed at that time": (EXPIRES_AT_NOON, 0.0, True),
    "claimed after": (EXPIRES_AT_NOON | {"claimed_at": NOON + timedelta(days=1)}, 0.0, True),
    "begun before": (EXPIRES_AT_NOON | {"started_at": NOON - timedelta(days=1)}, 1e6, False),
    "in another time zone": (extras(expires_at="2025-01-01T14:00:01+02:00"), 0.5, False),
    "in another time zone, a second ago": (extras(expires_at="2025-01-01T14:00:01+02:00"), 1.0, True),
}


@pytest.mark.parametrize(("columns", "seconds", "expected"), OVERDUE.values(), ids=OVERDUE)
def test_a_job_that_has_not_begun_in_time_must_not_begin(columns: dict[str, Any], seconds: float, expected: bool) -> None:
    assert is_overdue(claimed(**columns), seconds) is expected


def test_the_last_attempt_is_the_one_whose_failure_is_final() -> None:
    for columns, _, _ in RULES.values():
        job = claimed(**columns)
        assert is_last_attempt(job) is (judge(job, ERROR, BEGUN).status is Status.FAILED)


YIELDS: dict[str, tuple[Outcome, str | None]] = {
    # what became of a job that somebody had asked to cancel: its outcome, and the details in the log
    "it raised": (ERROR, "Traceback ..."),
    "it said that it fails": (Raised("Fail: no such file", None, is_final=True), "Fail: no such file"),
    "its result could not be stored": (Unusable("ResultNotStorable: no"), "ResultNotStorable: no"),
    "it snoozed": (Snoozed(5.0), None),
    "it was not begun": (NotBegun(), None),
}


@pytest.mark.parametrize(("outcome", "details"), YIELDS.values(), ids=YIELDS)
def test_a_job_that_is_cancelled_instead_keeps_what_the_handler_raised(outcome: Outcome, details: str | None) -> None:
    judged = judge(claimed(), outcome, BEGUN)
    cancelled = judged.cancelled("Cancelled: not needed")
    assert cancelled._asdict() == {"job": claimed()} | CANCELLED | {"begun": judged.begun, "details": details}
    assert cancelled.is_final
    assert cancelled.counts
    assert not cancelled.goes_back
    assert cancelled.due_in is None


def test_the_size_of_a_verdict_counts_its_texts() -> None:
    bare = judge(claimed(), Returned(None), BEGUN).size
    assert 0 < bare < 1_000
    assert judge(claimed(), Returned("x" * 1_000), BEGUN).size == bare + 1_000
    assert judge(claimed(), Raised("m" * 100, "d" * 50), BEGUN).size == bare + 150


def test_a_verdict_is_a_value() -> None:
    assert judge(claimed(), ERROR, BEGUN) == judge(claimed(), ERROR, BEGUN)
    assert isinstance(judge(claimed(), ERROR, BEGUN), Verdict)


def test_a_completion_keeps_the_job_and_forgets_what_the_handler_did() -> None:
    job = claimed()
    judged = judge(job, Completing(ERROR, "2"), BEGUN)
    assert judged.completion("3")._asdict() == {"job": job} | completed("3")
