"""A TCP proxy in front of a PostgreSQL. A test can make it break connections, refuse new ones, or swallow all data."""

import contextlib
import selectors
import socket
import threading
import time
from types import TracebackType

import psycopg
from psycopg.conninfo import make_conninfo

STUCK_SECONDS = 1.0
"""A connection whose peer takes no byte for so long is closed: one thread serves all connections, and the others wait."""


class Proxy:
    """`conninfo` leads through the proxy. One thread passes on all data, until a method changes that."""

    def __init__(self, conninfo: str, address: str = "127.0.0.1") -> None:
        with psycopg.connect(conninfo) as connection:
            self._host, self._port = connection.info.host, connection.info.port
        self._server = socket.create_server((address, 0))
        self.conninfo = make_conninfo(
            conninfo, host=address, hostaddr=address, port=self.port, sslmode="disable",
            gssencmode="disable",
        )  # fmt: skip
        self._lock = threading.Lock()  # protects the five below
        self._peers: dict[socket.socket, socket.socket] = {}
        self._refusing = False
        self._swallowing = False
        self._clients: set[socket.socket] = set()
        self._unanswered: dict[socket.socket, float] = {}
        self._bell, self._far_bell = socket.socketpair()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._ended = False

    def __enter__(self) -> "Proxy":
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._ended = True
        self._far_bell.send(b".")
        self._thread.join()
        self.cut()
        for one in (self._server, self._bell, self._far_bell):
            one.close()

    def refuse(self) -> None:
        """Cut all connections, and take no new ones until `accept()`."""
        with self._lock:
            self._refusing = True
        self.cut()

    def accept(self) -> None:
        """Take connections again, and pass on what comes."""
        with self._lock:
            self._refusing = self._swallowing = False

    def cut(self) -> None:
        """Break all connections."""
        with self._lock:
            for one in self._peers:
                with contextlib.suppress(OSError):
                    one.shutdown(socket.SHUT_RDWR)

    def swallow(self) -> None:
        """From now on acknowledge all that either side sends, and pass on none of it."""
        with self._lock:
            self._swallowing = True

    def waited(self) -> float:
        """The longest time, in seconds, that a client which is still connected has waited for an answer to swallowed data."""
        with self._lock:
            return time.monotonic() - min(self._unanswered.values(), default=time.monotonic())

    @property
    def port(self) -> int:
        return int(self._server.getsockname()[1])

    def _connect(self) -> socket.socket:
        if self._host.startswith("/"):
            there = socket.socket(socket.AF_UNIX)
            there.connect(f"{self._host}/.s.PGSQL.{self._port}")
            return there
        return socket.create_connection((self._host, self._port))

    def _run(self) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(self._server, selectors.EVENT_READ)
            selector.register(self._bell, selectors.EVENT_READ)
            while not self._ended:
                for key, _ in selector.select():
                    if key.fileobj is self._server:
                        self._take(selector)
                    elif isinstance(key.fileobj, socket.socket) and key.fileobj in self._peers:
                        self._pass_on(selector, key.fileobj)

    def _take(self, selector: selectors.BaseSelector) -> None:
        here = self._server.accept()[0]
        with self._lock:
            if self._refusing:
                here.close()
                return
            there = self._connect()
            for one in (here, there):
                one.settimeout(STUCK_SECONDS)
            self._peers |= {here: there, there: here}
            self._clients.add(here)
        selector.register(here, selectors.EVENT_READ)
        selector.register(there, selectors.EVENT_READ)

    def _pass_on(self, selector: selectors.BaseSelector, source: socket.socket) -> None:
        target = self._peers[source]
        try:
            data = source.recv(65536)
            if data and self._swallowing:
                with self._lock:
                    if source in self._clients:
                        self._unanswered.setdefault(source, time.monotonic())
            elif data:
                target.sendall(data)
        except OSError:
            data = b""
        if not data:
            with self._lock:
                for one in (source, target):
                    selector.unregister(one)
                    del self._peers[one]
                    self._clients.discard(one)
                    self._unanswered.pop(one, None)
                    one.close()
