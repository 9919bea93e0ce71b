"""A small HTTP endpoint beside the workers, for probes and for Prometheus. It is made of the standard library.

    from steve.contrib.http import serve

    with serve(manager, port=9000):
        manager.run(workers=4)

`/live` says whether the process should be left alone, `/ready` whether the manager does its work, and `/metrics` what
Prometheus asks for. `respond` gives the same answers to a web framework.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, NamedTuple

from steve import Health, JobManager

TEXT = "text/plain; charset=utf-8"

READ_SECONDS = 10.0
"""How long a client may take to send its request."""


class Response(NamedTuple):
    status: int
    content_type: str
    body: bytes


def respond(manager: JobManager, path: str, metrics: Callable[[], bytes] | None = None) -> Response:
    """The answer to a GET of this path.

    `/live`: 200, or 503 if threads of the manager are gone for good, which only a new process helps against. A manager that
    has not been started is alive. `/ready`: 200 if `health()` is ok, otherwise 503 with the problems, one a line. `/metrics`:
    what `metrics()` returns; None: what prometheus_client has to say, in its multiprocess mode of all processes, and 404 if it
    is not installed.
    """
    path = path.partition("?")[0]
    if path == "/live":
        health = manager.health()
        return _verdict(not health.dead_threads, f"threads have ended: {', '.join(health.dead_threads)}")
    if path == "/ready":
        health = manager.health()
        return _verdict(health.ok, _problems(health))
    if path == "/metrics" and (found := _metrics() if metrics is None else metrics):
        return Response(200, "text/plain; version=0.0.4; charset=utf-8", found())
    return Response(404, TEXT, b"there are /live, /ready and /metrics\n")


def serve(manager: JobManager, port: int, *, host: str = "0.0.0.0", metrics: Callable[[], bytes] | None = None) -> Endpoint:
    """Answer requests in a thread of this process, until `close()` or the end of a `with` block.

    `port`: 0 to 65,535; 0: any that is free, and `.port` says which. `host`: the address to listen on; "0.0.0.0": all, since
    the kubelet does not come from this machine. `metrics`: as for `respond`. The thread does not keep the process alive.
    Raises TypeError, ValueError, and OSError if the port is taken.
    """
    if type(port) is not int:
        raise TypeError(f"port must be an int, not {type(port).__name__}")
    if not 0 <= port <= 65_535:
        raise ValueError(f"port must be 0 to 65,535, not {port}")
    if metrics is not None and not callable(metrics):
        raise TypeError(f"metrics must be callable, not {type(metrics).__name__}")
    return Endpoint(manager, host, port, metrics)


class Endpoint:
    """A running endpoint: `serve` returns it."""

    def __init__(self, manager: JobManager, host: str, port: int, metrics: Callable[[], bytes] | None) -> None:
        class Handler(_Handler):
            respond = staticmethod(lambda path: respond(manager, path, metrics))

        self._server = ThreadingHTTPServer((host, port), Handler)
        self.port: int = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, name="steve-http", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Answer no more. May be called twice."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def __enter__(self) -> Endpoint:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


class _Handler(BaseHTTPRequestHandler):
    timeout = READ_SECONDS
    server_version = "steve"
    sys_version = ""
    respond: Callable[[str], Response]

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def _answer(self, *, with_body: bool) -> None:
        try:
            response = self.respond(self.path)
        except Exception as error:  # of `metrics`
            response = Response(500, TEXT, f"{type(error).__name__}\n".encode())
        self.send_response(response.status)
        self.send_header("Content-Type", response.content_type)
        self.send_header("Content-Length", str(len(response.body)))
        self.end_headers()
        if with_body:
            self.wfile.write(response.body)

    def log_message(self, format: str, *arguments: Any) -> None:
        """A probe comes every few seconds: nothing is logged."""


def _verdict(is_ok: bool, why_not: str) -> Response:
    return Response(200, TEXT, b"ok\n") if is_ok else Response(503, TEXT, f"{why_not}\n".encode())


def _problems(health: Health) -> str:
    return "\n".join(health.problems) or "the manager is not running"


def _metrics() -> Callable[[], bytes] | None:
    try:
        from steve.contrib.prometheus import exposition  # only here: it is an extra of its own
    except ImportError:
        return None
    return exposition
