"""A TCP proxy that understands PostgreSQL's protocol, and cuts a connection at a chosen statement.

After that the client cannot know what became of the statement, as when the network fails between a COMMIT and its reply:

    answered   the server has executed the statement and replied; the client is cut off before the reply reaches it
    at once    the client is cut off at the instant the statement is passed on, and tries again while the server works
    late       the client is cut off, and the statement reaches the server only some time later
"""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections.abc import Iterator
from typing import Literal, NamedTuple, Self

How = Literal["answered", "at once", "late"]

MARKS = {
    "create": b"on conflict (uid) do nothing",
    "create_many": b"from stdin",
    "create_unique": b"on conflict do nothing",
    "replace": b"held as materialized (\nselect job.uid as held_uid",
    "claim": b"with recursive turn as",
    "settle": b"with verdict as materialized",
    "complete": b"with completed as (\nupdate",
    "log": b".log (job_uid",
    "change": b"pg_current_xact_id()",
    "cancel": b"coalesce(cancel_asked_at",
    "retry": b"forgiven = nullif(",
    "reschedule": b"set run_at = greatest(",
    "set_priority": b"set priority = ",
    "delete": b"forgotten as (",
    "commit": b"commit",
}
"""For each kind of statement a part of its text, in lower case, by which the proxy recognises it."""

ENCRYPTION_REQUESTS = {struct.pack("!i", number) for number in (80877103, 80877104)}
"""What a client sends that would like TLS, or GSSAPI."""

LATE_SECONDS = 0.5
"""How late a late statement is, at most."""


class Cut(NamedTuple):
    what: str
    how: How
    seconds: float
    """How late the statement reaches the server."""


class Proxy:
    """A proxy in front of the server at port `target`, or at the socket of that path, in threads of the driver."""

    def __init__(self, target: int | str) -> None:
        self._target = target
        self._lock = threading.Lock()  # protects the four below
        self._links: set[_Link] = set()
        self._armed: Cut | None = None
        self._closed = False
        self.accepted = 0
        """The number of connections so far."""
        self.cut = threading.Event()
        """Set when the armed cut has happened."""
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=100)
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._closed = True
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._reset_all()

    def arm(self, what: str, how: How, seconds: float = 0.0) -> None:
        """Cut the next statement of that kind."""
        self.cut.clear()
        with self._lock:
            self._armed = Cut(what, how, seconds)

    def disarm(self) -> None:
        with self._lock:
            self._armed = None

    def lead_to(self, target: int | str) -> None:
        """From now on lead to that server. Existing connections are closed."""
        self._target = target
        self._reset_all()

    def _reset_all(self) -> None:
        with self._lock:
            links = list(self._links)
        for link in links:
            link.reset()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            try:
                server = _connected(self._target)
            except OSError:
                client.close()
                continue
            for one in (client, server):
                if one.family != socket.AF_UNIX:
                    one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            link = _Link(self, client, server)
            with self._lock:
                self.accepted += 1
                if self._closed:
                    link.reset()
                self._links.add(link)
            link.start()

    def take(self, what: str | None) -> Cut | None:
        """The armed cut, if it is for this kind of statement. No other caller gets it then."""
        with self._lock:
            armed = self._armed
            if armed is None or armed.what != what:
                return None
            self._armed = None
            return armed

    def gone(self, link: _Link) -> None:
        with self._lock:
            self._links.discard(link)


def _connected(target: int | str) -> socket.socket:
    if isinstance(target, int):
        return socket.create_connection(("127.0.0.1", target))
    server = socket.socket(socket.AF_UNIX)
    server.connect(target)
    return server


class _Link:
    """A client's connection and the server's, with a thread for each direction."""

    def __init__(self, proxy: Proxy, client: socket.socket, server: socket.socket) -> None:
        self._proxy = proxy
        self._client = client
        self._server = server
        self._muted = False
        """Nothing more is passed on to the client. Set before the statement is passed on, and so before there is a reply."""
        self._answered = threading.Event()
        """The server has replied to the statement that was cut."""

    def start(self) -> None:
        threading.Thread(target=self._forward, daemon=True).start()
        threading.Thread(target=self._backward, daemon=True).start()

    def reset(self) -> None:
        for one in (self._client, self._server):
            try:
                one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                one.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def _forward(self) -> None:
        """Pass on from the client to the server, a statement at a time."""
        try:
            self._server.sendall(_startup(self._client))
            for what, statement in _statements(self._client):
                cut = self._proxy.take(what)
                if cut is None:
                    self._server.sendall(statement)
                else:
                    self._cut(cut, statement)
                    return
        except OSError:
            pass
        finally:
            self._end()

    def _cut(self, cut: Cut, statement: bytes) -> None:
        self._muted = True
        if cut.how == "answered":
            self._server.sendall(statement)
            self._answered.wait(10)
            self._reset_client()
        else:
            if cut.how == "at once":
                self._server.sendall(statement)
            self._reset_client()
            if cut.how == "late":
                time.sleep(cut.seconds)
                self._server.sendall(statement)
            self._answered.wait(10)
        self._proxy.cut.set()

    def _reset_client(self) -> None:
        """Close the client's connection with a RST. Only this thread reads from it."""
        self._client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._client.close()

    def _backward(self) -> None:
        try:
            messages = _Messages()
            while data := self._server.recv(1 << 16):
                if not self._muted:
                    self._client.sendall(data)
                for kind, _ in messages.feed(data):
                    if self._muted and kind == b"Z":
                        self._answered.set()
        except OSError:
            pass
        finally:
            self._answered.set()  # there will be no reply
            self._end()

    def _end(self) -> None:
        """One direction has ended: end the other one, too."""
        for one in (self._client, self._server):
            try:
                one.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        self._proxy.gone(self)


class _Messages:
    """Takes a stream of bytes apart into messages: a letter, a length, a body."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> Iterator[tuple[bytes, bytes]]:
        """The messages that are complete now: the letter, and the whole message."""
        self._rest += data
        while len(self._rest) >= 5:
            size = 1 + int.from_bytes(self._rest[1:5])
            if len(self._rest) < size:
                return
            message, self._rest = self._rest[:size], self._rest[size:]
            yield message[:1], message


def _startup(client: socket.socket) -> bytes:
    """The first message of a connection. Before it, requests for encryption are refused, as by a server that has none."""
    while (message := _without_letter(client))[4:] in ENCRYPTION_REQUESTS:
        client.sendall(b"N")
    return message


def _without_letter(client: socket.socket) -> bytes:
    """A message of the form that the first one has, and a cancel request."""
    data = b""
    while len(data) < 4 or len(data) < int.from_bytes(data[:4]):
        more = client.recv(1 << 16)
        if not more:
            raise OSError("gone")
        data += more
    return data


def _statements(client: socket.socket) -> Iterator[tuple[str | None, bytes]]:
    """What the client sends, in pieces: each statement with its kind. A statement is all messages up to its Sync."""
    messages = _Messages()
    prepared: dict[bytes, str | None] = {}
    what: str | None = None
    piece = b""
    while data := client.recv(1 << 16):
        for kind, message in messages.feed(data):
            piece += message
            if kind == b"P":  # parse: name, text
                name, text, _ = message[5:].split(b"\0", 2)
                prepared[name] = _kind(text)
                what = prepared[name]
            elif kind == b"B":  # bind: portal, name
                name = message[5:].split(b"\0", 2)[1]
                what = prepared.get(name)
            elif kind == b"Q":
                what = _kind(message[5:])
            if kind in b"SQ" and what != "create_many":
                yield what, piece
                piece, what = b"", None
            elif kind in b"SQ":  # the data of COPY follow, and end the statement
                yield None, piece
                piece = b""
            elif kind in b"cfHp" or len(piece) > 1 << 16:
                yield what if kind == b"c" else None, piece
                piece = b""
                what = None if kind == b"c" else what
    if piece:
        yield None, piece


def _kind(text: bytes) -> str | None:
    text = text.lower()
    return next((what for what, mark in MARKS.items() if mark in text), None)
