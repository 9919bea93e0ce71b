"""How steve connects: what it adds to the user's conninfo, what it leaves alone, what it takes from an open connection."""

from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from steve._database.conninfo import connect_arguments, conninfo_of


def test_what_the_user_has_set_stays() -> None:
    given = {"keepalives": "0", "tcp_user_timeout": "7", "connect_timeout": "3", "application_name": "mine"}
    arguments = connect_arguments(make_conninfo("dbname=x", **given), 10)
    assert {name: arguments[name] for name in given} == given
    assert arguments["keepalives_idle"] == 5


def test_what_the_environment_or_a_service_has_set_stays(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PGCONNECT_TIMEOUT", "4")
    assert "connect_timeout" not in connect_arguments("dbname=x", 10)
    file = tmp_path / "services"
    file.write_text("[shop]\ndbname=x\nkeepalives_idle=77\n")
    monkeypatch.setenv("PGSERVICEFILE", str(file))
    assert "keepalives_idle" not in connect_arguments("service=shop", 10)
    monkeypatch.setenv("PGSERVICE", "shop")
    arguments = connect_arguments("", 10)
    assert "keepalives_idle" not in arguments
    assert arguments["keepalives_count"] == 3


def test_an_attempt_to_connect_takes_no_longer_than_the_call() -> None:
    assert [connect_arguments("", timeout)["connect_timeout"] for timeout in (0.05, 2.5, 60)] == [1, 3, 10]


def test_several_hosts_share_the_time_that_one_would_have() -> None:
    """libpq gives the time to each host, and none gets less than two seconds."""
    assert connect_arguments("host=a,b,c,d", 10)["connect_timeout"] == 2
    assert connect_arguments("host=a,b", 10)["connect_timeout"] == 5
    assert connect_arguments("hostaddr=127.0.0.1,127.0.0.2", 8)["connect_timeout"] == 4
    assert connect_arguments("host=a", 8)["connect_timeout"] == 8


def test_the_conninfo_of_an_open_connection_has_its_password(database_url: str) -> None:
    password = conninfo_to_dict(database_url).get("password", "se same'\\")  # a server that trusts us takes any
    given = make_conninfo(database_url, password=password)
    with psycopg.connect(given) as theirs:
        taken = conninfo_to_dict(conninfo_of(theirs))
    for name in ("host", "user", "password", "dbname", "application_name"):
        assert taken[name] == conninfo_to_dict(given)[name]
