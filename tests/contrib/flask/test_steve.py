"""Steve and its managers, in this process."""

import gc
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from flask import Flask, current_app, g
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import text

from steve import Job, JobManager, Run, Status
from steve.contrib.flask import FlaskManager, Steve
from steve.testing import drain, perform
from tests.conftest import APPLICATION, until
from tests.contrib.flask.projects import uri_of

MakeApp = Callable[..., Flask]
ENDED = (Status.COMPLETED, Status.FAILED, Status.CANCELLED)


@pytest.fixture
def make_app(database_url: str, schema: str) -> Iterator[MakeApp]:
    """`make_app(steve)`: an app whose jobs are in the test's schema, unless the config names another."""
    managers: list[weakref.ref[FlaskManager]] = []  # an app may be collected before its manager

    def make(steve: Steve, name: str = "shop", **config: Any) -> Flask:
        app = Flask(name)
        app.config.update({"STEVE_DATABASE_URI": database_url, "STEVE_SCHEMA": schema, **config})
        steve.init_app(app)
        managers.append(weakref.ref(steve.manager(app)))
        return app

    yield make
    for reference in managers:
        if (manager := reference()) is not None:
            assert manager.stop(timeout=30).complete


def ends(manager: JobManager, job: Job) -> Job:
    return until(lambda: found if (found := manager.find(job)) and found.status in ENDED else None)


def test_a_job_runs_in_a_fresh_context_of_its_app(make_app: MakeApp) -> None:
    steve = Steve()
    torn_down: list[object] = []

    @steve.handler("look")
    def look(job: Job) -> dict[str, Any]:
        assert not hasattr(g, "seen")
        g.seen = job.payload
        if job.payload.get("fail"):
            raise LookupError("on purpose")
        return {"app": current_app.name, "thread": threading.current_thread().name}

    app = make_app(steve)

    @app.teardown_appcontext
    def teardown(error: BaseException | None) -> None:
        if hasattr(g, "seen"):  # it is a job's, not the test's
            torn_down.append((g.seen["n"], type(error)))

    manager = steve.manager(app)
    assert app.extensions["steve"] is manager
    assert isinstance(manager, FlaskManager)
    assert steve.start(app, workers=1)
    with app.app_context():
        jobs = [steve.create("look", {"n": n, "fail": n == 1}, max_attempts=1) for n in range(3)]
        ended = [ends(steve.manager(), job) for job in jobs]
    assert [job.status.value for job in ended] == ["completed", "failed", "completed"]
    assert ended[0].result["app"] == "shop"
    until(lambda: torn_down == [(0, type(None)), (1, LookupError), (2, type(None))])


def test_two_apps_in_one_process_have_a_manager_and_a_context_each(make_app: MakeApp, schema: str, conn: Any) -> None:
    steve = Steve()

    @steve.task
    def name() -> str:
        return current_app.name

    first, second = make_app(steve, "first"), make_app(steve, "second", STEVE_SCHEMA=f"{schema}_b")
    try:
        for app in (first, second):
            steve.start(app)
        jobs = []
        for app in (first, second):
            with app.app_context():
                jobs.append(name.create())
        assert [ends(steve.manager(app), job).result for app, job in zip((first, second), jobs, strict=True)] == [
            "first",
            "second",
        ]
        assert steve.manager(first).find(jobs[1]) is None
    finally:
        for app in (first, second):
            steve.manager(app).stop()
        conn.execute(f'drop schema if exists "{schema}_b" cascade'.encode())


def test_what_is_registered_holds_for_apps_before_and_after_until_it_is_removed(make_app: MakeApp) -> None:
    steve, heard = Steve(), []
    early = make_app(steve, "early")

    @steve.handler("look")
    def look(job: Job) -> str:
        return current_app.name

    @contextmanager
    def note(run: Run) -> Iterator[None]:
        heard.append(("around", run.job.type, current_app.name))
        yield

    removal = steve.around(note)
    assert steve.on_success("look")(heard.append) == heard.append
    kept = steve.on_done("look", lambda job: heard.append(("done", current_app.name)))
    steve.cron("0 3 * * *", type="nightly", name="nightly")(look)
    late = make_app(steve, "late")
    for app in (early, late):
        manager = steve.manager(app)
        manager.migrate()
        assert [one.name for one in manager.schedules()] == ["nightly"]
        with app.app_context():
            steve.create("look")
            (ran,) = drain(steve)
        assert ran.job.result == app.name
        assert [one if isinstance(one, tuple) else one.status.value for one in heard] == [
            ("around", "look", app.name),
            "completed",
            ("done", app.name),
        ]
        heard.clear()
    with removal, kept:
        pass
    removal()
    steve.on_unhealthy(heard.append)
    with early.app_context():
        steve.create("look")
        drain(steve)
    assert [one.status.value for one in heard] == ["completed"]
    for app in (early, late):  # or garbage would hold connections until it is collected
        steve.manager(app).stop()


def test_what_cannot_be_registered_raises_at_the_decorator(make_app: MakeApp) -> None:
    steve = Steve()
    app = make_app(steve)
    steve.handler("look")(lambda job: None)
    wrong: list[tuple[type[Exception], Callable[[], Any]]] = [
        (ValueError, lambda: steve.handler("look")(lambda job: None)),
        (ValueError, lambda: steve.handler("")),
        (TypeError, lambda: steve.handler("x", timeout="soon")),  # type: ignore[arg-type]
        (TypeError, lambda: steve.task(7)),  # type: ignore[call-overload]
        (TypeError, lambda: steve.around(7)),  # type: ignore[arg-type]
        (TypeError, lambda: steve.on_success("look", 7)),  # type: ignore[arg-type]
        (ValueError, lambda: steve.cron("every day", type="x")(lambda job: None)),
        (RuntimeError, lambda: steve.init_app(app)),
        (RuntimeError, lambda: Steve(app)),
        (RuntimeError, lambda: steve.manager(Flask("other"))),
        (RuntimeError, lambda: steve.start(Flask("other"))),
        (AttributeError, lambda: steve.nothing),  # type: ignore[attr-defined]
    ]
    for number, (error, call) in enumerate(wrong):
        with pytest.raises(error):
            call()
            pytest.fail(f"number {number} is taken")
    assert Steve().handler("look")


def test_outside_a_context_the_error_says_what_to_write(make_app: MakeApp) -> None:
    steve = Steve()

    @steve.task
    def look() -> None: ...

    app = make_app(steve)
    calls: list[Callable[[], object]] = [lambda: steve.create("x"), look.create, lambda: look.create_many([()])]
    for call in calls:
        with pytest.raises(RuntimeError, match=r"steve\.create.*with app\.app_context\(\):.*steve\.manager\(app\)\.create"):
            call()
    for other in (lambda: steve.find("x"), steve.manager, steve.start, steve.__enter__):
        with pytest.raises(RuntimeError, match="no app context"):
            other()
    assert isinstance(steve, JobManager)
    assert isinstance(steve, Steve)
    assert not hasattr(steve, "_anything")
    steve.manager(app).migrate()
    with app.app_context():
        assert look.create().type.endswith("look")
        assert len(look.create_many([(), ()])) == 2
        with steve as manager:
            assert manager.health().running
        assert not steve.health().running


@pytest.fixture
def order(make_app: MakeApp, database_url: str, schema: str, conn: psycopg.Connection) -> Iterator[Any]:
    """An app with Flask-SQLAlchemy, whose handler `ship` writes by the session."""
    conn.execute(f'create schema "{schema}"; create table "{schema}".orders (name text)'.encode())
    db, steve = SQLAlchemy(), Steve()
    app = Flask("shop")
    app.config.update(SQLALCHEMY_DATABASE_URI=uri_of(database_url), STEVE_SCHEMA=schema)
    app.config["SQLALCHEMY_ENGINE_OPTIONS"] = {"connect_args": {"options": f"-csearch_path={schema}"}}
    db.init_app(app)
    steve.init_app(app)
    sessions: list[int] = []

    @steve.handler("ship")
    def ship(job: Job) -> int:
        sessions.append(id(db.session()))
        db.session.execute(text("insert into orders (name) values (:name)"), {"name": job.payload["name"]})
        if not job.payload.get("forget"):
            db.session.commit()
        return int(db.session.execute(text("select count(*) from orders")).scalar_one())

    steve.manager(app).migrate()
    with app.app_context():
        yield app, db, steve, sessions
        db.session.remove()
        steve.manager(app).stop()
        db.engine.dispose()


def test_the_session_of_flask_sqlalchemy_is_removed_after_each_job(order: Any, conn: psycopg.Connection, schema: str) -> None:
    app, db, steve, sessions = order
    steve.start(app, workers=1)
    job = steve.create("ship", {"name": "tea"}, connection=db.session)
    assert steve.find(job) is None, "not committed yet"
    db.session.commit()
    assert ends(steve, job).result == 1
    forgotten = ends(steve, steve.create("ship", {"name": "milk", "forget": True}))
    assert forgotten.result == 2, "it saw its own row"
    until(lambda: db.engine.pool.checkedout() == 0)
    assert conn.execute(f'select name from "{schema}".orders'.encode()).fetchall() == [("tea",)]
    assert len(sessions) == 2
    steve.create("ship", {"name": "coffee"}, connection=db.session)
    db.session.rollback()
    assert len(steve.fetch_all()) == 2


def test_a_test_runs_jobs_in_its_own_session(order: Any) -> None:
    _, db, steve, sessions = order
    db.session.execute(text("insert into orders (name) values ('mine')"))
    steve.create("ship", {"name": "tea", "forget": True}, connection=db.session)
    (ran,) = drain(steve, connection=db.session)
    assert ran.job.result == 2, "it saw the row of the test, which is not committed"
    assert sessions == [id(db.session())]
    db.session.rollback()
    assert steve.fetch_all() == []


def test_without_a_context_perform_makes_one(make_app: MakeApp) -> None:
    steve = Steve()
    steve.handler("look")(lambda job: current_app.name)
    assert perform(steve.manager(make_app(steve)), "look") == "shop"


def test_managers_of_dropped_apps_are_collected(make_app: MakeApp, conn: psycopg.Connection) -> None:
    steve, seen = Steve(), []
    threads = threading.active_count()

    @steve.task
    def look() -> str:
        return current_app.name

    steve.around_listener(lambda job: current_app.app_context())

    def use(number: int) -> None:
        app = make_app(steve, f"app{number}")
        manager = steve.manager(app)
        manager.on_done(None, lambda job: app.name)  # leads to the app
        seen.extend((weakref.ref(app), weakref.ref(manager)))
        if number % 50 == 0:
            with app.app_context():
                manager.migrate()
                look.create()
                drain(steve)
        if number % 100 == 0:
            steve.start(app)
            manager.stop()

    for number in range(200):
        use(number)
    gc.collect()
    gc.collect()
    assert [one for one in seen if one() is not None] == []
    until(lambda: threading.active_count() <= threads)
    query = "select count(*) from pg_stat_activity where application_name = %s and pid <> pg_backend_pid()"
    until(lambda: conn.execute(query, [APPLICATION]).fetchone() == (0,))


def test_a_manager_that_runs_keeps_its_app(make_app: MakeApp) -> None:
    steve = Steve()
    steve.handler("look")(lambda job: current_app.name)
    app = make_app(steve, "kept")
    manager, reference = steve.manager(app), weakref.ref(app)
    steve.start(app)
    del app
    gc.collect()
    assert ends(manager, manager.create("look")).result == "kept"
    manager.stop()
    until(lambda: gc.collect() is not None and reference() is None)


# -- flask steve -----------------------------------------------------------------------------------------------------------


def test_the_commands_do_what_they_say(make_app: MakeApp) -> None:
    steve = Steve()
    steve.handler("look")(lambda job: None)
    app = make_app(steve)
    flask = app.test_cli_runner()

    def run(*words: str, code: int = 0) -> str:
        done = flask.invoke(args=["steve", *words])
        assert done.exit_code == code, done.output
        return str(done.output)

    assert "is missing" in run("health", code=1)
    assert "create table" in run("migrate", "--dry-run")
    assert "0001" in run("migrate")
    assert run("migrate", "--contract") == "-- nothing to do\n"
    assert run("health") == "ok\n"
    manager = steve.manager(app)
    jobs = [manager.create("look", queue=queue) for queue in ("mail", "default", "default")]
    run("worker", "--burst", "--queues", "mail")
    assert [str(found.status) for job in jobs if (found := manager.find(job))] == ["completed", "pending", "pending"]
    run("worker", "--max-jobs", "1", "--workers", "1", code=75)
    run("worker", "--burst", "--workers", "mail:1;*:2")
    assert run("prune", "--older-than", "1h") == "0 jobs deleted\n"
    assert run("prune", "--older-than", "0s", "--status", "completed", "--type", "look") == "3 jobs deleted\n"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["worker", "--workers", "0"], "workers"),
        (["worker", "--workers", "mail"], "mail"),
        (["worker", "--workers", "mail:1", "--queues", "x"], "--queues"),
        (["worker", "--max-jobs", "0"], "max_jobs"),
        (["worker", "--max-memory", "-1"], "max_memory"),
        (["worker", "--stop-timeout", "-1"], "timeout"),
        (["worker", "--processes", "0"], "--processes"),
        (["prune"], "--older-than"),
        (["prune", "--older-than", "2 weeks"], "30d"),
        (["prune", "--older-than", "1d", "--status", "running"], "--status"),
        (["nothing"], "No such command"),
    ],
)
def test_a_wrong_argument_is_one_line(make_app: MakeApp, words: list[str], said: str) -> None:
    done = make_app(Steve()).test_cli_runner().invoke(args=["steve", *words])
    assert done.exit_code in (1, 2)
    assert said in done.output
    assert "Traceback" not in done.output
