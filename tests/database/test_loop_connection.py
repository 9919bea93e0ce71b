"""The connections for claims: who has which of them."""

import pytest

from steve._database.connection import Route
from steve._database.failures import Connection
from steve._database.loop_connection import ClaimConnections, LoopConnection


class Opener:
    """Opens nothing, and notes what is closed."""

    def open(self) -> Connection:
        raise AssertionError("no statement is sent")

    def close(self, connection: Connection) -> None: ...


class Line(LoopConnection):
    def __init__(self) -> None:
        super().__init__(opener=Opener(), route=Route(), answer_within=1.0)
        self.closed = 0

    def close(self) -> None:
        self.closed += 1


@pytest.fixture
def first() -> Line:
    return Line()


@pytest.fixture
def connections(first: Line) -> ClaimConnections:
    return ClaimConnections(first=first, make=Line)


def test_nobody_gets_a_connection_that_another_one_has(connections: ClaimConnections, first: Line) -> None:
    taken = [connections.take() for _ in range(3)]
    assert taken[0] is first
    assert len(set(map(id, taken))) == 3
    connections.give_back(first)
    assert connections.take() is first


def test_the_first_one_stays_open_while_nobody_has_another_and_until_the_end(
    connections: ClaimConnections, first: Line
) -> None:
    connections.take()
    connections.give_back(first)
    assert first.closed == 0
    assert connections.take() is first
    connections.close()
    assert first.closed == 1
    connections.give_back(first)  # the scanner used it when the engine ended, and may have opened it again
    assert first.closed == 2


def test_the_claims_were_answered_when_the_pool_that_waits_for_longest_had_an_answer(
    connections: ClaimConnections, first: Line
) -> None:
    assert connections.answered_at() is None
    first.answered_at = 3.0
    assert connections.answered_at() == 3.0
    connections.take()
    other = connections.take()
    assert connections.answered_at() is None
    other.answered_at = 9.0
    assert connections.answered_at() == 3.0
    connections.give_back(first)
    assert connections.answered_at() == 9.0, "the first one is nobody's, and its last answer is old"
