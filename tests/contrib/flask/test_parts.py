"""The rules of the extension: URIs, settings, and where nothing is started."""

from datetime import timedelta
from typing import Any

import click
import pytest
from flask import Flask
from flask.cli import FlaskGroup
from sqlalchemy import URL

from steve.contrib.flask import Steve
from steve.contrib.flask._place import why_not, why_not_here
from steve.contrib.flask._settings import age, read
from steve.contrib.flask._uri import without_driver


@pytest.mark.parametrize(
    ("uri", "conninfo"),
    [
        ("postgresql://localhost/shop", "postgresql://localhost/shop"),
        ("postgres://localhost/shop", "postgresql://localhost/shop"),
        ("postgresql+psycopg2://ada@localhost:5433/shop", "postgresql://ada@localhost:5433/shop"),
        ("postgresql+psycopg:///shop", "postgresql:///shop"),
        ("postgresql+pg8000://ada:a%40b/c@db/shop", "postgresql://ada:a%40b%2Fc@db/shop"),
        ("postgresql+psycopg://[::1]:5433/shop?sslmode=require", "postgresql://[::1]:5433/shop?sslmode=require"),
        ("postgresql+psycopg://ada@/shop?host=/run/pg&port=5433", "postgresql://ada@/shop?port=5433&host=%2Frun%2Fpg"),
        ("postgresql+psycopg2://ada@/shop?host=a:1&host=b:2", "postgresql://ada@/shop?host=a%2Cb&port=1%2C2"),
        ("postgresql+psycopg2://ada@/shop?host=a&host=b", "postgresql://ada@/shop?host=a%2Cb"),
        ("postgresql+psycopg2://h/shop?options=-csearch_path%3Dx+-cy%3D1", "postgresql://h/shop?options=-csearch_path%3Dx%20-cy%3D1"),
        (URL.create("postgresql+psycopg", "ada", "p/w", "db", 5433, "shop"), "postgresql://ada:p%2Fw@db:5433/shop"),
    ],
)  # fmt: skip
def test_the_driver_is_taken_off_a_uri_of_sqlalchemy(uri: object, conninfo: str) -> None:
    assert without_driver(uri) == conninfo


@pytest.mark.parametrize(
    ("uri", "error", "words"),
    [
        ("sqlite:///shop.db", ValueError, "names sqlite"),
        ("mysql+pymysql://h/shop", ValueError, "names mysql"),
        ("shop", ValueError, "names no dialect"),
        ("postgresql+asyncpg://ada:secret@h/shop?ssl=require", ValueError, "no parameter 'ssl'"),
        ("postgresql://ada:secret@h:port:/shop?x", ValueError, "set STEVE_DATABASE_URI"),
        (7, TypeError, "not int"),
        ({"default": "postgresql://h/shop"}, TypeError, "not dict"),
    ],
)
def test_a_uri_that_does_not_lead_to_postgresql_is_refused_without_its_password(
    uri: object, error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words) as caught:
        without_driver(uri)
    assert "SQLALCHEMY_DATABASE_URI" in str(caught.value)
    assert "secret" not in str(caught.value)


def test_the_config_says_what_the_manager_is_like() -> None:
    found = read(
        {
            "DEBUG": True,
            "SQLALCHEMY_DATABASE_URI": "sqlite://",
            "STEVE_DATABASE_URI": "postgresql://h/jobs",
            "STEVE_PRUNE": {"completed": "1d", "failed": timedelta(days=30)},
            "STEVE_QUEUES": ["mail"],
            "STEVE_WORKERS": "mail:4;*:2",
            "STEVE_MIGRATE": False,
        }
    )
    assert (found.db, found.workers, found.migrate) == ("postgresql://h/jobs", "mail:4;*:2", False)
    assert found.of_manager == {
        "prune": {"completed": timedelta(days=1), "failed": timedelta(days=30)},
        "queues": ["mail"],
    }
    assert read({}).db is None, "the environment of a JobManager"
    assert read({"SQLALCHEMY_DATABASE_URI": "postgresql+psycopg2:///shop"}).db == "postgresql:///shop"


@pytest.mark.parametrize(
    ("config", "error", "words"),
    [
        ({"STEVE_DATABASE_URL": "postgresql:///shop"}, ValueError, "STEVE_DATABASE_URL is no setting.*STEVE_DATABASE_URI"),
        ({"STEVE_WORKER": 3}, ValueError, "STEVE_WORKER is no setting.*STEVE_WORKERS"),
        ({"STEVE_MIGRATE": "no"}, TypeError, "STEVE_MIGRATE must be a bool, not str"),
        ({"STEVE_PRUNE": {"completed": "1 day"}}, ValueError, "STEVE_PRUNE: an age must be .* not '1 day'"),
        ({"STEVE_PRUNE": {"running": timedelta(1)}}, ValueError, "prune"),
        ({"STEVE_PRUNE": 7}, TypeError, "prune"),
        ({"STEVE_LEASE": 0}, ValueError, "lease"),
        ({"STEVE_SCHEMA": "pg_x"}, ValueError, "schema"),
        ({"SQLALCHEMY_DATABASE_URI": "sqlite://"}, ValueError, "set STEVE_DATABASE_URI"),
    ],
)
def test_a_setting_that_cannot_be_is_refused_when_the_app_comes(
    config: dict[str, Any], error: type[Exception], words: str
) -> None:
    app = Flask("shop")
    app.config.update(config)
    with pytest.raises(error, match=words):
        Steve(app)
    assert "steve" not in app.extensions


@pytest.mark.parametrize("text", ["2 weeks", "", "-1d", "d", "1"])
def test_an_age_is_a_number_and_a_unit(text: str) -> None:
    with pytest.raises(ValueError, match="30d"):
        age(text)


@pytest.mark.parametrize(
    ("serves", "reloads", "is_child", "words"),
    [
        (True, False, False, None),  # flask run, flask run --debug --no-reload
        (True, True, True, None),
        (True, False, True, None),
        (True, True, False, "the reloader runs no jobs"),
        (False, False, False, "only `flask run` and `flask steve worker` run jobs"),
        (False, True, True, "only `flask run` and `flask steve worker` run jobs"),
    ],
)
def test_nothing_is_started_in_the_parent_of_a_reloader_and_in_other_commands(
    serves: bool, reloads: bool, is_child: bool, words: str | None
) -> None:
    why = why_not("flask", serves=serves, reloads=reloads, is_child=is_child)
    assert why is None if words is None else words in str(why)


@pytest.mark.parametrize(
    ("arguments", "environ", "is_here"),
    [
        (["run"], {}, True),
        (["run", "--debug"], {}, False),
        (["--debug", "run"], {}, False),
        (["run"], {"FLASK_DEBUG": "1"}, False),
        (["run", "--debug"], {"WERKZEUG_RUN_MAIN": "true"}, True),
        (["run", "--debug", "--no-reload"], {}, True),
        (["run", "--reload"], {}, False),
        (["run"], {"FLASK_RUN_RELOAD": "1"}, False),
        (["routes"], {}, False),
        (["routes"], {"FLASK_DEBUG": "1", "WERKZEUG_RUN_MAIN": "true"}, False),
        (["--help"], {}, False),
        (["steve", "health"], {}, False),
    ],
)
def test_click_knows_whether_there_is_a_reloader(
    monkeypatch: pytest.MonkeyPatch, arguments: list[str], environ: dict[str, str], is_here: bool
) -> None:
    for name in ("FLASK_DEBUG", "WERKZEUG_RUN_MAIN"):
        monkeypatch.setenv(name, environ.get(name, ""))  # so that what the command sets is undone
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("FLASK_RUN_FROM_CLI", "")
    monkeypatch.setattr("flask.cli.run_simple", lambda *_, **__: None)
    monkeypatch.setattr("flask.cli.show_server_banner", lambda *_: None)
    seen = []

    def create_app() -> Flask:
        seen.append(why_not_here())
        return Flask("shop")

    group = FlaskGroup(create_app=create_app, load_dotenv=False)
    with pytest.raises(SystemExit):
        group.main(arguments, prog_name="flask")
    assert [why is None for why in seen] == [is_here]


def test_a_command_line_that_is_not_flask_s_and_no_command_line_start_jobs() -> None:
    assert why_not_here() is None
    seen = []

    @click.command()
    @click.option("--reload", is_flag=True)
    def run(reload: bool) -> None:
        seen.append(why_not_here())

    run.main(["--reload"], standalone_mode=False)
    assert seen == [None]
