"""What the pools do together, and what is done while there is none."""

from types import SimpleNamespace
from typing import Any

import pytest

from steve._database.failures import Transient
from steve._engine.claim.full_scans import LOOP as FULL_SCAN
from steve._engine.claim.neighbours import Neighbours
from steve._engine.claim.port import LOOP
from steve._engine.pools.duties import PoolDuties
from steve._engine.upkeep.outage import Outage, OutagePart
from steve._model.claimed import Claimed
from steve._model.outcome import Verdict
from steve._model.tuning import Tuning
from tests.engine.claim.harness import claimed


def test_a_quiet_process_says_that_the_database_is_back_though_it_claims_nothing() -> None:
    lent: list[str] = []
    pools: Any = SimpleNamespace(
        all=[],
        live=list,
        neighbours=Neighbours(tuning=Tuning()),
        connections=SimpleNamespace(take=lambda: "a connection", give_back=lent.append),
    )
    database: Any = None  # nothing asks it
    outage = Outage()
    duties = PoolDuties(
        pools=pools,
        database=database,
        put_verdict=lambda verdict: None,
        outage=outage,
        close_scan=lambda: None,
        tuning=Tuning(),
    )
    outage.failed(LOOP, Transient("away", None))
    outage.failed(FULL_SCAN, Transient("away", None))
    assert duties.between_claims(lambda connection: connection) == "a connection"  # type: ignore[arg-type, comparison-overlap]
    assert lent == ["a connection"]
    assert outage.now()[0] == [FULL_SCAN]
    duties.scans()[0].work()
    assert outage.now() == ([], 0.0)


def test_while_there_is_no_pool_a_lost_reply_is_asked_about_on_the_connection_that_is_lent() -> None:
    """The first connection may be that of a pool that ends, whose handlers may take hours."""
    asked: list[str] = []
    given_back: list[Verdict] = []
    lent: list[str] = []

    class Questions:
        def __init__(self, connection: str) -> None:
            self.connection = connection

        def find_claimed(self, answered: object) -> list[Claimed]:
            asked.append(self.connection)
            return [claimed(1)]

    neighbours = Neighbours(tuning=Tuning())
    pools: Any = SimpleNamespace(
        all=[],
        live=list,
        neighbours=neighbours,
        connections=SimpleNamespace(first="the first", take=lambda: "another", give_back=lent.append),
    )
    make: Any = Questions
    duties = PoolDuties(
        pools=pools,
        database=make,
        put_verdict=given_back.append,
        outage=Outage(),
        close_scan=lambda: None,
        tuning=Tuning(),
    )
    duties.take_up_lost()
    assert asked == []
    neighbours.in_doubt.lose()
    duties.take_up_lost()
    assert (asked, lent) == (["another"], ["another"])
    assert [verdict.job.uid for verdict in given_back] == [claimed(1).uid]
    assert not neighbours.in_doubt.is_due()


def test_a_failure_between_the_claims_of_a_pool_is_over_with_the_next_call_that_works() -> None:
    """A pool without handlers makes no claim that would end it. Where claims fail, such a call says nothing about them."""
    outage = Outage()
    part = OutagePart(outage=outage)
    claimer = SimpleNamespace(between_claims=lambda call: call())
    parts = SimpleNamespace(outage=part, connection="a connection", claimer=claimer)
    pools: Any = SimpleNamespace(live=lambda: [SimpleNamespace(parts=parts)], neighbours=Neighbours(tuning=Tuning()))
    database: Any = None
    duties = PoolDuties(
        pools=pools,
        database=database,
        put_verdict=lambda verdict: None,
        outage=outage,
        close_scan=lambda: None,
        tuning=Tuning(),
    )

    def fails(connection: object) -> None:
        raise Transient("away", None)

    outage.failed(LOOP, Transient("away", None))  # while there was no pool
    duties.between_claims(lambda connection: True)
    assert outage.now()[0] == []

    with pytest.raises(Transient):
        duties.between_claims(fails)
    assert outage.now()[0] == [LOOP]
    claimer.between_claims = lambda call: None  # a claim is under way
    duties.between_claims(lambda connection: True)
    assert outage.now()[0] == [LOOP]
    claimer.between_claims = lambda call: call()
    duties.between_claims(lambda connection: True)
    assert outage.now()[0] == []

    part.failed(LOOP, Transient("away", None))
    duties.between_claims(lambda connection: True)
    assert outage.now()[0] == [LOOP]
