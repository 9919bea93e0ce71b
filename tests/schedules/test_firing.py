"""How processes fire schedules together, on real tables. They get the time passed in: an hour takes no hour."""

import threading
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from steve import JobManager
from steve._client.enqueue import checked
from steve._client.schedules import When
from steve._database.connections import Connections
from steve._database.failures import InDoubt
from steve._database.statements import Statements, statements_for
from steve._database.statements.schedules import Fired, Tick
from steve._model.settings import Settings
from steve._schedules.database import DatabaseSchedules
from steve._schedules.definition import Definition, check_timing
from steve._schedules.firing import Firing, Turn
from steve.job import NewJob

START = datetime(2040, 1, 1, tzinfo=UTC)
"""In the future: schedules that are stored during a test are older than it."""
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)


class Fleet:
    """Several processes, as far as schedules see them."""

    def __init__(self, manager: JobManager, url: str, schema: str, conn: psycopg.Connection) -> None:
        self.manager = manager
        self.schema = schema
        self.conn = conn
        settings = Settings(schema=schema)
        self.statements: Statements = statements_for(settings)
        self.connections = Connections(db=url, listen_db=None, settings=settings)

    def process(self, code: Mapping[str, Definition] | None = None, database: Any = None) -> Firing:
        return Firing(database=database or self.database(), in_code=lambda: code or {})

    def database(self) -> DatabaseSchedules:
        return DatabaseSchedules(connections=self.connections, statements=self.statements.schedules, notify=False)

    def set(self, name: str, cron: str = "* * * * *", **keywords: Any) -> None:
        self.manager.set_schedule(name, cron, "report", **keywords)
        self.begin(name)

    def begin(self, name: str) -> None:
        self.conn.execute(f"update {self.schema}.schedule set last_tick = %s where name = %s", [START, name])

    def fired(self, name: str | None = None) -> list[str]:
        """The ticks of the jobs, in the order in which the jobs run, as seconds after START."""
        query = (
            f"select metadata ->> '_scheduled_for' from {self.schema}.job "
            "where %s::text is null or metadata ->> '_schedule' = %s order by run_at, uid"
        )
        rows = self.conn.execute(query, [name, name]).fetchall()
        return [f"{(datetime.fromisoformat(at) - START) / MINUTE:g}" for (at,) in rows]


@pytest.fixture
def fleet(manager: JobManager, database_url: str, schema: str, conn: psycopg.Connection) -> Any:
    fleet = Fleet(manager, database_url, schema, conn)
    yield fleet
    fleet.connections.close()


def definition(name: str, cron: str = "* * * * *") -> Definition:
    when = When(cron, None, "UTC", None, False, "allow", 0)
    insert = checked(NewJob("report"), Settings())
    return Definition(name, check_timing(*when), insert.payload, insert.terms)


def test_each_tick_is_fired_once_whichever_process_comes_first(fleet: Fleet) -> None:
    fleet.set("a", overlap="allow")
    processes = [fleet.process() for _ in range(3)]
    fired = [process.turn(START + number * MINUTE).fired for number in range(1, 11) for process in processes]
    assert sum(fired) == 10
    assert fleet.fired() == [str(number) for number in range(1, 11)]


def test_processes_that_fire_at_the_same_moment_create_one_job_a_tick(fleet: Fleet) -> None:
    for number in range(30):
        fleet.set(f"s{number}", overlap="allow")
    together = threading.Barrier(8)

    def process() -> None:
        firing = fleet.process()
        for number in range(1, 11):
            together.wait()
            firing.turn(START + number * MINUTE)

    threads = [threading.Thread(target=process) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    fleet.process().turn(START + 10 * MINUTE)  # what the last processes left to each other
    for number in range(30):
        assert fleet.fired(f"s{number}") == [str(number) for number in range(1, 11)]


def test_a_tick_is_fired_up_to_a_minute_late_and_not_later(fleet: Fleet) -> None:
    fleet.set("hourly", "0 * * * *", overlap="allow")
    assert fleet.process().turn(START + HOUR + timedelta(seconds=60)).fired == 1
    assert fleet.process().turn(START + 2 * HOUR + timedelta(seconds=60.1)).fired == 0
    assert fleet.fired() == ["60"]


def test_after_six_hours_all_missed_ticks_of_the_last_six_are_caught_up_and_the_oldest_runs_first(fleet: Fleet) -> None:
    fleet.set("all", "*/30 * * * *", catch_up=6 * HOUR)
    fleet.set("latest", "*/30 * * * *", catch_up=6 * HOUR, catch_up_latest=True)
    fleet.set("none", "*/30 * * * *")
    now = START + 8 * HOUR + 10 * MINUTE
    fleet.process().turn(now)
    assert fleet.fired("all") == [str(number) for number in range(150, 490, 30)]
    assert fleet.fired("latest") == ["480"]
    assert fleet.fired("none") == []
    assert fleet.process().turn(now).fired == 0


def test_more_missed_ticks_than_one_statement_takes_are_fired_in_several(fleet: Fleet) -> None:
    fleet.set("all", catch_up=24 * HOUR)
    process = fleet.process()
    assert [process.turn(START + 24 * HOUR).fired for _ in range(3)] == [1000, 440, 0]
    assert fleet.fired() == [str(number) for number in range(1, 1441)]


def test_a_new_schedule_fires_nothing_for_the_past(fleet: Fleet) -> None:
    fleet.manager.set_schedule("new", "* * * * *", "report", catch_up=6 * HOUR)
    ((last,),) = fleet.conn.execute(f"select last_tick from {fleet.schema}.schedule").fetchall()
    process = fleet.process()
    assert process.turn(last + timedelta(microseconds=1)).fired == 0 or last.second == 59
    code = {"coded": definition("coded")}
    coder = fleet.process(code)
    assert coder.turn(START + timedelta(seconds=30)).fired == 360  # of the other one, which is older
    assert fleet.fired("coded") == []
    coder.turn(START + MINUTE)
    assert fleet.fired("coded") == ["1"]


def test_a_schedule_with_other_ticks_begins_anew_and_one_that_says_the_same_goes_on(fleet: Fleet, manager: JobManager) -> None:
    fleet.set("a", "0 * * * *", catch_up=6 * HOUR)
    manager.set_schedule("a", "0 * * * *", "report", catch_up=6 * HOUR)
    manager.set_schedule("a", "0 * * * *", "report", {"n": 1}, catch_up=6 * HOUR)
    fleet.process().turn(START + 2 * HOUR)
    assert fleet.fired() == ["60", "120"]
    before = manager.schedules()[0]
    manager.set_schedule("a", "30 * * * *", "report", catch_up=6 * HOUR)
    ((last,),) = fleet.conn.execute(f"select last_tick from {fleet.schema}.schedule").fetchall()
    assert last == before.last_run  # later than now, since START is
    assert fleet.process().turn(START + 150 * MINUTE).fired == 1


def test_overlapping_ticks_are_skipped_while_the_last_job_has_not_ended(fleet: Fleet, manager: JobManager) -> None:
    fleet.set("a")
    process = fleet.process()
    assert [process.turn(START + number * MINUTE).fired for number in (1, 2, 3)] == [1, 0, 0]
    manager.cancel(manager.schedules()[0].last_job)
    assert [fleet.process().turn(START + number * MINUTE).fired for number in (3, 4, 5)] == [0, 1, 0]
    assert fleet.fired() == ["1", "4"]
    manager.delete(manager.cancel(manager.schedules()[0].last_job))
    assert process.turn(START + 6 * MINUTE).fired == 1


def test_a_job_that_is_run_by_hand_counts_for_the_overlap(fleet: Fleet, manager: JobManager) -> None:
    fleet.set("a")
    process = fleet.process()
    process.turn(START)
    job = manager.run_now("a")
    assert process.turn(START + MINUTE).fired == 0
    manager.cancel(job)
    assert process.turn(START + 2 * MINUTE).fired == 1


def test_a_paused_schedule_fires_nothing_and_does_not_catch_up_the_pause(fleet: Fleet, manager: JobManager) -> None:
    fleet.set("a", catch_up=6 * HOUR)
    process = fleet.process()
    process.turn(START + MINUTE)
    assert manager.pause_schedule("a").paused
    assert process.turn(START + 2 * MINUTE).seconds is None
    fleet.conn.execute(f"update {fleet.schema}.schedule set last_tick = now() - interval '3 hours'")
    assert not manager.resume_schedule("a").paused
    ((age,),) = fleet.conn.execute(f"select now() - last_tick from {fleet.schema}.schedule").fetchall()
    assert age < MINUTE
    fleet.begin("a")
    assert process.turn(START + 3 * MINUTE).fired == 3


class Meanwhile(DatabaseSchedules):
    """Something happens after the look and before the ticks are fired."""

    happens: Callable[[], object] = staticmethod(lambda: None)

    def fire(self, ticks: Any) -> list[Fired]:
        self.happens()
        return super().fire(ticks)


@pytest.fixture
def meanwhile(fleet: Fleet) -> Meanwhile:
    return Meanwhile(connections=fleet.connections, statements=fleet.statements.schedules, notify=False)


@pytest.mark.parametrize("what", ["fired", "paused", "paused and resumed", "replaced", "removed", "run by hand"])
def test_a_schedule_that_changes_between_the_look_and_the_statement_is_left_alone(
    what: str, fleet: Fleet, meanwhile: Meanwhile, manager: JobManager
) -> None:
    fleet.set("a")
    other = fleet.process()
    meanwhile.happens = {
        "fired": lambda: other.turn(START + 2 * MINUTE),
        "paused": lambda: manager.pause_schedule("a"),
        "paused and resumed": lambda: fleet.conn.execute(
            f"update {fleet.schema}.schedule set last_tick = %s", [START + timedelta(seconds=90)]
        ),
        "replaced": lambda: manager.set_schedule("a", "* * * * *", "other"),
        "removed": lambda: manager.remove_schedule("a"),
        "run by hand": lambda: manager.run_now("a"),
    }[what]
    turn = fleet.process(database=meanwhile).turn(START + 2 * MINUTE)
    assert (turn.fired, turn.left) == (0, 1)
    assert len(fleet.fired()) == (1 if what in ("fired", "run by hand") else 0)


def test_a_row_that_another_transaction_has_locked_is_passed_over(fleet: Fleet, database_url: str) -> None:
    fleet.set("a")
    fleet.set("b")
    process = fleet.process()
    turns: list[Turn] = []
    thread = threading.Thread(target=lambda: turns.extend(process.turn(START + MINUTE) for _ in range(2)))
    with psycopg.connect(database_url) as other:
        other.execute(f"select from {fleet.schema}.schedule where name = 'a' for update")
        thread.start()
        thread.join(10)
        did_wait = thread.is_alive()
    thread.join()
    assert not did_wait
    assert [(turn.fired, turn.left) for turn in turns] == [(1, 1), (0, 1)]
    assert turns[0].seconds == 60  # of the other one
    assert process.turn(START + MINUTE).fired == 1
    assert sorted(fleet.fired()) == ["1", "1"]


class Lost(DatabaseSchedules):
    """The statement is carried out, and its reply is lost."""

    times = 1

    def fire(self, ticks: Any) -> list[Fired]:
        fired = super().fire(ticks)
        self.times -= 1
        if self.times >= 0:
            raise InDoubt("the connection broke")
        return fired


def test_a_tick_whose_reply_was_lost_is_not_fired_again(fleet: Fleet) -> None:
    fleet.set("a", overlap="allow")
    lost = Lost(connections=fleet.connections, statements=fleet.statements.schedules, notify=False)
    process = fleet.process(database=lost)
    with pytest.raises(InDoubt):
        process.turn(START + MINUTE)
    assert process.turn(START + MINUTE).fired == 0
    assert fleet.fired() == ["1"]


# -- in code --------------------------------------------------------------------------------------------------------------


def test_a_schedule_in_code_is_fired_only_by_processes_that_have_it(fleet: Fleet) -> None:
    code = {"a": definition("a")}
    having, other = fleet.process(code), fleet.process()
    having.turn(START)
    assert other.turn(START + MINUTE).fired == 0
    assert having.turn(START + MINUTE).fired == 1
    code.clear()
    assert fleet.process().turn(START + 2 * MINUTE).fired == 0


def test_while_old_and_new_code_run_side_by_side_each_tick_is_fired_once(fleet: Fleet, conn: psycopg.Connection) -> None:
    old = fleet.process({"a": definition("a", "*/2 * * * *")})
    new = fleet.process({"a": definition("a", "*/3 * * * *")})
    for number in range(7):
        old.turn(START + number * MINUTE)
        new.turn(START + number * MINUTE)
    assert fleet.fired() == ["2", "3", "4", "6"]
    assert conn.execute(f"select cron from {fleet.schema}.schedule").fetchall() == [("*/3 * * * *",)]


def test_a_stored_schedule_takes_the_place_of_one_in_code_until_it_is_removed(fleet: Fleet, manager: JobManager) -> None:
    process = fleet.process({"a": definition("a")})
    process.turn(START)
    manager.set_schedule("a", "*/5 * * * *", "report", overlap="allow")
    assert [process.turn(START + number * MINUTE).fired for number in range(1, 6)] == [0, 0, 0, 0, 1]
    manager.remove_schedule("a")
    assert [process.turn(START + number * MINUTE).fired for number in range(6, 9)] == [0, 1, 1]


def test_a_schedule_that_this_code_gets_while_it_runs_is_fired(fleet: Fleet) -> None:
    code = {"a": definition("a")}
    later: dict[str, Definition] = {}
    fleet.process(code).turn(START)
    process = Firing(database=fleet.database(), in_code=lambda: later)
    assert process.turn(START + MINUTE).fired == 0
    later = code
    assert process.turn(START + MINUTE).fired == 1


# -- what cannot be fired -------------------------------------------------------------------------------------------------


def test_a_schedule_that_cannot_be_read_keeps_no_other_from_being_fired(fleet: Fleet, caplog: pytest.LogCaptureFixture) -> None:
    for name in ("a", "b", "c", "good"):
        fleet.set(name)
    for change in ("timezone = 'Mars/Base' where name = 'a'", "terms = '{}' where name = 'b'", "cron = 'x' where name = 'c'"):
        fleet.conn.execute(f"update {fleet.schema}.schedule set {change}")
    process = fleet.process()
    assert [process.turn(START + number * MINUTE).fired for number in (1, 2)] == [1, 0]
    assert fleet.fired("good") == ["1"]
    assert sorted(record.getMessage()[:43] for record in caplog.records if record.levelname == "ERROR") == [
        f"this process cannot fire the schedule '{name}': " for name in "abc"
    ]
    assert "'Mars/Base'" in caplog.text


def test_a_job_that_postgresql_refuses_keeps_no_other_schedule_from_being_fired(
    fleet: Fleet, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("a", "bad", "c"):
        fleet.set(name)
    fleet.conn.execute(f"update {fleet.schema}.schedule set terms = terms || '{{\"max_attempts\": 20000}}' where name = 'bad'")
    process = fleet.process()
    assert [process.turn(START + number * MINUTE).fired for number in (1, 2)] == [2, 0]
    assert sorted(fleet.fired()) == ["1", "1"]
    assert caplog.text.count("PostgreSQL refuses the job of the schedule 'bad'") == 1


def test_a_process_that_stops_fires_no_more(fleet: Fleet) -> None:
    fleet.set("a")
    assert fleet.process().turn(START + MINUTE, is_wanted=lambda: False).fired == 0


def test_jitter_puts_a_job_off_and_leaves_its_tick_as_it_is(fleet: Fleet) -> None:
    for number in range(50):
        fleet.set(f"s{number}", jitter=30)
    fleet.process().turn(START + MINUTE)
    rows = fleet.conn.execute(f"select run_at from {fleet.schema}.job").fetchall()
    late = [(at - START - MINUTE).total_seconds() for (at,) in rows]
    assert len(late) == 50
    assert 0 <= min(late) < 10
    assert 20 < max(late) <= 30
    assert set(fleet.fired()) == {"1"}


def test_a_job_that_jitter_puts_off_has_its_whole_time_to_begin(fleet: Fleet) -> None:
    for number in range(50):
        fleet.set(f"s{number}", jitter=3_000, expires_in=60)
    fleet.process().turn(START + MINUTE)
    query = f"select expires_at - created_at, run_at from {fleet.schema}.job"
    for left, run_at in fleet.conn.execute(query):
        late = (run_at - START - MINUTE).total_seconds()
        assert left.total_seconds() == pytest.approx(60 + late, abs=1.0)


def test_ticks_of_the_same_moment_have_uids_in_their_order(fleet: Fleet) -> None:
    fleet.set("a", "*/10 * * * * *", overlap="allow")
    seen: list[Tick] = []

    class Recorded(DatabaseSchedules):
        def fire(self, ticks: Any) -> list[Fired]:
            seen.extend(ticks)
            return super().fire(ticks)

    recorded = Recorded(connections=fleet.connections, statements=fleet.statements.schedules, notify=False)
    fleet.process(database=recorded).turn(START + MINUTE)
    assert [tick.at for tick in seen] == sorted(tick.at for tick in seen)
    assert [tick.job.uid for tick in seen] == sorted(tick.job.uid for tick in seen)
