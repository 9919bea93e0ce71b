"""What is kept of runs until it is written, and which thread writes what: with a fake in place of the statements."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest

from steve._database.failures import DatabaseFailure, InDoubt, Misconfigured, Refused, Transient, Unexplained
from steve._database.statements.records import Logged, Reported
from steve._engine.records.recorder import Recorder
from steve._engine.records.records import OVER_SECONDS, Records
from steve._model.capture import Capture
from steve._model.outcome import Verdict
from steve._model.tuning import Tuning
from tests.engine.settle.ledger import verdict


class Database:
    """`RecordStatements` and both connections."""

    def __init__(self) -> None:
        self.errors: list[Exception] = []
        self.logs: list[list[int]] = []
        self.reports: list[list[float]] = []
        self.limited: list[bool] = []
        self.notes: list[str | None] = []
        self.refuses_beyond_ascii = False

    def call(self, statement: Callable[[Any], Any]) -> Any:
        if self.errors:
            raise self.errors.pop()
        return statement(self)

    def write_log(self, connection: object, logged: Sequence[Logged], shift: float | None, *, limited: bool) -> float:
        self.logs.append([one.run.uid.int for one in logged])
        self.limited.append(limited)
        return 0.0

    def write_progress(self, connection: object, reported: Sequence[Reported], *, limited: bool) -> float:
        if self.refuses_beyond_ascii and not all((one.note or "").isascii() for one in reported):
            raise Refused("", "22P05")
        self.reports.append([one.done for one in reported])
        self.notes += [one.note for one in reported]
        self.limited.append(limited)
        return 0.0


class Scene:
    def __init__(self, **tuning: Any) -> None:
        self.now = 1_000.0
        self.database: Any = Database()
        values = Tuning(**tuning)
        self.records = Records(capture_of=lambda name: Capture(20, False), tuning=values, clock=lambda: self.now)
        self.recorder = Recorder(
            records=self.records,
            statements=self.database,
            scan=self.database,
            settle=self.database,
            tuning=values,
            clock=lambda: self.now,
        )

    def log(self, number: int) -> None:
        """A run has begun, and logs a line."""
        log = self.records.begin(verdict(number).job)
        assert log is not None
        log.add(0.0, "INFO", "a", "b")

    def end(self, number: int) -> Verdict:
        """The run has ended."""
        self.records.over(verdict(number).job.run_key())
        return verdict(number)


@pytest.fixture
def scene() -> Iterator[Scene]:
    return Scene()


def test_a_plain_run_is_not_kept() -> None:
    records = Records(capture_of=lambda name: None, tuning=Tuning())
    assert records.begin(verdict(1).job) is None
    assert not records.runs


def test_one_statement_writes_the_lines_of_all_runs(scene: Scene) -> None:
    for number in range(3):
        scene.log(number)
    scene.recorder.write_logs()
    scene.recorder.write_logs()
    assert scene.database.logs == [[0, 1, 2]]
    assert scene.database.limited == [False]


def test_one_statement_writes_the_last_reports_of_all_runs(scene: Scene) -> None:
    for number in range(3):
        for done in range(100):
            scene.records.progress(verdict(number).job.run_key(), done + number, None, None)
    scene.recorder.write_progress()
    scene.recorder.write_progress()
    assert scene.database.reports == [[99, 100, 101]]
    scene.records.progress(verdict(1).job.run_key(), 5.0, None, None)
    scene.recorder.write_progress()
    assert scene.database.reports[1:] == [[5.0]]


def test_the_settler_writes_only_what_is_left_of_the_runs_of_its_group(scene: Scene) -> None:
    for number in range(3):
        scene.log(number)
    scene.records.progress(verdict(1).job.run_key(), 5.0, None, None)
    group = [scene.end(1), scene.end(2), scene.end(7)]
    scene.recorder.write_ended(group)
    scene.recorder.write_ended(group)
    assert (scene.database.logs, scene.database.reports) == ([[1, 2]], [[5.0]])
    assert all(scene.database.limited)
    scene.recorder.write_logs()
    assert scene.database.logs == [[1, 2], [0]]


def test_a_settled_run_is_forgotten_and_its_progress_told(scene: Scene) -> None:
    scene.log(1)
    scene.records.progress(verdict(1).job.run_key(), 5.0, 9.0, "a\0b\udfff")
    scene.recorder.write_ended([scene.end(1)])
    progress = scene.records.settled(verdict(1).job)
    assert progress is not None
    assert (progress.done, progress.total, progress.note) == (5.0, 9.0, "a\ufffdb\ufffd")
    assert not scene.records.runs
    assert scene.records.settled(verdict(1).job) is None


def test_an_outcome_is_not_looked_for_among_the_runs_that_go_on(scene: Scene) -> None:
    scene.log(1)
    assert not scene.records.ended, "the settler asks no further"
    scene.end(1)
    scene.recorder.write_ended([verdict(1)])
    scene.records.settled(verdict(1).job)
    assert not scene.records.ended


@pytest.mark.parametrize(
    "error", [Transient("lock", "55P03"), Misconfigured("x", "42P01"), Refused("x", "P0001"), Unexplained("")]
)
def test_tables_that_take_nothing_hold_up_no_outcome(scene: Scene, error: DatabaseFailure) -> None:
    scene.log(1)
    scene.database.errors = [error]
    try:
        scene.recorder.write_ended([scene.end(1)])
    except DatabaseFailure:
        pytest.fail("the outcome waits for the log")
    scene.recorder.write_ended([verdict(1)])  # it does not wait for the lock again
    scene.records.settled(verdict(1).job)
    assert scene.database.logs == []
    scene.recorder.write_logs()
    assert scene.database.logs == [[1]], "the scanner writes it later"


@pytest.mark.parametrize("error", [Transient("no connection"), InDoubt("broken"), Transient("read-only", "25006")])
def test_while_the_database_is_away_the_outcome_waits_with_the_lines(scene: Scene, error: DatabaseFailure) -> None:
    scene.log(1)
    scene.database.errors = [error]
    with pytest.raises(type(error)):
        scene.recorder.write_ended([scene.end(1)])
    scene.recorder.write_ended([verdict(1)])
    assert scene.database.logs == [[1]]


def test_a_note_that_the_database_cannot_hold_keeps_no_other_from_being_written(scene: Scene) -> None:
    scene.database.refuses_beyond_ascii = True
    for number, note in enumerate(("plain", "caf\u00e9 \u2026", None)):
        scene.records.progress(verdict(number).job.run_key(), 1.0, None, note)
    scene.recorder.write_progress()
    assert scene.database.notes == ["plain", "caf\\xe9 \\u2026", None]
    assert not [run for run in scene.records.all() if run.has_news()]


def test_a_defect_keeps_no_outcome_from_being_written(scene: Scene) -> None:
    scene.log(1)
    scene.database.errors = [MemoryError()]
    scene.recorder.write_ended([scene.end(1)])
    scene.recorder.write_logs()
    assert scene.database.logs == [[1]]


def test_an_outage_is_logged_once(scene: Scene, caplog: pytest.LogCaptureFixture) -> None:
    for number in range(3):
        scene.log(number)
        scene.database.errors = [Transient("away")]
        scene.recorder.write_logs()
    assert len(caplog.records) == 1
    scene.recorder.write_logs()
    assert scene.database.logs == [[0, 1, 2]]


def test_a_run_whose_outcome_is_dropped_is_forgotten_when_it_is_written(scene: Scene) -> None:
    scene.log(1)
    scene.end(1)
    scene.now += OVER_SECONDS + 1
    scene.recorder.write_logs()
    assert scene.database.logs == [[1]]
    assert not scene.records.runs


def test_what_can_never_be_written_takes_no_more_and_more_memory(caplog: pytest.LogCaptureFixture) -> None:
    scene = Scene(records_most=5)
    for number in range(20):
        scene.log(number)
        scene.end(number)
    scene.now += OVER_SECONDS + 1
    scene.database.errors = [Refused("no")]
    scene.recorder.write_logs()
    assert len(scene.records.all()) == 5
    assert "by 15 runs" in caplog.records[-1].getMessage()


def test_small_differences_of_the_clocks_are_left_alone(scene: Scene) -> None:
    scene.records.met_clock(105.0, 100.0)
    scene.records.met_clock(205.01, 200.0)
    assert scene.records.shift == 5.0
    scene.records.met_clock(307.0, 300.0)
    assert scene.records.shift == 7.0
