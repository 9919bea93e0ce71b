"""What the pools do together while there is none."""

from types import SimpleNamespace
from typing import Any

from steve._database.failures import Transient
from steve._engine.claim.full_scans import LOOP as FULL_SCAN
from steve._engine.claim.neighbours import Neighbours
from steve._engine.claim.port import LOOP
from steve._engine.pools.duties import PoolDuties
from steve._engine.upkeep.outage import Outage
from steve._model.tuning import Tuning


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
