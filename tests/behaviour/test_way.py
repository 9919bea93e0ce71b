"""Which of several hosts a connection is tried on first, and for how long each."""

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from steve._database.connection import HostOrder, connect, connect_arguments


class Led:
    """A connection that was made, as far as a Way looks at it."""

    def __init__(self, host: str, port: int) -> None:
        self.info = self
        self.host, self.hostaddr, self.port = host, "", port


def ordered(last: tuple[str, int], **arguments: str) -> dict[str, str]:
    way = HostOrder()
    way.led_to(Led(*last))  # type: ignore[arg-type]
    return way.order({"target_session_attrs": "read-write"} | arguments)


def test_before_any_connection_the_hosts_are_in_the_order_that_was_given() -> None:
    given = {"host": "a,b,c", "port": "1,2,3"}
    assert HostOrder().order(given) == given


@pytest.mark.parametrize(
    ("last", "given", "host", "port"),
    [
        (("b", 2), {"host": "a,b,c", "port": "1,2,3"}, "b,a,c", "2,1,3"),
        (("b", 5432), {"host": "a,b", "port": "5432"}, "b,a", "5432"),
        (("b", 5432), {"host": "a,b", "port": ""}, "b,a", ""),
        (("h", 2), {"host": "h,h", "port": "1,2"}, "h,h", "2,1"),
        (("gone", 1), {"host": "a,b", "port": "1,2"}, "a,b", "1,2"),
        (("a", 1), {"host": "a", "port": "1"}, "a", "1"),
    ],
    ids=str,
)
def test_the_host_that_answered_last_is_asked_first(last: tuple[str, int], given: dict[str, str], host: str, port: str) -> None:
    found = ordered(last, **given)
    assert (found["host"], found["port"]) == (host, port)


@pytest.mark.parametrize("how", [{"load_balance_hosts": "random"}, {"target_session_attrs": "any"}], ids=str)
def test_hosts_whose_order_means_something_stay_as_they_are(how: dict[str, str]) -> None:
    """A standby that answered while the primary was away is not to be first for ever."""
    assert ordered(("b", 2), host="a,b", port="1,2", **how)["host"] == "a,b"


def test_several_hosts_share_the_time_that_one_would_have() -> None:
    """libpq gives it to each, and none less than two seconds."""
    assert connect_arguments("host=a,b,c,d", 10)["connect_timeout"] == 2
    assert connect_arguments("host=a,b", 10)["connect_timeout"] == 5
    assert connect_arguments("hostaddr=127.0.0.1,127.0.0.2", 8)["connect_timeout"] == 4
    assert connect_arguments("host=a", 8)["connect_timeout"] == 8


def test_a_connection_remembers_the_host_that_it_was_made_to(database_url: str) -> None:
    way = HostOrder()
    parts = conninfo_to_dict(database_url)
    host, port = f"/nowhere,{parts['host']}", f"{parts.get('port', 5432)}"
    both = make_conninfo(database_url, host=host, port=port, target_session_attrs="read-write")
    with psycopg.connect(database_url) as there:
        connection = connect(both, 10, way=way)
        assert connection.info.server_version == there.info.server_version
        connection.close()
    assert way.order(connect_arguments(both, 10))["host"] == f"{parts['host']},/nowhere"
