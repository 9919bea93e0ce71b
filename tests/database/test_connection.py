"""How a connection is opened: which host is asked first, how a dead link is noticed, and what a failed try leaves behind."""

import gc
import socket
from typing import NamedTuple

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from steve._database.connection import HostOrder, connect
from steve._database.connections import Connections
from steve._database.conninfo import NOTICING, connect_arguments
from steve._model.settings import Settings
from tests.behaviour.proxy import Proxy

READ_WRITE = {"target_session_attrs": "read-write"}
"""Only with these does the order of the hosts say nothing."""

TCP = {name: str(value) for name, value in NOTICING.items()}

# -- several hosts ------------------------------------------------------------------------------------------------------


class Answered(NamedTuple):
    """A connection that was made, as far as a HostOrder looks at it."""

    host: str
    port: int
    hostaddr: str = ""

    @property
    def info(self) -> "Answered":
        return self


def ordered(last: tuple[str, int], **arguments: str) -> dict[str, str]:
    """The arguments as a HostOrder gives them, after a host has answered."""
    order = HostOrder()
    order.answered(Answered(*last))  # type: ignore[arg-type]
    return order.apply(READ_WRITE | arguments)


def test_before_any_connection_the_hosts_are_in_the_order_that_was_given() -> None:
    given = {"host": "a,b,c", "port": "1,2,3"} | READ_WRITE
    assert HostOrder().apply(given) == given


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
    """A standby that answered while the primary was away must not come first for ever."""
    assert ordered(("b", 2), host="a,b", port="1,2", **how)["host"] == "a,b"


def test_a_connection_remembers_the_host_that_it_was_made_to(database_url: str) -> None:
    order = HostOrder()
    parts = conninfo_to_dict(database_url)
    host, port = f"/nowhere,{parts['host']}", f"{parts.get('port', 5432)}"
    both = make_conninfo(database_url, host=host, port=port, **READ_WRITE)
    with psycopg.connect(database_url) as there:
        connection = connect(both, 10, order=order)
        assert connection.info.server_version == there.info.server_version
        connection.close()
    assert order.apply(connect_arguments(both, 10))["host"] == f"{parts['host']},/nowhere"


# -- a dead link --------------------------------------------------------------------------------------------------------


def test_a_connection_notices_a_dead_link_by_itself(database_url: str) -> None:
    with Proxy(database_url) as proxy, connect(proxy.conninfo, 10) as connection:
        parameters = connection.info.get_parameters()
        assert {name: parameters.get(name) for name in TCP} == TCP
        assert parameters["connect_timeout"] == "10"
        with socket.socket(fileno=connection.fileno()) as ours:
            options = {
                "keepalives": ours.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE),
                "keepalives_idle": ours.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE),
                "keepalives_interval": ours.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL),
                "keepalives_count": ours.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT),
                "tcp_user_timeout": ours.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT),
            }
            ours.detach()
    assert {name: str(value) for name, value in options.items()} == TCP


def test_a_connection_of_the_callers_pool_notices_a_dead_link_as_well(database_url: str) -> None:
    with Proxy(database_url) as proxy:
        connections = Connections(db=proxy.conninfo, listen_db=None, settings=Settings())
        found = connections.call(lambda connection: connection.info.get_parameters())
        connections.close()
    assert {name: found.get(name) for name in TCP} == TCP


# -- a failed try -------------------------------------------------------------------------------------------------------


def test_an_attempt_to_connect_that_timed_out_leaves_no_socket_open() -> None:
    """Even while the error is kept and the garbage collector does not run."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        conninfo = f"host=127.0.0.1 port={server.getsockname()[1]} dbname=x user=x sslmode=disable gssencmode=disable"
        gc.collect()
        gc.disable()
        try:
            with pytest.raises(psycopg.errors.ConnectionTimeout, match="timeout expired") as kept:
                connect(conninfo, 1)
            accepted, _ = server.accept()
            with accepted:
                accepted.settimeout(30)
                while accepted.recv(4096):  # what the client had sent; then the end of the stream, or this times out
                    pass
            assert kept.value.sqlstate is None
        finally:
            gc.enable()
