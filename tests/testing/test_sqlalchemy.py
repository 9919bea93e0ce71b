"""`steve.testing` in the transaction of a Session or a Connection of SQLAlchemy."""

from collections.abc import Iterator

import pytest
from psycopg.conninfo import conninfo_to_dict
from sqlalchemy import URL, Engine, create_engine, text
from sqlalchemy.orm import Session, scoped_session, sessionmaker

from steve import Job, JobManager
from steve.testing import drain

KEYWORDS = {"user": "username", "password": "password", "host": "host", "port": "port", "dbname": "database"}


def engine_for(conninfo: str, driver: str) -> Engine:
    parts = conninfo_to_dict(conninfo)
    given = {KEYWORDS[name]: parts.pop(name) for name in list(parts) if name in KEYWORDS}
    if "port" in given:
        given["port"] = int(str(given["port"]))
    return create_engine(URL.create(f"postgresql+{driver}", **given), connect_args=parts)  # type: ignore[arg-type]


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    engine = engine_for(database_url, "psycopg")
    yield engine
    engine.dispose()


@pytest.fixture(params=["Session", "scoped_session", "Connection"])
def begun(request: pytest.FixtureRequest, engine: Engine) -> Iterator[Session | scoped_session[Session] | object]:
    """In a transaction that is rolled back."""
    if request.param == "Connection":
        with engine.connect() as connection:
            yield connection
        return
    if request.param == "Session":
        with Session(engine) as session:
            yield session
        return
    scoped = scoped_session(sessionmaker(engine))
    yield scoped
    scoped.remove()


def test_jobs_run_in_the_transaction_of_the_test(manager: JobManager, begun: Session) -> None:
    begun.execute(text("create temporary table orders (number integer)"))
    begun.execute(text("insert into orders values (17)"))

    def ship(job: Job) -> int:
        return int(begun.execute(text("select number from orders")).scalar_one())

    manager.set_handler("ship", ship)
    manager.create("ship", connection=begun)
    (ran,) = drain(manager, begun)
    assert ran.job.result == 17
    begun.rollback()
    assert manager.fetch_all() == []


def test_a_transaction_that_had_not_begun_is_the_sessions_own(manager: JobManager, begun: Session) -> None:
    manager.set_handler("ship", lambda job: None)
    manager.create("ship")
    assert len(drain(manager, begun)) == 1
    assert len(manager.fetch_all("pending")) == 1, "nothing is committed"
    begun.rollback()
    assert len(manager.fetch_all("pending")) == 1
    assert len(drain(manager, begun)) == 1
    begun.commit()
    assert len(manager.fetch_all("completed")) == 1


def test_a_statement_that_fails_is_undone_and_the_test_goes_on(manager: JobManager, begun: Session) -> None:
    begun.execute(text("create temporary table orders (number integer unique)"))

    def ship(job: Job) -> None:
        begun.execute(text("insert into orders values (:number)"), {"number": job.payload["number"]})

    manager.set_handler("ship", ship)
    for number in (1, 1, 2):
        manager.create("ship", {"number": number}, max_attempts=1, connection=begun)
    ran = drain(manager, begun, raise_errors=False, types=["ship"])
    assert [str(one.status) for one in ran] == ["completed", "failed", "completed"]
    assert begun.execute(text("select number from orders order by number")).scalars().all() == [1, 2]


def test_another_driver_is_named(manager: JobManager, database_url: str) -> None:
    pytest.importorskip("psycopg2")
    engine = engine_for(database_url, "psycopg2")
    manager.set_handler("a", lambda job: None)
    with Session(engine) as session, pytest.raises(TypeError, match="psycopg 3"):
        drain(manager, session)
    engine.dispose()
