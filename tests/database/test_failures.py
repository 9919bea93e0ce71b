"""What went wrong in the database, by what the caller can do about it, and what its text may show."""

import psycopg
import pytest

import steve
from steve import SteveError
from steve._database.failures import (
    DatabaseFailure,
    InDoubt,
    Misconfigured,
    Refused,
    Transient,
    Unexplained,
    failure_of,
)


@pytest.mark.parametrize("failure", [Transient, Unexplained, InDoubt, Refused, Misconfigured])
def test_the_failures_of_the_database_stay_inside(failure: type[DatabaseFailure]) -> None:
    assert issubclass(failure, DatabaseFailure)
    assert not issubclass(failure, SteveError)
    assert failure.__name__ not in steve.__all__
    assert failure("no", "22003").sqlstate == "22003"
    assert failure("no").sqlstate is None


@pytest.mark.parametrize(
    ("states", "kind"),
    [
        ("22P05 22003 23505 23514 21000 44000 P0001", Refused),
        ("42P01 42501 28P01 3D000 3F000", Misconfigured),
        ("08006 25006 25P03 40001 40P01 53100 53300 55P03 57014 58030", Transient),
        ("0A000 26000", Transient),  # the plan or the prepared statement, not the data
        ("57P01 57P03", InDoubt),
        ("54000 54001 XX000 XX001 F0000 53200", Unexplained),  # the server's limits, or the data's
        ("2BP01 38000", Refused),  # raised by a trigger of the user's
    ],
)
def test_an_sqlstate_says_what_the_caller_can_do(database_url: str, states: str, kind: type[DatabaseFailure]) -> None:
    with psycopg.connect(database_url) as connection:
        for state in states.split():
            assert type(failure_of(psycopg.errors.lookup(state)("no"), connection)) is kind, state


def test_a_state_that_a_trigger_made_up_refuses_the_data() -> None:
    class Own(psycopg.DatabaseError):
        sqlstate = "U0001"

    assert type(failure_of(Own("no"))) is Refused


def test_the_text_of_an_error_that_may_quote_the_data_is_not_shown() -> None:
    for state in ("22P02", "P0001"):
        assert "secret" not in str(failure_of(psycopg.errors.lookup(state)('invalid input: "secret"')))
    assert "violates" in str(failure_of(psycopg.errors.lookup("23514")('violates check constraint "x"')))
