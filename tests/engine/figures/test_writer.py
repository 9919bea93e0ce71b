"""Writing figures: each is written once, whatever becomes of the connection."""

from collections.abc import Callable

import psycopg
import pytest

from steve._database import migrations
from steve._database.failures import InDoubt, Transient
from steve._database.statements import Statements, statements_for
from steve._engine.figures.figures import Figures
from steve._engine.figures.writer import FigureWriter
from steve._model.settings import Settings
from steve._model.tuning import Tuning
from tests.engine.figures.figures import verdict


class Line:
    """In place of a LoopConnection: `fail(statement, connection)` is called instead of the next statement."""

    def __init__(self, connection: psycopg.Connection) -> None:
        self.connection = connection
        self.fails: list[Callable[..., object]] = []

    def call(self, statement: Callable[[psycopg.Connection], object]) -> object:
        if self.fails:
            return self.fails.pop(0)(statement, self.connection)
        return statement(self.connection)


@pytest.fixture
def line(conn: psycopg.Connection, schema: str) -> Line:
    migrations.migrate(conn, schema)
    return Line(conn)


@pytest.fixture
def statements(schema: str) -> Statements:
    return statements_for(Settings(schema=schema))


@pytest.fixture
def figures() -> Figures:
    return Figures(tuning=Tuning())


@pytest.fixture
def writer(line: Line, statements: Statements, figures: Figures) -> FigureWriter:
    return FigureWriter(figures=figures, statements=statements, connection=line, process_id=5, tuning=Tuning())  # type: ignore[arg-type]


@pytest.fixture
def written(conn: psycopg.Connection, schema: str) -> Callable[[], int]:
    return lambda: conn.execute(f"select coalesce(sum(completed), 0)::int from {schema}.stat").fetchone()[0]


def refuse(statement: object, connection: object) -> None:
    raise Transient("no")


def test_what_is_refused_is_written_later_together_with_the_rest(
    writer: FigureWriter, figures: Figures, line: Line, written: Callable[[], int], caplog: pytest.LogCaptureFixture
) -> None:
    figures.settled([verdict()])
    line.fails = [refuse, refuse]
    writer.write()
    figures.settled([verdict()])
    writer.write()
    assert written() == 0
    assert len(caplog.records) == 1
    writer.write()
    assert written() == 2
    line.fails = [refuse]
    writer.write()
    assert len(line.fails) == 1, "nothing was counted, so nothing is asked"


@pytest.mark.parametrize("committed", [True, False])
def test_after_a_lost_reply_it_is_asked_what_became_of_it(
    committed: bool, writer: FigureWriter, figures: Figures, line: Line, written: Callable[[], int],
    monkeypatch: pytest.MonkeyPatch, statements: Statements,
) -> None:  # fmt: skip
    lost = InDoubt("the connection broke")
    write = type(statements.stats).write_stat

    def cut_before(*arguments: object) -> None:
        write(*arguments)  # type: ignore[arg-type]
        raise lost

    def cut_after(statement: Callable[[psycopg.Connection], object], connection: psycopg.Connection) -> None:
        with monkeypatch.context() as patch:
            real = connection.transaction

            class Cut:
                def __enter__(self) -> None:
                    self.transaction = real()
                    self.transaction.__enter__()

                def __exit__(self, *error: object) -> None:
                    self.transaction.__exit__(*error)  # type: ignore[arg-type]
                    raise lost

            patch.setattr(connection, "transaction", Cut)
            statement(connection)

    figures.settled([verdict()])
    if committed:
        line.fails = [cut_after]
        writer.write()
    else:
        with monkeypatch.context() as patch:
            patch.setattr(type(statements.stats), "write_stat", cut_before)
            writer.write()
    assert written() == committed
    line.fails = [refuse]  # the question cannot be asked: nothing is written meanwhile
    figures.settled([verdict()])
    writer.write()
    assert written() == committed
    writer.write()
    assert written() == 2
