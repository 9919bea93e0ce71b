"""The statements for a caller's transaction are the same texts as everywhere, but for the time."""

from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest

from steve._database.statements.callers import DUE_BY, HERE, NOW, CallersScript, callers_statements
from steve._database.statements.claims import in_lanes
from steve._database.statements.script import Script
from steve._model.claim import Demand
from steve._model.settings import Settings
from steve._model.tuning import Tuning

TEXTS = ("claim_jobs", "settle_jobs", "find_settled", "complete_job", "rescue_jobs", "write_progress", "beat")


def in_time(text: str) -> str:
    """The text with now() for each of the times."""
    return text.replace(DUE_BY, NOW).replace(HERE, NOW)


@pytest.mark.parametrize("name", TEXTS)
def test_nothing_differs_but_the_time(name: str) -> None:
    ours, theirs = Script("steve", Tuning()), CallersScript(Settings())
    assert NOW not in theirs.text(name)
    assert in_time(theirs.text(name)) == in_time(ours.text(name))


def test_that_holds_for_the_claim_beside_a_pause_too() -> None:
    ours = in_lanes(Script("steve", Tuning()).text("claim_jobs"), "steve")
    theirs = CallersScript(Settings()).with_texts({"claim": ours}).text("claim")
    assert NOW in ours
    assert NOW not in theirs
    assert in_time(theirs) == in_time(ours)


def test_the_first_job_that_is_not_due_is_found() -> None:
    assert "priority, run_at, uid" in CallersScript(Settings()).text("find_heads")


def test_all_statements_of_a_drain_share_its_horizon() -> None:
    sent: list[dict[str, Any]] = []

    def execute(*arguments: Any, **more: Any) -> list[Any]:
        sent.append(arguments[2])
        return []

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("steve._database.statements.script.execute", execute)
        statements = callers_statements(Settings())
        statements.horizon.due_by = datetime(2030, 1, 1, tzinfo=UTC)
        connection: psycopg.Connection = None  # type: ignore[assignment]
        statements.claims.find_heads(connection, Demand(1, {}, 1, True, None))
        statements.pauses.find_pauses(connection)
    assert [one["due_by"] for one in sent] == [datetime(2030, 1, 1, tzinfo=UTC)] * 2
